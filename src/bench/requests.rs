//! Scenarios mute, get, list and mixed: requests to rooms that stay full.

use std::cell::Cell;

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::{
    Bench,
    filled::{BenchMember, FilledTarget, Shape, in_turn, is_done, is_kicked, kick},
    link::{BenchConnection, BenchResponse},
    load::{Workload, drive},
    report::ReportRow,
    target::{self, BenchTarget},
};

/// Rooms of ten, unless a flag says otherwise.
const ROOMS: u32 = 100;
const MEMBERS: u32 = 10;

/// Scenario mute: mutes and unmutes members in turn.
pub(super) async fn mute(bench: &mut Bench) -> Result<()> {
    bench.ceiling().await?;
    bench.say("mute: rooms of 10");
    let shape = Shape { rooms: bench.flags.rooms.unwrap_or(ROOMS), members: MEMBERS };
    let filled =
        FilledTarget::fill(BenchTarget::open(shape.rooms).await?, shape, bench.connections())
            .await?;
    let mut mutes = MuteToggles::new(in_turn(&filled.rooms).into());
    let cpu = filled.target.engine.cpu();
    let pace = bench.pace(Some(bench.seconds()));
    let measured = drive(filled.target.engine.http, pace, &mut mutes).await?;
    let cpu = filled.target.engine.cpu() - cpu;
    mutes.verify(&filled).await?;
    bench
        .report
        .add(ReportRow::new("mute and unmute, rooms of 10", &measured).cpu(cpu).beside_bare());
    Ok(())
}

/// Mutes and unmutes each member in turn.
pub(super) struct MuteToggles<'a> {
    members: Vec<(u32, BenchMember)>,
    is_muted: Vec<bool>,
    next: usize,
    is_over: Option<&'a Cell<bool>>,
}

impl<'a> MuteToggles<'a> {
    pub(super) fn new(members: Vec<(u32, BenchMember)>) -> Self {
        Self { is_muted: vec![false; members.len()], members, next: 0, is_over: None }
    }

    /// Stops once `is_over` is set.
    pub(super) fn stop_when(self, is_over: &'a Cell<bool>) -> Self {
        Self { is_over: Some(is_over), ..self }
    }

    /// Checks that each member is muted as requested last.
    async fn verify(&self, filled: &FilledTarget) -> Result<()> {
        #[derive(Deserialize)]
        struct ShownMember {
            muted: bool,
            call_uuid: String,
        }
        #[derive(Deserialize)]
        struct ShownRoom {
            members: Vec<ShownMember>,
        }

        let (mut link, mut request) =
            (BenchConnection::open(filled.target.engine.http).await?, Vec::new());
        for number in 0..filled.rooms.len() as u32 {
            request.clear();
            target::get(&mut request, number, format_args!("room-{number}/"));
            let room: ShownRoom = serde_json::from_slice(link.ask(&request).await?.body)?;
            for ((_, member), is_muted) in
                self.members.iter().zip(&self.is_muted).filter(|((it, _), _)| *it == number)
            {
                let shown = room.members.iter().find(|it| it.call_uuid == member.call_uuid);
                let is_so = shown.is_some_and(|it| it.muted == *is_muted);
                ensure!(is_so, "member {} should be muted: {is_muted}", member.member_id);
            }
        }
        Ok(())
    }
}

impl Workload for MuteToggles<'_> {
    fn next(&mut self, request: &mut Vec<u8>) -> Option<usize> {
        if self.is_over.is_some_and(Cell::get) {
            return None;
        }
        let place = self.next % self.members.len();
        self.next += 1;
        let ((room, member), is_muted) = (&self.members[place], &mut self.is_muted[place]);
        *is_muted = !*is_muted;
        let what = format_args!("room-{room}/Member/{}/Mute/", member.member_id);
        match *is_muted {
            true => target::post(request, *room, what),
            false => target::delete(request, *room, what),
        }
        Some(place * 2 + usize::from(*is_muted))
    }

    fn check(&mut self, number: usize, answer: BenchResponse<'_>) -> Result<(), String> {
        let (place, is_mute) = (number / 2, number % 2 == 1);
        let is_right = match is_mute {
            true => is_done(answer, "muted", &self.members[place].1.member_id),
            false => answer.status == 204,
        };
        if is_right { Ok(()) } else { Err("not done".to_owned()) }
    }
}

/// Sizes of the rooms.
const ROOM_SIZES: [u32; 3] = [10, 100, 1_000];

/// Scenario get: reads a room.
pub(super) async fn get(bench: &mut Bench) -> Result<()> {
    bench.ceiling().await?;
    let members_max = bench.flags.members.unwrap_or(u32::MAX);
    for members in ROOM_SIZES.into_iter().filter(|it| *it <= members_max) {
        bench.say(&format!("get: a room of {members}"));
        let shape = Shape { rooms: 4, members };
        let filled =
            FilledTarget::fill(BenchTarget::open(shape.rooms).await?, shape, bench.connections())
                .await?;
        let last = |it: &Vec<BenchMember>| it.last().expect("it is full").call_uuid.clone();
        let calls = filled.rooms.iter().map(last).collect();
        let mut reads = RoomReads { calls, members, next: 0 };
        measure(bench, &filled, &format!("get, a room of {members}"), &mut reads).await?;
    }
    Ok(())
}

/// Scenario list: reads the names of rooms.
pub(super) async fn list(bench: &mut Bench) -> Result<()> {
    bench.ceiling().await?;
    bench.say("list: 100 rooms");
    let shape = Shape { rooms: bench.flags.rooms.unwrap_or(ROOMS).min(10_000), members: 1 };
    let filled =
        FilledTarget::fill(BenchTarget::open(shape.rooms).await?, shape, bench.connections())
            .await?;
    let name = format!("list of {} rooms", shape.rooms);
    let mut lists = ListRequests { rooms: shape.rooms };
    measure(bench, &filled, &name, &mut lists).await
}

async fn measure(
    bench: &mut Bench,
    filled: &FilledTarget,
    name: &str,
    work: &mut impl Workload,
) -> Result<()> {
    let cpu = filled.target.engine.cpu();
    let pace = bench.pace(Some(bench.seconds()));
    let measured = drive(filled.target.engine.http, pace, work).await?;
    let cpu = filled.target.engine.cpu() - cpu;
    let row = ReportRow::new(name, &measured).cpu(cpu).beside_bare();
    bench.report.add(row.rooms_of(filled.rooms[0].len()));
    Ok(())
}

struct RoomReads {
    /// Last call of each room.
    calls: Vec<String>,
    members: u32,
    next: usize,
}

impl Workload for RoomReads {
    fn next(&mut self, request: &mut Vec<u8>) -> Option<usize> {
        let room = self.next % self.calls.len();
        self.next += 1;
        target::get(request, room as u32, format_args!("room-{room}/"));
        Some(room)
    }

    fn check(&mut self, room: usize, answer: BenchResponse<'_>) -> Result<(), String> {
        // Checks the beginning and the end of a long body, since reading all of it would dominate
        // the measurement.
        let name = target::name(room as u32);
        let begin = format!("{{\"conference_name\":\"{name}\",\"conference_run_time\":\"");
        let count = format!("\"conference_member_count\":\"{}\"", self.members);
        let (call, body) = (self.calls[room].as_bytes(), answer.body);
        let (head, tail) = (&body[..body.len().min(200)], &body[body.len().saturating_sub(200)..]);
        let is_right = answer.status == 200
            && body.starts_with(begin.as_bytes())
            && super::link::has(head, count.as_bytes())
            && super::link::has(tail, call);
        if is_right { Ok(()) } else { Err("not the room".to_owned()) }
    }
}

struct ListRequests {
    rooms: u32,
}

impl Workload for ListRequests {
    fn next(&mut self, request: &mut Vec<u8>) -> Option<usize> {
        target::get(request, 0, format_args!(""));
        Some(0)
    }

    fn check(&mut self, _: usize, answer: BenchResponse<'_>) -> Result<(), String> {
        let sought = format!("\"{}room-", target::prefix());
        let names = answer.body.windows(sought.len()).filter(|it| *it == sought.as_bytes()).count();
        match answer.status == 200 && names == self.rooms as usize {
            true => Ok(()),
            false => Err(format!("{names} rooms of {}", self.rooms)),
        }
    }
}

/// Scenario mixed: join, kick, mute and read in turn.
pub(super) async fn mixed(bench: &mut Bench) -> Result<()> {
    bench.ceiling().await?;
    bench.say("mixed: rooms of 100");
    let shape = Shape { rooms: bench.flags.rooms.unwrap_or(ROOMS), members: 100 };
    let filled =
        FilledTarget::fill(BenchTarget::open(shape.rooms).await?, shape, bench.connections())
            .await?;
    let members: Vec<_> = in_turn(&filled.rooms).into();
    // Half of them are kicked, the other half stays.
    let (kicked, stay) = members.split_at(members.len() / 2);
    let mut mixed = MixedRequests { kicked: kicked.to_vec(), stay: stay.to_vec(), next: 0 };
    measure(bench, &filled, "join, kick, mute, get; rooms of 100", &mut mixed).await
}

struct MixedRequests {
    kicked: Vec<(u32, BenchMember)>,
    stay: Vec<(u32, BenchMember)>,
    next: usize,
}

impl Workload for MixedRequests {
    fn next(&mut self, request: &mut Vec<u8>) -> Option<usize> {
        let (turn, kind) = (self.next / 4, self.next % 4);
        let (room, member) = &self.stay[turn % self.stay.len()];
        match kind {
            0 => target::dial(request, *room),
            1 => {
                let (room, member) = self.kicked.get(turn)?;
                kick(request, *room, &member.member_id);
            }
            2 => {
                let what = format_args!("room-{room}/Member/{}/Mute/", member.member_id);
                target::post(request, *room, what);
            }
            _ => target::get(request, *room, format_args!("room-{room}/")),
        }
        self.next += 1;
        Some(self.next - 1)
    }

    fn check(&mut self, number: usize, answer: BenchResponse<'_>) -> Result<(), String> {
        let (turn, kind) = (number / 4, number % 4);
        let (_, member) = &self.stay[turn % self.stay.len()];
        let is_right = match kind {
            0 => answer.status == 201,
            1 => is_kicked(answer, &self.kicked[turn].1),
            2 => is_done(answer, "muted", &member.member_id),
            _ => answer.status == 200,
        };
        if is_right { Ok(()) } else { Err("not done".to_owned()) }
    }
}
