//! Churn: rooms whose members come and go, lap by lap, one request at a time for each room.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use super::{
    clock::now,
    filled::{BenchMember, is_done, kick, members_of, names},
    link::BenchResponse,
    load::Workload,
    target,
};

/// Members of a room before and after a lap, unless all were kicked; within it there are more.
pub(super) const BASE_MEMBERS: usize = 10;
/// Phones that join in a lap; as many are kicked or hang up.
const NEWCOMERS: usize = 4;
/// Number of kicked members, lap by lap; after all of them, the next room of that name is a new
/// one.
const KICKS: [usize; 4] = [1, 2, NEWCOMERS, ALL];
const ALL: usize = BASE_MEMBERS + NEWCOMERS;
/// Kicked phones that are remembered, to check what they have heard.
const KICKED_KEPT: usize = 500;
/// Phones are in their rooms within this time.
const ENTRY_WAIT_MAX: Duration = Duration::from_secs(20);

/// Rooms, each in a lap of its own, until the time or a number of calls is reached.
pub(super) struct Churn {
    rooms: Vec<ChurnRoom>,
    /// Rooms without a request in flight.
    idle: VecDeque<usize>,
    end: Instant,
    ended_max: usize,
    pub(super) counts: ChurnCounts,
    /// Members that were kicked last.
    pub(super) kicked: VecDeque<(u32, BenchMember)>,
}

/// Counts of the actions so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct ChurnCounts {
    joins: usize,
    leaves: usize,
    kicked: usize,
    mutes: usize,
}

impl ChurnCounts {
    /// Number of calls that have ended.
    pub(super) fn ended(&self) -> usize {
        self.leaves + self.kicked
    }
}

impl fmt::Display for ChurnCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { joins, leaves, kicked, mutes } = self;
        write!(f, "{joins} joins, {leaves} leaves, {kicked} kicked, {mutes} mutes")
    }
}

impl Churn {
    pub(super) fn new(rooms: Vec<Vec<BenchMember>>, end: Instant, over_max: usize) -> Self {
        let idle = (0..rooms.len()).collect();
        let rooms = rooms.into_iter().enumerate();
        // Different laps keep the rooms from ending all at once.
        let rooms = rooms.map(|(number, members)| ChurnRoom::new(members, number)).collect();
        let (counts, kicked) = (ChurnCounts::default(), VecDeque::new());
        Self { rooms, idle, end, ended_max: over_max, counts, kicked }
    }

    /// The members of each room.
    pub(super) fn into_rooms(self) -> Vec<Vec<BenchMember>> {
        self.rooms.into_iter().map(|room| room.members).collect()
    }

    fn is_over(&self) -> bool {
        self.end <= now() || self.ended_max <= self.counts.ended()
    }
}

impl Workload for Churn {
    fn next(&mut self, request: &mut Vec<u8>) -> Option<usize> {
        // There are at least as many rooms as connections: none is idle only if some have finished.
        let number = self.idle.pop_front()?;
        self.rooms[number].ask(number as u32, request);
        Some(number)
    }

    fn check(&mut self, number: usize, answer: BenchResponse<'_>) -> Result<(), String> {
        let room = &mut self.rooms[number];
        let step = room.step;
        room.take(answer, &mut self.counts)?;
        if let ChurnStep::Kick = step {
            let kicked = room.kicked.iter().map(|it| (number as u32, it.clone()));
            self.kicked.extend(kicked);
            self.kicked.drain(..self.kicked.len().saturating_sub(KICKED_KEPT));
        }
        let is_at_base = matches!(step, ChurnStep::LookAgain) && room.members.len() == BASE_MEMBERS;
        if !(is_at_base && self.is_over()) {
            self.idle.push_back(number);
        }
        Ok(())
    }
}

struct ChurnRoom {
    members: Vec<BenchMember>,
    /// Must not be in the room any more.
    kicked: Vec<BenchMember>,
    /// They hung up, and may be in the room for a moment.
    left: Vec<BenchMember>,
    step: ChurnStep,
    laps: usize,
    /// Time of the last phone's call.
    dialled: Instant,
}

/// The next request about a room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ChurnStep {
    /// This many phones call in.
    Dial(usize),
    /// Reads the roster until all phones have joined.
    Look,
    Mute,
    Unmute,
    Kick,
    /// This many members hang up.
    HangUp(usize),
    /// Reads the roster: kicked members must be out.
    LookAgain,
}

impl ChurnRoom {
    fn new(members: Vec<BenchMember>, laps: usize) -> Self {
        let (kicked, left, step) = (Vec::new(), Vec::new(), ChurnStep::Dial(ALL - members.len()));
        Self { members, kicked, left, step, laps, dialled: now() }
    }

    fn kicks(&self) -> usize {
        KICKS[self.laps % KICKS.len()]
    }

    fn ask(&self, number: u32, request: &mut Vec<u8>) {
        let first = self.members.first().map(|it| &*it.member_id).unwrap_or_default();
        match self.step {
            ChurnStep::Dial(_) => target::dial(request, number),
            ChurnStep::Look | ChurnStep::LookAgain => {
                target::get(request, number, format_args!("room-{number}/"));
            }
            ChurnStep::Mute => {
                target::post(request, number, format_args!("room-{number}/Member/{first}/Mute/"));
            }
            ChurnStep::Unmute => {
                target::delete(request, number, format_args!("room-{number}/Member/{first}/Mute/"));
            }
            ChurnStep::Kick if self.kicks() == ALL => kick(request, number, "all"),
            ChurnStep::Kick => kick(request, number, &names(&self.members[..self.kicks()])),
            ChurnStep::HangUp(_) => target::hang_up(request, number, &self.members[0].call_uuid),
        }
    }

    /// Checks a response, and selects the next step.
    fn take(&mut self, answer: BenchResponse<'_>, counts: &mut ChurnCounts) -> Result<(), String> {
        let kicks = self.kicks();
        let is_right = match self.step {
            ChurnStep::Dial(_) => answer.status == 201,
            ChurnStep::Look | ChurnStep::LookAgain => matches!(answer.status, 200 | 404),
            ChurnStep::Mute => is_done(answer, "muted", &self.members[0].member_id),
            ChurnStep::Unmute | ChurnStep::HangUp(_) => answer.status == 204,
            ChurnStep::Kick if kicks == ALL => is_done(answer, "kicked", "all"),
            ChurnStep::Kick => is_done(answer, "kicked", &names(&self.members[..kicks])),
        };
        if !is_right {
            return Err(format!("{:?} is not done", self.step));
        }

        self.step = match self.step {
            ChurnStep::Dial(remaining) => {
                counts.joins += 1;
                self.dialled = now();
                if remaining == 1 { ChurnStep::Look } else { ChurnStep::Dial(remaining - 1) }
            }
            ChurnStep::Look => match self.are_in(answer)? {
                true => ChurnStep::Mute,
                false => ChurnStep::Look,
            },
            ChurnStep::Mute => {
                counts.mutes += 1;
                ChurnStep::Unmute
            }
            ChurnStep::Unmute => ChurnStep::Kick,
            ChurnStep::Kick => {
                self.kicked = self.members.drain(..kicks).collect();
                counts.kicked += kicks;
                if NEWCOMERS <= kicks {
                    ChurnStep::LookAgain
                } else {
                    ChurnStep::HangUp(NEWCOMERS - kicks)
                }
            }
            ChurnStep::HangUp(remaining) => {
                self.left.push(self.members.remove(0));
                counts.leaves += 1;
                if remaining == 1 { ChurnStep::LookAgain } else { ChurnStep::HangUp(remaining - 1) }
            }
            ChurnStep::LookAgain => {
                self.are_out(&members_of(answer)?)?;
                self.laps += 1;
                ChurnStep::Dial(ALL - self.members.len())
            }
        };
        Ok(())
    }

    /// Whether exactly the expected members are in the room.
    fn are_in(&mut self, answer: BenchResponse<'_>) -> Result<bool, String> {
        let found = members_of(answer)?;
        self.are_out(&found)?;
        let is_there = |it: &BenchMember| found.iter().any(|there| there.call_uuid == it.call_uuid);
        let is_so = found.len() == ALL
            && self.members.iter().all(is_there)
            && !self.left.iter().any(is_there);
        if is_so {
            self.left.clear();
            self.members = found;
        } else if ENTRY_WAIT_MAX < self.dialled.elapsed() {
            return Err(format!("{} members are in the room instead of {ALL}", found.len()));
        }
        Ok(is_so)
    }

    /// Checks that no kicked member is in the room.
    fn are_out(&self, found: &[BenchMember]) -> Result<(), String> {
        let is_there =
            |it: &&BenchMember| found.iter().any(|there| there.call_uuid == it.call_uuid);
        match self.kicked.iter().find(is_there) {
            Some(kicked) => Err(format!("member {} is kicked, and in the room", kicked.member_id)),
            None => Ok(()),
        }
    }
}
