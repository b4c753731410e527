//! Running recordings: which there are, their limits, and when each ends.
//!
//! A machine: time is an argument, and it does no IO. A recording is one of a call or of a room from
//! [`ActiveRecordings::start`] until its file is closed ([`ActiveRecordings::take`]); in between it
//! stops, for the first reason that there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{AUDIENCE_MAX, Recording, RecordingAudience, RecordingEnd, RecordingEndReason};
use crate::{
    base::ids::{CallId, Incarnation, RecordingId, RoomId},
    conference::MemberInfo,
    media::RecordingSource,
};

/// Recordings of one call at a time: each is a file of the same audio.
pub const CALL_RECORDINGS_MAX: usize = 4;

/// The longest recording. A call ends before, and a WAV file is full after 37 hours of stereo.
pub const LENGTH_MAX: Duration = Duration::from_secs(86_400);

/// The recordings that run, and those whose files are being closed.
#[derive(Debug)]
pub struct ActiveRecordings {
    running: BTreeMap<RecordingId, ActiveRecording>,
    by_source: BTreeMap<RecordingSource, Vec<RecordingId>>,
    /// The ends by limit of those that are not stopped.
    limits: BTreeSet<(Instant, RecordingId)>,
    /// The highest number of recordings at a time.
    max: usize,
    is_draining: bool,
}

#[derive(Debug)]
struct ActiveRecording {
    recording: Arc<Recording>,
    subject: RecordedSubject,
    limit: Instant,
    is_stopped: bool,
    /// A flow has started it, not a request.
    is_of_flow: bool,
    /// A request has made it silent.
    is_paused: bool,
    /// Members of the room that are told of its end.
    told: Vec<MemberInfo>,
}

/// The call or conference that is recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordedSubject {
    /// A call, wherever it is.
    Call(CallId),
    /// An incarnation of a conference.
    Room(Arc<Incarnation>),
}

impl RecordedSubject {
    /// The source of its audio.
    pub fn source(&self) -> RecordingSource {
        match self {
            Self::Call(call) => RecordingSource::Call(*call),
            Self::Room(room) => RecordingSource::Room(room.id),
        }
    }

    /// The room, if one is recorded.
    pub fn room(&self) -> Option<RoomId> {
        match self {
            Self::Call(_) => None,
            Self::Room(room) => Some(room.id),
        }
    }
}

/// The reason why a recording does not start.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecordingRefusal {
    /// The room is recorded already: this is its recording.
    #[error("the conference is recorded already")]
    Running(Arc<Recording>),
    /// The call has its maximum of recordings.
    #[error("the call has {CALL_RECORDINGS_MAX} recordings at a time already: stop one")]
    TooManyOfCall,
    /// The server has its maximum of recordings.
    #[error("{max} recordings run already (recordings.max): try again when one has ended")]
    TooMany {
        /// That maximum, of the setting.
        max: usize,
    },
}

/// A recording that stops.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordingStop {
    /// The recording that stops.
    pub recording: RecordingId,
    /// The source of its audio.
    pub source: RecordingSource,
    /// The time of its last sample.
    pub at: Instant,
    /// The first reason that there was.
    pub reason: RecordingEndReason,
}

/// A recording that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenRecording {
    /// The recording with its end.
    pub recording: Recording,
    /// The call or conference that was recorded.
    pub subject: RecordedSubject,
    /// Members of the room that are told of its end.
    pub told: Vec<MemberInfo>,
    /// Whether it was told to stop. If not, the file ended by itself, and audio may still come.
    pub was_stopped: bool,
}

impl ActiveRecordings {
    /// No recordings. `max`: how many there may be at a time.
    pub fn new(max: usize) -> Self {
        let (running, by_source, limits) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { running, by_source, limits, max, is_draining: false }
    }

    /// The number of recordings whose files are open.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether no file is open.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether a recording of this source may start.
    ///
    /// # Errors
    ///
    /// [`RecordingRefusal`]: it may not, and why.
    pub fn check(&self, source: RecordingSource) -> Result<(), RecordingRefusal> {
        let of_source = self.of(source);
        match source {
            RecordingSource::Room(_) => {
                if let Some(running) = of_source.first() {
                    let running = self.running[running].recording.clone();
                    return Err(RecordingRefusal::Running(running));
                }
            }
            RecordingSource::Call(_) if CALL_RECORDINGS_MAX <= of_source.len() => {
                return Err(RecordingRefusal::TooManyOfCall);
            }
            RecordingSource::Call(_) => (),
        }
        match self.max <= self.running.len() {
            true => Err(RecordingRefusal::TooMany { max: self.max }),
            false => Ok(()),
        }
    }

    /// Adds a recording that [`Self::check`] allows. It stops after `length`, or [`LENGTH_MAX`].
    pub fn start(
        &mut self,
        now: Instant,
        recording: Arc<Recording>,
        subject: RecordedSubject,
        length: Duration,
    ) {
        debug_assert_eq!(self.check(subject.source()), Ok(()));
        let (id, limit) = (recording.id, now + length.min(LENGTH_MAX));
        self.by_source.entry(subject.source()).or_default().push(id);
        self.limits.insert((limit, id));
        let active = ActiveRecording {
            recording,
            subject,
            limit,
            is_stopped: false,
            is_of_flow: false,
            is_paused: false,
            told: Vec::new(),
        };
        let before = self.running.insert(id, active);
        debug_assert!(before.is_none(), "recording {id} starts twice");
    }

    /// Adds a member that is told of the end of a recording. `is_of_flow`: they have started it.
    /// Returns the recording if its row must be written, so that they are told after a crash as well.
    pub fn add_member(
        &mut self,
        id: RecordingId,
        who: MemberInfo,
        is_of_flow: bool,
    ) -> Option<Arc<Recording>> {
        let active = self.running.get_mut(&id)?;
        active.is_of_flow |= is_of_flow;
        active.told.push(who.clone());
        let room = active.subject.room().filter(|_| who.callback.is_some())?;
        let recording = Arc::make_mut(&mut active.recording);
        let nobody = || Arc::new(RecordingAudience { room, members: Vec::new() });
        let members = &mut Arc::make_mut(recording.audience.get_or_insert_with(nobody)).members;
        if AUDIENCE_MAX <= members.len() {
            return None;
        }
        members.push(who);
        Some(active.recording.clone())
    }

    /// Notes that the recordings of a source are silent, or no longer. Returns those that change.
    pub fn pause(&mut self, source: RecordingSource, on: bool) -> Vec<RecordingId> {
        let of_source = self.by_source.get(&source).map(Vec::as_slice).unwrap_or_default();
        let mut changed = Vec::new();
        for id in of_source {
            let active = self.running.get_mut(id);
            if active.is_some_and(|it| mem::replace(&mut it.is_paused, on) != on) {
                changed.push(*id);
            }
        }
        changed
    }

    /// Whether a flow has started a recording.
    pub fn is_of_flow(&self, id: RecordingId) -> bool {
        self.running.get(&id).is_some_and(|it| it.is_of_flow)
    }

    /// The recordings of a source that are not stopped, the first one first.
    pub fn of(&self, source: RecordingSource) -> &[RecordingId] {
        self.by_source.get(&source).map(Vec::as_slice).unwrap_or_default()
    }

    /// The recordings of a source that are not stopped, as they began.
    pub fn recordings_of(&self, source: RecordingSource) -> Vec<Arc<Recording>> {
        self.of(source).iter().map(|id| self.running[id].recording.clone()).collect()
    }

    /// Stops the recordings of a source, or one of them.
    pub fn stop(
        &mut self,
        now: Instant,
        source: RecordingSource,
        only: Option<RecordingId>,
        reason: RecordingEndReason,
    ) -> Vec<RecordingStop> {
        let is_meant = |id: &RecordingId| only.is_none_or(|it| it == *id);
        let meant: Vec<_> = self.of(source).iter().copied().filter(is_meant).collect();
        meant.into_iter().filter_map(|id| self.stop_one(now, id, reason)).collect()
    }

    /// Stops the recordings of a call or a room that is over.
    pub fn source_ended(&mut self, now: Instant, source: RecordingSource) -> Vec<RecordingStop> {
        let reason = match self.is_draining {
            true => RecordingEndReason::Drained,
            false => RecordingEndReason::HungUp,
        };
        self.stop(now, source, None, reason)
    }

    /// From now on, what ends does so because the server shuts down.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// The time of the next [`Self::expire`].
    pub fn deadline(&self) -> Option<Instant> {
        self.limits.first().map(|(at, _)| *at)
    }

    /// Stops the recordings whose limit has passed, each at its limit.
    pub fn expire(&mut self, now: Instant) -> Vec<RecordingStop> {
        let mut stops = Vec::new();
        while let Some(&(at, id)) = self.limits.first().filter(|(at, _)| *at <= now) {
            stops.extend(self.stop_one(at, id, RecordingEndReason::MaxLength));
        }
        stops
    }

    /// Takes a recording whose file is closed. None if it is unknown.
    pub fn take(&mut self, id: RecordingId, end: RecordingEnd) -> Option<TakenRecording> {
        self.forget(id);
        let ActiveRecording { recording, subject, is_stopped, told, .. } =
            self.running.remove(&id)?;
        let recording =
            Recording { audience: None, end: Some(end), ..Recording::clone(&recording) };
        Some(TakenRecording { recording, subject, told, was_stopped: is_stopped })
    }

    fn stop_one(
        &mut self,
        at: Instant,
        id: RecordingId,
        reason: RecordingEndReason,
    ) -> Option<RecordingStop> {
        self.forget(id);
        let active = self.running.get_mut(&id)?;
        active.is_stopped = true;
        Some(RecordingStop { recording: id, source: active.subject.source(), at, reason })
    }

    /// Forgets the limit and the source of a recording.
    fn forget(&mut self, id: RecordingId) {
        let Some(active) = self.running.get(&id) else { return };
        let source = active.subject.source();
        self.limits.remove(&(active.limit, id));
        if let Some(of_source) = self.by_source.get_mut(&source) {
            of_source.retain(|it| *it != id);
            if of_source.is_empty() {
                self.by_source.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests;
