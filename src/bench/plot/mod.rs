//! Plots of the results: latencies, and the cost of a room's size.

mod chart;

use std::{fs, path::Path};

use anyhow::{Context, Result};

use self::chart::{Axis, Chart, Curve, nines, number, sizes, time};
use super::report::{BenchReport, NINES_STEP, ReportRow};
use crate::{base::utc, cli::bench::Scenario};

/// Writes `SCENARIO-latency.svg` for each scenario with latencies, and `SCENARIO-scaling.svg` for
/// each that varied the size of rooms.
///
/// # Errors
///
/// A file cannot be written.
pub(super) fn draw(report: &BenchReport, folder: &Path) -> Result<()> {
    for (name, chart) in charts(report) {
        let path = folder.join(name);
        let written = fs::write(&path, chart.svg());
        written.with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

fn charts(report: &BenchReport) -> Vec<(String, Chart)> {
    let mut scenarios: Vec<_> = report.rows.iter().filter_map(|it| it.scenario).collect();
    scenarios.dedup();
    let caption = caption(report);
    let of = |scenario: &Scenario| {
        let rows = report.rows.iter().filter(|it| it.scenario == Some(*scenario));
        let (rows, caption) = (rows.collect::<Vec<_>>(), caption.clone());
        let latency = latency(*scenario, &rows, caption.clone());
        let latency = latency.map(|it| (format!("{scenario}-latency.svg"), it));
        let scaling = scaling(*scenario, &rows, caption);
        latency.into_iter().chain(scaling.map(|it| (format!("{scenario}-scaling.svg"), it)))
    };
    scenarios.iter().flat_map(of).collect()
}

fn caption(report: &BenchReport) -> Vec<String> {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(report.machine.unix_time);
    let mut how = utc::seconds(at) + " UTC";
    if let Some(rate) = report.rate {
        how += &format!("; {rate} requests a second");
    }
    if let Some(engine) = &report.engine {
        how += &format!("; asked: {}, conflow {}", engine.url, engine.version);
    }
    if !report.machine.is_optimized {
        how += "; NOT OPTIMIZED";
    }
    vec![report.about(), how]
}

/// Chart of latencies, one curve per row; slow responses are spread out to the right.
fn latency(scenario: Scenario, rows: &[&ReportRow], caption: Vec<String>) -> Option<Chart> {
    let curve = |row: &&ReportRow| {
        let latency = row.latency.as_ref()?;
        let micros = latency.curve.iter().zip(0_u32..);
        let points = micros.map(|(micros, n)| (f64::from(n) * NINES_STEP, *micros));
        let points: Vec<_> = points.filter(|(_, micros)| 0.0 < *micros).collect();
        (1 < points.len()).then(|| Curve {
            name: row.what.clone(),
            points,
            is_ceiling: is_ceiling(row),
            has_marks: false,
        })
    };
    let curves: Vec<_> = rows.iter().filter_map(curve).collect();
    let points = || curves.iter().flat_map(|it| &it.points);
    let x = points().map(|it| it.0).reduce(f64::max)?;
    Some(Chart {
        title: format!("{scenario}: latency of responses"),
        caption,
        x: Axis { title: "share of responses that took no longer".to_owned(), ticks: nines(x) },
        y: Axis { title: "time".to_owned(), ticks: time(points().map(|it| it.1)) },
        curves,
    })
}

/// Chart over the size of rooms: operations a second, or the cost per member if all are kicked at
/// once.
fn scaling(scenario: Scenario, rows: &[&ReportRow], caption: Vec<String>) -> Option<Chart> {
    let is_per_member = scenario == Scenario::KickAll;
    let point = |row: &&ReportRow| {
        let members = row.rooms_of? as f64;
        let figure = match is_per_member {
            true => row.latency.as_ref()?.p50 / members,
            false => row.per_second?,
        };
        Some((members, figure))
    };
    let mut points: Vec<_> = rows.iter().filter_map(point).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points.dedup_by(|a, b| a.0 == b.0);
    if points.len() < 2 {
        return None;
    }
    let title = match is_per_member {
        true => "median µs per member",
        false => "operations per second",
    };
    let curve = |name: String, points: Vec<(f64, f64)>, is_ceiling: bool| Curve {
        name,
        points,
        is_ceiling,
        has_marks: !is_ceiling,
    };
    let (low, high) = (points[0].0, points[points.len() - 1].0);
    let ceiling = rows.iter().find(|it| is_ceiling(it) && !is_per_member);
    let ceiling = ceiling.and_then(|it| {
        let rate = it.per_second?;
        Some(curve(it.what.clone(), vec![(low, rate), (high, rate)], true))
    });
    let curves = ceiling.into_iter().chain([curve(scenario.to_string(), points.clone(), false)]);
    let curves: Vec<_> = curves.collect();
    let figures = curves.iter().flat_map(|it| &it.points).map(|it| it.1);
    Some(Chart {
        title: format!("{scenario}: cost of the size of a room"),
        caption,
        x: Axis {
            title: "members of the room".to_owned(),
            ticks: sizes(points.iter().map(|it| it.0)),
        },
        y: Axis { title: title.to_owned(), ticks: number(figures) },
        curves,
    })
}

fn is_ceiling(row: &ReportRow) -> bool {
    row.what.starts_with("ceiling")
}
