//! Good input, spoilt in thousands of ways. `SEED=7 cargo test mutations` replays one run.

use std::env;

use fastrand::Rng;

/// Spoils each of the seeds in turn, a little or a lot, so often; the first of each are whole.
pub(crate) fn run(seeds: &[Vec<u8>], pieces: &[&str], mutations: usize, body: impl Fn(&[u8])) {
    let seed = env::var("SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let mut random = Rng::with_seed(seed);
    for (number, bytes) in seeds.iter().cycle().take(mutations + seeds.len()).enumerate() {
        let mut bytes = bytes.clone();
        if seeds.len() <= number {
            (0..random.usize(1..8)).for_each(|_| spoil(&mut random, pieces, &mut bytes));
        }
        body(&bytes);
    }
}

/// Once; what is put in is one of the pieces, a piece of its own, or any byte.
fn spoil(random: &mut Rng, pieces: &[&str], bytes: &mut Vec<u8>) {
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
