//! Traces: what each call did, step by step, and why; the answer to "why did my caller hear this?".
//!
//! Lines are noted as they happen, a few for each element, and made into [`Step`]s when somebody
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

pub use self::step::{Link, Remark, Step};
use crate::{
    base::{
        call_map::ByCall,
        ids::{AccountId, CallId, Incarnation, MemberId},
    },
    flow::{Cause, Place, Purpose, verbs::VerbInfo},
    media::Ending,
};

/// An element of a call's flow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element {
    /// How many documents the call has run with this one.
    pub document: u32,
    /// What it is.
    pub verb: &'static VerbInfo,
    /// The place of its `<`.
    pub at: Place,
}

/// Who caused something, if it was not the call itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum By {
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
pub enum What {
    /// An element begins.
    Began {
        /// As [`Element`] has it.
        document: u32,
        /// As there.
        verb: &'static VerbInfo,
        /// As there.
        at: Place,
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
    Remarked(Box<Remarked>),
    /// A request is about to do something to it.
    Requested(Box<Requested>),
}

/// What a request has asked for in vain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Remarked {
    /// The request.
    pub api_id: Uuid,
    /// For what, and why it was in vain.
    pub remark: Arc<str>,
}

/// What a request is about to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Requested {
    /// The request.
    pub api_id: Uuid,
    /// What it asks for.
    pub command: &'static str,
}

impl From<Element> for What {
    fn from(element: Element) -> Self {
        let Element { document, verb, at } = element;
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
    pub by: Option<By>,
}

/// One thing that was noted, and when.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    /// Milliseconds since the call began; no call lasts 49 days.
    at_ms: u32,
    what: What,
}

// Every call has some of them.
const _: () = assert!(size_of::<Line>() <= 32);

/// The traces of many calls.
#[derive(Debug, Default)]
pub struct Traces {
    calls: ByCall<Lines>,
    /// Calls that are over, in the order in which they ended.
    ended: VecDeque<CallId>,
    ended_max: usize,
}

/// Of one call.
#[derive(Debug)]
struct Lines {
    account: AccountId,
    began: Instant,
    /// The first ones.
    head: Vec<Line>,
    /// Once those are as many as can be.
    tail: Option<Box<Tail>>,
}

// A million calls wait on one machine.
const _: () = assert!(size_of::<Lines>() <= 64);

/// The end of a long trace.
#[derive(Debug, Default)]
struct Tail {
    /// The last ones.
    lines: VecDeque<Line>,
    dropped: u32,
}

/// A call's trace, as the API and the simulation have it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Trace {
    /// The elements that it has run.
    pub steps: Vec<Step>,
    /// What requests about it have asked for in vain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Remark>,
    /// So many lines are missing in the middle, because the call did too much.
    pub dropped: u32,
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
        Self { calls: ByCall::default(), ended: VecDeque::new(), ended_max }
    }

    /// A call begins.
    pub fn begin(&mut self, now: Instant, call: CallId, account: AccountId) {
        self.calls.insert(call, Lines { account, began: now, head: Vec::new(), tail: None });
    }

    /// Notes something of a call that has begun.
    pub fn note(&mut self, now: Instant, call: CallId, what: What) {
        let is_over = matches!(what, What::Ended(_));
        let Some(lines) = self.calls.get_mut(call) else { return };
        let at_ms = millis(now.saturating_duration_since(lines.began));
        lines.add(Line { at_ms, what });
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
        let remarks = lines.remarks();
        Some(Trace { steps: self.all_steps(call, lines), remarks, dropped: lines.dropped() })
    }
}

impl Lines {
    fn add(&mut self, line: Line) {
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

    fn iter(&self) -> impl Iterator<Item = &Line> {
        self.head.iter().chain(self.tail.iter().flat_map(|tail| &tail.lines))
    }
}

fn millis(length: Duration) -> u32 {
    u32::try_from(length.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
