//! Operations of recordings.

use serde_json::json;

use super::{Tag, empty, object, reference, terms};
use crate::{
    api::{
        openapi::{DialectDescriber, DocumentedAnswer, Operation, query, uuid},
        voice::recordings::{DAYS_MAX, LIMIT_DEFAULT, TYPES, limits},
    },
    base::ids::Dialect,
    flow::RecordingFormat,
};

impl DialectDescriber {
    pub(in crate::api::voice) fn list_recordings(self) -> Operation {
        let text = || json!({ "type": "string" });
        let nothing = "Recordings here have none: it finds nothing.";
        let added = "When the recording began, in UTC.";
        let stored = "Days since it began, at least 1.";
        let ends = ["", "__gte", "__gt", "__lte", "__lt"];
        let mut limit =
            terms::number(*limits(self.dialect).start(), *limits(self.dialect).end(), "");
        limit["default"] = LIMIT_DEFAULT.into();
        let objects = json!({ "type": "array", "items": self.recording() });
        let keys = [("api_id", uuid()), ("meta", reference("Meta")), ("objects", objects)];
        let listed = self
            .operation("list_recordings", Tag::Recordings, "Lists recordings, latest first.")
            .takes([
                query("limit", limit, ""),
                query("offset", terms::number(0, u32::MAX, ""), ""),
                query("from_number", text(), ""),
                query("to_number", text(), ""),
                query("call_uuid", uuid(), ""),
                query("conference_name", text(), ""),
                query("conference_uuid", text(), nothing),
                query("mpc_name", text(), nothing),
                query("mpc_uuid", text(), nothing),
                query("subaccount", text(), nothing),
            ])
            .takes(ends.map(|end| query(&format!("add_time{end}"), terms::time(), added)))
            .takes(ends.map(|end| {
                let days = terms::number(0, DAYS_MAX, "");
                query(&format!("recording_storage_duration{end}"), days, stored)
            }))
            .answers(DocumentedAnswer::json(200, "A page.", object(&keys)).with_warnings())
            .refuses(&[400]);
        match self.dialect {
            Dialect::Plivo => listed,
            Dialect::Vobiz => listed.takes([query(
                "recording_type",
                json!({ "enum": TYPES }),
                "Nothing here is of the type `trunk`.",
            )]),
        }
    }

    pub(in crate::api::voice) fn show_recording(self) -> Operation {
        self.operation("show_recording", Tag::Recordings, "Shows a recording.")
            .about("`recording_url` has a new signature, and opens the audio without credentials.")
            .answers(DocumentedAnswer::json(200, "The recording.", self.recording()))
    }

    pub(in crate::api::voice) fn delete_recording(self) -> Operation {
        self.operation("delete_recording", Tag::Recordings, "Deletes a recording and its audio.")
            .about("409 while it runs.")
            .answers(empty())
    }

    pub(in crate::api::voice) fn export_recordings(self) -> Operation {
        let summary = "The export of recordings is not implemented yet.";
        self.operation("export_recordings", Tag::Recordings, summary).refuses(&[400])
    }

    pub(in crate::api::voice) fn download_recording(self, format: RecordingFormat) -> Operation {
        let (id, summary, media_type) = match format {
            RecordingFormat::Mp3 => ("download_mp3", "Downloads an MP3 file.", "audio/mpeg"),
            RecordingFormat::Wav => ("download_wav", "Downloads a WAV file.", "audio/wav"),
        };
        self.operation(id, Tag::Recordings, summary)
            .about(
                "The file of a recording that has ended, in the format that `recording_format` says. \
                 Instead of credentials, a signature is good: `exp` and `sig` of `recording_url`. \
                 `Range` with one range brings a part.",
            )
            .answers(DocumentedAnswer::text(200, "The file.", media_type))
            .answers(DocumentedAnswer::text(206, "A part of it.", media_type))
            .refuses(&[403, 416])
    }

    fn recording(self) -> serde_json::Value {
        reference(self.by_dialect("PlivoRecording", "VobizRecording"))
    }
}
