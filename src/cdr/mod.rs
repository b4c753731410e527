//! The port of call records: what is kept of calls that are over.

mod row;
pub mod store;

use std::{
    num::NonZeroU64,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use crate::{
    base::ids::{AccountId, CallId},
    call::{CallStatus, Direction, Party},
    media::{Ending, legs::LegSummary},
};

/// A call that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
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
    pub sound: OnceLock<LegSummary>,
}

impl Record {
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

/// Which records are wanted; those that meet all it says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    /// Who called.
    pub from: Option<String>,
    /// Who was called.
    pub to: Option<String>,
    /// Who called whom.
    pub direction: Option<Direction>,
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

impl Filter {
    /// Whether a record is wanted.
    pub fn lets_through(&self, record: &Record) -> bool {
        let Record { party, ending, ended_at, .. } = record;
        self.from.as_ref().is_none_or(|it| **it == *party.from)
            && self.to.as_ref().is_none_or(|it| **it == *party.to)
            && self.direction.is_none_or(|it| it == party.direction)
            && self.parent.is_none_or(|it| party.session.parent() == Some(it))
            && self.cause_code.is_none_or(|it| it == ending.cause.code())
            && self.source.as_ref().is_none_or(|it| **it == *ending.source.text())
            && self.ended_from.is_none_or(|it| it <= *ended_at)
            && self.ended_until.is_none_or(|it| *ended_at <= it)
            && self.talked_from.is_none_or(|it| it <= record.talked().as_secs())
            && self.talked_below.is_none_or(|it| record.talked().as_secs() < it)
    }
}

/// Some of the records that were wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The latest first.
    pub records: Vec<Arc<Record>>,
    /// How many there are in all.
    pub total: usize,
}

/// What is kept of a call that is up, by its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Draft(pub NonZeroU64);

/// Keeps records. Nothing here waits for a disk: a record is durable some moments later.
pub trait Records: Send + Sync + 'static {
    /// A call has been answered: should the process die before its record comes, one is made of this
    /// at the next start.
    /// That goes once it is handed back with the record; None if nothing outlives the process.
    fn answered(
        &self,
        account: &AccountId,
        call: CallId,
        party: &Arc<Party>,
        at: SystemTime,
    ) -> Option<Draft>;

    /// Adds one; it may be the end of an old one.
    fn add(&self, record: Arc<Record>, draft: Option<Draft>);

    /// How a call sounded: it may be told before its record is added, or after.
    fn sounded(&self, call: CallId, sound: LegSummary);

    /// One of an account's.
    fn find(&self, account: &AccountId, call: CallId) -> Option<Arc<Record>>;

    /// Those of an account that are wanted: `limit` of them behind the first `offset`.
    fn list(&self, account: &AccountId, filter: &Filter, offset: usize, limit: usize) -> Page;
}
