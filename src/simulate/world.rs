//! Simulated world: phones, documents, ids and the virtual clock of a registry.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;

use super::{
    Script, SimulatedFlows,
    documents::SimulatedWeb,
    note::Note,
    recordings::{self, SimulatedFiles, number},
};
use crate::{
    base::ids::{AccountId, CallId, ConferenceName, MemberId, RoomId},
    call::CallEvent,
    conference::{self, DialEvent, DialStep, Settings},
    documents::{DocumentFetch, DocumentRecipient, DocumentStore, LocalFlow, OnDocument},
    engine::{
        ban_list::BanList,
        recordings::{RecordingPorts, Recordings},
        registry::{Observed, Registry, RegistryPorts},
        scheduler::Scheduler,
        trace_log,
    },
    flow::{DocumentError, Fetched, Flow, Purpose, is_audio_name, is_target},
    media::{AudioEngine, AudioOrder, CannotDial, SignallingBackend, SignallingOrder},
    recording::store::StoredRecordings,
    sim_phones::{self, PhoneTable},
    store::MemberIdSource,
    trace::Traces,
};

/// Everything outside of the registry.
pub(super) struct SimulatedWorld {
    pub(super) clock: VirtualClock,
    pub(super) phones: Mutex<PhoneTable>,
    pub(super) due: Mutex<Vec<DueDocument>>,
    pub(super) seen: Mutex<Seen>,
    pub(super) files: Arc<SimulatedFiles>,
    script: Arc<Script>,
    flows: Arc<SimulatedFlows>,
    web: Mutex<SimulatedWeb>,
    member_last: AtomicU64,
}

/// Clock that advances only when the run sets it.
pub(super) struct VirtualClock {
    start: Instant,
    ms: AtomicU64,
}

/// A fetch whose response is due at a known time.
pub(super) struct DueDocument {
    pub(super) at_ms: u64,
    pub(super) fetch: DocumentFetch,
    pub(super) done: OnDocument,
    pub(super) fetched: Fetched,
}

/// Observations that become the report.
pub(super) struct Seen {
    pub(super) traces: Traces,
    pub(super) notes: Vec<Note>,
    pub(super) members: BTreeMap<CallId, (ConferenceName, MemberId)>,
    /// Calls of all current and former members.
    pub(super) callers: BTreeMap<MemberId, CallId>,
    pub(super) ends: BTreeMap<CallId, u64>,
}

impl SimulatedWorld {
    pub(super) fn new(script: Arc<Script>, flows: Arc<SimulatedFlows>) -> Self {
        let seen = Seen {
            traces: Traces::new(usize::MAX),
            notes: Vec::new(),
            members: BTreeMap::new(),
            callers: BTreeMap::new(),
            ends: BTreeMap::new(),
        };
        Self {
            clock: VirtualClock::new(),
            phones: Mutex::new(PhoneTable::new(sim_phones::Settings::default())),
            due: Mutex::default(),
            seen: Mutex::new(seen),
            files: Arc::default(),
            script,
            flows,
            web: Mutex::default(),
            member_last: AtomicU64::new(0),
        }
    }

    /// Creates a registry in this world; the scheduler gets its actors.
    pub(super) fn registry(self: &Arc<Self>, scheduler: &Scheduler) -> Arc<Registry> {
        let (room_last, callee_last) = (AtomicU64::new(0), AtomicU64::new(0));
        let links = RegistryPorts {
            media: self.clone(),
            documents: self.clone(),
            ban_list: Arc::new(BanList::in_memory(self.clock.now(), SystemTime::UNIX_EPOCH)),
            member_ids: self.clone(),
            room_id: Box::new(move || {
                RoomId::of((room_last.fetch_add(1, Ordering::Relaxed) + 1).into())
            }),
            call_id: Box::new(move || {
                CallId::of((CALLEES_FROM + callee_last.fetch_add(1, Ordering::Relaxed)).into())
            }),
            observer: Box::new({
                let world = self.clone();
                move |event| event.events().iter().for_each(|it| world.observe(it))
            }),
            spawner: Box::new(scheduler.spawner()),
        };
        Registry::new(Settings::default(), links)
    }

    /// Has a registry keep recordings in this world.
    pub(super) fn recordings(self: &Arc<Self>, registry: &Arc<Registry>) -> Arc<Recordings> {
        let (clock, ids) = (self.clone(), self.files.clone());
        let ports = RecordingPorts {
            store: Arc::new(StoredRecordings::in_memory()),
            files: self.files.clone(),
            audio_url: Box::new(|_, it| format!("recording {}", number(it.id))),
            new_id: Box::new(move || ids.new_id()),
            recordings_max: RECORDINGS_MAX,
            clock: Box::new(move || clock.clock.now()),
        };
        registry.keep_recordings(ports).clone()
    }

    pub(super) fn note(&self, what: String) {
        let at_ms = self.clock.ms();
        self.seen.lock().notes.push(Note { at_ms, what, answer: None, api_id: None });
    }

    /// Name of the caller whose call this is.
    pub(super) fn name(&self, call: CallId) -> &str {
        let n = usize::try_from(call.0.as_u128()).unwrap_or_default();
        n.checked_sub(1).and_then(|n| self.script.callers.get(n)).map_or("nobody", |it| &it.name)
    }

    fn observe(&self, event: &Observed) {
        trace_log::note(&mut self.seen.lock().traces, self.clock.now(), event);
        let mut note = None;
        match event {
            Observed::Call { call, event: CallEvent::Ended(_), .. } => {
                self.seen.lock().ends.insert(*call, self.clock.ms());
            }
            Observed::Requeued { call } => {
                note = Some(format!(
                    "{} arrives as the conference ends: goes to the next one",
                    self.name(*call)
                ));
            }
            Observed::Notice { room, notice } => {
                note = self.observe_conference(&room.key.name, &notice.event);
            }
            Observed::Dialled { call, event, .. } => {
                let caller = (event.callee.call != *call).then(|| self.name(*call));
                note = Some(callee_note(caller, self.name(event.callee.call), event));
            }
            Observed::Began { .. } | Observed::Call { .. } | Observed::Resumed { .. } => (),
            Observed::Fetched { .. } | Observed::Fetching { .. } => (),
            Observed::Attempted { .. } | Observed::PassedOver { .. } => (),
            Observed::Left { .. } | Observed::Refused { .. } => (),
            Observed::Recording { event, .. } => {
                recordings::notes(event, |it| self.name(it))
                    .into_iter()
                    .for_each(|it| self.note(it));
            }
            Observed::RecordingChanged { .. } => (),
            Observed::Turn(_) => unreachable!("it comes event by event"),
            Observed::Warned { .. } | Observed::Requested { .. } => (),
        }
        if let Some(note) = note {
            self.note(note);
        }
    }

    fn observe_conference(
        &self,
        name: &ConferenceName,
        event: &conference::ConferenceEvent,
    ) -> Option<String> {
        let mut seen = self.seen.lock();
        match event {
            conference::ConferenceEvent::Entered { who, .. } => {
                seen.members.insert(who.call, (name.clone(), who.member));
                seen.callers.insert(who.member, who.call);
                Some(format!("{name}: {} enters as member {}", self.name(who.call), who.member))
            }
            conference::ConferenceEvent::Exited { who, cause, .. } => {
                seen.members.remove(&who.call);
                Some(format!("{name}: {} leaves: {}", self.name(who.call), cause.text()))
            }
            conference::ConferenceEvent::DigitsMatched { who, digits } => {
                Some(format!("{name}: {} has typed {digits}", self.name(who.call)))
            }
            conference::ConferenceEvent::FloorTaken { .. } => None,
            conference::ConferenceEvent::Over => Some(format!("{name}: is over")),
            conference::ConferenceEvent::Started => Some(format!("{name}: has started")),
        }
    }
}

impl VirtualClock {
    #[expect(clippy::disallowed_methods, reason = "the start of virtual time; any instant will do")]
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

    /// The first whole millisecond that is not before `at`.
    pub(super) fn ms_of(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.start).as_nanos().div_ceil(1_000_000);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

/// Recordings of a simulation at a time.
const RECORDINGS_MAX: usize = 1_000;

/// The ids of callees begin here; those of callers are below.
const CALLEES_FROM: u64 = 1 << 32;

/// A destination that is no simulated phone rings this long and answers.
const CALLEE: &str = "sim:callee?ring_ms=2000";

/// What happened to a callee: of a caller's `<Dial>`, or of a request if there is no caller.
fn callee_note(caller: Option<&str>, callee: &str, event: &DialEvent) -> String {
    let to = &event.callee.party.to;
    let who = match caller {
        Some(caller) => format!("{caller} dials {to}:"),
        None => callee.to_owned(),
    };
    match &event.step {
        DialStep::Answered => format!("{who} answers"),
        DialStep::Connected => format!("{who} is connected"),
        DialStep::Digits { digits, by_caller: true } => {
            format!("{} has typed {digits}", caller.unwrap_or(callee))
        }
        DialStep::Digits { digits, by_caller: false } => format!("{to} has typed {digits}"),
        DialStep::Ended { ending, .. } => format!("{who} ends: {}", ending.cause.name()),
    }
}

impl SignallingBackend for SimulatedWorld {
    fn can_dial(&self, _: &AccountId, to: &str) -> Result<(), CannotDial> {
        match to.starts_with("sim:") {
            true => sim_phones::check_address(to),
            false => Ok(()),
        }
    }

    fn signal(&self, mut order: SignallingOrder) {
        if let SignallingOrder::Dial { dialling, .. } = &mut order
            && !dialling.to.starts_with("sim:")
        {
            Arc::make_mut(dialling).to = CALLEE.into();
        }
        self.phones.lock().signal(self.clock.now(), &order);
    }
}

impl AudioEngine for SimulatedWorld {
    fn send(&self, order: AudioOrder) {
        self.phones.lock().order(self.clock.now(), &order);
    }
}

impl DocumentStore for SimulatedWorld {
    fn fetch(&self, fetch: DocumentFetch, done: OnDocument) {
        let (name, url) = (self.name(fetch.call), &fetch.request.url);
        if fetch.recipient == DocumentRecipient::Nobody {
            return self.note(format!("{name} tells {url}"));
        }
        let (after_ms, fetched) = match url.strip_prefix("flow:") {
            Some(name) => (0, self.flows.fetched(name, fetch.party.dialect)),
            None if !is_target(url) => (0, Err(DocumentError::NotUrl(url.clone()))),
            None => self.web.lock().get(&self.script.documents, &fetch.request),
        };
        // A sound file instead of a sound document is played.
        let is_file = fetch.request.purpose == Purpose::Sound && is_audio_name(url);
        let fetched = match fetched {
            Err(_) if is_file => Ok(Arc::new(Flow::playing(url, fetch.party.dialect))),
            fetched => fetched,
        };
        let mut note = format!("{name} asks {url}");
        if let Err(missing) = &fetched {
            note += &format!(": {missing}");
        }
        self.note(note);
        let at_ms = self.clock.ms() + after_ms;
        self.due.lock().push(DueDocument { at_ms, fetch, done, fetched });
    }

    fn local(&self, flow: &LocalFlow) -> Option<Fetched> {
        self.flows.flow(&flow.name, flow.dialect)
    }
}

impl MemberIdSource for SimulatedWorld {
    fn next(&self, _: &AccountId) -> Option<MemberId> {
        Some(MemberId(self.member_last.fetch_add(1, Ordering::Relaxed) + 1))
    }
}
