//! Recordings in the steps of a call: those of its conferences, and the ends of its own.

use std::time::Instant;

use super::{
    lines::{CallTrace, millis},
    recorded::{RecordingStep, RoomRecordingLines, RoomRecordings},
    step::{TraceStep, recording_begun},
};

/// The end of a recording's step, if the call has left the conference and the recording goes on.
const LEFT: &str = "left";

/// The end of a recording's step, if the call was over before that was noted.
const CALL_ENDED: &str = "HungUp";

/// Adds the recordings of its conferences to the steps of a call, each after that of the stay.
pub(super) fn add_of_rooms(
    steps: Vec<TraceStep>,
    lines: &CallTrace,
    recordings: &RoomRecordings,
) -> Vec<TraceStep> {
    if recordings.rooms.is_empty() {
        return steps;
    }
    let mut all = Vec::with_capacity(steps.len());
    for stay in steps {
        let of_room = stay.conference_uuid.and_then(|it| recordings.rooms.get(&it));
        let shown: Vec<_> =
            of_room.into_iter().flatten().filter_map(|it| during(it, &stay, lines)).collect();
        all.push(stay);
        all.extend(shown);
    }
    all
}

/// The step of a recording while a call stayed; None if it did not run then.
fn during(it: &RoomRecordingLines, stay: &TraceStep, lines: &CallTrace) -> Option<TraceStep> {
    let at_ms = |at: &Instant| millis(at.saturating_duration_since(lines.began));
    let ((began, first), later) = it.changes.split_first()?;
    let RecordingStep::Began { api_id } = *first else { return None };
    let from_ms = at_ms(began).max(stay.from_ms);
    let mut step = recording_begun(from_ms, it.recording, api_id);
    step.document = stay.document;
    step.conference = stay.conference.clone();
    step.conference_uuid = stay.conference_uuid;
    for (at, change) in later {
        step.change(at_ms(at), *change);
    }
    if step.to_ms.is_some_and(|it| it <= stay.from_ms) {
        return None;
    }
    if let Some(left_ms) = stay.to_ms {
        if left_ms <= from_ms {
            return None;
        }
        if step.to_ms.is_none_or(|it| left_ms < it) {
            step.close_recording(left_ms, LEFT);
        }
    }
    let recording = step.recording.as_mut()?;
    recording.interruptions.retain(|it| it.to_ms.is_none_or(|to| from_ms < to));
    recording.interruptions.iter_mut().for_each(|it| it.from_ms = it.from_ms.max(from_ms));
    Some(step)
}

/// Closes the recordings of a call that is over.
pub(super) fn close_at_end(steps: &mut [TraceStep], ended_ms: u32) {
    let open = steps.iter_mut().filter(|it| it.recording.is_some() && it.to_ms.is_none());
    open.for_each(|it| it.close_recording(ended_ms, CALL_ENDED));
}
