//! Report of a bench, as a table for people and as JSON for programs.

mod durability;
mod median;

use std::{fmt::Write, mem, time::Duration};

use serde::Serialize;

use super::{
    load::Measurement,
    noise::{self, NoiseMeter},
};
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
    /// Since the last row; None for an engine of others, whose work is not known.
    #[serde(skip)]
    noise: Option<NoiseMeter>,
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
    /// Share of the machine's time that other processes took; None if it is not known.
    others_share: Option<f64>,
    /// Difference of the two measurements of the ceiling, as a share of their mean.
    ceiling_spread: Option<f64>,
    /// Whether others disturbed it too much for a verdict.
    is_noisy: bool,
    targets: Vec<ReportTarget>,
    notes: Vec<String>,
    /// How it is compared with the ceiling, once that was measured for the second time.
    #[serde(skip)]
    comparison: Option<Comparison>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Comparison {
    at_least: Option<f64>,
    with_p99: bool,
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
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Met,
    Missed,
    /// Missed on a machine that was not quiet.
    Unclear,
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
            others_share: None,
            ceiling_spread: None,
            is_noisy: false,
            targets: Vec::new(),
            notes: Vec::new(),
            comparison: None,
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

    /// Compares it with the ceiling, with a target.
    pub(super) fn ceiling(self, at_least: f64) -> Self {
        let comparison = Comparison { at_least: Some(at_least), with_p99: false };
        Self { comparison: Some(comparison), ..self }
    }

    /// Compares it with the ceiling, without a target.
    pub(super) fn beside_bare(self) -> Self {
        Self { comparison: Some(Comparison::default()), ..self }
    }

    /// Compares the 99th percentiles as well, with a target.
    pub(super) fn p99(self) -> Self {
        let comparison = self.comparison.unwrap_or_default();
        Self { comparison: Some(Comparison { with_p99: true, ..comparison }), ..self }
    }

    /// Adds the ratios to the mean of the ceiling before and after the measurement.
    fn compare(&mut self, before: &Measurement, after: &Measurement) {
        let Some(Comparison { at_least, with_p99 }) = self.comparison.take() else { return };
        let mean = |of: &dyn Fn(&Measurement) -> f64| f64::midpoint(of(before), of(after));
        let rate = mean(&Measurement::per_second);
        let p99 = mean(&|it| it.latency.value_at_quantile(0.99) as f64 / 1e3);
        self.ceiling_spread = Some((before.per_second() - after.per_second()).abs() / rate);
        self.of_ceiling = self.per_second.map(|it| it / rate);
        self.p99_of_ceiling = self.latency.as_ref().map(|it| it.p99 / p99);
        let mut targets = Vec::new();
        if let (Some(ratio), Some(at_least)) = (self.of_ceiling, at_least) {
            let wanted = format!("≥ {at_least}");
            targets.push(ReportTarget::new(ratio, "of the ceiling", wanted, at_least <= ratio));
        }
        if let (Some(ratio), true) = (self.p99_of_ceiling, with_p99) {
            let (wanted, is_met) = (format!("≤ {P99_MAX}"), ratio <= P99_MAX);
            targets.push(ReportTarget::new(ratio, "of the ceiling's p99", wanted, is_met));
        }
        self.targets.splice(0..0, targets);
        self.judge();
    }

    /// Gives each target its verdict, once the noise is known.
    fn judge(&mut self) {
        self.is_noisy = noise::is_noisy(self.others_share, self.ceiling_spread);
        for target in &mut self.targets {
            target.verdict = match (target.is_met, self.is_noisy) {
                (true, _) => Verdict::Met,
                (false, false) => Verdict::Missed,
                (false, true) => Verdict::Unclear,
            };
        }
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
        self.targets.push(ReportTarget::new(figure, unit, wanted, is_met));
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
        for ReportTarget { figure, unit, wanted, verdict, .. } in &self.targets {
            let mark = match verdict {
                Verdict::Met => "",
                Verdict::Missed => " MISSED",
                Verdict::Unclear => " unclear",
            };
            notes.push(format!("{} {unit} ({wanted}){mark}", short(*figure)));
        }
        if self.is_client_bound {
            notes.push("the client is the bottleneck".to_owned());
        }
        notes.extend(self.noise());
        line(text, &self.what, &columns, &notes.join("; "));
    }

    /// The noise of a noisy row, in words.
    fn noise(&self) -> Option<String> {
        let percent = |it: f64| (it * 100.0).round();
        let others = self.others_share.map(percent).filter(|_| self.is_noisy);
        let others = others.map(|it| format!("others took {it} % of the machine"));
        let spread = self.ceiling_spread.map(percent).filter(|_| self.is_noisy);
        let spread = spread.map(|it| format!("the ceiling moved by {it} %"));
        let said: Vec<_> = others.into_iter().chain(spread).collect();
        (!said.is_empty()).then(|| format!("noisy: {}", said.join(", ")))
    }
}

impl ReportTarget {
    fn new(figure: f64, unit: &str, wanted: String, is_met: bool) -> Self {
        let verdict = if is_met { Verdict::Met } else { Verdict::Missed };
        Self { figure, unit: unit.to_owned(), wanted, is_met, verdict }
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
            noise: None,
        }
    }

    /// Sets the scenario of further rows.
    pub(super) fn begin(&mut self, scenario: Scenario) {
        self.scenario = Some(scenario);
        self.noise = self.engine.is_none().then(NoiseMeter::start);
    }

    /// Adds a row, with the noise since the last one.
    pub(super) fn add(&mut self, row: ReportRow) {
        let others_share = self.noise.as_ref().and_then(NoiseMeter::others);
        let mut row = ReportRow { scenario: self.scenario, others_share, ..row };
        row.judge();
        self.rows.push(row);
        self.noise = self.noise.map(|_| NoiseMeter::start());
    }

    /// Compares the rows that wait for it with the ceiling, measured before and after them.
    pub(super) fn compare(&mut self, before: &Measurement, after: &Measurement) {
        self.rows.iter_mut().for_each(|row| row.compare(before, after));
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
        text += "Times in µs; ceiling is the part of what a bare axum route answers, before and after. \
                 A noisy row was disturbed: a target that it misses is unclear.\n\n";
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

    fn measured(operations: u64) -> Measurement {
        let elapsed = Duration::from_secs(1);
        Measurement { operations, elapsed, latency: latencies(), client_share: 0.5 }
    }

    #[test]
    fn a_target_that_is_missed_is_said_and_unclear_on_a_noisy_machine() {
        let check = |operations, others_share, ceilings: (u64, u64), expected: &str| {
            let mut row = ReportRow::new("kick", &measured(operations)).ceiling(0.5);
            row.others_share = others_share;
            row.compare(&measured(ceilings.0), &measured(ceilings.1));
            let mut text = String::new();
            row.write(&mut text);
            assert!(text.contains(expected), "{text}");
        };
        check(50, None, (100, 100), "0.50 of the ceiling (≥ 0.5) |");
        check(49, Some(0.01), (95, 105), "0.49 of the ceiling (≥ 0.5) MISSED |");
        let moved = "unclear; noisy: others took 1 % of the machine, the ceiling moved by 20 % |";
        check(49, Some(0.01), (90, 110), moved);
        let others = "unclear; noisy: others took 6 % of the machine, the ceiling moved by 0 % |";
        check(49, Some(0.06), (100, 100), others);
        check(
            50,
            None,
            (80, 120),
            "0.50 of the ceiling (≥ 0.5); noisy: the ceiling moved by 40 % |",
        );
    }
}
