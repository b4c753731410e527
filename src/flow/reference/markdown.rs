//! The reference for people.

use super::{Attr, RESPONSE, VerbInfo, doc, elements, idle, line, text_name, vendors};
use crate::flow::{ID, check::Code};

const INTRODUCTION: &str = "\
# The flow language

A flow is an XML document in UTF-8 with the root `<Response>`. Its elements run one after the
other; behind the last one, the call ends. Names are as written here, and case counts. An attribute
that is not stated has its default; where Plivo's and Vobiz' differ, the call's dialect decides.

This page is made by `conflow reference`.
";

const XSD: &str = "\
## What a schema cannot say

`conflow reference --format xsd` is for editors: it completes names and marks what is wrong. It
marks more than `conflow check` calls an error (unknown attributes, values, stray text), and some
errors are beyond XML Schema 1.0: a document type, another encoding than UTF-8, the limits of size,
depth and number, two attributes that contradict each other, where links lead, and what comes after
what.
";

/// The reference in Markdown.
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    elements().for_each(|info| element(info, &mut page));
    page += "\n## What `conflow check` finds\n\n";
    row(&mut page, &["code", "level", "what it is", "what to do"]);
    row(&mut page, &["---"; 4]);
    for code in Code::ALL {
        let name = format!("`{}`", code.text());
        let cells = [&name, code.severity().text(), &prose(code.doc()), &prose(code.advice())];
        row(&mut page, &cells);
    }
    page + "\n" + XSD
}

fn element(info: &VerbInfo, page: &mut String) {
    *page += &format!("\n## `<{}>`\n\n{}\n\n", info.tag, doc(info.doc));
    let mut facts = Vec::new();
    if !info.is_run {
        facts.push("**Not run yet:** it is valid, and passed over.".to_owned());
    }
    if let (&[vendor], instead) = vendors(info.vendors) {
        let instead = instead.map(|it| format!("; the other has {}", code_tags(it)));
        facts.push(format!("Of {vendor} only{}.", instead.unwrap_or_default()));
    }
    facts.extend(text_name(info.text).map(|text| format!("Text: {text}.")));
    if !info.children.is_empty() {
        facts.push(format!("Holds {}.", tags(info.children.iter().copied())));
    }
    if 0 < info.parents().count() {
        facts.push(format!("Stands in {}.", tags(info.parents())));
    }
    if info.answers {
        facts.push("Answers a call that is not answered.".to_owned());
    }
    for fact in facts {
        *page += &format!("- {fact}\n");
    }
    if info.tag == RESPONSE.tag {
        *page += "\nEvery element that stands in it may have, beside its own attributes:\n";
        return attributes(info, &[ID], page);
    }
    attributes(info, info.attrs, page);
}

fn attributes(element: &VerbInfo, attrs: &[Attr], page: &mut String) {
    if attrs.is_empty() {
        return;
    }
    *page += "\n";
    row(page, &["attribute", "value", "default", "example", "what it does"]);
    row(page, &["---"; 5]);
    attrs.iter().for_each(|attr| attribute(element, attr, page));
}

fn attribute(element: &VerbInfo, attr: &Attr, page: &mut String) {
    let default = match (attr.plivo, attr.vobiz) {
        (None, None) => "none".to_owned(),
        (plivo, vobiz) if plivo == vobiz => code(plivo),
        (plivo, vobiz) => format!("Plivo {}, Vobiz {}", code(plivo), code(vobiz)),
    };
    // Of a whole element, that has been said above.
    let idle = idle(element, attr).filter(|_| element.is_run);
    let idle = idle.map(|it| format!(" *No effect yet: {it}.*"));
    let what = prose(attr.doc) + &idle.unwrap_or_default();
    let (name, range) = (format!("`{}`", attr.name), prose(&attr.kind.to_string()));
    row(page, &[&name, &range, &default, &code(Some(attr.example)), what.trim()]);
}

fn code(value: Option<&str>) -> String {
    match value {
        None => "none".to_owned(),
        Some("") => String::new(),
        Some(value) => format!("`{value}`"),
    }
}

fn tags(tags: impl Iterator<Item = &'static str>) -> String {
    tags.map(|tag| format!("`<{tag}>`")).collect::<Vec<_>>().join(", ")
}

/// Markdown takes a bare `<` for HTML.
fn code_tags(text: &str) -> String {
    text.replace('<', "`<").replace('>', ">`")
}

/// In one line, and nothing in it ends a cell or begins HTML.
fn prose(text: &str) -> String {
    let text = line(text);
    match text.contains('`') {
        true => text,
        false => text.replace('&', "&amp;").replace('<', "&lt;").replace('*', "\\*"),
    }
}

fn row(page: &mut String, cells: &[&str]) {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    *page += &format!("| {} |\n", cells.join(" | "));
}
