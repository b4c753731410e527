//! Clip: sound in memory, and the error if a sound is not available.

use std::sync::Arc;

/// Longest sound in seconds. Nobody listens longer to one text or file, and a text of 3,000
/// characters takes half of it.
pub const SECONDS_MAX: u32 = 600;

/// Mono sound in memory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Clip {
    /// Sample rate in samples per second.
    pub rate: u32,
    /// Linear PCM, 16 bits.
    pub samples: Arc<[i16]>,
}

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
