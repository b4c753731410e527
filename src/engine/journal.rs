//! Journal: numbers the events of an account's calls and conferences and appends them to its log.
//! Callbacks, the event stream, the list of live calls and the CDRs come from there.
//!
//! Nothing here waits: a callback is queued and a reader is woken.

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroU64,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use parking_lot::{Mutex, RwLock};
use tokio::{sync::watch, time::Instant};

use super::{
    callbacks::{Callbacks, EventCallback},
    event_store::EventStore,
    registry::Observed,
    trace_log::TraceLog,
};
use crate::{
    accounts::Accounts,
    base::{
        call_map::CallMap,
        ids::{AccountId, CallId, Incarnation},
    },
    call::{self, CallStatus, Party},
    cdr::{Cdr, CdrStore, OpenCdr},
    conference::{ConferenceEvent, DialEvent, Notice},
    events::{
        AccountEvent, CallSequence,
        log::{EventCursor, EventFilter, EventPage},
    },
    media::Ending,
    state_log::StateLog,
    trace,
    webhooks::dispatcher::WebhookQueue,
};

/// The event logs and live calls of every account.
pub struct Journal {
    /// Accounts that have had a call or a reader: bounded by the number of accounts.
    journals: RwLock<HashMap<AccountId, Arc<AccountJournal>>>,
    epoch: u64,
    /// None if nothing outlives the process.
    state_log: Option<Arc<StateLog>>,
    /// The zero of ages.
    opened: Instant,
    callbacks: Arc<Callbacks>,
    cdrs: Arc<dyn CdrStore>,
    trace_log: TraceLog,
}

struct AccountJournal {
    events: Arc<EventStore>,
    live: Mutex<CallMap<ActiveCall>>,
}

/// A live call, as the API lists it.
#[derive(Clone, Debug)]
pub struct ActiveCall {
    /// From, to, direction and session of the call.
    pub party: Arc<Party>,
    /// The status after its last event.
    pub status: CallStatus,
    /// The journal's age when the call began, in nanoseconds.
    since: u64,
    /// Nanoseconds from `since` to the answer, plus one: so None takes no room.
    answered: Option<NonZeroU64>,
    open_cdr: Option<OpenCdr>,
    /// The number of its events so far.
    events: CallSequence,
    /// The last conference that it entered.
    conference: Option<Arc<Incarnation>>,
}

// A million calls are up on one machine.
const _: () = assert!(size_of::<ActiveCall>() <= 48);

/// The result of one event of a call.
struct CallUpdate {
    status: CallStatus,
    at: SystemTime,
    call_sequence: CallSequence,
    cdr: Option<FinishedCall>,
}

/// The CDR of an ended call, and its open row.
struct FinishedCall {
    cdr: Arc<Cdr>,
    open_cdr: Option<OpenCdr>,
}

impl Journal {
    /// No live calls, and the events that the state log has. Without one, `began_at` is the epoch of
    /// event ids: it tells this process's events from those of earlier ones.
    pub fn new(
        began_at: SystemTime,
        state_log: Option<Arc<StateLog>>,
        accounts: Arc<Accounts>,
        callbacks: WebhookQueue,
        cdrs: Arc<dyn CdrStore>,
    ) -> Self {
        let epoch = state_log.as_ref().map_or_else(|| epoch_of(began_at), |it| it.epoch());
        Self {
            journals: RwLock::default(),
            epoch,
            state_log: state_log.clone(),
            opened: Instant::now(),
            callbacks: Arc::new(Callbacks { accounts, queue: callbacks, epoch, state_log }),
            cdrs,
            trace_log: TraceLog::new(),
        }
    }

    /// Takes an event of the registry.
    pub fn note(&self, trace: &Observed) {
        self.trace_log.note(trace);
        match trace {
            Observed::Call { account, call, party, event: call_event } => {
                self.call(account, *call, party, *call_event);
            }
            Observed::Dialled { account, call, party, event } => {
                self.dialled(account, *call, party, event);
            }
            Observed::Notice { room, notice } => self.conference(room, notice),
            Observed::Began { .. } | Observed::Fetched { .. } | Observed::Fetching { .. } => (),
            Observed::Left { .. } | Observed::PassedOver { .. } => (),
            Observed::Requeued { .. } | Observed::Refused { .. } => (),
            Observed::Warned { .. } | Observed::Requested { .. } => (),
        }
    }

    /// The events of an account's log after a cursor.
    pub async fn read(
        &self,
        account: &AccountId,
        cursor: EventCursor,
        filter: &EventFilter,
        events_max: usize,
    ) -> EventPage<AccountEvent> {
        let events = self.account_journal(account).events.clone();
        events.read(cursor, filter, events_max).await
    }

    /// A cursor before the first event of an account from a time on; events between may be older.
    pub fn cursor_since(&self, account: &AccountId, at: SystemTime) -> EventCursor {
        self.account_journal(account).events.since(at)
    }

    /// A receiver that every event of the account marks as changed.
    pub fn subscribe(&self, account: &AccountId) -> watch::Receiver<()> {
        self.account_journal(account).events.subscribe()
    }

    /// A live call of an account; None if it has ended or is another account's.
    pub fn live_call(&self, account: &AccountId, call: CallId) -> Option<ActiveCall> {
        self.account_journal(account).live.lock().get(call).cloned()
    }

    /// The live calls of an account, sorted by id.
    pub fn live_calls(&self, account: &AccountId) -> Vec<(CallId, ActiveCall)> {
        let journal = self.account_journal(account);
        let live = journal.live.lock();
        let calls = live.calls().into_iter();
        calls.filter_map(|call| Some((call, live.get(call)?.clone()))).collect()
    }

    /// The number of live calls of an account.
    pub fn live_count(&self, account: &AccountId) -> usize {
        self.account_journal(account).live.lock().len()
    }

    /// The account of a call; None if the call is unknown or its trace was dropped.
    pub fn account_of(&self, call: CallId) -> Option<AccountId> {
        self.trace_log.account_of(call)
    }

    /// The trace of an account's call; None if it is unknown or was dropped: the last
    /// [`trace::ENDED_MAX`] ended calls are kept.
    pub fn trace(&self, account: &AccountId, call: CallId) -> Option<trace::Trace> {
        self.trace_log.show(account, call)
    }

    /// The store of the CDRs of ended calls.
    pub fn cdrs(&self) -> &Arc<dyn CdrStore> {
        &self.cdrs
    }

    /// Adds a call of the last process, which must be ended.
    pub(super) fn add_lost(&self, account: &AccountId, call: CallId, lost: ActiveCall) {
        self.account_journal(account).live.lock().insert(call, lost);
    }

    /// The sender of callbacks.
    pub(super) fn callbacks(&self) -> &Callbacks {
        &self.callbacks
    }

    fn account_journal(&self, account: &AccountId) -> Arc<AccountJournal> {
        if let Some(journal) = self.journals.read().get(account) {
            return journal.clone();
        }
        let new = || AccountJournal {
            events: Arc::new(EventStore::new(account.clone(), self.epoch, self.state_log.clone())),
            live: Mutex::default(),
        };
        self.journals.write().entry(account.clone()).or_insert_with(|| Arc::new(new())).clone()
    }

    fn call(
        &self,
        account: &AccountId,
        call: CallId,
        party: &Arc<Party>,
        call_event: call::CallEvent,
    ) {
        let age = u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.call_at(age, account, call, party, call_event);
    }

    pub(super) fn call_at(
        &self,
        age: u64,
        account: &AccountId,
        call: CallId,
        party: &Arc<Party>,
        call_event: call::CallEvent,
    ) {
        let journal = self.account_journal(account);
        let detail = self.detail(call, call_event);
        let updated = journal.update_live(age, account, call, party, call_event, detail);
        let Some(kept) = updated else { return };
        let CallUpdate { status, at, call_sequence, cdr } = kept;
        // The state log knows the calls that were up, too.
        if call_event == call::CallEvent::Answered && self.state_log.is_none() {
            let open_cdr = self.cdrs.answered(account, call, party, at);
            journal.live.lock().get_mut(call).into_iter().for_each(|it| it.open_cdr = open_cdr);
        }
        let cdr = cdr.map(|FinishedCall { cdr, open_cdr }| {
            self.cdrs.add(cdr.clone(), open_cdr);
            cdr
        });
        let party = party.clone();
        let what =
            AccountEvent::Call { call, call_sequence, party, status, event: call_event, cdr };
        self.append(&journal, account, at, what);
    }

    /// Why a call ends, if a document is missing.
    fn detail(&self, call: CallId, event: call::CallEvent) -> Option<Arc<str>> {
        match event {
            call::CallEvent::Ended(ending) if ending.cause.is_of_document() => {
                self.trace_log.missing_document(call).map(|it| it.to_string().into())
            }
            call::CallEvent::Ended(_)
            | call::CallEvent::Answered
            | call::CallEvent::Begun
            | call::CallEvent::Rang => None,
        }
    }

    fn dialled(
        &self,
        account: &AccountId,
        call: CallId,
        party: &Arc<Party>,
        event: &Arc<DialEvent>,
    ) {
        let journal = self.account_journal(account);
        let Some(call_sequence) = journal.number(call) else { return };
        let (party, event) = (party.clone(), event.clone());
        let what = AccountEvent::Dial { call, call_sequence, party, event };
        self.append(&journal, account, super::inbound::wall_clock(), what);
    }

    fn conference(&self, room: &Arc<Incarnation>, notice: &Notice) {
        self.conference_at(super::inbound::wall_clock(), room, notice);
    }

    pub(super) fn conference_at(&self, at: SystemTime, room: &Arc<Incarnation>, notice: &Notice) {
        let account = &room.key.account;
        let journal = self.account_journal(account);
        let who = notice.event.who();
        let call_sequence = who.and_then(|it| journal.number(it.call));
        if let ConferenceEvent::Entered { who, .. } = &notice.event {
            let mut live = journal.live.lock();
            live.get_mut(who.call).into_iter().for_each(|it| it.conference = Some(room.clone()));
        }
        let what =
            AccountEvent::Conference { room: room.clone(), notice: notice.clone(), call_sequence };
        self.append(&journal, account, at, what);
    }

    /// Writes and publishes an event, and queues its callback.
    fn append(
        &self,
        journal: &AccountJournal,
        account: &AccountId,
        at: SystemTime,
        what: AccountEvent,
    ) {
        let callback = EventCallback::of(&what);
        let (callbacks, owner) = (self.callbacks.clone(), account.clone());
        journal.events.append(at, what, callback.is_some(), move |event, kept| {
            if let Some(callback) = callback {
                callbacks.send(&owner, callback, kept, event);
            }
        });
    }
}

/// The epoch of a process's events, if they do not outlive it.
fn epoch_of(began_at: SystemTime) -> u64 {
    let since = began_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

impl AccountJournal {
    /// Numbers one more event of a call; None if it has ended. A call is in one place at a time, which
    /// publishes its events, so they are appended in the order of their numbers.
    fn number(&self, call: CallId) -> Option<CallSequence> {
        self.live.lock().get_mut(call).map(ActiveCall::number)
    }

    /// Updates the list of live calls. None if the call is not in it.
    fn update_live(
        &self,
        age: u64,
        account: &AccountId,
        call: CallId,
        party: &Arc<Party>,
        call_event: call::CallEvent,
        detail: Option<Arc<str>>,
    ) -> Option<CallUpdate> {
        let mut calls = self.live.lock();
        if call_event == call::CallEvent::Begun {
            let status = match party.direction {
                call::CallDirection::Inbound => CallStatus::Ringing,
                call::CallDirection::Outbound => CallStatus::Queued,
            };
            let (party_, since) = (party.clone(), age);
            let live = ActiveCall {
                party: party_,
                status,
                since,
                answered: None,
                open_cdr: None,
                events: CallSequence::MIN,
                conference: None,
            };
            calls.insert(call, live);
            let (at, call_sequence) = (party.session.began_at, CallSequence::MIN);
            return Some(CallUpdate { status, at, call_sequence, cdr: None });
        }

        let live = calls.get_mut(call)?;
        let at = live.wall(age);
        let call_sequence = live.number();
        match call_event {
            call::CallEvent::Answered => {
                live.answered =
                    Some(NonZeroU64::MIN.saturating_add(age.saturating_sub(live.since)));
                live.status = CallStatus::InProgress;
            }
            call::CallEvent::Begun => (),
            call::CallEvent::Ended(ending) => {
                let live = calls.remove(call)?;
                let open_cdr = live.open_cdr;
                let cdr = Arc::new(live.into_cdr(age, account.clone(), call, ending, detail));
                let (status, cdr) = (cdr.status(), Some(FinishedCall { cdr, open_cdr }));
                return Some(CallUpdate { status, at, call_sequence, cdr });
            }
            call::CallEvent::Rang => live.status = CallStatus::Ringing,
        }
        Some(CallUpdate { status: live.status, at, call_sequence, cdr: None })
    }
}

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
        Self { party, status, since: 0, answered, open_cdr: None, events, conference }
    }

    fn number(&mut self) -> CallSequence {
        self.events = self.events.saturating_add(1);
        self.events
    }

    /// The wall clock time for this call's events: its start plus elapsed time, so it never jumps.
    fn wall(&self, age: u64) -> SystemTime {
        self.party.session.began_at + Duration::from_nanos(age.saturating_sub(self.since))
    }

    fn into_cdr(
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

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
