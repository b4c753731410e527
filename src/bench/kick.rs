//! Scenarios kick-one, kick-list and kick-all: kicks of single members, lists and whole rooms.

use std::{
    cell::Cell,
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::{
    Bench,
    clock::now,
    filled::{BenchMember, FilledTarget, Shape, in_turn, is_done, kick, names, remaining},
    link::{BenchConnection, BenchResponse},
    load::{LoadPace, Measurement, Workload, drive, latencies},
    report::ReportRow,
    requests::MuteToggles,
    target::{self, BenchTarget},
};

/// Sizes of the rooms for single kicks.
const ROOMS_OF: [u32; 3] = [10, 100, 1_000];
/// Total number of members: a run takes about a second.
const MEMBERS: u32 = 40_000;
/// Kicks that are checked in detail before the measurement.
const VERIFIED_KICKS: usize = 100;
/// Phones that are asked afterwards what they hear.
const PHONES_ASKED: usize = 500;

/// P1: kicks of single members.
pub(super) async fn one(bench: &mut Bench) -> Result<()> {
    bench.ceiling().await?;
    let mut first = None;
    let all = bench.flags.members.unwrap_or(MEMBERS);
    for of in ROOMS_OF {
        if all < of {
            continue;
        }
        let shape = Shape { rooms: all / of, members: of };
        bench.say(&format!("kick-one: {} rooms of {}", shape.rooms, shape.members));
        let target = BenchTarget::open(shape.rooms).await?;
        let mut filled = FilledTarget::fill(target, shape, bench.connections()).await?;
        filled.verify(VERIFIED_KICKS, 1).await?;

        // Small rooms take turns; large ones are emptied one after the other.
        let order: VecDeque<_> = match of {
            1_000.. => filled.rooms.iter().zip(0..).flat_map(of_room).collect(),
            _ => in_turn(&filled.rooms),
        };
        let order = order.into_iter().map(|(room, member)| (room, vec![member])).collect();
        let (measured, cpu) = kick_all_of(bench, &filled, order).await?;
        let name = format!("kick one, rooms of {of}");
        let mut row = ReportRow::new(&name, &measured).cpu(cpu).ceiling(0.5).p99();
        row = row.rooms_of(of as usize);
        match first {
            Some(first) if of == 1_000 => row = row.beside(first, "rooms of 10", 0.8),
            Some(_) => (),
            None => first = Some(measured.per_second()),
        }
        bench.report.add(row);
    }
    Ok(())
}

/// Size of a room, and of a list of kicked members.
const LISTS_IN: u32 = 100;
const LIST_OF: usize = 10;

/// Scenario kick-list: kicks lists of members.
pub(super) async fn list(bench: &mut Bench) -> Result<()> {
    bench.ceiling().await?;
    let all = bench.flags.members.unwrap_or(MEMBERS);
    let shape = Shape { rooms: (all / LISTS_IN).max(1), members: LISTS_IN.min(all) };
    bench.say(&format!("kick-list: {} rooms of {}", shape.rooms, shape.members));
    let target = BenchTarget::open(shape.rooms).await?;
    let mut filled = FilledTarget::fill(target, shape, bench.connections()).await?;
    filled.verify(VERIFIED_KICKS, LIST_OF).await?;

    let lists = filled.rooms.iter().zip(0..).flat_map(|(members, room)| {
        let lists = members.chunks(LIST_OF).map(<[BenchMember]>::to_vec);
        lists.enumerate().map(move |(turn, list)| (turn, (room, list)))
    });
    // The rooms take turns.
    let mut lists: Vec<_> = lists.collect();
    lists.sort_by_key(|(turn, (room, _))| (*turn, *room));
    let order = lists.into_iter().map(|(_, list)| list).collect();
    let (measured, cpu) = kick_all_of(bench, &filled, order).await?;

    let kicked: usize = filled.rooms.iter().map(Vec::len).sum();
    let each = cpu.as_secs_f64() * 1e6 / kicked.max(1) as f64;
    let row = ReportRow::new("kick lists of 10, rooms of 100", &measured).cpu(cpu).beside_bare();
    bench.report.add(match cpu.is_zero() {
        true => row,
        false => row.note(format!("{each:.1} µs CPU per member")),
    });
    Ok(())
}

/// Kicks all members in the given order; then checks that they are out, and that phones hear the
/// next element. Returns the processor time, too.
async fn kick_all_of(
    bench: &Bench,
    filled: &FilledTarget,
    order: VecDeque<(u32, Vec<BenchMember>)>,
) -> Result<(Measurement, Duration)> {
    let mut kicks = KickRequests::new(order);
    let cpu = filled.target.engine.cpu();
    let measured = drive(filled.target.engine.http, bench.pace(None), &mut kicks).await?;
    let cpu = filled.target.engine.cpu() - cpu;
    are_out(bench, filled).await?;
    Ok((measured, cpu))
}

/// Checks that nobody is in a room, and that phones hear the next element.
async fn are_out(bench: &Bench, filled: &FilledTarget) -> Result<()> {
    let left = remaining(&filled.target, filled.rooms.len(), bench.connections()).await?;
    ensure!(left == 0, "{left} kicked members are still in rooms");
    let mut link = BenchConnection::open(filled.target.engine.http).await?;
    let asked: Vec<_> = filled.rooms.iter().zip(0..).flat_map(of_room).collect();
    let step = asked.len().div_ceil(PHONES_ASKED).max(1);
    let asked: Vec<_> = asked.into_iter().step_by(step).collect();
    filled.check_heard(&mut link, &asked).await
}

fn of_room((members, room): (&Vec<BenchMember>, u32)) -> impl Iterator<Item = (u32, BenchMember)> {
    members.iter().map(move |member| (room, member.clone()))
}

/// Kicks in the given order.
pub(super) struct KickRequests {
    order: VecDeque<(u32, Vec<BenchMember>)>,
    pub(super) sent: Vec<SentKick>,
}

/// A kick that was sent.
pub(super) struct SentKick {
    pub(super) names: String,
    /// Begin of its latency.
    pub(super) begun: Option<Instant>,
}

impl KickRequests {
    /// `order` has a room and its members for each request.
    pub(super) fn new(order: VecDeque<(u32, Vec<BenchMember>)>) -> Self {
        Self { order, sent: Vec::new() }
    }
}

impl Workload for KickRequests {
    fn next(&mut self, request: &mut Vec<u8>) -> Option<usize> {
        let (room, members) = self.order.pop_front()?;
        let names = names(&members);
        kick(request, room, &names);
        self.sent.push(SentKick { names, begun: None });
        Some(self.sent.len() - 1)
    }

    fn begins(&mut self, number: usize, at: Instant) {
        self.sent[number].begun = Some(at);
    }

    fn check(&mut self, number: usize, answer: BenchResponse<'_>) -> Result<(), String> {
        match is_done(answer, "kicked", &self.sent[number].names) {
            true => Ok(()),
            false => Err("not kicked".to_owned()),
        }
    }
}

/// Sizes of the rooms, and their numbers.
const ALL_OF: [(u32, u32); 4] = [(10, 200), (100, 200), (1_000, 10), (10_000, 5)];
/// After this time, kicked members have finished, so that they do not disturb the next kick.
const PAUSE: Duration = Duration::from_millis(700);

/// P2: kicks of whole rooms.
pub(super) async fn all(bench: &mut Bench) -> Result<()> {
    let members_max = bench.flags.members.unwrap_or(u32::MAX);
    let mut per_member = None;
    for (members, rooms) in ALL_OF {
        if members_max < members {
            continue;
        }
        let shape = Shape { rooms: rooms.min(members_max / members), members };
        bench.say(&format!("kick-all: {} rooms of {members}", shape.rooms));
        let filled =
            FilledTarget::fill(BenchTarget::open(shape.rooms).await?, shape, bench.connections())
                .await?;
        sleep(PAUSE).await;
        let cpu = filled.target.engine.cpu();
        let measured = empty(&filled, filled.rooms.iter().zip(0..).map(|(_, room)| room)).await?;
        let cpu = filled.target.engine.cpu() - cpu;
        are_out(bench, &filled).await?;
        let cost = measured.latency.value_at_quantile(0.5) as f64 / f64::from(members);
        let mut row = ReportRow::new(&format!("kick all of {members}"), &measured).cpu(cpu);
        row = row.rooms_of(members as usize).note(format!("{cost:.0} ns per member"));
        match per_member {
            Some(before) if members == 10_000 => {
                row = row.at_most(cost / before, "of the cost per member of 100", 1.5);
            }
            Some(_) | None if members == 100 => per_member = Some(cost),
            Some(_) | None => (),
        }
        bench.report.add(row);
    }
    if 10_000 <= members_max { mute_meanwhile(bench).await } else { Ok(()) }
}

/// Empties rooms one after the other.
async fn empty(filled: &FilledTarget, rooms: impl Iterator<Item = u32>) -> Result<Measurement> {
    let mut link = BenchConnection::open(filled.target.engine.http).await?;
    let (mut latency, mut request) = (latencies(), Vec::new());
    let mut elapsed = Duration::ZERO;
    for room in rooms {
        kick(&mut request, room, "all");
        let begin = now();
        let answer = link.ask(&request).await?;
        let took = begin.elapsed();
        ensure!(is_done(answer, "kicked", "all"), "room-{room}: {answer:?}");
        latency.saturating_record(u64::try_from(took.as_nanos())?);
        elapsed += took;
        if 1_000 <= filled.rooms[room as usize].len() {
            sleep(PAUSE).await;
        }
    }
    Ok(Measurement { operations: latency.len(), elapsed, latency, client_share: 0.0 })
}

/// Latency of a mute in another room while rooms of 10,000 are emptied.
async fn mute_meanwhile(bench: &mut Bench) -> Result<()> {
    bench.say("kick-all: a mute in another room meanwhile");
    let shape = Shape { rooms: 4, members: 10_000 };
    let filled =
        FilledTarget::fill(BenchTarget::open(shape.rooms).await?, shape, bench.connections())
            .await?;
    sleep(PAUSE).await;
    let is_over = Cell::new(false);
    let mut mutes = MuteToggles::new(vec![(3, filled.rooms[3][0].clone())]).stop_when(&is_over);
    // Often enough to coincide with kicks, rarely enough not to be a load.
    let pace = LoadPace { connections: 1, time_max: None, rate: Some(1_000) };
    let emptied = async {
        let done = empty(&filled, 0..3).await;
        is_over.set(true);
        done
    };
    let (measured, emptied) =
        tokio::join!(drive(filled.target.engine.http, pace, &mut mutes), emptied);
    emptied?;
    let measured = measured?;
    let p99 = measured.latency.value_at_quantile(0.99) as f64 / 1e6;
    let row = ReportRow::new("mute meanwhile, 1,000 a second", &measured);
    bench.report.add(row.at_most(p99, "ms p99", 5.0));
    let mut request = Vec::new();
    target::get(&mut request, 3, format_args!("room-3/"));
    let mut link = BenchConnection::open(filled.target.engine.http).await?;
    ensure!(link.ask(&request).await?.status == 200, "room-3 no longer exists");
    Ok(())
}
