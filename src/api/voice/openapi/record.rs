//! Operations that record calls and conferences.

use serde_json::{Value, json};

use super::{Tag, empty, one, parameters, reference, says, terms};
use crate::{
    api::{
        forms::VobizForm,
        openapi::{DialectDescriber, DocumentedAnswer, Operation},
    },
    base::ids::Dialect,
    recording::active::LENGTH_MAX,
};

impl DialectDescriber {
    pub(in crate::api::voice) fn record_call(self) -> Operation {
        let status = match (self.dialect, self.settings.vobiz) {
            (Dialect::Vobiz, VobizForm::Documented) => 200,
            (Dialect::Vobiz, VobizForm::Live) | (Dialect::Plivo, _) => 202,
        };
        let about = "Seconds; 60 without it.";
        let started = says("RecordStarted", "call recording started");
        self.operation("record_call", Tag::Calls, "Records a call, wherever it is.")
            .about(
                "What it says is in the left channel, what it hears in the right one. At most 4 \
                 recordings of a call at a time. 503 if the disk is nearly full, or too many run.",
            )
            .reads(self.begun_recording(about))
            .answers(DocumentedAnswer::json(status, "It runs.", started).with_warnings())
            .refuses(&[400, 415])
    }

    pub(in crate::api::voice) fn stop_recording_call(self) -> Operation {
        let mut url = json!({ "type": "string" });
        url["description"] = "Only the recording that has this URL.".into();
        self.operation("stop_recording_call", Tag::Calls, "Ends the recordings of a call.")
            .about("204 as well if there are none. Their callbacks follow.")
            .reads(parameters(&[("URL", url.clone()), ("url", url)]))
            .answers(empty().with_warnings())
            .refuses(&[415])
    }

    pub(in crate::api::voice) fn record_room(self) -> Operation {
        let answer = match (self.dialect, self.settings.vobiz) {
            (Dialect::Vobiz, VobizForm::Live) => {
                let mut spawned = reference("Spawned");
                spawned["properties"] = json!({ "message": one("async api spawned") });
                DocumentedAnswer::json(200, "It runs.", spawned)
            }
            (Dialect::Vobiz, VobizForm::Documented) | (Dialect::Plivo, _) => {
                let started = says("RecordStarted", "conference recording started");
                DocumentedAnswer::json(self.by_dialect(202, 200), "It runs.", started)
            }
        };
        let about = "Seconds; to the end of the conference without it.";
        self.operation("record_conference", Tag::Rooms, "Records the mix of a conference.")
            .about(
                "The file has one channel. A conference that is recorded already goes on, and the \
                 answer has the id of that recording. 503 if the disk is nearly full, or too many run.",
            )
            .reads(self.begun_recording(about))
            .answers(answer.with_warnings())
            .refuses(&[400, 415, 504])
    }

    pub(in crate::api::voice) fn stop_recording_room(self) -> Operation {
        let summary = "Ends the recording of a conference.";
        self.operation("stop_recording_conference", Tag::Rooms, summary)
            .about("204 as well if there is none. Its callback follows.")
            .answers(empty())
    }

    pub(in crate::api::voice) fn pause_recording_call(self, on: bool) -> Operation {
        let (id, summary) = match on {
            true => ("pause_recording_call", "Records silence in place of a call."),
            false => ("resume_recording_call", "Records a call again."),
        };
        self.paused(self.operation(id, Tag::Calls, summary))
    }

    pub(in crate::api::voice) fn pause_recording_room(self, on: bool) -> Operation {
        let (id, summary) = match on {
            true => ("pause_recording_conference", "Records silence in place of a conference."),
            false => ("resume_recording_conference", "Records a conference again."),
        };
        self.paused(self.operation(id, Tag::Rooms, summary))
    }

    fn paused(self, operation: Operation) -> Operation {
        operation
            .about("An extension, for card numbers. The file is as long as the time. 404 without a recording.")
            .answers(empty())
    }

    /// The parameters of a start.
    fn begun_recording(self, limit: &str) -> Value {
        let seconds = LENGTH_MAX.as_secs() as u32;
        let channels = self.by_dialect("stereo", "mono");
        let told = "Requested once the file is complete, with its URL, length and times.";
        let format = "Without an encoder (`lame`, `ffmpeg`) on the server the file is WAV, and the answer says so.";
        let mut format_schema = json!({ "enum": ["mp3", "wav"], "default": "mp3" });
        format_schema["description"] = format.into();
        parameters(&[
            ("time_limit", terms::number(1, seconds, limit)),
            ("file_format", format_schema),
            ("record_channel_type", json!({ "enum": ["mono", "stereo"], "default": channels })),
            ("callback_url", terms::url(told)),
            ("callback_method", terms::method()),
        ])
    }
}
