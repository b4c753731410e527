//! Traces: the steps of each call and their causes, to answer "why did my caller hear this?".
//!
//! Lines are noted as events happen, a few for each element, and are turned into [`TraceStep`]s on
//! request. A call that waits in a conference has two or three lines: 150 bytes in total, and a
//! microsecond or two of work. So traces are always on.

pub mod archive;
mod fetched;
mod lines;
mod recorded;
mod shown_recordings;
mod step;
mod stored;

use serde::Serialize;

pub use self::{
    fetched::{EXCERPT_CHARS_MAX, FetchRecord, excerpt},
    lines::{
        CalleeNote, ENDED_MAX, HEAD_MAX, Initiator, Leaving, RequestWarning, Requested, TAIL_MAX,
        TraceElement, TraceEvent, Traces,
    },
    recorded::{Interruption, RecordingNote, RecordingStep, TraceInterruption, TraceRecording},
    step::{ATTEMPT, CauseLink, FETCH, RECORDING, TraceCallee, TraceStep, TraceWarning},
    stored::{ShownTrace, StoredTrace, TraceSnapshot},
};
use crate::{
    base::ids::{AccountId, CallId},
    flow::TextPosition,
};

/// A call's trace, as the API and the simulation show it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Trace {
    /// The elements that the call has run and the requests that were made for it, in order.
    pub steps: Vec<TraceStep>,
    /// The ignored parameters of requests about the call.
    #[serde(rename = "remarks", skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<TraceWarning>,
    /// The number of lines dropped between the first [`HEAD_MAX`] and the last [`TAIL_MAX`].
    pub dropped: u32,
}

impl Trace {
    /// Fills in [`TraceStep::source`]. It scans each document from the top, so do not hold a lock.
    pub fn add_sources(&mut self) {
        for step in self.steps.iter_mut().filter(|it| it.fetch.is_none()) {
            let at = TextPosition { line: step.line, column: step.column };
            step.source = step.text.get().and_then(|it| it.excerpt(at));
        }
    }
}

impl Traces {
    /// The trace of an account's call; None if the call is unknown or its trace was dropped.
    pub fn show(&self, account: &AccountId, call: CallId) -> Option<Trace> {
        let lines = self.calls.get(call).filter(|it| it.account == *account)?;
        let warnings = lines.warnings();
        let mut steps = self.all_steps(call, lines);
        if let Some(ended_ms) = lines.ended_ms() {
            shown_recordings::close_at_end(&mut steps, ended_ms);
        }
        let steps = shown_recordings::add_of_rooms(steps, lines, &self.rooms);
        Some(Trace { steps, warnings, dropped: lines.dropped() })
    }
}

#[cfg(test)]
mod tests;
