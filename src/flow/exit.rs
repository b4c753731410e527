//! Exit: how a call left its conference, and what follows.

use std::sync::Arc;

use super::{DialResult, Flow, cause::Cause};
use crate::{
    base::ids::{ConferenceName, Dialect},
    media::Ending,
};

/// An exit from a conference or a `<Dial>`: its cause, and what follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// Reported as `ConferenceExitCause` in callbacks.
    pub cause: Cause,
    /// Free text of the request that removed the call (`kick.reason`); None without one.
    pub reason: Option<Arc<str>>,
    /// Decided together with the cause.
    pub then: AfterExit,
    /// The result of a `<Dial>`; None after a conference.
    pub dialled: Option<Box<DialResult>>,
}

/// The way in which a call continues after an exit.
#[derive(Clone, Debug, PartialEq)]
pub enum AfterExit {
    /// This document replaces the flow.
    Document(Arc<Flow>),
    /// The flow continues at the element with this index, which comes later in the document.
    Element(u32),
    /// The document at this URL replaces the flow. If it cannot be fetched, the flow continues.
    Fetch(Arc<str>),
    /// The call ends in this way, and no element runs.
    End(Ending),
    /// The call ends, and no element runs.
    HangUp,
    /// The flow continues: at the element's branch, with its `action`, or at the next element.
    Onward,
}

impl Exit {
    /// The request fields that describe it.
    pub(super) fn fields(&self, room: &ConferenceName) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("ConferenceName", room.to_string()),
            ("ConferenceExitCause", self.cause.text().to_owned()),
        ];
        fields.extend(self.reason.iter().map(|it| ("ConferenceExitReason", it.to_string())));
        fields
    }

    /// The key of the document with which the call goes on; None if it goes on otherwise.
    pub fn document(&self) -> Option<u128> {
        let AfterExit::Document(flow) = &self.then else { return None };
        Some(flow.source.text.key())
    }

    /// Whether the call ends with it.
    pub fn ends_call(&self) -> bool {
        matches!(self.then, AfterExit::End(_) | AfterExit::HangUp)
    }
}

impl From<Cause> for Exit {
    fn from(cause: Cause) -> Self {
        let then = match cause.ending(Dialect::default()) {
            Some(_) => AfterExit::HangUp,
            None => AfterExit::Onward,
        };
        Self { cause, reason: None, then, dialled: None }
    }
}
