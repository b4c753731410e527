//! Facts of a call: the values of variables in its texts, and the forecast of its next step.
use std::sync::Arc;

use crate::{base::ids::ConferenceName, flow::Cause};

/// The results of the last conference and of the last input of digits.
#[derive(Debug, Default, PartialEq)]
pub(super) struct CallFacts {
    pub(super) conference: Option<ConferenceName>,
    pub(super) cause: Option<Cause>,
    pub(super) reason: Option<Arc<str>>,
    pub(super) digits: Arc<str>,
}
