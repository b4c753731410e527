//! Flow checks: finds errors and warnings in documents before a caller does.
//!
//! [`check`] checks one document, [`check_folder`] the links between the documents of a folder.

mod attributes;
mod code;
mod finding;
mod folder;
mod order;
mod outline;

pub use self::{
    code::{Code, Severity},
    finding::Finding,
    folder::check_folder,
};
use self::{finding::ParsedElement, order::ElementOrder, outline::Outline};
use super::{
    Flow, FlowError, TextPosition, Verb,
    attrs::ElementReader,
    branch,
    element::XmlElement,
    verbs::{PreAnswerVerb, RESPONSE, VerbInfo},
    xml,
};
use crate::base::ids::Dialect;

/// A document with its findings.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Errors and warnings, sorted by position.
    pub findings: Vec<Finding>,
    outline: Outline,
}

impl Checked {
    /// Whether the document has an error and so does not run.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|it| it.code.severity() == Severity::Error)
    }

    fn add(&mut self, at: TextPosition, code: Code, message: String) {
        finding::add(&mut self.findings, at, code, message);
    }

    fn add_error(&mut self, error: &FlowError) {
        self.add(error.at, Code::from(&error.error), error.error.to_string());
    }
}

/// Checks one document. If it is not XML, the parser's error is the only finding; otherwise each
/// element may have findings.
pub fn check(document: &[u8], dialect: Dialect) -> Checked {
    let mut checked = Checked::default();
    let parsed = Flow::from_bytes(document, dialect);
    // Invalid UTF-8 becomes an empty text, which is not a document either.
    let text = str::from_utf8(document).unwrap_or_default();
    let Ok(root) = xml::read(text, RESPONSE.tag) else {
        parsed.err().iter().for_each(|error| checked.add_error(error));
        return checked;
    };

    let items = read(&root, dialect, &mut checked);
    // Adds the parser's error in case the checks here miss it.
    parsed.err().iter().for_each(|error| checked.add_error(error));
    attributes::judge(&root, dialect, &mut checked.findings);
    // The order of elements matters only in a document that runs.
    if !checked.has_errors() {
        let order = ElementOrder::of(&items);
        order.judge(&mut checked.findings);
        checked.outline = Outline::of(&root, &order);
    }
    checked
}

/// Parses each element as [`Flow::parse`] does, and continues after errors.
fn read<'e, 'd>(
    root: &'e XmlElement<'d>,
    dialect: Dialect,
    checked: &mut Checked,
) -> Vec<ParsedElement<'e, 'd>> {
    let mut warnings = Vec::new();
    let mut items = Vec::new();
    let (info, element) = (&RESPONSE, root);
    ElementReader { dialect, info, element, is_top: false, warnings: &mut warnings }.check_self();
    let mut take = |parent: &VerbInfo, element: &'e XmlElement<'d>| {
        let is_top = parent.tag == RESPONSE.tag;
        let id = is_top.then(|| branch::id(element, &mut warnings)).flatten();
        match Verb::parse(parent, element, dialect, &mut warnings) {
            Ok(verb) => items.push(ParsedElement { element, id, verb }),
            Err(error) => checked.add_error(&error),
        }
    };
    for element in &root.children {
        take(&RESPONSE, element);
        if element.tag == PreAnswerVerb::INFO.tag {
            element.children.iter().for_each(|early| take(&PreAnswerVerb::INFO, early));
        }
    }
    for warning in warnings {
        checked.add(warning.at, Code::from(&warning.warning), warning.warning.to_string());
    }
    items
}
