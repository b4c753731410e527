//! Request windows: rate limits per key and fixed window of time, as the vendors count.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Requests that one key may send in a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowLimit {
    pub(super) requests: u32,
    pub(super) window: Duration,
}

/// The rest of a window.
pub(super) struct Allowance {
    /// Requests that are left. None: this one was too many.
    pub(super) requests: Option<u32>,
    /// Time until the window ends.
    pub(super) wait: Duration,
}

/// Open windows by key: start, and requests counted.
#[derive(Default)]
pub(super) struct Windows {
    open: Mutex<BTreeMap<String, (Instant, u32)>>,
}

/// Some hundred kilobytes. When there are more, all counts are dropped.
const WINDOWS_MAX: usize = 10_000;

impl Windows {
    /// Counts a request. A refused request does not extend the window.
    pub(super) fn take(&self, now: Instant, key: String, limit: WindowLimit) -> Allowance {
        let mut open = self.open.lock();
        if WINDOWS_MAX <= open.len() {
            open.clear();
        }
        let (since, count) = open.entry(key).or_insert((now, 0));
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
