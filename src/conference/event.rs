//! Events that subscribers are told.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    base::ids::{CallId, MemberId},
    call::{Call, Party},
    flow::{CallbackTarget, Cause},
    group::GroupId,
    media::Ending,
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

/// An event of a `<Dial>`, about one of its callees. It is an event of the caller's call.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DialEvent {
    /// The callee that it is about.
    pub callee: CalleeInfo,
    /// What happened to it.
    pub step: DialStep,
    /// The receiver of the dial's events.
    pub callback: Option<Arc<CallbackTarget>>,
}

/// A callee of a `<Dial>` in an event.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CalleeInfo {
    /// `DialBLegUUID`: the id of its call.
    pub call: CallId,
    /// Its parties: `DialBLegFrom` and `DialBLegTo` are the numbers.
    pub party: Arc<Party>,
}

impl CalleeInfo {
    /// Of a callee's call.
    pub fn of(call: &Call) -> Self {
        Self { call: call.id, party: call.party.clone() }
    }
}

/// What happened to a callee (contract of calling, section 13.1).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum DialStep {
    /// Its far end has answered.
    Answered,
    /// It is connected with the caller.
    Connected,
    /// One of the two typed a pattern.
    Digits {
        /// The pattern that matched.
        digits: Arc<str>,
        /// True: the caller typed it. False: the callee.
        by_caller: bool,
    },
    /// Its call is over.
    Ended {
        /// The cause and the party that ended it.
        ending: Ending,
        /// Whole seconds from the dial, and from the callee's answer, to the end.
        seconds: (u64, u64),
    },
}
