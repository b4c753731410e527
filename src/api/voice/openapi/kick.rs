//! Operations of kicks and bans, with the extensions of conflow.

use serde_json::{Value, json};

use super::{Tag, empty, object, parameters, terms};
use crate::{
    api::{
        openapi::{DialectDescriber, DocumentedAnswer, Operation, query, uuid},
        voice::{MemberIdForm, SuccessReply, kick::REASON_CHARS_MAX, member_action::MemberAction},
    },
    conference::ban_list::BAN_MAX,
};

impl DialectDescriber {
    /// The parameters and the answers of a kick.
    pub(in crate::api::voice) fn kick(self, operation: Operation) -> Operation {
        let dry = terms::flag(false, "Tells who would leave, and changes nothing.");
        let operation = operation
            .about(
                "404 if none of the members is in the conference; 400, and nobody is kicked, if \
                 `then` is not possible for one of them.",
            )
            .takes([query("dry_run", dry, "")])
            .reads(body())
            .refuses(&[400, 429]);
        let dry = object(&[
            ("message", json!({ "const": "dry run" })),
            ("would_leave", json!({ "type": "array", "items": { "type": "object" } })),
            ("api_id", uuid()),
        ]);
        match self.success_reply(MemberAction::Kick) {
            SuccessReply::NoContent => operation.answers(empty()),
            SuccessReply::Body { status, message, form } => {
                let done = kicked(message, form);
                let (about, status) = ("Those of them who are there are out.", status.as_u16());
                match status {
                    200 => {
                        let either = json!({ "anyOf": [done, dry] });
                        operation
                            .answers(DocumentedAnswer::json(200, about, either).with_warnings())
                    }
                    _ => operation
                        .answers(DocumentedAnswer::json(200, "A dry run.", dry).with_warnings())
                        .answers(DocumentedAnswer::json(status, about, done).with_warnings()),
                }
            }
        }
    }

    pub(in crate::api::voice) fn bans(self, is_one: bool) -> Operation {
        let id = if is_one { "show_ban" } else { "list_bans" };
        let schema = match is_one {
            true => object(&[&ban()[..], &[("api_id", uuid())]].concat()),
            false => object(&[
                ("api_id", uuid()),
                ("bans", json!({ "type": "array", "items": object(&ban()) })),
            ]),
        };
        self.operation(id, Tag::Members, "Shows who may not come into a conference.")
            .answers(DocumentedAnswer::json(200, "Those that hold.", schema))
    }

    pub(in crate::api::voice) fn lift_bans(self, is_one: bool) -> Operation {
        let id = if is_one { "lift_ban" } else { "lift_bans" };
        self.operation(id, Tag::Members, "Lets the banned in again.").answers(empty())
    }
}

fn body() -> Value {
    let url = terms::document("The document that the calls run.");
    let one = |name: &str, schema: Value| object(&[(name, schema)]);
    let element = json!({ "type": "string", "minLength": 1 });
    let then = json!({
        "description": "Where the calls go on, instead of at the next element.",
        "oneOf": [
            { "const": "hangup" },
            one("element", element),
            one("xml", json!({ "type": "string" })),
            one("url", url),
        ],
    });
    let about = "In the callback, the events and `${kick.reason}`.";
    let reason = json!({
        "type": "string", "maxLength": REASON_CHARS_MAX, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        "description": about,
    });
    let seconds_max = u32::try_from(BAN_MAX.as_secs()).unwrap_or(u32::MAX);
    let ban = terms::number(1, seconds_max, "So long they may not come back.");
    parameters(&[("reason", reason), ("then", then), ("ban_seconds", ban)])
}

fn kicked(message: &str, form: MemberIdForm) -> Value {
    let ids = json!({ "type": "array", "items": { "type": "string" } });
    let member_id = match form {
        MemberIdForm::Array => ids.clone(),
        MemberIdForm::ByClient => {
            json!({ "type": ["string", "array"], "items": { "type": "string" } })
        }
        MemberIdForm::Text => json!({ "type": "string" }),
    };
    let mut kicked = parameters(&[
        ("message", json!({ "const": message })),
        ("member_id", member_id),
        ("api_id", uuid()),
        ("banned", ids.clone()),
        ("not_banned", ids),
    ]);
    kicked["required"] = json!(["message", "member_id", "api_id"]);
    kicked
}

fn ban() -> [(&'static str, Value); 5] {
    let text = || json!({ "type": "string" });
    [
        ("ban_id", json!({ "type": "string", "pattern": "^[0-9]+$" })),
        ("who", json!({ "type": "string", "pattern": "^(number|sip|user):" })),
        ("reason", json!({ "type": ["string", "null"] })),
        ("banned_at", text()),
        ("ends_at", text()),
    ]
}
