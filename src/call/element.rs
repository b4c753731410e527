//! Element of a call: its verb and position, for traces.

use super::Call;
use crate::{flow::WeakFlowText, trace::TraceElement};

impl Call {
    /// An element of the current document by its number; None if it has no such element.
    pub fn element(&self, step: u32) -> Option<TraceElement> {
        let (found, flow) = (self.run.element(step)?, self.run.flow()?);
        Some(TraceElement {
            document: self.run.documents(),
            verb: found.verb.kind(),
            at: found.at,
            text: WeakFlowText::of(&flow.source.text),
        })
    }
}
