//! Query: a request to the API that the watch may make.

use std::{collections::BTreeSet, time::Duration};

use crate::base::ids::{CallId, ConferenceName};

/// A query to the server's API.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Query {
    /// `GET …/Conference/`: all rooms of the account.
    Rooms,
    /// `GET …/Conference/{name}/`: the members of a room.
    Roster(ConferenceName),
    /// `GET /sim/v1/Account/{auth_id}/Phone/{call_uuid}/`: a simulated phone.
    Phone(CallId),
}

/// A query that has been sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PendingQuery {
    /// The query that the response belongs to.
    pub query: Query,
    /// Number of events that had been applied when it was sent.
    pub changes: u64,
}

/// State of the queries to the server.
#[derive(Clone, Debug, Default)]
pub(super) struct QueryState {
    pub(super) pending: BTreeSet<Query>,
    /// Time of the last list of rooms.
    pub(super) rooms_at: Option<Duration>,
    /// No queries are sent before this time.
    pub(super) quiet_until: Duration,
}

impl QueryState {
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }
}
