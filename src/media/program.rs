//! Programs: the sounds that an order plays.

use std::{sync::Arc, time::Duration};

/// Length of a frame, which is what one tick carries.
pub const TICK: Duration = Duration::from_millis(20);

/// Length of the fade of a sound that is cut off: no click, and nothing that can be understood.
pub const FADE_MS: u32 = 5;

/// Sounds that are played one after the other. Shared by all calls that hear them.
pub type Program = Arc<[Sound]>;

/// One sound of a program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sound {
    /// The sound itself: a tone, silence, a file or a text.
    pub what: SoundKind,
    /// How many times it is played; 0 repeats it until it is stopped.
    pub times: u32,
}

/// The source of a sound.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SoundKind {
    /// A short tone; 1 and 2 differ (`beep:1`, `beep:2`).
    Beep(u8),
    /// A pause of this length.
    Silence(Duration),
    /// A sound by its URL: `http(s)://…`, `flow:FILE`, or `sound:hold|ring|beep`.
    Url(Arc<str>),
    /// A text, read aloud.
    Speech {
        /// Plain characters, no markup.
        text: Arc<str>,
        /// `WOMAN`, `MAN`, or a name that the speech backend may know.
        voice: Arc<str>,
        /// A language tag such as `en-US`.
        language: Arc<str>,
    },
}

impl From<SoundKind> for Sound {
    fn from(what: SoundKind) -> Self {
        Self { what, times: 1 }
    }
}
