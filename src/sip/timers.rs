//! What is due when: one ordered set of rows, each owner having one row at most.

use std::{collections::BTreeSet, time::Instant};

use crate::base::ids::CallId;

/// Whose time has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Timer {
    /// A server transaction.
    Server(u64),
    /// A client transaction.
    Client(u64),
    /// A call.
    Call(CallId),
    /// The registrar.
    Registrar,
}

/// All rows.
#[derive(Debug, Default)]
pub struct Timers {
    rows: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Moves an owner's only row; `due` is where the owner keeps it.
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

    /// Takes the first row that is due. Its owner's `due` is stale until set anew.
    pub fn pop(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = self.rows.first().copied()?;
        (at <= now).then(|| {
            self.rows.pop_first();
            timer
        })
    }

    /// When the first row is due.
    pub fn first(&self) -> Option<Instant> {
        self.rows.first().map(|(at, _)| *at)
    }
}
