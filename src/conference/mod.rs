//! One conference: who is in it, and what must happen next.
//!
//! ```text
//!            a starter joins        the room empties, an ender leaves,
//!  Waiting ------------------> Live ------------------------------------> Over
//!     '------------------------------ or the time is up -------------------^
//! ```
//!
//! The machine is pure: commands and the time go in, effects come out. It never waits, reads no
//! clock and cannot fail; a caller who asks for the impossible gets a [`Refusal`], which is an
//! answer like any other.
//!
//! The members *are* calls. One that leaves goes out with its [`Exit`], in one effect: there is
//! no other way out, and no copy stays behind.

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
    media::{AnnouncementKind, AudioOrder, LegEvent, Program, Sound},
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

/// What a caller can ask for. Plain data: it travels to whichever node owns the conference.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Takes out who is removed from the group that guards the room; each goes on with its flow.
    /// Whoever was let in before this, and has not come in yet, does not come in.
    Expel(Expulsion),
    /// Takes members out, and ends their calls.
    HangUp {
        /// Whom.
        who: MemberSelector,
    },
    /// Takes members out; each goes on with its flow, or as the kick has it.
    Kick {
        /// Whom.
        who: MemberSelector,
        /// What whoever kicks says of it.
        kick: Kick,
    },
    /// Whether the others hear these members.
    Mute {
        /// Whom.
        who: MemberSelector,
        /// True: not heard.
        on: bool,
    },
    /// Whether these members hear the others.
    Deafen {
        /// Whom.
        who: MemberSelector,
        /// True: they do not.
        on: bool,
    },
    /// Plays something to members. To `all`: the members of this moment but the deaf.
    Announce {
        /// Whom.
        who: MemberSelector,
        /// Play or Speak.
        kind: AnnouncementKind,
        /// What.
        sound: Sound,
    },
    /// Stops what was announced to exactly this set of members (or to `all`).
    Hush {
        /// Whom.
        who: MemberSelector,
        /// Play or Speak.
        kind: AnnouncementKind,
    },
    /// Who is here.
    Roster,
    /// Takes a member out, and its call goes on with another document.
    Transfer {
        /// Whom.
        member: MemberId,
        /// The document.
        request: DocumentRequest,
    },
}

impl Ask {
    /// As traces have it.
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

/// Which members an ask is about.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum MemberSelector {
    /// Whoever is a member when the ask is decided.
    All,
    /// These, of whom some may not be here.
    These(Vec<MemberId>),
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
    /// Tells the engine that carries the members' sound.
    Media(AudioOrder),
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

/// A place in the queue of callers who await an answer. The shell knows who holds it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AskTicket(pub u64);

/// What an ask has come to.
pub type Outcome = Result<ConferenceAnswer, Refusal>;

/// What a conference answers.
#[derive(Clone, Debug, PartialEq)]
pub enum ConferenceAnswer {
    /// The members who were kicked and banned; never none.
    Banned {
        /// Those who were kicked, as in [`ConferenceAnswer::Members`].
        members: Vec<MemberId>,
        /// Those of them who are not banned: nobody vouches for who they are.
        unknown: Vec<MemberId>,
    },
    /// Who would leave, in the order in which they would.
    Departures(Vec<Departure>),
    /// The members it was done to: in the order of the request, once each; never empty.
    Members(Vec<MemberId>),
    /// Who is here.
    Roster(Box<ConferenceRoster>),
}

/// Why a conference said no. Plain data, like [`Ask`], and for the same reason.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
pub enum Refusal {
    /// A bug: the room is over, and its members have gone on.
    #[error("the conference has met a fault, and its members have gone on")]
    Fault,
    /// Nothing has happened: an element is not there, or not ahead, in the flows of some.
    #[error(
        "then.element: {element:?} does not lie ahead in the flow of {}: nobody was kicked",
        MemberNames(members)
    )]
    NoElement {
        /// The element's id.
        element: Arc<str>,
        /// Of those who are named.
        members: Vec<MemberId>,
    },
    /// None of those named is here.
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

/// A conference at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ConferenceRoster {
    /// Whole seconds since the room was created.
    pub run_seconds: u64,
    /// In order of entry.
    pub members: Vec<RosterEntry>,
}

/// A member at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct RosterEntry {
    /// The place.
    pub member: MemberId,
    /// The call.
    pub call: CallId,
    /// Who it is.
    pub party: Arc<Party>,
    /// The member's own flag, also while it waits.
    pub muted: bool,
    /// The member's own flag.
    pub deaf: bool,
    /// Whole seconds since it joined.
    pub join_seconds: u64,
}

/// What subscribers learn. Within a room, the sequence has no holes.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// From 1.
    pub sequence: u64,
    /// What.
    pub event: ConferenceEvent,
}

/// What happened in a conference.
#[derive(Clone, Debug, PartialEq)]
pub enum ConferenceEvent {
    /// A member came in.
    Entered {
        /// Who.
        who: MemberInfo,
        /// Nobody else is here.
        is_first: bool,
    },
    /// A member left.
    Exited {
        /// Who.
        who: MemberInfo,
        /// Why.
        cause: Cause,
        /// In the words of whoever caused it.
        reason: Option<Arc<str>>,
        /// Nobody is left.
        is_last: bool,
    },
    /// A pattern of a member's `digitsMatch` was typed.
    DigitsMatched {
        /// Who.
        who: MemberInfo,
        /// The pattern.
        digits: Arc<str>,
    },
    /// A member got the floor.
    FloorTaken {
        /// Who.
        who: MemberInfo,
    },
    /// The room is over; nothing follows.
    Over,
    /// Somebody with `startConferenceOnEnter` has come.
    Started,
}

impl ConferenceEvent {
    /// Whom it is about, if one.
    pub fn who(&self) -> Option<&MemberInfo> {
        match self {
            Self::Entered { who, .. } | Self::Exited { who, .. } => Some(who),
            Self::DigitsMatched { who, .. } | Self::FloorTaken { who } => Some(who),
            Self::Over | Self::Started => None,
        }
    }
}

/// A member, as subscribers are told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberInfo {
    /// The place.
    pub member: MemberId,
    /// The call.
    pub call: CallId,
    /// Who speaks with whom.
    pub party: Arc<Party>,
    /// On what terms: who is told, among them.
    pub entry: Arc<JoinOptions>,
}
