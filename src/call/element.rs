//! Element of a call: its verb and position, for traces.

use super::Call;
use crate::trace::TraceElement;

impl Call {
    /// An element of the current document by its number; None if it has no such element.
    pub fn element(&self, step: u32) -> Option<TraceElement> {
        let found = self.run.element(step)?;
        let (verb, at) = (found.verb.info(), found.at);
        Some(TraceElement { document: self.run.documents(), verb, at })
    }
}
