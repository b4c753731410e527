//! Queries: requests to the API that the watch may make.

use std::{collections::BTreeSet, time::Duration};

use crate::base::ids::{CallId, ConferenceName};

/// Something that the API can tell.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Query {
    /// `GET …/Conference/`
    Rooms,
    /// `GET …/Conference/{name}/`
    Roster(ConferenceName),
    /// `GET /sim/v1/Account/{auth_id}/Phone/{call_uuid}/`
    Phone(CallId),
}

/// A request that is under way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PendingQuery {
    /// For what.
    pub query: Query,
    /// How many events there had been.
    pub changes: u64,
}

/// What has been asked.
#[derive(Clone, Debug, Default)]
pub(super) struct QueryState {
    pub(super) pending: BTreeSet<Query>,
    /// When the rooms came.
    pub(super) rooms_at: Option<Duration>,
    /// Nothing is asked until then.
    pub(super) quiet_until: Duration,
}

impl QueryState {
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }
}
