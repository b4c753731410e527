//! What the world can watch of a house.

use std::sync::Arc;

use crate::{
    call::{News, Party},
    conference::Notice,
    flow::{Cause, Exit},
    ids::{AccountId, CallId, MemberId, RoomKey},
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
    },
    /// Something happened in a conference.
    Notice {
        /// Which.
        key: RoomKey,
        /// What.
        notice: Notice,
    },
    /// The room was over when the call's turn came.
    PassedOn {
        /// The call.
        call: CallId,
    },
    /// The call was not let in.
    Refused {
        /// The call.
        call: CallId,
        /// Why.
        cause: Cause,
    },
}
