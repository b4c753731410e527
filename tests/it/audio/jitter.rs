//! The jitter buffer under different network conditions.

use conflow::{
    audio::jitter::{Jitter, JitterCounts, Pulled, Pushed, TARGET_MAX},
    rtp::{
        g711::{FRAME, Law},
        packet,
    },
};

/// Takes packets of (arrival in ms, number, units each); ticks are at 10, 30, 50 … ms. Returns what
/// is played: `a` is the first packet, `~` is concealment, `.` is silence.
fn played(packets: &[(usize, usize, usize)], ticks: usize) -> (String, JitterCounts) {
    let (mut jitter, mut played, mut packets) = (Jitter::default(), String::new(), packets);
    for tick in 0..ticks {
        while let [(ms, number, units), rest @ ..] = packets
            && *ms <= tick * 20 + 10
        {
            push(&mut jitter, 1, *number, *units);
            packets = rest;
        }
        played.push(match jitter.pull() {
            Pulled::Frame(_, frame) => frame_char(frame[0]),
            Pulled::Concealed(..) => '~',
            Pulled::Nothing => '.',
        });
    }
    (played, jitter.counts())
}

/// Sequence numbers and timestamps wrap after five packets, so that every test covers it.
fn push(jitter: &mut Jitter, ssrc: u32, number: usize, units: usize) -> Pushed {
    let first = (number * units) as u32;
    let payload: Vec<u8> =
        (0..units).map(|at| ((number * units + at) / FRAME % 26) as u8 + 0x10).collect();
    let packet = packet::Packet {
        marker: false,
        payload_type: 0,
        sequence: (number as u16).wrapping_sub(5),
        timestamp: first.wrapping_sub(5 * units as u32),
        ssrc,
        payload: &payload,
    };
    jitter.push(&packet, Law::Mu)
}

fn frame_char(byte: u8) -> char {
    char::from(byte - 0x10 + b'a')
}

/// Packets of 20 ms, one per letter. `late` maps the due time to the time of arrival.
fn sent(order: &str, late: impl Fn(usize) -> usize) -> Vec<(usize, usize, usize)> {
    let at = |it: char| (it as usize) - ('a' as usize);
    let mut sent: Vec<_> =
        order.chars().map(|it| (at(it) * 20 + late(at(it)), at(it), FRAME)).collect();
    sent.sort();
    sent
}

#[track_caller]
fn check(packets: &[(usize, usize, usize)], expected: &str) -> JitterCounts {
    let (played, counts) = played(packets, expected.len());
    assert_eq!(played, expected);
    counts
}

#[test]
fn frames_are_played_in_order_50_ms_after_they_come() {
    let counts = check(&sent("abcdefgh", |_| 0), "..abcdefgh");
    assert_eq!(counts, JitterCounts { restarts: 1, ..JitterCounts::default() });
}

#[test]
fn up_to_40_ms_of_jitter_change_nothing() {
    check(&sent("abcdefgh", |n| if n % 3 == 1 { 39 } else { 0 }), "..abcdefgh");
    check(&sent("abcdefgh", |n| if n == 4 { 25 } else { 0 }), "..abcdefgh");
}

#[test]
fn loss_is_concealed_and_then_becomes_silence() {
    let counts = check(&sent("abdefgh", |_| 0), "..ab~defgh");
    assert_eq!(counts.concealed, 1);
    check(&sent("abgh", |_| 0), "..ab~~~.gh");
    check(&sent("ab", |_| 0), "..ab~~~....");
    // Long after the ring has wrapped: its old content is not heard again.
    let lossy: Vec<_> = sent("abcdefghijklmnopqrstuvwxyz", |_| 0);
    let lossy: Vec<_> = lossy.into_iter().filter(|it| it.1 != 20).collect();
    check(&lossy, "..abcdefghijklmnopqrst~vwxyz");
}

#[test]
fn doubled_packets_change_nothing() {
    let mut packets = [sent("abcdef", |_| 0), sent("abcdef", |_| 15)].concat();
    packets.extend(sent("abcdef", |_| 90));
    packets.sort();
    let counts = check(&packets, "..abcdef~~");
    assert_eq!((counts.duplicates, counts.late), (12, 0));
}

#[test]
fn a_late_packet_is_dropped_and_the_delay_grows_by_a_frame() {
    let counts = check(&sent("abcdefgh", |n| if n == 2 { 55 } else { 0 }), "..ab~~defgh");
    assert_eq!((counts.late, counts.concealed), (1, 2));
}

#[test]
fn a_stalled_network_delays_but_loses_nothing() {
    // Nothing arrives between 60 and 150 ms, then everything at once.
    let stand = |n: usize| if (3..8).contains(&n) { 150 - n * 20 } else { 0 };
    check(&sent("abcdefghijklm", stand), "..abc~~defghijklm");
}

#[test]
fn after_too_much_at_once_the_newest_is_played() {
    let stand = |n: usize| if (3..14).contains(&n) { 280 - n * 20 } else { 0 };
    let counts = check(&sent("abcdefghijklmnopqrst", stand), "..abc~~~......mnopqrst");
    assert_eq!(counts.late, 0);
}

#[test]
fn a_stand_of_100_ms_loses_nothing() {
    let stand = |n: usize| if (3..10).contains(&n) { 190 - n * 20 } else { 0 };
    let counts = check(&sent("abcdefghijklmnop", stand), "..abc~~~.defghijklmnop");
    assert_eq!((counts.late, counts.restarts), (0, 1));
}

#[test]
fn a_sender_that_pauses_has_the_same_delay_afterwards() {
    check(&sent("abcdefmnopq", |_| 0), "..abcdef~~~...mnopq");
    // The buffer ran dry for two ticks; what follows has the same delay as before.
    check(&sent("abcghij", |_| 0), "..abc~~~ghij");
}

#[test]
fn packets_of_other_lengths_are_played_in_order() {
    let of = |units: usize, n: usize| -> Vec<_> {
        (0..n).map(|it| (it * units / 8, it, units)).collect()
    };
    check(&of(80, 16), "..abcdefg");
    check(&of(240, 6), "..abcdefg");
    check(&of(480, 4), "..abcdefghi");
    check(&of(640, 3), "..abcdefghi");
    let mut jitter = Jitter::default();
    assert_eq!(push(&mut jitter, 1, 0, 1_601), Pushed::TooLong);
    assert_eq!(push(&mut jitter, 1, 0, 0), Pushed::Empty);
    assert_eq!(jitter.pull(), Pulled::Nothing);
}

/// RFC 3551, section 4.2: a receiver should accept packets of up to 200 ms.
#[test]
fn packets_of_up_to_200_ms_are_played_whole_on_any_network() {
    for units in [800, 960, 1_200, 1_600] {
        let due = |n: usize| n * units / 8;
        let (frames, ticks) = (6 * units / FRAME, 6 * units / FRAME + 12);
        let all: String = (0..frames).map(|it| char::from(b'a' + (it % 26) as u8)).collect();
        let on_time: Vec<_> = (0..6).map(|n| (due(n), n, units)).collect();
        let (heard, counts) = played(&on_time, frames + 2);
        assert_eq!((heard, counts.late), (format!("..{all}"), 0), "{units}");

        // Up to 40 ms late.
        let jittery: Vec<_> = (0..6).map(|n| (due(n) + [0, 39, 15][n % 3], n, units)).collect();
        assert_eq!(played(&jittery, frames + 2).0, format!("..{all}"), "{units}");

        if !units.is_multiple_of(FRAME) {
            // A frame of two packets is lost with either.
            continue;
        }
        // The third is lost: all others are heard.
        let lossy: Vec<_> = on_time.iter().copied().filter(|it| it.1 != 2).collect();
        let without = |lost: usize| -> String {
            let rest = all.char_indices().filter(|(at, _)| at * FRAME / units != lost);
            rest.map(|it| it.1).collect()
        };
        let letters = |heard: String| heard.chars().filter(char::is_ascii_alphabetic).collect();
        let (heard, counts) = played(&lossy, ticks);
        let heard: String = letters(heard);
        assert_eq!((heard, counts.late), (without(2), 0), "{units}");

        // The second comes after the third: its last 40 ms are in time, and nothing else is lost.
        let mut swapped = on_time.clone();
        swapped[1].0 = due(2) + 5;
        swapped.swap(1, 2);
        let per_packet = units / FRAME;
        let is_lost = |at: usize| at / per_packet == 1 && at % per_packet < per_packet - 2;
        let expected: String =
            all.char_indices().filter(|it| !is_lost(it.0)).map(|it| it.1).collect();
        let heard: String = letters(played(&swapped, ticks).0);
        assert_eq!(heard, expected, "{units}");
    }
}

#[test]
fn packets_may_change_their_length_in_a_call() {
    // Packets of 200 ms, then of 20 ms, then of 200 ms; a packet is sent when its sound is over.
    let lengths = [vec![10; 3], vec![1; 60], vec![10; 3]].concat();
    let (mut jitter, mut frames, mut heard) = (Jitter::default(), 0, String::new());
    let mut due = Vec::new();
    for (number, length) in lengths.iter().enumerate() {
        frames += length;
        due.push((frames, number, frames - length, *length));
    }
    for tick in 0..frames + 12 {
        for &(at, number, first, length) in &due {
            if at == tick {
                let payload: Vec<u8> = (0..length * FRAME)
                    .map(|it| ((first + it / FRAME) % 26) as u8 + 0x10)
                    .collect();
                let (sequence, timestamp) = (number as u16, (first * FRAME) as u32);
                let (marker, payload_type, payload) = (false, 0, &payload[..]);
                let packet =
                    packet::Packet { marker, payload_type, sequence, timestamp, ssrc: 1, payload };
                assert_eq!(jitter.push(&packet, Law::Mu), Pushed::Kept, "{number}");
            }
        }
        if let Pulled::Frame(_, frame) = jitter.pull() {
            heard.push(frame_char(frame[0]));
        }
    }
    let lost = frames - heard.len();
    assert!(lost <= 2, "{lost} of {frames} frames are lost: {heard}");
}

#[test]
fn a_new_stream_begins_with_its_second_packet() {
    let mut jitter = Jitter::default();
    for number in 0..4 {
        assert_eq!(push(&mut jitter, 1, number, FRAME), Pushed::Kept);
    }
    assert_eq!(push(&mut jitter, 2, 700, FRAME), Pushed::OtherStream);
    assert_eq!(push(&mut jitter, 1, 4, FRAME), Pushed::Kept);
    assert_eq!(push(&mut jitter, 2, 701, FRAME), Pushed::OtherStream, "one at a time");
    assert_eq!(push(&mut jitter, 2, 702, FRAME), Pushed::Kept);
    let heard: Vec<_> = (0..3).map(|_| matches!(jitter.pull(), Pulled::Frame(..))).collect();
    assert_eq!(heard, [false, false, true]);
    assert_eq!(jitter.counts().restarts, 2);
}

#[test]
fn another_law_is_another_stream() {
    let mut jitter = Jitter::default();
    let packet = |sequence: u16| packet::Packet {
        marker: false,
        payload_type: 0,
        sequence,
        timestamp: u32::from(sequence) * 160,
        ssrc: 1,
        payload: &[0x22; FRAME],
    };
    assert_eq!(jitter.push(&packet(1), Law::Mu), Pushed::Kept);
    assert_eq!(jitter.push(&packet(2), Law::A), Pushed::OtherStream);
    assert_eq!(jitter.push(&packet(3), Law::A), Pushed::Kept);
    let heard: Vec<_> = (0..3).map(|_| jitter.pull() == Pulled::Nothing).collect();
    assert_eq!(heard, [true, true, false]);
    assert_eq!(jitter.push(&packet(4), Law::A), Pushed::Kept);
    assert_eq!(jitter.pull(), Pulled::Frame(Law::A, &[0x22; FRAME]));
}

#[test]
fn a_leap_of_the_clock_or_of_the_sequence_starts_a_new_stream() {
    for leap in [60, 1_100, 30_000, 200_000_000] {
        let mut jitter = Jitter::default();
        for number in 0..4 {
            push(&mut jitter, 1, number, FRAME);
            jitter.pull();
        }
        assert_eq!(push(&mut jitter, 1, leap, FRAME), Pushed::OtherStream, "{leap}");
        assert_eq!(push(&mut jitter, 1, leap + 1, FRAME), Pushed::Kept, "{leap}");
    }
}

#[test]
fn the_delay_shrinks_when_the_network_is_quiet_again() {
    let mut jitter = Jitter::default();
    let (mut number, mut delays) = (0, Vec::new());
    for tick in 0..2_000 {
        // One packet in ten of the first 40 is 50 ms late.
        let is_late = |it: usize| it % 10 == 9 && it < 40;
        if is_late(number.max(3) - 3) {
            push(&mut jitter, 1, number - 3, FRAME);
        }
        if !is_late(number) {
            push(&mut jitter, 1, number, FRAME);
        }
        number += 1;
        if let Pulled::Frame(_, frame) = jitter.pull() {
            let behind = (number - 1) % 26 + 26 - usize::from(frame[0] - 0x10);
            delays.push((tick, behind % 26));
        }
    }
    assert_eq!(delays[0].1, 2);
    let most = delays.iter().map(|it| it.1).max().unwrap();
    assert!((3..=5).contains(&most), "{most}");
    assert_eq!(delays.last().unwrap().1, 2);
}

#[test]
fn a_fast_sender_does_not_pile_up() {
    let mut jitter = Jitter::default();
    let (mut sent, mut played) = (0, 0);
    for tick in 0..5_000_usize {
        // The sender's clock is 1 % fast.
        while sent <= tick + tick / 100 {
            push(&mut jitter, 1, sent, FRAME);
            sent += 1;
        }
        if let Pulled::Frame(_, frame) = jitter.pull() {
            played += 1;
            let behind = (sent - 1) % 26 + 26 - usize::from(frame[0] - 0x10);
            assert!(behind % 26 <= usize::from(TARGET_MAX) + 2, "tick {tick}: {behind}");
        }
    }
    assert!(4_990 <= played, "{played}");
}

#[test]
fn concealment_continues_the_sound_and_fades() {
    let mut jitter = Jitter::default();
    let tone: Vec<u8> = (0..FRAME)
        .map(|at| (at as f64 * 0.3).sin() * 8_000.0)
        .map(|it| Law::A.byte(it as i16))
        .collect();
    let packet = packet::Packet {
        marker: true,
        payload_type: 8,
        sequence: 0,
        timestamp: 0,
        ssrc: 1,
        payload: &tone,
    };
    jitter.push(&packet, Law::A);
    let mut heard = Vec::new();
    for _ in 0..6 {
        if let Pulled::Frame(law, wire) | Pulled::Concealed(law, wire) = jitter.pull() {
            heard.extend(wire.iter().map(|it| law.sample(*it)));
        }
    }
    assert_eq!(heard.len(), 4 * FRAME);
    let step = heard.windows(2).map(|it| it[0].abs_diff(it[1])).max().unwrap();
    assert!(step < 3_000, "no click: {step}");
    let peaks: Vec<_> =
        heard.chunks(FRAME).map(|it| it.iter().map(|it| it.unsigned_abs()).max()).collect();
    assert!(peaks.is_sorted_by(|a, b| b <= a), "{peaks:?}");
    assert!(heard[4 * FRAME - 1].unsigned_abs() < 100);
}
