//! A room's actor: a mute from ask to reply, compared with a bare channel and oneshot; and a kick
//! that moves a call into the next room. One caller, one thread.

use std::{sync::Arc, time::Duration};

use conflow::{
    base::ids::{CallId, MemberId, RoomKey},
    conference::{Ask, Kick, MemberSelector},
    engine::registry::Registry,
    flow::Cause,
};
use criterion::Criterion;
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot},
    task::yield_now,
};

use crate::{
    measure::{now, say, verdict},
    registry::{flow, full_registry, key, mute, new_call, wait_in},
    runtime,
    took::Took,
};

pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = runtime();
    let registry = runtime.block_on(async { full_registry(10, &wait_in("weekly")) });
    let (weekly, bare_room) = (key("weekly"), bare(&runtime));
    let mut group = criterion.benchmark_group("room, ask to reply");
    let [mut bare, mut muted] = [Took::default(), Took::default()];
    group.bench_function("ceiling: bare channel and oneshot", |bencher| {
        bare.time(bencher, |rounds| runtime.block_on(ask_bare(bare_room.clone(), rounds)));
    });
    group.bench_function("mute", |bencher| {
        muted.time(bencher, |rounds| {
            let begin = now();
            runtime.block_on(mute(&registry, &weekly, rounds));
            begin.elapsed()
        });
    });
    if let (Some(bare), Some(muted)) = (bare.median(), muted.median()) {
        let (ratio, met) = (bare / muted, verdict(0.5 <= bare / muted));
        say(&format!("P6: a mute is {ratio:.2} × as fast as a bare ask, at least 0.5: {met}"));
    }

    let mut wanderer = MovingCall::new(&runtime);
    group.bench_function("kick into the next room", |bencher| {
        bencher.iter_custom(|rounds| runtime.block_on(wanderer.move_around(rounds)));
    });
    group.finish();
    // Its calls are live, and a live call must not be dropped.
    std::mem::forget((registry, wanderer, runtime));
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

/// A call that each kick moves to the other of two rooms, both with a permanent member.
struct MovingCall {
    registry: Arc<Registry>,
    rooms: [RoomKey; 2],
    document: String,
    last_call: u64,
    last_member: u64,
}

/// The number of moves per call.
const MOVES: u64 = 100;

impl MovingCall {
    fn new(runtime: &Runtime) -> Self {
        let registry = runtime.block_on(async {
            let registry = full_registry(1, &wait_in("a"));
            registry.begin(now(), new_call(now(), 2), "flow:b", Ok(flow(&wait_in("b"))));
            registry
        });
        let rooms = "<Conference stayAlone='true'>a</Conference><Conference stayAlone='true'>b</Conference>";
        let document = format!("<Response>{}</Response>", rooms.repeat(MOVES as usize / 2 + 1));
        Self { registry, rooms: ["a", "b"].map(key), document, last_call: 2, last_member: 2 }
    }

    async fn move_around(&mut self, rounds: u64) -> Duration {
        let (flow, mut took) = (flow(&self.document), Duration::ZERO);
        for first in (0..rounds).step_by(MOVES as usize) {
            self.last_call += 1;
            self.registry.begin(now(), new_call(now(), self.last_call), "flow:a", Ok(flow.clone()));
            let begin = now();
            for room in self.rooms.iter().cycle().take((rounds - first).min(MOVES) as usize) {
                self.last_member += 1;
                self.kick(room).await;
            }
            took += begin.elapsed();
            // It is in one more room by now.
            self.last_member += 1;
            self.registry.hang_up(CallId::of(self.last_call.into()), Cause::HungUpByApi);
        }
        took
    }

    /// Kicks repeatedly until the call has arrived and is out.
    async fn kick(&self, room: &RoomKey) {
        loop {
            let who = MemberSelector::These(vec![MemberId(self.last_member)]);
            let answer = self.registry.ask(room, Ask::Kick { who, kick: Kick::default() });
            match answer.expect("a room").await.expect("an answer") {
                Ok(_) => return,
                Err(_) => yield_now().await,
            }
        }
    }
}
