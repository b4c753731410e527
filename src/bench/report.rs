//! Report of a bench, as a table for people and as JSON for programs.

mod median;

use std::{fmt::Write, mem, time::Duration};

use serde::Serialize;

use super::load::Measurement;
use crate::cli::bench::Scenario;

/// All results, with the machine and the settings.
#[derive(Debug, Serialize)]
pub(super) struct BenchReport {
    pub(super) machine: Machine,
    pub(super) connections: usize,
    pub(super) rate: Option<u32>,
    /// The external engine, if there is one.
    pub(super) engine: Option<ReportedEngine>,
    left_out: Vec<LeftOut>,
    /// Rows of the current run; at the end, the medians of all runs.
    pub(super) rows: Vec<ReportRow>,
    pub(super) runs: Vec<Vec<ReportRow>>,
    #[serde(skip)]
    scenario: Option<Scenario>,
}

/// An external engine that was measured.
#[derive(Debug, Serialize)]
pub(super) struct ReportedEngine {
    pub(super) url: String,
    pub(super) version: String,
}

#[derive(Debug, PartialEq, Serialize)]
struct LeftOut {
    scenario: Scenario,
    why: &'static str,
}

/// The machine that ran the bench.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
    pub(super) conflow: &'static str,
    pub(super) commit: String,
    /// Time of the bench, in seconds since 1970.
    pub(super) unix_time: u64,
    /// Whether conflow is a release build.
    pub(super) is_optimized: bool,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ReportRow {
    pub(super) scenario: Option<Scenario>,
    pub(super) what: String,
    /// Members of each room, if the scenario varies it.
    pub(super) rooms_of: Option<usize>,
    operations: u64,
    pub(super) per_second: Option<f64>,
    /// Latencies of the responses, in microseconds.
    pub(super) latency: Option<Latency>,
    /// The engine's processor time for an operation, in microseconds.
    cpu_micros: Option<f64>,
    /// Ratio of the rate to the ceiling's.
    of_ceiling: Option<f64>,
    /// Ratio of the 99th percentile to the ceiling's.
    p99_of_ceiling: Option<f64>,
    /// Whether the client was the bottleneck: the engine may be faster.
    is_client_bound: bool,
    targets: Vec<ReportTarget>,
    notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
    /// Quantiles: point n is at n times [`NINES_STEP`] nines.
    #[serde(skip)]
    pub(super) curve: Vec<f64>,
}

/// Distance of two points of a curve. One nine is 90 %, two are 99 %.
pub(super) const NINES_STEP: f64 = 0.05;

/// Quantiles up to the last one that the number of operations supports.
fn curve(measured: &Measurement) -> Vec<f64> {
    let nines = (measured.operations.max(1) as f64).log10();
    let points = 0..=(nines / NINES_STEP) as u32;
    let quantile = |point| 1.0 - 10_f64.powf(-f64::from(point) * NINES_STEP);
    points.map(|it| measured.latency.value_at_quantile(quantile(it)) as f64 / 1e3).collect()
}

/// A figure with its target.
#[derive(Clone, Debug, Serialize)]
struct ReportTarget {
    figure: f64,
    unit: String,
    wanted: String,
    is_met: bool,
}

/// Share of a core from which the client counts as the bottleneck.
const CLIENT_BOUND: f64 = 0.95;
/// P1: bound of the ratio of the 99th percentiles.
const P99_MAX: f64 = 5.0;

impl ReportRow {
    pub(super) fn new(what: &str, measured: &Measurement) -> Self {
        let micros = |quantile| measured.latency.value_at_quantile(quantile) as f64 / 1e3;
        let latency = Latency {
            p50: micros(0.5),
            p90: micros(0.9),
            p99: micros(0.99),
            p999: micros(0.999),
            max: measured.latency.max() as f64 / 1e3,
            curve: curve(measured),
        };
        Self {
            operations: measured.operations,
            per_second: Some(measured.per_second()),
            latency: Some(latency),
            is_client_bound: CLIENT_BOUND < measured.client_share,
            ..Self::without_operations(what)
        }
    }

    /// A row without operations.
    pub(super) fn without_operations(what: &str) -> Self {
        Self {
            scenario: None,
            what: what.to_owned(),
            rooms_of: None,
            operations: 0,
            per_second: None,
            latency: None,
            cpu_micros: None,
            of_ceiling: None,
            p99_of_ceiling: None,
            is_client_bound: false,
            targets: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// A row of operations that were counted, without latencies.
    pub(super) fn count(what: &str, operations: usize, elapsed: Duration) -> Self {
        let per_second = operations as f64 / elapsed.as_secs_f64();
        Self {
            operations: operations as u64,
            per_second: Some(per_second),
            ..Self::without_operations(what)
        }
    }

    /// Adds the engine's processor time; nothing is added for an external engine, or below the
    /// kernel's resolution.
    pub(super) fn cpu(self, cpu: Duration) -> Self {
        let micros = cpu.as_secs_f64() * 1e6 / self.operations.max(1) as f64;
        Self { cpu_micros: (!cpu.is_zero()).then_some(micros), ..self }
    }

    pub(super) fn rooms_of(self, members: usize) -> Self {
        Self { rooms_of: Some(members), ..self }
    }

    /// Adds the ratio to the ceiling, with a target.
    pub(super) fn ceiling(self, bare: &Measurement, at_least: f64) -> Self {
        let row = self.beside_bare(bare);
        let ratio = row.of_ceiling.unwrap_or_default();
        row.target(ratio, "of the ceiling", format!("≥ {at_least}"), at_least <= ratio)
    }

    /// Adds the ratio to the ceiling, without a target.
    pub(super) fn beside_bare(self, bare: &Measurement) -> Self {
        let ratio = self.per_second.map(|it| it / bare.per_second());
        let p99 = bare.latency.value_at_quantile(0.99) as f64 / 1e3;
        let of_p99 = self.latency.as_ref().map(|it| it.p99 / p99);
        Self { of_ceiling: ratio, p99_of_ceiling: of_p99, ..self }
    }

    /// Adds the ratio of the 99th percentiles, with a target.
    pub(super) fn p99(self) -> Self {
        let ratio = self.p99_of_ceiling.unwrap_or_default();
        self.target(ratio, "of the ceiling's p99", format!("≤ {P99_MAX}"), ratio <= P99_MAX)
    }

    /// Adds the ratio to another row's rate, with a target.
    pub(super) fn beside(self, other: f64, name: &str, at_least: f64) -> Self {
        let ratio = self.per_second.unwrap_or_default() / other;
        self.target(ratio, &format!("of {name}"), format!("≥ {at_least}"), at_least <= ratio)
    }

    pub(super) fn at_most(self, figure: f64, unit: &str, at_most: f64) -> Self {
        self.target(figure, unit, format!("≤ {at_most}"), figure <= at_most)
    }

    pub(super) fn at_least(self, figure: f64, unit: &str, at_least: f64) -> Self {
        self.target(figure, unit, format!("≥ {at_least}"), at_least <= figure)
    }

    pub(super) fn note(mut self, note: String) -> Self {
        self.notes.push(note);
        self
    }

    fn target(mut self, figure: f64, unit: &str, wanted: String, is_met: bool) -> Self {
        self.targets.push(ReportTarget { figure, unit: unit.to_owned(), wanted, is_met });
        self
    }

    fn write(&self, text: &mut String) {
        let figure = |it: Option<f64>| it.map(short).unwrap_or_default();
        let latency = |of: fn(&Latency) -> f64| figure(self.latency.as_ref().map(of));
        let columns = [
            figure(self.per_second),
            latency(|it| it.p50),
            latency(|it| it.p90),
            latency(|it| it.p99),
            latency(|it| it.p999),
            latency(|it| it.max),
            figure(self.cpu_micros),
            figure(self.of_ceiling),
        ];
        let mut notes: Vec<String> = self.notes.clone();
        for ReportTarget { figure, unit, wanted, is_met } in &self.targets {
            let mark = if *is_met { "" } else { " MISSED" };
            notes.push(format!("{} {unit} ({wanted}){mark}", short(*figure)));
        }
        if self.is_client_bound {
            notes.push("the client is the bottleneck".to_owned());
        }
        line(text, &self.what, &columns, &notes.join("; "));
    }
}

const TITLES: [&str; 8] = ["op/s", "p50", "p90", "p99", "p99.9", "max", "CPU/op", "ceiling"];

impl BenchReport {
    pub(super) fn new(machine: Machine, connections: usize, rate: Option<u32>) -> Self {
        Self {
            machine,
            connections,
            rate,
            engine: None,
            left_out: Vec::new(),
            rows: Vec::new(),
            runs: Vec::new(),
            scenario: None,
        }
    }

    /// Sets the scenario of further rows.
    pub(super) fn begin(&mut self, scenario: Scenario) {
        self.scenario = Some(scenario);
    }

    pub(super) fn add(&mut self, row: ReportRow) {
        self.rows.push(ReportRow { scenario: self.scenario, ..row });
    }

    pub(super) fn leave_out(&mut self, scenario: Scenario, why: &'static str) {
        let left_out = LeftOut { scenario, why };
        if !self.left_out.contains(&left_out) {
            self.left_out.push(left_out);
        }
    }

    /// Ends a run; further rows belong to the next one.
    pub(super) fn end_run(&mut self) {
        self.runs.push(mem::take(&mut self.rows));
    }

    /// Replaces the rows by the medians of all runs.
    pub(super) fn end(&mut self) {
        self.rows = median::rows(&self.runs);
    }

    /// Machine and settings in one line.
    pub(super) fn about(&self) -> String {
        let Machine { processor, cores, kernel, conflow, commit, .. } = &self.machine;
        let mut text = format!(
            "conflow {conflow} ({commit}), {cores} cores of {processor}, {kernel}; {} connections",
            self.connections
        );
        if 1 < self.runs.len() {
            write!(text, "; medians of {} runs", self.runs.len()).expect("memory takes it");
        }
        text
    }

    /// The report as a Markdown table.
    pub(super) fn table(&self) -> String {
        let mut text = self.about() + "\n";
        if let Some(ReportedEngine { url, version }) = &self.engine {
            writeln!(text, "asked: {url}, conflow {version}; the ceiling is this machine's")
                .expect("memory takes it");
        }
        if let Some(rate) = self.rate {
            writeln!(text, "{rate} requests a second").expect("memory takes it");
        }
        if !self.machine.is_optimized {
            text += "NOT OPTIMIZED: build with --release\n";
        }
        text += "Times in µs; ceiling is the part of what a bare axum route answers.\n\n";
        line(&mut text, "what", &TITLES.map(str::to_owned), "");
        line(&mut text, "---", &TITLES.map(|_| "--:".to_owned()), "---");
        self.rows.iter().for_each(|row| row.write(&mut text));
        for LeftOut { scenario, why } in &self.left_out {
            writeln!(text, "\nLeft out: {scenario}, since {why}.").expect("memory takes it");
        }
        text
    }
}

fn line(text: &mut String, what: &str, columns: &[String; TITLES.len()], notes: &str) {
    write!(text, "| {what:40} |").expect("memory takes it");
    for column in columns {
        write!(text, " {column:>8} |").expect("memory takes it");
    }
    writeln!(text, " {notes} |").expect("memory takes it");
}

/// Formats three significant digits.
fn short(figure: f64) -> String {
    match figure {
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::latencies;

    #[test]
    fn a_target_that_is_missed_is_said() {
        let measured = |operations| {
            let elapsed = Duration::from_secs(1);
            Measurement { operations, elapsed, latency: latencies(), client_share: 0.5 }
        };
        let check = |operations, expected: &str| {
            let mut text = String::new();
            ReportRow::new("kick", &measured(operations))
                .ceiling(&measured(100), 0.5)
                .write(&mut text);
            assert!(text.contains(expected), "{text}");
        };
        check(50, "0.50 of the ceiling (≥ 0.5) |");
        check(49, "0.49 of the ceiling (≥ 0.5) MISSED |");
    }
}
