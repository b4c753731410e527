//! Clock: the real one, because real time is measured.

use std::time::Instant;

use tokio::time;

/// The real clock: that is what is measured.
pub(super) fn now() -> Instant {
    time::Instant::now().into_std()
}
