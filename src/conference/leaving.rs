//! Leaving a conference: who goes, whom that takes along, and in which order it is done.
//!
//! All out of the mix → all exits → the name → all go on → the answer → the end.

use std::{collections::VecDeque, mem, time::Instant};

use super::{
    Conference, Effect, Moment, News,
    member::{Leaver, Member},
    sounds::Stater,
    state::{Due, Phase},
};
use crate::{
    flow::{Cause, Cue, Exit},
    ids::{CallId, MemberId},
    media::Order,
};

impl Conference {
    pub(super) fn take_out(&mut self, id: MemberId, exit: &Exit) {
        let Some(member) = self.members.remove(&id) else { return };
        if let Some(typed) = self.typed.remove(&id) {
            self.deadlines.remove(&(typed.ends_at, Due::Digits(id)));
        }
        self.floor.left(id);
        self.leavers.push(Leaver { id, member, exit: exit.clone() });
    }

    pub(super) fn take_out_all(&mut self, exit: &Exit) {
        let leaver = |(id, member)| Leaver { id, member, exit: exit.clone() };
        self.leavers.extend(mem::take(&mut self.members).into_iter().map(leaver));
        // What is left are sounds that are on their way.
        self.deadlines.retain(|(_, due)| matches!(due, Due::Fetch(_)));
        self.typed.clear();
        self.floor.all_left();
    }

    /// Who has left may take others along: the room's end before one's loneliness.
    pub(super) fn cascade(&mut self) {
        let mut left = self.leavers.iter().map(|it| &it.member).filter(|it| it.announced);
        if left.any(|member| member.entry.ends) || self.is_without_moderators() {
            return self.take_out_all(&Cause::Ended.into());
        }
        // So whoever is the only one now has had company.
        let somebody_left = self.leavers.iter().any(|it| it.member.announced);
        if somebody_left
            && let Some((&id, only)) = self.members.first_key_value()
            && self.members.len() == 1
            && !only.entry.stays_alone
        {
            self.take_out(id, &Cause::Alone.into());
        }
    }

    /// All out of the mix → all exits → the name → all go on → the answer → the end.
    pub(super) fn conclude(&mut self, now: Instant, effects: &mut VecDeque<Effect>) {
        let is_over = self.members.is_empty() && self.phase != Phase::Over;
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
            self.phase = Phase::Over;
            self.forget_deadlines();
            effects.push_back(Effect::Stop);
        }
    }

    fn leave(&mut self, now: Instant, is_over: bool, effects: &mut VecDeque<Effect>) {
        let leavers = mem::take(&mut self.leavers);
        let announced = || leavers.iter().filter(|it| it.member.announced);
        let mut calls: Vec<CallId> = Vec::with_capacity(leavers.len());
        calls.extend(announced().map(|it| it.member.call.id));
        effects.reserve(EFFECTS_PER_LEAVER * leavers.len() + EFFECTS_MORE);
        let mut left = calls.len();
        if 0 < left {
            effects.push_back(Order::Remove { room: self.id(), calls }.into());
            self.sound_exit(now, exit_cues(announced().map(|it| &*it.member)), effects);
        }
        let mut sequence = self.sequence_last();
        for Leaver { id, member, exit } in announced() {
            left -= 1;
            let (who, cause, reason) = (member.being(*id), exit.cause, exit.reason.clone());
            let is_last = is_over && left == 0;
            self.publish(News::Exited { who, cause, reason, is_last }, effects);
        }
        if is_over {
            self.publish(News::Over, effects);
            effects.push_back(Effect::Unname);
        }
        for Leaver { id: member, member: it, exit } in leavers {
            let Member { call, announced, .. } = *it;
            sequence += u64::from(announced);
            let sequence = announced.then_some(sequence);
            effects.push_back(Effect::Release { member, call, exit, sequence });
        }
    }

    /// What those who remain hear of the leaving: the wait sound, who is alone now; and the
    /// exit sounds, each once.
    fn sound_exit(
        &mut self,
        now: Instant,
        cues: Vec<(Cue, Stater)>,
        effects: &mut VecDeque<Effect>,
    ) {
        if self.members.is_empty() || !self.is_live() {
            return;
        }
        if self.members.len() == 1 {
            let only: Vec<_> = self.members.keys().copied().collect();
            self.seat(only.into_iter(), effects);
        }
        self.cue(now, Moment::Exit, cues, effects);
    }
}

/// A notice of its exit, and itself.
const EFFECTS_PER_LEAVER: usize = 2;
/// The mix, the end, the answer.
const EFFECTS_MORE: usize = 8;

/// Equal sounds of one step play once.
fn exit_cues<'a>(leavers: impl Iterator<Item = &'a Member>) -> Vec<(Cue, Stater)> {
    let mut cues: Vec<(Cue, Stater)> = Vec::new();
    for member in leavers {
        let Some(cue) = &member.entry.exit_sound else { continue };
        if cues.iter().all(|(it, _)| it != cue) {
            cues.push((cue.clone(), Stater::from(&*member.call)));
        }
    }
    cues
}
