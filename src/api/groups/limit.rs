//! How often somebody may ask, in windows of time, as Rocket.Chat and Kirimin count.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// So many in each window.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowLimit {
    pub(super) requests: u32,
    pub(super) window: Duration,
}

/// What is left of a window.
pub(super) struct Allowance {
    /// None: this one was too many.
    pub(super) requests: Option<u32>,
    /// How long the window still lasts.
    pub(super) wait: Duration,
}

/// The windows that are open.
#[derive(Default)]
pub(super) struct Windows {
    open: Mutex<BTreeMap<String, (Instant, u32)>>,
}

/// Some hundred kilobytes. Beyond, all is forgotten.
const WINDOWS_MAX: usize = 10_000;

impl Windows {
    /// Counts a request; one that is refused does not make the window longer.
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
