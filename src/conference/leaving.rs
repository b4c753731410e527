//! Leaving a conference: exits, their consequences for other members, and the order of effects.
//!
//! The order: all out of the mix → all exits published → the name freed → all calls released → the
//! reply → the end. (The engine writes and publishes all notices before it performs the rest.)

use std::{collections::VecDeque, mem, time::Instant};

use super::{
    Conference, ConferenceEvent, Effect, Leave, SoundMoment,
    effect::{LeavePhase, exit_cues},
    member::Leaver,
    pending_sounds::SoundRequester,
    state::{DueItem, RoomPhase},
};
use crate::{
    base::ids::{CallId, MemberId},
    flow::{Cause, ConferenceSound, Exit},
    media::AudioOrder,
};

impl Conference {
    pub(super) fn take_out(&mut self, id: MemberId, exit: &Exit) {
        let Some(member) = self.members.remove(&id) else { return };
        self.moderators -= u32::from(member.moderates() == Some(true));
        self.kept -= u32::from(member.call.is_kept());
        if let Some(typed) = self.typed.remove(&id) {
            self.deadlines.remove(&(typed.ends_at, DueItem::Digits(id)));
        }
        self.floor.left(id);
        self.leavers.push(Leaver { id, member, exit: exit.clone() });
    }

    pub(super) fn take_out_all(&mut self, exit: &Exit) {
        let leaver = |(id, member)| Leaver { id, member, exit: exit.clone() };
        self.leavers.extend(mem::take(&mut self.members).into_iter().map(leaver));
        (self.moderators, self.kept) = (0, 0);
        // What is left are sounds that are on their way.
        self.deadlines.retain(|(_, due)| matches!(due, DueItem::Fetch(_)));
        self.typed.clear();
        self.floor.all_left();
    }

    /// Takes out the members that must leave because others left: all if that ends the room, else
    /// one who is alone.
    pub(super) fn cascade(&mut self) {
        let mut left = self.leavers.iter().map(|it| &it.member).filter(|it| it.announced);
        if left.any(|member| member.entry.ends) || self.is_without_moderators() {
            return self.take_out_all(&Cause::Ended.into());
        }
        // Somebody left, so a member who is the only one now was not alone before.
        let somebody_left = self.leavers.iter().any(|it| it.member.announced);
        if somebody_left
            && let Some((&id, only)) = self.members.first_key_value()
            && self.members.len() == 1
            && !only.entry.stays_alone
        {
            self.take_out(id, &Cause::Alone.into());
        }
    }

    /// Emits the effects of leaving, the floor and the reply, in the order that this file's head
    /// gives.
    pub(super) fn conclude(&mut self, now: Instant, effects: &mut VecDeque<Effect>) {
        let is_over = self.members.is_empty() && self.phase != RoomPhase::Over;
        if is_over || !self.leavers.is_empty() {
            self.leave(now, is_over, effects);
        }
        self.give_floor(effects);
        let reply = self.reply.take();
        effects.extend(reply.map(|reply| {
            let (ticket, outcome) = *reply;
            Effect::Reply { ticket, outcome }
        }));
        if is_over {
            self.phase = RoomPhase::Over;
            self.forget_deadlines();
            effects.push_back(Effect::Stop);
        }
    }

    fn leave(&mut self, now: Instant, is_over: bool, effects: &mut VecDeque<Effect>) {
        let members = || self.leavers.iter().map(|it| &*it.member).filter(|it| it.announced);
        let mut calls: Vec<CallId> = Vec::with_capacity(self.leavers.len());
        calls.extend(members().map(|it| it.call.id));
        let left = calls.len();
        if 0 < left {
            // Nobody is left to hear exit sounds when the room is over.
            let cues = if is_over { Vec::new() } else { exit_cues(members()) };
            effects.push_back(AudioOrder::Remove { room: self.id(), calls }.into());
            self.sound_exit(now, cues, effects);
            if !is_over {
                self.update_recording(effects);
            }
        }
        let mut leavers = mem::take(&mut self.leavers);
        let mut told = left;
        if self.is_private() {
            leavers.iter_mut().for_each(|it| it.member.announced = false);
            told = 0;
        }
        let notices = told as u64 + u64::from(is_over && !self.is_private());
        let first = self.reserve_sequence(notices);
        effects.push_back(Effect::Leave(Leave {
            leavers: leavers.into(),
            exits_seen: 0,
            exits_left: told,
            next_sequence: first,
            release_sequence: first,
            phase: match (self.is_private(), is_over) {
                (true, true) => LeavePhase::Name,
                (true, false) => LeavePhase::Releases,
                (false, is_over) => LeavePhase::Exits { is_over },
            },
        }));
    }

    /// Lets a member who is alone now hear their wait sound, and plays each exit sound once.
    fn sound_exit(
        &mut self,
        now: Instant,
        cues: Vec<(ConferenceSound, SoundRequester)>,
        effects: &mut VecDeque<Effect>,
    ) {
        if self.members.is_empty() || !self.is_live() {
            return;
        }
        if self.members.len() == 1 {
            let only: Vec<_> = self.members.keys().copied().collect();
            self.update_listening(only.into_iter(), effects);
        }
        self.play_cues(now, SoundMoment::Exit, None, cues, effects);
    }

    /// Gives the floor to another member if needed.
    ///
    /// A member who is alone in a started room and may speak gets it without speaking.
    pub(super) fn give_floor(&mut self, effects: &mut VecDeque<Effect>) {
        if !mem::take(&mut self.floor.is_stale) || !self.is_live() {
            return;
        }
        let may_speak = |id: &MemberId| self.members.get(id).is_some_and(|it| it.may_speak());
        let holder = self.floor.holder.filter(may_speak);
        if holder.is_some_and(|id| self.floor.talks(id)) {
            return;
        }
        let talker = self.floor.first_speaker();
        let only = self.members.keys().copied().next().filter(|_| self.members.len() == 1);
        let next = talker.or(holder).or_else(|| only.filter(may_speak));
        let is_new = next != self.floor.holder;
        self.floor.holder = next;
        if let Some(member) = next.filter(|_| is_new) {
            let who = self.members[&member].info(member);
            self.publish(ConferenceEvent::FloorTaken { who }, effects);
        }
    }
}
