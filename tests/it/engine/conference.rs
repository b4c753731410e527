//! Conference actor on a runtime: time, slices, overload and injected panics, on a paused clock.

use std::{sync::Arc, time::Duration};

use conflow::{
    base::ids::{CallId, MemberId},
    conference::{Ask, Kick, MemberSelector, Refusal, Settings},
    engine::registry::AskError,
    flow::Cause,
    media::{AudioEngine, AudioOrder, LegEvent, Report, SignallingBackend, SignallingOrder},
};
use parking_lot::Mutex;
use tokio::{task, time};

use crate::harness::{Bench, key, members, settings};

#[tokio::test(start_paused = true)]
async fn a_kick_is_synchronous() {
    let mut bench = Bench::new(settings());
    bench.call("weekly");
    bench.call("weekly");
    bench.settle().await;
    bench.log();

    let anna = vec![MemberId(1)];
    assert_eq!(bench.kick("weekly", MemberSelector::These(anna.clone())).await, Ok(anna));
    assert_eq!(bench.log(), ["1 exited kicked", "remove 1", "call 1 hears bye"]);
    let nobody = Err(AskError::Refused(Refusal::NoMember));
    assert_eq!(bench.kick("weekly", MemberSelector::These(vec![MemberId(1)])).await, nobody);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_fires_by_itself() {
    let mut bench = Bench::new(settings());
    bench.call("weekly");
    time::sleep(Duration::from_millis(59_900)).await;
    assert_eq!(bench.log(), ["1 entered 1"]);
    time::sleep(Duration::from_millis(200)).await;
    assert_eq!(bench.log(), ["1 exited time-up", "1 over", "remove 1", "call 1 hears bye"]);
    assert_eq!(bench.kick("weekly", MemberSelector::All).await, Err(AskError::Gone));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_joins_after_the_end_finds_a_fresh_room() {
    let mut bench = Bench::new(settings());
    bench.call("weekly");
    bench.settle().await;
    bench.log();

    let kick = Ask::Kick { who: MemberSelector::All, kick: Kick::default() };
    let answer = bench.registry.ask(&key("weekly"), kick.clone()).unwrap();
    let late = bench.registry.ask(&key("weekly"), kick);
    bench.call("weekly");
    assert_eq!(members(answer.await.unwrap()), Ok(vec![MemberId(1)]));
    bench.settle().await;
    let expected = ["1 exited kicked", "1 over", "remove 1", "call 1 hears bye", "3 entered 2"];
    assert_eq!(bench.log(), expected);
    assert!(late.unwrap().await.is_err(), "an ask after the end has no room");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn only_asks_are_refused_by_a_full_queue() {
    let mut bench = Bench::new(settings());
    let anna = bench.call("weekly");
    bench.call("weekly");
    bench.settle().await;
    let mute = Ask::Mute { who: MemberSelector::All, on: true };
    let registry = bench.registry.clone();
    let ask = || registry.ask(&key("weekly"), mute.clone());
    let answers: Vec<_> = (0..settings().asks_max).map(|_| ask().unwrap()).collect();
    assert_eq!(ask().err(), Some(AskError::Busy));
    registry.report(Report { call: anna, event: LegEvent::HungUp });
    bench.call("weekly");
    for answer in answers {
        assert_eq!(members(answer.await.unwrap()), Ok(vec![MemberId(1), MemberId(2)]));
    }
    bench.settle().await;
    // The queue is empty again and takes as many asks as before.
    let answers: Vec<_> = (0..settings().asks_max).map(|_| ask().unwrap()).collect();
    drop(answers);
    bench.settle().await;
    assert!(bench.log().contains(&"call 1 ended Normal Hangup".to_owned()));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_bulk_kick_lets_the_other_rooms_work() {
    let mut bench = Bench::new(settings());
    bench.calls(1_000, "large");
    bench.call("small");
    bench.settle().await;

    let mute = Ask::Mute { who: MemberSelector::All, on: true };
    let bulk = bench.kick("large", MemberSelector::All);
    let small = bench.ask("small", mute);
    let first = tokio::select! {
        biased;
        _ = bulk => "the bulk",
        _ = small => "the small room",
    };
    assert_eq!(first, "the small room");
    bench.close().await;
}

/// Logs how many of an order's calls are carried out at a time: a hundred per part.
struct PartialBackend(Arc<Mutex<Vec<String>>>);

impl SignallingBackend for PartialBackend {
    fn signal(&self, _: SignallingOrder) {}
}

impl AudioEngine for PartialBackend {
    fn send(&self, _: AudioOrder) {}

    fn send_part(&self, order: &AudioOrder, from: usize) -> usize {
        let to = order.calls().len().min(from + 100);
        self.0.lock().push(format!("{from} to {to}"));
        to
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_to_many_is_carried_out_in_parts_before_the_next_order() {
    let mut bench = Bench::with(settings(), |log| Arc::new(PartialBackend(log)));
    bench.calls(250, "weekly");
    bench.settle().await;
    bench.log();
    assert_eq!(bench.kick("weekly", MemberSelector::All).await.unwrap().len(), 250);
    let log = bench.log();
    // Its exits are written first.
    assert!(log[..250].iter().all(|it| it.ends_with("exited kicked")), "{log:?}");
    assert_eq!(log[250..], ["1 over", "0 to 100", "100 to 200", "200 to 250"]);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_the_room_and_no_call() {
    // The fault is injected while the second of three members leaves.
    let mut bench = Bench::new(Settings { inject_fault_after: Some(13), ..settings() });
    bench.calls(3, "weekly");
    bench.settle().await;
    bench.log();
    let all = MemberSelector::These((1..=3).map(MemberId).collect());
    assert_eq!(bench.kick("weekly", all).await, Err(AskError::Refused(Refusal::Fault)));
    let expected = ["1 exited kicked", "2 exited kicked", "3 exited fault", "1 over", "remove 3"];
    let log = bench.log();
    assert_eq!(log[..5], expected);
    assert_eq!(log[5..], ["call 1 hears bye", "call 2 hears bye", "call 3 hears bye"]);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_has_no_task_and_a_speaker_has_one() {
    let mut bench = Bench::new(settings());
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    bench.calls(5, "weekly");
    bench.settle().await;
    assert_eq!(tasks(), 1);
    bench.kick("weekly", MemberSelector::These(vec![MemberId(4)])).await.unwrap();
    assert_eq!(tasks(), 2);
    bench.registry.hang_up(CallId::of(4), Cause::HungUpByApi);
    task::yield_now().await;
    bench.settle().await;
    assert_eq!(tasks(), 1);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_arrives_as_the_time_is_up_is_not_lost() {
    let mut bench = Bench::new(settings());
    bench.call("weekly");
    bench.settle().await;
    bench.call("weekly");
    time::advance(Duration::from_secs(60)).await;
    bench.settle().await;
    let log = bench.log();
    assert!(log.contains(&"call 1 hears bye".to_owned()), "{log:?}");
    assert!(log.contains(&"2 entered 1".to_owned()), "{log:?}");
    bench.close().await;
}

/// Issue 14, B2: what has a deadline does not queue after what has none.
#[tokio::test(start_paused = true)]
async fn a_kick_or_hang_up_of_a_member_waits_for_one_join_at_most() {
    let mut bench = Bench::new(settings());
    bench.calls(2, "weekly");
    bench.settle().await;
    bench.log();

    bench.calls(100, "weekly");
    bench.registry.hang_up(CallId::of(2), Cause::HungUpByApi);
    let kicked = bench.kick("weekly", MemberSelector::These(vec![MemberId(1)])).await;
    assert_eq!(kicked, Ok(vec![MemberId(1)]));
    let log = bench.log();
    let before = log.iter().take_while(|it| **it != "1 exited kicked");
    assert_eq!(before.filter(|it| it.contains("entered")).count(), 1, "{log:?}");
    // Members who are on their way are not missed.
    assert_eq!(bench.kick("weekly", MemberSelector::All).await.unwrap().len(), 100);
    bench.close().await;
}

/// Issue 14, B2: a drain goes before all other work of a room.
#[tokio::test(start_paused = true)]
async fn a_drain_comes_before_joins_and_asks() {
    let mut bench = Bench::new(settings());
    bench.calls(2, "weekly");
    bench.settle().await;
    bench.log();

    bench.calls(100, "weekly");
    let mute = Ask::Mute { who: MemberSelector::All, on: true };
    let muted = bench.registry.ask(&key("weekly"), mute).unwrap();
    bench.registry.close();
    bench.settle().await;
    let log = bench.log();
    let expected = ["1 exited drained", "2 exited drained", "1 over", "remove 2"];
    assert_eq!(log[..4], expected);
    assert!(muted.await.is_err(), "the room is over");
    let byes = log.iter().filter(|it| it.ends_with("hears bye")).count();
    assert_eq!(byes, 102, "each caller hears the next element: {log:?}");
    assert!(log.iter().all(|it| !it.contains("entered")), "{log:?}");
    bench.close().await;
}

/// Covers what the simulation cannot: locks and real threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_lose_no_call_and_no_hang_up() {
    const CALLS: u128 = 3_000;
    let mut bench = Bench::new(Settings { members_max: 5_000, ..settings() });
    let registry = bench.registry.clone();
    let kicker = tokio::spawn(async move {
        for round in 0..1_000 {
            let kick = Ask::Kick { who: MemberSelector::All, kick: Kick::default() };
            if let Ok(answer) = registry.ask(&key(["a", "b"][round % 2]), kick) {
                drop(answer.await);
            }
            task::yield_now().await;
        }
    });
    let registry = bench.registry.clone();
    let hanger = task::spawn_blocking(move || {
        for call in (1..=CALLS).step_by(3).map(CallId::of) {
            // As soon as the call is in the registry, wherever it is.
            while !registry.is_up(call) {
                std::hint::spin_loop();
            }
            registry.report(Report { call, event: LegEvent::HungUp });
        }
    });
    for n in 0..CALLS {
        bench.call(["a", "b"][usize::from(n % 2 == 0)]);
        task::yield_now().await;
    }
    hanger.await.unwrap();
    kicker.await.unwrap();
    let is_ghost = |call: &CallId| call.0.as_u128() % 3 == 1;
    let mut patience = 100;
    while 0 < patience && bench.registry.calls().iter().any(is_ghost) {
        bench.settle().await;
        patience -= 1;
    }
    assert_ne!(patience, 0, "hung up, and still there");
    let left = bench.registry.calls();
    let log = bench.log();
    let dead: Vec<_> = log.iter().filter(|line| line.contains("refused fault")).collect();
    assert!(dead.is_empty(), "a call met a dead room: {dead:?}");
    let ended = log.iter().filter(|line| line.contains(" ended ")).count();
    assert_eq!(ended + left.len(), usize::try_from(CALLS).unwrap());
    bench.close().await;
}
