//! Notes: what happened in a run, beside the callers' own timelines.

use serde::Serialize;
use uuid::Uuid;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Note {
    /// When.
    pub at_ms: u64,
    /// What.
    pub what: String,
    /// What came of it, if that is to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Its id, if it was a request; they are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_id: Option<Uuid>,
}
