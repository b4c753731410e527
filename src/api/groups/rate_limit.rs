//! Window limits: requests per window of time, as Rocket.Chat and Kirimin count them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// A number of requests in each window.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowLimit {
    pub(super) requests: u32,
    pub(super) window: Duration,
}

/// The remaining allowance of a window.
pub(super) struct Allowance {
    /// The number of requests left; None: this one is refused.
    pub(super) requests: Option<u32>,
    /// The remaining time of the window.
    pub(super) wait: Duration,
}

/// The open windows by client and endpoint.
#[derive(Default)]
pub(super) struct Windows {
    open: Mutex<BTreeMap<String, (Instant, u32)>>,
}

/// Some hundred kilobytes. Beyond that all windows are dropped.
const WINDOWS_MAX: usize = 10_000;

impl Windows {
    /// Counts a request. A refused one does not extend the window.
    pub(super) fn take(&self, now: Instant, who: String, limit: WindowLimit) -> Allowance {
        let mut open = self.open.lock();
        if WINDOWS_MAX <= open.len() {
            open.clear();
        }
        let (since, count) = open.entry(who).or_insert((now, 0));
        if limit.window <= now.saturating_duration_since(*since) {
            (*since, *count) = (now, 0);
        }
        let wait = (*since + limit.window).saturating_duration_since(now);
        if limit.requests <= *count {
            return Allowance { requests: None, wait };
        }
        *count += 1;
        Allowance { requests: Some(limit.requests - *count), wait }
    }
}
