//! Signals: which of them stop, reload, or do nothing.

use std::io;

use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
};

/// The signals of this process. None but those of [`StopSignals`] ends it.
pub(super) struct Signals {
    pub(super) stop: StopSignals,
    /// SIGHUP: reload the configuration.
    pub(super) hangup: Signal,
    /// SIGUSR2: hand over to a new process.
    pub(super) upgrade: Signal,
}

/// SIGTERM and SIGINT.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

/// A write beyond the limit of a file's size (`ulimit -f`) fails like one to a full disk; on Linux
/// the signal that comes with it has this number.
const FILE_SIZE: i32 = 25;

impl Signals {
    /// Handles signals from now on, for as long as the process lives. (The runtime of Rust ignores
    /// SIGPIPE: a write to a closed pipe fails.)
    ///
    /// # Errors
    ///
    /// The system refuses a handler.
    pub(super) fn take() -> io::Result<Self> {
        let stop = StopSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        let hangup = signal(SignalKind::hangup())?;
        let upgrade = signal(SignalKind::user_defined2())?;
        let harmless = [SignalKind::user_defined1(), SignalKind::alarm()];
        for kind in harmless.into_iter().chain([SignalKind::from_raw(FILE_SIZE)]) {
            // Their handlers stay, and do nothing.
            drop(signal(kind)?);
        }
        Ok(Self { stop, hangup, upgrade })
    }
}

impl StopSignals {
    /// Waits for the next signal to stop, and returns its name.
    pub(super) async fn next(&mut self) -> &'static str {
        select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
