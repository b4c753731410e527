//! Helpers of the benches that print their own tables.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "a bench has the real clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "a bench prints what it measures")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// The median, because some rounds on a shared machine are disturbed.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The word for whether a target was met.
pub(crate) fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}
