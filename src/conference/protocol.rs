//! Protocol: asks, answers and refusals.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    base::ids::{CallId, MemberId, Trusted},
    call::Party,
    flow::{Cause, ConferenceSound, DialectFlows, DocumentRequest, Forecast},
    group::Expulsion,
    media::{AnnouncementKind, Sound},
};

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
    /// Takes members out of the mix in both directions, or lets them back with their own flags.
    Hold {
        /// The members to hold.
        who: MemberSelector,
        /// True holds, false lets them back.
        on: bool,
        /// Played to them meanwhile; None: to each their wait sound.
        sound: Option<ConferenceSound>,
    },
    /// Names the callee that is connected with the caller of a `<Dial>`.
    Callee {
        /// The caller, a member of the room of its `<Dial>`.
        member: MemberId,
    },
    /// Lists the members and their state.
    Roster,
    /// Takes a member out, or the callee that is connected with it, or both; each call continues with
    /// another document.
    Transfer {
        /// The member, or the caller of a `<Dial>`.
        member: MemberId,
        /// The documents of the two.
        legs: LegTransfer,
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
            Self::Callee { .. } => "Callee",
            Self::HangUp { .. } => "HangUp",
            Self::Hold { on: true, .. } => "Hold",
            Self::Hold { on: false, .. } => "Unhold",
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

/// The documents of a transfer: of the call itself, of the callee that its `<Dial>` has connected, or
/// of both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LegTransfer {
    /// The document of the call itself (`aleg_url`).
    pub own: Option<DocumentRequest>,
    /// The document of the connected callee (`bleg_url`).
    pub callee: Option<DocumentRequest>,
}

impl From<DocumentRequest> for LegTransfer {
    fn from(request: DocumentRequest) -> Self {
        Self { own: Some(request), callee: None }
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
    /// The call of the callee that is connected.
    Callee(CallId),
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
    /// No callee is connected with the call. Nothing was done.
    #[error("no B leg is connected with this call")]
    NoCallee,
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
    /// The account has no place in the ban list for the bans. Nobody was kicked.
    #[error(
        "this account has {bans} bans: lift some with DELETE Conference/{{name}}/Ban/{{id}}/, or let \
         them end"
    )]
    TooManyBans {
        /// The bans that hold, and those of kicks under way.
        bans: usize,
    },
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

/// The options of a kick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kick {
    /// The requester's text, for events and `${kick.reason}`.
    pub reason: Option<Arc<str>>,
    /// The place where the kicked calls continue.
    pub target: KickTarget,
    /// The length of a ban from this conference; None: no ban.
    pub ban: Option<Duration>,
    /// Nothing is done: the answer is [`ConferenceAnswer::Departures`].
    pub is_dry_run: bool,
}

/// The place where a kicked call continues.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum KickTarget {
    /// In this document, parsed for both dialects.
    Document(Box<DialectFlows>),
    /// At the element with this id, which must lie ahead in the flow.
    Element(Arc<str>),
    /// In the document of this URL; if the fetch fails, at the next element.
    Fetch(Arc<str>),
    /// As the flow says: `onKick`, `action`, or the next element.
    #[default]
    Flow,
    /// Nowhere: the call ends.
    HangUp,
}

/// A member who would leave, in the answer of a dry run.
#[derive(Clone, Debug, PartialEq)]
pub struct Departure {
    /// The id in the API's paths.
    pub member: MemberId,
    /// The `call_uuid` of the member's call.
    pub call: CallId,
    /// `kicked`, or the cause that the kick has for others: `ended`, `alone`.
    pub cause: Cause,
    /// The identity that the kick would ban.
    pub banned: Option<Trusted>,
    /// The next step of the call.
    pub next: Forecast,
}
