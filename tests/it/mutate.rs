//! Mutation runner: valid input, mutated in thousands of ways. `SEED=7 cargo test mutations`
//! replays one run.

use std::env;

use fastrand::Rng;

/// Mutates each of the seeds in turn, slightly or heavily, `mutations` times in all. The first run
/// of each seed is unchanged.
pub(crate) fn run(
    seeds: &[Vec<u8>],
    pieces: &[&str],
    mutations: usize,
    mut body: impl FnMut(&[u8]),
) {
    let seed = env::var("SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let mut random = Rng::with_seed(seed);
    for (number, bytes) in seeds.iter().cycle().take(mutations + seeds.len()).enumerate() {
        let mut bytes = bytes.clone();
        if seeds.len() <= number {
            (0..random.usize(1..8)).for_each(|_| mutate(&mut random, pieces, &mut bytes));
        }
        body(&bytes);
    }
}

/// Mutates once. An insertion is one of `pieces`, a part of the input, or any byte.
fn mutate(random: &mut Rng, pieces: &[&str], bytes: &mut Vec<u8>) {
    let at = random.usize(..=bytes.len());
    let until = (at + random.usize(..=64)).min(bytes.len());
    match random.u8(..8) {
        0 => bytes.truncate(at),
        1 => _ = bytes.drain(at..until),
        2 => {
            let piece = bytes[at..until].to_vec();
            let to = random.usize(..=bytes.len());
            bytes.splice(to..to, piece);
        }
        3 => _ = bytes.splice(at..until, random.choice(pieces).unwrap().bytes()),
        4 => bytes.insert(at, random.u8(..)),
        5..=7 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = match random.u8(..4) {
                    0 => *byte ^ (1 << random.u8(..8)),
                    1 => random.u8(..),
                    2 => 0xff,
                    _ => 0,
                };
            }
        }
        _ => unreachable!("eight ways"),
    }
}
