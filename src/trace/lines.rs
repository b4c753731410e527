//! Lines of traces: what is noted of a call, and how many lines are kept.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{
    FetchRecord,
    recorded::{RecordingNote, RoomRecordings},
};
use crate::{
    base::{
        call_map::CallMap,
        ids::{AccountId, CallId, Incarnation, MemberId, RoomId},
    },
    flow::{Cause, FlowText, PassedOver, Purpose, TextPosition, WeakFlowText, verbs::VerbKind},
    media::{DialAttempt, Ending},
};

/// An element that a call runs.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceElement {
    /// The number of documents that the call has run, this one included.
    pub document: u32,
    /// The kind of verb that the element is, without its attributes.
    pub verb: VerbKind,
    /// The position of its `<` in the text.
    pub at: TextPosition,
    /// The text of its document.
    pub text: WeakFlowText,
}

/// The initiator of an exit or an ending, other than the call itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Initiator {
    /// Another call, whose exit made this one leave.
    Call(CallId),
    /// A request of the API.
    Request {
        /// The request's id, as its response has it.
        api_id: Uuid,
        /// The name of the command, such as `Kick`.
        command: &'static str,
    },
}

/// An event of a call, as its trace keeps it.
#[derive(Clone, Debug, PartialEq)]
pub enum TraceEvent {
    /// The call begins an element.
    Began {
        /// The same as [`TraceElement::document`].
        document: u32,
        /// The same as [`TraceElement::verb`].
        verb: VerbKind,
        /// The same as [`TraceElement::at`].
        at: TextPosition,
        /// The same as [`TraceElement::text`].
        text: WeakFlowText,
    },
    /// Something happened to a callee of the call's `<Dial>`.
    Callee(Box<CalleeNote>),
    /// The call has ended.
    Ended(Ending),
    /// The call has entered a conference.
    Entered {
        /// The incarnation that it entered.
        room: Arc<Incarnation>,
        /// The call's member id there.
        member: MemberId,
    },
    /// The call fetches a document.
    Fetching {
        /// Without its query, which may hold secrets.
        url: Arc<str>,
        /// The reason for the fetch.
        purpose: Purpose,
    },
    /// An attempt to reach the far end is over.
    Attempted(Arc<DialAttempt>),
    /// A request for a document or a sound of the call is over.
    Fetched(Arc<FetchRecord>),
    /// The call has left its conference.
    Left(Box<Leaving>),
    /// The element that has just begun has no effect, or some of its attributes have none.
    PassedOver(Arc<PassedOver>),
    /// A recording of the call has begun or changed.
    Recording(Box<RecordingNote>),
    /// The call was not admitted to a conference.
    Refused(Cause),
    /// A request about the call was accepted, with parameters that conflow ignores.
    Warned(Box<RequestWarning>),
    /// A request is about to act on the call.
    Requested(Box<Requested>),
}

/// What happened to a callee.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CalleeNote {
    /// The callee's call, which has a trace too.
    pub call: CallId,
    /// The destination, as the flow names it.
    pub to: Arc<str>,
    /// `answered`, `connected`, or the hang-up cause that ended it.
    pub what: &'static str,
    /// Whether the callee's call is over.
    pub is_over: bool,
}

/// A parameter of a request that conflow ignored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestWarning {
    /// The request's id, as its response has it.
    pub api_id: Uuid,
    /// The parameter and why it was ignored.
    pub warning: Arc<str>,
}

/// A request that is about to act on a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Requested {
    /// The request's id, as its response has it.
    pub api_id: Uuid,
    /// The name of the command, such as `Transfer`.
    pub command: &'static str,
}

impl From<TraceElement> for TraceEvent {
    fn from(element: TraceElement) -> Self {
        let TraceElement { document, verb, at, text } = element;
        Self::Began { document, verb, at, text }
    }
}

/// The exit of a call from its conference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leaving {
    /// The cause of the exit.
    pub cause: Cause,
    /// The requester's text, if any.
    pub reason: Option<Arc<str>>,
    /// The initiator; None if the call left by itself.
    pub by: Option<Initiator>,
}

/// One event with its time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TraceLine {
    /// Milliseconds since the call began; no call lasts 49 days.
    pub(super) at_ms: u32,
    pub(super) what: TraceEvent,
}

// Every call has a few of them.
const _: () = assert!(size_of::<TraceLine>() <= 32);

/// The traces of live calls and of the last calls that ended.
#[derive(Debug, Default)]
pub struct Traces {
    pub(super) calls: CallMap<CallTrace>,
    /// The ended calls, in the order in which they ended.
    pub(super) ended: VecDeque<CallId>,
    pub(super) ended_max: usize,
    pub(super) rooms: RoomRecordings,
}

#[derive(Debug)]
pub(super) struct CallTrace {
    pub(super) account: AccountId,
    pub(super) began: Instant,
    /// The first lines, at most [`HEAD_MAX`].
    pub(super) head: Vec<TraceLine>,
    /// None until `head` is full.
    pub(super) tail: Option<Box<Tail>>,
}

// One machine holds a million calls.
const _: () = assert!(size_of::<CallTrace>() <= 64);

/// The end of a long trace.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The last lines, at most [`TAIL_MAX`].
    pub(super) lines: VecDeque<TraceLine>,
    pub(super) dropped: u32,
}

/// The number of a call's first lines that are kept.
pub const HEAD_MAX: usize = 100;

/// The number of a call's last lines that are kept. With the first ones they take 10 kB at most, and
/// 18 kB more if each is of another document: of a dropped text 88 bytes stay while traces refer to it.
/// A request takes 150 bytes more, and one that failed up to 1.5 kB: its URL, the error and an excerpt.
pub const TAIL_MAX: usize = 100;

/// The number of ended calls in the process whose traces are kept: 280 MB if each trace has full
/// length, 10 MB with typical calls.
pub const ENDED_MAX: usize = 10_000;

impl Traces {
    /// An empty set of traces that keeps `ended_max` ended calls.
    pub fn new(ended_max: usize) -> Self {
        let (calls, ended) = (CallMap::default(), VecDeque::new());
        Self { calls, ended, ended_max, rooms: RoomRecordings::default() }
    }

    /// Adds a call that begins at `now`.
    pub fn begin(&mut self, now: Instant, call: CallId, account: AccountId) {
        self.calls.insert(call, CallTrace { account, began: now, head: Vec::new(), tail: None });
    }

    /// Adds an event to a call's trace. Ignores calls without one.
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

    /// Adds a change of a room's recording, for the traces of its members.
    pub fn note_room(&mut self, now: Instant, room: RoomId, change: RecordingNote) {
        self.rooms.note(now, room, change, self.ended_max);
    }

    /// The last document that a call needed and did not get; None if there is none. Sounds do not
    /// count.
    pub fn missing_document(&self, call: CallId) -> Option<Arc<FetchRecord>> {
        let lines = self.calls.get(call)?.iter().rev();
        let mut records = lines.filter_map(|it| match &it.what {
            TraceEvent::Fetched(record) => Some(record),
            TraceEvent::Attempted(_)
            | TraceEvent::Began { .. }
            | TraceEvent::Callee(_)
            | TraceEvent::Ended(_)
            | TraceEvent::Entered { .. }
            | TraceEvent::Fetching { .. }
            | TraceEvent::Left(_)
            | TraceEvent::PassedOver(_)
            | TraceEvent::Recording(_)
            | TraceEvent::Refused(_)
            | TraceEvent::Requested(_)
            | TraceEvent::Warned(_) => None,
        });
        records.find(|it| it.error.is_some() && !["sound", "play"].contains(&it.purpose)).cloned()
    }

    /// The account of a call; None if the call is unknown or its trace was dropped.
    pub fn account_of(&self, call: CallId) -> Option<&AccountId> {
        self.calls.get(call).map(|it| &it.account)
    }
}

impl CallTrace {
    fn add(&mut self, line: TraceLine) {
        if self.head.len() < HEAD_MAX {
            if self.head.len() == self.head.capacity() {
                // A call that waits in a conference has two lines: its element and its entry.
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

    /// Whether the call has ended.
    pub(super) fn is_over(&self) -> bool {
        self.ended_ms().is_some()
    }

    /// When the call ended.
    pub(super) fn ended_ms(&self) -> Option<u32> {
        // A sound may still be fetched then.
        self.iter().find(|it| matches!(it.what, TraceEvent::Ended(_))).map(|it| it.at_ms)
    }

    /// The documents of the elements that are still in memory, one for each element.
    pub(super) fn texts(&self) -> impl Iterator<Item = Arc<FlowText>> {
        self.iter().filter_map(|it| match &it.what {
            TraceEvent::Began { text, .. } => text.get(),
            TraceEvent::Attempted(_)
            | TraceEvent::Callee(_)
            | TraceEvent::Ended(_)
            | TraceEvent::Entered { .. }
            | TraceEvent::Fetched(_)
            | TraceEvent::Fetching { .. }
            | TraceEvent::Left(_)
            | TraceEvent::PassedOver(_)
            | TraceEvent::Recording(_)
            | TraceEvent::Refused(_)
            | TraceEvent::Requested(_)
            | TraceEvent::Warned(_) => None,
        })
    }

    pub(super) fn dropped(&self) -> u32 {
        self.tail.as_ref().map_or(0, |tail| tail.dropped)
    }

    /// The time of a line. The start of a call need not be at a whole millisecond.
    pub(super) fn moment(&self, at_ms: u32) -> Instant {
        self.began + Duration::from_millis(at_ms.into())
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &TraceLine> {
        self.head.iter().chain(self.tail.iter().flat_map(|tail| &tail.lines))
    }
}

pub(super) fn millis(length: Duration) -> u32 {
    u32::try_from(length.as_millis()).unwrap_or(u32::MAX)
}
