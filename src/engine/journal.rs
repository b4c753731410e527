//! Journal: numbers the events of an account's calls and conferences and appends them to its log.
//! Callbacks, the event stream, the list of live calls and the CDRs come from there.
//!
//! Nothing here waits: a callback is queued and a reader is woken.

use std::{
    collections::HashMap,
    fmt, io,
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::SystemTime,
};

use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

pub use super::active_call::ActiveCall;
use super::{
    backlog::Backlog,
    callbacks::{Callbacks, EventCallback},
    deliveries::Deliveries,
    event_store::{EventStore, NewEvent},
    inbound::wall_clock,
    recorder::TurnRow,
    registry::Observed,
    sealing,
    trace_log::TraceLog,
};
use crate::{
    accounts::Accounts,
    base::{
        call_map::CallMap,
        ids::{AccountId, CallId, Incarnation},
    },
    call::{self, CallStatus, Party},
    cdr::{Cdr, CdrStore},
    conference::{ConferenceEvent, DialEvent, Notice},
    events::{
        AccountEvent, CallSequence,
        log::{EventCursor, EventFilter, EventPage},
    },
    media::{BackendRow, BackendRows},
    state_log::StateLog,
    store::seal::RowSeal,
    trace::archive::TraceArchive,
    webhooks::dispatcher::WebhookQueue,
};

/// The event logs and live calls of every account.
pub struct Journal {
    /// Accounts that have had a call or a reader: bounded by the number of accounts.
    journals: RwLock<HashMap<AccountId, Arc<AccountJournal>>>,
    epoch: u64,
    /// None if nothing outlives the process.
    pub(super) state_log: Option<Arc<StateLog>>,
    /// None: rows of calls are written as they are.
    seal: Option<Arc<dyn RowSeal>>,
    /// The zero of ages.
    opened: Instant,
    callbacks: Arc<Callbacks>,
    /// Callbacks of earlier processes that are not queued yet.
    pub(super) backlog: Mutex<Option<Backlog>>,
    pub(super) cdrs: Arc<dyn CdrStore>,
    /// What reads CDRs and traces from the disk has one.
    pub(super) disk_reads: Arc<Semaphore>,
    pub(super) trace_log: TraceLog,
}

pub(super) struct AccountJournal {
    pub(super) events: Arc<EventStore>,
    live: Mutex<CallMap<ActiveCall>>,
}

/// Requests that read from the disk at once; others wait.
const DISK_READS_MAX: usize = 4;

/// The first age: ten years, in nanoseconds.
const AGE_FIRST: u64 = 315_360_000_000_000_000;

/// The result of one event of a call.
struct CallUpdate {
    status: CallStatus,
    at: SystemTime,
    call_sequence: CallSequence,
    cdr: Option<Arc<Cdr>>,
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
            seal: None,
            opened: Instant::now(),
            callbacks: Arc::new(Callbacks {
                accounts,
                queue: callbacks,
                epoch,
                is_kept: state_log.is_some(),
                deliveries: Deliveries::new(state_log),
                is_resuming: AtomicBool::new(false),
            }),
            backlog: Mutex::default(),
            cdrs,
            disk_reads: Arc::new(Semaphore::new(DISK_READS_MAX)),
            trace_log: TraceLog::new(None),
        }
    }

    /// With traces that outlive the process.
    ///
    /// # Errors
    ///
    /// The thread that writes them cannot be started.
    pub fn with_traces(mut self, archive: Arc<TraceArchive>) -> io::Result<Self> {
        self.trace_log = TraceLog::new(Some(archive));
        self.trace_log.start()?;
        Ok(self)
    }

    /// With rows of calls that only this seal opens.
    #[must_use]
    pub fn sealing(self, seal: Arc<dyn RowSeal>) -> Self {
        Self { seal: Some(seal), ..self }
    }

    /// Takes an event of the registry, or what a turn has decided: one frame of the state log.
    pub fn note(&self, observed: &Observed) {
        let events = observed.events();
        events.iter().for_each(|it| self.trace_log.note(it));
        let rows = &*sealing::seal(observed.rows(), self.seal.as_deref());
        let account = events.iter().find_map(|it| match it {
            Observed::Call { account, .. } => Some(account),
            Observed::Dialled { account, .. } | Observed::Recording { account, .. } => {
                Some(account)
            }
            Observed::Notice { room, .. } => Some(&room.key.account),
            Observed::Began { .. } | Observed::Fetched { .. } | Observed::Fetching { .. } => None,
            Observed::Attempted { .. } | Observed::Left { .. } | Observed::PassedOver { .. } => {
                None
            }
            Observed::RecordingChanged { .. } | Observed::Turn(_) => None,
            Observed::Requeued { .. } | Observed::Refused { .. } | Observed::Resumed { .. } => None,
            Observed::Warned { .. } | Observed::Requested { .. } => None,
        });
        let Some(account) = account else { return self.write_lines(rows) };
        let journal = self.account_journal(account);
        let mut new = Vec::with_capacity(events.len());
        for event in events {
            if let Observed::Call { account, call, party, event } = event {
                new.extend(self.call(&journal, self.age(), account, *call, party, *event));
            } else if let Observed::Notice { room, notice } = event {
                new.push(conference(&journal, wall_clock(), room, notice));
            } else if let Observed::Dialled { call, party, event, .. } = event {
                new.extend(dialled(&journal, *call, party, event));
            } else if let Observed::Recording { event, .. } = event {
                let (what, at) = (AccountEvent::Recording(event.clone()), wall_clock());
                new.push(NewEvent { at, callback: EventCallback::of(&what), what });
            }
        }
        self.append(&journal, account, new, rows);
    }

    /// Whether events and rows outlive the process.
    pub fn outlives_the_process(&self) -> bool {
        self.state_log.is_some()
    }

    /// Writes rows without an event, in one frame.
    pub fn write_rows(&self, rows: &[TurnRow]) {
        self.write_lines(&sealing::seal(rows, self.seal.as_deref()));
    }

    /// Writes rows that are sealed if they must be.
    fn write_lines(&self, rows: &[TurnRow]) {
        if let Some(log) = self.state_log.as_ref().filter(|_| !rows.is_empty()) {
            let lines: Vec<_> = rows.iter().map(TurnRow::line).collect();
            log.append(&lines, |_| ());
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

    /// The account of a call; None if the call is unknown or its trace is no longer in memory.
    pub fn account_of(&self, call: CallId) -> Option<AccountId> {
        // The trace of a restored call began in another process.
        let is_its = |journal: &&Arc<AccountJournal>| journal.live.lock().contains(call);
        let found = || {
            let journals = self.journals.read();
            journals.iter().find(|(_, it)| is_its(it)).map(|(account, _)| account.clone())
        };
        self.trace_log.account_of(call).or_else(found)
    }

    /// Adds a call of the last process, which must be ended.
    pub(super) fn add_lost(&self, account: &AccountId, call: CallId, lost: ActiveCall) {
        self.account_journal(account).live.lock().insert(call, lost);
    }

    /// Adds a call of the last process that goes on. Its begin is that of the party.
    pub(super) fn add_restored(&self, account: &AccountId, call: CallId, mut found: ActiveCall) {
        let began_at = found.party.session.began_at;
        let since = wall_clock().duration_since(began_at).unwrap_or_default();
        self.trace_log.resume(account, call, since);
        let since = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        found.since = self.age().saturating_sub(since);
        self.account_journal(account).live.lock().insert(call, found);
    }

    /// The sender of callbacks.
    pub(super) fn callbacks(&self) -> &Arc<Callbacks> {
        &self.callbacks
    }

    /// Whether the log that outlives the process has all rows.
    pub fn has_all_rows(&self) -> bool {
        self.state_log.as_ref().is_some_and(|it| it.status().held == 0)
    }

    /// The log that outlives the process, if there is one.
    pub(super) fn state_log(&self) -> Option<&Arc<StateLog>> {
        self.state_log.as_ref()
    }

    pub(super) fn account_journal(&self, account: &AccountId) -> Arc<AccountJournal> {
        if let Some(journal) = self.journals.read().get(account) {
            return journal.clone();
        }
        let new = || AccountJournal {
            events: Arc::new(EventStore::new(account.clone(), self.epoch, self.state_log.clone())),
            live: Mutex::default(),
        };
        self.journals.write().entry(account.clone()).or_insert_with(|| Arc::new(new())).clone()
    }

    /// Nanoseconds since the journal was opened, and some: calls may be older than it.
    fn age(&self) -> u64 {
        let elapsed = u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        AGE_FIRST.saturating_add(elapsed)
    }

    /// Notes an event of a call of the last process.
    pub(super) fn call_at(
        &self,
        age: u64,
        account: &AccountId,
        call: CallId,
        party: &Arc<Party>,
        call_event: call::CallEvent,
    ) {
        let journal = self.account_journal(account);
        let new = self.call(&journal, age, account, call, party, call_event);
        self.append(&journal, account, new.into_iter().collect(), &[]);
    }

    /// Updates the list of live calls; None if the call is not in it.
    fn call(
        &self,
        journal: &AccountJournal,
        age: u64,
        account: &AccountId,
        call: CallId,
        party: &Arc<Party>,
        call_event: call::CallEvent,
    ) -> Option<NewEvent> {
        let detail = self.detail(call, call_event);
        let updated = journal.update_live(age, account, call, party, call_event, detail)?;
        let CallUpdate { status, at, call_sequence, cdr } = updated;
        cdr.iter().for_each(|it| self.add_cdr(it.clone()));
        let (party, event) = (party.clone(), call_event);
        let what = AccountEvent::Call { call, call_sequence, party, status, event, cdr };
        Some(NewEvent { at, callback: EventCallback::of(&what), what })
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

    /// Notes an event of a room of the last process.
    pub(super) fn conference_at(&self, at: SystemTime, room: &Arc<Incarnation>, notice: &Notice) {
        let account = &room.key.account;
        let journal = self.account_journal(account);
        let new = conference(&journal, at, room, notice);
        self.append(&journal, account, vec![new], &[]);
    }

    /// Writes and publishes events of an account, with rows, and queues their callbacks.
    fn append(
        &self,
        journal: &AccountJournal,
        account: &AccountId,
        events: Vec<NewEvent>,
        rows: &[TurnRow],
    ) {
        let (callbacks, owner) = (self.callbacks.clone(), account.clone());
        journal.events.append(events, rows, move |callback, kept, event| {
            if !callbacks.is_resuming.load(SeqCst) {
                callbacks.send(&owner, callback, kept, event, None);
            }
        });
    }
}

impl BackendRows for Journal {
    fn write(&self, rows: &[BackendRow]) {
        self.write_rows(&rows.iter().map(TurnRow::of_backend).collect::<Vec<_>>());
    }
}

/// None if the caller has ended.
fn dialled(
    journal: &AccountJournal,
    call: CallId,
    party: &Arc<Party>,
    event: &Arc<DialEvent>,
) -> Option<NewEvent> {
    let (party, event) = (party.clone(), event.clone());
    let what = AccountEvent::Dial { call, call_sequence: journal.number(call)?, party, event };
    let at = wall_clock();
    Some(NewEvent { at, callback: EventCallback::of(&what), what })
}

fn conference(
    journal: &AccountJournal,
    at: SystemTime,
    room: &Arc<Incarnation>,
    notice: &Notice,
) -> NewEvent {
    let who = notice.event.who();
    let call_sequence = who.and_then(|it| journal.number(it.call));
    if let ConferenceEvent::Entered { who, .. } = &notice.event {
        let mut live = journal.live.lock();
        live.get_mut(who.call).into_iter().for_each(|it| it.conference = Some(room.clone()));
    }
    let (room, notice) = (room.clone(), notice.clone());
    let what = AccountEvent::Conference { room, notice, call_sequence };
    NewEvent { at, callback: EventCallback::of(&what), what }
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
                let cdr = Arc::new(live.into_cdr(age, account.clone(), call, ending, detail));
                let status = cdr.status();
                return Some(CallUpdate { status, at, call_sequence, cdr: Some(cdr) });
            }
            call::CallEvent::Rang => live.status = CallStatus::Ringing,
        }
        Some(CallUpdate { status: live.status, at, call_sequence, cdr: None })
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
