//! Medians of several runs, row by row and figure by figure.

use super::{Latency, ReportRow, ReportTarget};

/// Merges the rows of all runs. Runs have equal rows: the nth row of a name is merged with the nth.
pub(super) fn rows(runs: &[Vec<ReportRow>]) -> Vec<ReportRow> {
    let Some((first, rest)) = runs.split_first() else { return Vec::new() };
    let others: Vec<Vec<(&ReportRow, usize)>> = rest.iter().map(|run| numbered(run)).collect();
    numbered(first)
        .into_iter()
        .map(|(row, number)| {
            let is_it = |it: &&(&ReportRow, usize)| it.0.what == row.what && it.1 == number;
            let same = others.iter().filter_map(|run| run.iter().find(is_it)).map(|it| it.0);
            of_rows(&[row].into_iter().chain(same).collect::<Vec<_>>())
        })
        .collect()
}

/// Each row with the number of earlier rows of that name.
fn numbered(run: &[ReportRow]) -> Vec<(&ReportRow, usize)> {
    let before = |at: usize| run[..at].iter().filter(|it| it.what == run[at].what).count();
    run.iter().enumerate().map(|(at, row)| (row, before(at))).collect()
}

/// Texts are those of the run with the median rate.
fn of_rows(rows: &[&ReportRow]) -> ReportRow {
    let pick =
        |of: fn(&ReportRow) -> Option<f64>| middle(rows.iter().filter_map(|it| of(it)).collect());
    let mut by_rate = rows.to_vec();
    by_rate.sort_by(|a, b| order(a.per_second, b.per_second));
    let typical = by_rate[middle_index(by_rate.len())];
    let latencies: Vec<_> = rows.iter().filter_map(|it| it.latency.as_ref()).collect();
    let mut row = ReportRow {
        per_second: pick(|it| it.per_second),
        latency: (!latencies.is_empty()).then(|| of_latencies(&latencies)),
        cpu_micros: pick(|it| it.cpu_micros),
        of_ceiling: pick(|it| it.of_ceiling),
        p99_of_ceiling: pick(|it| it.p99_of_ceiling),
        is_client_bound: rows.iter().any(|it| it.is_client_bound),
        others_share: pick(|it| it.others_share),
        ceiling_spread: pick(|it| it.ceiling_spread),
        targets: (0..typical.targets.len()).map(|n| of_targets(rows, n)).collect(),
        ..typical.clone()
    };
    row.judge();
    row
}

fn of_latencies(all: &[&Latency]) -> Latency {
    let pick = |of: &dyn Fn(&Latency) -> f64| {
        middle(all.iter().map(|it| of(it)).collect()).unwrap_or_default()
    };
    let points = all.iter().map(|it| it.curve.len()).min().unwrap_or_default();
    Latency {
        p50: pick(&|it| it.p50),
        p90: pick(&|it| it.p90),
        p99: pick(&|it| it.p99),
        p999: pick(&|it| it.p999),
        max: pick(&|it| it.max),
        curve: (0..points).map(|n| pick(&|it| it.curve[n])).collect(),
    }
}

/// A target is taken as a whole, so that `is_met` matches its figure.
fn of_targets(rows: &[&ReportRow], n: usize) -> ReportTarget {
    let mut targets: Vec<_> = rows.iter().filter_map(|it| it.targets.get(n)).collect();
    targets.sort_by(|a, b| a.figure.total_cmp(&b.figure));
    targets[middle_index(targets.len())].clone()
}

fn middle(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(middle_index(figures.len())).copied()
}

/// The lower one of two middle ones.
fn middle_index(of: usize) -> usize {
    of.saturating_sub(1) / 2
}

fn order(a: Option<f64>, b: Option<f64>) -> std::cmp::Ordering {
    a.unwrap_or_default().total_cmp(&b.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::load::{Measurement, latencies};

    fn row(what: &str, operations: u64, nanos: u64) -> ReportRow {
        let mut latency = latencies();
        latency.record(nanos).unwrap();
        let elapsed = Duration::from_secs(1);
        let row =
            ReportRow::new(what, &Measurement { operations, elapsed, latency, client_share: 0.1 });
        row.at_most(operations as f64, "kicks", 25.0).note(format!("{operations} it was"))
    }

    #[test]
    fn each_figure_is_the_middle_one_of_all_runs() {
        let check = |runs: &[(u64, u64)], expected: (f64, f64, bool, &str)| {
            let run =
                |&(operations, micros): &(u64, u64)| vec![row("kick", operations, micros * 1_000)];
            let found = rows(&runs.iter().map(run).collect::<Vec<_>>()).remove(0);
            let p50 = found.latency.unwrap().p50.round();
            let is_met = found.targets[0].is_met;
            let figures = (found.per_second.unwrap(), p50, is_met, &*found.notes[0]);
            assert_eq!(figures, expected, "{runs:?}");
        };
        check(&[(10, 7)], (10.0, 7.0, true, "10 it was"));
        check(&[(10, 7), (30, 9), (20, 8)], (20.0, 8.0, true, "20 it was"));
        check(&[(30, 7), (40, 1), (10, 2)], (30.0, 2.0, false, "30 it was"));
        check(&[(30, 7), (10, 2)], (10.0, 2.0, true, "10 it was"));
    }

    #[test]
    fn a_row_goes_with_its_like_though_others_have_its_name() {
        let run = |first, second| vec![row("bare", first, 1), row("bare", second, 1)];
        let found = rows(&[run(1, 100), run(3, 300), run(2, 200)]);
        let rates: Vec<_> = found.iter().map(|it| it.per_second.unwrap()).collect();
        assert_eq!(rates, [2.0, 200.0]);
    }
}
