//! A call's steps, as its lines tell of them: what ran from when to when, and why it ended.

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::lines::{CallTrace, Initiator, Leaving, Requested, TraceEvent, TraceLine, Traces};
use crate::{
    base::ids::{AccountId, CallId, ConferenceName, MemberId},
    flow::{Cause, Purpose, TextPosition, verbs::VerbInfo},
    media::{Ending, HangupSource},
};

/// One element that a call has run, or the wait for a document.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct TraceStep {
    /// From one: how many documents the call had run by then, with this one.
    pub document: u32,
    /// Where that came from, without the query; None of the first, if it was at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Arc<str>>,
    /// `SpeakParams`, `Conference` …
    pub element: &'static str,
    /// Of its `<`, from one.
    pub line: u32,
    /// As the line.
    pub column: u32,
    /// When it began, in milliseconds since the call did.
    pub from_ms: u32,
    /// When it was over; None while it lasts.
    pub to_ms: Option<u32>,
    /// Where the call was a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conference: Option<ConferenceName>,
    /// As whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_id: Option<MemberId>,
    /// The document that it asked for, without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Arc<str>>,
    /// Why it was over: `done`, `asked`, an exit cause, `transferred`, or a hang-up cause.
    pub ended: Option<&'static str>,
    /// In the words of whoever kicked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// What led to it: the last is where it began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<CauseLink>,
}

/// What a request about a call has asked for in vain.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TraceWarning {
    /// When, in milliseconds since the call began.
    pub at_ms: u32,
    /// The request.
    pub api_id: Uuid,
    /// For what, and why it was in vain.
    #[serde(rename = "remark")]
    pub warning: Arc<str>,
}

/// One link in the chain of what led to a step's end.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CauseLink {
    /// Why: an exit cause, or a hang-up cause.
    pub cause: &'static str,
    /// The call that it happened to.
    pub call_uuid: CallId,
    /// The element that the call was at.
    pub element: &'static str,
    /// Where that stands.
    pub line: u32,
    /// As the line.
    pub column: u32,
    /// The request that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_id: Option<Uuid>,
    /// What that asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<&'static str>,
    /// The account that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<AccountId>,
}

/// Whoever takes others along was not taken along, so two links are the longest chain there is.
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
            TraceEvent::Began { .. }
            | TraceEvent::Ended(_)
            | TraceEvent::Entered { .. }
            | TraceEvent::Fetching { .. }
            | TraceEvent::Left(_)
            | TraceEvent::Refused(_)
            | TraceEvent::Requested(_) => None,
        });
        warnings.collect()
    }
}

/// Makes lines into steps.
struct StepBuilder<'a> {
    traces: &'a Traces,
    call: CallId,
    lines: &'a CallTrace,
    links_max: usize,
    steps: Vec<TraceStep>,
    /// Where the next document comes from.
    next_url: Option<Arc<str>>,
    /// The last request about the call itself.
    request: Option<Initiator>,
}

impl StepBuilder<'_> {
    fn read(&mut self, line: &TraceLine) {
        let at_ms = line.at_ms;
        match &line.what {
            TraceEvent::Warned(_) => (),
            TraceEvent::Began { document, verb, at } => self.began(at_ms, *document, verb, *at),
            TraceEvent::Ended(ending) => self.ended(at_ms, *ending),
            TraceEvent::Entered { room, member } => {
                if let Some(step) = self.open() {
                    step.conference = Some(room.key.name.clone());
                    step.member_id = Some(*member);
                }
            }
            TraceEvent::Fetching { url, purpose } => self.fetching(at_ms, url, *purpose),
            TraceEvent::Left(leaving) => self.left(at_ms, leaving),
            TraceEvent::Refused(cause) => self.close(at_ms, cause.text(), None),
            TraceEvent::Requested(request) => {
                let Requested { api_id, command } = **request;
                self.request = Some(Initiator::Request { api_id, command });
            }
        }
    }

    fn began(&mut self, at_ms: u32, document: u32, verb: &'static VerbInfo, at: TextPosition) {
        self.close(at_ms, "done", None);
        let url = match self.steps.last().filter(|it| it.document == document) {
            Some(before) => before.url.clone(),
            None => self.next_url.take(),
        };
        let step = TraceStep {
            document,
            url,
            element: verb.tag,
            line: at.line,
            column: at.column,
            from_ms: at_ms,
            ..TraceStep::default()
        };
        self.steps.push(step);
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
        let Some(step) = self.steps.last_mut() else { return };
        step.reason = reason.clone();
        let link = match by {
            Some(Initiator::Call(other)) => self.cause_of_departure(other, at_ms),
            Some(Initiator::Request { .. }) | None => None,
        };
        if let Some(step) = self.steps.last_mut() {
            step.causes.extend(link);
        }
    }

    /// What took the other call out, which took this one along.
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
            // It has left by itself.
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

    fn open(&mut self) -> Option<&mut TraceStep> {
        self.steps.last_mut().filter(|it| it.to_ms.is_none())
    }

    fn close(&mut self, at_ms: u32, why: &'static str, by: Option<Initiator>) {
        let (call, account) = (self.call, &self.lines.account);
        let Some(step) = self.steps.last_mut().filter(|it| it.to_ms.is_none()) else { return };
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
            who: api_id.is_some().then(|| account.clone()),
        });
    }
}
