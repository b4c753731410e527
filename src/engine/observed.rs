//! Observed: the events of a registry, for the journal, counters, logs and traces.

use std::{slice, sync::Arc};

use uuid::Uuid;

use super::recorder::TurnRow;
use crate::{
    base::ids::{AccountId, CallId, Incarnation, MemberId},
    call::{Call, CallEvent, Effect, Party},
    conference::{Ask, DialEvent, Notice},
    flow::{Cause, Exit, PassedOver, Purpose, TextPosition, verbs::VerbKind},
    media::{DialAttempt, RecordingSource},
    recording::event::RecordingEvent,
    trace::{FetchRecord, Initiator, RecordingNote, TraceElement},
};

/// An event of a registry.
#[derive(Clone, Debug, PartialEq)]
pub enum Observed {
    /// A call begins an element of its flow.
    Began {
        /// The call that runs the element.
        call: CallId,
        /// The element's number within its document, from zero.
        step: u32,
        /// The element's verb and position in the text.
        element: TraceElement,
    },
    /// A call of the last process goes on at an element that had begun there.
    Resumed {
        /// The call that runs the element.
        call: CallId,
        /// The element's verb and position in the text.
        element: TraceElement,
    },
    /// A call began, rang, was answered or ended.
    Call {
        /// The account that has the call.
        account: AccountId,
        /// The call that the event is about.
        call: CallId,
        /// From, to, direction and session of the call.
        party: Arc<Party>,
        /// The event, as subscribers get it.
        event: CallEvent,
    },
    /// Something happened to a callee of a call's `<Dial>`.
    Dialled {
        /// The account that has the calls.
        account: AccountId,
        /// The caller, whose `<Dial>` it is.
        call: CallId,
        /// From, to, direction and session of the caller.
        party: Arc<Party>,
        /// The callee, and what happened to it.
        event: Arc<DialEvent>,
    },
    /// A call has left its conference and has no place yet.
    Left {
        /// The call that has left.
        call: CallId,
        /// The member id that it had.
        member: MemberId,
        /// The cause of its exit and the next step.
        exit: Exit,
        /// The initiator; None if the call left by itself.
        by: Option<Initiator>,
    },
    /// An attempt to reach the far end of a call that we make is over. The call may be over, too.
    Attempted {
        /// The call that it was for.
        call: CallId,
        /// The target, its responses, and how it ended.
        attempt: Arc<DialAttempt>,
    },
    /// A call fetches a document.
    Fetching {
        /// The call that needs the document.
        call: CallId,
        /// Without its query, which may hold secrets.
        url: Arc<str>,
        /// The reason for the fetch.
        purpose: Purpose,
    },
    /// A request for a document or a sound is over. The call may be over, too.
    Fetched {
        /// The call that it was for.
        call: CallId,
        /// What was requested, and how it went.
        record: Arc<FetchRecord>,
    },
    /// The element that the call has just begun has no effect, or some of its attributes have none.
    PassedOver {
        /// The call that runs the element.
        call: CallId,
        /// The kind of the element.
        verb: VerbKind,
        /// The position of its `<` in the text.
        at: TextPosition,
        /// What of it has no effect, and why.
        passed_over: Arc<PassedOver>,
    },
    /// A recording has begun, or its file is closed.
    Recording {
        /// The account that has the recording.
        account: AccountId,
        /// The recording, as subscribers are told.
        event: Arc<RecordingEvent>,
    },
    /// A recording begins, is interrupted, or stops. [`Self::Recording`] tells subscribers, at the end
    /// when its file is closed.
    RecordingChanged {
        /// The call or the room that is recorded.
        source: RecordingSource,
        /// The recording, and what happens to it.
        change: RecordingNote,
    },
    /// A conference has published a notice.
    Notice {
        /// The incarnation that published it.
        room: Arc<Incarnation>,
        /// The event and its number in the room.
        notice: Notice,
    },
    /// A call joins again, since the room that it queued for is over.
    Requeued {
        /// The call that waited in the room's queue.
        call: CallId,
    },
    /// A request of the API is about to act on a call.
    Requested {
        /// The call that the request names.
        call: CallId,
        /// The id of the request, as its response has it.
        api_id: Uuid,
        /// The name of the command: `Transfer`, `HangUp`.
        command: &'static str,
    },
    /// A request about a call was accepted, with parameters that conflow ignores.
    Warned {
        /// The call that the request names.
        call: CallId,
        /// The id of the request, as its response has it.
        api_id: Uuid,
        /// The parameter and why it was ignored.
        warning: Arc<str>,
    },
    /// A call was not admitted to a conference.
    Refused {
        /// The call that was refused.
        call: CallId,
        /// Such as `full`, `banned` or `not-member`.
        cause: Cause,
    },
    /// What a turn has decided, to be written in one frame; never one event without rows.
    Turn(Box<TurnRecord>),
}

/// What a turn writes in one frame: events of one account, and rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TurnRecord {
    /// In the order in which they happened.
    pub events: Vec<Observed>,
    /// Written after the events.
    pub rows: Vec<TurnRow>,
}

impl Observed {
    /// Calls `take` for each event: those of a turn one by one.
    pub fn each(self, mut take: impl FnMut(Self)) {
        let Self::Turn(turn) = self else { return take(self) };
        turn.events.into_iter().for_each(take);
    }

    /// The rows of a turn.
    pub fn rows(&self) -> &[TurnRow] {
        if let Self::Turn(turn) = self { &turn.rows } else { &[] }
    }

    /// The events: those of a turn, or this one.
    pub fn events(&self) -> &[Self] {
        if let Self::Turn(turn) = self { &turn.events } else { slice::from_ref(self) }
    }
}

/// An event of a call.
pub(super) fn observed(call: &Call, event: CallEvent) -> Observed {
    let (account, party) = (call.account.clone(), call.party.clone());
    Observed::Call { account, call: call.id, party, event }
}

/// Moves the events among a call's effects, from one of these on, to those that a frame has.
pub(super) fn take_events(
    call: &Call,
    effects: &mut Vec<Effect>,
    from: usize,
    events: &mut Vec<Observed>,
) {
    let published = effects.extract_if(from.., |it| matches!(it, Effect::Publish(_)));
    events.extend(published.filter_map(|effect| {
        let Effect::Publish(event) = effect else { return None };
        Some(observed(call, event))
    }));
}

/// The initiator of a room's current decision, for traces.
#[derive(Debug, Default)]
pub(super) struct Blame {
    request: Option<Initiator>,
    /// The member whose exit makes others leave; true if it ends the room.
    taker: Option<(bool, CallId)>,
}

impl Blame {
    /// For an ask of this request.
    pub(super) fn asked(api_id: Option<Uuid>, ask: &Ask) -> Self {
        let request = api_id.map(|api_id| Initiator::Request { api_id, command: ask.text() });
        Self { request, taker: None }
    }

    /// Notes that a member leaves; `ends`: that ends the room.
    pub(super) fn exits(&mut self, call: CallId, ends: bool, cause: Cause) {
        let is_taken = matches!(cause, Cause::Alone | Cause::Ended);
        if !is_taken && self.taker.is_none_or(|(ended, _)| ends && !ended) {
            self.taker = Some((ends, call));
        }
    }

    /// The initiator of an exit by this cause; None if the call left by itself.
    pub(super) fn of(&self, cause: Cause) -> Option<Initiator> {
        match cause {
            Cause::Alone | Cause::Ended => self.taker.map(|(_, call)| Initiator::Call(call)),
            Cause::HungUpByApi | Cause::Kicked | Cause::Transferred => self.request,
            Cause::CallTimeUp | Cause::CallerLeft | Cause::Crashed => None,
            Cause::DialEnded | Cause::DialFailed => None,
            Cause::DialStarred | Cause::DialTimeUp => None,
            Cause::Drained | Cause::Fault => None,
            Cause::Banned | Cause::GroupKicked | Cause::NotMember => None,
            Cause::Full | Cause::MediaLost | Cause::Starred | Cause::TimeUp => None,
        }
    }
}
