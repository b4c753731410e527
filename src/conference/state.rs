//! The conference state machine: coming, leaving, and what follows.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    AskTicket, Command, ConferenceEvent, Effect, Notice, Outcome, Refusal, SoundMoment,
    digits::TypedKeys,
    floor::Floor,
    member::{Leaver, Listening, Member},
    sounds::{PendingSounds, SoundRequester},
};
use crate::{
    base::ids::{CallId, Incarnation, MemberId, RoomId},
    flow::{Cause, JoinOptions},
    media::{AudioOrder, LegEvent, MemberAudio},
};

/// A conference, as a value.
#[derive(Debug)]
pub struct Conference {
    incarnation: Arc<Incarnation>,
    pub(super) phase: RoomPhase,
    pub(super) created_at: Instant,
    limit: RoomTimeLimit,
    /// A cap on what members state.
    members_cap: u32,
    /// As the first member that states it has it.
    members_max: Option<u32>,
    /// See [`Settings`].
    fault_countdown: Option<u32>,
    /// In boxes: who is taken out of the midst would move all who follow.
    pub(super) members: BTreeMap<MemberId, Box<Member>>,
    /// No member's call ends before this. It is found anew when it has come: until then, who
    /// leaves need not be looked for.
    calls_end_at: Option<Instant>,
    /// A row for each thing else that is due some day, but for the room's own time limit.
    pub(super) deadlines: BTreeSet<(Instant, DueItem)>,
    sequence: u64,
    /// The revision of the group at the last expulsion that was heard of.
    pub(super) expelled_at: u64,
    pub(super) typed: BTreeMap<MemberId, TypedKeys>,
    pub(super) floor: Floor,
    pub(super) sounds: PendingSounds,
    /// Filled while a command is handled, empty in between.
    pub(super) leavers: Vec<Leaver>,
    /// The same; in a box, since most rooms are asked nothing.
    pub(super) reply: Option<Box<(AskTicket, Outcome)>>,
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
    pub inject_fault_after: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { members_max: MEMBERS_MAX, asks_max: ASKS_MAX, inject_fault_after: None }
    }
}

/// A bulk of this size is still answered within some tens of milliseconds.
const MEMBERS_MAX: usize = 10_000;

/// Enough for every member of a large room to act at once.
const ASKS_MAX: usize = 256;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RoomPhase {
    /// Nobody who starts the room has come yet; all hear their wait sounds.
    Waiting,
    Live,
    Over,
}

/// When the room's own time is up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RoomTimeLimit {
    /// Nobody has stated one.
    Default(Instant),
    /// Stated as none, and by nobody else as something.
    None,
    Stated(Instant),
}

/// What is due at a time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum DueItem {
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
            phase: RoomPhase::Waiting,
            created_at: now,
            limit: RoomTimeLimit::None,
            members_cap: settings.members_max.try_into().unwrap_or(u32::MAX),
            members_max: None,
            fault_countdown: settings.inject_fault_after,
            members: BTreeMap::new(),
            calls_end_at: None,
            deadlines: BTreeSet::new(),
            sequence: 0,
            expelled_at: 0,
            typed: BTreeMap::new(),
            floor: Floor::default(),
            sounds: PendingSounds::default(),
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
            Command::Sounds { number, program } => self.sounds_fetched(number, program, effects),
            Command::Tick => self.expire(now),
        }
        self.maybe_inject_fault();
        self.cascade();
        self.maybe_inject_fault();
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
            RoomTimeLimit::Default(at) | RoomTimeLimit::Stated(at) => Some(at),
            RoomTimeLimit::None => None,
        }
    }

    fn enter(&mut self, now: Instant, id: MemberId, effects: &mut VecDeque<Effect>) {
        self.maybe_inject_fault();
        if self.has_stale_admission(id) {
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
        self.set_time_limit(&entry, is_first);
        if self.members_max.is_none() {
            self.members_max = entry.members_max.map(|it| it.min(self.members_cap));
        }

        let who = self.members[&id].info(id);
        self.publish(ConferenceEvent::Entered { who, is_first }, effects);
        if entry.muted {
            effects.push_back(
                AudioOrder::Mute { room: self.id(), calls: vec![call], on: true }.into(),
            );
        }
        let others = match self.phase {
            RoomPhase::Waiting if starts => {
                self.phase = RoomPhase::Live;
                self.publish(ConferenceEvent::Started, effects);
                self.members.keys().copied().filter(|it| *it != id).collect()
            }
            // Who was alone is so no longer.
            RoomPhase::Live if self.members.len() == 2 => {
                self.members.keys().copied().filter(|it| *it != id).collect()
            }
            RoomPhase::Live | RoomPhase::Over | RoomPhase::Waiting => Vec::new(),
        };
        self.maybe_inject_fault();
        self.update_listening(others.into_iter().chain([id]), effects);
        self.floor.is_stale = true;
        if self.phase == RoomPhase::Live {
            let requester = SoundRequester::from(&*self.members[&id].call);
            let cue = entry.enter_sound.clone().map(|cue| (cue, requester));
            self.play_cues(now, SoundMoment::Enter, cue, effects);
        }
    }

    /// The earliest limit that a member states is the room's; a default is no statement.
    fn set_time_limit(&mut self, entry: &JoinOptions, is_first: bool) {
        let at = |seconds: u32| self.created_at + Duration::from_secs(seconds.into());
        self.limit = match (entry.time_limit, self.limit) {
            (None, _) if is_first && entry.time_limit_default != 0 => {
                RoomTimeLimit::Default(at(entry.time_limit_default))
            }
            (None, limit) => limit,
            (Some(0), RoomTimeLimit::Stated(before)) => RoomTimeLimit::Stated(before),
            (Some(0), RoomTimeLimit::Default(_) | RoomTimeLimit::None) => RoomTimeLimit::None,
            (Some(seconds), RoomTimeLimit::Stated(before)) => {
                RoomTimeLimit::Stated(before.min(at(seconds)))
            }
            (Some(seconds), RoomTimeLimit::Default(_) | RoomTimeLimit::None) => {
                RoomTimeLimit::Stated(at(seconds))
            }
        };
    }

    /// Lets members hear what they should: in the room, the others; before its start, and alone
    /// with a wait sound, that sound and nobody.
    pub(super) fn update_listening(
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
            let listening = match self.phase {
                RoomPhase::Live if !(is_alone && has_sound) => Listening::Room,
                RoomPhase::Live | RoomPhase::Over | RoomPhase::Waiting => Listening::Wait,
            };
            if mem::replace(&mut member.listening, listening) != listening {
                match listening {
                    Listening::Wait => waiting.push(id),
                    Listening::None | Listening::Room => calls.push(member.call.id),
                }
            }
        }
        if !calls.is_empty() {
            self.place(calls, MemberAudio::Room, effects);
        }
        for id in waiting {
            self.place_waiting(id, effects);
        }
    }

    pub(super) fn place(
        &self,
        calls: Vec<CallId>,
        hears: MemberAudio,
        effects: &mut VecDeque<Effect>,
    ) {
        let room = self.incarnation.clone();
        effects.push_back(AudioOrder::Place { room, calls, hears }.into());
    }

    /// Reports come by place. One for a member who has left is stale.
    fn hear(
        &mut self,
        now: Instant,
        id: MemberId,
        heard: LegEvent,
        effects: &mut VecDeque<Effect>,
    ) {
        if !self.members.contains_key(&id) {
            return;
        }
        match heard {
            LegEvent::Digit(digit) => self.digit(now, id, digit, effects),
            LegEvent::Hold(on) => {
                let member = self.members.get_mut(&id).expect("just seen");
                member.held = on;
                self.floor.is_stale = true;
            }
            LegEvent::HungUp => self.take_out(id, &Cause::CallerLeft.into()),
            LegEvent::MediaLost => self.take_out(id, &Cause::MediaLost.into()),
            // The room has ordered nothing that it waits for, and its members are answered.
            LegEvent::Answered
            | LegEvent::Failed(_)
            | LegEvent::Finished(_)
            | LegEvent::Ringing => (),
            LegEvent::Talk(on) => self.floor.talk(id, on),
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(_, due)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            self.deadlines.pop_first();
            match due {
                DueItem::Digits(member) => drop(self.typed.remove(&member)),
                DueItem::Fetch(number) => self.sounds.forget(number),
            }
        }
        if self.calls_end_at.is_some_and(|at| at <= now) {
            self.end_expired_calls(now);
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
    fn end_expired_calls(&mut self, now: Instant) {
        let ends = |(id, member): (MemberId, &Member)| (member.call.ends_at, id);
        let mut due: Vec<_> = self.everybody().map(ends).filter(|(at, _)| *at <= now).collect();
        due.sort_unstable();
        for (_, id) in due {
            self.take_out(id, &Cause::CallTimeUp.into());
        }
        self.calls_end_at = self.members.values().map(|member| member.call.ends_at).min();
    }

    pub(super) fn forget_deadlines(&mut self) {
        (self.limit, self.calls_end_at) = (RoomTimeLimit::None, None);
        self.deadlines.clear();
    }

    pub(super) fn add_deadline(&mut self, at: Instant, due: DueItem) {
        self.deadlines.insert((at, due));
    }

    pub(super) fn remove_deadline(&mut self, at: Instant, due: DueItem) {
        self.deadlines.remove(&(at, due));
    }

    pub(super) fn publish(&mut self, event: ConferenceEvent, effects: &mut VecDeque<Effect>) {
        let sequence = self.reserve_sequence(1);
        effects.push_back(Effect::Publish(Notice { sequence, event }));
    }

    /// The first of the numbers of so many notices.
    pub(super) fn reserve_sequence(&mut self, notices: u64) -> u64 {
        self.sequence += notices;
        self.sequence + 1 - notices
    }

    pub(super) fn is_live(&self) -> bool {
        self.phase == RoomPhase::Live
    }

    pub(super) fn maybe_inject_fault(&mut self) {
        let Some(left) = &mut self.fault_countdown else { return };
        assert!(*left != 0, "{INJECTED_FAULT}");
        *left -= 1;
    }

    /// Holds after every command; tests and simulation call it.
    pub fn check(&self) {
        assert!(self.members.len() <= self.members_cap as usize);
        assert_eq!(self.members.is_empty(), self.phase == RoomPhase::Over);
        assert!(self.leavers.is_empty() && self.reply.is_none());
        let ends_first = self.members.values().map(|it| it.call.ends_at).min();
        let is_in_time = ends_first.is_none_or(|at| self.calls_end_at.is_some_and(|it| it <= at));
        assert!(is_in_time, "no call's end is missed");
        let of_digits = self.deadlines.iter().filter(|(_, due)| matches!(due, DueItem::Digits(_)));
        assert_eq!(of_digits.count(), self.typed.len(), "one row for each that types");
        assert!(self.typed.keys().all(|id| self.members.contains_key(id)));
        for member in self.members.values() {
            assert!(member.announced, "who is not let in is out again");
            assert!(member.listening != Listening::None, "everybody hears something");
            assert!(
                self.phase != RoomPhase::Waiting || member.listening == Listening::Wait,
                "before the start"
            );
            let is_alone = self.members.len() == 1;
            assert!(
                !self.is_live() || is_alone || member.listening == Listening::Room,
                "in company"
            );
        }
        self.floor.check(&self.members);
    }
}

/// What a blown fuse says, so that tests can tell it from a bug.
pub const INJECTED_FAULT: &str = "a fuse has blown";

impl From<AudioOrder> for Effect {
    fn from(order: AudioOrder) -> Self {
        Self::Media(order)
    }
}
