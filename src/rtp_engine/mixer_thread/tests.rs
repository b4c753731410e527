//! Mixer threads on a virtual clock, with sockets in memory: who says and hears what, and when.

mod handover;
mod harness;
mod room_sounds;
mod teardown;

use std::{sync::atomic::Ordering, time::Duration};

use super::super::{demultiplexer::Demultiplexer, gauges::PacketDrop, mailbox::WaitFor};
use super::*;
use crate::{
    audio::tone::{amplitude, key_in},
    media::{
        AnnouncementAddress, AnnouncementKind, AudioOrder, LegEvent, MemberAudio, Program, Sound,
        SoundKind, SoundToAll,
    },
    rtp::sdp::{Agreed, MediaDirection},
};
use harness::{EngineHarness, ROOM, agreed, beep, place, remove, wait};
use room_sounds::{address, to_room};

/// Three in a room, each with a tone, for long enough that all hear each other.
fn three(threads: usize) -> (EngineHarness, [CallId; 3]) {
    let mut harness = EngineHarness::new(threads);
    let calls = [700.0, 1_100.0, 1_900.0].map(|tone| harness.dial(Some(tone)));
    harness.send(place(ROOM, &calls, MemberAudio::Room));
    harness.ticks(40);
    (harness, calls)
}

/// Which of the three tones a call was sent in the last `ticks` ticks.
fn hears(harness: &EngineHarness, call: CallId, ticks: usize) -> [bool; 3] {
    let samples = harness.heard(call, ticks);
    [700.0, 1_100.0, 1_900.0].map(|tone| 0.02 < amplitude(&samples, 8_000, tone))
}

#[test]
fn each_hears_the_two_others_and_not_itself() {
    for threads in [1, 2, 3] {
        let (harness, [a, b, c]) = three(threads);
        assert_eq!(hears(&harness, a, 20), [false, true, true]);
        assert_eq!(hears(&harness, b, 20), [true, false, true]);
        assert_eq!(hears(&harness, c, 20), [true, true, false]);
    }
}

#[test]
fn rooms_do_not_hear_each_other() {
    let (mut harness, [a, b, c]) = three(2);
    let other = RoomId::of(99 << 64);
    harness.send(place(other, &[c], MemberAudio::Room));
    harness.ticks(40);
    assert_eq!(hears(&harness, a, 20), [false, true, false]);
    assert_eq!(hears(&harness, b, 20), [true, false, false]);
    assert_eq!(hears(&harness, c, 20), [false; 3]);
    assert_eq!(harness.gauges.rooms.load(Ordering::Relaxed), 2);
}

#[test]
fn the_muted_are_not_heard_and_hear() {
    let (mut harness, [a, b, c]) = three(1);
    harness.send(AudioOrder::Mute { room: ROOM, calls: vec![a], on: true });
    harness.ticks(20);
    assert_eq!(hears(&harness, b, 19), [false, false, true]);
    assert_eq!(hears(&harness, c, 19), [false, true, false]);
    assert_eq!(hears(&harness, a, 19), [false, true, true]);
    harness.send(AudioOrder::Mute { room: ROOM, calls: vec![a], on: false });
    harness.ticks(20);
    assert_eq!(hears(&harness, b, 10), [true, false, true]);
}

#[test]
fn one_may_be_muted_just_before_he_is_placed_and_removal_ends_it() {
    for threads in [1, 2] {
        let mut harness = EngineHarness::new(threads);
        let [a, b] = [700.0, 1_100.0].map(|tone| harness.dial(Some(tone)));
        harness.send(place(ROOM, &[b], MemberAudio::Room));
        harness.send(AudioOrder::Mute { room: ROOM, calls: vec![a], on: true });
        harness.send(place(ROOM, &[a], MemberAudio::Room));
        harness.ticks(40);
        assert_eq!(hears(&harness, b, 40), [false; 3]);
        assert_eq!(hears(&harness, a, 20), [false, true, false]);
        harness.send(remove(ROOM, &[a]));
        harness.send(place(ROOM, &[a], MemberAudio::Room));
        harness.ticks(40);
        assert_eq!(hears(&harness, b, 20), [true, false, false]);
    }
}

#[test]
fn who_goes_to_another_room_is_not_muted_when_he_comes_back() {
    let (mut harness, [a, b, _]) = three(1);
    harness.send(AudioOrder::Mute { room: ROOM, calls: vec![a], on: true });
    harness.send(place(RoomId::of(6 << 64), &[a], MemberAudio::Room));
    harness.send(place(ROOM, &[a], MemberAudio::Room));
    harness.ticks(20);
    assert_eq!(hears(&harness, b, 10), [true, false, true]);
}

#[test]
fn what_was_played_is_over_when_a_leg_is_placed_on_another_thread() {
    for thread in [0, 1] {
        let mut harness = EngineHarness::new(2);
        let call = harness.dial(None);
        let program = [SoundKind::Url("sound:hold".into()).into()].into();
        harness.send(AudioOrder::Play { call, number: 1, program });
        harness.ticks(20);
        harness.send(place(RoomId::of(thread << 64), &[call], wait()));
        harness.ticks(5);
        assert!(harness.heard(call, 5)[40..].iter().all(|it| it.unsigned_abs() <= 8), "{thread}");
        assert!(harness.heard(call, 6)[..160].iter().any(|it| 500 < it.unsigned_abs()));
    }
}

#[test]
fn the_deaf_hear_nothing_of_the_room_but_what_is_played_to_them() {
    let (mut harness, [a, b, _]) = three(1);
    harness.send(AudioOrder::Deafen { room: ROOM, calls: vec![a], on: true });
    harness.ticks(20);
    assert_eq!(hears(&harness, a, 19), [false; 3]);
    assert_eq!(hears(&harness, b, 19), [true, false, true]);
    let (calls, program) = (vec![a], [SoundKind::Beep(1).into()].into());
    harness.send(AudioOrder::Announce { room: ROOM, calls, address: address(), program });
    harness.ticks(8);
    assert!(0.05 < amplitude(&harness.heard(a, 8), 8_000, 880.0));
    harness.send(AudioOrder::Deafen { room: ROOM, calls: vec![a], on: false });
    harness.ticks(20);
    assert_eq!(hears(&harness, a, 10), [false, true, true]);
}

#[test]
fn the_removed_hear_silence_at_once_and_the_others_go_on() {
    let (mut harness, [a, b, c]) = three(1);
    harness.send(remove(ROOM, &[a]));
    harness.ticks(20);
    let heard = harness.heard(a, 20);
    assert!(heard[40..].iter().all(|it| it.unsigned_abs() <= 8), "5 ms of fade, then silence");
    assert_eq!(hears(&harness, b, 19), [false, false, true]);
    assert_eq!(hears(&harness, c, 19), [false, true, false]);
    harness.check_streams();
}

#[test]
fn a_cut_in_the_midst_of_a_tick_holds_for_all_packets_after_it() {
    for cut in ["remove", "mute", "wait", "end", "deafen"] {
        let (mut harness, [a, b, c]) = three(1);
        // While a's packet is sent, c is cut off; b and c have not had theirs.
        let command = match cut {
            "remove" => Command::Leave { room: ROOM },
            "mute" => Command::Mute { room: ROOM, on: true },
            "wait" => {
                Command::Enter { room: ROOM, hears: super::super::command::LoadedAudio::Wait(None) }
            }
            "deafen" => Command::Deafen { room: ROOM, on: true },
            _ => Command::End,
        };
        harness.ticks(1);
        let (before_b, before_c) = (harness.heard(b, 1), harness.heard(c, 1));
        assert!(before_b.iter().chain(&before_c).any(|it| 1_000 < it.unsigned_abs()));
        let post = harness.senders[0].clone();
        harness.on_send(a, move || {
            // No wait: this is the thread that it would wait for.
            let _posted = post.post(MailboxMessage::One(c, command));
        });
        let sent = harness.sent(c).len();
        harness.ticks(1);
        let b_heard_c = 500.0 < level_at(&harness.heard(b, 1)[40..], 1_900.0);
        assert_eq!(b_heard_c, cut == "deafen", "{cut}");
        match cut {
            "end" => assert_eq!(harness.sent(c).len(), sent, "no packet after the end"),
            "mute" => assert!(500.0 < level_at(&harness.heard(c, 1)[40..], 700.0)),
            _ => {
                assert!(harness.heard(c, 1)[40..].iter().all(|it| it.unsigned_abs() <= 8), "{cut}");
            }
        }
        assert_eq!(hears(&harness, a, 1), [false, true, true], "{cut}: it was under way");
        harness.ticks(10);
        assert_eq!(hears(&harness, b, 9), [true, false, cut == "deafen"], "{cut}");
    }
}

fn level_at(samples: &[i16], tone: f64) -> f64 {
    amplitude(samples, 8_000, tone) * 32_768.0
}

#[test]
fn who_waits_hears_his_wait_sound_and_is_not_heard() {
    let (mut harness, [a, b, _]) = three(1);
    let hold: Program = [SoundKind::Url("sound:hold".into()).into()].into();
    harness.send(place(ROOM, &[a], MemberAudio::Wait(Some(hold))));
    harness.ticks(60);
    let heard = harness.heard(a, 50);
    assert!(heard.chunks(160).all(|it| it.iter().any(|it| 500 < it.unsigned_abs())));
    assert_eq!(hears(&harness, b, 50), [false, false, true]);
    harness.send(place(ROOM, &[a], MemberAudio::Room));
    harness.ticks(20);
    assert_eq!(hears(&harness, b, 10), [true, false, true]);
    assert_eq!(hears(&harness, a, 10), [false, true, true]);
}

#[test]
fn one_that_holds_us_is_out_of_the_mix_and_is_sent_nothing() {
    let (mut harness, [a, b, _]) = three(1);
    harness.agree(a, MediaDirection::RecvOnly, true);
    let sent = harness.sent(a).len();
    harness.ticks(20);
    assert_eq!(hears(&harness, b, 19), [false, false, true]);
    assert_eq!(harness.sent(a).len(), sent);
    harness.agree(a, MediaDirection::SendRecv, false);
    harness.ticks(20);
    assert_eq!(hears(&harness, b, 10), [true, false, true]);
    assert_eq!(hears(&harness, a, 10), [false, true, true]);
    harness.check_streams();
}

#[test]
fn the_stream_goes_on_through_everything() {
    let (mut harness, [a, _, _]) = three(2);
    for n in 0..5 {
        harness.send(remove(ROOM, &[a]));
        harness.send(AudioOrder::Play { call: a, number: n, program: beep() });
        harness.ticks(7);
        harness.send(place(RoomId::of(u128::from(n) << 64), &[a], MemberAudio::Room));
        harness.ticks(1);
        harness.send(remove(RoomId::of(u128::from(n) << 64), &[a]));
        harness.send(place(ROOM, &[a], MemberAudio::Room));
        harness.ticks(5);
    }
    let sent = harness.sent(a);
    assert_eq!(sent.len(), 40 + 5 * 13, "not a tick without a packet");
    assert_eq!(sent[0].ssrc, sent[sent.len() - 1].ssrc);
    harness.check_streams();
    assert_eq!(hears(&harness, a, 3), [false, true, true]);
}

#[test]
fn a_leg_can_be_called_away_before_it_has_come() {
    let (mut harness, [a, b, c]) = three(3);
    for n in 0..6 {
        harness.send(place(RoomId::of(n << 64), &[a, b, c], MemberAudio::Room));
    }
    harness.send(AudioOrder::Mute { room: RoomId::of(5 << 64), calls: vec![b], on: true });
    harness.ticks(40);
    assert_eq!(hears(&harness, a, 20), [false, false, true]);
    assert_eq!(hears(&harness, b, 20), [true, false, true]);
    assert_eq!(harness.gauges.rooms.load(Ordering::Relaxed), 1);
    harness.send(place(RoomId::of(1 << 64), &[a], MemberAudio::Room));
    harness.end(a);
    [b, c].into_iter().for_each(|it| harness.end(it));
    harness.ticks(4);
    assert_eq!(harness.counts(), [0, 0]);
}

#[test]
fn the_end_of_a_program_is_reported_unless_it_was_stopped() {
    let mut harness = EngineHarness::new(1);
    let call = harness.dial(None);
    harness.send(AudioOrder::Play { call, number: 1, program: beep() });
    harness.send(AudioOrder::Play { call, number: 2, program: beep() });
    harness.ticks(30);
    assert_eq!(harness.reports(call), [LegEvent::Finished(2)]);
    assert!(0.05 < amplitude(&harness.heard(call, 30)[..1_400], 8_000, 880.0));
    harness.send(AudioOrder::Play { call, number: 3, program: beep() });
    harness.ticks(2);
    harness.send(AudioOrder::Stop { call });
    harness.ticks(30);
    assert_eq!(harness.reports(call), []);
    harness.send(AudioOrder::Play { call, number: 4, program: [].into() });
    harness.ticks(1);
    assert_eq!(harness.reports(call), [LegEvent::Finished(4)]);
}

#[test]
fn a_sound_that_comes_late_is_waited_for_and_one_that_never_comes_is_passed_over() {
    let mut harness = EngineHarness::new(1);
    let call = harness.dial(None);
    let url = |name: &str| Sound::from(SoundKind::Url(name.into()));
    let program: Program = [url("flow:late"), url("flow:bad"), SoundKind::Beep(1).into()].into();
    harness.send(AudioOrder::Play { call, number: 1, program });
    harness.ticks(10);
    assert_eq!(harness.reports(call), []);
    harness.load("flow:late", Ok([9_000; 800].into()));
    harness.load("flow:bad", Err("it cannot be had".to_owned()));
    harness.ticks(5);
    let heard = harness.heard(call, 5);
    assert!(heard[45..700].iter().all(|it| it.abs_diff(9_000) < 300), "{heard:?}");
    harness.ticks(20);
    assert!(0.05 < amplitude(&harness.heard(call, 20), 8_000, 880.0));
    assert_eq!(harness.reports(call), [LegEvent::Finished(1)]);
}

#[test]
fn a_text_that_nobody_can_read_is_a_beep() {
    let mut harness = EngineHarness::new(1);
    let call = harness.dial(None);
    let (text, voice, language) = ("привет".into(), "WOMAN".into(), "xx".into());
    let program = [SoundKind::Speech { text, voice, language }.into()].into();
    harness.send(AudioOrder::Play { call, number: 1, program });
    harness.load("xx", Err("no voice reads it".to_owned()));
    harness.ticks(20);
    assert!(0.05 < amplitude(&harness.heard(call, 20), 8_000, 880.0));
    assert_eq!(harness.reports(call), [LegEvent::Finished(1)]);
}

#[test]
fn announcements_follow_each_other_and_can_be_hushed() {
    let (mut harness, [a, b, _]) = three(1);
    let address = address();
    let program: Program = [Sound { what: SoundKind::Url("sound:beep".into()), times: 0 }].into();
    harness.send(AudioOrder::Announce {
        room: ROOM,
        calls: vec![a, b],
        address: address.clone(),
        program,
    });
    harness.ticks(20);
    assert!(0.05 < amplitude(&harness.heard(a, 10), 8_000, 1_000.0));
    assert_eq!(hears(&harness, a, 10), [false; 3]);
    harness.send(AudioOrder::Hush { room: ROOM, calls: vec![a], address });
    harness.ticks(20);
    assert_eq!(hears(&harness, a, 19), [false, true, true]);
    assert_eq!(hears(&harness, b, 19), [false; 3]);
    harness.send(remove(ROOM, &[b]));
    harness.ticks(2);
    assert!(harness.heard(b, 1).iter().all(|it| it.unsigned_abs() <= 8));
}

#[test]
fn keys_are_heard_and_sent_as_events() {
    let mut harness = EngineHarness::new(1);
    let call = harness.dial(None);
    "12#".chars().for_each(|key| harness.press(call, key));
    harness.ticks(30);
    let digits = ['1', '2', '#'].map(LegEvent::Digit);
    assert_eq!(harness.reports(call), digits);
    harness.send(AudioOrder::SendDigits { call, number: 7, digits: "4w5".into() });
    harness.ticks(60);
    assert_eq!(harness.reports(call), [LegEvent::Finished(7)]);
    assert_eq!(harness.keys_sent(call), "45");
    harness.check_streams();
    let summary = harness.demultiplexer.close(call);
    assert_eq!((summary.jitter_us, summary.lost), (0, 0), "keys are no jitter");
}

/// Phones set to "RFC 2833 and INFO" send each key both ways.
#[test]
fn a_key_that_comes_as_an_event_and_by_info_is_one_key() {
    let mut harness = EngineHarness::new(1);
    let call = harness.dial(None);
    for key in "112".chars() {
        harness.press(call, key);
        harness.ticks(4);
        harness.press_by_info(call, key);
        harness.ticks(11);
    }
    assert_eq!(harness.reports(call), ['1', '1', '2'].map(LegEvent::Digit));
    harness.ticks(50);
    harness.press_by_info(call, '2');
    harness.ticks(1);
    assert_eq!(harness.reports(call), [LegEvent::Digit('2')]);
}

#[test]
fn a_far_end_that_wants_short_packets_gets_them() {
    let mut harness = EngineHarness::new(1);
    let call = harness.dial(None);
    harness.agree_on(call, Agreed { packet_ms: 10, ..agreed() });
    harness.ticks(1);
    let before = harness.sent(call).len();
    harness.ticks(50);
    let sent = harness.sent(call);
    assert_eq!(sent.len() - before, 100);
    for pair in sent[before..].windows(2) {
        assert_eq!(pair[1].payload.len(), 80);
        assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), 80);
        assert_eq!(pair[1].sequence.wrapping_sub(pair[0].sequence), 1);
    }
}

#[test]
fn a_packet_that_is_too_long_is_counted() {
    let mut harness = EngineHarness::new(1);
    let call = harness.dial(None);
    let packet =
        |bytes: usize| [&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9][..], &vec![0xff; bytes]].concat();
    for bytes in [1_600, 1_601, 1_900] {
        harness.receive_raw(call, &packet(bytes));
    }
    harness.ticks(1);
    assert_eq!(harness.gauges.dropped(PacketDrop::TooLong), 2);
}

#[test]
fn without_events_keys_are_sent_as_tones() {
    let mut harness = EngineHarness::new(1);
    let call = harness.dial(None);
    harness.agree_without_events(call);
    harness.send(AudioOrder::SendDigits { call, number: 7, digits: "9".into() });
    harness.ticks(4);
    assert_eq!(key_in(&harness.heard(call, 3), 8_000), Some('9'));
    harness.ticks(20);
    assert_eq!(
        (harness.keys_sent(call), harness.reports(call)),
        (String::new(), vec![LegEvent::Finished(7)])
    );
}

#[test]
fn a_relayed_key_is_heard_as_a_tone() {
    let (mut harness, [a, b, c]) = three(1);
    let mute = AudioOrder::Mute { room: ROOM, calls: vec![a, b, c], on: true };
    harness.send(mute);
    harness.send(AudioOrder::Deafen { room: ROOM, calls: vec![a], on: true });
    harness.ticks(20);
    harness.send(to_room(SoundToAll::RelayDigit { from: c, digit: '7' }));
    harness.ticks(4);
    assert_eq!([a, b, c].map(|it| key_in(&harness.heard(it, 3), 8_000)), [None, Some('7'), None]);
}

#[test]
fn talk_is_reported_alone_and_in_a_room() {
    let mut harness = EngineHarness::new(1);
    let call = harness.dial(Some(700.0));
    harness.ticks(20);
    assert_eq!(harness.reports(call), [LegEvent::Talk(true)]);
    harness.voice(call, None);
    harness.ticks(60);
    assert_eq!(harness.reports(call), [LegEvent::Talk(false)]);
    harness.send(place(ROOM, &[call], MemberAudio::Room));
    harness.voice(call, Some(700.0));
    harness.ticks(20);
    assert_eq!(harness.reports(call), [LegEvent::Talk(true)]);
    harness.agree(call, MediaDirection::RecvOnly, true);
    harness.ticks(60);
    assert_eq!(harness.reports(call), [LegEvent::Talk(false)], "what a holder sends is no talk");
}

#[test]
fn strangers_are_neither_heard_nor_taken_for_a_sign_of_life() {
    let (mut harness, [a, b, _]) = three(1);
    harness.voice(a, None);
    harness.ticks(60);
    for _ in 0..20 {
        harness.say_from("203.0.113.9:4000", a, 2_500.0);
        harness.receive_raw(a, &[0x80]);
        harness.ticks(1);
    }
    assert!(amplitude(&harness.heard(b, 20), 8_000, 2_500.0) < 0.002);
    let dropped = |why| harness.gauges.dropped(why);
    assert_eq!([PacketDrop::Stranger, PacketDrop::Malformed].map(dropped), [20, 20]);
}

#[test]
fn a_leg_without_any_packet_for_a_minute_is_lost_once_unless_it_is_held() {
    let mut harness = EngineHarness::new(1);
    let [silent, reporting, held] = [(); 3].map(|()| harness.dial(None));
    [silent, reporting, held].into_iter().for_each(|it| harness.silence(it));
    harness.agree(held, MediaDirection::RecvOnly, true);
    for _ in 0..14 {
        harness.ticks(250);
        harness.report_from(reporting);
    }
    let lost = |harness: &EngineHarness, call| {
        harness.reports(call).into_iter().filter(|it| *it == LegEvent::MediaLost).count()
    };
    assert_eq!([silent, reporting, held].map(|it| lost(&harness, it)), [1, 0, 0]);
}

#[test]
fn reports_are_sent_every_five_seconds_and_a_goodbye_at_the_end() {
    let mut harness = EngineHarness::new(1);
    let call = harness.dial(Some(700.0));
    harness.ticks(50 * 60);
    let n_reports = harness.reports_sent(call).len();
    assert!((10..=15).contains(&n_reports), "{n_reports}");
    let summary = harness.demultiplexer.close(call);
    harness.ticks(1);
    assert_eq!(harness.reports_sent(call).len(), n_reports + 1);
    let sent = harness.sent(call).len() as u64;
    assert_eq!((summary.sent, summary.received, summary.lost), (sent, 3_000, 0));
    assert_eq!(harness.counts(), [0, 0]);
}

#[test]
fn nothing_is_sent_before_the_agreement_and_a_program_waits_for_it() {
    let mut harness = EngineHarness::new(1);
    let call = harness.ring();
    harness.send(AudioOrder::Play { call, number: 1, program: beep() });
    harness.ticks(30);
    assert_eq!(harness.sent(call).len(), 0);
    harness.agree(call, MediaDirection::SendRecv, false);
    harness.ticks(30);
    assert_eq!(harness.sent(call).len(), 30);
    assert!(0.05 < amplitude(&harness.heard(call, 30)[..1_400], 8_000, 880.0));
    assert_eq!(harness.reports(call), [LegEvent::Finished(1)]);
}
