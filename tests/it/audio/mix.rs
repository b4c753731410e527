//! The mixer: who is in the mix, and how voices fade in and out.

use std::mem;

use conflow::{
    audio::{
        mix::{Flags, Mixer, Settings, Slot, TalkChange},
        tone,
    },
    rtp::g711::{FRAME, Law},
};

/// A room in which each leg sends a tone of its own for a number of ticks.
struct Room {
    mixer: Mixer,
    /// None after the leg has left.
    slots: Vec<Option<Slot>>,
    tick: usize,
    talks: Vec<TalkChange>,
    /// What each slot has heard since the last look.
    heard: Vec<Vec<i16>>,
}

/// No two of these are harmonics of each other, and each has whole periods in a frame.
const HZ: [f64; 10] = [300.0, 350.0, 450.0, 550.0, 650.0, 750.0, 850.0, 950.0, 1_150.0, 1_250.0];

impl Room {
    fn of(n_legs: usize) -> Self {
        Self::with(Settings::default(), n_legs)
    }

    fn with(settings: Settings, n_legs: usize) -> Self {
        let mut mixer = Mixer::new(settings);
        let slots = (0..n_legs).map(|_| Some(mixer.add())).collect();
        Self { mixer, slots, tick: 0, talks: Vec::new(), heard: vec![Vec::new(); n_legs] }
    }

    /// Each (leg, amplitude) sends its tone; the other legs send nothing.
    fn run(&mut self, ticks: usize, sending: &[(usize, f64)]) {
        self.heard.iter_mut().for_each(Vec::clear);
        for _ in 0..ticks {
            for &(leg, amplitude) in sending {
                let mut wire = [0; FRAME];
                Law::Mu.encode(&tone_frame(HZ[leg % 10], amplitude, self.tick), &mut wire);
                self.mixer.put(self.slot(leg), Law::Mu, &wire);
            }
            self.mixer.mix(&mut self.talks);
            self.tick += 1;
            for (slot, heard) in self.slots.iter().zip(&mut self.heard) {
                if let Some(slot) = *slot {
                    let mut leg_mix = self.mixer.leg_mix(slot);
                    heard.extend_from_slice(leg_mix.samples());
                    assert_eq!(Some(&leg_mix.last()), heard.last());
                }
            }
        }
    }

    /// The legs whose tones a leg hears, measured from 5 ms after the last look on.
    fn hears(&self, leg: usize) -> Vec<usize> {
        let heard = &self.heard[leg][160..];
        (0..10).filter(|it| 0.004 < tone::amplitude(heard, 8_000, HZ[*it])).collect()
    }

    fn slot(&self, leg: usize) -> Slot {
        self.slots[leg].unwrap()
    }

    fn flags(&mut self, leg: usize) -> &mut Flags {
        self.mixer.flags(self.slot(leg))
    }

    fn remove(&mut self, leg: usize) {
        let slot = mem::take(&mut self.slots[leg]).unwrap();
        self.mixer.remove(slot);
    }
}

fn tone_frame(hz: f64, amplitude: f64, tick: usize) -> [i16; FRAME] {
    std::array::from_fn(|at| {
        let t = (tick * FRAME + at) as f64 / 8_000.0;
        ((t * hz * std::f64::consts::TAU).sin() * amplitude * 32_767.0) as i16
    })
}

/// Legs 0, 1 and 2 talk, leg 3 listens; leg 1 has these flags.
#[track_caller]
fn check(flags: Flags, expected: [&[usize]; 4]) {
    let mut room = Room::of(4);
    *room.flags(1) = flags;
    room.run(10, &[(0, 0.1), (1, 0.1), (2, 0.1)]);
    assert_eq!([0, 1, 2, 3].map(|leg| room.hears(leg)), expected);
}

#[test]
fn each_leg_hears_the_others_and_not_itself() {
    check(Flags::default(), [&[1, 2], &[0, 2], &[0, 1], &[0, 1, 2]]);
}

#[test]
fn flags_decide_who_hears_and_who_is_heard() {
    let none = Flags::default();
    check(Flags { muted: true, ..none }, [&[2], &[0, 2], &[0], &[0, 2]]);
    check(Flags { deaf: true, ..none }, [&[1, 2], &[], &[0, 1], &[0, 1, 2]]);
    check(Flags { held: true, ..none }, [&[2], &[0, 2], &[0], &[0, 2]]);
    check(Flags { waiting: true, ..none }, [&[2], &[], &[0], &[0, 2]]);
}

#[test]
fn a_leg_that_is_alone_hears_silence() {
    let mut room = Room::of(1);
    room.run(10, &[(0, 0.5)]);
    assert!(room.mixer.leg_mix(room.slot(0)).is_silent());
    assert!(room.heard[0].iter().all(|it| *it == 0));
}

#[test]
fn a_leg_hears_the_sum_and_the_bytes_are_its_samples() {
    let mut room = Room::of(3);
    room.run(10, &[(0, 0.2), (1, 0.3)]);
    for (leg, hz, amplitude) in [(2, HZ[0], 0.2), (2, HZ[1], 0.3), (0, HZ[1], 0.3)] {
        let heard = tone::amplitude(&room.heard[leg], 8_000, hz);
        assert!((heard - amplitude).abs() < 0.01, "{heard} rather than {amplitude}");
    }
    for amplitude in [0.1, 0.2, 0.0] {
        room.run(1, &[(0, amplitude)]);
        for slot in room.slots.clone().into_iter().flatten() {
            for law in [Law::A, Law::Mu, Law::A] {
                let mut expected = [0; FRAME];
                law.encode(room.mixer.leg_mix(slot).samples(), &mut expected);
                assert_eq!(room.mixer.leg_mix(slot).encode(law), expected);
            }
        }
    }
}

#[test]
fn both_laws_and_plain_samples_are_accepted_in_frames_of_any_length() {
    let (mut mixer, mut talks) = (Mixer::new(Settings::default()), Vec::new());
    let slots = [(); 4].map(|()| mixer.add());
    mixer.put(slots[0], Law::A, &[Law::A.byte(-4_032); 400]);
    mixer.put(slots[1], Law::Mu, &[Law::Mu.byte(-1_980); 80]);
    mixer.put_samples(slots[2], &[1_000; 80]);
    mixer.mix(&mut talks);
    let mut leg_mix = mixer.leg_mix(slots[3]);
    let heard = leg_mix.samples();
    assert_eq!((heard[60], heard[159]), (-4_032 - 1_980 + 1_000, -4_032));
    mixer.put(slots[0], Law::A, &[]);
    mixer.mix(&mut talks);
    assert_eq!(mixer.leg_mix(slots[3]).samples()[159], 8, "A-law knows no zero");
}

#[test]
fn a_leg_that_leaves_fades_to_zero() {
    let mut room = Room::of(3);
    // 350 Hz has no whole periods in a frame, so the last sample is far from zero.
    room.run(5, &[(1, 0.5)]);
    let last = *room.heard[2].last().unwrap();
    assert!(4_000 < last.unsigned_abs(), "{last}");
    room.remove(1);
    room.run(2, &[]);
    let rest = &room.heard[2];
    let steps = std::iter::once(last).chain(rest.iter().copied()).collect::<Vec<_>>();
    assert!(steps.windows(2).all(|it| it[0].abs_diff(it[1]) <= last.unsigned_abs() / 40 + 2));
    assert!(rest[39..].iter().all(|it| *it == 0), "5 ms and no more");
    assert_eq!(room.heard[0], room.heard[2]);
}

#[test]
fn a_leg_that_is_muted_fades_for_the_others_and_for_nobody_twice() {
    let mut room = Room::of(3);
    room.run(5, &[(0, 0.1), (1, 0.5)]);
    room.flags(1).muted = true;
    room.run(2, &[(0, 0.1), (1, 0.5)]);
    assert_eq!((room.hears(0), room.hears(1), room.hears(2)), (vec![], vec![0], vec![0]));
    assert!(room.heard[0][39..].iter().all(|it| *it == 0));
    assert_ne!(room.heard[0][..39], [0; 39]);
    let plain = tone_frame(HZ[0], 0.1, 5);
    let own = &room.heard[1][..FRAME];
    let near = |(a, b): (&i16, &i16)| a.abs_diff(*b) < 200;
    assert!(own.iter().zip(&plain).all(near), "a leg does not hear its own fade-out");
}

#[test]
fn a_reused_slot_has_nothing_of_its_past() {
    let mut room = Room::of(3);
    *room.flags(1) = Flags { muted: true, deaf: true, ..Flags::default() };
    room.run(5, &[(0, 0.5), (1, 0.5), (2, 0.5)]);
    room.remove(2);
    room.remove(1);
    room.slots[1] = Some(room.mixer.add());
    assert_eq!((room.mixer.len(), room.mixer.is_empty()), (2, false));
    assert_eq!(*room.flags(1), Flags::default());
    room.run(5, &[(1, 0.5)]);
    assert_eq!((room.hears(0), room.hears(1)), (vec![1], vec![]));
}

#[test]
fn voices_fade_in_even_where_a_leg_has_just_left() {
    let mut room = Room::of(3);
    let put = |room: &mut Room, leg, level: i16| {
        room.mixer.put_samples(room.slot(leg), &[level; FRAME]);
        room.run(1, &[]);
        room.heard[2].clone()
    };
    let heard = put(&mut room, 1, 8_000);
    assert!(heard[..41].is_sorted() && (heard[0], heard[40]) == (0, 8_000), "{heard:?}");
    assert_eq!(put(&mut room, 1, 8_000), [8_000; FRAME]);
    room.remove(1);
    room.slots[1] = Some(room.mixer.add());
    let heard = put(&mut room, 1, -8_000);
    assert_eq!(heard[0], 7_800, "the leg that left fades out below the next user of its slot");
    let is_soft = heard.windows(2).all(|it| it[0].abs_diff(it[1]) <= 400);
    assert!(is_soft && heard[40] == -8_000, "{heard:?}");
}

#[test]
fn a_large_room_hears_the_loudest_eight_and_keeps_them() {
    let mut room = Room::of(11);
    let mut all: Vec<(usize, f64)> =
        (0..10).map(|leg| (leg, if leg < 2 { 0.05 } else { 0.08 })).collect();
    room.run(10, &all);
    assert_eq!(room.hears(10), [2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(room.hears(0), [2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(room.hears(2), [3, 4, 5, 6, 7, 8, 9]);

    all[0].1 = 0.11;
    room.run(30, &all);
    assert_eq!(room.hears(10), [2, 3, 4, 5, 6, 7, 8, 9], "3 dB louder is not enough");
    all[0].1 = 0.3;
    room.run(3, &all);
    assert!(room.hears(10).contains(&0), "11 dB is");
}

#[test]
fn a_room_of_ten_hears_all() {
    let mut room = Room::of(10);
    let all: Vec<(usize, f64)> = (0..10).map(|leg| (leg, 0.02 + 0.01 * leg as f64)).collect();
    room.run(10, &all);
    assert_eq!(room.hears(0), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(room.hears(9), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn noise_is_not_mixed_but_the_end_of_a_word_is() {
    let mut room = Room::of(2);
    room.run(10, &[(0, 0.001)]);
    assert!(room.heard[1].iter().all(|it| *it == 0));
    room.run(3, &[(0, 0.1)]);
    room.run(19, &[(0, 0.001)]);
    assert!(room.heard[1][18 * FRAME..].iter().any(|it| *it != 0));
    room.run(2, &[(0, 0.001)]);
    assert!(room.heard[1][FRAME..].iter().all(|it| *it == 0));
}

#[test]
fn loud_rooms_are_turned_down_and_not_clipped() {
    let mut room = Room::of(4);
    room.run(20, &[(0, 0.9), (1, 0.9), (2, 0.9)]);
    let steady = &room.heard[3][10 * FRAME..];
    let tones: Vec<f64> = (0..3).map(|it| tone::amplitude(steady, 8_000, HZ[it])).collect();
    assert!(tones.iter().all(|it| (0.2..0.4).contains(it)), "{tones:?}");
    let distortion = tone::amplitude(steady, 8_000, 2.0 * HZ[0] - HZ[1]);
    assert!(distortion < 0.004, "{distortion}");
}

#[test]
fn talking_is_reported_even_for_the_muted_and_the_waiting() {
    let mut room = Room::of(3);
    room.flags(0).muted = true;
    room.flags(1).waiting = true;
    room.run(5, &[(0, 0.1), (1, 0.1)]);
    room.run(40, &[(0, 0.1)]);
    let talk = |leg, on| TalkChange { slot: room.slot(leg), on };
    assert_eq!(room.talks, [talk(0, true), talk(1, true), talk(1, false)]);
}
