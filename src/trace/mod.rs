//! Traces: what each call did, step by step, and why; the answer to "why did my caller hear this?".
//!
//! Lines are noted as they happen, a few for each element, and made into [`TraceStep`]s when somebody
//! asks. A call that waits in a conference has two or three of them: 150 bytes with all that is
//! around them, and a microsecond or two of work. So traces are always kept.

mod step;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use uuid::Uuid;

pub use self::step::{CauseLink, TraceStep, TraceWarning};
use crate::{
    base::{
        call_map::CallMap,
        ids::{AccountId, CallId, Incarnation, MemberId},
    },
    flow::{Cause, Purpose, TextPosition, WeakFlowText, verbs::VerbKind},
    media::Ending,
};

/// An element of a call's flow.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceElement {
    /// How many documents the call has run with this one.
    pub document: u32,
    /// What it is.
    pub verb: VerbKind,
    /// The place of its `<`.
    pub at: TextPosition,
    /// The document it stands in.
    pub text: WeakFlowText,
}

/// Who caused something, if it was not the call itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Initiator {
    /// Another call, which has left.
    Call(CallId),
    /// A request of the API.
    Request {
        /// As its answer has it.
        api_id: Uuid,
        /// What it asked for: `Kick`.
        command: &'static str,
    },
}

/// What is noted of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum TraceEvent {
    /// An element begins.
    Began {
        /// As [`TraceElement`] has it.
        document: u32,
        /// As there.
        verb: VerbKind,
        /// As there.
        at: TextPosition,
        /// As there.
        text: WeakFlowText,
    },
    /// It is over.
    Ended(Ending),
    /// It is a member from now on.
    Entered {
        /// Of which conference.
        room: Arc<Incarnation>,
        /// As whom.
        member: MemberId,
    },
    /// It asks for a document.
    Fetching {
        /// Without its query.
        url: Arc<str>,
        /// What for.
        purpose: Purpose,
    },
    /// It is out of its conference.
    Left(Box<Leaving>),
    /// It was not let into a conference.
    Refused(Cause),
    /// A request about it was good, and asked for something in vain.
    Warned(Box<RequestWarning>),
    /// A request is about to do something to it.
    Requested(Box<Requested>),
}

/// What a request has asked for in vain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestWarning {
    /// The request.
    pub api_id: Uuid,
    /// For what, and why it was in vain.
    pub warning: Arc<str>,
}

/// What a request is about to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Requested {
    /// The request.
    pub api_id: Uuid,
    /// What it asks for.
    pub command: &'static str,
}

impl From<TraceElement> for TraceEvent {
    fn from(element: TraceElement) -> Self {
        let TraceElement { document, verb, at, text } = element;
        Self::Began { document, verb, at, text }
    }
}

/// How a call has left its conference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leaving {
    /// Why.
    pub cause: Cause,
    /// In the words of whoever caused it.
    pub reason: Option<Arc<str>>,
    /// Who, if somebody else.
    pub by: Option<Initiator>,
}

/// One thing that was noted, and when.
#[derive(Clone, Debug, PartialEq)]
struct TraceLine {
    /// Milliseconds since the call began; no call lasts 49 days.
    at_ms: u32,
    what: TraceEvent,
}

// Every call has some of them.
const _: () = assert!(size_of::<TraceLine>() <= 32);

/// The traces of many calls.
#[derive(Debug, Default)]
pub struct Traces {
    calls: CallMap<CallTrace>,
    /// Calls that are over, in the order in which they ended.
    ended: VecDeque<CallId>,
    ended_max: usize,
}

/// Of one call.
#[derive(Debug)]
struct CallTrace {
    account: AccountId,
    began: Instant,
    /// The first ones.
    head: Vec<TraceLine>,
    /// Once those are as many as can be.
    tail: Option<Box<Tail>>,
}

// A million calls wait on one machine.
const _: () = assert!(size_of::<CallTrace>() <= 64);

/// The end of a long trace.
#[derive(Debug, Default)]
struct Tail {
    /// The last ones.
    lines: VecDeque<TraceLine>,
    dropped: u32,
}

/// A call's trace, as the API and the simulation have it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Trace {
    /// The elements that it has run.
    pub steps: Vec<TraceStep>,
    /// What requests about it have asked for in vain.
    #[serde(rename = "remarks", skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<TraceWarning>,
    /// So many lines are missing in the middle, because the call did too much.
    pub dropped: u32,
}

impl Trace {
    /// Quotes each element's document. It reads them from the top, so nobody should wait for it.
    pub fn add_sources(&mut self) {
        for step in &mut self.steps {
            let at = TextPosition { line: step.line, column: step.column };
            step.source = step.text.get().and_then(|it| it.excerpt(at));
        }
    }
}

/// A call's first lines that are kept, however many follow.
pub const HEAD_MAX: usize = 100;
/// A call's last lines that are kept: with the first ones, 10 kB. (And 18 kB if each is of another
/// document: of a text that is dropped, 88 bytes stay while a trace refers to it.)
pub const TAIL_MAX: usize = 100;
/// Calls of the whole process that are over and have a trace still: at most 280 MB, were each as
/// long as it can be; 10 MB as calls are.
pub const ENDED_MAX: usize = 10_000;

impl Traces {
    /// No traces yet. So many calls that are over are kept.
    pub fn new(ended_max: usize) -> Self {
        Self { calls: CallMap::default(), ended: VecDeque::new(), ended_max }
    }

    /// A call begins.
    pub fn begin(&mut self, now: Instant, call: CallId, account: AccountId) {
        self.calls.insert(call, CallTrace { account, began: now, head: Vec::new(), tail: None });
    }

    /// Notes something of a call that has begun.
    pub fn note(&mut self, now: Instant, call: CallId, what: TraceEvent) {
        let is_over = matches!(what, TraceEvent::Ended(_));
        let Some(lines) = self.calls.get_mut(call) else { return };
        let at_ms = millis(now.saturating_duration_since(lines.began));
        lines.add(TraceLine { at_ms, what });
        if !is_over {
            return;
        }
        lines.head.shrink_to_fit();
        self.ended.push_back(call);
        while self.ended_max < self.ended.len() {
            let oldest = self.ended.pop_front();
            oldest.and_then(|it| self.calls.remove(it));
        }
    }

    /// Whose a call is; None of one that is not known, or not any more.
    pub fn account_of(&self, call: CallId) -> Option<&AccountId> {
        self.calls.get(call).map(|it| &it.account)
    }

    /// What an account's call has done so far; None of one that is not known, or not any more.
    pub fn show(&self, account: &AccountId, call: CallId) -> Option<Trace> {
        let lines = self.calls.get(call).filter(|it| it.account == *account)?;
        let warnings = lines.warnings();
        Some(Trace { steps: self.all_steps(call, lines), warnings, dropped: lines.dropped() })
    }
}

impl CallTrace {
    fn add(&mut self, line: TraceLine) {
        if self.head.len() < HEAD_MAX {
            if self.head.len() == self.head.capacity() {
                // One that waits in a conference has two: its element, and its entry.
                self.head.reserve_exact((self.head.len() / 2).max(2));
            }
            return self.head.push(line);
        }
        let tail = self.tail.get_or_insert_default();
        if tail.lines.len() == TAIL_MAX {
            tail.lines.pop_front();
            tail.dropped += 1;
        }
        tail.lines.push_back(line);
    }

    fn dropped(&self) -> u32 {
        self.tail.as_ref().map_or(0, |tail| tail.dropped)
    }

    /// When that was. The call may have begun within a millisecond.
    fn moment(&self, at_ms: u32) -> Instant {
        self.began + Duration::from_millis(at_ms.into())
    }

    fn iter(&self) -> impl Iterator<Item = &TraceLine> {
        self.head.iter().chain(self.tail.iter().flat_map(|tail| &tail.lines))
    }
}

fn millis(length: Duration) -> u32 {
    u32::try_from(length.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
