//! Durability: rows of a scenario beside those of its run without the state log.

use super::{BenchReport, ReportTarget};

/// Bound of the rate with the state log, as a part of that without.
const RATIO_MIN: f64 = 0.9;

impl BenchReport {
    /// Compares the rows from `second` on with those from `first` on, of the same scenario without the
    /// state log.
    pub(in crate::bench) fn compare_durability(&mut self, first: usize, second: usize) {
        let (before, after) = self.rows.split_at_mut(second);
        for row in &mut before[first..] {
            row.what += ", no state log";
        }
        for (row, without) in after.iter_mut().zip(&before[first..]) {
            let rates = row.per_second.zip(without.per_second);
            // The ceiling has none.
            if let Some((with, without)) = rates.filter(|_| !row.what.starts_with("ceiling")) {
                let (ratio, wanted) = (with / without, format!("≥ {RATIO_MIN}"));
                let is_met = RATIO_MIN <= ratio;
                let unit = "of the rate without the state log";
                row.targets.push(ReportTarget::new(ratio, unit, wanted, is_met));
            }
            row.judge();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{BenchReport, Machine, ReportRow};
    use crate::bench::load::{Measurement, latencies};

    fn measured(operations: u64) -> Measurement {
        let elapsed = Duration::from_secs(1);
        Measurement { operations, elapsed, latency: latencies(), client_share: 0.5 }
    }

    #[test]
    fn a_scenario_is_compared_with_its_run_without_the_state_log() {
        let machine = Machine {
            processor: String::new(),
            cores: 1,
            kernel: String::new(),
            conflow: "",
            commit: String::new(),
            unix_time: 0,
            is_optimized: true,
        };
        let mut report = BenchReport::new(machine, 1, None);
        for (what, operations) in [("kick", 100), ("list", 100), ("kick", 95), ("list", 80)] {
            report.add(ReportRow::new(what, &measured(operations)));
        }
        report.compare_durability(0, 2);
        let table = report.table();
        let row = |name: &str| table.lines().find(|it| it.starts_with(name)).unwrap_or_default();
        assert!(row("| kick, no state log ").ends_with("|  |"), "{table}");
        assert!(
            row("| kick  ").contains("0.95 of the rate without the state log (≥ 0.9)"),
            "{table}"
        );
        assert!(
            row("| list  ").contains("0.80 of the rate without the state log (≥ 0.9) "),
            "{table}"
        );
    }
}
