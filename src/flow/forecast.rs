//! Forecast: decides where a call continues after its conference, and predicts it for dry runs.

use std::sync::Arc;

use super::{
    Action, AfterExit, Branch, Cause, Exit, FlowStep, Run, TextPosition, Verb,
    continuation::Continuation, verbs::ConferenceVerb,
};
use crate::media::Ending;

/// Prediction of a call's next action.
#[derive(Clone, Debug, PartialEq)]
pub enum Forecast {
    /// It runs an element.
    Element {
        /// Tag, such as `Speak`.
        tag: &'static str,
        /// The `id` attribute, if it has one.
        id: Option<Arc<str>>,
        /// Position of its `<` in its document.
        at: TextPosition,
        /// Whether it is in the current document, not in one that comes with the kick.
        is_own: bool,
    },
    /// It ends in this way.
    End(Ending),
    /// It fetches the document at this URL.
    Fetch(Arc<str>),
}

impl Run {
    /// Index of the element with this id, if it comes after the current one.
    pub fn find_ahead(&self, id: &str) -> Option<u32> {
        let steps = &self.flow.as_ref()?.steps;
        let found = steps.iter().position(|step| step.id.as_deref() == Some(id))?;
        u32::try_from(found).ok().filter(|step| self.step < *step)
    }

    /// Predicts what would follow this exit now, for one that lets the call continue.
    pub fn forecast(&self, exit: &Exit) -> Forecast {
        let action = self.conference().map(|verb| verb.options.action.as_ref());
        let Some(way) = action.map(|it| self.continuation(it, exit)) else {
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

    /// The `<Conference>` that the call is in; None outside of conferences.
    pub fn conference(&self) -> Option<&ConferenceVerb> {
        let Verb::Conference(verb) = &self.current()?.verb else { return None };
        Some(verb)
    }

    /// Precedence: the exit's own instruction, the element's branch, its action, the next element.
    pub(super) fn continuation(&self, action: Option<&Action>, exit: &Exit) -> Continuation {
        match &exit.then {
            AfterExit::Document(flow) => return Continuation::Document(flow.clone()),
            AfterExit::Element(step) => return Continuation::Step(*step),
            AfterExit::Fetch(url) => return Continuation::Fetch(url.clone()),
            AfterExit::End(_) | AfterExit::HangUp | AfterExit::Onward => (),
        }
        if let Some(step) = Branch::of(exit.cause).and_then(|it| self.branch(it)) {
            return Continuation::Step(step);
        }
        match action.filter(|action| action.redirects) {
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
