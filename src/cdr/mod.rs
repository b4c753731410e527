//! Call detail records (CDRs): the port that keeps them, and the type of one.

mod row;
pub mod store;
mod table;

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use crate::{
    base::ids::{AccountId, CallId, RoomId},
    call::{CallDirection, CallStatus, Party},
    media::{Ending, legs::LegSummary},
    store::rows::RowStoreError,
};

/// Call detail record of a call that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Cdr {
    /// Account that the call belonged to.
    pub account: AccountId,
    /// The call's `call_uuid`, unique per account.
    pub call: CallId,
    /// Caller, callee, direction and dialect.
    pub party: Arc<Party>,
    /// Time of the answer; None if the call was never answered.
    pub answered_at: Option<SystemTime>,
    /// Time of the hang-up.
    pub ended_at: SystemTime,
    /// Hang-up cause, and who hung up.
    pub ending: Ending,
    /// The document that the call needed and did not get, if that ended it: URL, status, time, error
    /// and the beginning of the body, in one line.
    pub detail: Option<Arc<str>>,
    /// The last conference that the call was in.
    pub conference: Option<RoomId>,
    /// Audio statistics, set when the media backend reports them; empty for a call without audio.
    pub leg_summary: OnceLock<LegSummary>,
}

impl Cdr {
    /// Status in the API: how far the call got.
    pub fn status(&self) -> CallStatus {
        CallStatus::at_end(self.ending, self.answered_at.is_some())
    }

    /// Time from the answer to the end; zero without an answer.
    pub fn talked(&self) -> Duration {
        let since = |at| self.ended_at.duration_since(at).unwrap_or_default();
        self.answered_at.map_or(Duration::ZERO, since)
    }
}

/// Filter of a list: a CDR must match every field that is Some.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CdrFilter {
    /// Exact number or URI of the caller.
    pub from: Option<String>,
    /// Exact number or URI of the callee.
    pub to: Option<String>,
    /// Inbound or outbound, from conflow's view.
    pub direction: Option<CallDirection>,
    /// Call that made this one; parameter `parent_call_uuid`.
    pub parent: Option<CallId>,
    /// Number of the cause; parameter `hangup_cause_code`.
    pub cause_code: Option<u16>,
    /// Who hung up, as text; parameter `hangup_source`.
    pub source: Option<String>,
    /// Earliest time of the end, inclusive.
    pub ended_from: Option<SystemTime>,
    /// Latest time of the end, inclusive.
    pub ended_until: Option<SystemTime>,
    /// Least talk time in whole seconds, inclusive.
    pub talked_from: Option<u64>,
    /// Talk time in whole seconds, exclusive.
    pub talked_below: Option<u64>,
}

impl CdrFilter {
    /// Whether a CDR matches every field.
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

/// One page of the matching CDRs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CdrPage {
    /// CDRs of the page, latest first.
    pub cdrs: Vec<Arc<Cdr>>,
    /// Number of matching CDRs on all pages.
    pub total: usize,
}

/// Called once, when a CDR is on the disk; never if it does not get there before the process ends.
pub type OnCdrStored = Box<dyn FnOnce() + Send>;

/// Keeps CDRs beyond the life of their calls.
pub trait CdrStore: Send + Sync + 'static {
    /// Adds a CDR, and does not wait: it is on the disk some moments later. It is found at once.
    fn add(&self, cdr: Arc<Cdr>, on_stored: Option<OnCdrStored>);

    /// Adds a call's audio statistics, before its CDR or within moments after it.
    fn add_leg_summary(&self, call: CallId, summary: LegSummary);

    /// The CDR of a call, if it is one of the account's and in memory.
    fn recent(&self, account: &AccountId, call: CallId) -> Option<Arc<Cdr>>;

    /// The CDR of a call, if it is one of the account's. Reads the disk: call it where one may wait.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the disk cannot be read.
    fn find(&self, account: &AccountId, call: CallId) -> Result<Option<Arc<Cdr>>, RowStoreError>;

    /// One page of an account's matching CDRs: `limit` of them, after the first `offset`. Reads the
    /// disk: call it where one may wait.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the disk cannot be read.
    fn list(
        &self,
        account: &AccountId,
        filter: &CdrFilter,
        offset: usize,
        limit: usize,
    ) -> Result<CdrPage, RowStoreError>;
}
