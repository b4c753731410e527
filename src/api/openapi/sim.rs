//! The simulated phones.

use serde_json::{Value, json};

use super::{DocumentedAnswer, Operation, Schemas, uuid};
use crate::sim_phones::{KEYS_MAX, NUMBER_CHARS_MAX, SCRIPT_ACTS_MAX};

/// What every one of them may be refused for.
const ALWAYS: [u16; 7] = [401, 404, 408, 413, 429, 500, 503];

/// What those that take a body may be refused for.
const BODY: [u16; 2] = [400, 415];

fn operation(id: &str, summary: &'static str) -> Operation {
    Operation::new(format!("sim_{id}"), "Simulated phones", summary).refuses(&ALWAYS)
}

/// One that does something to a phone.
fn action(id: &str, summary: &'static str, body: Value) -> Operation {
    operation(id, summary)
        .answers(DocumentedAnswer::json(202, "The phone is told.", reference("PhoneDone")))
        .refuses(&BODY)
        .refuses(&[409])
        .reads(body)
        .refuses(&[403])
}

pub(in crate::api) fn dial() -> Operation {
    operation("dial", "A phone dials in.")
        .about("404 if nobody has the number.")
        .reads(reference_required("Dial"))
        .answers(DocumentedAnswer::json(201, "It rings.", of(&[("call_uuid", uuid())])))
        .refuses(&BODY)
        .refuses(&[403])
}

pub(in crate::api) fn show() -> Operation {
    operation("show", "Shows a phone, and what it has heard.").answers(DocumentedAnswer::json(
        200,
        "The phone.",
        reference("Phone"),
    ))
}

pub(in crate::api) fn hang_up() -> Operation {
    operation("hang_up", "The phone hangs up.")
        .answers(DocumentedAnswer::nothing("It has hung up."))
        .refuses(&[409])
        .refuses(&[403])
}

pub(in crate::api) fn hold() -> Operation {
    let on = json!({ "type": "boolean" });
    action("hold", "The phone holds the engine, or is back.", of(&[("on", on)]))
}

pub(in crate::api) fn press() -> Operation {
    action("press", "The phone presses keys.", of(&[("digits", keys())]))
}

pub(in crate::api) fn talk() -> Operation {
    let ms = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    action("talk", "The phone talks for a while.", of(&[("ms", ms)]))
}

/// What they read and write.
pub(in crate::api) fn schemas(schemas: &mut Schemas) {
    let text = || json!({ "type": "string" });
    let maybe = |kind: &str| json!({ "type": [kind, "null"] });
    let done = of(&[("message", text()), ("api_id", uuid())]);
    schemas.put_written("PhoneDone", done);
    schemas.put_written("Dial", dial_schema());
    let heard = json!({ "enum": ["beep", "room", "silence", "sound", "speech", "wait"] });
    let mut entry = of(&[
        ("from_ms", json!({ "type": "integer" })),
        ("to_ms", maybe("integer")),
        ("heard", heard),
    ]);
    for name in ["conference", "url", "text"] {
        entry["properties"][name] = text();
    }
    let states = json!({ "enum": ["ringing", "in-progress", "completed"] });
    let mut phone = of(&[
        ("call_uuid", uuid()),
        ("from", text()),
        ("to", text()),
        ("state", states),
        ("hangup_cause_name", maybe("string")),
        ("hangup_cause_code", maybe("integer")),
        ("hangup_source", maybe("string")),
        ("timeline", json!({ "type": "array", "items": entry })),
    ]);
    phone["properties"]["timeline_dropped"] = json!({ "type": "integer", "minimum": 1 });
    schemas.put_written("Phone", phone);
}

fn dial_schema() -> Value {
    let number = json!({
        "type": "string", "minLength": 1, "maxLength": NUMBER_CHARS_MAX, "pattern": "^[ -~]+$",
    });
    let ms = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    let act = |name: &str, schema: Value| {
        let mut act = of(&[(name, schema)]);
        act["properties"]["after_ms"] = ms.clone();
        act
    };
    let acts = json!({ "oneOf": [
        act("hang_up", json!({ "const": true })),
        act("hold", json!({ "type": "boolean" })),
        act("press", keys()),
        act("talk_ms", ms.clone()),
    ]});
    let mut dial = of(&[("to", number.clone())]);
    dial["properties"]["from"] = number;
    let name = json!({ "type": "string", "maxLength": NUMBER_CHARS_MAX, "pattern": "^[ -~]*$" });
    dial["properties"]["caller_name"] = name;
    let script = json!({ "type": "array", "maxItems": SCRIPT_ACTS_MAX, "items": acts });
    dial["properties"]["script"] = script;
    dial
}

fn keys() -> Value {
    json!({ "type": "string", "pattern": format!("^[0-9*#A-D]{{1,{KEYS_MAX}}}$") })
}

/// An object with these keys, and no others unless they are added.
fn of(keys: &[(&str, Value)]) -> Value {
    let required: Vec<_> = keys.iter().map(|(name, _)| *name).collect();
    let properties = keys.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone()));
    let properties = Value::Object(properties.collect());
    json!({
        "type": "object", "required": required, "properties": properties,
        "additionalProperties": false,
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// One that must be there.
fn reference_required(name: &str) -> Value {
    let mut reference = reference(name);
    reference["required"] = json!(["to"]);
    reference
}
