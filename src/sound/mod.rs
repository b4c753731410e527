//! Sounds: turns files, texts and built-in tones into samples at the rate of a leg.
//!
//! [`SoundCache`] is the entry point. Below it: [`crate::audio::decode`] (WAV and MP3),
//! [`crate::audio::resample`], [`files`] (sounds in a flows folder), and [`download`] (web sounds;
//! its adapter is [`web`]).

mod cache;
pub mod download;
pub mod files;
mod source;
pub mod web;

use std::sync::Arc;

pub use cache::{AccountShare, OnSound, Settings, SoundCache, SoundCacheGauges, ToneMaker};
pub use source::SoundSource;

use crate::speech::SpeechError;

/// Why a sound is not available. The text says which sound, why, and what to do.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct SoundError {
    message: Arc<str>,
    temporary: bool,
}

impl SoundError {
    /// An error that will repeat with the same sound.
    pub fn permanent(message: impl Into<Arc<str>>) -> Self {
        Self { message: message.into(), temporary: false }
    }

    /// An error that may not repeat.
    pub fn temporary(message: impl Into<Arc<str>>) -> Self {
        Self { message: message.into(), temporary: true }
    }

    /// Whether a later request for the sound may succeed.
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }
}

impl From<SpeechError> for SoundError {
    fn from(error: SpeechError) -> Self {
        let temporary = error.is_temporary();
        Self { message: error.to_string().into(), temporary }
    }
}
