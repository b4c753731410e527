//! Protocol: asks, answers and refusals.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    base::ids::{CallId, MemberId},
    call::Party,
    flow::{Cause, DialectFlows, DocumentRequest, Forecast},
    group::Expulsion,
    media::{AnnouncementKind, Sound},
};

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

/// Which members an ask is about.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum MemberSelector {
    /// Whoever is a member when the ask is decided.
    All,
    /// These, of whom some may not be here.
    These(Vec<MemberId>),
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

pub(super) struct MemberNames<'a>(&'a [MemberId]);

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

/// What whoever kicks says of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kick {
    /// In the kicker's words.
    pub reason: Option<Arc<str>>,
    /// Where those go on who are kicked.
    pub target: KickTarget,
    /// For how long they may not come in again.
    pub ban: Option<Duration>,
    /// Nothing is done; the answer tells what would be.
    pub is_dry_run: bool,
}

/// Where somebody goes on who is kicked.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum KickTarget {
    /// With this document.
    Document(Box<DialectFlows>),
    /// At the element of this id, which must lie ahead.
    Element(Arc<str>),
    /// With the document of this URL; if that cannot be had, at the next element.
    Fetch(Arc<str>),
    /// As its flow has it.
    #[default]
    Flow,
    /// Nowhere: the call ends.
    HangUp,
}

/// Somebody who would leave.
#[derive(Clone, Debug, PartialEq)]
pub struct Departure {
    /// The place.
    pub member: MemberId,
    /// The call.
    pub call: CallId,
    /// Why.
    pub cause: Cause,
    /// It could not come in again for a while.
    pub is_banned: bool,
    /// What the call would do next.
    pub next: Forecast,
}
