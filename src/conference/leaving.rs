//! Leaving a conference: exits, their consequences for other members, and the order of effects.
//!
//! The order: all out of the mix → all exits published → the name freed → all calls released → the
//! reply → the end.

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
    media::Order,
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
            let cues = exit_cues(members());
            effects.push_back(Order::Remove { room: self.id(), calls }.into());
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
        self.play_cues(now, SoundMoment::Exit, cues, effects);
    }
}

/// The effects of members who leave: all exits → the name → all releases. Each effect is made when
/// it is performed, so that a decision on many members costs little more than finding them.
#[derive(Debug)]
pub struct Leave {
    leavers: VecDeque<Leaver>,
    /// The number of leavers whose exit has been handled.
    exits_seen: usize,
    /// The number of exits still to be published.
    exits_left: usize,
    next_sequence: u64,
    /// The number of the exit notice of the next call to be released.
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
    /// Steps left: a notice and a release for each leaver.
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

/// The exit sounds of the leavers, without duplicates.
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
