//! Recordings of a flow: what an element asks for, and what the flow is told of it.

use std::{sync::Arc, time::Duration};

use super::options::{Action, CallbackTarget, DocumentRequest, RecordingFormat};
use crate::{
    base::ids::{Dialect, RecordingId},
    media::RecordingChannels,
};

/// A recording that an element asks for: its attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordOptions {
    /// When it begins, and when it ends.
    pub kind: RecordKind,
    /// `fileFormat`, or `recordFileFormat` of `<Dial>`.
    pub format: RecordingFormat,
    /// `recordChannelType`; what a caller says alone for [`RecordKind::Message`].
    pub channels: RecordingChannels,
    /// `maxLength`; None: as long as the call.
    pub length: Option<Duration>,
    /// `callbackUrl` and `callbackMethod`: who is told when the file is complete.
    pub callback: Option<Arc<CallbackTarget>>,
}

/// When a recording of an element begins, and when it ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecordKind {
    /// At once, and the flow waits for its end: `<Record>`.
    Message,
    /// At once, until the call ends: `<Record recordSession="true">`.
    Session,
    /// When the next `<Dial>` connects the caller, until the call ends: `startOnDialAnswer`.
    OnDial,
    /// When its `<Dial>` connects the caller, until the two are separated.
    Dial,
}

/// A recording that begins when a `<Dial>` connects the call.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingRecording {
    /// The id that it will have, as its `action` was told; None: any.
    pub id: Option<RecordingId>,
    /// The attributes of its element.
    pub options: Arc<RecordOptions>,
}

/// Why a flow ends its recording.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecordStop {
    /// The caller pressed a key of `finishOnKey`.
    Key,
    /// It is as long as `maxLength` says.
    Length,
    /// The caller was silent for `timeout` seconds.
    Silence,
    /// A transfer ends the element.
    Transfer,
}

/// What a flow is told of the recording that it asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordReport {
    /// It runs; that of [`RecordKind::OnDial`] has an id, and begins later.
    Begun(RecordedFacts),
    /// Its file is complete.
    Over(RecordedFacts),
    /// It does not begin: there is no space, or there are too many.
    Refused,
}

/// A recording, as the fields of its `action` and callback have it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedFacts {
    /// None if nothing was recorded.
    pub id: Option<RecordingId>,
    /// The URL of the audio; empty if nothing was recorded.
    pub url: Arc<str>,
    /// The time of its first sample, in milliseconds since 1970; None: it has not begun.
    pub start_ms: Option<u64>,
    /// How it ended; None while it runs.
    pub end: Option<RecordedEnd>,
}

/// The end of a recording, as a flow is told of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RecordedEnd {
    /// The length of the audio.
    pub length: Duration,
    /// The text of `RecordingEndReason`.
    pub reason: &'static str,
}

impl RecordedFacts {
    /// Of a recording that did not begin.
    pub fn nothing() -> Self {
        let end = RecordedEnd { length: Duration::ZERO, reason: "" };
        Self { id: None, url: "".into(), start_ms: Some(0), end: Some(end) }
    }

    /// The fields of contract recording 3. What is not known yet is -1.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let or_unknown = |it: Option<u64>| it.map_or_else(|| "-1".to_owned(), |it| it.to_string());
        let ms = |it: RecordedEnd| u64::try_from(it.length.as_millis()).unwrap_or(u64::MAX);
        let length_ms = self.end.map(ms);
        let end_ms = self.start_ms.zip(length_ms).map(|(start, length)| start + length);
        vec![
            ("RecordUrl", self.url.to_string()),
            ("RecordingID", self.id.map_or_else(String::new, |it| it.to_string())),
            ("RecordingDuration", or_unknown(self.end.map(|it| it.length.as_secs()))),
            ("RecordingDurationMs", or_unknown(length_ms)),
            ("RecordingStartMs", or_unknown(self.start_ms)),
            ("RecordingEndMs", or_unknown(end_ms)),
        ]
    }

    /// The fields that only Vobiz has.
    pub fn more_fields(&self, dialect: Dialect) -> Vec<(&'static str, String)> {
        match dialect {
            Dialect::Plivo => Vec::new(),
            Dialect::Vobiz => {
                let mut fields = vec![("RecordFile", self.url.to_string())];
                let reason = self.end.map(|it| ("RecordingEndReason", it.reason.to_owned()));
                fields.extend(reason);
                fields
            }
        }
    }
}

/// The `action` of a `<Record>`, which is requested once its recording is known.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordAction {
    /// The URL and method, and whether the response is run.
    pub action: Action,
    /// The key that ended the recording.
    pub key: Option<char>,
}

impl RecordAction {
    /// The request with the fields of the recording.
    pub fn request(self, facts: &RecordedFacts, dialect: Dialect) -> DocumentRequest {
        let Self { action, key } = self;
        let mut fields = facts.fields();
        fields.push(("Digits", key.map_or_else(String::new, String::from)));
        fields.extend(facts.more_fields(dialect));
        action.request(fields, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(facts: &RecordedFacts) -> String {
        facts.fields().iter().map(|(_, value)| &**value).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_not_known_yet_is_minus_one() {
        let id = RecordingId::of(7);
        let waits = RecordedFacts { id: Some(id), url: "u".into(), start_ms: None, end: None };
        assert_eq!(shown(&waits), format!("u {id} -1 -1 -1 -1"));
        let runs = RecordedFacts { start_ms: Some(1_000), ..waits };
        assert_eq!(shown(&runs), format!("u {id} -1 -1 1000 -1"));
        let end = RecordedEnd { length: Duration::from_millis(2_500), reason: "HungUp" };
        let over = RecordedFacts { end: Some(end), ..runs };
        assert_eq!(shown(&over), format!("u {id} 2 2500 1000 3500"));
        assert_eq!(over.more_fields(Dialect::Plivo), []);
        let more = [("RecordFile", "u".to_owned()), ("RecordingEndReason", "HungUp".to_owned())];
        assert_eq!(over.more_fields(Dialect::Vobiz), more);
        assert_eq!(shown(&RecordedFacts::nothing()), "  0 0 0 0");
    }
}
