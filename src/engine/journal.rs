//! The journal: what happens to an account's calls and conferences goes, numbered, into its event
//! log; from there come callbacks, the event stream, the list of live calls, and call records.
//!
//! Nothing here waits, so that whoever tells may go on: a callback is queued, and a reader woken.

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

/// The journals of every account.
pub struct Journal {
    /// Of those who have had a call, or have looked: no more than there are accounts.
    journals: RwLock<HashMap<AccountId, Arc<AccountJournal>>>,
    epoch: u64,
    /// Ages are counted from then.
    opened: Instant,
    accounts: Arc<Accounts>,
    callbacks: WebhookQueue,
    cdrs: Arc<dyn CdrStore>,
    trace_log: TraceLog,
}

/// One account's.
struct AccountJournal {
    log: Mutex<EventLog<AccountEvent>>,
    /// Wakes whoever reads the log.
    changed: watch::Sender<()>,
    live: Mutex<CallMap<ActiveCall>>,
}

/// A call that is up.
#[derive(Clone, Debug)]
pub struct ActiveCall {
    /// Who speaks with whom.
    pub party: Arc<Party>,
    /// How far it has come.
    pub status: CallStatus,
    /// By the journal's age, in nanoseconds.
    since: u64,
    /// Nanoseconds from then to the answer, and one more, so that none takes no room.
    answered: Option<NonZeroU64>,
    open_cdr: Option<OpenCdr>,
    /// So many events were about it.
    events: CallSequence,
}

// A million calls are up on one machine.
const _: () = assert!(size_of::<ActiveCall>() <= 40);

/// What comes of call_event of a call.
struct CallUpdate {
    status: CallStatus,
    at: SystemTime,
    /// Its place among the call's events.
    call_sequence: CallSequence,
    cdr: Option<FinishedCall>,
}

/// A call that is over.
struct FinishedCall {
    cdr: Arc<Cdr>,
    open_cdr: Option<OpenCdr>,
}

impl Journal {
    /// Empty journals. `began_at` sets the events of this process apart from those of the last.
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

    /// Takes in what a registry tells.
    pub fn note(&self, trace: &Observed) {
        self.trace_log.note(trace);
        match trace {
            Observed::Call { account, call, party, event: call_event } => {
                self.call(account, *call, party, *call_event);
            }
            Observed::Notice { room, notice } => self.conference(room, notice),
            Observed::Began { .. } | Observed::Fetching { .. } | Observed::Left { .. } => (),
            Observed::Requeued { .. } | Observed::Refused { .. } => (),
            Observed::Warned { .. } | Observed::Requested { .. } => (),
        }
    }

    /// What an account's log has behind a cursor.
    pub fn read(
        &self,
        account: &AccountId,
        cursor: EventCursor,
        filter: &EventFilter,
        events_max: usize,
    ) -> EventPage<AccountEvent> {
        self.account_journal(account).log.lock().read(cursor, filter, events_max)
    }

    /// Is marked as changed by every event of the account.
    pub fn subscribe(&self, account: &AccountId) -> watch::Receiver<()> {
        self.account_journal(account).changed.subscribe()
    }

    /// A call of an account that is up.
    pub fn live_call(&self, account: &AccountId, call: CallId) -> Option<ActiveCall> {
        self.account_journal(account).live.lock().get(call).cloned()
    }

    /// The calls of an account that are up, in the order of their ids.
    pub fn live_calls(&self, account: &AccountId) -> Vec<(CallId, ActiveCall)> {
        let journal = self.account_journal(account);
        let live = journal.live.lock();
        let calls = live.calls().into_iter();
        calls.filter_map(|call| Some((call, live.get(call)?.clone()))).collect()
    }

    /// How many there are.
    pub fn live_count(&self, account: &AccountId) -> usize {
        self.account_journal(account).live.lock().len()
    }

    /// Whose a call is; None of one that is not known, or not any more.
    pub fn account_of(&self, call: CallId) -> Option<AccountId> {
        self.trace_log.account_of(call)
    }

    /// What a call of an account has done, step by step; None of one that is not known, or not any
    /// more: of those that are over, the last [`trace::ENDED_MAX`] are kept.
    pub fn trace(&self, account: &AccountId, call: CallId) -> Option<trace::Trace> {
        self.trace_log.show(account, call)
    }

    /// Calls that are over.
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
        let Some(kept) = journal.update_live(age, account, call, party, call_event) else { return };
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

    fn conference(&self, room: &Arc<Incarnation>, notice: &Notice) {
        let account = &room.key.account;
        let journal = self.account_journal(account);
        let who = notice.event.who();
        let call_sequence = who.map(|it| journal.number(it.call));
        let what =
            AccountEvent::Conference { room: room.clone(), notice: notice.clone(), call_sequence };
        let event = journal.append(super::inbound::wall_clock(), what);

        let Some(who) = who else { return };
        let is_floor = matches!(notice.event, conference::ConferenceEvent::FloorTaken { .. });
        let Some(callback) = &who.entry.callback else { return };
        if is_floor && !who.entry.reports_floor {
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
                return tracing::warn!(%owner, sequence, "a callback has nowhere to go: {error}");
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
        // Who comes to read after this reads it.
        if 0 < self.changed.receiver_count() {
            self.changed.send_replace(());
        }
        event
    }

    /// Numbers one more event of a call. It is in one place at a time, and told of from there, so
    /// its events are appended as they are numbered.
    fn number(&self, call: CallId) -> CallSequence {
        self.live.lock().get_mut(call).map_or(CallSequence::MIN, ActiveCall::number)
    }

    /// Keeps the list of live calls. None for one that nobody has heard of.
    fn update_live(
        &self,
        age: u64,
        account: &AccountId,
        call: CallId,
        party: &Arc<Party>,
        call_event: call::CallEvent,
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
                let cdr = Arc::new(live.into_cdr(age, account.clone(), call, ending));
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

    /// What the clock on the wall says, as far as this call goes: it never jumps.
    fn wall(&self, age: u64) -> SystemTime {
        self.party.session.began_at + Duration::from_nanos(age.saturating_sub(self.since))
    }

    fn into_cdr(self, age: u64, account: AccountId, call: CallId, ending: Ending) -> Cdr {
        let offset = |it: NonZeroU64| Duration::from_nanos(it.get() - 1);
        let answered_at = self.answered.map(|it| self.party.session.began_at + offset(it));
        let ended_at = self.wall(age);
        let sound = OnceLock::new();
        Cdr { account, call, party: self.party, answered_at, ended_at, ending, leg_summary: sound }
    }
}

/// An event on its way to a URL: it is put into words when it is sent.
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
