//! One tick of a room, encoded for every member, compared with the simplest mix.
//!
//! `table` decodes, sums, subtracts, saturates and encodes for every member. `room` is the mixer
//! with one in five talking, `all` with everybody talking at once.

mod measure;

use std::hint::black_box;

use conflow::{
    audio::mix::{Mixer, Settings, Slot},
    rtp::g711::{FRAME, Law},
};
use measure::{median, now, say, verdict};

/// Frames of a member, sent in a loop.
const FRAMES: usize = 8;

type Wire = [u8; FRAME];

/// Rounds of each, in turn.
const ROUNDS: usize = 30;
/// Frames mixed in a round, over all members and ticks.
const MIXED: usize = 100_000;

fn main() {
    say("ns for each member and tick     table       all      room     all / table");
    [10, 100, 1_000].into_iter().for_each(mix);
}

fn mix(n_members: usize) {
    let mut out = vec![[0; FRAME]; n_members];
    let (talking, calm) = (voices(n_members, 1), voices(n_members, 5));
    let mut table = Table::new(n_members);
    let mut rooms = [&talking, &calm].map(|voices| (Room::new(n_members), voices));
    let (mut plain, mut ours) = (Vec::new(), [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        plain.push(round(n_members, |tick| {
            table.mix(talking.iter().map(|it| &it[tick % FRAMES]), &mut out);
            black_box(&out);
        }));
        for ((room, voices), took) in rooms.iter_mut().zip(&mut ours) {
            took.push(round(n_members, |tick| {
                room.mix(voices.iter().map(|it| &it[tick % FRAMES]), &mut out);
                black_box(&out);
            }));
        }
    }
    let (table, [all, room]) = (median(plain), ours.map(median));
    let [all_met, room_met] = [all, room].map(|it| verdict(it <= 120.0));
    let ratio = all / table;
    say(&format!(
        "{n_members:5} members             {table:9.1} {all:9.1} {room:9.1}    {ratio:6.2} ×   \
         P8, at most 120 ns: all {all_met}, room {room_met}"
    ));
}

/// Nanoseconds per member and tick.
fn round(n_members: usize, mut mix: impl FnMut(usize)) -> f64 {
    let ticks = MIXED / n_members;
    let begun = now();
    (0..ticks).for_each(&mut mix);
    begun.elapsed().as_secs_f64() * 1e9 / (ticks * n_members) as f64
}

/// Noise: as loud as speech for every `nth` member, as quiet as a line for the others.
fn voices(n_members: usize, nth: usize) -> Vec<[Wire; FRAMES]> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut voice = |member: usize| {
        let loud = if member.is_multiple_of(nth) { random.i32(1_500..6_000) } else { 20 };
        std::array::from_fn(|_| {
            std::array::from_fn(|_| Law::Mu.byte(random.i32(-loud..=loud) as i16))
        })
    };
    (0..n_members).map(&mut voice).collect()
}

struct Room {
    mixer: Mixer,
    slots: Vec<Slot>,
}

impl Room {
    fn new(n_members: usize) -> Self {
        let mut mixer = Mixer::new(Settings::default());
        let slots = (0..n_members).map(|_| mixer.add()).collect();
        Self { mixer, slots }
    }

    fn mix<'a>(&mut self, sent: impl Iterator<Item = &'a Wire>, out: &mut [Wire]) {
        for (slot, wire) in self.slots.iter().zip(sent) {
            self.mixer.put(*slot, Law::Mu, wire);
        }
        self.mixer.mix(&mut Vec::new());
        for (slot, out) in self.slots.iter().zip(out) {
            out.copy_from_slice(self.mixer.leg_mix(*slot).encode(Law::Mu));
        }
    }
}

struct Table {
    voices: Vec<[i16; FRAME]>,
}

impl Table {
    fn new(n_members: usize) -> Self {
        Self { voices: vec![[0; FRAME]; n_members] }
    }

    fn mix<'a>(&mut self, sent: impl Iterator<Item = &'a Wire>, out: &mut [Wire]) {
        let mut sums = [0; FRAME];
        for (voice, wire) in self.voices.iter_mut().zip(sent) {
            Law::Mu.decode(wire, voice);
            sums.iter_mut().zip(voice).for_each(|(sum, it)| *sum += i32::from(*it));
        }
        for (voice, out) in self.voices.iter().zip(out) {
            let mut own = [0; FRAME];
            for ((own, sum), it) in own.iter_mut().zip(&sums).zip(voice) {
                *own = (sum - i32::from(*it)).clamp(-32_768, 32_767) as i16;
            }
            Law::Mu.encode(&own, out);
        }
    }
}
