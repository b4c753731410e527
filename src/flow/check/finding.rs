//! Findings, and the elements that they are about.

use std::sync::Arc;

use super::code::Code;
use crate::flow::{
    TextPosition, Verb,
    element::{XmlAttribute, XmlElement},
};

/// Something about a document that its author should know.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// Line and column.
    pub at: TextPosition,
    /// What kind of thing it is; it has the severity and the advice.
    pub code: Code,
    /// What is wrong or odd, in this very case.
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

/// An element that the flow comes to, and what it does.
pub(super) struct ParsedElement<'e, 'd> {
    pub(super) element: &'e XmlElement<'d>,
    /// By this it can be led to.
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
