//! The port of call cdrs: what is kept of calls that are over.

mod row;
pub mod store;

use std::{
    num::NonZeroU64,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use crate::{
    base::ids::{AccountId, CallId},
    call::{CallDirection, CallStatus, Party},
    media::{Ending, legs::LegSummary},
};

/// A call that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Cdr {
    /// Whose it was.
    pub account: AccountId,
    /// Its name.
    pub call: CallId,
    /// Who spoke with whom.
    pub party: Arc<Party>,
    /// When it was picked up, if it was.
    pub answered_at: Option<SystemTime>,
    /// When it was over.
    pub ended_at: SystemTime,
    /// How it ended.
    pub ending: Ending,
    /// How it sounded, once that is known; a call without sound has none.
    pub leg_summary: OnceLock<LegSummary>,
}

impl Cdr {
    /// How far it came.
    pub fn status(&self) -> CallStatus {
        CallStatus::at_end(self.ending, self.answered_at.is_some())
    }

    /// From the answer to the end.
    pub fn talked(&self) -> Duration {
        let since = |at| self.ended_at.duration_since(at).unwrap_or_default();
        self.answered_at.map_or(Duration::ZERO, since)
    }
}

/// Which cdrs are wanted; those that meet all it says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CdrFilter {
    /// Who called.
    pub from: Option<String>,
    /// Who was called.
    pub to: Option<String>,
    /// Who called whom.
    pub direction: Option<CallDirection>,
    /// `parent_call_uuid`.
    pub parent: Option<CallId>,
    /// `hangup_cause_code`.
    pub cause_code: Option<u16>,
    /// `hangup_source`.
    pub source: Option<String>,
    /// Over at this time or later.
    pub ended_from: Option<SystemTime>,
    /// Over at this time or earlier.
    pub ended_until: Option<SystemTime>,
    /// Talked for so many whole seconds, or more.
    pub talked_from: Option<u64>,
    /// Talked for fewer whole seconds than these.
    pub talked_below: Option<u64>,
}

impl CdrFilter {
    /// Whether a cdr is wanted.
    pub fn matches(&self, cdr: &Cdr) -> bool {
        let Cdr { party, ending, ended_at, .. } = cdr;
        self.from.as_ref().is_none_or(|it| **it == *party.from)
            && self.to.as_ref().is_none_or(|it| **it == *party.to)
            && self.direction.is_none_or(|it| it == party.direction)
            && self.parent.is_none_or(|it| party.session.parent() == Some(it))
            && self.cause_code.is_none_or(|it| it == ending.cause.code())
            && self.source.as_ref().is_none_or(|it| **it == *ending.source.text())
            && self.ended_from.is_none_or(|it| it <= *ended_at)
            && self.ended_until.is_none_or(|it| *ended_at <= it)
            && self.talked_from.is_none_or(|it| it <= cdr.talked().as_secs())
            && self.talked_below.is_none_or(|it| cdr.talked().as_secs() < it)
    }
}

/// Some of the cdrs that were wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CdrPage {
    /// The latest first.
    pub cdrs: Vec<Arc<Cdr>>,
    /// How many there are in all.
    pub total: usize,
}

/// What is kept of a call that is up, by its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OpenCdr(pub NonZeroU64);

/// Keeps cdrs. Nothing here waits for a disk: a cdr is durable some moments later.
pub trait CdrStore: Send + Sync + 'static {
    /// A call has been answered: should the process die before its cdr comes, one is made of this
    /// at the next start.
    /// That goes once it is handed back with the cdr; None if nothing outlives the process.
    fn answered(
        &self,
        account: &AccountId,
        call: CallId,
        party: &Arc<Party>,
        at: SystemTime,
    ) -> Option<OpenCdr>;

    /// Adds one; it may be the end of an old one.
    fn add(&self, cdr: Arc<Cdr>, open_cdr: Option<OpenCdr>);

    /// How a call sounded: it may be told before its cdr is added, or after.
    fn add_leg_summary(&self, call: CallId, summary: LegSummary);

    /// One of an account's.
    fn find(&self, account: &AccountId, call: CallId) -> Option<Arc<Cdr>>;

    /// Those of an account that are wanted: `limit` of them behind the first `offset`.
    fn list(&self, account: &AccountId, filter: &CdrFilter, offset: usize, limit: usize)
    -> CdrPage;
}
