//! Where a call goes on that is out of its conference: decided here, and foretold.

use std::sync::Arc;

use super::{
    Action, Branch, Cause, Exit, Flow, FlowError, Place, Run, Step, Then, Verb, verbs::Conference,
};
use crate::{base::ids::Dialect, media::Ending};

/// Where a call goes on.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Way {
    /// With the answer of the element's action.
    Ask(Action),
    /// With this document.
    Document(Arc<Flow>),
    /// With the document of this URL.
    Fetch(Arc<str>),
    /// At this element; the flow may have none of that number.
    Step(u32),
}

/// What a call would do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Run an element.
    Element {
        /// Its name.
        tag: &'static str,
        /// Its id.
        id: Option<Arc<str>>,
        /// Where it stands in its document.
        at: Place,
        /// It stands in the document that it runs now, not in one that comes with the kick.
        is_own: bool,
    },
    /// End.
    End(Ending),
    /// Ask this URL for a document.
    Fetch(Arc<str>),
}

/// A document for calls of either dialect, whose defaults differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Bilingual {
    plivo: Arc<Flow>,
    vobiz: Arc<Flow>,
}

impl Bilingual {
    /// Reads a document twice.
    ///
    /// # Errors
    ///
    /// It is no flow; that is so in both dialects.
    pub fn parse(document: &str) -> Result<Self, FlowError> {
        let read = |dialect| Flow::parse(document, dialect).map(Arc::new);
        Ok(Self { plivo: read(Dialect::Plivo)?, vobiz: read(Dialect::Vobiz)? })
    }

    /// As a call of this dialect runs it.
    pub fn of(&self, dialect: Dialect) -> &Arc<Flow> {
        match dialect {
            Dialect::Plivo => &self.plivo,
            Dialect::Vobiz => &self.vobiz,
        }
    }
}

impl Run {
    /// The number of the element of this id, if it lies ahead.
    pub fn ahead(&self, id: &str) -> Option<u32> {
        let steps = &self.flow.as_ref()?.steps;
        let found = steps.iter().position(|step| step.id.as_deref() == Some(id))?;
        u32::try_from(found).ok().filter(|step| self.step < *step)
    }

    /// What would follow this exit, were it now. It lets the call go on.
    pub fn forecast(&self, exit: &Exit) -> Next {
        let Some(way) = self.conference().map(|verb| self.way(verb, exit)) else {
            return Next::End(exit.cause.ending_at_end(self.dialect));
        };
        match way {
            Way::Ask(action) => Next::Fetch(action.url),
            Way::Fetch(url) => Next::Fetch(url),
            Way::Document(flow) => match flow.steps.first() {
                Some(step) => step.next(false),
                None => Next::End(Cause::Kicked.ending_at_end(self.dialect)),
            },
            Way::Step(number) => {
                let step = usize::try_from(number).ok();
                let step = step.and_then(|it| self.flow.as_ref()?.steps.get(it));
                let end = || Next::End(exit.cause.ending_at_end(self.dialect));
                step.map_or_else(end, |step| step.next(true))
            }
        }
    }

    /// The conference that the call is in, as its element has it.
    pub fn conference(&self) -> Option<&Conference> {
        let Verb::Conference(verb) = &self.current()?.verb else { return None };
        Some(verb)
    }

    /// What whoever let it out has said, else the element's branch, else its action, else the
    /// next element.
    pub(super) fn way(&self, verb: &Conference, exit: &Exit) -> Way {
        match &exit.then {
            Then::Document(flow) => return Way::Document(flow.clone()),
            Then::Element(step) => return Way::Step(*step),
            Then::Fetch(url) => return Way::Fetch(url.clone()),
            Then::HangUp | Then::Onward => (),
        }
        if let Some(step) = Branch::of(exit.cause).and_then(|it| self.branch(it)) {
            return Way::Step(step);
        }
        match verb.entry.action.as_ref().filter(|action| action.redirects) {
            Some(action) => Way::Ask(action.clone()),
            None => Way::Step(self.step + 1),
        }
    }
}

impl Step {
    fn next(&self, is_own: bool) -> Next {
        Next::Element { tag: self.verb.info().tag, id: self.id.clone(), at: self.at, is_own }
    }
}
