//! Start of a verb: the act when the flow comes to it.

use std::{sync::Arc, time::Duration};

use crate::{
    base::ids::ConferenceName,
    flow::{
        DialOptions, DocumentRequest, JoinOptions, digits::CollectSettings,
        recorder::RecordSettings,
    },
    media::{HangupCause, Program},
};

/// First action of an element.
#[derive(Debug)]
pub(in crate::flow) enum VerbStart {
    Collect(Arc<CollectSettings>),
    Dial(Arc<DialOptions>),
    EarlyMedia,
    Fetch(DocumentRequest),
    /// The cause is used if the call is not answered.
    HangUp(HangupCause),
    Join {
        room: ConferenceName,
        options: Arc<JoinOptions>,
    },
    /// Continues at the next element at once.
    Next,
    Pause {
        length: Duration,
        silence: Option<Duration>,
    },
    Play(Program),
    Record(Arc<RecordSettings>),
    Schedule(Duration),
    Send {
        digits: Arc<str>,
        awaits: bool,
    },
}
