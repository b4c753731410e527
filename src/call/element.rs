//! Element of a call: its verb and position, for traces.

use std::sync::Arc;

use super::Call;
use crate::{
    flow::{PassedOver, WeakFlowText},
    trace::TraceElement,
};

impl Call {
    /// What of an element of the current document has no effect; None if all of it has.
    pub fn passed_over(&self, step: u32) -> Option<&Arc<PassedOver>> {
        self.run.element(step)?.passed_over.as_ref()
    }

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
