//! Preview: what a call would do next, and the values that its texts may name.

use std::sync::Arc;

use super::{Call, EffectResult};
use crate::flow::{AfterExit, Cause, Exit, Forecast, VariableValues};

impl Call {
    /// The next step of the call if it left its conference by this exit. Changes nothing.
    pub fn forecast(&self, exit: &Exit) -> Forecast {
        match exit.then {
            AfterExit::End(_) | AfterExit::HangUp => Forecast::End(self.ending(exit)),
            AfterExit::Document(_)
            | AfterExit::Element(_)
            | AfterExit::Fetch(_)
            | AfterExit::Onward => self.run.forecast(exit),
        }
    }

    /// The number of the element with this id; None unless it lies ahead in the flow.
    pub fn find_ahead(&self, id: &str) -> Option<u32> {
        self.run.find_ahead(id)
    }

    /// Keeps the facts of an exit from a conference.
    pub(super) fn note_exit(&mut self, exit: &Exit) {
        let conference = self.run.conference().map(|verb| verb.room.clone());
        let facts = self.facts.get_or_insert_default();
        (facts.conference, facts.cause) = (conference, Some(exit.cause));
        facts.reason = exit.reason.clone();
    }

    /// Keeps the keys of the last input.
    pub(super) fn note_digits(&mut self, digits: Arc<str>) -> EffectResult {
        self.facts.get_or_insert_default().digits = digits;
        EffectResult::Nothing
    }

    pub(super) fn values(&self) -> VariableValues<'_> {
        let facts = self.facts.as_deref();
        VariableValues {
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
