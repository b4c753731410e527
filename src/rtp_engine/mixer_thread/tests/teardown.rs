//! How legs end, and what is left of them: nothing.

use super::*;

#[test]
fn all_is_freed_when_a_thousand_legs_have_come_and_gone() {
    let mut world = World::new(2);
    let calls: Vec<_> = (0..1_000).map(|_| world.dial(None)).collect();
    for (n, some) in calls.chunks(100).enumerate() {
        world.send(place(RoomId::of((n as u128) << 64), some, Hears::Room));
    }
    world.ticks(3);
    assert_eq!(world.counts(), [1_000, 10]);
    for (n, call) in calls.iter().enumerate() {
        if n % 2 == 0 {
            world.send(end(*call));
        }
        world.switchboard.close(*call);
    }
    world.ticks(3);
    assert_eq!(world.counts(), [0, 0]);
    assert!(world.shards.iter().all(|it| it.calls.is_empty() && it.room_ids.is_empty()));
    let slots: usize = world.shards.iter().map(|it| it.legs.len()).sum();
    assert!(slots <= 2_000, "{slots}");
}

#[test]
fn orders_for_calls_that_are_gone_change_nothing() {
    let (mut world, [a, b, c]) = three(2);
    world.send(end(a));
    let room = RoomId::of(7 << 64);
    for order in [
        place(room, &[a], wait()),
        Order::Mute { room, calls: vec![a], on: true },
        Order::Play { call: a, number: 1, program: beep() },
        remove(ROOM, &[a]),
        end(a),
    ] {
        world.send(order);
    }
    world.ticks(20);
    assert_eq!(world.counts(), [2, 1]);
    assert_eq!(hears(&world, b, 19), [false, false, true]);
    assert_eq!(hears(&world, c, 19), [false, true, false]);
}

#[test]
fn a_tick_that_was_slept_over_is_a_gap_in_time_and_not_a_burst() {
    let mut world = World::new(1);
    let call = world.dial(None);
    world.ticks(3);
    world.tick += 60;
    world.ticks(3);
    let sent = world.sent(call);
    assert_eq!(sent.len(), 6);
    assert_eq!(sent[3].timestamp.wrapping_sub(sent[2].timestamp), 61 * 160);
    assert_eq!(sent[3].sequence.wrapping_sub(sent[2].sequence), 1);
    assert_eq!(world.now() - world.start, Duration::from_millis(66 * 20));
}

#[test]
fn after_a_fault_all_calls_of_the_thread_are_lost_and_others_can_come() {
    let (mut world, [a, b, c]) = three(1);
    [a, b, c].into_iter().for_each(|it| _ = world.reports(it));
    world.on_send(b, || panic!("a fault, for the test"));
    let tick = std::panic::AssertUnwindSafe(|| world.ticks(1));
    assert!(std::panic::catch_unwind(tick).is_err());
    world.shards[0].fail();
    for call in [a, b, c] {
        assert_eq!(world.reports(call), [Heard::Lost]);
        world.send(end(call));
    }
    assert_eq!(world.counts(), [0, 0]);
    let d = world.dial(Some(700.0));
    world.ticks(10);
    assert_eq!(world.sent(d).len(), 10);
}
