//! Operation that shows the trace of a call: `Call/{call_uuid}/Trace/`.

use serde_json::{Value, json};

use super::{Tag, object};
use crate::api::openapi::{DialectDescriber, DocumentedAnswer, Operation, uuid};

impl DialectDescriber {
    pub(in crate::api::voice) fn trace(self) -> Operation {
        let mut body = object(&[
            ("api_id", uuid()),
            ("call_uuid", uuid()),
            ("steps", list(step())),
            ("dropped", count()),
        ]);
        may_have(&mut body, "remarks", list(warning()));
        may_have(&mut body, "crashed", json!({ "const": true }));
        let summary = "Tells what a call did, element by element, why each was over, and what was requested for it.";
        self.operation("trace_call", Tag::Calls, summary).answers(DocumentedAnswer::json(
            200,
            "Its steps so far.",
            body,
        ))
    }
}

fn step() -> Value {
    let mut step = object(&[
        ("document", count()),
        ("element", text()),
        ("from_ms", count()),
        ("to_ms", json!({ "type": ["integer", "null"], "minimum": 0 })),
        ("ended", json!({ "type": ["string", "null"] })),
    ]);
    // Elements have a place; requests have the rest.
    for name in ["line", "column", "status", "ms", "bytes"] {
        may_have(&mut step, name, count());
    }
    for name in ["purpose", "method", "content_type", "error", "excerpt"] {
        may_have(&mut step, name, text());
    }
    may_have(&mut step, "url", text());
    may_have(&mut step, "conference_uuid", uuid());
    may_have(&mut step, "passed_over", text());
    may_have(&mut step, "source", text());
    may_have(&mut step, "conference", text());
    may_have(&mut step, "member_id", count());
    may_have(&mut step, "asked", text());
    may_have(&mut step, "recording_id", uuid());
    may_have(&mut step, "api_id", uuid());
    may_have(&mut step, "interruptions", list(interruption()));
    may_have(&mut step, "reason", text());
    may_have(&mut step, "causes", list(link()));
    step
}

fn interruption() -> Value {
    object(&[
        ("why", json!({ "enum": ["paused", "alone"] })),
        ("from_ms", count()),
        ("to_ms", json!({ "type": ["integer", "null"], "minimum": 0 })),
    ])
}

fn warning() -> Value {
    object(&[("at_ms", count()), ("api_id", uuid()), ("remark", text())])
}

fn link() -> Value {
    let mut link = object(&[
        ("cause", text()),
        ("call_uuid", uuid()),
        ("element", text()),
        ("line", count()),
        ("column", count()),
    ]);
    may_have(&mut link, "api_id", uuid());
    may_have(&mut link, "command", text());
    may_have(&mut link, "who", text());
    link
}

fn may_have(object: &mut Value, name: &str, schema: Value) {
    object["properties"][name] = schema;
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}
