//! Lives: how many seeds a simulation plays, and for how long.
//!
//! `SEED=7` plays one life again. `LIVES=100000` plays that many, without a time limit.

use std::{
    env,
    io::{self, Write as _},
    ops::RangeInclusive,
    panic::{self, AssertUnwindSafe},
    time::{Duration, Instant},
};

/// After this time no further life begins, unless the minimum is not yet reached.
const TIME_MAX: Duration = Duration::from_secs(60);

/// Plays the lives of the seeds from 0 on and prints their number. `count` is the minimum, which is
/// played on every machine, and the maximum.
///
/// Returns true if the minimum was reached, so that one can check that every case has occurred.
#[expect(clippy::disallowed_methods, reason = "the limit is in real time")]
pub(crate) fn play(name: &str, count: RangeInclusive<u64>, mut life: impl FnMut(u64)) -> bool {
    let (min, max) = count.into_inner();
    let (seeds, time_max) = match (number("SEED"), number("LIVES")) {
        (Some(seed), _) => (seed..seed + 1, Duration::MAX),
        (None, Some(lives)) => (0..lives, Duration::MAX),
        (None, None) => (0..max, TIME_MAX),
    };
    let (start, mut played) = (Instant::now(), 0);
    for seed in seeds {
        if min <= played && time_max <= start.elapsed() {
            break;
        }
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| life(seed)));
        assert!(outcome.is_ok(), "a promise was broken; replay with SEED={seed}");
        played += 1;
    }
    // `cargo test` shows this line: the test harness captures only what `print!` and `eprint!` write.
    let seconds = start.elapsed().as_secs_f64();
    let lives = if played == 1 { "life" } else { "lives" };
    let line = format!("simulation {name}: {played} {lives} in {seconds:.1} s\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
    min <= played
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}
