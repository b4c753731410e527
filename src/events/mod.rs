//! What subscribers learn of calls and conferences, and what it is in form fields.

pub mod fields;
pub mod log;

use std::{num::NonZeroU32, sync::Arc};

use crate::{
    base::ids::{AccountId, CallId, ConferenceName, Incarnation},
    call::{self, CallStatus, Party},
    cdr::Record,
    conference::Notice,
    events::log::{Event, Topic},
};

/// Something that happened, as an account's event log has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// To a call.
    Call {
        /// Which.
        call: CallId,
        /// The place among the call's events.
        in_call: InCall,
        /// Who speaks with whom.
        party: Arc<Party>,
        /// How far it has come by it.
        status: CallStatus,
        /// What.
        news: call::News,
        /// Of a call that is over.
        record: Option<Arc<Record>>,
    },
    /// In a conference.
    Conference {
        /// Which.
        room: Arc<Incarnation>,
        /// What.
        notice: Notice,
        /// The place among the events of the call that it is about, if one.
        in_call: Option<InCall>,
    },
}

/// A place among a call's events: from 1, without holes.
pub type InCall = NonZeroU32;

// An account's log has many of them.
const _: () = assert!(size_of::<Event<Happening>>() <= 112);

impl Happening {
    /// The place among the events of the call that it is about, if one.
    pub fn in_call(&self) -> Option<InCall> {
        match self {
            Self::Call { in_call, .. } => Some(*in_call),
            Self::Conference { in_call, .. } => *in_call,
        }
    }
}

impl Topic for Happening {
    fn call(&self) -> Option<CallId> {
        match self {
            Self::Call { call, .. } => Some(*call),
            Self::Conference { notice, .. } => notice.news.who().map(|it| it.call),
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
pub struct Subject<'a> {
    /// Whose it is.
    pub account: &'a AccountId,
    /// Which.
    pub call: CallId,
    /// Who speaks with whom.
    pub party: &'a Party,
    /// How far it has come.
    pub status: CallStatus,
}
