//! Leaving a conference: who goes, whom that takes along, and in which order it is done.
//!
//! All out of the mix → all exits → the name → all go on → the answer → the end.

use std::{collections::VecDeque, mem, time::Instant};

use super::{
    Conference, ConferenceEvent, Effect, Notice, SoundMoment,
    member::{Leaver, Member},
    sounds::SoundRequester,
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
        if let Some(typed) = self.typed.remove(&id) {
            self.deadlines.remove(&(typed.ends_at, DueItem::Digits(id)));
        }
        self.floor.left(id);
        self.leavers.push(Leaver { id, member, exit: exit.clone() });
    }

    pub(super) fn take_out_all(&mut self, exit: &Exit) {
        let leaver = |(id, member)| Leaver { id, member, exit: exit.clone() };
        self.leavers.extend(mem::take(&mut self.members).into_iter().map(leaver));
        // What is left are sounds that are on their way.
        self.deadlines.retain(|(_, due)| matches!(due, DueItem::Fetch(_)));
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
            let cues = exit_cues(members());
            effects.push_back(AudioOrder::Remove { room: self.id(), calls }.into());
            self.sound_exit(now, cues, effects);
        }
        let first = self.reserve_sequence(left as u64 + u64::from(is_over));
        effects.push_back(Effect::Leave(Leave {
            leavers: mem::take(&mut self.leavers).into(),
            exits_seen: 0,
            exits_left: left,
            next_sequence: first,
            release_sequence: first,
            phase: LeavePhase::Exits { is_over },
        }));
    }

    /// What those who remain hear of the leaving: the wait sound, who is alone now; and the
    /// exit sounds, each once.
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
        self.play_cues(now, SoundMoment::Exit, cues, effects);
    }
}

/// The leaving of some, who may be many: all exits → the name → all go on. Each effect is made when
/// it is its turn, so that to decide on many costs little more than to find them.
#[derive(Debug)]
pub struct Leave {
    leavers: VecDeque<Leaver>,
    /// So many of them have been looked at for their exit.
    exits_seen: usize,
    /// So many exits are still to be told.
    exits_left: usize,
    /// The number of the next notice.
    next_sequence: u64,
    /// The number of the notice of the next exit that is released.
    release_sequence: u64,
    phase: LeavePhase,
}

#[derive(Debug)]
enum LeavePhase {
    Exits { is_over: bool },
    Over,
    Name,
    Releases,
}

impl Leave {
    /// How much there is to do: a notice of each one's exit, and itself.
    pub fn steps(&self) -> usize {
        self.exits_left + self.leavers.len()
    }

    fn notice(&mut self, event: ConferenceEvent) -> Effect {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Effect::Publish(Notice { sequence, event })
    }

    fn exit(&mut self, is_over: bool) -> Option<Effect> {
        let Leaver { id, member, exit } = loop {
            let leaver = self.leavers.get(self.exits_seen)?;
            self.exits_seen += 1;
            if leaver.member.announced {
                break leaver;
            }
        };
        let (who, cause, reason) = (member.info(*id), exit.cause, exit.reason.clone());
        self.exits_left -= 1;
        let is_last = is_over && self.exits_left == 0;
        Some(self.notice(ConferenceEvent::Exited { who, cause, reason, is_last }))
    }

    fn release(&mut self) -> Option<Effect> {
        let Leaver { id: member, member: it, exit } = self.leavers.pop_front()?;
        let Member { call, announced, .. } = *it;
        let sequence = announced.then_some(self.release_sequence);
        self.release_sequence += u64::from(announced);
        Some(Effect::Release { member, call, exit, sequence })
    }
}

impl Iterator for Leave {
    type Item = Effect;

    fn next(&mut self) -> Option<Effect> {
        match self.phase {
            LeavePhase::Exits { is_over } => {
                if let Some(exit) = self.exit(is_over) {
                    return Some(exit);
                }
                self.phase = if is_over { LeavePhase::Over } else { LeavePhase::Releases };
                self.next()
            }
            LeavePhase::Over => {
                self.phase = LeavePhase::Name;
                Some(self.notice(ConferenceEvent::Over))
            }
            LeavePhase::Name => {
                self.phase = LeavePhase::Releases;
                Some(Effect::Unname)
            }
            LeavePhase::Releases => self.release(),
        }
    }
}

/// Equal sounds of one step play once.
fn exit_cues<'a>(
    leavers: impl Iterator<Item = &'a Member>,
) -> Vec<(ConferenceSound, SoundRequester)> {
    let mut cues: Vec<(ConferenceSound, SoundRequester)> = Vec::new();
    for member in leavers {
        let Some(cue) = &member.entry.exit_sound else { continue };
        if cues.iter().all(|(it, _)| it != cue) {
            cues.push((cue.clone(), SoundRequester::from(&*member.call)));
        }
    }
    cues
}
