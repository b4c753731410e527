//! Steps of a trace: each element with its start, its end and the causes of the end.

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::{
    FetchRecord,
    lines::{CallTrace, CalleeNote, Initiator, Leaving, Requested, TraceEvent, TraceLine, Traces},
    recorded::{RecordingNote, RecordingStep, TraceInterruption, TraceRecording},
};
use crate::{
    base::ids::{AccountId, CallId, ConferenceName, MemberId, RecordingId, RoomId},
    flow::{Cause, PassedOver, Purpose, TextPosition, WeakFlowText, verbs::VerbKind},
    media::{DialAttempt, Ending, HangupSource},
};

/// An element that a call has run, a request for a document or a sound, an attempt to reach the far
/// end, or a recording.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct TraceStep {
    /// The number of documents that the call had run, this one included: from 1.
    pub document: u32,
    /// The document's URL without its query; None of a local first document. Of a request: its URL,
    /// with the values of secret parameters masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Arc<str>>,
    /// The element's tag, such as `Conference`; of a request: [`FETCH`]; of an attempt: [`ATTEMPT`]; of a
    /// recording: [`RECORDING`].
    pub element: &'static str,
    /// The request, and how it went; None of an element.
    #[serde(flatten)]
    pub fetch: Option<Arc<FetchRecord>>,
    /// The attempt to reach the far end; None of other steps.
    #[serde(flatten)]
    pub attempt: Option<Arc<DialAttempt>>,
    /// The recording of the call or its conference; None of other steps.
    #[serde(flatten)]
    pub recording: Option<Box<TraceRecording>>,
    /// The line of its `<`, from 1; 0 of a request, which has no place.
    #[serde(skip_serializing_if = "is_zero")]
    pub line: u32,
    /// The column of its `<`, from 1; 0 of a request.
    #[serde(skip_serializing_if = "is_zero")]
    pub column: u32,
    /// The line of the document, as [`excerpt`](crate::flow::FlowText::excerpt) shows it. None if the
    /// document is no longer in memory, or before [`add_sources`](super::Trace::add_sources).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The text of the document.
    #[serde(skip)]
    pub(super) text: WeakFlowText,
    /// The start, in milliseconds since the call began.
    pub from_ms: u32,
    /// The end, in milliseconds since the call began; None while the element runs.
    pub to_ms: Option<u32>,
    /// The conference that the call entered; None of other elements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conference: Option<ConferenceName>,
    /// The id of that incarnation of the conference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conference_uuid: Option<RoomId>,
    /// The call's member id there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_id: Option<MemberId>,
    /// The callees of a `<Dial>`, in the order in which they were heard of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callees: Vec<TraceCallee>,
    /// What of it had no effect, and why: all of it, if it ended as `passed over`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<Arc<str>>,
    /// The URL of the document that it fetched, without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Arc<str>>,
    /// The reason for the end: `done`, `passed over`, `asked`, an exit cause, `transferred`, or a hang-up cause.
    pub ended: Option<&'static str>,
    /// The text of the request that kicked the member, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// The chain of causes of the end; the root cause is last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<CauseLink>,
}

/// A callee of a `<Dial>`. Times are milliseconds since the caller's call began.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TraceCallee {
    /// The callee's call, which has a trace of its own.
    pub call_uuid: CallId,
    /// The destination, as the flow names it.
    pub to: Arc<str>,
    /// When its far end answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_ms: Option<u32>,
    /// When it was connected with the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_ms: Option<u32>,
    /// When its call was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u32>,
    /// The hang-up cause that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<&'static str>,
}

/// The end of an element that is read and not run.
const PASSED_OVER: &str = "passed over";

/// The `element` of a step that is a request. Tags begin with a capital letter.
pub const FETCH: &str = "fetch";

/// The `element` of a step that is a recording.
pub const RECORDING: &str = "recording";

/// The `element` of a step that is an attempt to reach the far end.
pub const ATTEMPT: &str = "attempt";

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(place: &u32) -> bool {
    *place == 0
}

/// A parameter of a request about the call that conflow ignored.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TraceWarning {
    /// The time, in milliseconds since the call began.
    pub at_ms: u32,
    /// The request's id, as its response has it.
    pub api_id: Uuid,
    /// The parameter and why it was ignored.
    #[serde(rename = "remark")]
    pub warning: Arc<str>,
}

/// One cause in the chain that led to a step's end.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CauseLink {
    /// An exit cause or a hang-up cause.
    pub cause: &'static str,
    /// The call that this happened to.
    pub call_uuid: CallId,
    /// The tag of the element that the call was at.
    pub element: &'static str,
    /// The line of its `<`, from 1.
    pub line: u32,
    /// The column of its `<`, from 1.
    pub column: u32,
    /// The id of the request that caused it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_id: Option<Uuid>,
    /// The name of that request's command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<&'static str>,
    /// The account that made that request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<AccountId>,
}

/// A member whose exit makes others leave did not leave because of another one, so no chain has
/// more than two links.
const LINKS_MAX: usize = 2;

impl Traces {
    pub(super) fn steps(
        &self,
        call: CallId,
        lines: &CallTrace,
        links_max: usize,
    ) -> Vec<TraceStep> {
        let mut reader = StepBuilder {
            traces: self,
            call,
            lines,
            links_max,
            steps: Vec::new(),
            current: None,
            next_url: None,
            request: None,
        };
        lines.iter().for_each(|line| reader.read(line));
        reader.steps
    }

    pub(super) fn all_steps(&self, call: CallId, lines: &CallTrace) -> Vec<TraceStep> {
        self.steps(call, lines, LINKS_MAX)
    }
}

impl CallTrace {
    pub(super) fn warnings(&self) -> Vec<TraceWarning> {
        let warnings = self.iter().filter_map(|line| match &line.what {
            TraceEvent::Warned(it) => Some(TraceWarning {
                at_ms: line.at_ms,
                api_id: it.api_id,
                warning: it.warning.clone(),
            }),
            TraceEvent::Attempted(_)
            | TraceEvent::Began { .. }
            | TraceEvent::Callee(_)
            | TraceEvent::Ended(_)
            | TraceEvent::Entered { .. }
            | TraceEvent::Fetched(_)
            | TraceEvent::Fetching { .. }
            | TraceEvent::Left(_)
            | TraceEvent::PassedOver(_)
            | TraceEvent::Recording(_)
            | TraceEvent::Refused(_)
            | TraceEvent::Requested(_) => None,
        });
        warnings.collect()
    }
}

/// Turns lines into steps.
struct StepBuilder<'a> {
    traces: &'a Traces,
    call: CallId,
    lines: &'a CallTrace,
    links_max: usize,
    steps: Vec<TraceStep>,
    /// The index of the last element in `steps`.
    current: Option<usize>,
    /// The URL of the next document.
    next_url: Option<Arc<str>>,
    /// The last request about the call.
    request: Option<Initiator>,
}

impl StepBuilder<'_> {
    fn read(&mut self, line: &TraceLine) {
        let at_ms = line.at_ms;
        match &line.what {
            TraceEvent::Warned(_) => (),
            TraceEvent::Attempted(attempt) => self.steps.push(TraceStep {
                element: ATTEMPT,
                from_ms: at_ms.saturating_sub(attempt.took_ms),
                to_ms: Some(at_ms),
                ended: Some("done"),
                attempt: Some(attempt.clone()),
                ..TraceStep::default()
            }),
            TraceEvent::Began { document, verb, at, text } => {
                self.began(at_ms, *document, *verb, *at, text);
            }
            TraceEvent::Callee(note) => self.callee(at_ms, note),
            TraceEvent::Ended(ending) => self.ended(at_ms, *ending),
            TraceEvent::Entered { room, member } => {
                if let Some(step) = self.open() {
                    step.conference = Some(room.key.name.clone());
                    step.conference_uuid = Some(room.id);
                    step.member_id = Some(*member);
                }
            }
            TraceEvent::Fetched(record) => self.fetched(at_ms, record),
            TraceEvent::Fetching { url, purpose } => self.fetching(at_ms, url, *purpose),
            TraceEvent::Left(leaving) => self.left(at_ms, leaving),
            TraceEvent::PassedOver(passed_over) => {
                let PassedOver { is_all, what } = &**passed_over;
                if let Some(step) = self.open() {
                    step.passed_over = Some(what.clone());
                }
                if *is_all {
                    self.close(at_ms, PASSED_OVER, None);
                }
            }
            TraceEvent::Recording(change) => self.recording(at_ms, **change),
            TraceEvent::Refused(cause) => self.close(at_ms, cause.text(), None),
            TraceEvent::Requested(request) => {
                let Requested { api_id, command } = **request;
                self.request = Some(Initiator::Request { api_id, command });
            }
        }
    }

    fn began(
        &mut self,
        at_ms: u32,
        document: u32,
        verb: VerbKind,
        at: TextPosition,
        text: &WeakFlowText,
    ) {
        self.close(at_ms, "done", None);
        let url = match self.last().filter(|it| it.document == document) {
            Some(before) => before.url.clone(),
            None => self.next_url.take(),
        };
        let step = TraceStep {
            document,
            url,
            element: verb.info().tag,
            line: at.line,
            column: at.column,
            text: text.clone(),
            from_ms: at_ms,
            ..TraceStep::default()
        };
        self.current = Some(self.steps.len());
        self.steps.push(step);
    }

    fn callee(&mut self, at_ms: u32, note: &CalleeNote) {
        let CalleeNote { call, to, what, is_over } = note;
        let Some(step) = self.last() else { return };
        let at = step.callees.iter().position(|it| it.call_uuid == *call);
        let at = at.unwrap_or_else(|| {
            step.callees.push(TraceCallee {
                call_uuid: *call,
                to: to.clone(),
                answered_ms: None,
                connected_ms: None,
                ended_ms: None,
                ended: None,
            });
            step.callees.len() - 1
        });
        let callee = &mut step.callees[at];
        match *what {
            cause if *is_over => (callee.ended_ms, callee.ended) = (Some(at_ms), Some(cause)),
            "answered" => callee.answered_ms = Some(at_ms),
            _ => callee.connected_ms = Some(at_ms),
        }
    }

    /// A request is over. It is no part of the element that may run meanwhile.
    fn fetched(&mut self, at_ms: u32, record: &Arc<FetchRecord>) {
        let document = self.last().map_or(0, |it| it.document);
        self.steps.push(TraceStep {
            document,
            url: Some(record.url.clone()),
            element: FETCH,
            from_ms: at_ms.saturating_sub(record.ms),
            to_ms: Some(at_ms),
            ended: Some(if record.error.is_some() { "failed" } else { "done" }),
            fetch: Some(record.clone()),
            ..TraceStep::default()
        });
    }

    /// A recording is no part of the element that may run meanwhile.
    fn recording(&mut self, at_ms: u32, change: RecordingNote) {
        let RecordingNote { recording, step: what } = change;
        let is_it = |it: &&mut TraceStep| {
            it.recording.as_ref().is_some_and(|it| it.recording_id == recording)
        };
        if let RecordingStep::Began { api_id } = what {
            let document = self.last().map_or(0, |it| it.document);
            let begun = recording_begun(at_ms, recording, api_id);
            self.steps.push(TraceStep { document, ..begun });
        } else if let Some(step) = self.steps.iter_mut().find(is_it) {
            step.change(at_ms, what);
        }
    }

    fn ended(&mut self, at_ms: u32, ending: Ending) {
        let by = self.request.filter(|_| ending.source == HangupSource::ApiRequest);
        self.close(at_ms, ending.cause.name(), by);
    }

    fn fetching(&mut self, at_ms: u32, url: &Arc<str>, purpose: Purpose) {
        let is_transfer = purpose == Purpose::Transfer;
        if let Some(step) = self.open() {
            step.asked = (!is_transfer).then(|| url.clone());
        }
        match is_transfer {
            true => self.close(at_ms, Cause::Transferred.text(), self.request),
            false => self.close(at_ms, "asked", None),
        }
        self.next_url = Some(url.clone());
    }

    fn left(&mut self, at_ms: u32, leaving: &Leaving) {
        let Leaving { cause, reason, by } = leaving;
        let is_asked = matches!(cause, Cause::HungUpByApi | Cause::Transferred);
        let by = by.or_else(|| self.request.filter(|_| is_asked));
        self.close(at_ms, cause.text(), by);
        let Some(step) = self.last() else { return };
        step.reason = reason.clone();
        let link = match by {
            Some(Initiator::Call(other)) => self.cause_of_departure(other, at_ms),
            Some(Initiator::Request { .. }) | None => None,
        };
        if let Some(step) = self.last() {
            step.causes.extend(link);
        }
    }

    /// The cause of the exit of `other`, which made this call leave.
    fn cause_of_departure(&self, other: CallId, at_ms: u32) -> Option<CauseLink> {
        let lines = self.traces.calls.get(other).filter(|_| 1 < self.links_max)?;
        let at = self.lines.moment(at_ms);
        let mut steps = self.traces.steps(other, lines, self.links_max - 1).into_iter().rev();
        let was_in = |it: &TraceStep| {
            it.conference.is_some() && it.to_ms.is_some_and(|to| lines.moment(to) <= at)
        };
        let step = steps.find(was_in)?;
        match step.causes.into_iter().next() {
            Some(link) => Some(link),
            // The other call left by itself.
            None => Some(CauseLink {
                cause: step.ended?,
                call_uuid: other,
                element: step.element,
                line: step.line,
                column: step.column,
                api_id: None,
                command: None,
                who: None,
            }),
        }
    }

    /// The last element.
    fn last(&mut self) -> Option<&mut TraceStep> {
        self.steps.get_mut(self.current?)
    }

    fn open(&mut self) -> Option<&mut TraceStep> {
        self.last().filter(|it| it.to_ms.is_none())
    }

    fn close(&mut self, at_ms: u32, why: &'static str, by: Option<Initiator>) {
        let (call, lines) = (self.call, self.lines);
        let Some(step) = self.open() else { return };
        step.to_ms = Some(at_ms);
        step.ended = Some(why);
        let Some(by) = by else { return };
        let (api_id, command) = match by {
            Initiator::Call(_) => (None, None),
            Initiator::Request { api_id, command } => (Some(api_id), Some(command)),
        };
        step.causes.push(CauseLink {
            cause: why,
            call_uuid: call,
            element: step.element,
            line: step.line,
            column: step.column,
            api_id,
            command,
            who: api_id.is_some().then(|| lines.account.clone()),
        });
    }
}

/// The step of a recording that begins.
pub(super) fn recording_begun(from_ms: u32, recording_id: RecordingId, api_id: Uuid) -> TraceStep {
    let recording = TraceRecording { recording_id, api_id, interruptions: Vec::new() };
    TraceStep {
        element: RECORDING,
        from_ms,
        recording: Some(Box::new(recording)),
        ..TraceStep::default()
    }
}

impl TraceStep {
    /// Makes its times those of another beginning, so many milliseconds earlier.
    pub fn shift(&mut self, by_ms: u32) {
        self.from_ms += by_ms;
        self.to_ms = self.to_ms.map(|to| to + by_ms);
        for it in self.recording.iter_mut().flat_map(|it| &mut it.interruptions) {
            it.from_ms += by_ms;
            it.to_ms = it.to_ms.map(|to| to + by_ms);
        }
    }

    /// Adds a change of the recording that this step shows.
    pub(super) fn change(&mut self, at_ms: u32, change: RecordingStep) {
        let Some(recording) = &mut self.recording else { return };
        let interruptions = &mut recording.interruptions;
        match change {
            RecordingStep::Began { .. } => (),
            RecordingStep::Interrupted(why) => {
                interruptions.push(TraceInterruption { why, from_ms: at_ms, to_ms: None });
            }
            RecordingStep::Continued(why) => {
                let is_it = |it: &&mut TraceInterruption| it.why == why && it.to_ms.is_none();
                if let Some(it) = interruptions.iter_mut().rev().find(is_it) {
                    it.to_ms = Some(at_ms);
                }
            }
            RecordingStep::Stopped(why) => self.close_recording(at_ms, why),
        }
    }

    pub(super) fn close_recording(&mut self, at_ms: u32, why: &'static str) {
        (self.to_ms, self.ended) = (Some(at_ms), Some(why));
        let Some(recording) = &mut self.recording else { return };
        recording.interruptions.retain(|it| it.from_ms < at_ms);
        for it in &mut recording.interruptions {
            it.to_ms = Some(it.to_ms.map_or(at_ms, |to| to.min(at_ms)));
        }
    }
}
