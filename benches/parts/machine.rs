//! The conference machine: a mute, and a kick of all after which each call begins its next element.

use std::{
    collections::VecDeque,
    hint::black_box,
    time::{Duration, Instant},
};

use conflow::{
    base::ids::{Dialect, Incarnation, MemberId, RoomId},
    call::PastMembership,
    conference::{Ask, AskTicket, Command, Conference, Effect, Kick, MemberSelector, Settings},
    flow::{Effect as FlowEffect, FlowEvent, Run},
};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

use crate::{
    measure::{now, say, verdict},
    registry::{flow, new_call},
    took::Took,
};

const DOCUMENT: &str =
    "<Response><Conference>weekly</Conference><Speak>goodbye</Speak><Wait length='60'/></Response>";

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("machine");
    let (mut room, mut effects, begin) = (full_room(10), VecDeque::new(), now());
    let mut on = false;
    group.bench_function("mute one of ten", |bencher| {
        bencher.iter(|| {
            on = !on;
            let ask = Ask::Mute { who: MemberSelector::These(vec![MemberId(5)]), on };
            room.handle(begin, Command::Ask { ticket: AskTicket(1), ask }, &mut effects);
            black_box(effects.drain(..).count())
        });
    });
    // Its members are live, and a live call must not be dropped.
    std::mem::forget(room);

    // Each round needs a new room, and filling it takes longer than the kick.
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    let [few, _, many] = [100_u64, 1_000, 10_000].map(|members| {
        let mut took = Took::default();
        group.throughput(Throughput::Elements(members));
        group.bench_function(BenchmarkId::new("kick all of", members), |bencher| {
            took.time(bencher, |rounds| (0..rounds).map(|_| kick_all(members)).sum());
        });
        took.median().map(|it| it * 1e9 / members as f64)
    });
    if let (Some(few), Some(many)) = (few, many) {
        let (ratio, met) = (many / few, verdict(many <= 1.5 * few));
        say(&format!(
            "P2: kick all costs {few:.0} ns a member of 100, and {many:.0} ns of 10,000: \
             {ratio:.2} ×, at most 1.5: {met}"
        ));
    }
    group.finish();
}

fn full_room(members: u64) -> Conference {
    let (flow, now) = (flow(DOCUMENT), now());
    let incarnation = Incarnation::of(RoomId::of(1), "weekly");
    let mut room = Conference::new(now, incarnation, &Settings::default());
    let mut effects = VecDeque::new();
    for n in 1..=members {
        let mut call = new_call(now, n);
        call.begin(now, Ok(flow.clone()), &mut Vec::new());
        let mut run = Run::new(Dialect::Vobiz);
        let mut begun = Vec::new();
        run.handle(now, FlowEvent::Fetched(Ok(flow.clone())), &mut begun);
        let Some(FlowEffect::Join { options: entry, .. }) = begun.pop() else {
            panic!("the flow begins with a conference")
        };
        room.handle(now, Command::Enter { member: MemberId(n), call, entry }, &mut effects);
        effects.clear();
    }
    room
}

/// Removes everybody from the mix, announces and releases them; each call begins its next element.
fn kick_all(members: u64) -> Duration {
    let mut room = full_room(members);
    let (begin, mut effects) = (now(), VecDeque::new());
    let ask = Ask::Kick { who: MemberSelector::All, kick: Kick::default() };
    room.handle(begin, Command::Ask { ticket: AskTicket(1), ask }, &mut effects);
    go_on(begin, effects);
    drop(room);
    begin.elapsed()
}

fn go_on(now: Instant, effects: VecDeque<Effect>) {
    let mut wishes = Vec::new();
    let leaves = effects
        .into_iter()
        .filter_map(|it| if let Effect::Leave(it) = it { Some(it) } else { None });
    for effect in leaves.flatten() {
        if let Effect::Release { mut call, exit, member, sequence } = effect {
            let sequence = sequence.unwrap_or_default();
            let membership = Some(PastMembership { room: RoomId::of(1), member, sequence });
            black_box(call.left(now, &exit, membership, &mut wishes));
            black_box(wishes.drain(..).count());
            call.end();
        }
    }
}
