//! Commands that a conference takes, and effects that it asks for.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    event::{ConferenceEvent, DialEvent, MemberInfo, Notice},
    member::{Leaver, Member},
    pending_sounds::SoundRequester,
    protocol::{Ask, AskTicket, Outcome},
};
use crate::{
    base::ids::{CallId, MemberId, Trusted},
    call::{Call, CallEvent, Party},
    flow::{
        CalleeTerms, Cause, ConferenceSound, DialOptions, Exit, Flow, JoinOptions,
        PendingRecording, RecordingFormat,
    },
    media::{AudioOrder, Ending, LegEvent, Program, SignallingOrder},
};

/// A command to a conference: nothing else changes its state.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// An ask; exactly one [`Effect::Reply`] answers it.
    Ask {
        /// The reply carries it.
        ticket: AskTicket,
        /// What to do or to report.
        ask: Ask,
    },
    /// Takes all members out as `drained`: the engine shuts down.
    Close,
    /// A call calls others: the first command to the room of a `<Dial>`.
    Dial {
        /// The caller's member id, never used before.
        member: MemberId,
        /// The caller, until its release.
        call: Box<Call>,
        /// The options of its `<Dial>`.
        options: Arc<DialOptions>,
        /// The callees, until each ends or is released.
        callees: Vec<NewCallee>,
    },
    /// Calls somebody into the room; exactly one [`Effect::Reply`] answers it.
    Invite {
        /// The reply carries it.
        ticket: AskTicket,
        /// The callees, until each ends or is let in. The first that accepts wins.
        callees: Vec<NewCallee>,
        /// How they ring and accept.
        terms: Arc<CalleeTerms>,
        /// The document that the winner runs: one `<Conference>`.
        flow: Arc<Flow>,
    },
    /// A call joins; the room may still refuse it.
    Enter {
        /// Its new member id, never used before.
        member: MemberId,
        /// The call itself, until its release.
        call: Box<Call>,
        /// The options of its `<Conference>`.
        entry: Arc<JoinOptions>,
    },
    /// A backend's report on a member's call. A report on a member who has left is stale.
    Report {
        /// The member that the report is addressed to.
        member: MemberId,
        /// The event of the call's leg.
        heard: LegEvent,
    },
    /// Ends a member's call, whatever its flow says.
    HangUp {
        /// The member whose call ends.
        member: MemberId,
        /// A cause that ends calls.
        cause: Cause,
    },
    /// A sound document has been fetched.
    Sounds {
        /// The number of its [`Effect::Fetch`].
        number: u32,
        /// Its sounds; empty if the fetch failed.
        program: Program,
    },
    /// The time [`super::Conference::deadline`] has passed.
    Tick,
}

/// A callee to be dialled, in a command.
#[derive(Debug, PartialEq)]
pub struct NewCallee {
    /// Its member id, never used before.
    pub member: MemberId,
    /// The call itself, which has not been dialled.
    pub call: Box<Call>,
    /// `sendDigits` of its destination.
    pub digits: Option<Arc<str>>,
    /// `sendOnPreanswer`: they are sent once the callee sends early media.
    pub sends_early: bool,
    /// Why nobody can be called; None if somebody can.
    pub no_route: Option<Ending>,
}

/// The occasion of a conference's sound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SoundMoment {
    /// A callee is asked to confirm (`confirmSound`).
    Confirm,
    /// A member enters (`enterSound`).
    Enter,
    /// A member leaves (`exitSound`).
    Exit,
    /// A member waits (`waitSound`).
    Wait,
}

impl SoundMoment {
    /// `ConferenceAction` of the document's request (contract 4.5).
    pub fn text(self) -> &'static str {
        match self {
            Self::Confirm => "confirmSound",
            Self::Enter => "enterSound",
            Self::Exit => "exitSound",
            Self::Wait => "waitSound",
        }
    }
}

/// An effect of a conference. Effects are performed in order.
#[derive(Debug)]
pub enum Effect {
    /// Lets a callee in that has accepted, or refuses it as every call that joins.
    Admit {
        /// The member id that it will have.
        member: MemberId,
        /// The call itself, to come back in [`Command::Enter`].
        call: Box<Call>,
        /// The document that it runs.
        flow: Arc<Flow>,
    },
    /// Bans an identity from this conference, future incarnations included, from now on.
    Ban {
        /// The member id of the banned call, which becomes the ban's id.
        member: MemberId,
        /// The identity that is banned.
        who: Trusted,
        /// The requester's text, if any.
        reason: Option<Arc<str>>,
        /// From now, at most [`super::ban_list::BAN_MAX`].
        length: Duration,
    },
    /// Publishes an event of a call that the room dials, or answers for a callee.
    Call {
        /// The call that the event is about.
        call: CallId,
        /// From, to, direction and session of the call.
        party: Arc<Party>,
        /// The event, as subscribers get it.
        event: CallEvent,
    },
    /// Ends a callee that was not connected.
    End {
        /// The member id that it had.
        member: MemberId,
        /// The call itself, which nobody else has.
        call: Box<Call>,
        /// The cause and the party that ended it.
        ending: Ending,
    },
    /// Fetches a sound document for a member; [`Command::Sounds`] answers.
    Fetch {
        /// Unique within the room; rises.
        number: u32,
        /// `http://…`, `https://…` or `flow:NAME`.
        url: Arc<str>,
        /// The call that stated the URL.
        call: CallId,
        /// That call's parties; their dialect's defaults apply to the document.
        party: Arc<Party>,
        /// The occasion of the sound.
        moment: SoundMoment,
    },
    /// Members leave: an iterator of further effects, to be performed here in order.
    Leave(Leave),
    /// Sends an order to the media port.
    Media(AudioOrder),
    /// Publishes a notice to subscribers.
    Publish(Notice),
    /// Tells of a callee.
    Tell {
        /// Whose event it is: the caller's, or the callee's if the room with a name has dialled it.
        call: CallId,
        /// From, to, direction and session of that call.
        party: Arc<Party>,
        /// The callee, and what happened to it.
        event: Arc<DialEvent>,
    },
    /// Frees the room's name: the next join opens a fresh room.
    Unname,
    /// Has the room recorded, or adds a receiver to its recording.
    Record {
        /// The member that has asked for it.
        who: MemberInfo,
        /// `recordFileFormat`, if it begins now.
        format: RecordingFormat,
    },
    /// Has a caller recorded whom a `<Dial>` has connected.
    RecordDialled {
        /// The caller as a member of the room.
        who: MemberInfo,
        /// What is recorded, and how.
        pending: PendingRecording,
    },
    /// Ends the recordings of the conversation of a `<Dial>`.
    StopDialled {
        /// The call of the caller.
        call: CallId,
    },
    /// Leaves the time from now on out of the recording that members have asked for, or ends that.
    CutRecording {
        /// True: one member is alone. False: there are others.
        on: bool,
    },
    /// Hands a call out; it continues or ends as its exit says.
    Release {
        /// The member id that it had.
        member: MemberId,
        /// The call itself, to be moved on.
        call: Box<Call>,
        /// The cause and the next step.
        exit: Exit,
        /// The number of its exit's notice; None if its entry was not published.
        sequence: Option<u64>,
    },
    /// Sends the answer of an ask.
    Reply {
        /// The ticket of the ask.
        ticket: AskTicket,
        /// The answer or the refusal.
        outcome: Outcome,
    },
    /// Sends an order to the backend that has the call.
    Signal(SignallingOrder),
    /// Ends the actor: calls still in its queue join a fresh room.
    Stop,
}

impl Effect {
    /// The number of steps that it counts for in a slice.
    pub fn steps(&self) -> usize {
        match self {
            Self::Leave(leave) => leave.steps(),
            Self::Media(order) => order.calls().len().max(1),
            Self::Admit { .. }
            | Self::Ban { .. }
            | Self::Fetch { .. }
            | Self::Publish(_)
            | Self::Record { .. }
            | Self::CutRecording { .. }
            | Self::RecordDialled { .. }
            | Self::StopDialled { .. }
            | Self::Release { .. } => 1,
            Self::Call { .. } | Self::End { .. } | Self::Signal(_) | Self::Tell { .. } => 1,
            Self::Reply { .. } | Self::Stop | Self::Unname => 1,
        }
    }
}

/// The effects of members who leave: all exits → the name → all releases. Each effect is made when
/// it is performed, so that a decision on many members costs little more than finding them.
#[derive(Debug)]
pub struct Leave {
    pub(super) leavers: VecDeque<Leaver>,
    /// The number of leavers whose exit has been handled.
    pub(super) exits_seen: usize,
    /// The number of exits still to be published.
    pub(super) exits_left: usize,
    pub(super) next_sequence: u64,
    /// The number of the exit notice of the next call to be released.
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
    /// Steps left: a notice and a release for each leaver.
    pub fn steps(&self) -> usize {
        self.exits_left + self.leavers.len()
    }

    /// Exits that are still to be published.
    pub fn exits_left(&self) -> usize {
        self.exits_left
    }

    /// Each exit that is still to be published: the call, and why it leaves.
    pub fn exits(&self) -> impl Iterator<Item = (CallId, &Exit)> {
        let left = self.leavers.iter().skip(self.exits_seen).filter(|it| it.member.announced);
        left.map(|it| (it.member.call.id, &it.exit))
    }

    /// Whether all notices are out.
    pub fn is_told(&self) -> bool {
        matches!(self.phase, LeavePhase::Name | LeavePhase::Releases)
    }

    /// The next notice; None once all are out. Those who must know them before anything else is
    /// performed take them from here, and the effects that are left from the iterator.
    pub fn notice(&mut self) -> Option<Notice> {
        if let LeavePhase::Exits { is_over } = self.phase {
            if let Some(exit) = self.exit(is_over) {
                return Some(exit);
            }
            self.phase = if is_over { LeavePhase::Over } else { LeavePhase::Releases };
        }
        match self.phase {
            LeavePhase::Over => {
                self.phase = LeavePhase::Name;
                Some(self.numbered(ConferenceEvent::Over))
            }
            LeavePhase::Exits { .. } | LeavePhase::Name | LeavePhase::Releases => None,
        }
    }

    fn numbered(&mut self, event: ConferenceEvent) -> Notice {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Notice { sequence, event }
    }

    fn exit(&mut self, is_over: bool) -> Option<Notice> {
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
        let ends = member.entry.ends;
        Some(self.numbered(ConferenceEvent::Exited { who, cause, reason, is_last, ends }))
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
        if let Some(notice) = self.notice() {
            return Some(Effect::Publish(notice));
        }
        if matches!(self.phase, LeavePhase::Name) {
            self.phase = LeavePhase::Releases;
            return Some(Effect::Unname);
        }
        self.release()
    }
}

/// The exit sounds of the leavers, without duplicates.
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
