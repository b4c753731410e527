//! Restore: builds the calls and rooms of the last process again from their rows, puts them back to
//! work, and tells the media engine what each call hears.
//!
//! The backends have opened the dialogs and legs first; a call whose dialog does not stand has lost
//! its caller. Members hear their rooms before anything else happens.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
    time::Instant,
};

pub use super::restorable::{PlannedPlace, RestorePlan, without_simulated};
use super::{
    conference,
    recorder::RestoreAttempt,
    registry::{CallPlace, Observed, Registry},
    restorable::{ReleasedCall, RestorableRoom},
    room_queue::RoomHandle,
    room_rows::RoomRows,
};
use crate::{
    base::{
        boot_clock::BootClock,
        ids::{CallId, MemberId, RoomId},
    },
    call::{Call, CallAct, MemberRow, PastMembership},
    flow::{Cause, Exit},
    group::GroupId,
};

/// What a start knows of the calls that it restores.
#[derive(Clone, Copy, Debug)]
pub struct RestoreFacts<'a> {
    /// The calls whose dialogs stand.
    pub stands: &'a BTreeSet<CallId>,
    /// The number of the last notice of each room that goes on.
    pub sequences: &'a BTreeMap<RoomId, u64>,
    /// 1 or more: how many restores in a row. What is being restored is noted with it.
    pub attempt: u8,
}

/// What a restore has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Restored {
    /// Calls that go on.
    pub calls: usize,
    /// Calls that end, since their callers have left meanwhile.
    pub left: usize,
    /// Rooms that go on.
    pub rooms: usize,
}

impl Registry {
    /// Carries out a plan. The calls are in the journal already, and the events of others that were in
    /// their rooms are told.
    pub fn restore(
        self: &Arc<Self>,
        now: Instant,
        mut plan: RestorePlan,
        facts: RestoreFacts<'_>,
    ) -> Restored {
        let mut done = Restored { rooms: plan.rooms.len(), ..Restored::default() };
        let Some(clock) = plan.clock else { return done };
        for call in plan.each_call() {
            let stands = facts.stands.contains(&call.id);
            (done.calls, done.left) =
                (done.calls + usize::from(stands), done.left + usize::from(!stands));
            self.places.of_call(call.id).register(call.id);
            self.note_resumed(call);
            let document = call.document_row().filter(|_| call.is_kept());
            document.into_iter().for_each(|(key, text)| self.hold_document(key, text));
        }
        let (useless, done_with) = mem::take(&mut plan.gone);
        self.record(Vec::new(), useless);
        let mut actors = Vec::with_capacity(plan.rooms.len() + plan.pairs.len());
        for (id, room) in mem::take(&mut plan.rooms) {
            self.note_unit(facts.attempt, id.0.as_u128());
            let sequence = facts.sequences.get(&id).copied();
            actors.push(self.restore_room(now, clock, room, (sequence, &facts, &plan.ending)));
        }
        for (id, pair) in mem::take(&mut plan.pairs) {
            self.note_unit(facts.attempt, id.0.as_u128());
            actors.extend(self.restore_pair(now, clock, pair, &facts, &plan.ending));
        }
        // They may come into the rooms, and their exits are in rows that the rooms write again.
        for released in mem::take(&mut plan.left) {
            self.note_unit(facts.attempt, released.call.id.0.as_u128());
            let exit = end_of(&released.call, &facts, &plan.ending);
            self.release(now, released, exit);
        }
        for actor in actors {
            self.links.spawner.spawn_room(Box::new(actor));
        }
        for mut call in mem::take(&mut plan.alone) {
            self.note_unit(facts.attempt, call.id.0.as_u128());
            let mut effects = Vec::new();
            match end_of(&call, &facts, &plan.ending) {
                Some(cause) => {
                    let act = CallAct::End(call.ending(&cause.into()));
                    self.go_on(now, call, act, &mut effects);
                }
                None => match call.resume(now, &mut effects) {
                    CallAct::Stay => self.settle(call, &mut effects, 2),
                    act @ (CallAct::Dial(_) | CallAct::End(_) | CallAct::Join { .. }) => {
                        self.go_on(now, call, act, &mut effects);
                    }
                },
            }
        }
        if 0 < done.calls + done.left {
            self.note_unit(facts.attempt, 0);
        }
        self.record(Vec::new(), done_with);
        done
    }

    /// Notes what is being restored: if the process dies of it, the next one does without.
    fn note_unit(&self, attempt: u8, unit: u128) {
        self.record(Vec::new(), vec![RestoreAttempt { attempt, unit }.row()]);
    }

    fn restore_room(
        self: &Arc<Self>,
        now: Instant,
        clock: BootClock,
        room: RestorableRoom,
        (sequence, facts, ending): (Option<u64>, &RestoreFacts<'_>, &BTreeSet<CallId>),
    ) -> conference::RoomActor {
        let RestorableRoom { row, members, leavers } = room;
        let leavers = leavers.into_iter().map(|(_, member, exit)| (member, exit));
        let mut leavers: Vec<_> = leavers.collect();
        let (key, id, group) = (row.room.key.clone(), row.room.id, row.group);
        let leave: BTreeSet<_> = leavers.iter().map(|(id, _)| *id).collect();
        for (call, MemberRow { member, .. }) in &members {
            if !leave.contains(member)
                && let Some(cause) = self.must_leave(call, group, facts, ending)
            {
                leavers.push((*member, cause.into()));
            }
        }
        let places: Vec<_> = members.iter().map(|(call, row)| (call.id, row.member)).collect();
        let sequence = sequence.unwrap_or(row.sequence);
        let has_lost = sequence != row.sequence && leave.is_empty();
        let mut machine = row.restore(now, clock, sequence, members);
        let mut effects = VecDeque::new();
        machine.resume(now, leavers, has_lost, &mut effects);
        if cfg!(debug_assertions) {
            machine.check();
        }
        let asks_max = self.settings.read().asks_max;
        let rows = RoomRows::restored(group);
        let (room, actor) = conference::run(machine, effects, rows, asks_max, self.clone());
        for (call, member) in places {
            self.place(call, &room, member);
        }
        self.names.of(&key).open(key.clone(), id, group, room);
        actor
    }

    pub(super) fn place(&self, call: CallId, room: &Arc<RoomHandle>, member: MemberId) {
        let place = CallPlace::Room { room: room.clone(), member };
        // Nobody could hang it up before now.
        if let Err(cause) = self.places.of_call(call).move_to(call, place) {
            room.hang_up(member, cause);
        }
    }

    /// Why a member does not stay: its caller or a request has ended the call, or it was removed from
    /// the group that guards the room.
    fn must_leave(
        &self,
        call: &Call,
        group: Option<GroupId>,
        facts: &RestoreFacts<'_>,
        ending: &BTreeSet<CallId>,
    ) -> Option<Cause> {
        let is_admitted = || {
            let Some((group, _)) = group.zip(call.admission.as_ref()) else { return true };
            let lists = self.access_lists.read();
            let who = call.party.trusted.as_deref().zip(lists.get(&call.account));
            who.is_some_and(|(who, list)| list.admit(group, who).is_some())
        };
        end_of(call, facts, ending).or_else(|| (!is_admitted()).then_some(Cause::GroupKicked))
    }

    /// Lets a call go on that has left a room.
    fn release(self: &Arc<Self>, now: Instant, released: ReleasedCall, ends: Option<Cause>) {
        let ReleasedCall { mut call, room, member, exit, sequence } = released;
        let mut effects = Vec::new();
        let membership = sequence.map(|sequence| PastMembership { room, member, sequence });
        let exit = match ends.filter(|_| !exit.ends_call()) {
            Some(cause) => Exit { dialled: exit.dialled, ..cause.into() },
            None => {
                let (id, by) = (call.id, None);
                self.observe(Observed::Left { call: id, member, exit: exit.clone(), by });
                exit
            }
        };
        let act = call.left(now, &exit, membership, &mut effects);
        self.go_on(now, call, act, &mut effects);
    }
}

/// Why a call ends: its caller has left meanwhile, or a request has ended it.
pub(super) fn end_of(
    call: &Call,
    facts: &RestoreFacts<'_>,
    ending: &BTreeSet<CallId>,
) -> Option<Cause> {
    if ending.contains(&call.id) {
        return Some(Cause::HungUpByApi);
    }
    (!facts.stands.contains(&call.id)).then_some(Cause::CallerLeft)
}
