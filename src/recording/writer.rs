//! Recording writer: the thread that writes the files of all recordings of a data folder.
//!
//! Threads that mix hand it blocks and never wait. Each recording has four blocks on their
//! way; what comes while the disk is slower than that is silence, and counted.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{
            Ordering::{Acquire, Relaxed},
            fence,
        },
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use super::{
    Recording, RecordingEnd, RecordingEndReason,
    encoders::{self, Mp3Job},
    mp3::Mp3Encoder,
    port::{NoSpace, RecordingFiles, RecordingListener},
    timeline::{self, BlockPlacement, RecordingTimeline},
    wav_file::{self, WavFile},
    writer_queue::{NewFile, WriterMessage, WriterSink},
    writer_shared::WriterShared,
};
use crate::{
    base::ids::RecordingId,
    flow::RecordingFormat,
    media::{RecordingBlock, RecordingFeed},
};

/// The folder of recordings, and how full its disk may be.
#[derive(Clone, Debug)]
pub struct WriterSettings {
    /// The folder, which is made with the first recording.
    pub folder: PathBuf,
    /// The free space below which no recording starts, in MB.
    pub free_min_mb: u64,
    /// The free space below which running recordings end, the newest first, in MB.
    pub free_stop_mb: u64,
    /// Turns files into MP3, where it is asked for; None: they stay WAV.
    pub mp3: Option<Mp3Encoder>,
}

impl WriterSettings {
    /// The defaults: 512 MB are nine hours of audio, 128 MB more than two.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, free_min_mb: 512, free_stop_mb: 128, mp3: None }
    }
}

/// How long a recording that ends waits for its last audio: a tick or two, on a busy machine.
const LAST_BLOCK_WAIT_MAX: Duration = Duration::from_millis(250);

/// The interval at which that is looked at.
const LAST_BLOCK_LOOK: Duration = Duration::from_millis(5);

/// The interval at which free space and silence are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const MB: u64 = 1_000_000;

/// Handle to the writer of a data folder. Dropping it ends the thread; recordings that still run keep
/// their `.part` files, and the next start repairs them.
#[derive(Debug)]
pub struct RecordingWriter {
    settings: WriterSettings,
    queue: Sender<WriterMessage>,
    shared: Arc<WriterShared>,
    thread: Option<JoinHandle<()>>,
}

impl RecordingWriter {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system cannot start a thread.
    pub fn start(settings: WriterSettings) -> io::Result<Self> {
        let (queue, messages) = mpsc::channel();
        let shared = Arc::new(WriterShared::default());
        let free = free_bytes(&settings).unwrap_or(u64::MAX);
        shared.set_free_bytes(free);
        let mp3 = match &settings.mp3 {
            Some(encoder) => Some(encoders::start(encoder, &shared)?),
            None => None,
        };
        let writer = WriterThread {
            settings: settings.clone(),
            messages,
            mp3,
            shared: Arc::clone(&shared),
            files: BTreeMap::new(),
            is_warned: false,
        };
        let thread = thread::Builder::new().name("recordings".to_owned());
        let thread = Some(thread.spawn(move || writer.run())?);
        Ok(Self { settings, queue, shared, thread })
    }

    /// Tells this listener of the ends of recordings. To be called once.
    pub fn connect(&self, listener: Weak<dyn RecordingListener>) {
        self.shared.connect(listener);
    }

    fn send(&self, message: WriterMessage) {
        // The thread ends with this handle, or by a panic, which the log has.
        drop(self.queue.send(message));
    }
}

impl Drop for RecordingWriter {
    fn drop(&mut self) {
        self.send(WriterMessage::Close);
        if let Some(thread) = self.thread.take() {
            // The listener may be dropped on the thread itself.
            if thread.thread().id() != thread::current().id() {
                drop(thread.join());
            }
        }
    }
}

impl RecordingFiles for RecordingWriter {
    fn begin(&self, recording: &Recording, started: Instant) -> Result<RecordingFeed, NoSpace> {
        let (free_mb, min_mb) = (self.free_bytes() / MB, self.settings.free_min_mb);
        if free_mb < min_mb {
            return Err(NoSpace { free_mb, min_mb });
        }
        let sink = Arc::new(WriterSink::new(recording, started, self.queue.clone()));
        self.shared.add(recording.id, Arc::downgrade(&sink));
        self.send(WriterMessage::Begin(Box::new(NewFile {
            id: recording.id,
            started_at: recording.started_at,
            wav: self.settings.folder.join(recording.path_of(RecordingFormat::Wav)),
            format: recording.format,
            sink: Arc::clone(&sink),
        })));
        Ok(RecordingFeed::new(sink))
    }

    fn pause(&self, recording: RecordingId, on: bool) {
        self.shared.with(recording, |it| it.is_paused.store(on, Relaxed));
    }

    fn cut(&self, recording: RecordingId, at: Instant, on: bool) {
        self.shared.with(recording, |it| it.is_cut.store(on, Relaxed));
        self.send(WriterMessage::Cut { id: recording, at, on });
    }

    fn end(&self, recording: RecordingId, at: Instant, reason: RecordingEndReason) {
        self.send(WriterMessage::End { id: recording, at, reason });
    }

    fn has_mp3(&self) -> bool {
        self.settings.mp3.is_some()
    }

    fn free_bytes(&self) -> u64 {
        self.shared.free_bytes()
    }

    fn repair(&self, recording: &Recording) -> RecordingEnd {
        let path = self.settings.folder.join(recording.path_of(RecordingFormat::Wav));
        let repaired = wav_file::repair(&path, recording.channels).unwrap_or_else(|error| {
            tracing::error!(recording = %recording.id, "{}: {error}", path.display());
            None
        });
        let (samples, bytes) = repaired.unwrap_or_default();
        RecordingEnd {
            at: recording.started_at + timeline::duration(samples),
            duration: timeline::duration(samples),
            bytes,
            lost_samples: 0,
            format: RecordingFormat::Wav,
            reason: RecordingEndReason::Interrupted,
        }
    }
}

/// The thread's own state.
struct WriterThread {
    settings: WriterSettings,
    messages: Receiver<WriterMessage>,
    /// The way to those that encode MP3.
    mp3: Option<Sender<Mp3Job>>,
    shared: Arc<WriterShared>,
    files: BTreeMap<RecordingId, OpenFile>,
    /// The log has been told that the disk is nearly full.
    is_warned: bool,
}

/// A recording whose file is open.
struct OpenFile {
    file: WavFile,
    sink: Arc<WriterSink>,
    started_at: SystemTime,
    /// The format that was asked for.
    format: RecordingFormat,
    timeline: RecordingTimeline,
    closing: Option<Closing>,
}

/// A recording that ends, once its last audio is there.
#[derive(Clone, Copy)]
struct Closing {
    reason: RecordingEndReason,
    /// It waits no longer than until then.
    until: Instant,
    /// All taps have let go of it. What they sent before is in the queue, and is taken first.
    is_let_go: bool,
}

impl WriterThread {
    fn run(mut self) {
        let mut look_at = now() + LOOK_EVERY;
        loop {
            let is_closing = self.files.values().any(|it| it.closing.is_some());
            let wake_at = if is_closing { now() + LAST_BLOCK_LOOK } else { look_at };
            let first = self.messages.recv_timeout(wake_at.saturating_duration_since(now()));
            if matches!(first, Err(RecvTimeoutError::Disconnected)) {
                return;
            }
            // All that is there comes before silence that is due, and before an end.
            let mut next = first.ok();
            while let Some(message) = next {
                if let WriterMessage::Close = message {
                    return;
                }
                self.take(message);
                next = self.messages.try_recv().ok();
            }
            self.close_complete();
            if look_at <= now() {
                look_at = now() + LOOK_EVERY;
                self.add_silence();
                self.look_at_space();
            }
        }
    }

    fn take(&mut self, message: WriterMessage) {
        match message {
            WriterMessage::Begin(new) => self.begin(*new),
            WriterMessage::Block(id, RecordingBlock { position, samples }) => {
                let Some(open) = self.files.get_mut(&id) else { return };
                open.sink.block_taken();
                let per_sample = usize::from(open.sink.channels.count());
                let length = (samples.len() / per_sample) as u64;
                let BlockPlacement { silence, skip, take } = open.timeline.place(position, length);
                let part = skip as usize * per_sample..(skip + take) as usize * per_sample;
                let written = open.write(silence, &samples[part], take);
                self.check(id, written);
            }
            WriterMessage::Cut { id, at, on } => {
                self.files.get_mut(&id).into_iter().for_each(|it| it.timeline.cut(at, on));
            }
            WriterMessage::End { id, at, reason } => {
                let Some(open) = self.files.get_mut(&id) else { return };
                open.timeline.end(at);
                let until = now() + LAST_BLOCK_WAIT_MAX;
                open.closing.get_or_insert(Closing { reason, until, is_let_go: false });
            }
            WriterMessage::Close => (),
        }
    }

    fn begin(&mut self, new: NewFile) {
        let NewFile { id, started_at, wav, format, sink } = new;
        let timeline = RecordingTimeline::new(sink.started);
        match WavFile::create(&wav, sink.channels) {
            Ok(file) => {
                let closing = None;
                let open = OpenFile { file, sink, started_at, format, timeline, closing };
                self.files.insert(id, open);
            }
            Err(error) => {
                tracing::error!(recording = %id, "{}: no recording: {error}", wav.display());
                let end = ended(started_at, &timeline, 0, &sink, reason_of(&error));
                self.shared.report(id, &end);
            }
        }
    }

    /// Closes the recordings that have ended, and whose last audio is there or will not come.
    fn close_complete(&mut self) {
        let (now, mut due) = (now(), Vec::new());
        for (id, open) in &mut self.files {
            let Some(closing) = &mut open.closing else { continue };
            if open.timeline.is_complete() || closing.is_let_go || closing.until <= now {
                due.push(*id);
            }
            // It is closed the next time: a tap may have sent its last block since the queue was empty.
            closing.is_let_go = Arc::strong_count(&open.sink) == 1;
        }
        fence(Acquire);
        for id in due {
            let Some(open) = self.files.get_mut(&id) else { continue };
            let (missing, reason) = (open.timeline.missing(), open.closing.map(|it| it.reason));
            let written = open.write(missing, &[], 0);
            if written.is_ok() {
                self.close(id, reason.unwrap_or(RecordingEndReason::Stopped));
            } else {
                self.check(id, written);
            }
        }
    }

    /// Closes a file whose disk takes no more.
    fn check(&mut self, id: RecordingId, written: io::Result<()>) {
        if let Err(error) = written {
            tracing::error!(recording = %id, "the recording ends: {error}");
            self.close(id, reason_of(&error));
        }
    }

    fn close(&mut self, id: RecordingId, reason: RecordingEndReason) {
        let Some(open) = self.files.remove(&id) else { return };
        let OpenFile { file, sink, started_at, format, timeline, .. } = open;
        let wav = file.path().to_owned();
        let closed = file.close();
        if let Err(error) = &closed {
            tracing::error!(recording = %id, "its file cannot be closed: {error}");
        }
        let (is_closed, bytes) = (closed.is_ok(), closed.unwrap_or_default());
        let end = ended(started_at, &timeline, bytes, &sink, reason);
        let job = Mp3Job { id, wav, channels: sink.channels, end };
        match &self.mp3 {
            Some(mp3) if is_closed && format == RecordingFormat::Mp3 => {
                if let Err(refused) = mp3.send(job) {
                    self.shared.report(id, &refused.0.end);
                }
            }
            Some(_) | None => self.shared.report(id, &job.end),
        }
    }

    /// Adds the silence of calls that have no audio, so that their files grow with the time.
    fn add_silence(&mut self) {
        let now = now();
        let mut failed = Vec::new();
        for (id, open) in &mut self.files {
            let silence = open.timeline.overdue(now);
            if 0 < silence
                && let Err(error) = open.write(silence, &[], 0)
            {
                failed.push((*id, error));
            }
        }
        failed.into_iter().for_each(|(id, error)| self.check(id, Err(error)));
    }

    /// Ends the newest recordings if the disk is nearly full.
    fn look_at_space(&mut self) {
        let free = match free_bytes(&self.settings) {
            Ok(free) => free,
            Err(error) => {
                return tracing::warn!("{}: {error}", self.settings.folder.display());
            }
        };
        self.shared.set_free_bytes(free);
        let (is_low, is_full) =
            (free / MB < self.settings.free_min_mb, free / MB < self.settings.free_stop_mb);
        if is_low && !self.is_warned {
            tracing::warn!("{} MB are free: no recording starts; delete recordings", free / MB);
        }
        self.is_warned = is_low;
        if !is_full {
            return;
        }
        // One a second: what it would have needed is the others' now.
        let newest = self.files.iter().filter(|it| it.1.closing.is_none());
        if let Some(id) = newest.max_by_key(|it| it.1.sink.started).map(|it| *it.0) {
            tracing::error!(recording = %id, "{} MB are free: the recording ends", free / MB);
            self.close(id, RecordingEndReason::DiskFull);
        }
    }
}

impl OpenFile {
    fn write(&mut self, silence: u64, samples: &[i16], count: u64) -> io::Result<()> {
        if silence + count == 0 {
            return Ok(());
        }
        self.file.append(silence, samples)?;
        self.timeline.wrote(silence + count);
        Ok(())
    }
}

fn ended(
    started_at: SystemTime,
    timeline: &RecordingTimeline,
    bytes: u64,
    sink: &WriterSink,
    reason: RecordingEndReason,
) -> RecordingEnd {
    let duration = timeline::duration(timeline.written());
    let (lost_samples, format) = (sink.lost(), RecordingFormat::Wav);
    RecordingEnd { at: started_at + duration, duration, bytes, lost_samples, format, reason }
}

fn reason_of(error: &io::Error) -> RecordingEndReason {
    match [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&error.kind()) {
        true => RecordingEndReason::DiskFull,
        false => RecordingEndReason::Interrupted,
    }
}

/// The free space of the disk that has the folder, or that will have it.
fn free_bytes(settings: &WriterSettings) -> io::Result<u64> {
    let exists = settings.folder.ancestors().find(|it| it.exists());
    let space = rustix::fs::statvfs(exists.unwrap_or(&settings.folder))?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own has no tokio")]
fn now() -> Instant {
    Instant::now()
}
