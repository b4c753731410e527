//! Effects of a call, and the events that it publishes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    base::ids::{ConferenceName, MemberId, RoomId},
    flow::{DialOptions, DocumentRequest, JoinOptions, RecordOptions, RecordStop},
    media::{AudioOrder, Ending, SignallingOrder},
};

/// A membership that is over, for the fields of a conference's `action`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PastMembership {
    /// The incarnation of the conference.
    pub room: RoomId,
    /// The id that the member had.
    pub member: MemberId,
    /// The number of the exit's notice in the room.
    pub sequence: u64,
}

/// An event of a call that is published to subscribers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum CallEvent {
    /// Either side has answered.
    Answered,
    /// An inbound call arrived, or an outgoing one was requested.
    Begun,
    /// The call is over, by this cause.
    Ended(Ending),
    /// The far end of an outgoing call rings.
    Rang,
}

/// An effect of a call. Effects are performed in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The call begins an element.
    Begin {
        /// The element's number within its document, from zero.
        step: u32,
    },
    /// Fetches a document. [`super::Call::fetched`] takes it, with this number.
    Fetch {
        /// Unique within the call; shared with orders.
        number: u32,
        /// The URL, method and fields.
        request: DocumentRequest,
    },
    /// Requests a URL and ignores the answer.
    Notify(DocumentRequest),
    /// Records the call. [`super::Call::recorded`] takes the reports, with this number.
    Record {
        /// Unique within the call; shared with orders.
        number: u32,
        /// The attributes of its element.
        options: Arc<RecordOptions>,
    },
    /// Ends the recording of the `<Record>` that the flow waits for.
    StopRecording {
        /// The number of its [`Effect::Record`].
        number: u32,
        /// The reason that the recording will have.
        why: RecordStop,
    },
    /// Sends an order to the engine that carries the call's sound.
    Audio(AudioOrder),
    /// Publishes an event to subscribers.
    Publish(CallEvent),
    /// Sends an order to the backend that has the call.
    Signal(SignallingOrder),
}

/// The next place of a call, once its effects are performed.
#[derive(Clone, Debug, PartialEq)]
pub enum CallAct {
    /// The call calls somebody, and is connected with them.
    Dial(Arc<DialOptions>),
    /// The call ends, by this cause.
    End(Ending),
    /// The call joins a conference.
    Join {
        /// The name, within the call's account.
        room: ConferenceName,
        /// The options of its `<Conference>`.
        entry: Arc<JoinOptions>,
    },
    /// The call stays in its worker and waits for a report or a document.
    Stay,
}
