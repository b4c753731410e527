//! Exploration: runs the same events in many orders and compares how the calls end.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread::{self, available_parallelism},
};

use serde::Serialize;

use super::{Endless, Schedule, Script, SimulatedFlows, run};

/// Result of an exploration.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Explored {
    /// Number of runs, each with its own seed.
    pub runs: u64,
    /// Endings of each caller, in the order of the events file.
    pub callers: Vec<Endings>,
}

/// The different ways in which the calls of one caller went.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Endings {
    /// Name of the caller in the events file.
    pub name: Arc<str>,
    /// Distinct endings, the most frequent first.
    pub found: Vec<FoundEnding>,
}

/// One way in which a call went.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct FoundEnding {
    /// The ending as text, from [`super::SimulationReport::ending`].
    pub ending: String,
    /// Number of runs with this ending.
    pub runs: u64,
    /// The first seed with this ending.
    pub seed: u64,
}

/// For each caller: each ending with its number of runs and its first seed.
type EndingCounts = Vec<BTreeMap<String, (u64, u64)>>;

impl Explored {
    /// Whether every caller has only one ending.
    pub fn is_settled(&self) -> bool {
        self.callers.iter().all(|it| it.found.len() <= 1)
    }
}

/// Runs a script with the seeds from 1 to `runs`.
///
/// # Errors
///
/// A run does not end.
pub fn explore(
    script: &Arc<Script>,
    flows: &Arc<SimulatedFlows>,
    flow: &str,
    runs: u64,
) -> Result<Explored, Endless> {
    let threads = available_parallelism().map_or(1, |it| it.get() as u64).min(runs.max(1));
    let parts: Vec<Result<EndingCounts, Endless>> = thread::scope(|scope| {
        let part = |first: u64| {
            let seeds = (1 + first..=runs).step_by(usize::try_from(threads).unwrap_or(1));
            scope.spawn(move || count_endings(script, flows, flow, seeds))
        };
        let workers: Vec<_> = (0..threads).map(part).collect();
        let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|it| it.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });

    let mut sum: EndingCounts = vec![BTreeMap::new(); script.callers.len()];
    for counts in parts {
        for (sum, part) in sum.iter_mut().zip(counts?) {
            for (ending, (runs, seed)) in part {
                let found = sum.entry(ending).or_insert((0, seed));
                *found = (found.0 + runs, found.1.min(seed));
            }
        }
    }
    let endings = |(caller, endings): (&super::ScriptCaller, BTreeMap<_, _>)| {
        let found =
            endings.into_iter().map(|(ending, (runs, seed))| FoundEnding { ending, runs, seed });
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|it| (u64::MAX - it.runs, it.seed));
        Endings { name: caller.name.clone(), found }
    };
    Ok(Explored { runs, callers: script.callers.iter().zip(sum).map(endings).collect() })
}

fn count_endings(
    script: &Arc<Script>,
    flows: &Arc<SimulatedFlows>,
    flow: &str,
    seeds: impl Iterator<Item = u64>,
) -> Result<EndingCounts, Endless> {
    let mut counts: EndingCounts = vec![BTreeMap::new(); script.callers.len()];
    for seed in seeds {
        let report = run(script, flows, flow, Schedule::Seeded(seed))?;
        for (n, counts) in counts.iter_mut().enumerate().take(report.callers.len()) {
            counts.entry(report.ending(n)).or_insert((0, seed)).0 += 1;
        }
    }
    Ok(counts)
}
