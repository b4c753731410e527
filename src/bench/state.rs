//! State of a bench: its flags, and what it has measured so far.

use super::{progress::BenchProgress, report::BenchReport};

use crate::cli::bench::BenchArgs as Flags;

/// What is to be measured, and what has been.
pub(super) struct Bench {
    pub(super) flags: Flags,
    pub(super) report: BenchReport,
    pub(super) progress: BenchProgress,
}
