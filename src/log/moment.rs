//! When what is told has happened: now, but for what is put into words later.

use std::{cell::Cell, fmt, time::SystemTime};

use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

use crate::{base::utc, engine::inbound::wall};

thread_local! {
    static AT: Cell<Option<SystemTime>> = const { Cell::new(None) };
}

/// Whatever this thread tells meanwhile has happened at that time.
pub(super) fn at(at: SystemTime, tell: impl FnOnce()) {
    AT.set(Some(at));
    tell();
    AT.set(None);
}

/// When what this thread tells has happened.
pub(super) fn now() -> SystemTime {
    AT.get().unwrap_or_else(wall)
}

/// Stands before each line for eyes.
pub(super) struct Moment;

impl FormatTime for Moment {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        write!(out, "{}Z", utc::precise(now()).replace(' ', "T"))
    }
}
