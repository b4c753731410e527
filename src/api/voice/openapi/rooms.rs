//! Conferences, their members, and the stream of events.

use axum::http::Method;
use serde_json::json;

use super::{Speaker, Tag, empty, parameters, reference, says, terms};
use crate::{
    api::{
        openapi::{Answer, Operation, header, query, uuid},
        voice::{Form, Manner, endpoints::Wish, plivo, vobiz},
    },
    base::ids::Dialect,
};

impl Speaker {
    pub(super) fn list_rooms(self) -> Operation {
        let answer = Answer::json(200, "Their names.", reference("Rooms"));
        self.operation("list_conferences", Tag::Rooms, "Lists the conferences.").answers(answer)
    }

    pub(super) fn show_room(self) -> Operation {
        let answer = Answer::json(200, "The conference.", reference("Room"));
        self.operation("show_conference", Tag::Rooms, "Shows a conference and its members.")
            .answers(answer)
            .refuses(&[504])
    }

    pub(super) fn hang_up_room(self) -> Operation {
        self.operation("hang_up_conference", Tag::Rooms, "Hangs up all members of a conference.")
            .answers(empty())
    }

    pub(super) fn hang_up_all(self) -> Operation {
        self.operation(
            "hang_up_conferences",
            Tag::Rooms,
            "Hangs up all members of all conferences.",
        )
        .answers(empty())
    }

    pub(super) fn record_room(self, method: &Method) -> Operation {
        let is_post = *method == Method::POST;
        let id = if is_post { "record_conference" } else { "stop_recording_conference" };
        let summary = "Recording is not implemented yet.";
        self.operation(id, Tag::Rooms, summary).refuses(&[501])
    }

    pub(super) fn members(self, wish: Wish) -> Operation {
        let (id, summary) = match wish {
            Wish::Deafen => ("deaf", "The members hear nothing from the conference."),
            Wish::HangUp => ("hang_up_member", "Hangs up the members."),
            Wish::Kick => {
                ("kick", "The members leave, and their calls go on with the next element.")
            }
            Wish::Mute => ("mute", "The others do not hear the members."),
            Wish::Play => ("play_to_member", "Plays a sound to the members."),
            Wish::Speak => ("speak_to_member", "Speaks to the members."),
            Wish::StopPlay => ("stop_play_to_member", "Stops what is played to the members."),
            Wish::StopSpeak => ("stop_speak_to_member", "Stops what is spoken to the members."),
            Wish::Undeafen => ("undeaf", "The members hear the conference again."),
            Wish::Unmute => ("unmute", "The others hear the members again."),
        };
        let operation = self.operation(id, Tag::Members, summary);
        let operation = operation.about("404 if none of the members is in the conference.");
        let operation = match wish {
            Wish::Play => {
                let sound = terms::sound("[!\"$-.0-9;->A-~]", "[!-~]");
                let url = json!({ "type": "string", "maxLength": 2_048, "pattern": format!("^{sound}$") });
                let mut body = parameters(&[("url", url)]);
                body["required"] = json!(["url"]);
                operation.reads(body).refuses(&[400, 415])
            }
            Wish::Speak => {
                let chars_max = self.by(plivo::SPEAK_CHARS_MAX, vobiz::SPEAK_CHARS_MAX);
                let mut body = parameters(&terms::speak(chars_max));
                body["required"] = json!(["text"]);
                operation.reads(body).refuses(&[400, 415])
            }
            Wish::Kick => return self.kick(operation),
            Wish::Deafen
            | Wish::HangUp
            | Wish::Mute
            | Wish::StopPlay
            | Wish::StopSpeak
            | Wish::Undeafen
            | Wish::Unmute => operation,
        };
        operation.answers(self.manner(wish))
    }

    /// How a success is told, as the dialect has it.
    fn manner(self, wish: Wish) -> Answer {
        match self.wishes(wish) {
            Manner::Silent => empty(),
            Manner::Spoken { status, message, form } => {
                let mut schema = says("MembersDone", message);
                let kind = match form {
                    Form::Array => "array",
                    Form::Text => "string",
                };
                schema["properties"]["member_id"] = json!({ "type": kind });
                Answer::json(status.as_u16(), "Done, to those of them who are there.", schema)
                    .with_remarks()
            }
        }
    }

    pub(super) fn wishes(self, wish: Wish) -> Manner {
        match self.dialect {
            Dialect::Plivo => plivo::manner(self.settings.plivo, wish),
            Dialect::Vobiz => vobiz::manner(self.settings.vobiz, wish),
        }
    }

    pub(super) fn events(self) -> Operation {
        let name = json!({ "type": "string", "minLength": 1, "maxLength": 256 });
        let last = json!({ "type": "string", "pattern": "^[0-9]{1,19}-[0-9]{1,19}$" });
        let about = "The stream goes on behind this event. Without it, it begins now.";
        self.operation("events", Tag::Events, "Streams what happens to calls and conferences.")
            .about(
                "Server-sent events, without an end: `id`, `event` (what happened) and `data` (its \
                 fields as a JSON object). An event `gap` says that some are no longer kept.",
            )
            .takes([
                query("conference", name, "Only what is about this conference."),
                query("call", uuid(), "Only what is about this call."),
                header("Last-Event-ID", last, about),
            ])
            .answers(Answer::text(200, "The stream.", "text/event-stream"))
            .refuses(&[400])
    }
}
