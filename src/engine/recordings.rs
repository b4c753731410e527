//! Recordings: starts and stops them, keeps their rows, and tells of their ends.
//!
//! Every decision is made in [`ActiveRecordings`]. A call or a room is recorded only while it is in the
//! registry's tables: a start holds their lock, and the end of a call or a room comes after it has
//! left them.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::sleep_until,
};
use uuid::Uuid;

use super::{
    observed::Observed,
    recording_figures::{RecordingFigures, RecordingTotals},
};
use crate::{
    base::ids::{AccountId, CallId, Dialect, Incarnation, RecordingId, RoomId},
    conference::MemberInfo,
    flow::RecordingFormat,
    media::{AudioEngine, AudioOrder, RecordingChannels, RecordingSource},
    recording::{
        Recording, RecordingAudience, RecordingCallback, RecordingEnd, RecordingEndReason,
        RecordingStore,
        active::{ActiveRecordings, RecordedSubject, RecordingRefusal, RecordingStop},
        event::RecordingEvent,
        port::{NoSpace, RecordingFiles, RecordingListener},
    },
    store::rows::WriteError,
    trace::{Interruption, RecordingNote, RecordingStep},
};

/// The recordings of a process.
pub struct Recordings {
    ports: RecordingPorts,
    media: Arc<dyn AudioEngine>,
    observer: RecordingObserver,
    on_end: OnRecordingEnd,
    itself: Weak<Self>,
    /// Taken inside the lock of a name or a call; inside it no other lock of the engine is taken.
    active: Mutex<ActiveRecordings>,
    /// Wakes [`Self::run`] when the next deadline may be another.
    changed: Notify,
    /// Ends that are not kept yet, or not told.
    ends: AtomicUsize,
    totals: RecordingTotals,
}

/// Makes the URL of a recording's audio in a dialect.
pub type AudioUrl = Box<dyn Fn(Dialect, &Recording) -> String + Send + Sync>;

/// Gets the events of recordings.
type RecordingObserver = Box<dyn Fn(Observed) + Send + Sync>;

/// Gets each recording whose end is kept and told.
type OnRecordingEnd = Box<dyn Fn(&Recording) + Send + Sync>;

/// The parts of the process that only recordings use. None of their methods waits.
pub struct RecordingPorts {
    /// Keeps the row of each recording.
    pub store: Arc<dyn RecordingStore>,
    /// Keeps the audio in files.
    pub files: Arc<dyn RecordingFiles>,
    /// Makes the URL of a recording's audio.
    pub audio_url: AudioUrl,
    /// Makes an id that was never used before, for a recording that a flow starts.
    pub new_id: Box<dyn Fn() -> RecordingId + Send + Sync>,
    /// How many recordings there may be at a time.
    pub recordings_max: usize,
    /// The clock of starts, ends and limits.
    pub clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

/// A recording to be started.
#[derive(Clone, Debug)]
pub struct NewRecording {
    /// Random, and never used before.
    pub id: RecordingId,
    /// The account of the call or conference.
    pub account: AccountId,
    /// The recorded call; of a conference: one of its members.
    pub call: CallId,
    /// The caller of that call.
    pub from: Arc<str>,
    /// The called number or name of that call.
    pub to: Arc<str>,
    /// The `api_id` of the request.
    pub api_id: Uuid,
    /// The time of day.
    pub started_at: SystemTime,
    /// One or two channels.
    pub channels: RecordingChannels,
    /// The format that is asked for. Without an encoder the file is WAV in any case.
    pub format: RecordingFormat,
    /// It ends after this time; longer ones end after a day.
    pub length: Duration,
    /// Who is told of the end.
    pub callback: Option<RecordingCallback>,
}

/// A recording that runs.
#[derive(Debug)]
pub struct BegunRecording {
    /// The recording as its row has it.
    pub recording: Arc<Recording>,
    /// Says when the row is kept; None if the recording ran already.
    stored: Option<oneshot::Receiver<Result<(), WriteError>>>,
}

/// The reason why a recording does not start.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// There is no such call or conference.
    #[error("not found")]
    Gone,
    /// This server keeps no recordings.
    #[error("this server keeps no recordings")]
    Off,
    /// A limit is reached.
    #[error(transparent)]
    Refused(#[from] RecordingRefusal),
    /// The disk is nearly full.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// Its row cannot be written.
    #[error(transparent)]
    NotStored(#[from] WriteError),
}

impl Recordings {
    /// No recordings yet. They end by their limits while [`Self::run`] runs.
    pub(super) fn new(
        ports: RecordingPorts,
        media: Arc<dyn AudioEngine>,
        observer: RecordingObserver,
        on_end: OnRecordingEnd,
    ) -> Arc<Self> {
        let active = Mutex::new(ActiveRecordings::new(ports.recordings_max));
        Arc::new_cyclic(|it| Self {
            ports,
            media,
            observer,
            on_end,
            itself: it.clone(),
            active,
            changed: Notify::new(),
            ends: AtomicUsize::new(0),
            totals: RecordingTotals::default(),
        })
    }

    /// Waits for the limits of recordings and stops what has reached its own, as long as there are
    /// other owners.
    pub async fn run(recordings: Weak<Self>) {
        while let Some(it) = recordings.upgrade() {
            let deadline = it.deadline();
            // So often it looks whether it is still needed.
            let look_at = it.now() + LOOK_EVERY;
            let wake_at = deadline.map_or(look_at, |at| at.min(look_at));
            tokio::select! {
                () = it.changed.notified() => (),
                () = sleep_until(wake_at.into()) => it.expire(),
            }
        }
    }

    /// The time of the next [`Self::expire`].
    pub fn deadline(&self) -> Option<Instant> {
        self.active.lock().deadline()
    }

    /// Stops what has reached its limit.
    pub fn expire(&self) {
        let mut active = self.active.lock();
        self.stop(active.expire(self.now()));
    }

    /// Completes the recordings that an earlier process left, and tells of them. Reads the disk: call
    /// it where one may wait.
    pub fn repair(&self, left: Vec<Arc<Recording>>) {
        for recording in left {
            let end = Some(self.ports.files.repair(&recording));
            let mut recording = Recording { end, ..Recording::clone(&recording) };
            let (room, told) = match recording.audience.take().map(Arc::unwrap_or_clone) {
                Some(RecordingAudience { room, members }) => (Some(room), members),
                None => (None, Vec::new()),
            };
            self.keep_end(recording, room, told);
        }
    }

    /// The URL of a recording's audio.
    pub fn audio_url(&self, dialect: Dialect, recording: &Recording) -> String {
        (self.ports.audio_url)(dialect, recording)
    }

    /// Figures for the operator.
    pub fn figures(&self) -> RecordingFigures {
        let running = self.active.lock().len();
        self.totals.figures(running, self.ports.files.free_bytes())
    }

    /// Whether no file is open, and every end is told.
    pub fn is_idle(&self) -> bool {
        self.active.lock().is_empty() && self.ends.load(SeqCst) == 0
    }

    /// Recordings that end from now on do so because the server shuts down.
    pub(super) fn drain(&self) {
        self.active.lock().drain();
    }

    /// Starts a recording. Called under the lock of the call or the name.
    pub(super) fn begin(
        &self,
        new: NewRecording,
        subject: RecordedSubject,
    ) -> Result<BegunRecording, RecordError> {
        let mut active = self.active.lock();
        let source = subject.source();
        match active.check(source) {
            Ok(()) => (),
            Err(RecordingRefusal::Running(recording)) => {
                return Ok(BegunRecording { recording, stored: None });
            }
            Err(refusal) => return Err(refusal.into()),
        }

        let (now, length) = (self.now(), new.length);
        let format = if self.has_mp3() { new.format } else { RecordingFormat::Wav };
        let recording = Arc::new(new.into_recording(&subject, format));
        let feed = self.ports.files.begin(&recording, now)?;
        let (reply, stored) = oneshot::channel();
        // The client may have stopped waiting.
        let on_stored = Box::new(move |it| drop(reply.send(it)));
        self.ports.store.put(recording.clone(), on_stored);
        let room = subject.room();
        active.start(now, recording.clone(), subject, length);
        let api_id = recording.api_id;
        self.note(source, recording.id, RecordingStep::Began { api_id });
        // Under the lock, so that a stop cannot overtake it.
        self.media.send(AudioOrder::Record { source, feed });
        // Under the lock too: the end is told later.
        self.tell(&recording, room);
        drop(active);
        self.changed.notify_one();
        Ok(BegunRecording { recording, stored: Some(stored) })
    }

    /// Whether files can be MP3.
    pub fn has_mp3(&self) -> bool {
        self.ports.files.has_mp3()
    }

    /// The recording of a call as it will be, before it begins.
    pub(super) fn planned(&self, new: NewRecording) -> Recording {
        let subject = RecordedSubject::Call(new.call);
        let format = if self.has_mp3() { new.format } else { RecordingFormat::Wav };
        new.into_recording(&subject, format)
    }

    /// An id that was never used before.
    pub(super) fn new_id(&self) -> RecordingId {
        (self.ports.new_id)()
    }

    /// Starts a recording of a room that a member asks for, or adds them to those who are told.
    pub(super) fn begin_for(
        &self,
        new: NewRecording,
        room: &Arc<Incarnation>,
        who: MemberInfo,
    ) -> Result<(), RecordError> {
        let begun = self.begin(new, RecordedSubject::Room(room.clone()))?;
        let is_new = begun.stored.is_some();
        let mut active = self.active.lock();
        if let Some(it) = active.add_member(begun.recording.id, who.clone(), is_new) {
            // Under the lock, so that the row of the end comes later.
            self.ports.store.put(it, Box::new(|_| ()));
        }
        drop(active);
        self.tell_member(&begun.recording, Some(room.id), who);
        Ok(())
    }

    /// Leaves the time from now on out of a recording that a flow started, or ends that.
    pub(super) fn cut(&self, source: RecordingSource, on: bool) {
        let active = self.active.lock();
        for it in active.of(source).iter().filter(|it| active.is_of_flow(**it)) {
            self.ports.files.cut(*it, self.now(), on);
            self.note(source, *it, RecordingStep::interrupted(Interruption::Alone, on));
        }
    }

    /// Stops the recordings of a source, or one of them. Returns how many.
    pub(super) fn stop_of(
        &self,
        source: RecordingSource,
        only: Option<RecordingId>,
        reason: RecordingEndReason,
    ) -> usize {
        let mut active = self.active.lock();
        self.stop(active.stop(self.now(), source, only, reason))
    }

    /// Makes the recordings of a source silent, or ends that. Returns how many.
    pub(super) fn pause_of(&self, source: RecordingSource, on: bool) -> usize {
        let mut active = self.active.lock();
        for it in active.pause(source, on) {
            self.ports.files.pause(it, on);
            self.note(source, it, RecordingStep::interrupted(Interruption::Paused, on));
        }
        active.of(source).len()
    }

    /// The recordings of a source that are not stopped.
    pub(super) fn of(&self, source: RecordingSource) -> Vec<Arc<Recording>> {
        self.active.lock().recordings_of(source)
    }

    /// Stops the recordings of a call or a room that has left the tables.
    pub(super) fn source_ended(&self, source: RecordingSource) {
        let mut active = self.active.lock();
        if !active.is_empty() {
            self.stop(active.source_ended(self.now(), source));
        }
    }

    /// Ends the audio, then the file. Called under the lock of `active`.
    fn stop(&self, stops: Vec<RecordingStop>) -> usize {
        let count = stops.len();
        for RecordingStop { recording, source, at, reason } in stops {
            self.media.send(AudioOrder::StopRecording { source, recording });
            self.ports.files.end(recording, at, reason);
            self.note(source, recording, RecordingStep::Stopped(reason.text()));
        }
        count
    }

    /// Tells traces of a change.
    fn note(&self, source: RecordingSource, recording: RecordingId, step: RecordingStep) {
        let change = RecordingNote { recording, step };
        (self.observer)(Observed::RecordingChanged { source, change });
    }

    fn now(&self) -> Instant {
        (self.ports.clock)()
    }

    /// Keeps the end of a recording, then tells of it.
    fn keep_end(&self, recording: Recording, room: Option<RoomId>, told: Vec<MemberInfo>) {
        let (itself, recording) = (self.itself.clone(), Arc::new(recording));
        self.ends.fetch_add(1, SeqCst);
        let row = recording.clone();
        let on_stored = Box::new(move |stored: Result<(), WriteError>| {
            if let Err(error) = stored {
                tracing::error!(recording = %row.id, "the end of the recording is not kept: {error}");
            }
            if let Some(it) = itself.upgrade() {
                it.tell(&row, room);
                told.into_iter().for_each(|who| it.tell_member(&row, room, who));
                (it.on_end)(&row);
                it.ends.fetch_sub(1, SeqCst);
            }
        });
        self.ports.store.put(recording, on_stored);
    }

    /// Tells a member whose element has `record` and `callbackUrl`.
    fn tell_member(&self, recording: &Recording, room: Option<RoomId>, who: MemberInfo) {
        if who.callback.is_none() {
            return;
        }
        let url = self.audio_url(who.party.dialect, recording);
        let event = RecordingEvent {
            call: who.call,
            callback: None,
            member: Some(who),
            ..RecordingEvent::of(recording, room, url)
        };
        let account = recording.account.clone();
        (self.observer)(Observed::Recording { account, event: Arc::new(event) });
    }

    fn tell(&self, recording: &Recording, room: Option<RoomId>) {
        let dialect = recording.callback.as_ref().map_or_else(Dialect::default, |it| it.dialect);
        let url = self.audio_url(dialect, recording);
        let event = Arc::new(RecordingEvent::of(recording, room, url));
        let account = recording.account.clone();
        (self.observer)(Observed::Recording { account, event });
    }
}

impl RecordingListener for Recordings {
    fn recorded(&self, id: RecordingId, end: RecordingEnd) {
        self.totals.add(&end);
        let (mut active, reason) = (self.active.lock(), end.reason);
        let Some(taken) = active.take(id, end) else { return };
        let source = taken.subject.source();
        if !taken.was_stopped {
            self.media.send(AudioOrder::StopRecording { source, recording: id });
            self.note(source, id, RecordingStep::Stopped(reason.text()));
        }
        self.changed.notify_one();
        let room = taken.subject.room();
        // Under the lock, so that nobody sees it as told in between.
        self.keep_end(taken.recording, room, taken.told);
        drop(active);
    }
}

impl BegunRecording {
    /// Waits until the row of the recording is kept.
    ///
    /// # Errors
    ///
    /// The row cannot be kept.
    pub async fn stored(&mut self) -> Result<(), WriteError> {
        match self.stored.take() {
            Some(stored) => stored.await.unwrap_or(Err(WriteError::Ended)),
            None => Ok(()),
        }
    }
}

impl NewRecording {
    fn into_recording(self, subject: &RecordedSubject, format: RecordingFormat) -> Recording {
        let Self { id, account, call, from, to, api_id, channels, .. } = self;
        let Self { started_at, length: _, callback, .. } = self;
        let (conference, channels) = match subject {
            RecordedSubject::Call(_) => (None, channels),
            // A mix has no sides.
            RecordedSubject::Room(room) => (Some(room.key.name.clone()), RecordingChannels::Mono),
        };
        let nobody = |room| Arc::new(RecordingAudience { room, members: Vec::new() });
        let audience = subject.room().map(nobody);
        Recording {
            id,
            account,
            call,
            from,
            to,
            conference,
            api_id,
            channels,
            format,
            started_at,
            callback,
            audience,
            end: None,
        }
    }
}

/// How often [`Recordings::run`] looks whether it is still needed.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The clock of real recordings, for [`RecordingPorts::clock`].
pub fn tokio_clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl fmt::Debug for Recordings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recordings").field("active", &self.active).finish_non_exhaustive()
    }
}
