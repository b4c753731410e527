//! The media port: orders from the engine to the backends that have the calls, and reports back.
//!
//! Orders come in two kinds. A [`SignallingOrder`] (dial, answer, early media, end) goes to the
//! [`SignallingBackend`] that has the call, an [`AudioOrder`] (play, place in a room, …) to the
//! [`AudioEngine`] that carries its sound. The [`router`] knows which ones these are. What the far
//! end does, and what an order leads to, comes back through an [`Exchange`].

mod backend;
mod ending;
mod exchange;
pub mod legs;
mod orders;
mod program;
mod recording;
pub mod router;
mod rows;

pub use self::{
    backend::{AudioEngine, Backend, CannotDial, SignallingBackend},
    ending::{DialFailure, DialFailureSource, Ending, HangupCause, HangupSource},
    exchange::{Arrival, DialAttempt, DialResponse, Diversion, Exchange, LegEvent, NoFlow, Report},
    orders::{
        ANNOUNCEMENTS_MAX, AnnouncementAddress, AnnouncementKind, AudioOrder, DialCredentials,
        DialOrigin, Dialling, MemberAudio, SignallingOrder, SoundToAll,
    },
    program::{FADE_MS, Program, Sound, SoundKind, TICK},
    recording::{
        RECORDING_RATE, RecordingBlock, RecordingChannels, RecordingFeed, RecordingSink,
        RecordingSource,
    },
    rows::{BackendRow, BackendRowKind, BackendRows, NoRows},
};
