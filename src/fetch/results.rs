//! What has become of requests, counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::error::FetchError;

/// Requests that were made, by what they came to.
#[derive(Debug, Default)]
pub struct ResultCounters {
    fetches: [AtomicU64; LABELS.len()],
    callbacks: [AtomicU64; LABELS.len()],
}

/// The good ones, and those of [`FetchError::label`].
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
    /// All of them: `fetch` or `callback`, the result, and how many there were.
    pub fn each(&self, mut visit: impl FnMut(&'static str, &'static str, u64)) {
        for (what, counts) in [("fetch", &self.fetches), ("callback", &self.callbacks)] {
            for (label, count) in LABELS.iter().zip(counts) {
                visit(what, label, count.load(Relaxed));
            }
        }
    }

    /// Counts a fetch with all its tries, or one try of a callback.
    pub(super) fn count<T>(&self, is_callback: bool, result: &Result<T, FetchError>) {
        let label = result.as_ref().map_or_else(FetchError::label, |_| LABELS[0]);
        let counts = if is_callback { &self.callbacks } else { &self.fetches };
        if let Some(index) = LABELS.iter().position(|it| *it == label) {
            counts[index].fetch_add(1, Relaxed);
        }
    }
}
