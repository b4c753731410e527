//! Findings, and the elements that they are about.

use std::sync::Arc;

use super::code::{Code, Severity};
use crate::flow::{
    TextPosition, Verb,
    element::{XmlAttribute, XmlElement},
};

/// An error or warning for the author of a document.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// Position of the element, attribute or text.
    pub at: TextPosition,
    /// The kind of mistake, which has a name, a default level and an advice.
    pub code: Code,
    /// The level of its code, unless another was chosen.
    pub level: Severity,
    /// Describes this case in one sentence.
    pub message: String,
}

/// Adds a finding, unless it is there, after those that stand before it in the document.
pub(super) fn add(findings: &mut Vec<Finding>, at: TextPosition, code: Code, message: String) {
    let finding = Finding { at, code, level: code.severity(), message };
    let place = findings.partition_point(|it| it.at <= at);
    if !findings.contains(&finding) {
        findings.insert(place, finding);
    }
}

/// An element of the flow with its parsed verb.
pub(super) struct ParsedElement<'e, 'd> {
    pub(super) element: &'e XmlElement<'d>,
    /// The `id` attribute, by which branches and kicks can reach it.
    pub(super) id: Option<Arc<str>>,
    pub(super) verb: Verb,
}

impl<'e, 'd> ParsedElement<'e, 'd> {
    pub(super) fn attribute(&self, name: &str) -> Option<&'e XmlAttribute<'d>> {
        attribute(self.element, name)
    }
}

pub(super) fn attribute<'e, 'd>(
    element: &'e XmlElement<'d>,
    name: &str,
) -> Option<&'e XmlAttribute<'d>> {
    element.attributes.iter().find(|it| it.name == name)
}
