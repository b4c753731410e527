//! Clock: the real one, because real time is measured.

use std::time::Instant;

use tokio::time;

/// The real clock, since real time is measured.
pub(super) fn now() -> Instant {
    time::Instant::now().into_std()
}
