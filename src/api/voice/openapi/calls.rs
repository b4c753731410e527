//! Operations of calls.

use serde_json::{Value, json};

use super::{Tag, empty, parameters, reference, says, terms};
use crate::api::{
    openapi::{DialectDescriber, DocumentedAnswer, Operation, query, uuid},
    voice::{
        calls::{
            DIGITS_MAX, LENGTH_MAX, SOUNDS_MAX,
            make::{
                MACHINE_DETECTION_NUMBERS, NAME_CHARS_MAX, RING_TIMEOUT, RING_TIMEOUT_MAX,
                SIP_AUTH, TIME_LIMIT_MAX,
            },
        },
        plivo, vobiz,
    },
};
use crate::media::DialCredentials;

/// The errors of operations with a body.
const BODY: [u16; 2] = [400, 415];

impl DialectDescriber {
    pub(in crate::api::voice) fn hang_up_call(self) -> Operation {
        self.operation("hang_up_call", Tag::Calls, "Hangs up a call.").answers(empty())
    }

    pub(in crate::api::voice) fn stop_play(self) -> Operation {
        let summary = "Stops what is played over a call.";
        self.operation("stop_play_to_call", Tag::Calls, summary).answers(empty())
    }

    pub(in crate::api::voice) fn stop_speak(self) -> Operation {
        let summary = "Stops what is spoken over a call.";
        self.operation("stop_speak_to_call", Tag::Calls, summary).answers(empty())
    }

    pub(in crate::api::voice) fn stream(self, id: &str) -> Operation {
        self.operation(id, Tag::Calls, "Streaming is not implemented yet.").refuses(&[400])
    }

    pub(in crate::api::voice) fn cancel(self) -> Operation {
        let summary = "Calls off a call that does not ring yet.";
        self.operation("cancel_request", Tag::Calls, summary).answers(empty())
    }

    pub(in crate::api::voice) fn list_calls(self) -> Operation {
        let text = || json!({ "type": "string" });
        let ended = "Of calls that are over: when they ended, in UTC.";
        let times = ["end_time", "end_time__gte", "end_time__gt", "end_time__lte", "end_time__lt"];
        let talked = "Of calls that are over: seconds from the answer to the end.";
        let lengths = ["", "__gte", "__gt", "__lte", "__lt"].map(|it| format!("bill_duration{it}"));
        let over = "Of calls that are over.";
        self.operation(
            "list_calls",
            Tag::Calls,
            "Lists calls: live, queued, or those that are over.",
        )
        .takes([
            status(),
            query("call_direction", terms::direction(), ""),
            query("from_number", text(), ""),
            query("to_number", text(), ""),
            query("limit", terms::number(1, 20, ""), "Of live and queued calls: 100,000 at most."),
            query("offset", terms::number(0, u32::MAX, ""), ""),
            query("parent_call_uuid", uuid(), over),
            query("hangup_cause_code", terms::number(0, 9_999, ""), over),
            query("hangup_source", text(), over),
        ])
        .takes(times.map(|name| query(name, terms::time(), ended)))
        .takes(lengths.map(|name| query(&name, terms::number(0, u32::MAX, ""), talked)))
        .answers(
            DocumentedAnswer::json(
                200,
                "Ids of live or queued calls; records of those that are over.",
                json!({ "oneOf": [reference("Records"), reference("CallIds")] }),
            )
            .with_warnings(),
        )
        .refuses(&[400])
    }

    pub(in crate::api::voice) fn show_call(self) -> Operation {
        let body = json!({ "oneOf": [reference("CallRecord"), reference("LiveCall")] });
        self.operation("show_call", Tag::Calls, "Shows a call: live, queued, or one that is over.")
            .takes([status()])
            .answers(DocumentedAnswer::json(200, "The call.", body))
            .refuses(&[400])
    }

    pub(in crate::api::voice) fn make_call(self) -> Operation {
        let code = self.by_dialect(201, 200);
        let said = self.by_dialect(["call fired", "calls fired"], ["Call fired", "Calls fired"]);
        let mut fired = reference("Fired");
        fired["properties"] = json!({ "message": { "enum": said } });
        self.operation("make_call", Tag::Calls, "Makes a call, or one to each of a list.")
            .about("All is looked at before anybody is called.")
            .reads(make_call())
            .answers(DocumentedAnswer::json(code, "They are queued.", fired).with_warnings())
            .refuses(&BODY)
    }

    pub(in crate::api::voice) fn transfer(self) -> Operation {
        let mut body = parameters(&[
            ("legs", terms::legs()),
            ("aleg_url", terms::document("The document that the call runs from now on.")),
            ("aleg_method", terms::method()),
            ("bleg_url", terms::document("The document that the connected callee runs.")),
            ("bleg_method", terms::method()),
        ]);
        let with = |legs: &str, required: &[&str]| json!({ "properties": { "legs": { "const": legs } }, "required": required });
        body["anyOf"] = json!([
            with("aleg", &["aleg_url"]),
            with("bleg", &["legs", "bleg_url"]),
            with("both", &["legs", "aleg_url", "bleg_url"]),
        ]);
        self.operation("transfer_call", Tag::Calls, "A call runs another document.")
            .about(
                "A member of a conference leaves it. `legs` says whose document is given: with `both`, \
                 the two leave in one step.",
            )
            .reads(body)
            .answers(
                DocumentedAnswer::json(202, "It does.", says("Transferred", "call transferred"))
                    .with_warnings(),
            )
            .refuses(&BODY)
    }

    pub(in crate::api::voice) fn play(self) -> Operation {
        let sound = terms::sound("[!\"$-+.0-9;->A-~-]", "[!-+.-~-]");
        let more = SOUNDS_MAX - 1;
        let list = json!({
            "type": "string",
            "maxLength": 8_000,
            "pattern": format!("^{sound}(,{sound}){{0,{more}}}$"),
        });
        let item = json!({ "type": "string", "maxLength": 2_000, "pattern": format!("^{sound}$") });
        let array =
            json!({ "type": "array", "minItems": 1, "maxItems": SOUNDS_MAX, "items": item });
        let mut body = parameters(&[
            ("urls", json!({ "oneOf": [list, array], "description": "Sounds, with commas." })),
            ("length", terms::number(1, LENGTH_MAX, "Seconds, and then it ends.")),
            ("legs", terms::legs()),
            ("loop", terms::flag(false, "Over and over.")),
            ("mix", terms::flag(true, "Over what is heard, and not instead of it.")),
        ]);
        body["required"] = json!(["urls"]);
        self.operation("play_to_call", Tag::Calls, "Plays sounds over a call.")
            .reads(body)
            .answers(
                DocumentedAnswer::json(202, "It plays.", says("CallDone", "play started"))
                    .with_warnings(),
            )
            .refuses(&BODY)
    }

    pub(in crate::api::voice) fn speak(self) -> Operation {
        let chars_max = self.by_dialect(plivo::SPEAK_CHARS_MAX, vobiz::SPEAK_CHARS_MAX);
        let mut keys = terms::speak(chars_max).to_vec();
        let kind = json!({
            "enum": ["text", "ssml"],
            "default": "text",
            "description": "SSML is not supported yet: it is read as it stands.",
        });
        keys.extend([
            ("type", kind),
            ("legs", terms::legs()),
            ("loop", terms::flag(false, "Over and over.")),
            ("mix", terms::flag(true, "Over what is heard, and not instead of it.")),
        ]);
        let mut body = parameters(&keys);
        body["required"] = json!(["text"]);
        self.operation("speak_to_call", Tag::Calls, "Speaks over a call.")
            .reads(body)
            .answers(
                DocumentedAnswer::json(202, "It speaks.", says("CallDone", "speak started"))
                    .with_warnings(),
            )
            .refuses(&BODY)
    }

    pub(in crate::api::voice) fn send_digits(self) -> Operation {
        let digits = json!({
            "type": "string",
            "pattern": format!("^[0-9*#wW]{{1,{DIGITS_MAX}}}$"),
            "description": "Keys; `w` is half a second, and `W` a second.",
        });
        let mut body = parameters(&[("digits", digits), ("leg", terms::legs())]);
        body["required"] = json!(["digits"]);
        self.operation("send_digits", Tag::Calls, "Sends tones of keys to a call's far end.")
            .reads(body)
            .answers(
                DocumentedAnswer::json(202, "They are sent.", says("CallDone", "digits sent"))
                    .with_warnings(),
            )
            .refuses(&BODY)
    }
}

fn status() -> Value {
    let about = "Without it: those that are over.";
    query("status", json!({ "enum": ["live", "queued"] }), about)
}

/// The body that makes calls (contract 5.2).
fn make_call() -> Value {
    let to = "Whom to call; up to a thousand, with `<` between them: `sim:NAME` (with `?ring_ms=N`, \
              `delay_ms=N`, `early_media_ms=N`, `busy`, `reject` or `no_answer`), a SIP URI, or a \
              number. 400 if there is no way to it.";
    let mut body = parameters(&[
        ("from", text("^[+]?[!-*,-~][!-~]*$", 250, "The caller's number.")),
        ("to", text("^[+]?[!-*,-;=-~][!-;=-~]*(<[!-*,-;=-~][!-;=-~]*)*$", 8_000, to)),
        ("answer_url", terms::document("Brings the document that the call runs.")),
        ("answer_method", terms::method()),
        ("fallback_url", terms::document("Asked if `answer_url` fails.")),
        ("fallback_method", terms::method()),
        ("ring_url", terms::url("Told that it rings.")),
        ("ring_method", terms::method()),
        ("hangup_url", terms::url("Told that the call is over.")),
        ("hangup_method", terms::method()),
        ("caller_name", text("", NAME_CHARS_MAX, "The display name.")),
        (
            "send_digits",
            text("^[0-9*#wW]*(<[0-9*#wW]*)*$", DIGITS_MAX, "Keys, once it is answered."),
        ),
        (
            "send_on_preanswer",
            terms::flag(false, "The keys are sent at early media, if it comes before the answer."),
        ),
        ("time_limit", terms::number(1, TIME_LIMIT_MAX, "Seconds that the call may last.")),
        ("hangup_on_ring", terms::number(0, RING_TIMEOUT_MAX, "Seconds of ringing; 0 is off.")),
        ("ring_timeout", terms::number(1, RING_TIMEOUT_MAX, "Seconds until nobody answers.")),
        (
            "sip_headers",
            text(
                "^([A-Za-z0-9-]+=[!-+.-~-]*(,[A-Za-z0-9-]+=[!-+.-~-]*){0,31})?$",
                4_000,
                "`name=value,…`",
            ),
        ),
        ("parent_call_uuid", uuid()),
        (
            "user",
            text(
                "",
                8_000,
                "Who is called, as the groups know them: one for each of `to`, with `<` between.",
            ),
        ),
        (
            "error_if_parent_not_found",
            terms::flag(false, "404 if there is no live call `parent_call_uuid`."),
        ),
    ]);
    body["properties"]["ring_timeout"]["default"] = RING_TIMEOUT.into();
    add_machine_detection(&mut body);
    body["required"] = json!(["from", "to", "answer_url"]);
    add_credentials(&mut body);
    body
}

/// User name and password, in both spellings; neither is of use without the other.
fn add_credentials(body: &mut Value) {
    let (least, most) = DialCredentials::PASSWORD_CHARS.into_inner();
    let about =
        "User name for a host of `sip.dial_allow` that asks for one; it needs the password.";
    let username = text("^[!-~]+$", DialCredentials::USERNAME_CHARS_MAX, about);
    let mut password = text("^[!-~]+$", most, "The password; it needs the user name.");
    password["minLength"] = least.into();
    for (name, password_name) in SIP_AUTH {
        body["properties"][name] = username.clone();
        body["properties"][password_name] = password.clone();
        body["dependentRequired"][name] = json!([password_name]);
        body["dependentRequired"][password_name] = json!([name]);
    }
}

pub(super) fn text(pattern: &str, chars_max: usize, about: &str) -> Value {
    json!({ "type": "string", "maxLength": chars_max, "pattern": pattern, "description": about })
}

fn add_machine_detection(body: &mut Value) {
    let idle = "Not supported yet: it is checked, and has no effect.";
    for (name, range) in MACHINE_DETECTION_NUMBERS {
        body["properties"][name] = terms::number(*range.start(), *range.end(), idle);
    }
    let words = json!({ "enum": [true, false, "true", "false", "hangup"], "description": idle });
    body["properties"]["machine_detection"] = words;
    body["properties"]["machine_detection_url"] = terms::url(idle);
    body["properties"]["machine_detection_method"] = terms::method();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::voice::calls::make::KNOWN;

    #[test]
    fn the_parameters_of_a_call_are_those_that_are_known() {
        let body = make_call();
        let described: BTreeSet<_> =
            body["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut known = BTreeSet::from(KNOWN);
        known.extend(MACHINE_DETECTION_NUMBERS.map(|it| it.0));
        known.extend(["machine_detection_url", "machine_detection_method"]);
        assert_eq!(described, known);
    }
}
