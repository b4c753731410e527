//! Test bench: a registry on the current runtime with a log of everything that it does.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use conflow::{
    base::ids::{AccountId, CallId, Dialect, MemberId, RoomId, RoomKey, Trusted},
    call::{self, Call, CallDirection, CallSession, Party},
    conference::{Ask, ConferenceAnswer, ConferenceEvent, Kick, MemberSelector, Outcome, Settings},
    documents::{DocumentFetch, DocumentStore, LocalFlow, OnDocument},
    engine::{
        ban_list::BanList,
        registry::{AskError, Observed, Registry, RegistryPorts, TokioSpawner},
    },
    flow::{Cause, DocumentError, Fetched, Flow},
    media::{
        AudioEngine, AudioOrder, Backend, LegEvent, Report, SignallingBackend, SignallingOrder,
        SoundKind,
    },
    store::MemberIdSource,
};
use parking_lot::Mutex;
use tokio::time::Instant;

/// A registry and the log of what it has done.
pub(crate) struct Bench {
    pub(crate) registry: Arc<Registry>,
    log: Arc<Mutex<Vec<String>>>,
    started: Arc<AtomicBool>,
    call_last: u128,
}

/// Settings with limits that tests do not reach.
pub(crate) fn settings() -> Settings {
    Settings { members_max: 2_000, ..Settings::default() }
}

impl Bench {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::with(settings, |log| Arc::new(LoggingBackend(log)))
    }

    /// A bench with its own media backend, which may write to the log.
    pub(crate) fn with(
        settings: Settings,
        media: impl FnOnce(Arc<Mutex<Vec<String>>>) -> Arc<dyn Backend>,
    ) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let started = Arc::new(AtomicBool::new(false));
        let room_last = AtomicU64::new(0);
        let links = RegistryPorts {
            media: media(log.clone()),
            documents: Arc::new(TestDocuments(log.clone())),
            ban_list: Arc::new(BanList::in_memory(
                Instant::now().into_std(),
                SystemTime::UNIX_EPOCH,
            )),
            member_ids: Arc::new(Counter::default()),
            room_id: Box::new(move || {
                RoomId::of((room_last.fetch_add(1, Ordering::Relaxed) + 1).into())
            }),
            call_id: callee_ids(),
            observer: Box::new({
                let log = log.clone();
                let started = started.clone();
                move |observed| {
                    observed.each(|trace| {
                        if let Observed::Notice { notice, .. } = &trace {
                            let is_start = notice.event == ConferenceEvent::Started;
                            started.fetch_or(is_start, Ordering::Relaxed);
                        }
                        log.lock().extend(brief(trace));
                    });
                }
            }),
            spawner: Box::new(TokioSpawner),
        };
        Self { registry: Registry::new(settings, links), log, started, call_last: 0 }
    }

    /// A call that enters a room for at most a minute, and speaks when it has left.
    pub(crate) fn call(&mut self, room: &str) -> CallId {
        self.run(&format!("<Conference timeLimit='60'>{room}</Conference><Speak>bye</Speak>"))
    }

    pub(crate) fn calls(&mut self, n: usize, room: &str) {
        for _ in 0..n {
            self.call(room);
        }
    }

    /// A call of the account `MA1` that runs these elements.
    pub(crate) fn run(&mut self, elements: &str) -> CallId {
        self.run_as(None, elements)
    }

    /// [`run`](Self::run) for a caller whom the engine trusts to be this person.
    pub(crate) fn run_as(&mut self, trusted: Option<Trusted>, elements: &str) -> CallId {
        self.call_last += 1;
        self.run_nth(self.call_last, trusted, elements)
    }

    /// [`run_as`](Self::run_as) with a call number of the test's choice.
    pub(crate) fn run_nth(&self, n: u128, trusted: Option<Trusted>, elements: &str) -> CallId {
        let id = CallId::of(n);
        let party = Party {
            from: "14155550100".into(),
            to: "weekly".into(),
            caller_name: "Anna".into(),
            direction: CallDirection::Inbound,
            dialect: Dialect::Plivo,
            trusted: trusted.map(Box::new),
            session: CallSession::at(SystemTime::UNIX_EPOCH),
        };
        let now = Instant::now().into_std();
        let limit = Duration::from_secs(14_400);
        let call = Call::new(now, id, account(), Arc::new(party), limit);
        self.registry.begin(now, call, "flow:weekly", flow(elements));
        id
    }

    /// The far end of a call presses a key.
    pub(crate) fn press(&self, call: CallId, key: char) {
        self.registry.report(Report { call, event: LegEvent::Digit(key) });
    }

    /// Whether a room has started since the last look at the log.
    pub(crate) fn is_started(&self) -> bool {
        self.started.swap(false, Ordering::Relaxed)
    }

    /// Lets all other tasks run until they wait.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    pub(crate) async fn kick(
        &self,
        room: &str,
        who: MemberSelector,
    ) -> Result<Vec<MemberId>, AskError> {
        self.ask(room, Ask::Kick { who, kick: Kick::default() }).await
    }

    pub(crate) async fn ask(&self, room: &str, ask: Ask) -> Result<Vec<MemberId>, AskError> {
        let answer = self.registry.ask(&key(room), ask)?.await;
        members(answer.map_err(|_| AskError::Gone)?)
    }

    /// The log since the last call of this function.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock())
    }

    /// Ends all calls, because a live call must not be dropped.
    pub(crate) async fn close(self) {
        self.registry.close();
        for _ in 0..200 {
            self.settle().await;
            let calls = self.registry.calls();
            if calls.is_empty() {
                return;
            }
            calls.iter().for_each(|call| self.registry.hang_up(*call, Cause::HungUpByApi));
        }
        panic!("live calls are left: {:?}", self.registry.calls());
    }
}

pub(crate) fn members(outcome: Outcome) -> Result<Vec<MemberId>, AskError> {
    match outcome? {
        ConferenceAnswer::Departures(departures) => {
            Ok(departures.iter().map(|it| it.member).collect())
        }
        ConferenceAnswer::Members(members) | ConferenceAnswer::Banned { members, .. } => {
            Ok(members)
        }
        ConferenceAnswer::Callee(_) => unreachable!("no callee was asked for"),
        ConferenceAnswer::Roster(roster) => Ok(roster.members.iter().map(|it| it.member).collect()),
    }
}

pub(crate) fn account() -> AccountId {
    "MA1".parse().unwrap()
}

fn flow(elements: &str) -> Fetched {
    let document = format!("<Response>{elements}</Response>");
    Ok(Arc::new(Flow::parse(&document, Dialect::Plivo).unwrap()))
}

/// Ids of the calls that a `<Dial>` makes: from a million on.
pub(crate) fn callee_ids() -> Box<dyn Fn() -> CallId + Send + Sync> {
    let last = AtomicU64::new(1_000_000);
    Box::new(move || CallId::of((last.fetch_add(1, Ordering::Relaxed) + 1).into()))
}

/// Member ids per account, in memory.
#[derive(Default)]
pub(crate) struct Counter(Mutex<BTreeMap<AccountId, u64>>);

impl MemberIdSource for Counter {
    fn next(&self, account: &AccountId) -> Option<MemberId> {
        let mut counts = self.0.lock();
        let count = counts.entry(account.clone()).or_default();
        *count += 1;
        Some(MemberId(*count))
    }
}

/// Serves one document at once. Every other document never arrives.
struct TestDocuments(Arc<Mutex<Vec<String>>>);

impl DocumentStore for TestDocuments {
    fn fetch(&self, fetch: DocumentFetch, done: OnDocument) {
        self.0.lock().push(format!("fetch {}", fetch.request.url));
        let fetched = match &*fetch.request.url {
            "flow:goodbye" => flow("<Speak>goodbye</Speak>"),
            "flow:slow" => return,
            _ => Err(DocumentError::Unreachable("nobody there".into())),
        };
        done(fetch, fetched, None);
    }

    fn local(&self, _: &LocalFlow) -> Option<Fetched> {
        None
    }
}

pub(crate) fn key(room: &str) -> RoomKey {
    RoomKey { account: account(), name: room.parse().unwrap() }
}

fn brief(trace: Observed) -> Option<String> {
    match trace {
        Observed::Call { call, event: call::CallEvent::Ended(ending), .. } => {
            Some(format!("call {} ended {}", n(call), ending.cause.name()))
        }
        Observed::Call { .. } => None,
        Observed::Notice { room, notice } => {
            let room = room.id.0.as_u128();
            match notice.event {
                ConferenceEvent::Entered { who, .. } => {
                    Some(format!("{} entered {room}", who.member))
                }
                ConferenceEvent::Exited { who, cause, .. } => {
                    Some(format!("{} exited {}", who.member, cause.text()))
                }
                ConferenceEvent::Over => Some(format!("{room} over")),
                ConferenceEvent::DigitsMatched { .. }
                | ConferenceEvent::FloorTaken { .. }
                | ConferenceEvent::Started => None,
            }
        }
        Observed::Turn(_) => unreachable!("it comes event by event"),
        Observed::Dialled { .. } | Observed::Recording { .. } => None,
        Observed::RecordingChanged { .. } | Observed::Resumed { .. } => None,
        Observed::Began { .. } | Observed::Left { .. } | Observed::Requeued { .. } => None,
        Observed::Attempted { .. } | Observed::Fetched { .. } | Observed::PassedOver { .. } => None,
        Observed::Fetching { .. } | Observed::Warned { .. } | Observed::Requested { .. } => None,
        Observed::Refused { call, cause } => {
            Some(format!("call {} refused {}", n(call), cause.text()))
        }
    }
}

fn n(call: CallId) -> u128 {
    call.0.as_u128()
}

/// Logs what calls hear and that they have ended.
struct LoggingBackend(Arc<Mutex<Vec<String>>>);

impl SignallingBackend for LoggingBackend {
    fn signal(&self, _: SignallingOrder) {}
}

impl AudioEngine for LoggingBackend {
    fn send(&self, order: AudioOrder) {
        let line = match order {
            AudioOrder::Remove { calls, .. } => format!("remove {}", calls.len()),
            AudioOrder::Play { call, program, .. } => {
                let text = program.iter().map(|sound| match &sound.what {
                    SoundKind::Speech { text, .. } => text.to_string(),
                    SoundKind::Beep(_) | SoundKind::Silence(_) | SoundKind::Url(_) => {
                        format!("{:?}", sound.what)
                    }
                });
                format!("call {} hears {}", n(call), text.collect::<Vec<_>>().join(", "))
            }
            AudioOrder::Announce { .. } | AudioOrder::Deafen { .. } | AudioOrder::Hush { .. } => {
                return;
            }
            AudioOrder::PlayOver { .. } | AudioOrder::StopOver { .. } | AudioOrder::Mute { .. } => {
                return;
            }
            AudioOrder::Place { .. } | AudioOrder::ToRoom { .. } => return,
            AudioOrder::Record { .. } | AudioOrder::StopRecording { .. } => return,
            AudioOrder::Prepare { .. }
            | AudioOrder::SendDigits { .. }
            | AudioOrder::PlayOn { .. }
            | AudioOrder::Stop { .. } => return,
        };
        self.0.lock().push(line);
    }
}
