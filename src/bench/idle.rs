//! Scenarios start and idle: time, memory and processor of engines that start and wait.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::{
    Bench,
    filled::{FilledTarget, Shape},
    load::{LoadPace, Measurement, latencies},
    report::ReportRow,
    target::{BenchTarget, EngineOptions},
};

/// They join within seconds.
const MEMBERS: u32 = 100_000;
const ROOMS: u32 = 1_000;
/// P3: bytes of a member with its simulated phone, and of a room in addition to its members.
const MEMBER_MAX: f64 = 1_024.0;
const ROOM_MAX: f64 = 4_096.0;
/// P3 applies from this many members on. The fixed part of a process (an account's last events,
/// database pages, log lines) is a tenth of what 100,000 members take.
const JUDGED_MEMBERS: u32 = 1_000_000;
/// Time after which the work that joins have caused is done.
const SETTLING: Duration = Duration::from_secs(2);

/// P3 and P4: memory of members, and processor time of waiting ones.
pub(super) async fn idle(bench: &mut Bench) -> Result<()> {
    let members = bench.flags.members.unwrap_or(MEMBERS);
    let rooms = bench.flags.rooms.unwrap_or(ROOMS).min(members);
    let shape = Shape { rooms, members: members / rooms };
    bench.say(&format!("idle: {rooms} rooms of {}", shape.members));
    let target = BenchTarget::open(rooms).await?;
    let before = target.engine.rss();
    let filled = FilledTarget::fill(target, shape, bench.connections()).await?;
    sleep(SETTLING).await;

    let engine = &filled.target.engine;
    let (cpu, rss) = (engine.cpu(), engine.rss());
    let seconds = bench.seconds().max(SETTLING);
    sleep(seconds).await;
    let cpu = engine.cpu() - cpu;
    let share = cpu.as_secs_f64() / seconds.as_secs_f64() * 100.0;
    let count = shape.rooms * shape.members;
    let each = rss.saturating_sub(before) as f64 / f64::from(count);
    let fill_row =
        ReportRow::new(&format!("idle: fill {rooms} rooms of {}", shape.members), &filled.joins);
    let at_most = (MEMBER_MAX + ROOM_MAX / f64::from(shape.members)).round();
    let unit = "B RSS per member and its part of a room";
    bench.report.add(match JUDGED_MEMBERS <= count {
        true => fill_row.at_most(each, unit, at_most),
        false => fill_row.note(format!("{each:.0} {unit} (over a million: ≤ {at_most})")),
    });
    let idle_row = ReportRow::without_operations(&format!("idle: {count} members wait"));
    let waits = idle_row.note(format!("{} MiB RSS", rss >> 20));
    bench.report.add(waits.at_most(share, "% of a core", 1.0));
    Ok(())
}

const STARTS: usize = 10;

/// P10: time from the start of a process until it serves.
pub(super) async fn start(bench: &mut Bench) -> Result<()> {
    bench.say("start");
    let mut latency = latencies();
    let mut elapsed = Duration::ZERO;
    for _ in 0..STARTS {
        let target = BenchTarget::start(1, &EngineOptions::default())?;
        latency.saturating_record(u64::try_from(target.engine.start.as_nanos())?);
        elapsed += target.engine.start;
        // A member that joins shows that it really serves.
        let pace = LoadPace { connections: 1, time_max: None, rate: None };
        FilledTarget::fill_at(target, Shape { rooms: 1, members: 1 }, pace).await?;
    }
    let median = latency.value_at_quantile(0.5) as f64 / 1e6;
    let measured = Measurement { operations: latency.len(), elapsed, latency, client_share: 0.0 };
    bench.report.add(ReportRow::new("start", &measured).at_most(median, "ms p50", 300.0));
    Ok(())
}
