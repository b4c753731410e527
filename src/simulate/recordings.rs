//! Simulated recordings: requests of an events file, files that have a length and no sound, and notes.

use std::{
    collections::BTreeMap,
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use uuid::Uuid;

use super::{
    Script, ScriptAction,
    fields::{AT_MAX, ScriptFields},
    report::id,
    run::SimulationRun,
    world::SimulatedWorld,
};
use crate::{
    base::ids::{CallId, ConferenceName, RecordingId, RoomKey},
    engine::{
        recordings::{BegunRecording, NewRecording, RecordError, RecordingPorts, Recordings},
        registry::Registry,
    },
    flow::{RecordingFormat, RequestMethod},
    media::{RecordingBlock, RecordingChannels, RecordingFeed, RecordingSink},
    recording::{
        Recording, RecordingCallback, RecordingEnd, RecordingEndReason,
        active::LENGTH_MAX,
        event::RecordingEvent,
        port::{NoSpace, RecordingFiles, RecordingListener},
        store::StoredRecordings,
    },
};

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
    /// A conference.
    Room(ConferenceName),
}

/// What a request does to recordings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ScriptRecordingCommand {
    /// `POST …/Record/`
    Start {
        /// `time_limit`; None is the default.
        length: Option<Duration>,
        /// `callback_url`
        callback: Option<Arc<str>>,
    },
    /// `DELETE …/Record/`
    Stop,
    /// `POST …/Record/Pause/` (true) or `…/Resume/`.
    Pause(bool),
}

/// The length of a call's recording without `time_limit`, as in the API.
const CALL_LENGTH: Duration = Duration::from_secs(60);

/// Recordings of a simulation at a time.
const RECORDINGS_MAX: usize = 1_000;

/// Lengths of files, in place of files.
#[derive(Default)]
pub(super) struct SimulatedFiles {
    open: Mutex<BTreeMap<RecordingId, SimulatedFile>>,
    /// Ends that are not reported yet.
    ended: Mutex<Vec<(RecordingId, RecordingEnd)>>,
    last: AtomicU64,
}

/// The time that a recording has, and will not have.
struct SimulatedFile {
    started: Instant,
    cut: Duration,
    cut_since: Option<Instant>,
}

/// A sink for simulated phones, which have no sound.
#[derive(Debug)]
struct SilentSink {
    id: RecordingId,
    channels: RecordingChannels,
    started: Instant,
}

/// Has a registry keep recordings in a world.
pub(super) fn keep(world: &Arc<SimulatedWorld>, registry: &Arc<Registry>) -> Arc<Recordings> {
    let (clock, ids) = (world.clone(), world.files.clone());
    let ports = RecordingPorts {
        store: Arc::new(StoredRecordings::in_memory()),
        files: world.files.clone(),
        audio_url: Box::new(|_, it| format!("recording {}", number(it.id))),
        new_id: Box::new(move || ids.new_id()),
        recordings_max: RECORDINGS_MAX,
        clock: Box::new(move || clock.clock.now()),
    };
    registry.keep_recordings(ports).clone()
}

/// What is noted of an event: for the log, and who is told.
pub(super) fn notes(world: &SimulatedWorld, event: &RecordingEvent) -> Vec<String> {
    let RecordingEvent { recording, call, conference, end, member, callback, .. } = event;
    let number = number(*recording);
    let length = end.map_or_else(String::new, |(length, _)| format!(", {} ms", length.as_millis()));
    if let Some(who) = member {
        let Some(callback) = &who.callback else { return Vec::new() };
        let name = if end.is_some() { "ConferenceRecordStop" } else { "ConferenceRecordStart" };
        let (who, url) = (world.name(who.call), &callback.url);
        return vec![format!("{who} tells {url}: {name} of recording {number}{length}")];
    }
    let what = conference.as_ref().map_or_else(|| world.name(*call), ConferenceName::as_str);
    let Some((_, reason)) = end else {
        return vec![format!("{what}: recording {number} begins")];
    };
    let mut notes = vec![format!("{what}: recording {number} ends: {}{length}", reason.text())];
    if let Some(RecordingCallback { url, .. }) = callback {
        notes.push(format!("{what} tells {url}: recording {number}{length}"));
    }
    notes
}

fn number(id: RecordingId) -> u128 {
    id.0.as_u128()
}

impl Script {
    /// Reads `record = "start"` and the like.
    pub(super) fn record(&mut self, fields: &mut ScriptFields) -> Result<ScriptAction, String> {
        let command = fields.needed("record")?;
        let length = fields.time("time_limit", AT_MAX)?.map(Duration::from_millis);
        let callback = fields.text("callback_url")?.map(Arc::from);
        let is_start = command == "start";
        if !is_start && (length.is_some() || callback.is_some()) {
            return Err(format!("record: {command:?} has no time_limit and no callback_url"));
        }
        let command = match &*command {
            "start" => ScriptRecordingCommand::Start { length, callback },
            "stop" => ScriptRecordingCommand::Stop,
            "pause" => ScriptRecordingCommand::Pause(true),
            "resume" => ScriptRecordingCommand::Pause(false),
            _ => {
                return Err("record: write \"start\", \"stop\", \"pause\" or \"resume\"".to_owned());
            }
        };
        let recorded = match (fields.text("caller")?, fields.room("room")?) {
            (Some(name), None) => ScriptRecorded::Caller(self.find("caller", &name)?),
            (None, Some(room)) => ScriptRecorded::Room(room),
            _ => return Err("record: say whose: caller = \"NAME\" or room = \"ROOM\"".to_owned()),
        };
        Ok(ScriptAction::Record(Box::new(ScriptRecording { recorded, command })))
    }
}

impl ScriptRecording {
    /// Writes the request for the log: `record weekly`.
    pub(super) fn text(&self, script: &Script, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recorded, command } = self;
        f.write_str(match command {
            ScriptRecordingCommand::Start { .. } => "record ",
            ScriptRecordingCommand::Stop => "stop recording ",
            ScriptRecordingCommand::Pause(true) => "pause the recording of ",
            ScriptRecordingCommand::Pause(false) => "resume the recording of ",
        })?;
        f.write_str(match recorded {
            ScriptRecorded::Caller(who) => &script.callers[*who].name,
            ScriptRecorded::Room(room) => room.as_str(),
        })
    }
}

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
            }),
        }
    }
}

fn begun(begun: Result<BegunRecording, RecordError>) -> Result<String, String> {
    let it = begun.map_err(|error| error.to_string())?;
    Ok(format!("recording {}", number(it.recording.id)))
}

impl SimulatedFiles {
    /// The next recording's id, counted from 1.
    fn new_id(&self) -> RecordingId {
        RecordingId::of((self.last.fetch_add(1, Ordering::Relaxed) + 1).into())
    }

    /// Whether an end is not reported yet.
    pub(super) fn has_ends(&self) -> bool {
        !self.ended.lock().is_empty()
    }

    /// Ends the recordings that have reached their limits, and reports ends.
    pub(super) fn turn(&self, recordings: &Recordings) {
        recordings.expire();
        let ended = mem::take(&mut *self.ended.lock());
        ended.into_iter().for_each(|(id, end)| recordings.recorded(id, end));
    }
}

impl RecordingFiles for SimulatedFiles {
    fn begin(&self, recording: &Recording, started: Instant) -> Result<RecordingFeed, NoSpace> {
        let Recording { id, channels, .. } = *recording;
        let file = SimulatedFile { started, cut: Duration::ZERO, cut_since: None };
        self.open.lock().insert(id, file);
        Ok(RecordingFeed::new(Arc::new(SilentSink { id, channels, started })))
    }

    /// Silence is as long as sound.
    fn pause(&self, _: RecordingId, _: bool) {}

    fn cut(&self, recording: RecordingId, at: Instant, on: bool) {
        if let Some(file) = self.open.lock().get_mut(&recording) {
            file.cut(at, on);
        }
    }

    fn end(&self, recording: RecordingId, at: Instant, reason: RecordingEndReason) {
        let Some(mut file) = self.open.lock().remove(&recording) else { return };
        file.cut(at, false);
        let duration = at.saturating_duration_since(file.started).saturating_sub(file.cut);
        let at = SystemTime::UNIX_EPOCH + duration;
        let (bytes, lost_samples, format) = (0, 0, RecordingFormat::Wav);
        let end = RecordingEnd { at, duration, bytes, lost_samples, format, reason };
        self.ended.lock().push((recording, end));
    }

    fn has_mp3(&self) -> bool {
        false
    }

    fn free_bytes(&self) -> u64 {
        u64::MAX
    }

    fn repair(&self, _: &Recording) -> RecordingEnd {
        unreachable!("there is no earlier process")
    }
}

impl SimulatedFile {
    fn cut(&mut self, at: Instant, on: bool) {
        match (on, self.cut_since) {
            (true, None) => self.cut_since = Some(at),
            (false, Some(since)) => {
                self.cut += at.saturating_duration_since(since);
                self.cut_since = None;
            }
            (true, Some(_)) | (false, None) => (),
        }
    }
}

impl RecordingSink for SilentSink {
    fn id(&self) -> RecordingId {
        self.id
    }

    fn channels(&self) -> RecordingChannels {
        self.channels
    }

    fn started(&self) -> Instant {
        self.started
    }

    fn is_paused(&self) -> bool {
        false
    }

    fn write(&self, _: RecordingBlock) {}
}
