//! Events that subscribers are told.

use std::sync::Arc;

use crate::{
    base::ids::{CallId, MemberId},
    call::Party,
    flow::{Cause, JoinOptions},
};

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
