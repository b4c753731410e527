//! The reference as Markdown, for people.

use super::{Attr, RESPONSE, VerbInfo, doc, elements, idle, line, text_name, vendors};
use crate::flow::{ID, Variable, check::Code};

const INTRODUCTION: &str = "\
# The flow language

A flow is an XML document with the root `<Response>`. Its elements run one after the
other; after the last one, the call ends. Names are case-sensitive. A missing attribute has its
default; where the defaults of Plivo and Vobiz differ, the call's dialect decides. The document is in
UTF-8, ASCII or ISO-8859-1.

`conflow reference` prints this page.
";

const XSD: &str = "\
## What a schema cannot say

`conflow reference --format xsd` is for editors: they complete names and mark mistakes. XML Schema 1.0
cannot express some errors: a document type, an encoding that is not read, the limits of size, depth and
number, attributes without effect, two attributes that contradict each other, links to missing files, and
the order of elements.
";

/// The reference as one Markdown page.
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    elements().for_each(|info| element(info, &mut page));
    variables(&mut page);
    page += "\n## What `conflow check` finds\n\n";
    row(&mut page, &["code", "level", "meaning", "what to do"]);
    row(&mut page, &["---"; 4]);
    for code in Code::ALL {
        let name = format!("`{}`", code.text());
        let cells = [&name, code.severity().text(), &prose(code.doc()), &prose(code.advice())];
        row(&mut page, &cells);
    }
    page + "\n" + XSD
}

/// The variables of `<Speak>` and `<Play>`.
fn variables(page: &mut String) {
    *page += "\n## Variables\n\nIn the text of `<Speak>` and `<Play>`, `${name}` is replaced by a value, \
              and `${name:-text}` by the text\nif the value is missing or empty. `$${name}` stands for \
              itself.\n\n";
    row(page, &["variable", "value"]);
    row(page, &["---"; 2]);
    for (variable, name) in Variable::ALL {
        row(page, &[&format!("`${{{name}}}`"), variable.doc()]);
    }
}

fn element(info: &VerbInfo, page: &mut String) {
    *page += &format!("\n## `<{}>`\n\n{}\n\n", info.tag, doc(info.doc));
    let mut facts = Vec::new();
    if !info.is_run {
        facts.push("**Not run yet:** it is valid, and skipped.".to_owned());
    }
    if let (&[vendor], instead) = vendors(info.vendors) {
        let instead = instead.map(|it| format!("; the other vendor has {}", code_tags(it)));
        facts.push(format!("Only {vendor} documents it{}.", instead.unwrap_or_default()));
    }
    facts.extend(text_name(info.text).map(|text| format!("Text: {text}.")));
    if !info.children.is_empty() {
        facts.push(format!("Holds {}.", tags(info.children.iter().copied())));
    }
    if 0 < info.parents().count() {
        facts.push(format!("Allowed in {}.", tags(info.parents())));
    }
    if info.answers {
        facts.push("Answers the call if it is not answered yet.".to_owned());
    }
    for fact in facts {
        *page += &format!("- {fact}\n");
    }
    if info.tag == RESPONSE.tag {
        *page += "\nEvery direct child may also have:\n";
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
    // For an element that is not run, the page says so once.
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

/// Markdown would take a bare `<` for HTML.
fn code_tags(text: &str) -> String {
    text.replace('<', "`<").replace('>', ">`")
}

/// On one line, without anything that ends a table cell or begins HTML.
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
