//! Row keeper: what a registry knows of the rows that it keeps of calls and documents.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::base::boot_clock::BootClock;

/// What a registry that keeps rows knows of them.
#[derive(Debug)]
pub(super) struct RowKeeper {
    pub(super) clock: BootClock,
    /// How many rows name each document. Held while the text is written: who finds a document here may
    /// name it.
    pub(super) documents: Mutex<BTreeMap<u128, u32>>,
}
