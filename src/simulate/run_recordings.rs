//! Requests about recordings, as a run performs them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use uuid::Uuid;

use super::{
    recorded::{ScriptRecorded, ScriptRecording, ScriptRecordingCommand},
    recordings::number,
    report::id,
    run::SimulationRun,
};
use crate::{
    base::ids::{CallId, ConferenceName, RoomKey},
    engine::recordings::{BegunRecording, NewRecording, RecordError},
    flow::{RecordingFormat, RequestMethod},
    media::RecordingChannels,
    recording::{RecordingCallback, RecordingEndReason, active::LENGTH_MAX},
};

/// The length of a call's recording without `time_limit`, as in the API.
const CALL_LENGTH: Duration = Duration::from_secs(60);

impl SimulationRun<'_> {
    /// Does what a request about recordings asks for. Returns the answer.
    pub(super) fn record(&self, api_id: Uuid, request: &ScriptRecording) -> Result<String, String> {
        let stopped = RecordingEndReason::Stopped;
        let (registry, nothing) = (&self.registry, || "nothing is recorded".to_owned());
        let ScriptRecording { recorded, command } = request;
        let count = match recorded {
            ScriptRecorded::Caller(who) => {
                let call = id(*who);
                if !registry.is_up(call) {
                    return Err("call not found".to_owned());
                }
                match command {
                    ScriptRecordingCommand::Start { length, callback } => {
                        let length = length.unwrap_or(CALL_LENGTH);
                        let new = self.new_recording(api_id, call, length, callback.clone());
                        return begun(registry.record_call(new));
                    }
                    ScriptRecordingCommand::Stop => {
                        registry.stop_recording_call(call, |_| true, stopped);
                        return Ok("done".to_owned());
                    }
                    ScriptRecordingCommand::Pause(on) => registry.pause_recording_call(call, *on),
                }
            }
            ScriptRecorded::Room(name) => {
                let key = RoomKey { account: self.account.clone(), name: name.clone() };
                let gone = || "conference not found".to_owned();
                match command {
                    ScriptRecordingCommand::Start { length, callback } => {
                        let length = length.unwrap_or(LENGTH_MAX);
                        let call = self.member_of(name).ok_or_else(gone)?;
                        let new = self.new_recording(api_id, call, length, callback.clone());
                        return begun(registry.record_room(&key, new));
                    }
                    ScriptRecordingCommand::Stop => {
                        let is_there = registry.stop_recording_room(&key, stopped);
                        return is_there.then(|| "done".to_owned()).ok_or_else(gone);
                    }
                    ScriptRecordingCommand::Pause(on) => {
                        registry.pause_recording_room(&key, *on).ok_or_else(gone)?
                    }
                }
            }
        };
        if count == 0 { Err(nothing()) } else { Ok("done".to_owned()) }
    }

    /// The call of a member of a conference.
    fn member_of(&self, name: &ConferenceName) -> Option<CallId> {
        let seen = self.world.seen.lock();
        seen.members.iter().find(|(_, (room, _))| room == name).map(|(call, _)| *call)
    }

    fn new_recording(
        &self,
        api_id: Uuid,
        call: CallId,
        length: Duration,
        callback: Option<Arc<str>>,
    ) -> NewRecording {
        let dialect = self.script.dialect;
        let (channels, from, to) = (RecordingChannels::default(), "".into(), "".into());
        NewRecording {
            id: self.world.files.new_id(),
            account: self.account.clone(),
            call,
            from,
            to,
            api_id,
            started_at: SystemTime::UNIX_EPOCH,
            channels,
            format: RecordingFormat::Wav,
            length,
            callback: callback.map(|url| RecordingCallback {
                url,
                method: RequestMethod::Post,
                dialect,
                party: None,
            }),
        }
    }
}

fn begun(begun: Result<BegunRecording, RecordError>) -> Result<String, String> {
    let it = begun.map_err(|error| error.to_string())?;
    Ok(format!("recording {}", number(it.recording.id)))
}
