//! Rows of backends: what a backend keeps in the state log of its calls, so that a later process can
//! restore them.
//!
//! A call is restored by two halves: the backend opens its dialog and its leg again, and the engine
//! builds the call with its flow and its place in a room. A call of which one half is missing ends.

use crate::base::ids::CallId;

/// What a row of a backend is the latest state of.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum BackendRowKind {
    /// The signalling of a call.
    Dialog,
    /// The sound of a call.
    Leg,
    /// What a call hears, and since when; of no call: the last time at which one heard something.
    Playing,
    /// A phone that has registered; its id is made by the registrar.
    Registration,
}

/// A row of a backend, or its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BackendRow {
    /// What it is the state of.
    pub kind: BackendRowKind,
    /// The id of a call as a number, or of a registration.
    pub id: u128,
    /// The state in the backend's own format, which begins with a version byte. None: it has gone.
    pub body: Option<Vec<u8>>,
}

impl BackendRow {
    /// The row of a call.
    pub fn of_call(kind: BackendRowKind, call: CallId, body: Option<Vec<u8>>) -> Self {
        Self { kind, id: call.0.as_u128(), body }
    }
}

/// Where backends write their rows.
pub trait BackendRows: Send + Sync + 'static {
    /// Writes rows as one frame: all of them or none. When it returns, they outlive the process; a disk
    /// in trouble lets them wait in memory. It takes microseconds and may be called on any thread. What
    /// follows from a row (a message, a report) is done after it.
    fn write(&self, rows: &[BackendRow]);
}

/// Rows that nobody keeps: the calls of this process end with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRows;

impl BackendRows for NoRows {
    fn write(&self, _rows: &[BackendRow]) {}
}
