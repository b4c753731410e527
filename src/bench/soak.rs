//! Scenario soak: joins, leaves, kicks and mutes for a long time, with a check for leaks.

use std::{mem, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use super::{
    Bench,
    churn::{BASE_MEMBERS, Churn},
    clock::now,
    filled::{FilledTarget, Shape, kick},
    link::BenchConnection,
    load::drive,
    report::ReportRow,
    target::{self, BenchTarget, EngineOptions},
};
use crate::cdr::store::RECENT_MAX;

const ROOMS: u32 = 100;
/// Duration in seconds, unless a flag says otherwise.
const SECONDS: u16 = 60;
/// An allocator's reserve differs from run to run; a leak per call is much more in a soak.
const GROWTH_MAX: f64 = 1.1;
/// Ended calls are gone within this time: a phone still hears its goodbye.
const SETTLED_WAIT_MAX: Duration = Duration::from_secs(20);
/// Interval of reading the gauges.
const LOOK: Duration = Duration::from_millis(50);

/// Runs joins, leaves, kicks and mutes; then calls, members, rooms and memory must be as before. At
/// the end all are zero.
pub(super) async fn soak(bench: &mut Bench) -> Result<()> {
    let time = Duration::from_secs(bench.flags.seconds.unwrap_or(SECONDS).into());
    // With as many rooms as connections, a connection always finds an idle one.
    let rooms = bench.flags.rooms.unwrap_or(ROOMS).max(bench.flags.connections.into());
    let options = EngineOptions { end: "", ..EngineOptions::default() };
    let target = BenchTarget::open_with(rooms, &options).await?;
    let shape = Shape { rooms, members: BASE_MEMBERS as u32 };
    let mut filled = FilledTarget::fill(target, shape, bench.connections()).await?;
    let members = rooms * shape.members;
    let full = EngineGauges { calls: members, conferences: rooms, members };

    // Memory has the last call detail records and traces, and grows until it has so many.
    bench.say("soak: filling memory with the last call detail records");
    let mut churn = Churn::new(mem::take(&mut filled.rooms), now() + time, RECENT_MAX);
    let pace = bench.pace(None);
    drive(filled.target.engine.http, pace, &mut churn).await?;
    let is_warm = RECENT_MAX <= churn.counts.ended();
    full.wait_for(&filled.target).await?;
    let before = filled.target.engine.rss();

    bench.say(&format!("soak: {} s in {rooms} rooms of {BASE_MEMBERS}", time.as_secs()));
    let mut churn = Churn::new(churn.into_rooms(), now() + time, usize::MAX);
    let cpu = filled.target.engine.cpu();
    let measured = drive(filled.target.engine.http, pace, &mut churn).await?;
    let cpu = filled.target.engine.cpu() - cpu;
    full.wait_for(&filled.target).await?;
    let after = filled.target.engine.rss();
    let mut link = BenchConnection::open(filled.target.engine.http).await?;
    filled.check_heard(&mut link, churn.kicked.make_contiguous()).await?;

    let mut row =
        ReportRow::new(&format!("soak: {rooms} rooms of {BASE_MEMBERS}"), &measured).cpu(cpu);
    row = row.note(churn.counts.to_string());
    row = row.note(format!("RSS {} → {}", mib(before), mib(after)));
    row = match is_warm {
        true => row.at_most(after as f64 / before as f64, "of the RSS at its start", GROWTH_MAX),
        false => row.note("too short to tell whether memory grows".to_owned()),
    };
    clear(&filled.target, rooms).await?;
    bench.report.add(row.note(format!("{} once all are gone", mib(filled.target.engine.rss()))));
    Ok(())
}

/// Empties all rooms, and checks that none is left.
async fn clear(target: &BenchTarget, rooms: u32) -> Result<()> {
    let (mut link, mut request) = (BenchConnection::open(target.engine.http).await?, Vec::new());
    for room in 0..rooms {
        kick(&mut request, room, "all");
        ensure!(link.ask(&request).await?.status == 202, "room-{room} cannot be emptied");
    }
    EngineGauges::default().wait_for(target).await
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct EngineGauges {
    calls: u32,
    conferences: u32,
    members: u32,
}

impl EngineGauges {
    fn read(page: &str) -> Result<Self> {
        let gauge = |name: &str| -> Result<u32> {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            Ok(line.with_context(|| format!("/metrics has no {name}"))?.parse()?)
        };
        Ok(Self {
            calls: gauge("conflow_calls")?,
            conferences: gauge("conflow_conferences")?,
            members: gauge("conflow_members")?,
        })
    }

    /// Waits until the engine has these gauges.
    async fn wait_for(self, target: &BenchTarget) -> Result<()> {
        let (mut link, mut request, begin) =
            (BenchConnection::open(target.engine.http).await?, Vec::new(), now());
        target::metrics(&mut request);
        loop {
            let found = Self::read(str::from_utf8(link.ask(&request).await?.body)?)?;
            if found == self {
                return Ok(());
            }
            let is_late = SETTLED_WAIT_MAX <= begin.elapsed();
            ensure!(!is_late, "{found:?} are left, and there should be {self:?}");
            sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_those_of_their_names() {
        let page = "# HELP conflow_calls Calls that are up.\nconflow_calls_total{a=\"b\"} 9\n\
                    conflow_calls 1\nconflow_conferences 2\nconflow_members_total 8\nconflow_members 3\n";
        let found = EngineGauges::read(page).unwrap();
        assert_eq!(found, EngineGauges { calls: 1, conferences: 2, members: 3 });
        let error = EngineGauges::read("conflow_calls 1\n").unwrap_err().to_string();
        assert_eq!(error, "/metrics has no conflow_conferences");
    }
}
