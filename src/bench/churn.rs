//! Rooms where people come and go: what is asked of each, one thing after the other, lap by lap.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use super::{
    filled::{Member, is_done, kick, names, roll},
    link::Answer,
    load::{Work, now},
    target,
};

/// Members of a room before and behind a lap, unless all were kicked; within it, some more.
pub(super) const HOME: usize = 10;
/// They come in; as many are kicked, or hang up.
const COME: usize = 4;
/// Who is kicked, lap by lap: so many in one request, or all; the next room of that name is another.
const KICKS: [usize; 4] = [1, 2, COME, ALL];
const ALL: usize = HOME + COME;
/// Phones whose kicks are kept, to be asked what they have heard.
const KICKED_KEPT: usize = 500;
/// Phones that have dialled are in their room within this.
const ENTRY_WAIT_MAX: Duration = Duration::from_secs(20);

/// Rooms, each with a lap of its own, until time is up or so many calls are over.
pub(super) struct Churn {
    rooms: Vec<Room>,
    /// Of which nothing is asked at the moment.
    idle: VecDeque<usize>,
    end: Instant,
    over_max: usize,
    pub(super) done: Done,
    /// The last ones.
    pub(super) kicked: VecDeque<(u32, Member)>,
}

/// What has been done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Done {
    joins: usize,
    leaves: usize,
    kicked: usize,
    mutes: usize,
}

impl Done {
    /// Calls that have come to their end.
    pub(super) fn over(&self) -> usize {
        self.leaves + self.kicked
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { joins, leaves, kicked, mutes } = self;
        write!(f, "{joins} joins, {leaves} leaves, {kicked} kicked, {mutes} mutes")
    }
}

impl Churn {
    pub(super) fn new(rooms: Vec<Vec<Member>>, end: Instant, over_max: usize) -> Self {
        let idle = (0..rooms.len()).collect();
        let rooms = rooms.into_iter().enumerate();
        // Not all rooms end in the same lap.
        let rooms = rooms.map(|(number, members)| Room::new(members, number)).collect();
        let (done, kicked) = (Done::default(), VecDeque::new());
        Self { rooms, idle, end, over_max, done, kicked }
    }

    /// Who is in them.
    pub(super) fn into_rooms(self) -> Vec<Vec<Member>> {
        self.rooms.into_iter().map(|room| room.members).collect()
    }

    fn is_over(&self) -> bool {
        self.end <= now() || self.over_max <= self.done.over()
    }
}

impl Work for Churn {
    fn next(&mut self, request: &mut Vec<u8>) -> Option<usize> {
        // There are as many rooms as connections: none is idle only if some are through.
        let number = self.idle.pop_front()?;
        self.rooms[number].ask(number as u32, request);
        Some(number)
    }

    fn check(&mut self, number: usize, answer: Answer<'_>) -> Result<(), String> {
        let room = &mut self.rooms[number];
        let step = room.step;
        room.take(answer, &mut self.done)?;
        if let Step::Kick = step {
            let kicked = room.kicked.iter().map(|it| (number as u32, it.clone()));
            self.kicked.extend(kicked);
            self.kicked.drain(..self.kicked.len().saturating_sub(KICKED_KEPT));
        }
        let is_home = matches!(step, Step::LookAgain) && room.members.len() == HOME;
        if !(is_home && self.is_over()) {
            self.idle.push_back(number);
        }
        Ok(())
    }
}

struct Room {
    members: Vec<Member>,
    /// Not in the room any more, whenever one looks.
    kicked: Vec<Member>,
    /// They hung up, and may be in the room for a moment.
    left: Vec<Member>,
    step: Step,
    laps: usize,
    /// When the last phone has dialled.
    dialled: Instant,
}

/// What is asked next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// So many phones dial in.
    Dial(usize),
    /// Are they in?
    Look,
    Mute,
    Unmute,
    Kick,
    /// So many hang up.
    HangUp(usize),
    /// Are those out who were kicked?
    LookAgain,
}

impl Room {
    fn new(members: Vec<Member>, laps: usize) -> Self {
        let (kicked, left, step) = (Vec::new(), Vec::new(), Step::Dial(ALL - members.len()));
        Self { members, kicked, left, step, laps, dialled: now() }
    }

    fn kicks(&self) -> usize {
        KICKS[self.laps % KICKS.len()]
    }

    fn ask(&self, number: u32, request: &mut Vec<u8>) {
        let first = self.members.first().map(|it| &*it.member_id).unwrap_or_default();
        match self.step {
            Step::Dial(_) => target::dial(request, number),
            Step::Look | Step::LookAgain => {
                target::get(request, number, format_args!("room-{number}/"));
            }
            Step::Mute => {
                target::post(request, number, format_args!("room-{number}/Member/{first}/Mute/"));
            }
            Step::Unmute => {
                target::delete(request, number, format_args!("room-{number}/Member/{first}/Mute/"));
            }
            Step::Kick if self.kicks() == ALL => kick(request, number, "all"),
            Step::Kick => kick(request, number, &names(&self.members[..self.kicks()])),
            Step::HangUp(_) => target::hang_up(request, number, &self.members[0].call_uuid),
        }
    }

    /// Looks at an answer, and goes on to the next step.
    fn take(&mut self, answer: Answer<'_>, done: &mut Done) -> Result<(), String> {
        let kicks = self.kicks();
        let is_right = match self.step {
            Step::Dial(_) => answer.status == 201,
            Step::Look | Step::LookAgain => matches!(answer.status, 200 | 404),
            Step::Mute => is_done(answer, "muted", &self.members[0].member_id),
            Step::Unmute | Step::HangUp(_) => answer.status == 204,
            Step::Kick if kicks == ALL => is_done(answer, "kicked", "all"),
            Step::Kick => is_done(answer, "kicked", &names(&self.members[..kicks])),
        };
        if !is_right {
            return Err(format!("{:?} is not done", self.step));
        }

        self.step = match self.step {
            Step::Dial(rest) => {
                done.joins += 1;
                self.dialled = now();
                if rest == 1 { Step::Look } else { Step::Dial(rest - 1) }
            }
            Step::Look => match self.are_in(answer)? {
                true => Step::Mute,
                false => Step::Look,
            },
            Step::Mute => {
                done.mutes += 1;
                Step::Unmute
            }
            Step::Unmute => Step::Kick,
            Step::Kick => {
                self.kicked = self.members.drain(..kicks).collect();
                done.kicked += kicks;
                if COME <= kicks { Step::LookAgain } else { Step::HangUp(COME - kicks) }
            }
            Step::HangUp(rest) => {
                self.left.push(self.members.remove(0));
                done.leaves += 1;
                if rest == 1 { Step::LookAgain } else { Step::HangUp(rest - 1) }
            }
            Step::LookAgain => {
                self.are_out(&roll(answer)?)?;
                self.laps += 1;
                Step::Dial(ALL - self.members.len())
            }
        };
        Ok(())
    }

    /// Whether all are in who should be, and nobody else.
    fn are_in(&mut self, answer: Answer<'_>) -> Result<bool, String> {
        let found = roll(answer)?;
        self.are_out(&found)?;
        let is_there = |it: &Member| found.iter().any(|there| there.call_uuid == it.call_uuid);
        let is_so = found.len() == ALL
            && self.members.iter().all(is_there)
            && !self.left.iter().any(is_there);
        if is_so {
            self.left.clear();
            self.members = found;
        } else if ENTRY_WAIT_MAX < self.dialled.elapsed() {
            return Err(format!("{} are there, and there should be {ALL}", found.len()));
        }
        Ok(is_so)
    }

    /// Nobody is there who was kicked.
    fn are_out(&self, found: &[Member]) -> Result<(), String> {
        let is_there = |it: &&Member| found.iter().any(|there| there.call_uuid == it.call_uuid);
        match self.kicked.iter().find(is_there) {
            Some(kicked) => Err(format!("member {} is kicked, and there", kicked.member_id)),
            None => Ok(()),
        }
    }
}
