//! Simulated recordings: files that have a length and no sound, and what is noted of events.

use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;

use crate::{
    base::ids::{CallId, ConferenceName, RecordingId},
    engine::recordings::Recordings,
    flow::RecordingFormat,
    media::{RecordingBlock, RecordingChannels, RecordingFeed, RecordingSink},
    recording::{
        Recording, RecordingCallback, RecordingEnd, RecordingEndReason,
        event::RecordingEvent,
        port::{NoSpace, RecordingFiles, RecordingListener},
    },
};

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

/// What is noted of an event: for the log, and who is told.
pub(super) fn notes<'a>(event: &RecordingEvent, name: impl Fn(CallId) -> &'a str) -> Vec<String> {
    let RecordingEvent { recording, call, conference, end, member, callback, .. } = event;
    let number = number(*recording);
    let length = end.map_or_else(String::new, |(length, _)| format!(", {} ms", length.as_millis()));
    if let Some(who) = member {
        let Some(callback) = &who.callback else { return Vec::new() };
        let kind = if end.is_some() { "ConferenceRecordStop" } else { "ConferenceRecordStart" };
        let (who, url) = (name(who.call), &callback.url);
        return vec![format!("{who} tells {url}: {kind} of recording {number}{length}")];
    }
    let what = conference.as_ref().map_or_else(|| name(*call), ConferenceName::as_str);
    let Some((_, reason)) = end else {
        return vec![format!("{what}: recording {number} begins")];
    };
    let mut notes = vec![format!("{what}: recording {number} ends: {}{length}", reason.text())];
    if let Some(RecordingCallback { url, .. }) = callback {
        notes.push(format!("{what} tells {url}: recording {number}{length}"));
    }
    notes
}

/// The number of a recording in reports.
pub(super) fn number(id: RecordingId) -> u128 {
    id.0.as_u128()
}

impl SimulatedFiles {
    /// The id of the next file, counted from 1. Those who ask for a recording that runs get one, too.
    pub(super) fn new_id(&self) -> RecordingId {
        RecordingId::of((self.last.load(Ordering::Relaxed) + 1).into())
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
        self.last.fetch_add(1, Ordering::Relaxed);
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
