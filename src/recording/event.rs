//! Recording event: what subscribers are told of a recording's start and end.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Recording, RecordingCallback, RecordingEndReason, row};
use crate::{
    base::ids::{CallId, ConferenceName, RecordingId, RoomId},
    conference::MemberInfo,
    flow::{RecordedEnd, RecordedFacts},
};

/// A recording that has begun or ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RecordingEvent {
    /// The id of the recording, and of its file.
    pub recording: RecordingId,
    /// The `api_id` of the request that started it.
    pub api_id: Uuid,
    /// The recorded call, or a member of the recorded conference.
    pub call: CallId,
    /// The recorded conference; None if one call is recorded.
    pub conference: Option<ConferenceName>,
    /// The incarnation of that conference.
    pub room: Option<RoomId>,
    /// The URL of the audio.
    pub url: Arc<str>,
    /// The time of its first sample.
    pub started_at: SystemTime,
    /// The length of the audio, and why it ended; None: it has begun.
    pub end: Option<(Duration, RecordingEndReason)>,
    /// The member that is told of it, whose element has `record`; None: it is told as such.
    pub member: Option<MemberInfo>,
    /// Who is told of the end.
    pub callback: Option<RecordingCallback>,
}

impl RecordingEvent {
    /// The latest event of a recording.
    pub fn of(recording: &Recording, room: Option<RoomId>, url: String) -> Self {
        Self {
            recording: recording.id,
            api_id: recording.api_id,
            call: recording.call,
            conference: recording.conference.clone(),
            room,
            url: url.into(),
            started_at: recording.started_at,
            end: recording.end.as_ref().map(|it| (it.duration, it.reason)),
            member: None,
            callback: recording.callback.clone(),
        }
    }

    /// The recording, as the fields of an element have it.
    pub fn facts(&self) -> RecordedFacts {
        let end = |(length, reason): (Duration, RecordingEndReason)| RecordedEnd {
            length,
            reason: reason.text(),
        };
        RecordedFacts {
            id: Some(self.recording),
            url: self.url.clone(),
            start_ms: Some(row::micros(self.started_at) / 1_000),
            end: self.end.map(end),
        }
    }
}
