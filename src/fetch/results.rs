//! Result counters: how outgoing requests ended.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::error::FetchError;

/// Counters of outgoing requests, by result.
#[derive(Debug, Default)]
pub struct ResultCounters {
    fetches: [AtomicU64; LABELS.len()],
    callbacks: [AtomicU64; LABELS.len()],
}

/// Successes, then the labels of [`FetchError::label`].
const LABELS: [&str; 10] = [
    "ok",
    "4xx",
    "5xx",
    "broken",
    "late",
    "redirect",
    "refused",
    "status",
    "unconnected",
    "unusable",
];

impl ResultCounters {
    /// Visits all counters: `fetch` or `callback`, the result's label, and the count.
    pub fn each(&self, mut visit: impl FnMut(&'static str, &'static str, u64)) {
        for (what, counts) in [("fetch", &self.fetches), ("callback", &self.callbacks)] {
            for (label, count) in LABELS.iter().zip(counts) {
                visit(what, label, count.load(Relaxed));
            }
        }
    }

    /// Counts a fetch including its retries, or one attempt of a callback.
    pub(super) fn count<T>(&self, is_callback: bool, result: &Result<T, FetchError>) {
        let label = result.as_ref().map_or_else(FetchError::label, |_| LABELS[0]);
        let counts = if is_callback { &self.callbacks } else { &self.fetches };
        if let Some(index) = LABELS.iter().position(|it| *it == label) {
            counts[index].fetch_add(1, Relaxed);
        }
    }
}
