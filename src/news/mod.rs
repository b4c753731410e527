//! What subscribers learn of calls and conferences, and what it is in form fields.

pub mod fields;

use std::sync::Arc;

use crate::{
    call::{self, CallStatus, Party},
    conference,
    ids::{AccountId, CallId},
    records::Record,
};

/// Something that happened, as an account's event log has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// To a call.
    Call {
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
        /// What.
        news: conference::News,
    },
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
