//! What the rounds of a routine took: a ratio of two can be told beside Criterion's own figures.

use std::time::Duration;

use criterion::Bencher;

use crate::measure::median;

/// Seconds of a round, sample by sample.
#[derive(Default)]
pub(crate) struct Took(Vec<f64>);

impl Took {
    /// Measures; `run` does so many rounds, and says how long they took.
    pub(crate) fn time(&mut self, bencher: &mut Bencher<'_>, mut run: impl FnMut(u64) -> Duration) {
        bencher.iter_custom(|rounds| {
            let took = run(rounds);
            self.0.push(took.as_secs_f64() / rounds as f64);
            took
        });
    }

    /// Seconds of a round; None if it was not to be measured, or only to be tried once.
    pub(crate) fn median(self) -> Option<f64> {
        (1 < self.0.len()).then(|| median(self.0))
    }
}
