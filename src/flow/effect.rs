//! Effects of a flow.

use std::{sync::Arc, time::Duration};

use super::{
    DialOptions,
    options::{DocumentRequest, JoinOptions},
    record::{RecordOptions, RecordStop},
};
use crate::{
    base::ids::ConferenceName,
    media::{Ending, Program},
};

/// An instruction of a flow to the engine. The order of effects matters.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// An element of the flow begins.
    Begin {
        /// Index of the element within the flow, from zero.
        step: u32,
    },
    /// Answers the call, unless it is answered.
    Answer,
    /// Opens early media, unless the call is answered.
    EarlyMedia,
    /// Plays a program; [`super::FlowEvent::Over`] follows at its end.
    Play(Program),
    /// Announces a program that will probably be played next, so that it can be loaded.
    Prepare(Program),
    /// Stops playback; no event follows.
    Stop,
    /// Sends key presses to the caller.
    SendDigits {
        /// Keys of `0-9*#`, and pauses: `w` is 0.5 s, `W` is 1 s.
        digits: Arc<str>,
        /// Whether the flow waits for [`super::FlowEvent::Over`].
        awaits: bool,
    },
    /// The caller entered these keys; empty if they must not be logged.
    Entered(Arc<str>),
    /// Moves the call into a conference; [`super::FlowEvent::Left`] follows when it leaves.
    Join {
        /// Name within the call's account.
        room: ConferenceName,
        /// From the attributes of `<Conference>`.
        options: Arc<JoinOptions>,
    },
    /// Calls somebody and connects the call; [`super::FlowEvent::Left`] follows when that is over.
    Dial(Arc<DialOptions>),
    /// Records the call; [`super::FlowEvent::Recording`] follows.
    Record(Arc<RecordOptions>),
    /// Ends the recording that the flow waits for; [`super::FlowEvent::Recording`] follows once its
    /// file is complete.
    StopRecording(RecordStop),
    /// Requests a document; [`super::FlowEvent::Fetched`] follows.
    Fetch(DocumentRequest),
    /// Sends a request and ignores the response.
    Notify(DocumentRequest),
    /// Ends the call after this time, whatever it does then.
    Schedule(Duration),
    /// Ends the call. No effect follows.
    End(Ending),
}
