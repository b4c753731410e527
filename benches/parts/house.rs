//! The engine's inner parts beside their ceilings, in the same run.
//!
//! `kick all` at the machine (P2: the cost per member at 10,000 is at most 1.5 times that at 100),
//! and a mute from ask to reply beside a bare channel and oneshot (P6: at least half of it).

use std::{
    collections::VecDeque,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use conflow::{
    actor::{
        doors::Doors,
        house::{House, Links, Tasks},
    },
    call::{Call, Direction, Party, Session, Spot},
    conference::{Ask, Command, Conference, Effect, Kick, Settings, Ticket, Who},
    flow::{Effect as FlowEffect, Entry, Event, Fetched, Flow, Run},
    ids::{AccountId, CallId, Dialect, MemberId, RoomId, RoomKey},
    library::{Done, Fetch, Library, LocalFlow},
    media::{Backend, Order},
    store::MemberIds,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot},
};

criterion_group!(benches, kick_all, mute);
criterion_main!(benches);

const DOCUMENT: &str =
    "<Response><Conference>weekly</Conference><Speak>goodbye</Speak><Wait length='60'/></Response>";

/// Everybody out of the mix, told of, and released; and each call begins its next element.
fn kick_all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("kick all, per member");
    group.sample_size(20);
    for members in [100_u64, 1_000, 10_000] {
        group.throughput(Throughput::Elements(members));
        group.bench_function(BenchmarkId::from_parameter(members), |bencher| {
            bencher.iter_batched(|| full_room(members), kick, BatchSize::PerIteration);
        });
    }
    group.finish();
}

#[expect(clippy::disallowed_methods, reason = "a bench has the real clock")]
fn now() -> Instant {
    Instant::now()
}

fn full_room(members: u64) -> Conference {
    let (flow, now) = (flow(), now());
    let name = "weekly".parse().expect("a name");
    let mut room = Conference::new(now, RoomId::of(1), name, Settings::default());
    let mut effects = VecDeque::new();
    for n in 1..=members {
        let (call, entry) = parked(now, n, &flow);
        room.handle(now, Command::Enter { member: MemberId(n), call, entry }, &mut effects);
        effects.clear();
    }
    room
}

fn kick(mut room: Conference) {
    let now = now();
    let mut effects = VecDeque::new();
    let ask = Ask::Kick { who: Who::All, kick: Kick::default() };
    room.handle(now, Command::Ask { ticket: Ticket(1), ask }, &mut effects);
    let mut wishes = Vec::new();
    for effect in effects {
        if let Effect::Release { mut call, exit, member, sequence } = effect {
            let sequence = sequence.unwrap_or_default();
            let spot = Some(Spot { room: RoomId::of(1), member, sequence });
            black_box(call.left(now, &exit, spot, &mut wishes));
            black_box(wishes.drain(..).count());
            call.end();
        }
    }
}

/// A call that has begun, up to its conference.
fn parked(now: Instant, n: u64, flow: &Arc<Flow>) -> (Box<Call>, Arc<Entry>) {
    let mut call = new_call(now, n);
    call.begin(now, Ok(flow.clone()), &mut Vec::new());
    let mut run = Run::new(Dialect::Vobiz);
    let mut effects = Vec::new();
    run.handle(now, Event::Fetched(Ok(flow.clone())), &mut effects);
    let Some(FlowEffect::Join { entry, .. }) = effects.pop() else {
        panic!("the flow begins with a conference")
    };
    (call, entry)
}

fn new_call(now: Instant, n: u64) -> Box<Call> {
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

fn flow() -> Arc<Flow> {
    Arc::new(Flow::parse(DOCUMENT, Dialect::Vobiz).expect("a flow"))
}

fn account() -> AccountId {
    "MA1".parse().expect("a name")
}

/// One caller, one room of ten, on one thread.
fn mute(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let house = runtime.block_on(async { full_house(10) });
    let key = RoomKey { account: account(), name: "weekly".parse().expect("a name") };
    let bare = bare(&runtime);
    let mut group = criterion.benchmark_group("ask to reply");
    group.bench_function("bare channel and oneshot", |bencher| {
        bencher.iter_custom(|rounds| runtime.block_on(ask_bare(bare.clone(), rounds)));
    });
    group.bench_function("mute", |bencher| {
        bencher.iter_custom(|rounds| runtime.block_on(ask_mute(house.clone(), &key, rounds)));
    });
    group.finish();
    // Its calls are live, and a live call is not to be dropped.
    std::mem::forget((house, runtime));
}

fn bare(runtime: &Runtime) -> mpsc::Sender<(u64, oneshot::Sender<u64>)> {
    let (sender, mut inbox) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(256);
    runtime.spawn(async move {
        while let Some((n, reply)) = inbox.recv().await {
            reply.send(n).expect("a caller");
        }
    });
    sender
}

async fn ask_bare(inbox: mpsc::Sender<(u64, oneshot::Sender<u64>)>, rounds: u64) -> Duration {
    let begin = now();
    for n in 0..rounds {
        let (reply, answer) = oneshot::channel();
        inbox.send((n, reply)).await.expect("an actor");
        answer.await.expect("an answer");
    }
    begin.elapsed()
}

async fn ask_mute(house: Arc<House>, key: &RoomKey, rounds: u64) -> Duration {
    let begin = now();
    for n in 0..rounds {
        let who = Who::These(vec![MemberId(5)]);
        let answer = house.ask(key, Ask::Mute { who, on: n % 2 == 0 }).expect("a room");
        answer.await.expect("an answer").expect("a member");
    }
    begin.elapsed()
}

fn full_house(members: u64) -> Arc<House> {
    let links = Links {
        media: Arc::new(Nowhere),
        library: Arc::new(Nowhere),
        doors: Arc::new(Doors::in_memory(now(), SystemTime::UNIX_EPOCH)),
        member_ids: Arc::new(Counter(1.into())),
        room_id: Box::new(|| RoomId::of(1)),
        trace: Box::new(drop),
        stage: Box::new(Tasks),
    };
    let house = House::new(Settings::default(), links);
    let flow = flow();
    for n in 1..=members {
        house.begin(now(), new_call(now(), n), Ok(flow.clone()));
    }
    house
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

struct Counter(std::sync::atomic::AtomicU64);

impl MemberIds for Counter {
    fn next(&self, _: &AccountId) -> MemberId {
        MemberId(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }
}
