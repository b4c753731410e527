//! What a simulated house reaches: phones, documents, ids, and a clock that stands still.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;

use super::{Script, Shelf, documents::Web, report::Note};
use crate::{
    base::ids::{AccountId, CallId, ConferenceName, MemberId, RoomId},
    call::News,
    conference::{self, Settings},
    documents::{Done, Fetch, Library, LocalFlow, Reader},
    engine::{
        ban_list::Doors,
        registry::{House, Links, Trace},
        scheduler::Turns,
        trace_log,
    },
    flow::Fetched,
    media::{Backend, Order},
    sim_phones::{self, Phones},
    store::MemberIds,
    trace::Traces,
};

/// All that is outside of the house.
pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) phones: Mutex<Phones>,
    pub(super) due: Mutex<Vec<Due>>,
    pub(super) seen: Mutex<Seen>,
    script: Arc<Script>,
    shelf: Arc<Shelf>,
    web: Mutex<Web>,
    member_last: AtomicU64,
}

/// Virtual time.
pub(super) struct Clock {
    start: Instant,
    ms: AtomicU64,
}

/// A document on its way.
pub(super) struct Due {
    pub(super) at_ms: u64,
    pub(super) fetch: Fetch,
    pub(super) done: Done,
    pub(super) fetched: Fetched,
}

/// What has been seen.
pub(super) struct Seen {
    pub(super) traces: Traces,
    pub(super) notes: Vec<Note>,
    pub(super) members: BTreeMap<CallId, (ConferenceName, MemberId)>,
    /// Who each member is, or was.
    pub(super) callers: BTreeMap<MemberId, CallId>,
    pub(super) ends: BTreeMap<CallId, u64>,
}

impl World {
    pub(super) fn new(script: Arc<Script>, shelf: Arc<Shelf>) -> Self {
        let seen = Seen {
            traces: Traces::new(usize::MAX),
            notes: Vec::new(),
            members: BTreeMap::new(),
            callers: BTreeMap::new(),
            ends: BTreeMap::new(),
        };
        Self {
            clock: Clock::new(),
            phones: Mutex::new(Phones::new(sim_phones::Settings::default())),
            due: Mutex::default(),
            seen: Mutex::new(seen),
            script,
            shelf,
            web: Mutex::default(),
            member_last: AtomicU64::new(0),
        }
    }

    /// A house in this world; its actors come to the turns.
    pub(super) fn house(self: &Arc<Self>, turns: &Turns) -> Arc<House> {
        let room_last = AtomicU64::new(0);
        let links = Links {
            media: self.clone(),
            library: self.clone(),
            doors: Arc::new(Doors::in_memory(self.clock.now(), SystemTime::UNIX_EPOCH)),
            member_ids: self.clone(),
            room_id: Box::new(move || {
                RoomId::of((room_last.fetch_add(1, Ordering::Relaxed) + 1).into())
            }),
            trace: Box::new({
                let world = self.clone();
                move |told| world.see(&told)
            }),
            stage: Box::new(turns.door()),
        };
        House::new(Settings::default(), links)
    }

    pub(super) fn note(&self, what: String) {
        let at_ms = self.clock.ms();
        self.seen.lock().notes.push(Note { at_ms, what, answer: None, api_id: None });
    }

    /// The caller whose call it is.
    pub(super) fn name(&self, call: CallId) -> &str {
        let n = usize::try_from(call.0.as_u128()).unwrap_or_default();
        n.checked_sub(1).and_then(|n| self.script.callers.get(n)).map_or("nobody", |it| &it.name)
    }

    fn see(&self, told: &Trace) {
        trace_log::note(&mut self.seen.lock().traces, self.clock.now(), told);
        let mut note = None;
        match told {
            Trace::Call { call, news: News::Ended(_), .. } => {
                self.seen.lock().ends.insert(*call, self.clock.ms());
            }
            Trace::PassedOn { call } => {
                note = Some(format!(
                    "{} comes as the conference ends: on to the next",
                    self.name(*call)
                ));
            }
            Trace::Notice { room, notice } => note = self.hear(&room.key.name, &notice.news),
            Trace::Began { .. } | Trace::Call { .. } | Trace::Fetching { .. } => (),
            Trace::Left { .. } | Trace::Refused { .. } => (),
            Trace::Remarked { .. } | Trace::Requested { .. } => (),
        }
        if let Some(note) = note {
            self.note(note);
        }
    }

    fn hear(&self, name: &ConferenceName, news: &conference::News) -> Option<String> {
        let mut seen = self.seen.lock();
        match news {
            conference::News::Entered { who, .. } => {
                seen.members.insert(who.call, (name.clone(), who.member));
                seen.callers.insert(who.member, who.call);
                Some(format!("{name}: {} enters as member {}", self.name(who.call), who.member))
            }
            conference::News::Exited { who, cause, .. } => {
                seen.members.remove(&who.call);
                Some(format!("{name}: {} leaves: {}", self.name(who.call), cause.text()))
            }
            conference::News::DigitsMatched { who, digits } => {
                Some(format!("{name}: {} has typed {digits}", self.name(who.call)))
            }
            conference::News::FloorTaken { .. } => None,
            conference::News::Over => Some(format!("{name}: is over")),
            conference::News::Started => Some(format!("{name}: has started")),
        }
    }
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "a place to start; any will do")]
    fn new() -> Self {
        Self { start: Instant::now(), ms: AtomicU64::new(0) }
    }

    pub(super) fn ms(&self) -> u64 {
        self.ms.load(Ordering::Relaxed)
    }

    pub(super) fn now(&self) -> Instant {
        self.at(self.ms())
    }

    pub(super) fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    pub(super) fn set(&self, ms: u64) {
        debug_assert!(self.ms() <= ms, "time runs forwards");
        self.ms.store(ms, Ordering::Relaxed);
    }

    /// The first whole millisecond that is not before.
    pub(super) fn ms_of(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.start).as_nanos().div_ceil(1_000_000);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

impl Backend for World {
    fn send(&self, order: Order) {
        let now = self.clock.now();
        let mut phones = self.phones.lock();
        if let Order::Dial { call, account, from, to, .. } = &order {
            phones.call(now, *call, account, from, to);
        }
        phones.order(now, &order);
    }
}

impl Library for World {
    fn fetch(&self, fetch: Fetch, done: Done) {
        let (name, url) = (self.name(fetch.call), &fetch.request.url);
        if fetch.reader == Reader::Nobody {
            return self.note(format!("{name} tells {url}"));
        }
        let (after_ms, fetched) = match url.strip_prefix("flow:") {
            Some(name) => (0, self.shelf.fetched(name, fetch.party.dialect)),
            None => self.web.lock().get(&self.script.documents, &fetch.request),
        };
        let mut note = format!("{name} asks {url}");
        if let Err(missing) = &fetched {
            note += &format!(": {missing}");
        }
        self.note(note);
        let at_ms = self.clock.ms() + after_ms;
        self.due.lock().push(Due { at_ms, fetch, done, fetched });
    }

    fn local(&self, flow: &LocalFlow) -> Option<Fetched> {
        self.shelf.flow(&flow.name, flow.dialect)
    }
}

impl MemberIds for World {
    fn next(&self, _: &AccountId) -> MemberId {
        MemberId(self.member_last.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
