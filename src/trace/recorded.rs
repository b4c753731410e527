//! Recordings in traces: when one of a call, or of its conference, began, was interrupted, and ended.
//!
//! A recording of a call is in the lines of its trace. One of a conference is kept once, and shown in
//! the trace of each member for the time that they were there.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use serde::Serialize;
use uuid::Uuid;

use crate::base::ids::{RecordingId, RoomId};

/// Changes of a room's recording that are kept; a script that pauses in a loop makes more.
const CHANGES_MAX: usize = 100;

/// A change of a recording.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RecordingNote {
    /// The recording that changes.
    pub recording: RecordingId,
    /// What happens to it.
    pub step: RecordingStep,
}

/// What happens to a recording.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecordingStep {
    /// It begins, as the registry has noted it.
    Began {
        /// The `api_id` of the request; random if an element has started it.
        api_id: Uuid,
    },
    /// Nothing is recorded from now on: a request has paused it, or a member is alone.
    Interrupted(Interruption),
    /// This interruption is over.
    Continued(Interruption),
    /// It stops, for this `RecordingEndReason`. Its file is closed a little later.
    Stopped(&'static str),
}

impl RecordingStep {
    /// The begin (`on`) or the end of an interruption.
    pub fn interrupted(why: Interruption, on: bool) -> Self {
        match on {
            true => Self::Interrupted(why),
            false => Self::Continued(why),
        }
    }
}

/// The reason why nothing is recorded for a while.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Interruption {
    /// A request: the file has silence.
    Paused,
    /// One member is alone: the time is not in the file.
    Alone,
}

/// A recording, as its step shows it. Times are milliseconds since the call began.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TraceRecording {
    /// The id of the recording, and of its file.
    pub recording_id: RecordingId,
    /// The `api_id` of the request that started it; random if an element did.
    pub api_id: Uuid,
    /// When nothing was recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interruptions: Vec<TraceInterruption>,
}

impl Interruption {
    /// Its text, as in JSON.
    pub fn text(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Alone => "alone",
        }
    }
}

/// A time in which nothing was recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct TraceInterruption {
    /// The reason for it.
    pub why: Interruption,
    /// Its start, in milliseconds.
    pub from_ms: u32,
    /// Its end; None while it lasts.
    pub to_ms: Option<u32>,
}

/// The recordings of rooms: those that run, and the last ones that have ended.
#[derive(Debug, Default)]
pub(super) struct RoomRecordings {
    pub(super) rooms: BTreeMap<RoomId, Vec<RoomRecordingLines>>,
    /// The rooms of ended recordings, in the order of their ends.
    ended: VecDeque<RoomId>,
}

/// What is noted of one recording of a room.
#[derive(Debug)]
pub(super) struct RoomRecordingLines {
    pub(super) recording: RecordingId,
    pub(super) changes: Vec<(Instant, RecordingStep)>,
}

impl RoomRecordings {
    /// Adds a change. Of those that have ended, the last `ended_max` are kept.
    pub(super) fn note(
        &mut self,
        now: Instant,
        room: RoomId,
        change: RecordingNote,
        ended_max: usize,
    ) {
        let RecordingNote { recording, step } = change;
        if let RecordingStep::Began { .. } = step {
            let lines = RoomRecordingLines { recording, changes: vec![(now, step)] };
            return self.rooms.entry(room).or_default().push(lines);
        }
        let of_room = self.rooms.get_mut(&room).into_iter().flatten();
        let mut known = of_room.filter(|it| it.recording == recording);
        let Some(lines) = known.next() else { return };
        let is_stop = matches!(step, RecordingStep::Stopped(_));
        if is_stop || lines.changes.len() < CHANGES_MAX {
            lines.changes.push((now, step));
        }
        if is_stop {
            self.ended.push_back(room);
        }
        while ended_max < self.ended.len() {
            let oldest = self.ended.pop_front();
            oldest.into_iter().for_each(|it| self.forget_first(it));
        }
    }

    /// Forgets the first recording of a room: one at a time runs, so that it has ended.
    fn forget_first(&mut self, room: RoomId) {
        let Some(of_room) = self.rooms.get_mut(&room) else { return };
        if 1 < of_room.len() {
            of_room.remove(0);
        } else {
            self.rooms.remove(&room);
        }
    }
}
