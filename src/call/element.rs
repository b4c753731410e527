//! Where a call is in its flow, as traces have it.

use super::Call;
use crate::trace::Element;

impl Call {
    /// What an element of its document is, by its number.
    pub fn element(&self, step: u32) -> Option<Element> {
        let found = self.run.element(step)?;
        let (verb, at) = (found.verb.info(), found.at);
        Some(Element { document: self.run.documents(), verb, at })
    }
}
