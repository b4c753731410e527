//! A house on the current runtime, with everything it does written down.

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
    call::{self, Call, Direction, Party, Session},
    conference::{Answer, Ask, Kick, News, Outcome, Settings, Who},
    documents::{Done, Fetch, Library, LocalFlow},
    engine::{
        ban_list::Doors,
        registry::{AskError, House, Links, Tasks, Trace},
    },
    flow::{Cause, Fetched, Flow, Missing},
    media::{Backend, Heard, Order, Report, What},
    store::MemberIds,
};
use parking_lot::Mutex;
use tokio::time::Instant;

/// A house, and what it has done.
pub(crate) struct Bench {
    pub(crate) house: Arc<House>,
    log: Arc<Mutex<Vec<String>>>,
    started: Arc<AtomicBool>,
    call_last: u128,
}

/// Room for many.
pub(crate) fn settings() -> Settings {
    Settings { members_max: 2_000, ..Settings::default() }
}

impl Bench {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::with(settings, |log| Arc::new(Pen(log)))
    }

    /// One whose sound is carried by somebody else, who may write in its log.
    pub(crate) fn with(
        settings: Settings,
        media: impl FnOnce(Arc<Mutex<Vec<String>>>) -> Arc<dyn Backend>,
    ) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let started = Arc::new(AtomicBool::new(false));
        let room_last = AtomicU64::new(0);
        let links = Links {
            media: media(log.clone()),
            library: Arc::new(Shelf(log.clone())),
            doors: Arc::new(Doors::in_memory(Instant::now().into_std(), SystemTime::UNIX_EPOCH)),
            member_ids: Arc::new(Counter::default()),
            room_id: Box::new(move || {
                RoomId::of((room_last.fetch_add(1, Ordering::Relaxed) + 1).into())
            }),
            trace: Box::new({
                let log = log.clone();
                let started = started.clone();
                move |trace| {
                    if let Trace::Notice { notice, .. } = &trace {
                        started.fetch_or(notice.news == News::Started, Ordering::Relaxed);
                    }
                    log.lock().extend(brief(trace));
                }
            }),
            stage: Box::new(Tasks),
        };
        Self { house: House::new(settings, links), log, started, call_last: 0 }
    }

    /// A call goes into a room for a minute at most, and says something when it is out.
    pub(crate) fn call(&mut self, room: &str) -> CallId {
        self.run(&format!("<Conference timeLimit='60'>{room}</Conference><Speak>bye</Speak>"))
    }

    pub(crate) fn calls(&mut self, n: usize, room: &str) {
        for _ in 0..n {
            self.call(room);
        }
    }

    /// A call of the account `MA1` runs these elements.
    pub(crate) fn run(&mut self, elements: &str) -> CallId {
        self.run_as(None, elements)
    }

    /// The same, for somebody whom the engine trusts it to be.
    pub(crate) fn run_as(&mut self, trusted: Option<Trusted>, elements: &str) -> CallId {
        self.call_last += 1;
        self.run_nth(self.call_last, trusted, elements)
    }

    /// The same, with a number of the caller's own making.
    pub(crate) fn run_nth(&self, n: u128, trusted: Option<Trusted>, elements: &str) -> CallId {
        let id = CallId::of(n);
        let party = Party {
            from: "14155550100".into(),
            to: "weekly".into(),
            caller_name: "Anna".into(),
            direction: Direction::Inbound,
            dialect: Dialect::Plivo,
            trusted: trusted.map(Box::new),
            session: Session::at(SystemTime::UNIX_EPOCH),
        };
        let now = Instant::now().into_std();
        let limit = Duration::from_secs(14_400);
        let call = Call::new(now, id, account(), Arc::new(party), limit);
        self.house.begin(now, call, flow(elements));
        id
    }

    /// A call's far end presses a key.
    pub(crate) fn press(&self, call: CallId, key: char) {
        self.house.report(Report { call, heard: Heard::Digit(key) });
    }

    /// Whether a room has started since the last time.
    pub(crate) fn is_started(&self) -> bool {
        self.started.swap(false, Ordering::Relaxed)
    }

    /// Lets all others do what they can.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    pub(crate) async fn kick(&self, room: &str, who: Who) -> Result<Vec<MemberId>, AskError> {
        self.ask(room, Ask::Kick { who, kick: Kick::default() }).await
    }

    pub(crate) async fn ask(&self, room: &str, ask: Ask) -> Result<Vec<MemberId>, AskError> {
        let answer = self.house.ask(&key(room), ask)?.await;
        members(answer.map_err(|_| AskError::Gone)?)
    }

    /// What has happened since the last time.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock())
    }

    /// No live call may be dropped, so a test ends as a house does.
    pub(crate) async fn close(self) {
        self.house.close();
        for _ in 0..200 {
            self.settle().await;
            let calls = self.house.calls();
            if calls.is_empty() {
                return;
            }
            calls.iter().for_each(|call| self.house.hang_up(*call, Cause::HungUpByApi));
        }
        panic!("calls are left: {:?}", self.house.calls());
    }
}

pub(crate) fn members(outcome: Outcome) -> Result<Vec<MemberId>, AskError> {
    match outcome? {
        Answer::Departures(departures) => Ok(departures.iter().map(|it| it.member).collect()),
        Answer::Members(members) | Answer::Banned { members, .. } => Ok(members),
        Answer::Roster(roster) => Ok(roster.members.iter().map(|it| it.member).collect()),
    }
}

pub(crate) fn account() -> AccountId {
    "MA1".parse().unwrap()
}

fn flow(elements: &str) -> Fetched {
    let document = format!("<Response>{elements}</Response>");
    Ok(Arc::new(Flow::parse(&document, Dialect::Plivo).unwrap()))
}

/// Counts per account, in memory.
#[derive(Default)]
pub(crate) struct Counter(Mutex<BTreeMap<AccountId, u64>>);

impl MemberIds for Counter {
    fn next(&self, account: &AccountId) -> MemberId {
        let mut counts = self.0.lock();
        let count = counts.entry(account.clone()).or_default();
        *count += 1;
        MemberId(*count)
    }
}

/// Has one document, and has it at once; another never comes.
struct Shelf(Arc<Mutex<Vec<String>>>);

impl Library for Shelf {
    fn fetch(&self, fetch: Fetch, done: Done) {
        self.0.lock().push(format!("fetch {}", fetch.request.url));
        let fetched = match &*fetch.request.url {
            "flow:goodbye" => flow("<Speak>goodbye</Speak>"),
            "flow:slow" => return,
            _ => Err(Missing::Unreachable("nobody there".into())),
        };
        done(fetch, fetched);
    }

    fn local(&self, _: &LocalFlow) -> Option<Fetched> {
        None
    }
}

pub(crate) fn key(room: &str) -> RoomKey {
    RoomKey { account: account(), name: room.parse().unwrap() }
}

fn brief(trace: Trace) -> Option<String> {
    match trace {
        Trace::Call { call, news: call::News::Ended(ending), .. } => {
            Some(format!("call {} ended {}", n(call), ending.cause.name()))
        }
        Trace::Call { .. } => None,
        Trace::Notice { room, notice } => {
            let room = room.id.0.as_u128();
            match notice.news {
                News::Entered { who, .. } => Some(format!("{} entered {room}", who.member)),
                News::Exited { who, cause, .. } => {
                    Some(format!("{} exited {}", who.member, cause.text()))
                }
                News::Over => Some(format!("{room} over")),
                News::DigitsMatched { .. } | News::FloorTaken { .. } | News::Started => None,
            }
        }
        Trace::Began { .. } | Trace::Left { .. } | Trace::PassedOn { .. } => None,
        Trace::Fetching { .. } | Trace::Remarked { .. } | Trace::Requested { .. } => None,
        Trace::Refused { call, cause } => {
            Some(format!("call {} refused {}", n(call), cause.text()))
        }
    }
}

fn n(call: CallId) -> u128 {
    call.0.as_u128()
}

/// Writes down what calls hear, and that they are out.
struct Pen(Arc<Mutex<Vec<String>>>);

impl Backend for Pen {
    fn send(&self, order: Order) {
        let line = match order {
            Order::Remove { calls, .. } => format!("remove {}", calls.len()),
            Order::Play { call, program, .. } => {
                let text = program.iter().map(|sound| match &sound.what {
                    What::Speech { text, .. } => text.to_string(),
                    What::Beep(_) | What::Silence(_) | What::Url(_) => format!("{:?}", sound.what),
                });
                format!("call {} hears {}", n(call), text.collect::<Vec<_>>().join(", "))
            }
            Order::Announce { .. } | Order::Answer { .. } | Order::Deafen { .. } => return,
            Order::Dial { .. } | Order::PlayOver { .. } | Order::StopOver { .. } => return,
            Order::EarlyMedia { .. } | Order::End { .. } | Order::Hush { .. } => return,
            Order::Mute { .. } | Order::Place { .. } | Order::RelayDigit { .. } => return,
            Order::Prepare { .. } | Order::SendDigits { .. } | Order::Stop { .. } => return,
        };
        self.0.lock().push(line);
    }
}
