//! Start of a verb: the act when the flow comes to it.

use std::{sync::Arc, time::Duration};

use crate::{
    base::ids::ConferenceName,
    flow::{DocumentRequest, JoinOptions, digits::CollectSettings},
    media::{HangupCause, Program},
};

/// What an element does when it begins.
#[derive(Debug)]
pub(in crate::flow) enum VerbStart {
    Collect(Arc<CollectSettings>),
    EarlyMedia,
    Fetch(DocumentRequest),
    /// The cause is that of a call which is not answered.
    HangUp(HangupCause),
    Join {
        room: ConferenceName,
        options: Arc<JoinOptions>,
    },
    /// Nothing, and the next element is its.
    Next,
    Pause {
        length: Duration,
        silence: Option<Duration>,
    },
    Play(Program),
    Schedule(Duration),
    Send {
        digits: Arc<str>,
        awaits: bool,
    },
}
