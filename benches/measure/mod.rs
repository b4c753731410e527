//! What the benches that print tables of their own have in common.

use std::time::Instant;

/// Reads the clock.
#[expect(clippy::disallowed_methods, reason = "a bench has the real clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Prints a line.
#[expect(clippy::print_stdout, reason = "a bench prints what it measures")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// The middle one: of rounds on a shared machine, some are disturbed.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// How a target came out.
pub(crate) fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}
