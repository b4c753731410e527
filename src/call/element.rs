//! Where a call is in its flow, as traces have it.

use super::Call;
use crate::trace::TraceElement;

impl Call {
    /// What an element of its document is, by its number.
    pub fn element(&self, step: u32) -> Option<TraceElement> {
        let found = self.run.element(step)?;
        let (verb, at) = (found.verb.info(), found.at);
        Some(TraceElement { document: self.run.documents(), verb, at })
    }
}
