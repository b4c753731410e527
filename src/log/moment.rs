//! Time of log lines: the current time, except for events that are formatted later.

use std::{cell::Cell, fmt, time::SystemTime};

use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

use crate::{base::utc, engine::inbound::wall_clock};

thread_local! {
    static AT: Cell<Option<SystemTime>> = const { Cell::new(None) };
}

/// Sets the time of all lines that this thread logs within `log`.
pub(super) fn at(at: SystemTime, log: impl FnOnce()) {
    AT.set(Some(at));
    log();
    AT.set(None);
}

/// Time of a line that this thread logs.
pub(super) fn now() -> SystemTime {
    AT.get().unwrap_or_else(wall_clock)
}

/// Writes the time at the start of a text line.
pub(super) struct LogTime;

impl FormatTime for LogTime {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        write!(out, "{}Z", utc::precise(now()).replace(' ', "T"))
    }
}
