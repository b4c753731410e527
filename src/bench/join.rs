//! Scenario join: simulated phones join rooms of 10 and of 10,000, without sounds and with those that
//! a vendor plays by default.

use std::{cell::Cell, net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use tokio::time::sleep;

use super::{
    Bench,
    clock::now,
    external::external,
    filled::{DialRequests, FilledTarget, Shape, is_kicked, kick, members_of},
    link::{BenchConnection, BenchResponse},
    load::{Measurement, drive, latencies},
    report::ReportRow,
    target::{self, BenchTarget, EngineOptions},
};

/// Number of phones that call into small rooms.
const JOINS: u32 = 50_000;
const SMALL: u32 = 10;
const LARGE: u32 = 10_000;
/// The enter and exit sounds of a Vobiz account.
const SOUNDS: &str = "enterSound=\"beep:1\" exitSound=\"beep:2\"";
/// P15: bounds of the ratios, and of the latencies while a room fills.
const RATIO_MAX: f64 = 2.0;
const LATENCY_MAX_MS: f64 = 50.0;
/// Time between requests to the room that fills.
const PAUSE: Duration = Duration::from_millis(20);

/// P13 and P15: joins compared with the ceiling, and their cost in large rooms and with sounds.
pub(super) async fn join(bench: &mut Bench) -> Result<()> {
    bench.ceiling().await?;
    let members = bench.flags.members.unwrap_or(JOINS);
    let small = Shape { rooms: members.div_ceil(SMALL), members: SMALL.min(members) };
    let large = Shape { rooms: 1, members: members.min(LARGE) };

    let filled = Joins::measure(bench, small, "").await?;
    let row = filled.row("join, rooms of 10");
    bench.report.add(match external() {
        None => row.ceiling(0.3),
        Some(_) => row.beside_bare().note("conflow calls them, and fetches their flows".to_owned()),
    });
    let quiet = Joins::measure(bench, large, "").await?;
    let room = format!("a room of {}", large.members);
    bench.report.add(quiet.row(&format!("join, {room}")));

    let few = Joins::measure(bench, small, SOUNDS).await?;
    bench.report.add(few.row("join with sounds, rooms of 10"));
    let many = Joins::measure(bench, large, SOUNDS).await?;
    let (slower, dearer) = (many.time_each() / quiet.time_each(), many.cpu_each() / few.cpu_each());
    let row = many.row(&format!("join with sounds, {room}"));
    let row = row.at_most(slower, "of the time without sounds", RATIO_MAX);
    bench.report.add(match dearer.is_finite() {
        true => row.at_most(dearer, "of the CPU in rooms of 10", RATIO_MAX),
        false => row,
    });
    watch(bench, large).await
}

/// Joins that were measured until all phones were in their rooms and nothing was left to do.
struct Joins {
    measured: Measurement,
    cpu: Duration,
}

impl Joins {
    async fn measure(bench: &Bench, shape: Shape, conference: &str) -> Result<Self> {
        let with = if conference.is_empty() { "" } else { ", with sounds" };
        bench.say(&format!("join: {} rooms of {}{with}", shape.rooms, shape.members));
        let target = BenchTarget::open_with(shape.rooms, &options(conference)).await?;
        let (cpu, begin) = (target.engine.cpu(), now());
        let filled = FilledTarget::fill_at(target, shape, bench.pace(None)).await?;
        let elapsed = begin.elapsed();
        filled.target.engine.wait_until_idle().await;
        // Reading the rosters after the joins is a small part of it.
        let cpu = filled.target.engine.cpu() - cpu;
        let found: usize = filled.rooms.iter().map(Vec::len).sum();
        ensure!(found as u32 == shape.rooms * shape.members, "{found} have come in");
        Ok(Self { measured: Measurement { elapsed, ..filled.joins }, cpu })
    }

    fn row(&self, what: &str) -> ReportRow {
        ReportRow::new(what, &self.measured).cpu(self.cpu)
    }

    fn time_each(&self) -> f64 {
        1.0 / self.measured.per_second()
    }

    fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() / self.measured.operations as f64
    }
}

fn options(conference: &str) -> EngineOptions {
    EngineOptions { conference: conference.to_owned(), ..EngineOptions::default() }
}

/// Reads a room and kicks members while it fills, with sounds.
async fn watch(bench: &mut Bench, shape: Shape) -> Result<()> {
    bench.say(&format!("join: get and kick while a room of {} fills", shape.members));
    let target = BenchTarget::open_with(shape.rooms, &options(SOUNDS)).await?;
    let (http, is_full) = (target.engine.http, Cell::new(false));
    let fill = async {
        let filled = drive(http, bench.pace(None), &mut DialRequests::new(shape)).await;
        is_full.set(true);
        filled
    };
    let begin = now();
    let (filled, watched) = tokio::join!(fill, reads_and_kicks(http, &is_full));
    filled?;
    let (elapsed, (reads, kicks)) = (begin.elapsed(), watched?);
    for (what, latency) in [("get", reads), ("kick", kicks)] {
        let p99 = latency.value_at_quantile(0.99) as f64 / 1e6;
        let operations = latency.len();
        let measured = Measurement { operations, elapsed, latency, client_share: 0.0 };
        let row = ReportRow::new(&format!("{what} while the room fills"), &measured);
        bench.report.add(row.at_most(p99, "ms p99", LATENCY_MAX_MS));
    }
    Ok(())
}

/// Returns the latencies of both, in nanoseconds.
async fn reads_and_kicks(
    http: SocketAddr,
    is_full: &Cell<bool>,
) -> Result<(Histogram<u64>, Histogram<u64>)> {
    let mut link = BenchConnection::open(http).await?;
    let (mut reads, mut kicks, mut request) = (latencies(), latencies(), Vec::new());
    while !is_full.get() {
        sleep(PAUSE).await;
        request.clear();
        target::get(&mut request, 0, format_args!("room-0/"));
        let first = {
            let answer = timed(&mut link, &request, &mut reads).await?;
            members_of(answer).map_err(anyhow::Error::msg)?.into_iter().next()
        };
        let Some(member) = first else { continue };
        kick(&mut request, 0, &member.member_id);
        let answer = timed(&mut link, &request, &mut kicks).await?;
        ensure!(is_kicked(answer, &member), "member {}: {answer:?}", member.member_id);
    }
    Ok((reads, kicks))
}

async fn timed<'a>(
    link: &'a mut BenchConnection,
    request: &[u8],
    latency: &mut Histogram<u64>,
) -> Result<BenchResponse<'a>> {
    let begin = now();
    let answer = link.ask(request).await?;
    latency.saturating_record(u64::try_from(begin.elapsed().as_nanos())?);
    Ok(answer)
}
