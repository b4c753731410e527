//! Recording port: the way of audio from an audio engine to a file.
//!
//! A thread that mixes fills blocks of a second and hands them over. It never waits: a block that the
//! disk is too slow for is dropped, and the file has silence there.

use std::{fmt, ops::Deref, sync::Arc, time::Instant};

use crate::base::ids::{CallId, RecordingId, RoomId};

/// Samples per second of each channel.
pub const RECORDING_RATE: u32 = 8_000;

/// The call or the room whose audio is recorded.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum RecordingSource {
    /// What a call says and hears.
    Call(CallId),
    /// The mix of a room, before each member's own voice is taken out of what they hear.
    Room(RoomId),
}

/// The channels of a recording.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum RecordingChannels {
    /// One: what is said and heard together, or the mix of a conference.
    #[default]
    Mono,
    /// One: what the call says alone.
    Said,
    /// Two: what the call says on the left, what it hears on the right.
    Stereo,
}

impl RecordingChannels {
    /// Their number, 1 or 2.
    pub fn count(self) -> u16 {
        match self {
            Self::Mono | Self::Said => 1,
            Self::Stereo => 2,
        }
    }
}

/// The end of a recording that takes its audio. No method waits.
pub trait RecordingSink: fmt::Debug + Send + Sync + 'static {
    /// The recording that it is for.
    fn id(&self) -> RecordingId;

    /// Two channels: what is said in the left one, what is heard in the right one.
    fn channels(&self) -> RecordingChannels;

    /// The time of the sample at position 0.
    fn started(&self) -> Instant;

    /// Whether the audio of this moment is not to be recorded: silence takes its place.
    fn is_paused(&self) -> bool;

    /// Takes a block of audio.
    fn write(&self, block: RecordingBlock);
}

/// Audio of a second at most.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RecordingBlock {
    /// Samples per channel from the start of the recording to the first one of the block. What no
    /// block has is silence.
    pub position: u64,
    /// The samples; with two channels, left and right in turn.
    pub samples: Vec<i16>,
}

/// A handle to the sink of a recording, as an order carries it.
#[derive(Clone, Debug)]
pub struct RecordingFeed(Arc<dyn RecordingSink>);

impl RecordingFeed {
    /// A handle to this sink.
    pub fn new(sink: Arc<dyn RecordingSink>) -> Self {
        Self(sink)
    }
}

impl Deref for RecordingFeed {
    type Target = dyn RecordingSink;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for RecordingFeed {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}
