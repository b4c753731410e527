//! Noise: what other processes took of the machine while a figure was measured.

use std::{fs, time::Duration};

use super::process::{TICKS_PER_SECOND, cpu_of_bench};

/// Other processes take at most this share of a quiet machine.
const OTHERS_MAX: f64 = 0.05;
/// Two measurements of one ceiling differ by at most this share on a quiet machine.
const SPREAD_MAX: f64 = 0.1;

/// Measures what others take from now on.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoiseMeter {
    /// None where the system does not tell.
    machine: Option<MachineTime>,
    bench: Duration,
}

/// Processor time of all cores since the start of the machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct MachineTime {
    /// That of processes, and what a hypervisor has given to other machines.
    busy: Duration,
    all: Duration,
}

impl NoiseMeter {
    pub(super) fn start() -> Self {
        let stat = fs::read_to_string("/proc/stat").ok();
        Self { machine: stat.and_then(|it| MachineTime::parse(&it)), bench: cpu_of_bench() }
    }

    /// The share of the machine's time that others took since then. None where the system does not
    /// tell, or too little time has passed.
    pub(super) fn others(&self) -> Option<f64> {
        let now = Self::start();
        let (before, after) = (self.machine?, now.machine?);
        let all = after.all.saturating_sub(before.all);
        let busy = after.busy.saturating_sub(before.busy);
        let others = busy.saturating_sub(now.bench.saturating_sub(self.bench));
        (SHORTEST <= all).then(|| others.as_secs_f64() / all.as_secs_f64())
    }
}

/// Below this, the kernel's ticks are too coarse.
const SHORTEST: Duration = Duration::from_millis(200);

impl MachineTime {
    /// Parses `/proc/stat`: proc(5) says what the columns of its first line are.
    fn parse(stat: &str) -> Option<Self> {
        let columns = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        let ticks: Vec<u64> = columns.map_while(|it| it.parse().ok()).take(8).collect();
        let &[user, nice, system, _, _, _, _, steal] = ticks.as_slice() else { return None };
        let time = |ticks: u64| Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND);
        Some(Self { busy: time(user + nice + system + steal), all: time(ticks.iter().sum()) })
    }
}

/// Whether a row is too noisy for a verdict.
pub(super) fn is_noisy(others: Option<f64>, ceiling_spread: Option<f64>) -> bool {
    others.is_some_and(|it| OTHERS_MAX < it) || ceiling_spread.is_some_and(|it| SPREAD_MAX < it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_the_kernels_figures_is_read() {
        let stat = "cpu  100 20 30 800 40 5 6 7 9 9\ncpu0 1 2 3\n";
        let time = |ticks: u64| Duration::from_millis(ticks * 10);
        let expected = MachineTime { busy: time(157), all: time(1_008) };
        assert_eq!(MachineTime::parse(stat), Some(expected));
        for wrong in ["", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8"] {
            assert_eq!(MachineTime::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_row_is_noisy_if_others_worked_or_the_ceiling_moved() {
        let check = |others, spread, expected| assert_eq!(is_noisy(others, spread), expected);
        check(None, None, false);
        check(Some(0.05), Some(0.1), false);
        check(Some(0.06), None, true);
        check(Some(0.0), Some(0.11), true);
    }
}
