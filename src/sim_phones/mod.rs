//! Simulated phones: a backend without sound, for tests, for trying things out, and for measuring.
//!
//! [`Phones`] decides what phones hear and do, and reads no clock; [`Sim`] has many of them in
//! shards under locks, with one task each that sleeps until the earliest deadline.

mod answer_plan;
mod backend;
mod details;
mod dial;
mod phone;
mod script;
mod sounds;
mod table;
mod timeline;
mod user;

pub use self::{
    backend::{KEPT_FOR, KEPT_MAX, PHONES_MAX, Sim},
    details::{Entry, Record, Sounding, State},
    dial::{BadDial, Dial, DialError, NUMBER_CHARS_MAX, PhoneError, SCRIPT_ACTS_MAX},
    script::{Act, BadKeys, Deed, KEYS_MAX, Keys, Whole},
    table::Phones,
    timeline::TIMELINE_MAX,
};

/// How long sounds last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Speech, in milliseconds for each character (Unicode scalar value).
    pub speech_ms_per_char: u32,
    /// A beep, in milliseconds; `sound:beep` too.
    pub beep_ms: u32,
    /// Any other sound, in milliseconds: nobody listens to what is in it.
    pub sound_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { speech_ms_per_char: 60, beep_ms: 200, sound_ms: 1_000 }
    }
}
