//! Engine state: whether the threads of an engine go on, end, or hand their legs over.

use std::{
    fmt, io,
    os::fd::BorrowedFd,
    sync::{Barrier, OnceLock, atomic::AtomicBool, mpsc::Sender},
    time::Instant,
};

/// Gives the sockets of legs to the holder.
pub type GiveSockets = Box<dyn Fn(&[BorrowedFd<'_>]) -> io::Result<()> + Send + Sync>;

/// The state that all threads of an engine share.
#[derive(Debug, Default)]
pub(super) struct EngineState {
    pub(super) is_closed: AtomicBool,
    /// Unset until the engine is handed over.
    pub(super) handover: OnceLock<HandoverGate>,
}

/// A handover that has begun. The threads meet in it.
pub(super) struct HandoverGate {
    /// No leg moves between threads from here on.
    pub(super) barrier: Barrier,
    pub(super) give: GiveSockets,
    pub(super) stopped: Sender<StoppedThread>,
}

/// What a thread says when its legs are handed over.
pub(super) struct StoppedThread {
    pub(super) legs: usize,
    /// When the next packet would have been due.
    pub(super) next_at: Instant,
    pub(super) given: io::Result<()>,
}

/// The state of all legs after the last packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StoppedLegs {
    /// The number of legs that have stopped.
    pub count: usize,
    /// When the next packets would have been due.
    pub next_at: Instant,
}

impl fmt::Debug for HandoverGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandoverGate").finish_non_exhaustive()
    }
}
