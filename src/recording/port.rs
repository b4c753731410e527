//! Recording files: the port that keeps audio, and the one that it tells of each end.

use std::time::Instant;

use super::{Recording, RecordingEnd, RecordingEndReason};
use crate::{base::ids::RecordingId, media::RecordingFeed};

/// Keeps the audio of recordings in files. Nothing here waits, except [`Self::repair`].
pub trait RecordingFiles: Send + Sync + 'static {
    /// Begins the file of a recording, whose first sample is of the time `started`.
    /// [`RecordingListener::recorded`] tells of its end, also if the file cannot be made.
    ///
    /// # Errors
    ///
    /// [`NoSpace`]: the disk is nearly full.
    fn begin(&self, recording: &Recording, started: Instant) -> Result<RecordingFeed, NoSpace>;

    /// Sets whether a recording is silent from now on. A recording that is unknown is ignored.
    fn pause(&self, recording: RecordingId, on: bool);

    /// Leaves the time from `at` on out of a recording, or ends that. A recording that is unknown is
    /// ignored.
    fn cut(&self, recording: RecordingId, at: Instant, on: bool);

    /// Ends a recording at a time: the file is cut off there, or filled up with silence, closed, and
    /// given its final name. A recording that is unknown is ignored: it has ended.
    fn end(&self, recording: RecordingId, at: Instant, reason: RecordingEndReason);

    /// Whether it can turn files into MP3. If not, every file is WAV.
    fn has_mp3(&self) -> bool;

    /// The space that is free for recordings, in bytes, as of the last second.
    fn free_bytes(&self) -> u64;

    /// Closes the file of a recording that an earlier process did not end. Reads the disk: call it
    /// where one may wait.
    fn repair(&self, recording: &Recording) -> RecordingEnd;
}

/// Gets the ends of recordings.
pub trait RecordingListener: Send + Sync + 'static {
    /// The file of a recording is closed. Told once, from any thread.
    fn recorded(&self, recording: RecordingId, end: RecordingEnd);
}

/// Too little space is left on the disk for a new recording.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{free_mb} MB are free, and a recording starts with {min_mb} MB at least: delete recordings"
)]
pub struct NoSpace {
    /// The space that is free, in MB.
    pub free_mb: u64,
    /// The space below which no recording starts, in MB.
    pub min_mb: u64,
}
