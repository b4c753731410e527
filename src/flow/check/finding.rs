//! Findings, and the elements that they are about.

use std::sync::Arc;

use super::code::Code;
use crate::flow::{
    TextPosition, Verb,
    element::{XmlAttribute, XmlElement},
};

/// An error or warning for the author of a document.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// Position of the element, attribute or text.
    pub at: TextPosition,
    /// Determines the severity and the advice.
    pub code: Code,
    /// Describes this case in one sentence.
    pub message: String,
}

/// Adds a finding, unless it is there, after those that stand before it in the document.
pub(super) fn add(findings: &mut Vec<Finding>, at: TextPosition, code: Code, message: String) {
    let finding = Finding { at, code, message };
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
