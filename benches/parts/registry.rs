//! A house whose calls and rooms live, with no phones, no library, and no edge.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use conflow::{
    base::ids::{AccountId, CallId, Dialect, MemberId, RoomId, RoomKey},
    call::{Call, Direction, Party, Session},
    conference::{Ask, Settings, Who},
    documents::{Done, Fetch, Library, LocalFlow},
    engine::{
        ban_list::Doors,
        registry::{House, Links, Tasks},
    },
    flow::{Fetched, Flow},
    media::{Backend, Order},
    store::MemberIds,
};

use crate::measure::now;

/// A flow that begins with this room.
pub(crate) fn wait_in(room: &str) -> String {
    let conference = format!("<Conference stayAlone='true'>{room}</Conference>");
    format!("<Response>{conference}<Wait length='60'/></Response>")
}

/// A house with so many calls that run a flow; members have the numbers from one on. On the
/// current runtime.
pub(crate) fn full_house(members: u64, document: &str) -> Arc<House> {
    let room_last = AtomicU64::new(0);
    let links = Links {
        media: Arc::new(Nowhere),
        library: Arc::new(Nowhere),
        doors: Arc::new(Doors::in_memory(now(), SystemTime::UNIX_EPOCH)),
        member_ids: Arc::new(Counter(1.into())),
        room_id: Box::new(move || RoomId::of(room_last.fetch_add(1, Ordering::Relaxed).into())),
        trace: Box::new(drop),
        stage: Box::new(Tasks),
    };
    let house = House::new(Settings::default(), links);
    let flow = flow(document);
    for n in 1..=members {
        house.begin(now(), new_call(now(), n), Ok(flow.clone()));
    }
    house
}

/// A call that is about to begin.
pub(crate) fn new_call(now: Instant, n: u64) -> Box<Call> {
    let party = Party {
        from: "14155550100".into(),
        to: "weekly".into(),
        caller_name: "".into(),
        direction: Direction::Inbound,
        dialect: Dialect::Vobiz,
        trusted: None,
        session: Session::at(SystemTime::UNIX_EPOCH),
    };
    let limit = Duration::from_secs(14_400);
    Call::new(now, CallId::of(n.into()), account(), Arc::new(party), limit)
}

pub(crate) fn flow(document: &str) -> Arc<Flow> {
    Arc::new(Flow::parse(document, Dialect::Vobiz).expect("a flow"))
}

pub(crate) fn key(room: &str) -> RoomKey {
    RoomKey { account: account(), name: room.parse().expect("a name") }
}

pub(crate) fn account() -> AccountId {
    "MA1".parse().expect("a name")
}

/// Mutes the fifth member, and the other way round, each time from ask to reply.
pub(crate) async fn mute(house: &House, key: &RoomKey, rounds: u64) {
    for n in 0..rounds {
        let who = Who::These(vec![MemberId(5)]);
        let answer = house.ask(key, Ask::Mute { who, on: n % 2 == 0 }).expect("a room");
        answer.await.expect("an answer").expect("a member");
    }
}

struct Nowhere;

impl Backend for Nowhere {
    fn send(&self, _: Order) {}
}

impl Library for Nowhere {
    fn fetch(&self, _: Fetch, _: Done) {}

    fn local(&self, _: &LocalFlow) -> Option<Fetched> {
        None
    }
}

struct Counter(AtomicU64);

impl MemberIds for Counter {
    fn next(&self, _: &AccountId) -> MemberId {
        MemberId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}
