//! Shards on a virtual clock, with wires of memory: what is said, what is heard, and when.

mod harness;
mod teardown;

use std::{sync::atomic::Ordering, time::Duration};

use super::super::{demultiplexer::Switchboard, mailbox::Concern};
use super::*;
use crate::{
    audio::tone::{amplitude, key_in},
    media::{Address, AnnouncementKind, Heard, Hears, Order, Program, Sound, What},
    rtp::sdp::Direction,
};
use harness::{ROOM, World, beep, end, place, remove, wait};

/// Three in a room, with a tone each, for long enough that all hear each other.
fn three(threads: usize) -> (World, [CallId; 3]) {
    let mut world = World::new(threads);
    let calls = [700.0, 1_100.0, 1_900.0].map(|tone| world.dial(Some(tone)));
    world.send(place(ROOM, &calls, Hears::Room));
    world.ticks(40);
    (world, calls)
}

/// Which of the three tones are in what a call has been sent in the last so many ticks.
fn hears(world: &World, call: CallId, ticks: usize) -> [bool; 3] {
    let samples = world.heard(call, ticks);
    [700.0, 1_100.0, 1_900.0].map(|tone| 0.02 < amplitude(&samples, 8_000, tone))
}

#[test]
fn each_hears_the_two_others_and_not_itself() {
    for threads in [1, 2, 3] {
        let (world, [a, b, c]) = three(threads);
        assert_eq!(hears(&world, a, 20), [false, true, true]);
        assert_eq!(hears(&world, b, 20), [true, false, true]);
        assert_eq!(hears(&world, c, 20), [true, true, false]);
    }
}

#[test]
fn rooms_do_not_hear_each_other() {
    let (mut world, [a, b, c]) = three(2);
    let other = RoomId::of(99 << 64);
    world.send(place(other, &[c], Hears::Room));
    world.ticks(40);
    assert_eq!(hears(&world, a, 20), [false, true, false]);
    assert_eq!(hears(&world, b, 20), [true, false, false]);
    assert_eq!(hears(&world, c, 20), [false; 3]);
    assert_eq!(world.gauges.rooms.load(Ordering::Relaxed), 2);
}

#[test]
fn the_muted_are_not_heard_and_hear() {
    let (mut world, [a, b, c]) = three(1);
    world.send(Order::Mute { room: ROOM, calls: vec![a], on: true });
    world.ticks(20);
    assert_eq!(hears(&world, b, 19), [false, false, true]);
    assert_eq!(hears(&world, c, 19), [false, true, false]);
    assert_eq!(hears(&world, a, 19), [false, true, true]);
    world.send(Order::Mute { room: ROOM, calls: vec![a], on: false });
    world.ticks(20);
    assert_eq!(hears(&world, b, 10), [true, false, true]);
}

#[test]
fn one_may_be_muted_just_before_he_is_placed_and_removal_ends_it() {
    for threads in [1, 2] {
        let mut world = World::new(threads);
        let [a, b] = [700.0, 1_100.0].map(|tone| world.dial(Some(tone)));
        world.send(place(ROOM, &[b], Hears::Room));
        world.send(Order::Mute { room: ROOM, calls: vec![a], on: true });
        world.send(place(ROOM, &[a], Hears::Room));
        world.ticks(40);
        assert_eq!(hears(&world, b, 40), [false; 3]);
        assert_eq!(hears(&world, a, 20), [false, true, false]);
        world.send(remove(ROOM, &[a]));
        world.send(place(ROOM, &[a], Hears::Room));
        world.ticks(40);
        assert_eq!(hears(&world, b, 20), [true, false, false]);
    }
}

#[test]
fn who_goes_to_another_room_is_not_muted_when_he_comes_back() {
    let (mut world, [a, b, _]) = three(1);
    world.send(Order::Mute { room: ROOM, calls: vec![a], on: true });
    world.send(place(RoomId::of(6 << 64), &[a], Hears::Room));
    world.send(place(ROOM, &[a], Hears::Room));
    world.ticks(20);
    assert_eq!(hears(&world, b, 10), [true, false, true]);
}

#[test]
fn what_was_played_is_over_when_a_leg_is_placed_on_another_thread() {
    for thread in [0, 1] {
        let mut world = World::new(2);
        let call = world.dial(None);
        let program = [What::Url("sound:hold".into()).into()].into();
        world.send(Order::Play { call, number: 1, program });
        world.ticks(20);
        world.send(place(RoomId::of(thread << 64), &[call], wait()));
        world.ticks(5);
        assert!(world.heard(call, 5)[40..].iter().all(|it| it.unsigned_abs() <= 8), "{thread}");
        assert!(world.heard(call, 6)[..160].iter().any(|it| 500 < it.unsigned_abs()));
    }
}

#[test]
fn the_deaf_hear_nothing_of_the_room_but_what_is_played_to_them() {
    let (mut world, [a, b, _]) = three(1);
    world.send(Order::Deafen { room: ROOM, calls: vec![a], on: true });
    world.ticks(20);
    assert_eq!(hears(&world, a, 19), [false; 3]);
    assert_eq!(hears(&world, b, 19), [true, false, true]);
    let (calls, program) = (vec![a], [What::Beep(1).into()].into());
    world.send(Order::Announce { room: ROOM, calls, address: None, program });
    world.ticks(8);
    assert!(0.05 < amplitude(&world.heard(a, 8), 8_000, 880.0));
    world.send(Order::Deafen { room: ROOM, calls: vec![a], on: false });
    world.ticks(20);
    assert_eq!(hears(&world, a, 10), [false, true, true]);
}

#[test]
fn the_removed_hear_silence_at_once_and_the_others_go_on() {
    let (mut world, [a, b, c]) = three(1);
    world.send(remove(ROOM, &[a]));
    world.ticks(20);
    let heard = world.heard(a, 20);
    assert!(heard[40..].iter().all(|it| it.unsigned_abs() <= 8), "5 ms of fade, then silence");
    assert_eq!(hears(&world, b, 19), [false, false, true]);
    assert_eq!(hears(&world, c, 19), [false, true, false]);
    world.check_streams();
}

#[test]
fn a_cut_in_the_midst_of_a_tick_holds_for_all_packets_after_it() {
    for cut in ["remove", "mute", "wait", "end", "deafen"] {
        let (mut world, [a, b, c]) = three(1);
        // While a's packet goes out, c is cut off: neither b nor c has had theirs.
        let deed = match cut {
            "remove" => Deed::Leave { room: ROOM },
            "mute" => Deed::Mute { room: ROOM, on: true },
            "wait" => Deed::Enter { room: ROOM, hears: super::super::command::Hearing::Wait(None) },
            "deafen" => Deed::Deafen { room: ROOM, on: true },
            _ => Deed::End,
        };
        world.ticks(1);
        let (before_b, before_c) = (world.heard(b, 1), world.heard(c, 1));
        assert!(before_b.iter().chain(&before_c).any(|it| 1_000 < it.unsigned_abs()));
        let post = world.posts[0].clone();
        world.on_send(a, move || {
            // It waits for nothing: this is the thread that it would wait for.
            let _posted = post.post(Message::One(c, deed));
        });
        let sent = world.sent(c).len();
        world.ticks(1);
        let b_heard_c = 500.0 < level_at(&world.heard(b, 1)[40..], 1_900.0);
        assert_eq!(b_heard_c, cut == "deafen", "{cut}");
        match cut {
            "end" => assert_eq!(world.sent(c).len(), sent, "no packet after the end"),
            "mute" => assert!(500.0 < level_at(&world.heard(c, 1)[40..], 700.0)),
            _ => assert!(world.heard(c, 1)[40..].iter().all(|it| it.unsigned_abs() <= 8), "{cut}"),
        }
        assert_eq!(hears(&world, a, 1), [false, true, true], "{cut}: it was under way");
        world.ticks(10);
        assert_eq!(hears(&world, b, 9), [true, false, cut == "deafen"], "{cut}");
    }
}

fn level_at(samples: &[i16], tone: f64) -> f64 {
    amplitude(samples, 8_000, tone) * 32_768.0
}

#[test]
fn who_waits_hears_his_wait_sound_and_is_not_heard() {
    let (mut world, [a, b, _]) = three(1);
    let hold: Program = [What::Url("sound:hold".into()).into()].into();
    world.send(place(ROOM, &[a], Hears::Wait(Some(hold))));
    world.ticks(60);
    let heard = world.heard(a, 50);
    assert!(heard.chunks(160).all(|it| it.iter().any(|it| 500 < it.unsigned_abs())));
    assert_eq!(hears(&world, b, 50), [false, false, true]);
    world.send(place(ROOM, &[a], Hears::Room));
    world.ticks(20);
    assert_eq!(hears(&world, b, 10), [true, false, true]);
    assert_eq!(hears(&world, a, 10), [false, true, true]);
}

#[test]
fn one_that_holds_us_is_out_of_the_mix_and_is_sent_nothing() {
    let (mut world, [a, b, _]) = three(1);
    world.agree(a, Direction::RecvOnly, true);
    let sent = world.sent(a).len();
    world.ticks(20);
    assert_eq!(hears(&world, b, 19), [false, false, true]);
    assert_eq!(world.sent(a).len(), sent);
    world.agree(a, Direction::SendRecv, false);
    world.ticks(20);
    assert_eq!(hears(&world, b, 10), [true, false, true]);
    assert_eq!(hears(&world, a, 10), [false, true, true]);
    world.check_streams();
}

#[test]
fn the_stream_goes_on_through_everything() {
    let (mut world, [a, _, _]) = three(2);
    for n in 0..5 {
        world.send(remove(ROOM, &[a]));
        world.send(Order::Play { call: a, number: n, program: beep() });
        world.ticks(7);
        world.send(place(RoomId::of(u128::from(n) << 64), &[a], Hears::Room));
        world.ticks(1);
        world.send(remove(RoomId::of(u128::from(n) << 64), &[a]));
        world.send(place(ROOM, &[a], Hears::Room));
        world.ticks(5);
    }
    let sent = world.sent(a);
    assert_eq!(sent.len(), 40 + 5 * 13, "not a tick without a packet");
    assert_eq!(sent[0].ssrc, sent[sent.len() - 1].ssrc);
    world.check_streams();
    assert_eq!(hears(&world, a, 3), [false, true, true]);
}

#[test]
fn a_leg_can_be_called_away_before_it_has_come() {
    let (mut world, [a, b, c]) = three(3);
    for n in 0..6 {
        world.send(place(RoomId::of(n << 64), &[a, b, c], Hears::Room));
    }
    world.send(Order::Mute { room: RoomId::of(5 << 64), calls: vec![b], on: true });
    world.ticks(40);
    assert_eq!(hears(&world, a, 20), [false, false, true]);
    assert_eq!(hears(&world, b, 20), [true, false, true]);
    assert_eq!(world.gauges.rooms.load(Ordering::Relaxed), 1);
    world.send(place(RoomId::of(1 << 64), &[a], Hears::Room));
    world.send(end(a));
    [b, c].into_iter().for_each(|it| world.send(end(it)));
    world.ticks(4);
    assert_eq!(world.counts(), [0, 0]);
}

#[test]
fn programs_are_told_when_they_are_over_and_not_when_they_are_stopped() {
    let mut world = World::new(1);
    let call = world.dial(None);
    world.send(Order::Play { call, number: 1, program: beep() });
    world.send(Order::Play { call, number: 2, program: beep() });
    world.ticks(30);
    assert_eq!(world.reports(call), [Heard::Over(2)]);
    assert!(0.05 < amplitude(&world.heard(call, 30)[..1_400], 8_000, 880.0));
    world.send(Order::Play { call, number: 3, program: beep() });
    world.ticks(2);
    world.send(Order::Stop { call });
    world.ticks(30);
    assert_eq!(world.reports(call), []);
    world.send(Order::Play { call, number: 4, program: [].into() });
    world.ticks(1);
    assert_eq!(world.reports(call), [Heard::Over(4)]);
}

#[test]
fn a_sound_that_comes_late_is_waited_for_and_one_that_never_comes_is_passed_over() {
    let mut world = World::new(1);
    let call = world.dial(None);
    let url = |name: &str| Sound::from(What::Url(name.into()));
    let program: Program = [url("flow:late"), url("flow:bad"), What::Beep(1).into()].into();
    world.send(Order::Play { call, number: 1, program });
    world.ticks(10);
    assert_eq!(world.reports(call), []);
    world.load("flow:late", Ok([9_000; 800].into()));
    world.load("flow:bad", Err("it cannot be had".to_owned()));
    world.ticks(5);
    let heard = world.heard(call, 5);
    assert!(heard[45..700].iter().all(|it| it.abs_diff(9_000) < 300), "{heard:?}");
    world.ticks(20);
    assert!(0.05 < amplitude(&world.heard(call, 20), 8_000, 880.0));
    assert_eq!(world.reports(call), [Heard::Over(1)]);
}

#[test]
fn a_text_that_nobody_can_read_is_a_beep() {
    let mut world = World::new(1);
    let call = world.dial(None);
    let (text, voice, language) = ("привет".into(), "WOMAN".into(), "xx".into());
    let program = [What::Speech { text, voice, language }.into()].into();
    world.send(Order::Play { call, number: 1, program });
    world.load("xx", Err("no voice reads it".to_owned()));
    world.ticks(20);
    assert!(0.05 < amplitude(&world.heard(call, 20), 8_000, 880.0));
    assert_eq!(world.reports(call), [Heard::Over(1)]);
}

#[test]
fn announcements_follow_each_other_and_can_be_hushed() {
    let (mut world, [a, b, _]) = three(1);
    let address = Arc::new(Address { kind: AnnouncementKind::Play, members: None });
    let program: Program = [Sound { what: What::Url("sound:beep".into()), times: 0 }].into();
    world.send(Order::Announce {
        room: ROOM,
        calls: vec![a, b],
        address: Some(address.clone()),
        program,
    });
    world.ticks(20);
    assert!(0.05 < amplitude(&world.heard(a, 10), 8_000, 1_000.0));
    assert_eq!(hears(&world, a, 10), [false; 3]);
    world.send(Order::Hush { room: ROOM, calls: vec![a], address });
    world.ticks(20);
    assert_eq!(hears(&world, a, 19), [false, true, true]);
    assert_eq!(hears(&world, b, 19), [false; 3]);
    world.send(remove(ROOM, &[b]));
    world.ticks(2);
    assert!(world.heard(b, 1).iter().all(|it| it.unsigned_abs() <= 8));
}

#[test]
fn keys_are_heard_and_sent_as_events() {
    let mut world = World::new(1);
    let call = world.dial(None);
    "12#".chars().for_each(|key| world.press(call, key));
    world.ticks(30);
    let digits = ['1', '2', '#'].map(Heard::Digit);
    assert_eq!(world.reports(call), digits);
    world.send(Order::SendDigits { call, number: 7, digits: "4w5".into() });
    world.ticks(60);
    assert_eq!(world.reports(call), [Heard::Over(7)]);
    assert_eq!(world.keys_sent(call), "45");
    world.check_streams();
    let summary = world.switchboard.close(call);
    assert_eq!((summary.jitter_us, summary.lost), (0, 0), "keys are no jitter");
}

#[test]
fn without_events_keys_are_sent_as_tones() {
    let mut world = World::new(1);
    let call = world.dial(None);
    world.agree_without_events(call);
    world.send(Order::SendDigits { call, number: 7, digits: "9".into() });
    world.ticks(4);
    assert_eq!(key_in(&world.heard(call, 3), 8_000), Some('9'));
    world.ticks(20);
    assert_eq!((world.keys_sent(call), world.reports(call)), (String::new(), vec![Heard::Over(7)]));
}

#[test]
fn a_relayed_key_is_heard_as_a_tone() {
    let (mut world, [a, b, _]) = three(1);
    let mute = Order::Mute { room: ROOM, calls: vec![a, b], on: true };
    world.send(mute);
    world.send(Order::Deafen { room: ROOM, calls: vec![a], on: true });
    world.ticks(20);
    world.send(Order::RelayDigit { room: ROOM, calls: vec![a], digit: '7' });
    world.ticks(4);
    assert_eq!(key_in(&world.heard(a, 3), 8_000), Some('7'));
}

#[test]
fn talk_is_told_alone_and_in_a_room() {
    let mut world = World::new(1);
    let call = world.dial(Some(700.0));
    world.ticks(20);
    assert_eq!(world.reports(call), [Heard::Talk(true)]);
    world.voice(call, None);
    world.ticks(60);
    assert_eq!(world.reports(call), [Heard::Talk(false)]);
    world.send(place(ROOM, &[call], Hears::Room));
    world.voice(call, Some(700.0));
    world.ticks(20);
    assert_eq!(world.reports(call), [Heard::Talk(true)]);
    world.agree(call, Direction::RecvOnly, true);
    world.ticks(60);
    assert_eq!(world.reports(call), [Heard::Talk(false)], "what a holder sends is no talk");
}

#[test]
fn strangers_are_neither_heard_nor_taken_for_a_sign_of_life() {
    let (mut world, [a, b, _]) = three(1);
    world.voice(a, None);
    world.ticks(60);
    world.gauges.dropped.store(0, Ordering::Relaxed);
    for _ in 0..20 {
        world.say_from("203.0.113.9:4000", a, 2_500.0);
        world.scrap(a, &[0x80]);
        world.ticks(1);
    }
    assert!(amplitude(&world.heard(b, 20), 8_000, 2_500.0) < 0.002);
    assert_eq!(world.gauges.dropped.load(Ordering::Relaxed), 40);
}

#[test]
fn a_leg_without_any_packet_for_a_minute_is_lost_once_unless_it_is_held() {
    let mut world = World::new(1);
    let [silent, reporting, held] = [(); 3].map(|()| world.dial(None));
    [silent, reporting, held].into_iter().for_each(|it| world.hush(it));
    world.agree(held, Direction::RecvOnly, true);
    for _ in 0..14 {
        world.ticks(250);
        world.report_from(reporting);
    }
    let lost = |world: &World, call| {
        world.reports(call).into_iter().filter(|it| *it == Heard::Lost).count()
    };
    assert_eq!([silent, reporting, held].map(|it| lost(&world, it)), [1, 0, 0]);
}

#[test]
fn reports_are_sent_every_five_seconds_and_a_goodbye_at_the_end() {
    let mut world = World::new(1);
    let call = world.dial(Some(700.0));
    world.ticks(50 * 60);
    let n_reports = world.reports_sent(call).len();
    assert!((10..=15).contains(&n_reports), "{n_reports}");
    let summary = world.switchboard.close(call);
    world.ticks(1);
    assert_eq!(world.reports_sent(call).len(), n_reports + 1);
    let sent = world.sent(call).len() as u64;
    assert_eq!((summary.sent, summary.received, summary.lost), (sent, 3_000, 0));
    assert_eq!(world.counts(), [0, 0]);
}

#[test]
fn nothing_is_sent_before_the_agreement_and_a_program_waits_for_it() {
    let mut world = World::new(1);
    let call = world.ring();
    world.send(Order::Play { call, number: 1, program: beep() });
    world.ticks(30);
    assert_eq!(world.sent(call).len(), 0);
    world.agree(call, Direction::SendRecv, false);
    world.ticks(30);
    assert_eq!(world.sent(call).len(), 30);
    assert!(0.05 < amplitude(&world.heard(call, 30)[..1_400], 8_000, 880.0));
    assert_eq!(world.reports(call), [Heard::Over(1)]);
}
