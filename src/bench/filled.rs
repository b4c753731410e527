//! Filled target: an engine with rooms full of simulated phones, and their members.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Result, ensure};
use serde::Deserialize;
use tokio::time::sleep;

use super::{
    clock::now,
    external::{ExternalEngine, external},
    link::{BenchConnection, BenchResponse, has},
    load::{LoadPace, Measurement, Workload, drive},
    target::{self, BenchTarget, SPOKEN},
};

/// An engine with full rooms.
pub(super) struct FilledTarget {
    pub(super) target: BenchTarget,
    /// Room by room, in the order of joining.
    pub(super) rooms: Vec<Vec<BenchMember>>,
    /// Measurement of the joins.
    pub(super) joins: Measurement,
}

/// A member of a room.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct BenchMember {
    pub(super) member_id: String,
    pub(super) call_uuid: String,
}

/// Number of rooms, and of members in each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) rooms: u32,
    pub(super) members: u32,
}

/// Phones are in their rooms within this time, or something is wrong.
const ENTRY_WAIT_MAX: Duration = Duration::from_secs(20);

impl FilledTarget {
    /// Fills an engine's rooms.
    ///
    /// # Errors
    ///
    /// The engine does not start, or not all phones have joined.
    pub(super) async fn fill(
        target: BenchTarget,
        shape: Shape,
        connections: usize,
    ) -> Result<Self> {
        let pace = LoadPace { connections, time_max: None, rate: None };
        let filled = Self::fill_at(target, shape, pace).await?;
        // The joins' rows in the store are still being written.
        filled.target.engine.wait_until_idle().await;
        Ok(filled)
    }

    /// Fills an engine's rooms at a pace.
    pub(super) async fn fill_at(target: BenchTarget, shape: Shape, pace: LoadPace) -> Result<Self> {
        let mut dials = DialRequests::new(shape);
        let joins = drive(target.engine.http, pace, &mut dials).await?;
        let begin = now();
        let members = joins.operations;
        let pace = LoadPace { time_max: None, rate: None, ..pace };
        loop {
            let mut rosters =
                RosterRequests { found: vec![Vec::new(); shape.rooms as usize], next: 0 };
            drive(target.engine.http, pace, &mut rosters).await?;
            let found: usize = rosters.found.iter().map(Vec::len).sum();
            if found as u64 == members {
                return Ok(Self { target, rooms: rosters.found, joins });
            }
            let hint = external().map(ExternalEngine::hint).unwrap_or_default();
            let is_late = ENTRY_WAIT_MAX <= begin.elapsed();
            ensure!(!is_late, "{found} of {members} phones are in rooms{hint}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kicks the first members, `at_once` in each request; checks at once that they are out, and
    /// that they hear the next element. Removes them from the lists.
    pub(super) async fn verify(&mut self, kicks: usize, at_once: usize) -> Result<()> {
        let mut link = BenchConnection::open(self.target.engine.http).await?;
        let mut request = Vec::new();
        for n in 0..kicks {
            let room = n % self.rooms.len();
            if self.rooms[room].len() <= at_once {
                continue;
            }
            let kicked: Vec<_> = self.rooms[room].drain(..at_once).collect();
            let (names, room) = (names(&kicked), room as u32);
            kick(&mut request, room, &names);
            let answer = link.ask(&request).await?;
            ensure!(is_done(answer, "kicked", &names), "{names}: {answer:?}");

            request.clear();
            target::get(&mut request, room, format_args!("room-{room}/"));
            let answer = link.ask(&request).await?;
            ensure!(answer.status == 200, "room-{room}: {}", answer.status);
            for member in &kicked {
                let is_there = has(answer.body, member.call_uuid.as_bytes());
                ensure!(!is_there, "member {} is kicked, and in room-{room}", member.member_id);
            }
            let kicked: Vec<_> = kicked.into_iter().map(|member| (room, member)).collect();
            self.check_heard(&mut link, &kicked).await?;
        }
        Ok(())
    }

    /// Checks that kicked members hear the next element.
    pub(super) async fn check_heard(
        &self,
        link: &mut BenchConnection,
        kicked: &[(u32, BenchMember)],
    ) -> Result<()> {
        let mut request = Vec::new();
        for (room, member) in kicked {
            request.clear();
            target::phone(&mut request, *room, &member.call_uuid);
            let answer = link.ask(&request).await?;
            let room = find(answer.body, b"\"room\"");
            let spoken = find(answer.body, format!("\"{SPOKEN}\"").as_bytes());
            let is_right = answer.status == 200 && room.is_some() && room < spoken;
            let body = String::from_utf8_lossy(answer.body);
            ensure!(is_right, "member {} hears {body}", member.member_id);
        }
        Ok(())
    }
}

/// Index of the first occurrence of `sought`.
pub(super) fn find(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    bytes.windows(sought.len()).position(|it| it == sought)
}

/// Member ids, as a request lists them.
pub(super) fn names(members: &[BenchMember]) -> String {
    let names: Vec<_> = members.iter().map(|it| &*it.member_id).collect();
    names.join(",")
}

/// Writes the request that kicks one member, several, or `all`.
pub(super) fn kick(request: &mut Vec<u8>, room: u32, member: &str) {
    request.clear();
    target::post(request, room, format_args!("room-{room}/Member/{member}/Kick/"));
}

/// Whether this is the response to a kick of the member.
pub(super) fn is_kicked(answer: BenchResponse<'_>, member: &BenchMember) -> bool {
    is_done(answer, "kicked", &member.member_id)
}

/// Whether the response confirms an action on a member.
pub(super) fn is_done(answer: BenchResponse<'_>, message: &str, member: &str) -> bool {
    let expected = format!("{{\"message\":\"{message}\",\"member_id\":\"{member}\"");
    matches!(answer.status, 200 | 202) && answer.body.starts_with(expected.as_bytes())
}

/// Phones that call in, room by room.
pub(super) struct DialRequests {
    shape: Shape,
    begun: u32,
}

impl DialRequests {
    pub(super) fn new(shape: Shape) -> Self {
        Self { shape, begun: 0 }
    }
}

impl Workload for DialRequests {
    fn next(&mut self, request: &mut Vec<u8>) -> Option<usize> {
        let Shape { rooms, members } = self.shape;
        let number = self.begun;
        if rooms * members <= number {
            return None;
        }
        self.begun += 1;
        target::dial(request, number / members);
        Some(number as usize)
    }

    fn check(&mut self, _: usize, answer: BenchResponse<'_>) -> Result<(), String> {
        match answer.status == 201 && has(answer.body, b"_uuid\":\"") {
            true => Ok(()),
            false => Err("a phone cannot call".to_owned()),
        }
    }
}

/// Reads the roster of each room.
struct RosterRequests {
    found: Vec<Vec<BenchMember>>,
    next: u32,
}

impl Workload for RosterRequests {
    fn next(&mut self, request: &mut Vec<u8>) -> Option<usize> {
        let room = self.next;
        if self.found.len() as u32 <= room {
            return None;
        }
        self.next += 1;
        target::get(request, room, format_args!("room-{room}/"));
        Some(room as usize)
    }

    fn check(&mut self, room: usize, answer: BenchResponse<'_>) -> Result<(), String> {
        self.found[room] = members_of(answer)?;
        Ok(())
    }
}

/// Members of a room; none if the room does not exist.
pub(super) fn members_of(answer: BenchResponse<'_>) -> Result<Vec<BenchMember>, String> {
    #[derive(Deserialize)]
    struct RoomMembers {
        members: Vec<BenchMember>,
    }

    if answer.status == 404 {
        return Ok(Vec::new());
    }
    let read = serde_json::from_slice::<RoomMembers>(answer.body);
    Ok(read.map_err(|error| error.to_string())?.members)
}

/// Number of members in all rooms.
pub(super) async fn remaining(
    target: &BenchTarget,
    rooms: usize,
    connections: usize,
) -> Result<usize> {
    let mut rosters = RosterRequests { found: vec![Vec::new(); rooms], next: 0 };
    let pace = LoadPace { connections, time_max: None, rate: None };
    drive(target.engine.http, pace, &mut rosters).await?;
    Ok(rosters.found.iter().map(Vec::len).sum())
}

/// Members in the order of rotation: the first of each room, then the second of each.
pub(super) fn in_turn(rooms: &[Vec<BenchMember>]) -> VecDeque<(u32, BenchMember)> {
    let longest = rooms.iter().map(Vec::len).max().unwrap_or_default();
    let place = |n: usize| {
        let members = rooms.iter().zip(0..);
        members.filter_map(move |(members, room)| Some((room, members.get(n)?.clone())))
    };
    (0..longest).flat_map(place).collect()
}
