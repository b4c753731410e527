//! Requests of an events file about recordings.

use std::{fmt, sync::Arc, time::Duration};

use crate::base::ids::ConferenceName;

/// A request that starts, stops, pauses or resumes recordings.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptRecording {
    /// The call or the conference of the request.
    pub recorded: ScriptRecorded,
    /// What the request does.
    pub command: ScriptRecordingCommand,
}

/// The call or the conference that is recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ScriptRecorded {
    /// The call of the caller with this index.
    Caller(usize),
    /// The conference of this name.
    Room(ConferenceName),
}

/// What a request does to recordings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ScriptRecordingCommand {
    /// A recording begins: `POST …/Record/`.
    Start {
        /// `time_limit`; None is the default.
        length: Option<Duration>,
        /// `callback_url`, which is told of the end.
        callback: Option<Arc<str>>,
    },
    /// Recordings end: `DELETE …/Record/`.
    Stop,
    /// `POST …/Record/Pause/` (true) or `…/Resume/`.
    Pause(bool),
}

impl ScriptRecording {
    /// Writes the request for the log: `record weekly`.
    pub(super) fn text<'a>(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: impl Fn(&usize) -> &'a str,
    ) -> fmt::Result {
        let Self { recorded, command } = self;
        f.write_str(match command {
            ScriptRecordingCommand::Start { .. } => "record ",
            ScriptRecordingCommand::Stop => "stop recording ",
            ScriptRecordingCommand::Pause(true) => "pause the recording of ",
            ScriptRecordingCommand::Pause(false) => "resume the recording of ",
        })?;
        f.write_str(match recorded {
            ScriptRecorded::Caller(who) => name(who),
            ScriptRecorded::Room(room) => room.as_str(),
        })
    }
}
