//! Recording figures: sums over recordings, for the operator.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::recording::{RecordingEnd, RecordingEndReason};

/// Sums over the recordings that have ended.
#[derive(Default)]
pub(super) struct RecordingTotals {
    bytes: AtomicU64,
    lost_samples: AtomicU64,
    disk_full: AtomicU64,
}

/// Figures of the recordings of a process.
#[derive(Clone, Copy, Debug)]
pub struct RecordingFigures {
    /// Recordings whose files are open.
    pub running: usize,
    /// Bytes of the files of those that have ended.
    pub bytes: u64,
    /// Samples of those that are silence, because the disk was too slow.
    pub lost_samples: u64,
    /// Those that ended because the disk took no more.
    pub disk_full: u64,
    /// Free space for recordings, in bytes.
    pub free_bytes: u64,
}

impl RecordingTotals {
    /// Adds a recording that has ended.
    pub(super) fn add(&self, end: &RecordingEnd) {
        self.bytes.fetch_add(end.bytes, Relaxed);
        self.lost_samples.fetch_add(end.lost_samples, Relaxed);
        let is_full = end.reason == RecordingEndReason::DiskFull;
        self.disk_full.fetch_add(u64::from(is_full), Relaxed);
    }

    /// The figures, with those of this moment.
    pub(super) fn figures(&self, running: usize, free_bytes: u64) -> RecordingFigures {
        let Self { bytes, lost_samples, disk_full } = self;
        RecordingFigures {
            running,
            bytes: bytes.load(Relaxed),
            lost_samples: lost_samples.load(Relaxed),
            disk_full: disk_full.load(Relaxed),
            free_bytes,
        }
    }
}
