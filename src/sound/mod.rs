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

pub use cache::{AccountShare, OnSound, Settings, SoundCache, SoundCacheGauges, ToneMaker};
pub use source::SoundSource;

use crate::{audio::clip::SoundError, speech::SpeechError};

impl From<SpeechError> for SoundError {
    fn from(error: SpeechError) -> Self {
        match error.is_temporary() {
            true => Self::temporary(error.to_string()),
            false => Self::permanent(error.to_string()),
        }
    }
}
