//! Events that subscribers are told.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    base::ids::{CallId, MemberId},
    call::Party,
    flow::{CallbackTarget, Cause},
    group::GroupId,
};

/// An event of a room, numbered without gaps.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Notice {
    /// From 1, rising by one.
    pub sequence: u64,
    /// The event and its member.
    pub event: ConferenceEvent,
}

/// An event of a conference, as subscribers get it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum ConferenceEvent {
    /// A member entered the room.
    Entered {
        /// The member that entered.
        who: MemberInfo,
        /// The room has no other member.
        is_first: bool,
        /// `group`: the group that the member's element names as the room's guard.
        group: Option<GroupId>,
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
        /// `endConferenceOnExit`: the exit ends the room.
        ends: bool,
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
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct MemberInfo {
    /// The id in the API's paths.
    pub member: MemberId,
    /// The `call_uuid` of the member's call.
    pub call: CallId,
    /// From, to, direction and session of the call.
    pub party: Arc<Party>,
    /// The receiver of the member's events.
    pub callback: Option<Arc<CallbackTarget>>,
}
