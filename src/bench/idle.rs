//! An engine that starts, one that is filled, and one that waits: time, memory, and processor.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::{
    Bench,
    external::guest,
    filled::{Crowd, Shape},
    load::{Pace, Taken, latencies},
    report::Row,
    target::{Fittings, Site},
};

/// They come in within seconds.
const MEMBERS: u32 = 100_000;
const ROOMS: u32 = 1_000;
/// P3: bytes of a member with its simulated phone, and of a room on top of its members.
const MEMBER_MAX: f64 = 1_024.0;
const ROOM_MAX: f64 = 4_096.0;
/// P3 is over so many. What a process takes anyway (the last events of an account, the pages of the
/// database, lines of the log) is a tenth of what 100,000 take.
const JUDGED_MEMBERS: u32 = 1_000_000;
/// What entering has begun is over by then.
const SETTLING: Duration = Duration::from_secs(2);

/// P3 and P4.
pub(super) async fn idle(bench: &mut Bench) -> Result<()> {
    let members = bench.flags.members.unwrap_or(MEMBERS);
    let rooms = bench.flags.rooms.unwrap_or(ROOMS).min(members);
    let shape = Shape { rooms, members: members / rooms };
    bench.say(&format!("idle: {rooms} rooms of {}", shape.members));
    let site = Site::open(rooms).await?;
    let before = site.engine.rss();
    let crowd = Crowd::gather(site, shape, bench.connections()).await?;
    sleep(SETTLING).await;

    let engine = &crowd.site.engine;
    let (cpu, rss) = (engine.cpu(), engine.rss());
    let seconds = bench.seconds().max(SETTLING);
    sleep(seconds).await;
    let cpu = engine.cpu() - cpu;
    let share = cpu.as_secs_f64() / seconds.as_secs_f64() * 100.0;
    let count = shape.rooms * shape.members;
    let each = rss.saturating_sub(before) as f64 / f64::from(count);
    let filled = Row::new(&format!("idle: fill {rooms} rooms of {}", shape.members), &crowd.joins);
    let at_most = (MEMBER_MAX + ROOM_MAX / f64::from(shape.members)).round();
    let unit = "B RSS per member and its part of a room";
    bench.report.add(match JUDGED_MEMBERS <= count {
        true => filled.at_most(each, unit, at_most),
        false => filled.note(format!("{each:.0} {unit} (over a million: ≤ {at_most})")),
    });
    let waits = Row::still(&format!("idle: {count} members wait"));
    let waits = waits.note(format!("{} MiB RSS", rss >> 20));
    bench.report.add(waits.at_most(share, "% of a core", 1.0));
    Ok(())
}

/// Phones that dial in.
const JOINS: u32 = 50_000;

/// P13.
pub(super) async fn join(bench: &mut Bench) -> Result<()> {
    let bare = bench.ceiling().await?;
    let members = bench.flags.members.unwrap_or(JOINS);
    let shape = Shape { rooms: members.div_ceil(10), members: 10.min(members) };
    bench.say(&format!("join: {} rooms of {}", shape.rooms, shape.members));
    let site = Site::open(shape.rooms).await?;
    let cpu = site.engine.cpu();
    let crowd = Crowd::gather_at(site, shape, bench.pace(None)).await?;
    // What is looked at after the joins is a small part of it.
    let cpu = crowd.site.engine.cpu() - cpu;
    let found: usize = crowd.rooms.iter().map(Vec::len).sum();
    ensure!(found as u32 == shape.rooms * shape.members, "{found} have come in");
    let row = Row::new("join, rooms of 10", &crowd.joins).cpu(cpu);
    bench.report.add(match guest() {
        None => row.ceiling(&bare, 0.3),
        Some(_) => row.beside_bare(&bare).note("they are called, and fetch their flow".to_owned()),
    });
    Ok(())
}

const STARTS: usize = 10;

/// P10.
pub(super) async fn start(bench: &mut Bench) -> Result<()> {
    bench.say("start");
    let mut latency = latencies();
    let mut elapsed = Duration::ZERO;
    for _ in 0..STARTS {
        let site = Site::start(1, &Fittings::default())?;
        latency.saturating_record(u64::try_from(site.engine.start.as_nanos())?);
        elapsed += site.engine.start;
        // It serves what it says it serves.
        let pace = Pace { connections: 1, time_max: None, rate: None };
        Crowd::gather_at(site, Shape { rooms: 1, members: 1 }, pace).await?;
    }
    let median = latency.value_at_quantile(0.5) as f64 / 1e6;
    let taken = Taken { operations: latency.len(), elapsed, latency, client_share: 0.0 };
    bench.report.add(Row::new("start", &taken).at_most(median, "ms p50", 300.0));
    Ok(())
}
