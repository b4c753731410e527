//! Simulated phones: a backend without sound, for tests, demonstrations and measurements.
//!
//! [`PhoneTable`] decides what phones hear and do, and reads no clock. [`SimPhones`] keeps many
//! phones in partitions under locks; the task of each partition sleeps until the earliest deadline.

mod answer_plan;
mod backend;
mod details;
mod dial;
mod phone;
mod room_sounds;
mod script;
mod sounds;
mod table;
mod timeline;
mod user;

use crate::media::CannotDial;

pub use self::{
    backend::{KEPT_FOR, KEPT_MAX, PHONES_MAX, SimPhones},
    details::{HeardSound, PhoneDetails, PhoneState, TimelineEntry},
    dial::{BadDial, Dial, DialError, NUMBER_CHARS_MAX, PhoneError, SCRIPT_ACTS_MAX},
    script::{BadKeys, KEYS_MAX, PhoneAction, PressedKeys, ScriptItem, WholeNumber},
    table::PhoneTable,
    timeline::TIMELINE_MAX,
};

/// Checks the address of a phone to be called: `sim:NAME?…`.
///
/// # Errors
///
/// It is no such address; the text says what to write.
pub fn check_address(to: &str) -> Result<(), CannotDial> {
    answer_plan::AnswerPlan::parse(to).map(drop)
}

/// Durations of simulated sounds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Duration of speech, in milliseconds per character (Unicode scalar value).
    pub speech_ms_per_char: u32,
    /// Duration of a beep and of `sound:beep`, in milliseconds.
    pub beep_ms: u32,
    /// Duration of any other sound, in milliseconds; its contents are not read.
    pub sound_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { speech_ms_per_char: 60, beep_ms: 200, sound_ms: 1_000 }
    }
}
