//! Conference state: the members and deadlines of a room, and the handling of commands.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    AskTicket, Command, ConferenceEvent, Effect, Notice, Outcome, Refusal, SoundMoment,
    call_ends::CallEnds,
    callees::DialState,
    floor::Floor,
    member::{Hold, Leaver, Listening, Member, TypedKeys},
    pending_sounds::{PendingSounds, SoundRequester},
    room_recording::RoomRecording,
};
use crate::{
    base::ids::{CallId, Incarnation, MemberId, RoomId},
    flow::{Cause, JoinOptions},
    media::{AudioOrder, LegEvent, MemberAudio},
};

/// The state machine of one conference.
#[derive(Debug)]
pub struct Conference {
    pub(super) incarnation: Arc<Incarnation>,
    pub(super) phase: RoomPhase,
    pub(super) created_at: Instant,
    pub(super) limit: RoomTimeLimit,
    /// The cap from [`Settings::members_max`].
    pub(super) members_cap: u32,
    /// The `maxMembers` of the first member that states one.
    pub(super) members_max: Option<u32>,
    /// Counts down to one from [`Settings::inject_fault_after`] and one more.
    pub(super) fault_countdown: Option<NonZeroU32>,
    /// In boxes: otherwise a removal from the middle would move large values.
    pub(super) members: BTreeMap<MemberId, Box<Member>>,
    /// The members who moderate the room.
    pub(super) moderators: u32,
    /// The members whose calls have rows.
    pub(super) kept: u32,
    /// Those of them whose rows must be written.
    pub(super) changed: Vec<MemberId>,
    pub(super) call_ends: CallEnds,
    /// The room's other deadlines, except its time limit.
    pub(super) deadlines: BTreeSet<(Instant, DueItem)>,
    pub(super) sequence: u64,
    /// The group's revision at the last expulsion.
    pub(super) expelled_at: u64,
    pub(super) typed: BTreeMap<MemberId, TypedKeys>,
    pub(super) floor: Floor,
    pub(super) sounds: PendingSounds,
    /// Members that leave by the current command; empty between commands.
    pub(super) leavers: Vec<Leaver>,
    /// None if no member has asked for a recording.
    pub(super) recording: Option<Box<RoomRecording>>,
    /// The calls that the room makes, if it makes some.
    pub(super) dial: Option<Box<DialState>>,
    /// The reply of the current command; boxed, since most rooms get no asks.
    pub(super) reply: Option<Box<(AskTicket, Outcome)>>,
}

// One machine has many rooms.
const _: () = assert!(size_of::<Conference>() <= 360);

/// Settings of all conferences.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The most members of a room; `maxMembers` can only lower it.
    pub members_max: usize,
    /// The most asks in a room's queue; further ones get `Busy`.
    pub asks_max: usize,
    /// For tests: the number of fault points that the machine passes before one panics.
    pub inject_fault_after: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { members_max: MEMBERS_MAX, asks_max: ASKS_MAX, inject_fault_after: None }
    }
}

/// A command to a room of this size is answered within some tens of milliseconds.
const MEMBERS_MAX: usize = 10_000;

/// Enough for simultaneous asks about many members of a large room.
const ASKS_MAX: usize = 256;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RoomPhase {
    /// No member that starts the room has entered; all hear their wait sounds.
    Waiting,
    Live,
    Over,
}

/// The time limit of the room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RoomTimeLimit {
    /// The first member's default: no member has stated a limit.
    Default(Instant),
    /// A member has stated 0 and no member another limit, or there is no default.
    None,
    Stated(Instant),
}

/// The subject of a deadline.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum DueItem {
    /// A callee has not confirmed in time.
    Confirm(MemberId),
    /// Forget the keys that a member has typed.
    Digits(MemberId),
    /// Give up on a sound document.
    Fetch(u32),
    /// The callees of an invitation that have not answered end; named by its first one.
    Ring(MemberId),
}

impl Conference {
    /// An empty room. It ends when its last member leaves.
    pub fn new(now: Instant, incarnation: Arc<Incarnation>, settings: &Settings) -> Self {
        Self {
            incarnation,
            phase: RoomPhase::Waiting,
            created_at: now,
            limit: RoomTimeLimit::None,
            members_cap: settings.members_max.try_into().unwrap_or(u32::MAX),
            members_max: None,
            fault_countdown: settings
                .inject_fault_after
                .map(|it| NonZeroU32::MIN.saturating_add(it)),
            members: BTreeMap::new(),
            moderators: 0,
            kept: 0,
            changed: Vec::new(),
            call_ends: CallEnds::new(now),
            deadlines: BTreeSet::new(),
            sequence: 0,
            expelled_at: 0,
            typed: BTreeMap::new(),
            floor: Floor::default(),
            sounds: PendingSounds::default(),
            leavers: Vec::new(),
            recording: None,
            dial: None,
            reply: None,
        }
    }

    /// Whether this member is in the room.
    pub fn has(&self, member: MemberId) -> bool {
        self.members.contains_key(&member)
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody has entered yet, or all have left.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The name and id of the room.
    pub fn incarnation(&self) -> &Arc<Incarnation> {
        &self.incarnation
    }

    /// The id of this incarnation.
    pub fn id(&self) -> RoomId {
        self.incarnation.id
    }

    /// Handles one command completely, and appends its effects in order.
    ///
    /// A call is never in a local variable where code can panic: it moves from the command into the
    /// room and from there into the effects, and all three survive unwinding.
    pub fn handle(&mut self, now: Instant, command: Command, effects: &mut VecDeque<Effect>) {
        match command {
            Command::Enter { member, call, entry } => {
                let it = Member::new(self.age(now), call, entry);
                self.insert_member(member, Box::new(it));
                self.enter(now, member, effects);
            }
            Command::Ask { ticket, ask } => {
                // The reply if the next line panics.
                self.reply = Some(Box::new((ticket, Err(Refusal::Fault))));
                let outcome = self.answer(now, ask, effects);
                self.reply.as_mut().expect("it was just set").1 = outcome;
            }
            Command::Close => self.take_out_all(&Cause::Drained.into()),
            Command::Dial { member, call, options, callees } => {
                self.dial(now, member, call, options, callees, effects);
            }
            Command::Invite { ticket, callees, terms, flow } => {
                self.reply = Some(Box::new((ticket, Err(Refusal::Fault))));
                let outcome = self.invite(now, callees, terms, flow, effects);
                self.reply.as_mut().expect("it was just set").1 = outcome;
            }
            Command::HangUp { member, cause } => match self.has(member) {
                true => self.take_out(member, &cause.into()),
                false => self.hang_up_callee(now, member, cause, effects),
            },
            Command::Report { member, heard } => self.hear(now, member, heard, effects),
            Command::Sounds { number, program } => {
                self.sounds_fetched(now, number, program, effects);
            }
            Command::Tick => self.expire(now, effects),
        }
        self.maybe_inject_fault();
        self.cascade();
        self.settle_dial(now, effects);
        self.maybe_inject_fault();
        self.conclude(now, effects);
    }

    /// Ends the room after a panic; the members that are left continue their flows.
    pub fn salvage(&mut self, now: Instant, effects: &mut VecDeque<Effect>) {
        if let Some(reply) = &mut self.reply {
            reply.1 = Err(Refusal::Fault);
        }
        self.take_out_all(&Cause::Fault.into());
        self.settle_dial(now, effects);
        self.conclude(now, effects);
    }

    /// The time of the next [`Command::Tick`].
    pub fn deadline(&self) -> Option<Instant> {
        let due = self.deadlines.first().map(|(at, _)| *at);
        due.into_iter().chain(self.call_ends.first()).chain(self.ends_at()).min()
    }

    fn ends_at(&self) -> Option<Instant> {
        match self.limit {
            RoomTimeLimit::Default(at) | RoomTimeLimit::Stated(at) => Some(at),
            RoomTimeLimit::None => None,
        }
    }

    pub(super) fn insert_member(&mut self, id: MemberId, member: Box<Member>) {
        self.moderators += u32::from(member.moderates() == Some(true));
        self.kept += u32::from(member.call.is_kept());
        self.members.insert(id, member);
    }

    pub(super) fn enter(&mut self, now: Instant, id: MemberId, effects: &mut VecDeque<Effect>) {
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
        self.call_ends.add(call_ends_at, id);
        self.note_changed(id);
        let is_first = self.members.len() == 1;
        self.set_time_limit(&entry, is_first);
        if self.members_max.is_none() {
            self.members_max = entry.members_max.map(|it| it.min(self.members_cap));
        }

        let who = self.members[&id].info(id);
        let group = entry.guard.map(|it| it.group);
        self.publish(ConferenceEvent::Entered { who, is_first, group }, effects);
        if entry.muted {
            effects.push_back(
                AudioOrder::Mute { room: self.id(), calls: vec![call], on: true }.into(),
            );
        }
        let others = match self.phase {
            RoomPhase::Waiting if starts => {
                self.phase = RoomPhase::Live;
                self.floor.is_stale = true;
                self.publish(ConferenceEvent::Started, effects);
                self.members.keys().copied().filter(|it| *it != id).collect()
            }
            // The member who was alone hears the room now.
            RoomPhase::Live if self.members.len() == 2 => {
                self.members.keys().copied().filter(|it| *it != id).collect()
            }
            RoomPhase::Live | RoomPhase::Over | RoomPhase::Waiting => Vec::new(),
        };
        self.maybe_inject_fault();
        self.update_listening(others.into_iter().chain([id]), effects);
        // A member who is alone has the floor; nobody else who enters a live room changes it.
        self.floor.is_stale |= is_first;
        if self.phase == RoomPhase::Live {
            let requester = SoundRequester::from(&*self.members[&id].call);
            let cue = entry.enter_sound.clone().map(|cue| (cue, requester));
            self.play_cues(now, SoundMoment::Enter, Some(id), cue, effects);
        }
        self.ask_for_recording(id, effects);
    }

    /// Updates the time limit: the earliest limit that a member states wins, defaults do not count.
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

    /// Lets members hear the others, or their wait sound before the room's start and while alone.
    pub(super) fn update_listening(
        &mut self,
        ids: impl Iterator<Item = MemberId>,
        effects: &mut VecDeque<Effect>,
    ) {
        let is_alone = self.members.len() == 1;
        let mut calls = Vec::new();
        let mut waiting = Vec::new();
        for id in ids {
            let member = self.members.get_mut(&id).expect("a current member");
            let has_sound = member.entry.wait_sound.is_some();
            let waits = (is_alone && has_sound) || member.hold != Hold::Off;
            let is_in = self.phase == RoomPhase::Live && !waits;
            let listening = if is_in { Listening::Room } else { Listening::Wait };
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

    /// Takes a report on a member's call. A report on a member who has left is stale.
    fn hear(
        &mut self,
        now: Instant,
        id: MemberId,
        heard: LegEvent,
        effects: &mut VecDeque<Effect>,
    ) {
        if !self.members.contains_key(&id) {
            return self.callee_heard(now, id, heard, effects);
        }
        match heard {
            LegEvent::Digit(digit) => self.digit(now, id, digit, effects),
            LegEvent::Hold(on) => {
                let member = self.members.get_mut(&id).expect("just seen");
                member.held = on;
                self.note_changed(id);
                self.floor.permit(id, self.members[&id].may_speak());
            }
            LegEvent::HungUp => self.take_out(id, &Cause::CallerLeft.into()),
            LegEvent::MediaLost => self.take_out(id, &Cause::MediaLost.into()),
            // A room waits for none of its orders, and its members are answered.
            LegEvent::Answered
            | LegEvent::EarlyMedia
            | LegEvent::EarlyMediaOver
            | LegEvent::Failed(_)
            | LegEvent::Finished(_)
            | LegEvent::Ringing
            | LegEvent::Waits(_) => (),
            LegEvent::Talk(on) => self.floor.talk(id, on, self.members[&id].may_speak()),
        }
    }

    fn expire(&mut self, now: Instant, effects: &mut VecDeque<Effect>) {
        while let Some(&(_, due)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            self.deadlines.pop_first();
            match due {
                DueItem::Confirm(callee) => self.confirm_late(now, callee, effects),
                DueItem::Ring(first) => self.ring_late(now, first, effects),
                DueItem::Digits(member) => drop(self.typed.remove(&member)),
                DueItem::Fetch(number) => self.sounds.forget(number),
            }
        }
        self.end_expired_calls(now);
        if self.ends_at().is_some_and(|at| at <= now) {
            self.take_out_all(&Cause::TimeUp.into());
        }
    }

    /// The time since the room's creation.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.created_at)
    }

    pub(super) fn everybody(&self) -> impl Iterator<Item = (MemberId, &Member)> {
        self.members.iter().map(|(id, member)| (*id, &**member))
    }

    /// Takes out the calls whose time is up, in the order of their ends.
    fn end_expired_calls(&mut self, now: Instant) {
        let members = self.members.iter().map(|(id, it)| (it.call.ends_at, *id));
        for id in self.call_ends.take_due(now, members) {
            self.take_out(id, &Cause::CallTimeUp.into());
        }
    }

    /// Ends the room at this time: the two of a `<Dial>` have talked long enough.
    pub(super) fn set_conversation_limit(&mut self, at: Instant) {
        self.limit = RoomTimeLimit::Stated(at);
    }

    pub(super) fn forget_deadlines(&mut self) {
        self.limit = RoomTimeLimit::None;
        self.call_ends.clear();
        self.deadlines.clear();
    }

    pub(super) fn add_deadline(&mut self, at: Instant, due: DueItem) {
        self.deadlines.insert((at, due));
    }

    pub(super) fn remove_deadline(&mut self, at: Instant, due: DueItem) {
        self.deadlines.remove(&(at, due));
    }

    pub(super) fn publish(&mut self, event: ConferenceEvent, effects: &mut VecDeque<Effect>) {
        if self.is_private() {
            return;
        }
        let sequence = self.reserve_sequence(1);
        effects.push_back(Effect::Publish(Notice { sequence, event }));
    }

    /// Reserves numbers for `notices` notices, and returns the first.
    pub(super) fn reserve_sequence(&mut self, notices: u64) -> u64 {
        self.sequence += notices;
        self.sequence + 1 - notices
    }

    pub(super) fn is_live(&self) -> bool {
        self.phase == RoomPhase::Live
    }

    pub(super) fn maybe_inject_fault(&mut self) {
        let Some(left) = &mut self.fault_countdown else { return };
        *left = NonZeroU32::new(left.get() - 1).expect(INJECTED_FAULT);
    }
}

/// The panic text of an injected fault; tests tell it from a bug by this.
pub const INJECTED_FAULT: &str = "injected fault";

impl From<AudioOrder> for Effect {
    fn from(order: AudioOrder) -> Self {
        Self::Media(order)
    }
}
