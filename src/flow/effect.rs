//! Effects of a flow.

use std::{sync::Arc, time::Duration};

use super::options::{DocumentRequest, JoinOptions};
use crate::{
    base::ids::ConferenceName,
    media::{Ending, Program},
};

/// What a flow asks of the world, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// An element begins: its number within the flow, from zero.
    Begin {
        /// The number.
        step: u32,
    },
    /// Picks up the call, unless that has been done.
    Answer,
    /// Opens early media, unless the call is answered.
    EarlyMedia,
    /// Plays a program; [`super::FlowEvent::Over`] says that it is over.
    Play(Program),
    /// Says what will be played, if nothing comes between.
    Prepare(Program),
    /// Stops what is played; no event follows.
    Stop,
    /// Sends key presses.
    SendDigits {
        /// Of `0-9*#`, `w` and `W`.
        digits: Arc<str>,
        /// Whether [`super::FlowEvent::Over`] is awaited.
        awaits: bool,
    },
    /// These keys have been entered; none, if they belong into no log.
    Entered(Arc<str>),
    /// Moves the call into a conference; [`super::FlowEvent::Left`] says that it is out again.
    Join {
        /// Which.
        room: ConferenceName,
        /// On what terms.
        options: Arc<JoinOptions>,
    },
    /// Asks for a document; [`super::FlowEvent::Fetched`] brings it.
    Fetch(DocumentRequest),
    /// Tells a URL, and lets the answer be.
    Notify(DocumentRequest),
    /// Ends the call after so long, whatever it does then.
    Schedule(Duration),
    /// Ends the call. Nothing follows.
    End(Ending),
}
