//! Clip: sound in memory, and the error when a sound cannot be made.

use std::sync::Arc;

/// The longest that anything sounds, in seconds. Nobody listens longer to one text or file, and
/// words of 3,000 characters take half of it.
pub const SECONDS_MAX: u32 = 600;

/// Sound in memory: one channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Clip {
    /// Samples per second.
    pub rate: u32,
    /// The samples.
    pub samples: Arc<[i16]>,
}

/// A sound cannot be had. The text says what, which, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct SoundError {
    message: Arc<str>,
    temporary: bool,
}

impl SoundError {
    /// It will be the same next time.
    pub fn permanent(message: impl Into<Arc<str>>) -> Self {
        Self { message: message.into(), temporary: false }
    }

    /// It may go well next time.
    pub fn temporary(message: impl Into<Arc<str>>) -> Self {
        Self { message: message.into(), temporary: true }
    }

    /// Whether the same may go well later.
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }
}
