//! Forecast: the way on of a call that leaves its conference, decided or told in advance.

use std::sync::Arc;

use super::{
    AfterExit, Branch, Cause, Exit, FlowStep, Run, TextPosition, Verb, continuation::Continuation,
    verbs::ConferenceVerb,
};
use crate::media::Ending;

/// What a call would do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Forecast {
    /// Run an element.
    Element {
        /// Its name.
        tag: &'static str,
        /// Its id.
        id: Option<Arc<str>>,
        /// Where it stands in its document.
        at: TextPosition,
        /// It stands in the document that it runs now, not in one that comes with the kick.
        is_own: bool,
    },
    /// End.
    End(Ending),
    /// Ask this URL for a document.
    Fetch(Arc<str>),
}

impl Run {
    /// The number of the element of this id, if it lies ahead.
    pub fn find_ahead(&self, id: &str) -> Option<u32> {
        let steps = &self.flow.as_ref()?.steps;
        let found = steps.iter().position(|step| step.id.as_deref() == Some(id))?;
        u32::try_from(found).ok().filter(|step| self.step < *step)
    }

    /// What would follow this exit, were it now. It lets the call go on.
    pub fn forecast(&self, exit: &Exit) -> Forecast {
        let Some(way) = self.conference().map(|verb| self.continuation(verb, exit)) else {
            return Forecast::End(exit.cause.ending_at_end(self.dialect));
        };
        match way {
            Continuation::Ask(action) => Forecast::Fetch(action.url),
            Continuation::Fetch(url) => Forecast::Fetch(url),
            Continuation::Document(flow) => match flow.steps.first() {
                Some(step) => step.forecast(false),
                None => Forecast::End(Cause::Kicked.ending_at_end(self.dialect)),
            },
            Continuation::Step(number) => {
                let step = usize::try_from(number).ok();
                let step = step.and_then(|it| self.flow.as_ref()?.steps.get(it));
                let end = || Forecast::End(exit.cause.ending_at_end(self.dialect));
                step.map_or_else(end, |step| step.forecast(true))
            }
        }
    }

    /// The conference that the call is in, as its element has it.
    pub fn conference(&self) -> Option<&ConferenceVerb> {
        let Verb::Conference(verb) = &self.current()?.verb else { return None };
        Some(verb)
    }

    /// What whoever let it out has said, else the element's branch, else its action, else the
    /// next element.
    pub(super) fn continuation(&self, verb: &ConferenceVerb, exit: &Exit) -> Continuation {
        match &exit.then {
            AfterExit::Document(flow) => return Continuation::Document(flow.clone()),
            AfterExit::Element(step) => return Continuation::Step(*step),
            AfterExit::Fetch(url) => return Continuation::Fetch(url.clone()),
            AfterExit::HangUp | AfterExit::Onward => (),
        }
        if let Some(step) = Branch::of(exit.cause).and_then(|it| self.branch(it)) {
            return Continuation::Step(step);
        }
        match verb.options.action.as_ref().filter(|action| action.redirects) {
            Some(action) => Continuation::Ask(action.clone()),
            None => Continuation::Step(self.step + 1),
        }
    }
}

impl FlowStep {
    fn forecast(&self, is_own: bool) -> Forecast {
        Forecast::Element { tag: self.verb.info().tag, id: self.id.clone(), at: self.at, is_own }
    }
}
