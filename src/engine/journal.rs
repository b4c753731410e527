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

use super::{registry::Trace, trace_log::Tracer};
use crate::{
    accounts::Accounts,
    base::{
        call_map::ByCall,
        ids::{AccountId, CallId, Dialect, Incarnation},
        traceparent::Traceparent,
    },
    call::{self, CallStatus, Hook, Party},
    cdr::{Draft, Record, Records},
    conference::{self, Notice},
    events::{
        Happening, InCall, fields,
        log::{Cursor, Event, Filter, Log, Page},
    },
    fetch::{Target, signature::Field},
    media::Ending,
    trace,
    webhooks::{
        delivery::{Lane, Owner},
        dispatcher::{Callback, Callbacks, Fields},
    },
};

/// The journals of every account.
pub struct Journal {
    /// Of those who have had a call, or have looked: no more than there are accounts.
    books: RwLock<HashMap<AccountId, Arc<Book>>>,
    epoch: u64,
    /// Ages are counted from then.
    opened: Instant,
    accounts: Arc<Accounts>,
    callbacks: Callbacks,
    records: Arc<dyn Records>,
    tracer: Tracer,
}

/// One account's.
struct Book {
    log: Mutex<Log<Happening>>,
    /// Wakes whoever reads the log.
    more: watch::Sender<()>,
    live: Mutex<ByCall<Live>>,
}

/// A call that is up.
#[derive(Clone, Debug)]
pub struct Live {
    /// Who speaks with whom.
    pub party: Arc<Party>,
    /// How far it has come.
    pub status: CallStatus,
    /// By the journal's age, in nanoseconds.
    since: u64,
    /// Nanoseconds from then to the answer, and one more, so that none takes no room.
    answered: Option<NonZeroU64>,
    draft: Option<Draft>,
    /// So many events were about it.
    events: InCall,
}

// A million calls are up on one machine.
const _: () = assert!(size_of::<Live>() <= 40);

/// What comes of news of a call.
struct Kept {
    status: CallStatus,
    at: SystemTime,
    /// Its place among the call's events.
    in_call: InCall,
    record: Option<Over>,
}

/// A call that is over.
struct Over {
    record: Arc<Record>,
    draft: Option<Draft>,
}

impl Journal {
    /// Empty journals. `began_at` sets the events of this process apart from those of the last.
    pub fn new(
        began_at: SystemTime,
        accounts: Arc<Accounts>,
        callbacks: Callbacks,
        records: Arc<dyn Records>,
    ) -> Self {
        let epoch = began_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let epoch = u64::try_from(epoch.as_millis()).unwrap_or_default();
        Self {
            books: RwLock::default(),
            epoch,
            opened: Instant::now(),
            accounts,
            callbacks,
            records,
            tracer: Tracer::new(),
        }
    }

    /// Takes in what a house tells.
    pub fn note(&self, trace: &Trace) {
        self.tracer.note(trace);
        match trace {
            Trace::Call { account, call, party, news } => self.call(account, *call, party, *news),
            Trace::Notice { room, notice } => self.conference(room, notice),
            Trace::Began { .. } | Trace::Fetching { .. } | Trace::Left { .. } => (),
            Trace::PassedOn { .. } | Trace::Refused { .. } => (),
            Trace::Remarked { .. } | Trace::Requested { .. } => (),
        }
    }

    /// What an account's log has behind a cursor.
    pub fn read(
        &self,
        account: &AccountId,
        cursor: Cursor,
        filter: &Filter,
        events_max: usize,
    ) -> Page<Happening> {
        self.book(account).log.lock().read(cursor, filter, events_max)
    }

    /// Is marked as changed by every event of the account.
    pub fn more(&self, account: &AccountId) -> watch::Receiver<()> {
        self.book(account).more.subscribe()
    }

    /// A call of an account that is up.
    pub fn live_call(&self, account: &AccountId, call: CallId) -> Option<Live> {
        self.book(account).live.lock().get(call).cloned()
    }

    /// The calls of an account that are up, in the order of their ids.
    pub fn live_calls(&self, account: &AccountId) -> Vec<(CallId, Live)> {
        let book = self.book(account);
        let live = book.live.lock();
        let calls = live.calls().into_iter();
        calls.filter_map(|call| Some((call, live.get(call)?.clone()))).collect()
    }

    /// How many there are.
    pub fn live_count(&self, account: &AccountId) -> usize {
        self.book(account).live.lock().len()
    }

    /// Whose a call is; None of one that is not known, or not any more.
    pub fn account_of(&self, call: CallId) -> Option<AccountId> {
        self.tracer.account_of(call)
    }

    /// What a call of an account has done, step by step; None of one that is not known, or not any
    /// more: of those that are over, the last [`trace::ENDED_MAX`] are kept.
    pub fn trace(&self, account: &AccountId, call: CallId) -> Option<trace::Trace> {
        self.tracer.show(account, call)
    }

    /// Calls that are over.
    pub fn records(&self) -> &Arc<dyn Records> {
        &self.records
    }

    fn book(&self, account: &AccountId) -> Arc<Book> {
        if let Some(book) = self.books.read().get(account) {
            return book.clone();
        }
        let new = || Book {
            log: Mutex::new(Log::new(self.epoch)),
            more: watch::Sender::new(()),
            live: Mutex::default(),
        };
        self.books.write().entry(account.clone()).or_insert_with(|| Arc::new(new())).clone()
    }

    fn call(&self, account: &AccountId, call: CallId, party: &Arc<Party>, news: call::News) {
        let book = self.book(account);
        let age = u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let Some(kept) = book.keep(age, account, call, party, news) else { return };
        let Kept { status, at, in_call, record } = kept;
        if news == call::News::Answered {
            let draft = self.records.answered(account, call, party, at);
            book.live.lock().get_mut(call).into_iter().for_each(|it| it.draft = draft);
        }
        let record = record.map(|Over { record, draft }| {
            self.records.add(record.clone(), draft);
            record
        });

        let session = &party.session;
        let what = Happening::Call { call, in_call, party: party.clone(), status, news, record };
        let event = book.append(at, what);
        let hook = match news {
            call::News::Ended(_) => session.details().and_then(|it| it.hangup.as_ref()),
            call::News::Rang => session.details().and_then(|it| it.ring.as_ref()),
            call::News::Answered | call::News::Begun => None,
        };
        if let Some(Hook { url, method }) = hook {
            let lane = Lane { owner: Owner::Call(call), url: url.clone(), by_call: None };
            let trace = session.trace(call);
            let told = Told { account: account.clone(), dialect: party.dialect, trace, event };
            self.queue(lane, in_call.get().into(), *method, told);
        }
    }

    fn conference(&self, room: &Arc<Incarnation>, notice: &Notice) {
        let account = &room.key.account;
        let book = self.book(account);
        let who = notice.news.who();
        let in_call = who.map(|it| book.number(it.call));
        let what = Happening::Conference { room: room.clone(), notice: notice.clone(), in_call };
        let event = book.append(super::inbound::wall(), what);

        let Some(who) = who else { return };
        let is_floor = matches!(notice.news, conference::News::FloorTaken { .. });
        let Some(callback) = &who.entry.callback else { return };
        if is_floor && !who.entry.tells_floor {
            return;
        }
        let by_call = callback.by_call.then_some(who.call);
        let lane = Lane { owner: Owner::Room(room.id), url: callback.url.clone(), by_call };
        let dialect = who.party.dialect;
        let trace = who.party.session.trace(who.call);
        let told = Told { account: account.clone(), dialect, trace, event };
        self.queue(lane, notice.sequence, callback.method, told);
    }

    fn queue(&self, lane: Lane, sequence: u64, method: crate::flow::Method, told: Told) {
        let target = match Target::parse(&lane.url) {
            Ok(target) => Arc::new(target),
            Err(error) => {
                let owner = lane.owner;
                return tracing::warn!(%owner, sequence, "a callback has nowhere to go: {error}");
            }
        };
        let (dialect, signer) = (told.dialect, self.accounts.signer(&told.account, told.dialect));
        let fields = Arc::new(told);
        self.callbacks.send(Callback { lane, sequence, target, method, dialect, signer, fields });
    }
}

impl Book {
    fn append(&self, at: SystemTime, what: Happening) -> Arc<Event<Happening>> {
        let event = self.log.lock().append(at, what);
        // Who comes to read after this reads it.
        if 0 < self.more.receiver_count() {
            self.more.send_replace(());
        }
        event
    }

    /// Numbers one more event of a call. It is in one place at a time, and told of from there, so
    /// its events are appended as they are numbered.
    fn number(&self, call: CallId) -> InCall {
        self.live.lock().get_mut(call).map_or(InCall::MIN, Live::number)
    }

    /// Keeps the list of live calls. None for one that nobody has heard of.
    fn keep(
        &self,
        age: u64,
        account: &AccountId,
        call: CallId,
        party: &Arc<Party>,
        news: call::News,
    ) -> Option<Kept> {
        let mut calls = self.live.lock();
        if news == call::News::Begun {
            let status = match party.direction {
                call::Direction::Inbound => CallStatus::Ringing,
                call::Direction::Outbound => CallStatus::Queued,
            };
            let (party_, since) = (party.clone(), age);
            let live = Live {
                party: party_,
                status,
                since,
                answered: None,
                draft: None,
                events: InCall::MIN,
            };
            calls.insert(call, live);
            let (at, in_call) = (party.session.began_at, InCall::MIN);
            return Some(Kept { status, at, in_call, record: None });
        }

        let live = calls.get_mut(call)?;
        let at = live.wall(age);
        let in_call = live.number();
        match news {
            call::News::Answered => {
                live.answered =
                    Some(NonZeroU64::MIN.saturating_add(age.saturating_sub(live.since)));
                live.status = CallStatus::InProgress;
            }
            call::News::Begun => (),
            call::News::Ended(ending) => {
                let live = calls.remove(call)?;
                let draft = live.draft;
                let record = Arc::new(live.record(age, account.clone(), call, ending));
                let (status, record) = (record.status(), Some(Over { record, draft }));
                return Some(Kept { status, at, in_call, record });
            }
            call::News::Rang => live.status = CallStatus::Ringing,
        }
        Some(Kept { status: live.status, at, in_call, record: None })
    }
}

impl Live {
    fn number(&mut self) -> InCall {
        self.events = self.events.saturating_add(1);
        self.events
    }

    /// What the clock on the wall says, as far as this call goes: it never jumps.
    fn wall(&self, age: u64) -> SystemTime {
        self.party.session.began_at + Duration::from_nanos(age.saturating_sub(self.since))
    }

    fn record(self, age: u64, account: AccountId, call: CallId, ending: Ending) -> Record {
        let offset = |it: NonZeroU64| Duration::from_nanos(it.get() - 1);
        let answered_at = self.answered.map(|it| self.party.session.began_at + offset(it));
        let ended_at = self.wall(age);
        let sound = OnceLock::new();
        Record { account, call, party: self.party, answered_at, ended_at, ending, sound }
    }
}

/// An event on its way to a URL: it is put into words when it is sent.
#[derive(Debug)]
struct Told {
    account: AccountId,
    dialect: Dialect,
    trace: Traceparent,
    event: Arc<Event<Happening>>,
}

impl Fields for Told {
    fn fields(&self) -> Vec<Field> {
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
