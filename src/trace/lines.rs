//! Lines of traces: what is noted of a call, and how many lines are kept.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::{
    base::{
        call_map::CallMap,
        ids::{AccountId, CallId, Incarnation, MemberId},
    },
    flow::{Cause, Purpose, TextPosition, verbs::VerbInfo},
    media::Ending,
};

/// An element of a call's flow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceElement {
    /// How many documents the call has run with this one.
    pub document: u32,
    /// What it is.
    pub verb: &'static VerbInfo,
    /// The place of its `<`.
    pub at: TextPosition,
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
        verb: &'static VerbInfo,
        /// As there.
        at: TextPosition,
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
        let TraceElement { document, verb, at } = element;
        Self::Began { document, verb, at }
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
pub(super) struct TraceLine {
    /// Milliseconds since the call began; no call lasts 49 days.
    pub(super) at_ms: u32,
    pub(super) what: TraceEvent,
}

// Every call has some of them.
const _: () = assert!(size_of::<TraceLine>() <= 32);

/// The traces of many calls.
#[derive(Debug, Default)]
pub struct Traces {
    pub(super) calls: CallMap<CallTrace>,
    /// Calls that are over, in the order in which they ended.
    pub(super) ended: VecDeque<CallId>,
    pub(super) ended_max: usize,
}

/// Of one call.
#[derive(Debug)]
pub(super) struct CallTrace {
    pub(super) account: AccountId,
    pub(super) began: Instant,
    /// The first ones.
    pub(super) head: Vec<TraceLine>,
    /// Once those are as many as can be.
    pub(super) tail: Option<Box<Tail>>,
}

// A million calls wait on one machine.
const _: () = assert!(size_of::<CallTrace>() <= 64);

/// The end of a long trace.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The last ones.
    pub(super) lines: VecDeque<TraceLine>,
    pub(super) dropped: u32,
}

/// A call's first lines that are kept, however many follow.
pub const HEAD_MAX: usize = 100;

/// A call's last lines that are kept: with the first ones, 10 kB.
pub const TAIL_MAX: usize = 100;

/// Calls of the whole process that are over and have a trace still: at most 100 MB, were each as
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

    pub(super) fn dropped(&self) -> u32 {
        self.tail.as_ref().map_or(0, |tail| tail.dropped)
    }

    /// When that was. The call may have begun within a millisecond.
    pub(super) fn moment(&self, at_ms: u32) -> Instant {
        self.began + Duration::from_millis(at_ms.into())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &TraceLine> {
        self.head.iter().chain(self.tail.iter().flat_map(|tail| &tail.lines))
    }
}

pub(super) fn millis(length: Duration) -> u32 {
    u32::try_from(length.as_millis()).unwrap_or(u32::MAX)
}
