//! The conference state machine: coming, leaving, and what follows.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Command, Effect, Moment, News, Notice, Outcome, Refusal, Ticket,
    digits::Typed,
    floor::Floor,
    member::{Leaver, Member, Seat},
    sounds::{Sounds, Stater},
};
use crate::{
    base::ids::{CallId, Incarnation, MemberId, RoomId},
    flow::{Cause, Entry},
    media::{Heard, Hears, Order},
};

/// A conference, as a value.
#[derive(Debug)]
pub struct Conference {
    incarnation: Arc<Incarnation>,
    pub(super) phase: Phase,
    pub(super) created_at: Instant,
    limit: Limit,
    /// A cap on what members state.
    members_cap: u32,
    /// As the first member that states it has it.
    members_max: Option<u32>,
    /// See [`Settings`].
    fuse: Option<u32>,
    /// In boxes: who is taken out of the midst would move all who follow.
    pub(super) members: BTreeMap<MemberId, Box<Member>>,
    /// No member's call ends before this. It is found anew when it has come: until then, who
    /// leaves need not be looked for.
    calls_end_at: Option<Instant>,
    /// A row for each thing else that is due some day, but for the room's own time limit.
    pub(super) deadlines: BTreeSet<(Instant, Due)>,
    sequence: u64,
    /// The revision of the group at the last expulsion that was heard of.
    pub(super) expelled_at: u64,
    pub(super) typed: BTreeMap<MemberId, Typed>,
    pub(super) floor: Floor,
    pub(super) sounds: Sounds,
    /// Filled while a command is handled, empty in between.
    pub(super) leavers: Vec<Leaver>,
    /// The same; in a box, since most rooms are asked nothing.
    pub(super) reply: Option<Box<(Ticket, Outcome)>>,
}

// Rooms are many.
const _: () = assert!(size_of::<Conference>() <= 320);

/// What holds for every conference.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A cap on what members state.
    pub members_max: usize,
    /// So many asks may wait for their turn; who asks beyond that is told to come again.
    pub asks_max: usize,
    /// For tests: the machine panics when it has come by so many fuses.
    pub fuse: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { members_max: MEMBERS_MAX, asks_max: ASKS_MAX, fuse: None }
    }
}

/// A bulk of this size is still answered within some tens of milliseconds.
const MEMBERS_MAX: usize = 10_000;

/// Enough for every member of a large room to act at once.
const ASKS_MAX: usize = 256;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Nobody who starts the room has come yet; all hear their wait sounds.
    Waiting,
    Live,
    Over,
}

/// When the room's own time is up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Limit {
    /// Nobody has stated one.
    Default(Instant),
    /// Stated as none, and by nobody else as something.
    None,
    Stated(Instant),
}

/// What is due at a time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Due {
    /// What a member has typed is forgotten.
    Digits(MemberId),
    /// A sound document is too late.
    Fetch(u32),
}

impl Conference {
    /// An empty room, which is over as soon as its first member is in and out again.
    pub fn new(now: Instant, incarnation: Arc<Incarnation>, settings: &Settings) -> Self {
        Self {
            incarnation,
            phase: Phase::Waiting,
            created_at: now,
            limit: Limit::None,
            members_cap: settings.members_max.try_into().unwrap_or(u32::MAX),
            members_max: None,
            fuse: settings.fuse,
            members: BTreeMap::new(),
            calls_end_at: None,
            deadlines: BTreeSet::new(),
            sequence: 0,
            expelled_at: 0,
            typed: BTreeMap::new(),
            floor: Floor::default(),
            sounds: Sounds::default(),
            leavers: Vec::new(),
            reply: None,
        }
    }

    pub(super) fn id(&self) -> RoomId {
        self.incarnation.id
    }

    /// Takes one command to its end. What it adds to the effects is complete, and in order.
    ///
    /// A call is never in a local variable while something can panic: it goes from the command
    /// into the room, and from there into the effects, and all three outlive the unwinding.
    pub fn handle(&mut self, now: Instant, command: Command, effects: &mut VecDeque<Effect>) {
        match command {
            Command::Enter { member, call, entry } => {
                let it = Member::new(self.age(now), call, entry);
                self.members.insert(member, Box::new(it));
                self.enter(now, member, effects);
            }
            Command::Ask { ticket, ask } => {
                // What the caller hears if the next line panics.
                self.reply = Some(Box::new((ticket, Err(Refusal::Fault))));
                let outcome = self.answer(now, ask, effects);
                self.reply.as_mut().expect("it was just set").1 = outcome;
            }
            Command::Close => self.take_out_all(&Cause::Drained.into()),
            Command::HangUp { member, cause } => self.take_out(member, &cause.into()),
            Command::Report { member, heard } => self.hear(now, member, heard, effects),
            Command::Sounds { number, program } => self.sounds_came(number, program, effects),
            Command::Tick => self.expire(now),
        }
        self.fuse();
        self.cascade();
        self.fuse();
        self.conclude(now, effects);
    }

    /// After a panic: all that are left go on, and the room is over.
    pub fn salvage(&mut self, now: Instant, effects: &mut VecDeque<Effect>) {
        if let Some(reply) = &mut self.reply {
            reply.1 = Err(Refusal::Fault);
        }
        self.take_out_all(&Cause::Fault.into());
        self.conclude(now, effects);
    }

    /// When [`Command::Tick`] is next due.
    pub fn deadline(&self) -> Option<Instant> {
        let due = self.deadlines.first().map(|(at, _)| *at);
        due.into_iter().chain(self.calls_end_at).chain(self.ends_at()).min()
    }

    fn ends_at(&self) -> Option<Instant> {
        match self.limit {
            Limit::Default(at) | Limit::Stated(at) => Some(at),
            Limit::None => None,
        }
    }

    fn enter(&mut self, now: Instant, id: MemberId, effects: &mut VecDeque<Effect>) {
        self.fuse();
        if self.is_stale(id) {
            return self.take_out(id, &Cause::NotMember.into());
        }
        let members_max = self.members_max.unwrap_or(self.members_cap);
        if (members_max as usize) < self.members.len() {
            return self.take_out(id, &Cause::Full.into());
        }

        let member = self.members.get_mut(&id).expect("just put in");
        member.announced = true;
        let starts = member.starts();
        let (entry, call, call_ends_at) =
            (member.entry.clone(), member.call.id, member.call.ends_at);
        let first = self.calls_end_at.map_or(call_ends_at, |at| at.min(call_ends_at));
        self.calls_end_at = Some(first);
        let is_first = self.members.len() == 1;
        self.limit(&entry, is_first);
        if self.members_max.is_none() {
            self.members_max = entry.members_max.map(|it| it.min(self.members_cap));
        }

        let who = self.members[&id].being(id);
        self.publish(News::Entered { who, is_first }, effects);
        if entry.muted {
            effects.push_back(Order::Mute { room: self.id(), calls: vec![call], on: true }.into());
        }
        let others = match self.phase {
            Phase::Waiting if starts => {
                self.phase = Phase::Live;
                self.publish(News::Started, effects);
                self.members.keys().copied().filter(|it| *it != id).collect()
            }
            // Who was alone is so no longer.
            Phase::Live if self.members.len() == 2 => {
                self.members.keys().copied().filter(|it| *it != id).collect()
            }
            Phase::Live | Phase::Over | Phase::Waiting => Vec::new(),
        };
        self.fuse();
        self.seat(others.into_iter().chain([id]), effects);
        self.floor.is_stale = true;
        if self.phase == Phase::Live {
            let stater = Stater::from(&*self.members[&id].call);
            let cue = entry.enter_sound.clone().map(|cue| (cue, stater));
            self.cue(now, Moment::Enter, cue, effects);
        }
    }

    /// The earliest limit that a member states is the room's; a default is no statement.
    fn limit(&mut self, entry: &Entry, is_first: bool) {
        let at = |seconds: u32| self.created_at + Duration::from_secs(seconds.into());
        self.limit = match (entry.time_limit, self.limit) {
            (None, _) if is_first && entry.time_limit_default != 0 => {
                Limit::Default(at(entry.time_limit_default))
            }
            (None, limit) => limit,
            (Some(0), Limit::Stated(before)) => Limit::Stated(before),
            (Some(0), Limit::Default(_) | Limit::None) => Limit::None,
            (Some(seconds), Limit::Stated(before)) => Limit::Stated(before.min(at(seconds))),
            (Some(seconds), Limit::Default(_) | Limit::None) => Limit::Stated(at(seconds)),
        };
    }

    /// Lets members hear what they should: in the room, the others; before its start, and alone
    /// with a wait sound, that sound and nobody.
    pub(super) fn seat(
        &mut self,
        ids: impl Iterator<Item = MemberId>,
        effects: &mut VecDeque<Effect>,
    ) {
        let is_alone = self.members.len() == 1;
        let mut calls = Vec::new();
        let mut waiting = Vec::new();
        for id in ids {
            let member = self.members.get_mut(&id).expect("a member of this moment");
            let has_sound = member.entry.wait_sound.is_some();
            let seat = match self.phase {
                Phase::Live if !(is_alone && has_sound) => Seat::Room,
                Phase::Live | Phase::Over | Phase::Waiting => Seat::Wait,
            };
            if mem::replace(&mut member.seat, seat) != seat {
                match seat {
                    Seat::Wait => waiting.push(id),
                    Seat::None | Seat::Room => calls.push(member.call.id),
                }
            }
        }
        if !calls.is_empty() {
            self.place(calls, Hears::Room, effects);
        }
        for id in waiting {
            self.place_waiting(id, effects);
        }
    }

    pub(super) fn place(&self, calls: Vec<CallId>, hears: Hears, effects: &mut VecDeque<Effect>) {
        let room = self.incarnation.clone();
        effects.push_back(Order::Place { room, calls, hears }.into());
    }

    /// Reports come by place. One for a member who has left is stale.
    fn hear(&mut self, now: Instant, id: MemberId, heard: Heard, effects: &mut VecDeque<Effect>) {
        if !self.members.contains_key(&id) {
            return;
        }
        match heard {
            Heard::Digit(digit) => self.digit(now, id, digit, effects),
            Heard::Hold(on) => {
                let member = self.members.get_mut(&id).expect("just seen");
                member.held = on;
                self.floor.is_stale = true;
            }
            Heard::HungUp => self.take_out(id, &Cause::CallerLeft.into()),
            Heard::Lost => self.take_out(id, &Cause::MediaLost.into()),
            // The room has ordered nothing that it waits for, and its members are answered.
            Heard::Answered | Heard::Failed(_) | Heard::Over(_) | Heard::Ringing => (),
            Heard::Talk(on) => self.floor.talk(id, on),
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(_, due)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            self.deadlines.pop_first();
            match due {
                Due::Digits(member) => drop(self.typed.remove(&member)),
                Due::Fetch(number) => self.sounds.forget(number),
            }
        }
        if self.calls_end_at.is_some_and(|at| at <= now) {
            self.end_calls(now);
        }
        if self.ends_at().is_some_and(|at| at <= now) {
            self.take_out_all(&Cause::TimeUp.into());
        }
    }

    /// For how long the room has been there.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.created_at)
    }

    pub(super) fn everybody(&self) -> impl Iterator<Item = (MemberId, &Member)> {
        self.members.iter().map(|(id, member)| (*id, &**member))
    }

    /// In the order in which their time is up. Each member is looked at, which is once for each
    /// time that is up, and at most once more for a member that has left before its own.
    fn end_calls(&mut self, now: Instant) {
        let ends = |(id, member): (MemberId, &Member)| (member.call.ends_at, id);
        let mut due: Vec<_> = self.everybody().map(ends).filter(|(at, _)| *at <= now).collect();
        due.sort_unstable();
        for (_, id) in due {
            self.take_out(id, &Cause::CallTimeUp.into());
        }
        self.calls_end_at = self.members.values().map(|member| member.call.ends_at).min();
    }

    pub(super) fn forget_deadlines(&mut self) {
        (self.limit, self.calls_end_at) = (Limit::None, None);
        self.deadlines.clear();
    }

    pub(super) fn due(&mut self, at: Instant, due: Due) {
        self.deadlines.insert((at, due));
    }

    pub(super) fn not_due(&mut self, at: Instant, due: Due) {
        self.deadlines.remove(&(at, due));
    }

    pub(super) fn publish(&mut self, news: News, effects: &mut VecDeque<Effect>) {
        let sequence = self.number(1);
        effects.push_back(Effect::Publish(Notice { sequence, news }));
    }

    /// The first of the numbers of so many notices.
    pub(super) fn number(&mut self, notices: u64) -> u64 {
        self.sequence += notices;
        self.sequence + 1 - notices
    }

    pub(super) fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    pub(super) fn fuse(&mut self) {
        let Some(left) = &mut self.fuse else { return };
        assert!(*left != 0, "{FUSE}");
        *left -= 1;
    }

    /// Holds after every command; tests and simulation call it.
    pub fn check(&self) {
        assert!(self.members.len() <= self.members_cap as usize);
        assert_eq!(self.members.is_empty(), self.phase == Phase::Over);
        assert!(self.leavers.is_empty() && self.reply.is_none());
        let ends_first = self.members.values().map(|it| it.call.ends_at).min();
        let is_in_time = ends_first.is_none_or(|at| self.calls_end_at.is_some_and(|it| it <= at));
        assert!(is_in_time, "no call's end is missed");
        let of_digits = self.deadlines.iter().filter(|(_, due)| matches!(due, Due::Digits(_)));
        assert_eq!(of_digits.count(), self.typed.len(), "one row for each that types");
        assert!(self.typed.keys().all(|id| self.members.contains_key(id)));
        for member in self.members.values() {
            assert!(member.announced, "who is not let in is out again");
            assert!(member.seat != Seat::None, "everybody hears something");
            assert!(self.phase != Phase::Waiting || member.seat == Seat::Wait, "before the start");
            let is_alone = self.members.len() == 1;
            assert!(!self.is_live() || is_alone || member.seat == Seat::Room, "in company");
        }
        self.floor.check(&self.members);
    }
}

/// What a blown fuse says, so that tests can tell it from a bug.
pub const FUSE: &str = "a fuse has blown";

impl From<Order> for Effect {
    fn from(order: Order) -> Self {
        Self::Media(order)
    }
}
