//! Operations of conferences, their members, and the event stream.

use serde_json::{Value, json};

use super::{Tag, empty, parameters, reference, says, terms};
use crate::{
    api::{
        openapi::{DialectDescriber, DocumentedAnswer, Operation},
        voice::{MemberIdForm, SuccessReply, member_action::MemberAction, plivo, vobiz},
    },
    base::ids::Dialect,
};

impl DialectDescriber {
    pub(in crate::api::voice) fn list_rooms(self) -> Operation {
        let answer = DocumentedAnswer::json(200, "Their names.", reference("Rooms"));
        self.operation("list_conferences", Tag::Rooms, "Lists the conferences.").answers(answer)
    }

    pub(in crate::api::voice) fn show_room(self) -> Operation {
        let answer = DocumentedAnswer::json(200, "The conference.", reference("Room"));
        self.operation("show_conference", Tag::Rooms, "Shows a conference and its members.")
            .answers(answer)
            .refuses(&[504])
    }

    pub(in crate::api::voice) fn hang_up_room(self) -> Operation {
        self.operation("hang_up_conference", Tag::Rooms, "Hangs up all members of a conference.")
            .answers(empty())
    }

    pub(in crate::api::voice) fn hang_up_all(self) -> Operation {
        self.operation(
            "hang_up_conferences",
            Tag::Rooms,
            "Hangs up all members of all conferences.",
        )
        .answers(empty())
    }

    pub(in crate::api::voice) fn members(self, action: MemberAction) -> Operation {
        let (id, summary) = match action {
            MemberAction::Deafen => ("deaf", "The members hear nothing from the conference."),
            MemberAction::HangUp => ("hang_up_member", "Hangs up the members."),
            MemberAction::Hold => {
                ("hold", "The members neither hear the conference nor are heard, and stay members.")
            }
            MemberAction::Kick => {
                ("kick", "The members leave, and their calls go on with the next element.")
            }
            MemberAction::Mute => ("mute", "The others do not hear the members."),
            MemberAction::Play => ("play_to_member", "Plays a sound to the members."),
            MemberAction::Speak => ("speak_to_member", "Speaks to the members."),
            MemberAction::StopPlay => {
                ("stop_play_to_member", "Stops what is played to the members.")
            }
            MemberAction::StopSpeak => {
                ("stop_speak_to_member", "Stops what is spoken to the members.")
            }
            MemberAction::Undeafen => ("undeaf", "The members hear the conference again."),
            MemberAction::Unhold => ("unhold", "The members are back, with their own flags."),
            MemberAction::Unmute => ("unmute", "The others hear the members again."),
        };
        let operation = self.operation(id, Tag::Members, summary);
        let operation = operation.about("404 if none of the members is in the conference.");
        let operation = match action {
            MemberAction::Play => {
                let mut body = parameters(&[("url", sound_url())]);
                body["required"] = json!(["url"]);
                operation.reads(body).refuses(&[400, 415])
            }
            MemberAction::Speak => {
                let chars_max = self.by_dialect(plivo::SPEAK_CHARS_MAX, vobiz::SPEAK_CHARS_MAX);
                let mut body = parameters(&terms::speak(chars_max));
                body["required"] = json!(["text"]);
                operation.reads(body).refuses(&[400, 415])
            }
            MemberAction::Hold => {
                let about = "Played meanwhile: a sound (`sound:hold`, or a file such as \
                             `https://…/music.mp3`), or a document of Play, Speak and Wait. Without \
                             it, each member's wait sound.";
                let mut url = sound_url();
                url["description"] = about.into();
                operation.reads(parameters(&[("url", url)])).refuses(&[400])
            }
            MemberAction::Kick => return self.kick(operation),
            MemberAction::Deafen
            | MemberAction::HangUp
            | MemberAction::Mute
            | MemberAction::StopPlay
            | MemberAction::StopSpeak
            | MemberAction::Undeafen
            | MemberAction::Unhold
            | MemberAction::Unmute => operation,
        };
        operation.answers(self.success_answer(action))
    }

    /// The dialect's answer to a successful action.
    fn success_answer(self, action: MemberAction) -> DocumentedAnswer {
        match self.success_reply(action) {
            SuccessReply::NoContent => empty(),
            SuccessReply::Body { status, message, form } => {
                let mut schema = says("MembersDone", message);
                let kind = match form {
                    MemberIdForm::Array => json!("array"),
                    MemberIdForm::ByClient => json!(["string", "array"]),
                    MemberIdForm::Text => json!("string"),
                };
                schema["properties"]["member_id"] = json!({ "type": kind });
                DocumentedAnswer::json(
                    status.as_u16(),
                    "Done, to those of them who are there.",
                    schema,
                )
                .with_warnings()
            }
        }
    }

    pub(super) fn success_reply(self, action: MemberAction) -> SuccessReply {
        match self.dialect {
            Dialect::Plivo => plivo::success_reply(self.settings.plivo, action),
            Dialect::Vobiz => vobiz::success_reply(self.settings.vobiz, action),
        }
    }
}

fn sound_url() -> Value {
    let sound = terms::sound("[!\"$-.0-9;->A-~]", "[!-~]");
    json!({ "type": "string", "maxLength": 2_048, "pattern": format!("^{sound}$") })
}
