//! Continuations: where a call can continue after its conference.

use std::sync::Arc;

use super::{Action, Flow, FlowError, FlowOrigin, SourceDocument};
use crate::base::ids::Dialect;

/// Where a call continues.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Continuation {
    /// With the response of the element's action.
    Ask(Action),
    Document(Arc<Flow>),
    /// With the document at this URL.
    Fetch(Arc<str>),
    /// At the element with this index, which may be past the end of the flow.
    Step(u32),
}

/// A document parsed for both dialects, since their defaults differ.
#[derive(Clone, Debug, PartialEq)]
pub struct DialectFlows {
    plivo: Arc<Flow>,
    vobiz: Arc<Flow>,
}

impl DialectFlows {
    /// Parses a document once for each dialect.
    ///
    /// # Errors
    ///
    /// The document is not a flow; that does not depend on the dialect.
    pub fn parse(document: &str) -> Result<Self, FlowError> {
        let source = SourceDocument { text: Arc::new(document.into()), origin: FlowOrigin::Inline };
        let read = |dialect| Flow::from_source(source.clone(), dialect).map(Arc::new);
        Ok(Self { plivo: read(Dialect::Plivo)?, vobiz: read(Dialect::Vobiz)? })
    }

    /// The flow with the defaults of this dialect.
    pub fn of(&self, dialect: Dialect) -> &Arc<Flow> {
        match dialect {
            Dialect::Plivo => &self.plivo,
            Dialect::Vobiz => &self.vobiz,
        }
    }
}
