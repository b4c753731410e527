//! State of a bench: its flags, and what it has measured so far.

use super::{load::Measurement, progress::BenchProgress, report::BenchReport};

use crate::cli::bench::BenchArgs as Flags;

/// State of a run: its flags and results.
pub(super) struct Bench {
    pub(super) flags: Flags,
    pub(super) report: BenchReport,
    pub(super) progress: BenchProgress,
    /// The ceiling before the current scenario, if it is compared with one.
    pub(super) ceiling_before: Option<Measurement>,
}
