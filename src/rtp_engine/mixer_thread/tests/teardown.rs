//! Teardown: ended legs leave nothing.

use super::*;

#[test]
fn all_is_freed_when_a_thousand_legs_have_come_and_gone() {
    let mut harness = EngineHarness::new(2);
    let calls: Vec<_> = (0..1_000).map(|_| harness.dial(None)).collect();
    for (n, some) in calls.chunks(100).enumerate() {
        harness.send(place(RoomId::of((n as u128) << 64), some, MemberAudio::Room));
    }
    harness.ticks(3);
    assert_eq!(harness.counts(), [1_000, 10]);
    for (n, call) in calls.iter().enumerate() {
        if n % 2 == 0 {
            harness.end(*call);
        }
        harness.demultiplexer.close(*call);
    }
    harness.ticks(3);
    assert_eq!(harness.counts(), [0, 0]);
    assert!(harness.mixer_threads.iter().all(|it| it.calls.is_empty() && it.room_ids.is_empty()));
    let slots: usize = harness.mixer_threads.iter().map(|it| it.legs.len()).sum();
    assert!(slots <= 2_000, "{slots}");
}

#[test]
fn orders_for_calls_that_are_gone_change_nothing() {
    let (mut harness, [a, b, c]) = three(2);
    harness.end(a);
    let room = RoomId::of(7 << 64);
    for order in [
        place(room, &[a], wait()),
        AudioOrder::Mute { room, calls: vec![a], on: true },
        AudioOrder::Play { call: a, number: 1, program: beep() },
        remove(ROOM, &[a]),
    ] {
        harness.send(order);
    }
    harness.end(a);
    harness.ticks(20);
    assert_eq!(harness.counts(), [2, 1]);
    assert_eq!(hears(&harness, b, 19), [false, false, true]);
    assert_eq!(hears(&harness, c, 19), [false, true, false]);
}

#[test]
fn a_tick_that_was_slept_over_is_a_gap_in_time_and_not_a_burst() {
    let mut harness = EngineHarness::new(1);
    let call = harness.dial(None);
    harness.ticks(3);
    harness.tick += 60;
    harness.ticks(3);
    let sent = harness.sent(call);
    assert_eq!(sent.len(), 6);
    assert_eq!(sent[3].timestamp.wrapping_sub(sent[2].timestamp), 61 * 160);
    assert_eq!(sent[3].sequence.wrapping_sub(sent[2].sequence), 1);
    assert_eq!(harness.now() - harness.start, Duration::from_millis(66 * 20));
}

#[test]
fn after_a_panic_all_calls_of_the_thread_are_lost_and_new_ones_work() {
    let (mut harness, [a, b, c]) = three(1);
    [a, b, c].into_iter().for_each(|it| _ = harness.reports(it));
    harness.on_send(b, || panic!("a panic, for the test"));
    let tick = std::panic::AssertUnwindSafe(|| harness.ticks(1));
    assert!(std::panic::catch_unwind(tick).is_err());
    harness.mixer_threads[0].fail();
    for call in [a, b, c] {
        assert_eq!(harness.reports(call), [LegEvent::MediaLost]);
        harness.end(call);
    }
    assert_eq!(harness.counts(), [0, 0]);
    let d = harness.dial(Some(700.0));
    harness.ticks(10);
    assert_eq!(harness.sent(d).len(), 10);
}
