//! Facts: what a call remembers of its last conference and its last question.

use std::sync::Arc;

use crate::{base::ids::ConferenceName, flow::Cause};

/// What has come of the last conference, and of the last question.
#[derive(Debug, Default, PartialEq)]
pub(super) struct CallFacts {
    pub(super) conference: Option<ConferenceName>,
    pub(super) cause: Option<Cause>,
    pub(super) reason: Option<Arc<str>>,
    pub(super) digits: Arc<str>,
}
