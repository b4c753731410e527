//! Where a call is in its flow, as traces have it.

use super::Call;
use crate::{flow::WeakFlowText, trace::TraceElement};

impl Call {
    /// What an element of its document is, by its number.
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
