//! Leaving a conference: who goes, whom that takes along, and in which order it is done.
//!
//! All out of the mix → all exits → the name → all go on → the answer → the end.

use std::{collections::VecDeque, mem, time::Instant};

use super::{
    Conference, Effect, Moment, News, Notice,
    member::{Leaver, Member},
    sounds::Stater,
    state::{Due, Phase},
};
use crate::{
    base::ids::{CallId, MemberId},
    flow::{Cause, Cue, Exit},
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
        let members = || self.leavers.iter().map(|it| &*it.member).filter(|it| it.announced);
        let mut calls: Vec<CallId> = Vec::with_capacity(self.leavers.len());
        calls.extend(members().map(|it| it.call.id));
        let left = calls.len();
        if 0 < left {
            let cues = exit_cues(members());
            effects.push_back(Order::Remove { room: self.id(), calls }.into());
            self.sound_exit(now, cues, effects);
        }
        let first = self.number(left as u64 + u64::from(is_over));
        effects.push_back(Effect::Leave(Leave {
            leavers: mem::take(&mut self.leavers).into(),
            told: 0,
            left,
            tells: first,
            releases: first,
            stage: Stage::Exits { is_over },
        }));
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

/// The leaving of some, who may be many: all exits → the name → all go on. Each effect is made when
/// it is its turn, so that to decide on many costs little more than to find them.
#[derive(Debug)]
pub struct Leave {
    leavers: VecDeque<Leaver>,
    /// So many of them have been looked at for their exit.
    told: usize,
    /// So many exits are still to be told.
    left: usize,
    /// The number of the next notice.
    tells: u64,
    /// The number of the notice of the next exit that is released.
    releases: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Exits { is_over: bool },
    Over,
    Name,
    Releases,
}

impl Leave {
    /// How much there is to do: a notice of each one's exit, and itself.
    pub fn steps(&self) -> usize {
        self.left + self.leavers.len()
    }

    fn tell(&mut self, news: News) -> Effect {
        let sequence = self.tells;
        self.tells += 1;
        Effect::Publish(Notice { sequence, news })
    }

    fn exit(&mut self, is_over: bool) -> Option<Effect> {
        let Leaver { id, member, exit } = loop {
            let leaver = self.leavers.get(self.told)?;
            self.told += 1;
            if leaver.member.announced {
                break leaver;
            }
        };
        let (who, cause, reason) = (member.being(*id), exit.cause, exit.reason.clone());
        self.left -= 1;
        let is_last = is_over && self.left == 0;
        Some(self.tell(News::Exited { who, cause, reason, is_last }))
    }

    fn release(&mut self) -> Option<Effect> {
        let Leaver { id: member, member: it, exit } = self.leavers.pop_front()?;
        let Member { call, announced, .. } = *it;
        let sequence = announced.then_some(self.releases);
        self.releases += u64::from(announced);
        Some(Effect::Release { member, call, exit, sequence })
    }
}

impl Iterator for Leave {
    type Item = Effect;

    fn next(&mut self) -> Option<Effect> {
        match self.stage {
            Stage::Exits { is_over } => {
                if let Some(exit) = self.exit(is_over) {
                    return Some(exit);
                }
                self.stage = if is_over { Stage::Over } else { Stage::Releases };
                self.next()
            }
            Stage::Over => {
                self.stage = Stage::Name;
                Some(self.tell(News::Over))
            }
            Stage::Name => {
                self.stage = Stage::Releases;
                Some(Effect::Unname)
            }
            Stage::Releases => self.release(),
        }
    }
}

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
