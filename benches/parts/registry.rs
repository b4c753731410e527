//! A registry with live calls and rooms, without phones, document store or API.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use conflow::{
    base::ids::{AccountId, CallId, Dialect, MemberId, RoomId, RoomKey},
    call::{Call, CallDirection, CallSession, Party},
    conference::{Ask, MemberSelector, Settings},
    documents::{DocumentFetch, DocumentStore, LocalFlow, OnDocument},
    engine::{
        ban_list::BanList,
        registry::{Registry, RegistryPorts, TokioSpawner},
    },
    flow::{Fetched, Flow},
    media::{AudioEngine, AudioOrder, SignallingBackend, SignallingOrder},
    store::MemberIdSource,
};

use crate::measure::now;

/// A flow that begins with this room.
pub(crate) fn wait_in(room: &str) -> String {
    let conference = format!("<Conference stayAlone='true'>{room}</Conference>");
    format!("<Response>{conference}<Wait length='60'/></Response>")
}

/// A registry on the current runtime, with this many calls that run a flow. Members are numbered
/// from one.
pub(crate) fn full_registry(members: u64, document: &str) -> Arc<Registry> {
    let room_last = AtomicU64::new(0);
    let links = RegistryPorts {
        media: Arc::new(Nowhere),
        documents: Arc::new(Nowhere),
        ban_list: Arc::new(BanList::in_memory(now(), SystemTime::UNIX_EPOCH)),
        member_ids: Arc::new(Counter(1.into())),
        room_id: Box::new(move || RoomId::of(room_last.fetch_add(1, Ordering::Relaxed).into())),
        // No flow dials.
        call_id: Box::new(|| CallId::of(0)),
        observer: Box::new(drop),
        spawner: Box::new(TokioSpawner),
    };
    let registry = Registry::new(Settings::default(), links);
    let flow = flow(document);
    for n in 1..=members {
        registry.begin(now(), new_call(now(), n), "flow:a", Ok(flow.clone()));
    }
    registry
}

/// A call that has not begun.
pub(crate) fn new_call(now: Instant, n: u64) -> Box<Call> {
    let party = Party {
        from: "14155550100".into(),
        to: "weekly".into(),
        caller_name: "".into(),
        direction: CallDirection::Inbound,
        dialect: Dialect::Vobiz,
        trusted: None,
        session: CallSession::at(SystemTime::UNIX_EPOCH),
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

/// Mutes and unmutes the fifth member in turn, and waits for each reply.
pub(crate) async fn mute(registry: &Registry, key: &RoomKey, rounds: u64) {
    for n in 0..rounds {
        let who = MemberSelector::These(vec![MemberId(5)]);
        let answer = registry.ask(key, Ask::Mute { who, on: n % 2 == 0 }).expect("a room");
        answer.await.expect("an answer").expect("a member");
    }
}

struct Nowhere;

impl SignallingBackend for Nowhere {
    fn signal(&self, _: SignallingOrder) {}
}

impl AudioEngine for Nowhere {
    fn send(&self, _: AudioOrder) {}
}

impl DocumentStore for Nowhere {
    fn fetch(&self, _: DocumentFetch, _: OnDocument) {}

    fn local(&self, _: &LocalFlow) -> Option<Fetched> {
        None
    }
}

struct Counter(AtomicU64);

impl MemberIdSource for Counter {
    fn next(&self, _: &AccountId) -> Option<MemberId> {
        Some(MemberId(self.0.fetch_add(1, Ordering::Relaxed)))
    }
}
