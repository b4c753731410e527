//! What the world can watch of a registry.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    base::ids::{AccountId, CallId, Incarnation, MemberId},
    call::{CallEvent, Party},
    conference::{Ask, MemberInfo, Notice},
    flow::{Cause, Exit, Purpose},
    trace::{Initiator, TraceElement},
};

/// What the world can watch.
#[derive(Clone, Debug, PartialEq)]
pub enum Observed {
    /// The call has begun an element.
    Began {
        /// The call.
        call: CallId,
        /// Its number within its document, from zero.
        step: u32,
        /// Where it stands.
        element: TraceElement,
    },
    /// Something happened to a call.
    Call {
        /// Whose.
        account: AccountId,
        /// The call.
        call: CallId,
        /// Who speaks with whom.
        party: Arc<Party>,
        /// What.
        event: CallEvent,
    },
    /// The call is out of its conference, and not yet anywhere else.
    Left {
        /// The call.
        call: CallId,
        /// The place it had.
        member: MemberId,
        /// How.
        exit: Exit,
        /// Who caused it, if somebody else did.
        by: Option<Initiator>,
    },
    /// The call asks for a document.
    Fetching {
        /// The call.
        call: CallId,
        /// Without its query, which may hold what is secret.
        url: Arc<str>,
        /// What for.
        purpose: Purpose,
    },
    /// Something happened in a conference.
    Notice {
        /// Which.
        room: Arc<Incarnation>,
        /// What.
        notice: Notice,
    },
    /// The room was over when the call's turn came.
    Requeued {
        /// The call.
        call: CallId,
    },
    /// A request of the API is about to do something to the call.
    Requested {
        /// The call.
        call: CallId,
        /// The request.
        api_id: Uuid,
        /// What it asks for.
        command: &'static str,
    },
    /// A request about the call was good, and asked for something in vain.
    Warned {
        /// The call.
        call: CallId,
        /// The request.
        api_id: Uuid,
        /// For what, and why it was in vain.
        warning: Arc<str>,
    },
    /// The call was not let in.
    Refused {
        /// The call.
        call: CallId,
        /// Why.
        cause: Cause,
    },
}

/// Who is to blame for what a room does at present.
#[derive(Debug, Default)]
pub(super) struct Blame {
    request: Option<Initiator>,
    /// Whoever has left takes along those whose cause is theirs; true if by ending the room.
    taker: Option<(bool, CallId)>,
}

impl Blame {
    /// The room has an ask before it, and this request has made it.
    pub(super) fn asked(api_id: Option<Uuid>, ask: &Ask) -> Self {
        let request = api_id.map(|api_id| Initiator::Request { api_id, command: ask.text() });
        Self { request, taker: None }
    }

    /// A member is leaving.
    pub(super) fn exits(&mut self, who: &MemberInfo, cause: Cause) {
        let ends = who.entry.ends;
        let is_taken = matches!(cause, Cause::Alone | Cause::Ended);
        if !is_taken && self.taker.is_none_or(|(ended, _)| ends && !ended) {
            self.taker = Some((ends, who.call));
        }
    }

    /// Who has caused an exit, if somebody else has.
    pub(super) fn of(&self, cause: Cause) -> Option<Initiator> {
        match cause {
            Cause::Alone | Cause::Ended => self.taker.map(|(_, call)| Initiator::Call(call)),
            Cause::HungUpByApi | Cause::Kicked | Cause::Transferred => self.request,
            Cause::CallTimeUp | Cause::CallerLeft | Cause::Drained | Cause::Fault => None,
            Cause::Banned | Cause::GroupKicked | Cause::NotMember => None,
            Cause::Full | Cause::MediaLost | Cause::Starred | Cause::TimeUp => None,
        }
    }
}
