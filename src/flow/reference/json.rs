//! The reference as JSON, for programs.

use serde_json::{Value, json as value};

use super::{
    Attr, RESPONSE, VerbInfo, bounds, doc, elements, idle, kind_name, line, text_name, vendors,
    words,
};
use crate::flow::{ID, Variable, check::Code};

/// The reference as JSON: `elements` with their `attributes`, the attributes that all elements of
/// `<Response>` share, the `variables` of texts, and the `codes` of findings.
pub fn json() -> String {
    let elements: Vec<_> = elements().map(element).collect();
    let codes: Vec<_> = Code::ALL.iter().map(|&it| code(it)).collect();
    let id = attribute(&RESPONSE, &ID);
    let variables: Vec<_> = Variable::ALL.iter().map(|it| variable(*it)).collect();
    let reference = value!({
        "elements": elements,
        "of_every_element_of_response": [id],
        "variables": variables,
        "codes": codes,
    });
    format!("{reference:#}\n")
}

fn variable((variable, name): (Variable, &str)) -> Value {
    value!({ "name": name, "doc": variable.doc() })
}

fn element(info: &VerbInfo) -> Value {
    let (vendors, instead) = vendors(info.vendors);
    value!({
        "name": info.tag,
        "doc": doc(info.doc),
        "vendors": vendors,
        "instead": instead,
        "text": text_name(info.text),
        "holds": info.children,
        "stands_in": info.parents().collect::<Vec<_>>(),
        "answers": info.answers,
        "is_run": info.is_run,
        "attributes": info.attrs.iter().map(|attr| attribute(info, attr)).collect::<Vec<_>>(),
    })
}

fn attribute(element: &VerbInfo, attr: &Attr) -> Value {
    let bounds = bounds(attr.kind);
    value!({
        "name": attr.name,
        "doc": line(attr.doc),
        "type": kind_name(attr.kind),
        "range": attr.kind.to_string(),
        "values": words(attr.kind),
        "min": bounds.map(|(min, _)| min),
        "max": bounds.and_then(|(_, max)| max),
        "default": { "plivo": attr.plivo, "vobiz": attr.vobiz },
        "example": attr.example,
        "idle": idle(element, attr),
    })
}

fn code(code: Code) -> Value {
    value!({
        "code": code.text(),
        "level": code.severity().text(),
        "severity": code.severity().old_text(),
        "doc": line(code.doc()),
        "advice": code.advice(),
    })
}
