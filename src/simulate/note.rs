//! Notes: events of a run that are not part of a caller's timeline.

use serde::Serialize;
use uuid::Uuid;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Note {
    /// Time in milliseconds of the run.
    pub at_ms: u64,
    /// What happened, in words.
    pub what: String,
    /// Response of a request; None for other events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Id of a request, counted from 1; None for other events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_id: Option<Uuid>,
}
