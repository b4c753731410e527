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

use super::{registry::Observed, trace_log::TraceLog};
use crate::{
    accounts::Accounts,
    base::{
        call_map::CallMap,
        ids::{AccountId, CallId, Dialect, Incarnation},
        traceparent::Traceparent,
    },
    call::{self, CallStatus, Hook, Party},
    cdr::{Cdr, CdrStore, OpenCdr},
    conference::{self, Notice},
    events::{
        AccountEvent, CallSequence, fields,
        log::{Event, EventCursor, EventFilter, EventLog, EventPage},
    },
    fetch::{TargetUrl, signature::FormField},
    media::Ending,
    trace,
    webhooks::{
        delivery::{QueueKey, QueueOwner},
        dispatcher::{Webhook, WebhookFields, WebhookQueue},
    },
};

/// The event logs and live calls of every account.
pub struct Journal {
    /// Accounts that have had a call or a reader: bounded by the number of accounts.
    journals: RwLock<HashMap<AccountId, Arc<AccountJournal>>>,
    epoch: u64,
    /// The zero of ages.
    opened: Instant,
    accounts: Arc<Accounts>,
    callbacks: WebhookQueue,
    cdrs: Arc<dyn CdrStore>,
    trace_log: TraceLog,
}

struct AccountJournal {
    log: Mutex<EventLog<AccountEvent>>,
    /// Wakes the readers of the log.
    changed: watch::Sender<()>,
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
    /// Empty logs. `began_at` is the epoch of event ids: it tells this process's events from those
    /// of earlier ones.
    pub fn new(
        began_at: SystemTime,
        accounts: Arc<Accounts>,
        callbacks: WebhookQueue,
        cdrs: Arc<dyn CdrStore>,
    ) -> Self {
        let epoch = began_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let epoch = u64::try_from(epoch.as_millis()).unwrap_or_default();
        Self {
            journals: RwLock::default(),
            epoch,
            opened: Instant::now(),
            accounts,
            callbacks,
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
            Observed::Notice { room, notice } => self.conference(room, notice),
            Observed::Began { .. } | Observed::Fetched { .. } | Observed::Fetching { .. } => (),
            Observed::Left { .. } | Observed::PassedOver { .. } => (),
            Observed::Requeued { .. } | Observed::Refused { .. } => (),
            Observed::Warned { .. } | Observed::Requested { .. } => (),
        }
    }

    /// The events of an account's log after a cursor.
    pub fn read(
        &self,
        account: &AccountId,
        cursor: EventCursor,
        filter: &EventFilter,
        events_max: usize,
    ) -> EventPage<AccountEvent> {
        self.account_journal(account).log.lock().read(cursor, filter, events_max)
    }

    /// A receiver that every event of the account marks as changed.
    pub fn subscribe(&self, account: &AccountId) -> watch::Receiver<()> {
        self.account_journal(account).changed.subscribe()
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

    fn account_journal(&self, account: &AccountId) -> Arc<AccountJournal> {
        if let Some(journal) = self.journals.read().get(account) {
            return journal.clone();
        }
        let new = || AccountJournal {
            log: Mutex::new(EventLog::new(self.epoch)),
            changed: watch::Sender::new(()),
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
        let journal = self.account_journal(account);
        let age = u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let detail = self.detail(call, call_event);
        let updated = journal.update_live(age, account, call, party, call_event, detail);
        let Some(kept) = updated else { return };
        let CallUpdate { status, at, call_sequence, cdr } = kept;
        if call_event == call::CallEvent::Answered {
            let open_cdr = self.cdrs.answered(account, call, party, at);
            journal.live.lock().get_mut(call).into_iter().for_each(|it| it.open_cdr = open_cdr);
        }
        let cdr = cdr.map(|FinishedCall { cdr, open_cdr }| {
            self.cdrs.add(cdr.clone(), open_cdr);
            cdr
        });

        let session = &party.session;
        let what = AccountEvent::Call {
            call,
            call_sequence,
            party: party.clone(),
            status,
            event: call_event,
            cdr,
        };
        let event = journal.append(at, what);
        let hook = match call_event {
            call::CallEvent::Ended(_) => session.details().and_then(|it| it.hangup.as_ref()),
            call::CallEvent::Rang => session.details().and_then(|it| it.ring.as_ref()),
            call::CallEvent::Answered | call::CallEvent::Begun => None,
        };
        if let Some(Hook { url, method }) = hook {
            let queue = QueueKey { owner: QueueOwner::Call(call), url: url.clone(), by_call: None };
            let trace = session.trace(call);
            let event_fields =
                EventFields { account: account.clone(), dialect: party.dialect, trace, event };
            self.queue(queue, call_sequence.get().into(), *method, event_fields);
        }
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

    fn conference(&self, room: &Arc<Incarnation>, notice: &Notice) {
        let account = &room.key.account;
        let journal = self.account_journal(account);
        let who = notice.event.who();
        let call_sequence = who.map(|it| journal.number(it.call));
        if let conference::ConferenceEvent::Entered { who, .. } = &notice.event {
            let mut live = journal.live.lock();
            live.get_mut(who.call).into_iter().for_each(|it| it.conference = Some(room.clone()));
        }
        let what =
            AccountEvent::Conference { room: room.clone(), notice: notice.clone(), call_sequence };
        let event = journal.append(super::inbound::wall_clock(), what);

        let Some(who) = who else { return };
        let is_floor = matches!(notice.event, conference::ConferenceEvent::FloorTaken { .. });
        let Some(callback) = &who.callback else { return };
        if is_floor && !callback.reports_floor {
            return;
        }
        let by_call = callback.by_call.then_some(who.call);
        let queue =
            QueueKey { owner: QueueOwner::Room(room.id), url: callback.url.clone(), by_call };
        let dialect = who.party.dialect;
        let trace = who.party.session.trace(who.call);
        let event_fields = EventFields { account: account.clone(), dialect, trace, event };
        self.queue(queue, notice.sequence, callback.method, event_fields);
    }

    fn queue(
        &self,
        queue: QueueKey,
        sequence: u64,
        method: crate::flow::RequestMethod,
        event_fields: EventFields,
    ) {
        let target = match TargetUrl::parse(&queue.url) {
            Ok(target) => Arc::new(target),
            Err(error) => {
                let owner = queue.owner;
                return tracing::warn!(%owner, sequence, "callback not sent: bad URL: {error}");
            }
        };
        let (dialect, signer) = (
            event_fields.dialect,
            self.accounts.signer(&event_fields.account, event_fields.dialect),
        );
        let fields = Arc::new(event_fields);
        self.callbacks.send(Webhook { queue, sequence, target, method, dialect, signer, fields });
    }
}

impl AccountJournal {
    fn append(&self, at: SystemTime, what: AccountEvent) -> Arc<Event<AccountEvent>> {
        let event = self.log.lock().append(at, what);
        // A reader that subscribes after this finds the event in the log.
        if 0 < self.changed.receiver_count() {
            self.changed.send_replace(());
        }
        event
    }

    /// Numbers one more event of a call. A call is in one place at a time, which publishes its
    /// events, so they are appended in the order of their numbers.
    fn number(&self, call: CallId) -> CallSequence {
        self.live.lock().get_mut(call).map_or(CallSequence::MIN, ActiveCall::number)
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

/// An event to be sent to a URL. Its form fields are made when it is sent.
#[derive(Debug)]
struct EventFields {
    account: AccountId,
    dialect: Dialect,
    trace: Traceparent,
    event: Arc<Event<AccountEvent>>,
}

impl WebhookFields for EventFields {
    fn fields(&self) -> Vec<FormField> {
        fields::of_event(&self.account, &self.event, self.dialect)
    }

    fn trace(&self) -> Option<Traceparent> {
        Some(self.trace)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}
