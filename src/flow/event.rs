//! Events that a flow takes.

use super::{Fetched, exit::Exit, record::RecordReport};

/// An event of a call that its flow handles.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowEvent {
    /// The caller pressed a key.
    Digit(char),
    /// The requested document has arrived, or the request has failed.
    Fetched(Fetched),
    /// The call has left its conference or was not admitted, and is still up.
    Left(Exit),
    /// The sound or the keys that the flow sent have ended.
    Over,
    /// The recording that the flow has asked for has begun or ended, or cannot begin.
    Recording(RecordReport),
    /// The caller began (true) or stopped (false) talking.
    Talk(bool),
    /// The deadline of [`super::Run::deadline`] has passed.
    Tick,
}
