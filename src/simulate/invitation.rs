//! Invitation of an events file: people who are called into a conference, and how.

use std::sync::Arc;

use crate::{
    base::ids::ConferenceName,
    flow::{CalleeTerms, Flow},
};

/// A request that calls somebody into a conference (`POST Conference/{name}/Member/`).
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptInvitation {
    /// The conference, which must be there.
    pub room: ConferenceName,
    /// Those who are called, as indexes of the script's callers; the first to accept becomes a member.
    pub callees: Vec<usize>,
    /// How they ring and accept.
    pub terms: Arc<CalleeTerms>,
    /// What the one who accepts runs: one `<Conference>`.
    pub flow: Arc<Flow>,
    /// Keys that each is sent when they answer.
    pub digits: Option<Arc<str>>,
}
