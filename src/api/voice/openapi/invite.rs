//! Operation that calls somebody into a conference.

use serde_json::{Value, json};

use super::{Tag, calls::text, parameters, says, terms};
use crate::{
    api::{
        forms::VobizForm,
        openapi::{DialectDescriber, DocumentedAnswer, Operation},
        voice::calls::{
            DIGITS_MAX,
            invite::{CONFIRM_TIMEOUT, CONFIRM_TIMEOUT_MAX, RING_TIMEOUT, TIME_LIMIT},
            make::{NAME_CHARS_MAX, RING_TIMEOUT_MAX, TIME_LIMIT_MAX},
        },
    },
    base::ids::Dialect,
    flow::DESTINATIONS_MAX,
};

impl DialectDescriber {
    pub(in crate::api::voice) fn dial_member(self) -> Operation {
        let code = match (self.dialect, self.settings.vobiz) {
            (Dialect::Vobiz, VobizForm::Documented) => 200,
            (Dialect::Plivo, _) | (Dialect::Vobiz, VobizForm::Live) => 202,
        };
        let about = "They are called; the first that accepts becomes a member.";
        let dialled = says("MemberDialled", "member dial started");
        self.operation("dial_member", Tag::Members, "Calls somebody into a conference.")
            .about(
                "404 if there is no such conference: none is opened. When it ends, calls that ring \
                 end with 1000. Bans, the group and the size limit are checked on entry.",
            )
            .reads(body(self.dialect))
            .answers(DocumentedAnswer::json(code, about, dialled).with_warnings())
            .refuses(&[400, 415, 429, 504])
    }
}

fn body(dialect: Dialect) -> Value {
    let to = format!(
        "Whom to call; up to {DESTINATIONS_MAX}, with `<` between them, as in `POST Call/`. The first \
         that accepts becomes the member, the others end with 9000."
    );
    let users = "Who is called, as the groups know them, one for each of `to`, with `<` between. \
                 Required if a group guards the conference.";
    let leaves = "Brings the document that the call runs when it has left the conference. Without it, \
                  the call ends.";
    let beep = "`beep:1`, `beep:2`, a built-in sound, or a document; as the attribute.";
    let stays = dialect == Dialect::Plivo;
    let header = "^([A-Za-z0-9-]+=[!-+.-~-]*(,[A-Za-z0-9-]+=[!-+.-~-]*){0,31})?$";
    let mut body = parameters(&[
        ("from", text("^[+]?[!-*,-~][!-~]*$", 250, "The number that the callee sees.")),
        ("to", text("^[+]?[!-*,-;=-~][!-;=-~]*(<[!-*,-;=-~][!-;=-~]*){0,19}$", 5_000, &to)),
        ("caller_name", text("", NAME_CHARS_MAX, "The display name.")),
        ("sip_headers", text(header, 4_000, "`name=value,…`")),
        (
            "send_digits",
            text("^[0-9*#wW]*(<[0-9*#wW]*)*$", DIGITS_MAX, "Keys, once it is answered."),
        ),
        ("user", text("", 5_000, users)),
        ("ring_timeout", terms::number(1, RING_TIMEOUT_MAX, "Seconds until nobody answers.")),
        ("time_limit", terms::number(1, TIME_LIMIT_MAX, "Seconds of the call, from its answer.")),
        ("confirm_key", text("^[0-9*#]$", 1, "The key with which the callee accepts.")),
        ("confirm_sound", terms::document("Played before: a document of Play, Speak and Wait.")),
        (
            "confirm_timeout",
            terms::number(1, CONFIRM_TIMEOUT_MAX, "Seconds from the answer to the key."),
        ),
        ("muted", terms::flag(false, "The member enters muted.")),
        ("stay_alone", terms::flag(stays, "The member stays when all others have left.")),
        ("start_conference_on_enter", terms::flag(true, "The conference starts on the entry.")),
        ("end_conference_on_exit", terms::flag(false, "The conference ends with the exit.")),
        ("hangup_on_star", terms::flag(false, "The key `*` takes the member out.")),
        ("enter_sound", terms::cue(beep)),
        ("exit_sound", terms::cue(beep)),
        (
            "digits_match",
            text(
                "^[0-9*#]+(,[0-9*#]+)*$",
                1_000,
                "Patterns of keys that are reported, with commas.",
            ),
        ),
        ("callback_url", terms::url("Told of the member, and of calls that answer and end.")),
        ("callback_method", terms::method()),
        ("on_exit_action_url", terms::document(leaves)),
        ("on_exit_action_method", terms::method()),
    ]);
    for (name, default) in [
        ("ring_timeout", RING_TIMEOUT),
        ("time_limit", TIME_LIMIT),
        ("confirm_timeout", CONFIRM_TIMEOUT),
    ] {
        body["properties"][name]["default"] = default.into();
    }
    body["required"] = json!(["from", "to"]);
    body
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::voice::calls::invite::KNOWN;

    #[test]
    fn the_parameters_of_a_member_s_call_are_those_that_are_known() {
        let body = body(Dialect::Plivo);
        let described: BTreeSet<_> =
            body["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(described, BTreeSet::from(KNOWN));
    }
}
