//! What the world can watch of a house.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    base::ids::{AccountId, CallId, Incarnation, MemberId},
    call::{News, Party},
    conference::{Ask, Being, Notice},
    flow::{Cause, Exit, Purpose},
    trace::{By, Element},
};

/// What the world can watch.
#[derive(Clone, Debug, PartialEq)]
pub enum Trace {
    /// The call has begun an element.
    Began {
        /// The call.
        call: CallId,
        /// Its number within its document, from zero.
        step: u32,
        /// Where it stands.
        element: Element,
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
        news: News,
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
        by: Option<By>,
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
    PassedOn {
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
    Remarked {
        /// The call.
        call: CallId,
        /// The request.
        api_id: Uuid,
        /// For what, and why it was in vain.
        remark: Arc<str>,
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
    request: Option<By>,
    /// Whoever has left takes along those whose cause is theirs; true if by ending the room.
    taker: Option<(bool, CallId)>,
}

impl Blame {
    /// The room has an ask before it, and this request has made it.
    pub(super) fn asked(api_id: Option<Uuid>, ask: &Ask) -> Self {
        let request = api_id.map(|api_id| By::Request { api_id, command: ask.text() });
        Self { request, taker: None }
    }

    /// A member is leaving.
    pub(super) fn exits(&mut self, who: &Being, cause: Cause) {
        let ends = who.entry.ends;
        let is_taken = matches!(cause, Cause::Alone | Cause::Ended);
        if !is_taken && self.taker.is_none_or(|(ended, _)| ends && !ended) {
            self.taker = Some((ends, who.call));
        }
    }

    /// Who has caused an exit, if somebody else has.
    pub(super) fn of(&self, cause: Cause) -> Option<By> {
        match cause {
            Cause::Alone | Cause::Ended => self.taker.map(|(_, call)| By::Call(call)),
            Cause::HungUpByApi | Cause::Kicked | Cause::Transferred => self.request,
            Cause::CallTimeUp | Cause::CallerLeft | Cause::Drained | Cause::Fault => None,
            Cause::Banned | Cause::GroupKicked | Cause::NotMember => None,
            Cause::Full | Cause::MediaLost | Cause::Starred | Cause::TimeUp => None,
        }
    }
}
