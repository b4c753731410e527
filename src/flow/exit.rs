//! Exit: how a call left its conference, and what follows.

use std::sync::Arc;

use super::{Flow, cause::Cause};

use crate::base::ids::Dialect;

/// How a call left its conference.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// Why.
    pub cause: Cause,
    /// In the words of whoever caused it.
    pub reason: Option<Arc<str>>,
    /// What follows.
    pub then: AfterExit,
}

/// What follows an exit.
#[derive(Clone, Debug, PartialEq)]
pub enum AfterExit {
    /// The flow gives way to this document.
    Document(Arc<Flow>),
    /// The flow goes on at the element of this number, which lies ahead.
    Element(u32),
    /// The flow gives way to the document of this URL; if that cannot be had, it goes on.
    Fetch(Arc<str>),
    /// The call is over.
    HangUp,
    /// The flow goes on: at the element's branch, at its `action`, or at the next element.
    Onward,
}

impl From<Cause> for Exit {
    fn from(cause: Cause) -> Self {
        let then = match cause.ending(Dialect::default()) {
            Some(_) => AfterExit::HangUp,
            None => AfterExit::Onward,
        };
        Self { cause, reason: None, then }
    }
}
