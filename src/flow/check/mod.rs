//! Flow checks: finds errors and warnings in documents before a caller does.
//!
//! [`check`] checks one document, [`check_folder`] the links between the documents of a folder.

mod attributes;
mod code;
mod finding;
mod folder;
mod levels;
mod order;
mod outline;

pub use self::{
    code::{Code, Severity},
    finding::Finding,
    folder::{check_folder, links},
    levels::{Levels, unknown},
};
use self::{finding::ParsedElement, order::ElementOrder, outline::Outline};
use super::{
    Flow, FlowError, TextPosition, Verb,
    attrs::ElementReader,
    branch,
    element::XmlElement,
    encoding,
    verbs::{PreAnswerVerb, RESPONSE, VerbInfo},
    xml::{self, XmlDocument},
};
use crate::base::ids::Dialect;

/// A document with its findings.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Errors, warnings and hints, sorted by position.
    pub findings: Vec<Finding>,
    /// The levels that the document chooses in its comments.
    pub levels: Levels,
    outline: Outline,
}

impl Checked {
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
    let decoded = encoding::decode(document, None);
    // Invalid UTF-8 becomes an empty text, which is not a document either.
    let text = str::from_utf8(&decoded).unwrap_or_default();
    let Ok(XmlDocument { root, directives }) = xml::read_document(text, RESPONSE.tag) else {
        parsed.err().iter().for_each(|error| checked.add_error(error));
        return checked;
    };
    checked.levels = levels::of_document(text, &directives, &mut checked.findings);

    let items = read(&root, dialect, &mut checked);
    // Adds the parser's error in case the checks here miss it.
    let runs = parsed.is_ok();
    parsed.err().iter().for_each(|error| checked.add_error(error));
    attributes::judge(&root, text, dialect, &mut checked.findings);
    // The order of elements matters only in a document that runs.
    if runs {
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
