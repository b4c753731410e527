//! Commands that a conference takes, and effects that it asks for.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    event::{ConferenceEvent, Notice},
    member::{Leaver, Member},
    pending_sounds::SoundRequester,
    protocol::{Ask, AskTicket, Outcome},
};
use crate::{
    base::ids::{CallId, MemberId, Trusted},
    call::{Call, Party},
    flow::{Cause, ConferenceSound, Exit, JoinOptions},
    media::{LegEvent, Order, Program},
};

/// Everything that can happen to a conference.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// A caller asks; one [`Effect::Reply`] answers.
    Ask {
        /// Comes back with the reply.
        ticket: AskTicket,
        /// What is asked.
        ask: Ask,
    },
    /// The engine shuts down: all leave as drained.
    Close,
    /// A call comes in.
    Enter {
        /// Its place; never used before.
        member: MemberId,
        /// The call.
        call: Box<Call>,
        /// On what terms.
        entry: Arc<JoinOptions>,
    },
    /// A backend reports on a member's call. One on a member who has left is stale.
    Report {
        /// The place that the report was addressed to.
        member: MemberId,
        /// What happened.
        heard: LegEvent,
    },
    /// The engine ends a member's call, whatever its flow wants.
    HangUp {
        /// The place.
        member: MemberId,
        /// Why; a cause that ends calls.
        cause: Cause,
    },
    /// The sound document with this number is here; empty if it cannot be had.
    Sounds {
        /// Of [`Effect::Fetch`].
        number: u32,
        /// What it plays.
        program: Program,
    },
    /// A deadline has passed.
    Tick,
}

/// When a sound of the conference is heard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SoundMoment {
    /// When a member comes (`enterSound`).
    Enter,
    /// When a member goes (`exitSound`).
    Exit,
    /// While a member waits (`waitSound`).
    Wait,
}

impl SoundMoment {
    /// `ConferenceAction` (contract 4.5).
    pub fn text(self) -> &'static str {
        match self {
            Self::Enter => "enterSound",
            Self::Exit => "exitSound",
            Self::Wait => "waitSound",
        }
    }
}

/// Everything a conference can ask of the world, in the order in which it must happen.
#[derive(Debug)]
pub enum Effect {
    /// Bans somebody from this conference, by whatever room, from now on.
    Ban {
        /// The place of whoever is banned; the ban's name.
        member: MemberId,
        /// Who.
        who: Trusted,
        /// In the words of whoever bans.
        reason: Option<Arc<str>>,
        /// For how long.
        length: Duration,
    },
    /// Asks for a sound document on behalf of a member; [`Command::Sounds`] brings it.
    Fetch {
        /// Good within the room; rises.
        number: u32,
        /// `http(s)://…` or `flow:NAME`.
        url: Arc<str>,
        /// The call that stated the URL.
        call: CallId,
        /// Who that is; its dialect's defaults hold in the document.
        party: Arc<Party>,
        /// When it is heard.
        moment: SoundMoment,
    },
    /// Some leave: each of these effects, one after the other.
    Leave(Leave),
    /// Tells the backend.
    Media(Order),
    /// Tells subscribers.
    Publish(Notice),
    /// The name is free again: who joins from now on finds a fresh room.
    Unname,
    /// The call is out; it goes on, or is over, as its exit says.
    Release {
        /// The place it had.
        member: MemberId,
        /// The call.
        call: Box<Call>,
        /// How it left.
        exit: Exit,
        /// The number of the notice of its exit; None if nobody was told that it came.
        sequence: Option<u64>,
    },
    /// Answers an ask.
    Reply {
        /// Whose.
        ticket: AskTicket,
        /// The answer.
        outcome: Outcome,
    },
    /// The room is over: what still waits in its queue goes elsewhere.
    Stop,
}

impl Effect {
    /// How much there is to do.
    pub fn steps(&self) -> usize {
        match self {
            Self::Leave(leave) => leave.steps(),
            Self::Media(order) => order.calls().len(),
            Self::Ban { .. } | Self::Fetch { .. } | Self::Publish(_) | Self::Release { .. } => 1,
            Self::Reply { .. } | Self::Stop | Self::Unname => 1,
        }
    }
}

/// The leaving of some, who may be many: all exits → the name → all go on. Each effect is made when
/// it is its turn, so that to decide on many costs little more than to find them.
#[derive(Debug)]
pub struct Leave {
    pub(super) leavers: VecDeque<Leaver>,
    /// So many of them have been looked at for their exit.
    pub(super) exits_seen: usize,
    /// So many exits are still to be told.
    pub(super) exits_left: usize,
    /// The number of the next notice.
    pub(super) next_sequence: u64,
    /// The number of the notice of the next exit that is released.
    pub(super) release_sequence: u64,
    pub(super) phase: LeavePhase,
}

#[derive(Debug)]
pub(super) enum LeavePhase {
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
pub(super) fn exit_cues<'a>(
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
