//! Timer table: one ordered set of deadlines; each owner has at most one row.

use std::{collections::BTreeSet, time::Instant};

use crate::base::ids::CallId;

/// The owner of a deadline.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Timer {
    /// A server transaction, by its id.
    Server(u64),
    /// A client transaction, by its id.
    Client(u64),
    /// An attempt to reach somebody, by its number.
    Attempt(u64),
    /// A call, by the engine's id.
    Call(CallId),
    /// The registrar: an expiry or a keep-alive.
    Registrar,
    /// Registrations at trunks, and probes of their targets.
    Upkeep,
    /// The calls that wait for a trunk.
    TrunkQueue,
    /// Restored calls whose far end is asked if it is still there.
    Liveness,
}

/// The ordered deadlines of one agent.
#[derive(Debug, Default)]
pub struct Timers {
    rows: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Moves an owner's row to `at`; `due` is the owner's copy of its time.
    pub fn set(&mut self, timer: Timer, due: &mut Option<Instant>, at: Option<Instant>) {
        if *due == at {
            return;
        }
        if let Some(old) = due.take() {
            self.rows.remove(&(old, timer));
        }
        if let Some(at) = at {
            self.rows.insert((at, timer));
            *due = Some(at);
        }
    }

    /// Takes the first row that is due. The owner's `due` is stale until it is set again.
    pub fn pop(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = self.rows.first().copied()?;
        (at <= now).then(|| {
            self.rows.pop_first();
            timer
        })
    }

    /// Returns when the first row is due.
    pub fn first(&self) -> Option<Instant> {
        self.rows.first().map(|(at, _)| *at)
    }
}
