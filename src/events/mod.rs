//! Events: what subscribers get about calls and conferences, the account's log, and form fields.

pub mod fields;
pub mod log;
pub mod row;

use std::{num::NonZeroU32, sync::Arc};

use crate::{
    base::ids::{AccountId, CallId, ConferenceName, Incarnation},
    call::{self, CallStatus, Party},
    cdr::Cdr,
    conference::{DialEvent, Notice},
    events::log::{Event, Topic},
    recording::event::RecordingEvent,
};

/// An event in an account's log.
#[derive(Clone, Debug, PartialEq)]
pub enum AccountEvent {
    /// An event of a call.
    Call {
        /// The `call_uuid` of the call.
        call: CallId,
        /// Its number among the call's events.
        call_sequence: CallSequence,
        /// From, to, direction and session of the call.
        party: Arc<Party>,
        /// The call's status after the event.
        status: CallStatus,
        /// The kind of event.
        event: call::CallEvent,
        /// The CDR, with the event of the call's end only.
        cdr: Option<Arc<Cdr>>,
    },
    /// An event of a `<Dial>`, about one of its callees.
    Dial {
        /// The `call_uuid` of the caller.
        call: CallId,
        /// Its number among the caller's events.
        call_sequence: CallSequence,
        /// From, to, direction and session of the caller.
        party: Arc<Party>,
        /// The callee, and what happened to it.
        event: Arc<DialEvent>,
    },
    /// An event of a conference.
    Conference {
        /// The incarnation that published it.
        room: Arc<Incarnation>,
        /// The event with its number in the room.
        notice: Notice,
        /// Its number among the events of the call that it is about; None if it is about the room.
        call_sequence: Option<CallSequence>,
    },
    /// A recording has begun or ended. It has no number among the events of its call, which may be over.
    Recording(Arc<RecordingEvent>),
}

/// The number of an event of a call: from 1, without gaps, conference events included.
pub type CallSequence = NonZeroU32;

// An account's log holds up to 65,536 of them.
const _: () = assert!(size_of::<Event<AccountEvent>>() <= 112);

impl AccountEvent {
    /// The number among the events of the call that it is about; None if it is about a room.
    pub fn call_sequence(&self) -> Option<CallSequence> {
        match self {
            Self::Call { call_sequence, .. } | Self::Dial { call_sequence, .. } => {
                Some(*call_sequence)
            }
            Self::Conference { call_sequence, .. } => *call_sequence,
            Self::Recording(_) => None,
        }
    }
}

impl Topic for AccountEvent {
    fn call(&self) -> Option<CallId> {
        match self {
            Self::Call { call, .. } | Self::Dial { call, .. } => Some(*call),
            Self::Conference { notice, .. } => notice.event.who().map(|it| it.call),
            Self::Recording(event) => Some(event.call),
        }
    }

    fn conference(&self) -> Option<&ConferenceName> {
        match self {
            Self::Call { .. } | Self::Dial { .. } => None,
            Self::Conference { room, .. } => Some(&room.key.name),
            Self::Recording(event) => event.conference.as_ref(),
        }
    }
}

/// The call that a request to a URL is about.
#[derive(Clone, Copy, Debug)]
pub struct CallSubject<'a> {
    /// The account that has the call.
    pub account: &'a AccountId,
    /// The `call_uuid` of the call.
    pub call: CallId,
    /// From, to, direction and session of the call.
    pub party: &'a Party,
    /// The call's status at that time.
    pub status: CallStatus,
}
