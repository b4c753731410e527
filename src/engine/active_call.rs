//! Active calls: the live calls as the journal knows them, until each becomes a CDR.

use std::{
    num::NonZeroU64,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use crate::{
    base::ids::{AccountId, CallId, Incarnation},
    call::{CallStatus, Party},
    cdr::Cdr,
    events::CallSequence,
    media::Ending,
};

/// A live call, as the API lists it.
#[derive(Clone, Debug)]
pub struct ActiveCall {
    /// From, to, direction and session of the call.
    pub party: Arc<Party>,
    /// The status after its last event.
    pub status: CallStatus,
    /// The journal's age when the call began, in nanoseconds.
    pub(super) since: u64,
    /// Nanoseconds from `since` to the answer, plus one: so None takes no room.
    pub(super) answered: Option<NonZeroU64>,
    /// The number of its events so far.
    pub(super) events: CallSequence,
    /// The last conference that it entered.
    pub(super) conference: Option<Arc<Incarnation>>,
}

// A million calls are up on one machine.
const _: () = assert!(size_of::<ActiveCall>() <= 48);

impl ActiveCall {
    /// A call of the last process. `answered`: nanoseconds from its begin to its answer. The ages of
    /// its events are counted from its begin.
    pub(super) fn lost(
        party: Arc<Party>,
        status: CallStatus,
        answered: Option<u64>,
        events: CallSequence,
        conference: Option<Arc<Incarnation>>,
    ) -> Self {
        let answered = answered.map(|it| NonZeroU64::MIN.saturating_add(it));
        Self { party, status, since: 0, answered, events, conference }
    }

    pub(super) fn number(&mut self) -> CallSequence {
        self.events = self.events.saturating_add(1);
        self.events
    }

    /// The wall clock time for this call's events: its start plus elapsed time, so it never jumps.
    pub(super) fn wall(&self, age: u64) -> SystemTime {
        self.party.session.began_at + Duration::from_nanos(age.saturating_sub(self.since))
    }

    pub(super) fn into_cdr(
        self,
        age: u64,
        account: AccountId,
        call: CallId,
        ending: Ending,
        detail: Option<Arc<str>>,
    ) -> Cdr {
        let offset = |it: NonZeroU64| Duration::from_nanos(it.get() - 1);
        let answered_at = self.answered.map(|it| self.party.session.began_at + offset(it));
        let ended_at = self.wall(age);
        Cdr {
            account,
            call,
            party: self.party,
            answered_at,
            ended_at,
            ending,
            detail,
            conference: self.conference.map(|it| it.id),
            leg_summary: OnceLock::new(),
        }
    }
}
