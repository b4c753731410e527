//! Facts of a call: the values of variables in its texts, and the recordings that wait for a dial.

use std::sync::Arc;

use crate::{
    base::ids::ConferenceName,
    flow::{Cause, PendingRecording},
};

/// The results of the last conference and of the last input of digits.
#[derive(Debug, Default, PartialEq)]
pub(super) struct CallFacts {
    pub(super) conference: Option<ConferenceName>,
    pub(super) cause: Option<Cause>,
    pub(super) reason: Option<Arc<str>>,
    pub(super) digits: Arc<str>,
    /// Those that begin when the next `<Dial>` connects the call.
    pub(super) recordings: Vec<PendingRecording>,
}
