//! Calls that leave through a trunk: how many a second without a retransmission; and, with 200 bridges
//! of `<Dial>`, how soon after its 200 a callee is in the caller's mix, and its sound is heard there.
//!
//! conflow is a process of its own, and the far ends are sockets on loopback.
//! `cargo bench --bench calling -- short` measures a little of it.

mod bridge;
#[expect(dead_code, reason = "shared with other benches")]
#[path = "../measure/mod.rs"]
mod measure;
#[expect(dead_code, clippy::unwrap_used, reason = "shared with the tests of SIP")]
#[path = "../../tests/it/phone.rs"]
mod phone;
mod program;
mod rate;

use std::time::Duration;

use measure::{say, verdict};

/// From the callee's 200 until it is in the caller's mix.
const IN_MIX_MAX: f64 = 40.0;
/// From the callee's first packet until the caller has it.
const HEARD_MAX: f64 = 100.0;
const CALLS_PER_SECOND: u32 = 200;

fn main() {
    let is_short = std::env::args().any(|it| it == "short");
    let (time, bridges, rounds) = match is_short {
        true => (Duration::from_secs(2), 20, 10),
        false => (Duration::from_secs(10), 200, 300),
    };

    let outcome = rate::measure(CALLS_PER_SECOND, time);
    let is_met = outcome.again == 0 && f64::from(CALLS_PER_SECOND) * 0.98 <= outcome.rate;
    say(&format!(
        "{} calls through a trunk: {:.1} a second, {} messages sent again; {CALLS_PER_SECOND} a second \
         without any: {}",
        outcome.calls,
        outcome.rate,
        outcome.again,
        verdict(is_met)
    ));

    let (mut in_mix, mut heard) = bridge::measure(bridges, rounds);
    for (what, took, most) in [
        ("from the callee's 200 until it is in the caller's mix", &mut in_mix, IN_MIX_MAX),
        ("from the callee's first packet until the caller has it", &mut heard, HEARD_MAX),
    ] {
        took.sort_unstable();
        let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1_000.0;
        let (p50, p99, met) = (at(50), at(99), verdict(at(99) <= most));
        say(&format!(
            "{bridges} bridges, {what}: p50 {p50:.1} ms, p99 {p99:.1} ms; at most {most:.0} ms: {met}"
        ));
    }
}
