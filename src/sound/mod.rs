//! Sound in memory: files and texts become samples at the rate of a leg, once.
//!
//! [`Cache`] is the way in. Below it: [`decode`] (WAV and MP3), [`resample`], [`files`] (what
//! lies in a flows folder), and [`download`] (what lies in the web; the adapter is [`web`]).

mod cache;
pub mod download;
pub mod files;
mod source;
pub mod web;

use std::sync::Arc;

pub use cache::{Cache, Done, Gauges, Settings, Share, Tones};
pub use source::Source;

use crate::speech::SpeechError;

/// A sound cannot be had. The text says what, which, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{complaint}")]
pub struct SoundError {
    complaint: Arc<str>,
    temporary: bool,
}

impl SoundError {
    /// It will be the same next time.
    pub fn lasting(complaint: impl Into<Arc<str>>) -> Self {
        Self { complaint: complaint.into(), temporary: false }
    }

    /// It may go well next time.
    pub fn temporary(complaint: impl Into<Arc<str>>) -> Self {
        Self { complaint: complaint.into(), temporary: true }
    }

    /// Whether the same may go well later.
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }
}

impl From<SpeechError> for SoundError {
    fn from(error: SpeechError) -> Self {
        let temporary = error.is_temporary();
        Self { complaint: error.to_string().into(), temporary }
    }
}
