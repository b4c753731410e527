//! Events that a flow takes.

use super::{Fetched, exit::Exit};

/// What happens to a call while its flow runs.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowEvent {
    /// The far end pressed a key.
    Digit(char),
    /// The document that was asked for is here, or cannot be had.
    Fetched(Fetched),
    /// The call is out of its conference, or was not let in, and is up.
    Left(Exit),
    /// What was to be played or sent is over.
    Over,
    /// The far end began (true) or ceased to talk.
    Talk(bool),
    /// A [`super::Run::deadline`] has passed.
    Tick,
}
