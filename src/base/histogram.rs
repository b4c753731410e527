//! Figures that programs read: a histogram of atomics, and Prometheus' text form (exposition
//! format 0.0.4).
//!
//! The `prometheus-client` crate keeps its histograms and its families behind locks; a kick takes
//! none for the sake of a figure.

use std::{
    fmt::{Display, Write},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// How long something took, in steps from half a millisecond to ten seconds.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Those of each step; the last has what took longer.
    steps: [AtomicU64; STEPS.len() + 1],
    micros: AtomicU64,
}

/// In microseconds, and as the text form has them. An answer takes under a millisecond, one that
/// waits 5 s is late.
const STEPS: [(u64, &str); 12] = [
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (1_000_000, "1"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];

impl Histogram {
    /// Counts one.
    pub fn count(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let step = STEPS.iter().position(|(max, _)| micros <= *max).unwrap_or(STEPS.len());
        self.steps[step].fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }
}

/// What a family of figures is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It rises, and never falls.
    Counter,
    /// As it is now.
    Gauge,
    /// See [`Histogram`].
    Histogram,
}

/// Figures in their text form.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    name: &'static str,
}

/// Names of labels, and their values.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

impl Page {
    /// What the text form is called in a `Content-Type`.
    pub const TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Begins a family; its figures follow.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Self {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.name = name;
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        self
    }

    /// A figure of the family.
    pub fn figure(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        let name = self.name;
        self.line(format_args!("{name}{} {value}", braced(labels, None)));
        self
    }

    /// All of a histogram.
    pub fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) -> &mut Self {
        let (name, mut sum) = (self.name, 0);
        let bounds = STEPS.iter().map(|(_, text)| *text).chain(["+Inf"]);
        for (bound, count) in bounds.zip(&histogram.steps) {
            sum += count.load(Relaxed);
            self.line(format_args!("{name}_bucket{} {sum}", braced(labels, Some(bound))));
        }
        let seconds = Duration::from_micros(histogram.micros.load(Relaxed)).as_secs_f64();
        self.line(format_args!("{name}_sum{} {seconds}", braced(labels, None)));
        self.line(format_args!("{name}_count{} {sum}", braced(labels, None)));
        self
    }

    /// The whole text.
    pub fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.text, "{line}").expect("a String takes everything");
    }
}

fn braced(labels: Labels<'_>, bound: Option<&str>) -> String {
    let labels = labels.iter().copied().chain(bound.map(|it| ("le", it)));
    let escaped = |it: &str| it.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<_> =
        labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    match labels.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", labels.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_says_how_many_took_so_long_or_less() {
        let histogram = Histogram::default();
        for micros in [0, 500, 501, 10_000_000, 10_000_001] {
            histogram.count(Duration::from_micros(micros));
        }
        let mut page = Page::default();
        page.family("a_seconds", Kind::Histogram, "How long.").histogram(&[("b", "c")], &histogram);
        let text = page.into_text();
        let begin = "# HELP a_seconds How long.\n# TYPE a_seconds histogram\n\
            a_seconds_bucket{b=\"c\",le=\"0.0005\"} 2\na_seconds_bucket{b=\"c\",le=\"0.001\"} 3\n";
        assert!(text.starts_with(begin), "{text}");
        let end = "a_seconds_bucket{b=\"c\",le=\"10\"} 4\na_seconds_bucket{b=\"c\",le=\"+Inf\"} 5\n\
            a_seconds_sum{b=\"c\"} 20.001002\na_seconds_count{b=\"c\"} 5\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn what_would_end_a_label_is_escaped() {
        let mut page = Page::default();
        page.family("a", Kind::Gauge, "A.").figure(&[], 1).figure(&[("b", "\"\\\n")], 2);
        let expected = "# HELP a A.\n# TYPE a gauge\na 1\na{b=\"\\\"\\\\\\n\"} 2\n";
        assert_eq!(page.into_text(), expected);
    }
}
