//! Durations of a routine's rounds, for ratios beside Criterion's own figures.

use std::time::Duration;

use criterion::Bencher;

use crate::measure::median;

/// Seconds per round, one value per sample.
#[derive(Default)]
pub(crate) struct Took(Vec<f64>);

impl Took {
    /// Measures `run`, which does the given number of rounds and returns their duration.
    pub(crate) fn time(&mut self, bencher: &mut Bencher<'_>, mut run: impl FnMut(u64) -> Duration) {
        bencher.iter_custom(|rounds| {
            let took = run(rounds);
            self.0.push(took.as_secs_f64() / rounds as f64);
            took
        });
    }

    /// The median in seconds per round; None if the routine was filtered out or only tried once.
    pub(crate) fn median(self) -> Option<f64> {
        (1 < self.0.len()).then(|| median(self.0))
    }
}
