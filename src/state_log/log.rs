//! Log: appends frames, holds those that cannot be written, and knows what is where.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    fs::File,
    io, iter,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{
    frame::{self, FRAME_MAX, Header, Line, VERSION},
    index::{LazyIndex, Place},
    segment::{Segment, Spare},
};
use crate::store::rows::WriteError;

/// How much is kept.
#[derive(Clone, Debug)]
pub struct StateLogSettings {
    /// The folder of the segments; it exists.
    pub folder: PathBuf,
    /// A segment is full beyond this, in bytes.
    pub segment_bytes: u32,
    /// The oldest segments are removed while all of them together are larger, in bytes.
    pub bytes_max: u64,
    /// A segment is removed when its latest event is older, in microseconds.
    pub keep_micros: u64,
    /// Frames that wait while nothing can be written; beyond it, or beyond [`HELD_BYTES_MAX`], the
    /// oldest of the account that has the most is dropped.
    pub held_max: usize,
}

/// Bytes of the frames that wait while nothing can be written.
pub const HELD_BYTES_MAX: usize = 64 << 20;

/// Whether the log can be written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum LogState {
    /// Every frame is written at once.
    #[default]
    Ok,
    /// It can for now, and the next segment cannot be made.
    Low(WriteError),
    /// Frames wait, since the last could not be written.
    Failed(WriteError),
}

impl LogState {
    /// The reason why nothing new may begin.
    fn trouble(&self) -> Option<&WriteError> {
        match self {
            Self::Ok => None,
            Self::Low(error) | Self::Failed(error) => Some(error),
        }
    }
}

/// What an operator wants to know of a log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LogStatus {
    /// Whether it can be written.
    pub state: LogState,
    /// The length of all segments, in bytes.
    pub bytes: u64,
    /// The number of segments.
    pub segments: usize,
    /// The number of keys with a line.
    pub rows: usize,
    /// The number of frames that wait to be written.
    pub held: usize,
    /// Frames that were dropped, since too many waited.
    pub dropped: u64,
    /// Writes and syncs that failed.
    pub failures: u64,
    /// Age of the oldest frame that a loss of power would take.
    pub sync_lag: Duration,
    /// Free space of its file system, in bytes; None if the system does not say.
    pub free_bytes: Option<u64>,
}

/// Called once, when a frame is written, or dropped since too many waited: then with false.
pub(super) type Release = Box<dyn FnOnce(bool) + Send>;

/// A log that is open. Dropping it ends its thread; what is held then is lost.
pub struct StateLog {
    pub(super) shared: Arc<Shared>,
    pub(super) upkeep: Mutex<Option<JoinHandle<()>>>,
}

pub(super) struct Shared {
    pub(super) settings: StateLogSettings,
    /// The folder, open: a sync needs no free descriptor.
    pub(super) folder: File,
    pub(super) inner: Mutex<Inner>,
    /// Wakes the upkeep.
    pub(super) work: Condvar,
    /// Whether the state is not [`LogState::Ok`]. Changed under the lock, read without it.
    pub(super) is_in_trouble: AtomicBool,
}

pub(super) struct Inner {
    pub(super) index: LazyIndex,
    /// All segments; the newest is written.
    pub(super) segments: BTreeMap<u32, Segment>,
    pub(super) header: Header,
    /// The file of the next segment, with its space reserved.
    pub(super) spare: Option<Spare>,
    /// A sync has failed, so the kernel may have lost what was written to this segment, which was the
    /// newest: before anything else, the rows are written again, to another one.
    pub(super) suspect: Option<u32>,
    pub(super) held: HeldFrames,
    /// A held frame is being released: later ones must wait for it.
    pub(super) is_releasing: bool,
    /// Files with frames that a loss of power could take.
    pub(super) unsynced: Vec<Arc<File>>,
    /// The time of the first of these frames; None if there is none.
    pub(super) unsynced_since: Option<Instant>,
    /// The folder has a name that a loss of power could take.
    pub(super) has_new_name: bool,
    /// Full segments without an index file.
    pub(super) unindexed: Vec<u32>,
    /// When the next one is tried, after an error.
    pub(super) index_after: Option<Instant>,
    pub(super) status: LogStatus,
    pub(super) is_closing: bool,
    /// The last error of what does not keep a frame from being written, which the log has.
    pub(super) complaint: Option<String>,
    /// In microseconds since 1970.
    pub(super) last_beat: u64,
    /// The time of the last look at old segments, in microseconds since 1970.
    pub(super) clock: u64,
    /// Bytes below which nothing is removed for the size: the rows that must stay are too large.
    pub(super) clean_above: u64,
    buffer: Vec<u8>,
    /// For tests: writes fail.
    pub(super) fault: Option<io::ErrorKind>,
    /// For tests: bytes that are still written before a crash.
    torn_after: Option<usize>,
}

/// A frame that could not be written yet.
pub(super) struct Held {
    /// The account of its events; empty if it has none.
    account: Box<str>,
    pub(super) frame: Vec<u8>,
    pub(super) release: Release,
}

/// Frames that could not be written yet, in order.
#[derive(Default)]
pub(super) struct HeldFrames {
    frames: VecDeque<Held>,
    /// The number of frames of each account, and their bytes.
    accounts: BTreeMap<Box<str>, (usize, usize)>,
    bytes: usize,
}

impl HeldFrames {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn push(&mut self, held: Held) {
        self.count(&held);
        self.frames.push_back(held);
    }

    /// Holds a frame again that was taken.
    pub(super) fn put_back(&mut self, held: Held) {
        self.count(&held);
        self.frames.push_front(held);
    }

    fn count(&mut self, held: &Held) {
        let (count, bytes) = self.accounts.entry(held.account.clone()).or_default();
        (*count, *bytes) = (*count + 1, *bytes + held.frame.len());
        self.bytes += held.frame.len();
    }

    /// Takes the oldest frame.
    pub(super) fn pop(&mut self) -> Option<Held> {
        self.remove(0)
    }

    /// Removes a frame if there are too many: the oldest of the account that has the most, so that no
    /// account takes the place of another.
    fn remove_excess(&mut self, held_max: usize) -> Option<Held> {
        let most = if held_max < self.frames.len() {
            self.accounts.iter().max_by_key(|(_, (count, _))| *count)
        } else if HELD_BYTES_MAX < self.bytes {
            self.accounts.iter().max_by_key(|(_, (_, bytes))| *bytes)
        } else {
            None
        };
        let (account, _) = most?;
        let at = self.frames.iter().position(|it| it.account == *account)?;
        self.remove(at)
    }

    fn remove(&mut self, at: usize) -> Option<Held> {
        let held = self.frames.remove(at)?;
        self.bytes -= held.frame.len();
        if let Some((count, bytes)) = self.accounts.get_mut(&held.account) {
            (*count, *bytes) = (*count - 1, *bytes - held.frame.len());
            if *count == 0 {
                self.accounts.remove(&held.account);
            }
        }
        Some(held)
    }
}

impl StateLog {
    /// Writes a frame, and calls `release` when it is written: before this returns, unless the disk
    /// is in trouble. Frames are released in the order of the calls.
    pub fn append(&self, lines: &[Line<'_>], release: impl FnOnce(bool) + Send + 'static) {
        let mut inner = self.shared.inner.lock();
        let mut buffer = std::mem::take(&mut inner.buffer);
        buffer.clear();
        frame::encode(lines, &mut buffer);
        if FRAME_MAX < buffer.len() {
            // It could never be written, and would keep all that follow from being so.
            tracing::error!(bytes = buffer.len(), "a frame is too long for the state log: dropped");
            inner.status.dropped += 1;
            drop(inner);
            return release(false);
        }
        let is_waiting = inner.is_releasing || !inner.held.is_empty() || inner.suspect.is_some();
        let written = match is_waiting {
            true => Err(None),
            false => inner.write(&self.shared.settings, &buffer, lines).map_err(Some),
        };
        match written {
            Ok(()) => {
                inner.buffer = buffer;
                if inner.unsynced.len() == 1 {
                    self.shared.work.notify_one();
                }
                drop(inner);
                release(true);
            }
            Err(error) => {
                if let Some(error) = error {
                    self.shared.note_failure(&mut inner, &error);
                }
                let account = lines.iter().find_map(|it| match it {
                    Line::Event(event) | Line::Copied(event) => Some(event.account.into()),
                    Line::Closed | Line::Gone(_) | Line::Header(_) => None,
                    Line::LastNumber { .. } | Line::Row { .. } => None,
                });
                let (account, release) = (account.unwrap_or_default(), Box::new(release));
                inner.held.push(Held { account, frame: buffer, release });
                let held_max = self.shared.settings.held_max;
                let dropped: Vec<_> =
                    iter::from_fn(|| inner.held.remove_excess(held_max)).collect();
                inner.status.dropped += dropped.len() as u64;
                drop(inner);
                dropped.into_iter().for_each(|it| (it.release)(false));
            }
        }
    }

    /// The epoch: ids of events begin with it.
    pub fn epoch(&self) -> u64 {
        self.shared.inner.lock().header.epoch
    }

    /// Whether it can be written, and how much there is.
    pub fn status(&self) -> LogStatus {
        let space = rustix::fs::statvfs(&self.shared.settings.folder).ok();
        let mut inner = self.shared.inner.lock();
        let rows = inner.index.get().rows.len();
        LogStatus {
            sync_lag: inner.unsynced_since.map_or(Duration::ZERO, |it| now() - it),
            free_bytes: space.map(|it| it.f_bavail.saturating_mul(it.f_frsize)),
            bytes: inner.bytes(),
            segments: inner.segments.len(),
            rows,
            held: inner.held.frames.len(),
            ..inner.status.clone()
        }
    }

    /// How long events are kept.
    pub fn keeps_for(&self) -> Duration {
        Duration::from_micros(self.shared.settings.keep_micros)
    }

    /// The reason why nothing new may begin: no call, and no change that is answered. None: all is well.
    pub fn trouble(&self) -> Option<WriteError> {
        match self.shared.is_in_trouble.load(Ordering::Relaxed) {
            false => None,
            true => self.shared.inner.lock().status.state.trouble().cloned(),
        }
    }

    /// Makes writes and syncs fail, for tests. None: they work again.
    pub fn inject(&self, fault: Option<io::ErrorKind>) {
        self.shared.inner.lock().fault = fault;
    }

    /// Crashes while the byte after so many is written, for tests: the frame there is torn, and no
    /// later one is written.
    pub fn tear_after(&self, bytes: usize) {
        self.shared.inner.lock().torn_after = Some(bytes);
    }
}

impl Shared {
    /// Counts a failed write or sync. The first one is an ERROR line of the log.
    pub(super) fn note_failure(&self, inner: &mut Inner, error: &io::Error) {
        inner.status.failures += 1;
        if !matches!(inner.status.state, LogState::Failed(_)) {
            tracing::error!(
                "the state log cannot be written ({error}): events and callbacks wait, no call and no \
                 change is accepted; it is tried again every second"
            );
        }
        self.set_state(inner, LogState::Failed(WriteError::of(error)));
    }

    pub(super) fn set_state(&self, inner: &mut Inner, state: LogState) {
        self.is_in_trouble.store(state != LogState::Ok, Ordering::Relaxed);
        inner.status.state = state;
    }
}

impl Inner {
    pub(super) fn new(header: Header) -> Self {
        Self {
            index: LazyIndex::default(),
            segments: BTreeMap::new(),
            header,
            spare: None,
            suspect: None,
            held: HeldFrames::default(),
            is_releasing: false,
            unsynced: Vec::new(),
            unsynced_since: None,
            has_new_name: false,
            unindexed: Vec::new(),
            index_after: None,
            status: LogStatus::default(),
            is_closing: false,
            complaint: None,
            last_beat: 0,
            clock: 0,
            clean_above: 0,
            buffer: Vec::new(),
            fault: None,
            torn_after: None,
        }
    }

    /// Writes a frame of these lines to the newest segment, or to a new one if that is full.
    pub(super) fn write(
        &mut self,
        settings: &StateLogSettings,
        frame: &[u8],
        lines: &[Line<'_>],
    ) -> io::Result<()> {
        let length = u32::try_from(frame.len()).expect("frames have a limit");
        let head = self.segments.values().next_back();
        if head.is_none_or(|it| it.is_full(length)) {
            self.begin_segment(settings)?;
        }
        self.write_to_head(frame)?;
        let mut head = self.segments.last_entry().expect("there is a segment");
        let head = head.get_mut();
        let place = Place { segment: head.number, offset: head.length };
        head.length += length;
        for line in lines {
            match line {
                Line::Event(event) => {
                    head.newest = head.newest.max(event.at);
                    head.oldest =
                        if head.oldest == 0 { event.at } else { head.oldest.min(event.at) };
                    head.has_only_rows = false;
                }
                Line::Copied(_) | Line::Row { .. } => (),
                Line::Closed | Line::Gone(_) | Line::Header(_) | Line::LastNumber { .. } => {
                    head.has_only_rows = false;
                }
            }
        }
        if self.unsynced.last().is_none_or(|it| !Arc::ptr_eq(it, &head.file)) {
            self.unsynced.push(head.file.clone());
            self.unsynced_since.get_or_insert_with(now);
        }
        self.index.note(lines, place);
        Ok(())
    }

    fn write_to_head(&mut self, frame: &[u8]) -> io::Result<()> {
        if let Some(kind) = self.fault {
            return Err(kind.into());
        }
        let head = self.segments.values().next_back().expect("there is a segment");
        if let Some(left) = &mut self.torn_after {
            let (written, torn) = frame.split_at(frame.len().min(*left));
            *left -= written.len();
            if !torn.is_empty() {
                head.file.write_all_at(written, head.length.into())?;
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        // After an error the bytes may be there in part. The next frame overwrites them, and a
        // reader stops at them.
        head.file.write_all_at(frame, head.length.into())
    }

    /// Begins the next segment, with the header and what must outlive the older ones.
    pub(super) fn begin_segment(&mut self, settings: &StateLogSettings) -> io::Result<()> {
        if let Some(kind) = self.fault {
            return Err(kind.into());
        }
        let last = self.segments.last_key_value().map_or(0, |(number, _)| *number);
        let spare = self.spare.take();
        let mut segment =
            Segment::create(&settings.folder, last + 1, spare, settings.segment_bytes)?;
        segment.begun = self.clock;
        self.has_new_name = true;
        if 0 < last {
            self.unindexed.push(last);
        }
        self.segments.insert(last + 1, segment);
        let mut frame = Vec::new();
        frame::encode(&[Line::Header(self.header)], &mut frame);
        {
            let index = self.index.get();
            let accounts = index.accounts.iter();
            let last = accounts.map(|(account, it)| Line::LastNumber { account, number: it.last });
            frame::encode(&last.collect::<Vec<_>>(), &mut frame);
        }
        let written = self.write_to_head(&frame);
        let mut head = self.segments.last_entry().expect("it has just been added");
        match written {
            Ok(()) => {
                head.get_mut().length = u32::try_from(frame.len()).expect("accounts are few");
                Ok(())
            }
            // A crash leaves it.
            Err(error) if self.torn_after == Some(0) => Err(error),
            Err(error) => {
                let segment = head.remove();
                self.unindexed.retain(|it| *it != last);
                // The next try makes it again, even if it cannot be removed.
                drop(segment.remove(&settings.folder));
                Err(error)
            }
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|it| u64::from(it.length)).sum()
    }
}

#[expect(clippy::disallowed_methods, reason = "the disk takes real time")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The header of a new log.
pub(super) fn header(epoch: u64, boot: u128) -> Header {
    Header { version: VERSION, epoch, boot }
}

impl fmt::Debug for StateLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateLog").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
