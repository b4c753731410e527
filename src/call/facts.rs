//! What a call knows of where it was: what its texts may speak of; and what it would do next.

use std::sync::Arc;

use super::Call;
use crate::{
    base::ids::ConferenceName,
    flow::{Cause, Exit, Next, Then, Values},
};

/// What has come of the last conference, and of the last question.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) conference: Option<ConferenceName>,
    pub(super) cause: Option<Cause>,
    pub(super) reason: Option<Arc<str>>,
    pub(super) digits: Arc<str>,
}

impl Call {
    /// What the call would do next, were it let out of its conference so.
    pub fn forecast(&self, exit: &Exit) -> Next {
        match exit.then {
            Then::HangUp => Next::End(self.ending(exit)),
            Then::Document(_) | Then::Element(_) | Then::Fetch(_) | Then::Onward => {
                self.run.forecast(exit)
            }
        }
    }

    /// The number of the element of this id, if its flow has one that lies ahead.
    pub fn ahead(&self, id: &str) -> Option<u32> {
        self.run.ahead(id)
    }

    /// Keeps what may be spoken of its time in a conference.
    pub(super) fn note(&mut self, exit: &Exit) {
        let conference = self.run.conference().map(|verb| verb.room.clone());
        let facts = self.facts.get_or_insert_default();
        (facts.conference, facts.cause) = (conference, Some(exit.cause));
        facts.reason = exit.reason.clone();
    }

    pub(super) fn values(&self) -> Values<'_> {
        let facts = self.facts.as_deref();
        Values {
            call_from: &self.party.from,
            call_to: &self.party.to,
            conference_cause: facts.and_then(|it| it.cause).map_or("", Cause::text),
            conference_name: facts
                .and_then(|it| it.conference.as_ref())
                .map_or("", |it| it.as_str()),
            digits: facts.map_or("", |it| &it.digits),
            kick_reason: facts.and_then(|it| it.reason.as_deref()).unwrap_or_default(),
        }
    }
}
