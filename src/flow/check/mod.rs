//! What a document's author should know before a caller finds out: faults, remarks, and where the
//! call goes on or does not.
//!
//! [`check`] looks at one document, [`among`] at what the documents of a folder are to each other.

mod attributes;
mod code;
mod folder;
mod order;
mod outline;

use std::sync::Arc;

pub use self::{
    code::{Code, Severity},
    folder::among,
};
use self::{order::Order, outline::Outline};
use super::{
    Flow, FlowError, Place, Verb,
    attrs::Reading,
    branch,
    element::{Attribute, Element},
    verbs::{PreAnswer, RESPONSE, VerbInfo},
    xml,
};
use crate::base::ids::Dialect;

/// Something about a document that its author should know.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// Line and column.
    pub at: Place,
    /// What kind of thing it is; it has the severity and the advice.
    pub code: Code,
    /// What is wrong or odd, in this very case.
    pub message: String,
}

/// A document that has been looked at.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// In the order of the document.
    pub findings: Vec<Finding>,
    outline: Outline,
}

impl Checked {
    /// Whether there is a fault.
    pub fn is_faulty(&self) -> bool {
        self.findings.iter().any(|it| it.code.severity() == Severity::Fault)
    }

    fn find(&mut self, at: Place, code: Code, message: String) {
        let finding = Finding { at, code, message };
        let place = self.findings.partition_point(|it| it.at <= at);
        if !self.findings.contains(&finding) {
            self.findings.insert(place, finding);
        }
    }

    fn refuse(&mut self, error: &FlowError) {
        self.find(error.at, Code::from(&error.fault), error.fault.to_string());
    }
}

/// An element that the flow comes to, and what it does.
struct Item<'e, 'd> {
    element: &'e Element<'d>,
    /// By this it can be led to.
    id: Option<Arc<str>>,
    verb: Verb,
}

impl<'e, 'd> Item<'e, 'd> {
    fn attribute(&self, name: &str) -> Option<&'e Attribute<'d>> {
        attribute(self.element, name)
    }
}

fn attribute<'e, 'd>(element: &'e Element<'d>, name: &str) -> Option<&'e Attribute<'d>> {
    element.attributes.iter().find(|it| it.name == name)
}

/// Looks at one document as it comes from a file. What is no XML has one fault, that of the
/// parser; else there may be one for each element.
pub fn check(document: &[u8], dialect: Dialect) -> Checked {
    let mut checked = Checked::default();
    let parsed = Flow::from_bytes(document, dialect);
    // Empty is no document either.
    let text = str::from_utf8(document).unwrap_or_default();
    let Ok(root) = xml::read(text, RESPONSE.tag) else {
        parsed.err().iter().for_each(|error| checked.refuse(error));
        return checked;
    };

    let items = read(&root, dialect, &mut checked);
    // The parser has the last word, whatever it looks at that is not looked at here.
    parsed.err().iter().for_each(|error| checked.refuse(error));
    attributes::judge(&root, dialect, &mut checked);
    // In a document that does not run, nothing comes after anything.
    if !checked.is_faulty() {
        let order = Order::of(&items);
        order.judge(&mut checked);
        checked.outline = Outline::of(&root, &order);
    }
    checked
}

/// The elements that are sound, as [`Flow::parse`] has them, past the faults.
fn read<'e, 'd>(
    root: &'e Element<'d>,
    dialect: Dialect,
    checked: &mut Checked,
) -> Vec<Item<'e, 'd>> {
    let mut remarks = Vec::new();
    let mut items = Vec::new();
    let (info, element) = (&RESPONSE, root);
    Reading { dialect, info, element, is_top: false, remarks: &mut remarks }.survey_self();
    let mut take = |parent: &VerbInfo, element: &'e Element<'d>| {
        let is_top = parent.tag == RESPONSE.tag;
        let id = is_top.then(|| branch::id(element, &mut remarks)).flatten();
        match Verb::parse(parent, element, dialect, &mut remarks) {
            Ok(verb) => items.push(Item { element, id, verb }),
            Err(error) => checked.refuse(&error),
        }
    };
    for element in &root.children {
        take(&RESPONSE, element);
        if element.tag == PreAnswer::INFO.tag {
            element.children.iter().for_each(|early| take(&PreAnswer::INFO, early));
        }
    }
    for remark in remarks {
        checked.find(remark.at, Code::from(&remark.oddity), remark.oddity.to_string());
    }
    items
}
