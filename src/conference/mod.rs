//! Conference: the state machine of one room, its commands, effects, asks and events.
//!
//! ```text
//!            a starter joins        the room empties, an ender leaves,
//!  Waiting ------------------> Live ------------------------------------> Over
//!     '------------------------------ or the time is up -------------------^
//! ```
//!
//! The machine is pure: commands and the time go in, effects come out. It never waits, reads no
//! clock and cannot fail. A request for something impossible gets a [`Refusal`], which is an
//! answer like any other.
//!
//! The members *are* calls. A call leaves with its [`Exit`] in one effect: there is no other way
//! out, and no copy remains.

mod asks;
pub mod ban_list;
mod digits;
mod floor;
mod guard;
mod kick;
mod leaving;
mod member;
mod sounds;
mod state;

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    kick::{Departure, Kick, KickTarget},
    leaving::Leave,
    state::{Conference, INJECTED_FAULT, Settings},
};
use crate::{
    base::ids::{CallId, MemberId, Trusted},
    call::{Call, Party},
    flow::{Cause, DocumentRequest, Exit, JoinOptions},
    group::Expulsion,
    media::{AnnouncementKind, LegEvent, Order, Program, Sound},
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
    /// The time [`Conference::deadline`] has passed.
    Tick,
}

/// A request to a conference. Plain data: it travels to the node that owns the conference.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Takes out members who were removed from the group that guards the room; each continues their
    /// flow. A call that was admitted before the removal and has not entered yet is refused.
    Expel(Expulsion),
    /// Takes members out and ends their calls.
    HangUp {
        /// The members whose calls end.
        who: MemberSelector,
    },
    /// Takes members out; each continues their flow, or as the kick says.
    Kick {
        /// The members to kick.
        who: MemberSelector,
        /// The reason, target and ban.
        kick: Kick,
    },
    /// Sets whether the others hear these members.
    Mute {
        /// The members to mute or unmute.
        who: MemberSelector,
        /// True mutes, false unmutes.
        on: bool,
    },
    /// Sets whether these members hear the others.
    Deafen {
        /// The members to deafen or undeafen.
        who: MemberSelector,
        /// True deafens, false undoes it.
        on: bool,
    },
    /// Plays a sound to members. `all` are the current members except the deaf.
    Announce {
        /// The members who hear it.
        who: MemberSelector,
        /// The API's Play or Speak.
        kind: AnnouncementKind,
        /// The file or text to play.
        sound: Sound,
    },
    /// Stops the announcement to exactly this set of members (or to `all`).
    Hush {
        /// The set as it was announced to.
        who: MemberSelector,
        /// The API's Play or Speak.
        kind: AnnouncementKind,
    },
    /// Lists the members and their state.
    Roster,
    /// Takes a member out; the call continues with another document.
    Transfer {
        /// The member to transfer.
        member: MemberId,
        /// The URL of the document.
        request: DocumentRequest,
    },
}

impl Ask {
    /// The name of the command in traces.
    pub fn text(&self) -> &'static str {
        match self {
            Self::Announce { kind: AnnouncementKind::Play, .. } => "Play",
            Self::Announce { kind: AnnouncementKind::Speak, .. } => "Speak",
            Self::Deafen { on: true, .. } => "Deaf",
            Self::Deafen { on: false, .. } => "Undeaf",
            Self::Expel(_) => "Expel",
            Self::HangUp { .. } => "HangUp",
            Self::Hush { kind: AnnouncementKind::Play, .. } => "StopPlay",
            Self::Hush { kind: AnnouncementKind::Speak, .. } => "StopSpeak",
            Self::Kick { .. } => "Kick",
            Self::Mute { on: true, .. } => "Mute",
            Self::Mute { on: false, .. } => "Unmute",
            Self::Roster => "Show",
            Self::Transfer { .. } => "Transfer",
        }
    }
}

/// The occasion of a conference's sound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SoundMoment {
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
            Self::Enter => "enterSound",
            Self::Exit => "exitSound",
            Self::Wait => "waitSound",
        }
    }
}

/// The members that an ask is about.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum MemberSelector {
    /// Every member at the time of the decision.
    All,
    /// These; ids of others are ignored.
    These(Vec<MemberId>),
}

/// An effect of a conference. Effects are performed in order.
#[derive(Debug)]
pub enum Effect {
    /// Bans an identity from this conference, future incarnations included, from now on.
    Ban {
        /// The member id of the banned call, which becomes the ban's id.
        member: MemberId,
        /// The identity that is banned.
        who: Trusted,
        /// The requester's text, if any.
        reason: Option<Arc<str>>,
        /// From now, at most [`ban_list::BAN_MAX`].
        length: Duration,
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
    Media(Order),
    /// Publishes a notice to subscribers.
    Publish(Notice),
    /// Frees the room's name: the next join opens a fresh room.
    Unname,
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
    /// Ends the actor: calls still in its queue join a fresh room.
    Stop,
}

impl Effect {
    /// The number of steps that it counts for in a slice.
    pub fn steps(&self) -> usize {
        match self {
            Self::Leave(leave) => leave.steps(),
            Self::Media(order) => order.calls().len(),
            Self::Ban { .. } | Self::Fetch { .. } | Self::Publish(_) | Self::Release { .. } => 1,
            Self::Reply { .. } | Self::Stop | Self::Unname => 1,
        }
    }
}

/// Identifies an ask within its room. The actor knows who waits for the answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AskTicket(pub u64);

/// The result of an ask.
pub type Outcome = Result<ConferenceAnswer, Refusal>;

/// An answer of a conference.
#[derive(Clone, Debug, PartialEq)]
pub enum ConferenceAnswer {
    /// The members who were kicked with a ban.
    Banned {
        /// All who were kicked, as in [`ConferenceAnswer::Members`].
        members: Vec<MemberId>,
        /// Those of them who are not banned, since nobody vouches for their identity.
        unknown: Vec<MemberId>,
    },
    /// The result of a dry run: who would leave, in that order.
    Departures(Vec<Departure>),
    /// The members it was done to, in the order of the request, each once; never empty.
    Members(Vec<MemberId>),
    /// The list of members.
    Roster(Box<ConferenceRoster>),
}

/// The reason why a conference refused an ask. Plain data, since it crosses nodes like [`Ask`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
pub enum Refusal {
    /// A bug: the machine panicked, the room is over, and its members continue their flows.
    #[error("the conference has met a fault, and its members have gone on")]
    Fault,
    /// The element does not lie ahead in the flows of some members. Nobody was kicked.
    #[error(
        "then.element: {element:?} does not lie ahead in the flow of {}: nobody was kicked",
        MemberNames(members)
    )]
    NoElement {
        /// The element's id, as requested.
        element: Arc<str>,
        /// The members without it.
        members: Vec<MemberId>,
    },
    /// None of the named members is in the room.
    #[error("member not found")]
    NoMember,
}

struct MemberNames<'a>(&'a [MemberId]);

impl fmt::Display for MemberNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, member) in self.0.iter().enumerate() {
            let before = match (n, self.0.len()) {
                (0, 1) => "member ",
                (0, _) => "members ",
                _ => ", ",
            };
            write!(f, "{before}{member}")?;
        }
        Ok(())
    }
}

/// The state of a conference at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ConferenceRoster {
    /// Whole seconds since the room was created.
    pub run_seconds: u64,
    /// The members in order of entry.
    pub members: Vec<RosterEntry>,
}

/// The state of a member at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct RosterEntry {
    /// The id in the API's paths.
    pub member: MemberId,
    /// The `call_uuid` of the member's call.
    pub call: CallId,
    /// From, to, direction and session of the call.
    pub party: Arc<Party>,
    /// The member's own flag, also while they wait.
    pub muted: bool,
    /// The member's own flag; sounds to `all` skip them.
    pub deaf: bool,
    /// Whole seconds since the member joined.
    pub join_seconds: u64,
}

/// An event of a room, numbered without gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// From 1, rising by one.
    pub sequence: u64,
    /// The event and its member.
    pub event: ConferenceEvent,
}

/// An event of a conference, as subscribers get it.
#[derive(Clone, Debug, PartialEq)]
pub enum ConferenceEvent {
    /// A member entered the room.
    Entered {
        /// The member that entered.
        who: MemberInfo,
        /// The room has no other member.
        is_first: bool,
    },
    /// A member left the room.
    Exited {
        /// The member that left.
        who: MemberInfo,
        /// The cause of the exit.
        cause: Cause,
        /// The requester's text, if any.
        reason: Option<Arc<str>>,
        /// The room is empty now.
        is_last: bool,
    },
    /// A member typed a pattern of their `digitsMatch`.
    DigitsMatched {
        /// The member that typed it.
        who: MemberInfo,
        /// The pattern that matched.
        digits: Arc<str>,
    },
    /// A member got the floor.
    FloorTaken {
        /// The member that has it now.
        who: MemberInfo,
    },
    /// The room is over: its last event.
    Over,
    /// The first member with `startConferenceOnEnter`, or a moderator, has entered.
    Started,
}

impl ConferenceEvent {
    /// The member that the event is about; None if it is about the room.
    pub fn who(&self) -> Option<&MemberInfo> {
        match self {
            Self::Entered { who, .. } | Self::Exited { who, .. } => Some(who),
            Self::DigitsMatched { who, .. } | Self::FloorTaken { who } => Some(who),
            Self::Over | Self::Started => None,
        }
    }
}

/// A member in an event.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberInfo {
    /// The id in the API's paths.
    pub member: MemberId,
    /// The `call_uuid` of the member's call.
    pub call: CallId,
    /// From, to, direction and session of the call.
    pub party: Arc<Party>,
    /// The options of its `<Conference>`, with its callback.
    pub entry: Arc<JoinOptions>,
}
