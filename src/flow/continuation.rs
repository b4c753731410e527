//! Continuations: the ways on for a call that is out of its conference.

use std::sync::Arc;

use super::{Action, Flow, FlowError};
use crate::base::ids::Dialect;

/// Where a call goes on.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Continuation {
    /// With the answer of the element's action.
    Ask(Action),
    /// With this document.
    Document(Arc<Flow>),
    /// With the document of this URL.
    Fetch(Arc<str>),
    /// At this element; the flow may have none of that number.
    Step(u32),
}

/// A document for calls of either dialect, whose defaults differ.
#[derive(Clone, Debug, PartialEq)]
pub struct DialectFlows {
    plivo: Arc<Flow>,
    vobiz: Arc<Flow>,
}

impl DialectFlows {
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
