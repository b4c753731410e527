//! One tick of a room, put to wire, beside the plainest mix there can be.
//!
//! Time per element is time per member and tick. `table` decodes, sums, subtracts, saturates and
//! encodes for every member; `room` is the mixer with one in five talking, `all` with everybody
//! talking at once.

use std::hint::black_box;

use conflow::media::{
    g711::{FRAME, Law},
    mix::{Mixer, Settings, Slot},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Frames that a member sends, over and over.
const FRAMES: usize = 8;

type Wire = [u8; FRAME];

criterion_group!(benches, mix);
criterion_main!(benches);

fn mix(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mix");
    for n_members in [10, 100, 1_000] {
        group.throughput(Throughput::Elements(n_members as u64));
        let id = |name| BenchmarkId::new(name, n_members);

        let talking = voices(n_members, 1);
        let mut out = vec![[0; FRAME]; n_members];
        let mut table = Table::new(n_members);
        let mut tick = 0;
        group.bench_function(id("table"), |bencher| {
            bencher.iter(|| {
                tick += 1;
                table.mix(talking.iter().map(|it| &it[tick % FRAMES]), &mut out);
                black_box(&out);
            });
        });

        for (name, silent) in [("all", 1), ("room", 5)] {
            let voices = voices(n_members, silent);
            let mut room = Room::new(n_members);
            group.bench_function(id(name), |bencher| {
                bencher.iter(|| {
                    tick += 1;
                    room.mix(voices.iter().map(|it| &it[tick % FRAMES]), &mut out);
                    black_box(&out);
                });
            });
        }
    }
    group.finish();
}

/// Noise, as loud as speech for every `nth` member, as quiet as a line for the others.
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
            out.copy_from_slice(self.mixer.ear(*slot).wire(Law::Mu));
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
