//! What subscribers learn of calls and conferences, and what it is in form fields.

pub mod fields;
pub mod log;

use std::{num::NonZeroU32, sync::Arc};

use crate::{
    base::ids::{AccountId, CallId, ConferenceName, Incarnation},
    call::{self, CallStatus, Party},
    cdr::Cdr,
    conference::Notice,
    events::log::{Event, Topic},
};

/// Something that happened, as an account's event log has it.
#[derive(Clone, Debug, PartialEq)]
pub enum AccountEvent {
    /// To a call.
    Call {
        /// Which.
        call: CallId,
        /// The place among the call's events.
        call_sequence: CallSequence,
        /// Who speaks with whom.
        party: Arc<Party>,
        /// How far it has come by it.
        status: CallStatus,
        /// What.
        event: call::CallEvent,
        /// Of a call that is over.
        cdr: Option<Arc<Cdr>>,
    },
    /// In a conference.
    Conference {
        /// Which.
        room: Arc<Incarnation>,
        /// What.
        notice: Notice,
        /// The place among the events of the call that it is about, if one.
        call_sequence: Option<CallSequence>,
    },
}

/// A place among a call's events: from 1, without holes.
pub type CallSequence = NonZeroU32;

// An account's log has many of them.
const _: () = assert!(size_of::<Event<AccountEvent>>() <= 112);

impl AccountEvent {
    /// The place among the events of the call that it is about, if one.
    pub fn call_sequence(&self) -> Option<CallSequence> {
        match self {
            Self::Call { call_sequence, .. } => Some(*call_sequence),
            Self::Conference { call_sequence, .. } => *call_sequence,
        }
    }
}

impl Topic for AccountEvent {
    fn call(&self) -> Option<CallId> {
        match self {
            Self::Call { call, .. } => Some(*call),
            Self::Conference { notice, .. } => notice.event.who().map(|it| it.call),
        }
    }

    fn conference(&self) -> Option<&ConferenceName> {
        match self {
            Self::Call { .. } => None,
            Self::Conference { room, .. } => Some(&room.key.name),
        }
    }
}

/// Whose call something is about.
#[derive(Clone, Copy, Debug)]
pub struct CallSubject<'a> {
    /// Whose it is.
    pub account: &'a AccountId,
    /// Which.
    pub call: CallId,
    /// Who speaks with whom.
    pub party: &'a Party,
    /// How far it has come.
    pub status: CallStatus,
}
