//! Upkeep: what the log's own thread does: syncs, writes index files, removes old segments, tries
//! again what could not be written.

use std::{
    io, mem,
    time::{Duration, SystemTime},
};

use super::{
    frame::{self, BEAT, Line, RowKey},
    index::Place,
    log::{Inner, LogState, Shared, StateLog, StateLogSettings, now},
    segment::{Segment, Spare},
};
use crate::store::rows::WriteError;

/// Time from a frame to its sync.
const SYNC_EVERY: Duration = Duration::from_millis(20);
/// Time between two beats, in microseconds.
const BEAT_MICROS: u64 = 1_000_000;
/// Rows that are copied before a turn may write: some 0.3 ms.
const COPIED_AT_ONCE: usize = 32;
/// Keys that the index takes before others may look at it: some 0.1 ms.
const INDEXED_AT_ONCE: usize = 512;
/// Time between two looks at old segments, and between two tries after an error.
const CLEAN_EVERY: Duration = Duration::from_secs(1);
/// Time after an index file that could not be written: each try reads a whole segment.
const INDEX_PAUSE: Duration = Duration::from_secs(60);

impl StateLog {
    /// Writes the mark of a planned end, syncs, and ends the thread. What is held then is lost, and
    /// released as such.
    pub fn close(&self) -> io::Result<()> {
        self.append(&[Line::Closed], |_| ());
        self.end_thread();
        let synced = self.shared.sync();
        while let Some(held) = { self.shared.inner.lock().held.pop() } {
            (held.release)(false);
        }
        synced
    }

    fn end_thread(&self) {
        self.shared.inner.lock().is_closing = true;
        self.shared.work.notify_one();
        let thread = self.upkeep.lock().take();
        if thread.is_some_and(|it| it.join().is_err()) {
            tracing::error!("the thread of the state log has panicked");
        }
    }

    /// One round of upkeep, for tests; `now` in microseconds since 1970.
    pub fn maintain(&self, now: u64) {
        self.shared.maintain(now);
    }
}

impl Drop for StateLog {
    fn drop(&mut self) {
        self.end_thread();
    }
}

impl Shared {
    pub(super) fn run(&self) {
        loop {
            self.maintain(wall_micros());
            std::thread::sleep(SYNC_EVERY);
            {
                let mut inner = self.inner.lock();
                let is_failed = matches!(inner.status.state, LogState::Failed(_));
                if (inner.unsynced.is_empty() || is_failed) && !inner.is_closing {
                    self.work.wait_for(&mut inner, CLEAN_EVERY);
                }
                if inner.is_closing {
                    return;
                }
            }
        }
    }

    fn maintain(&self, now: u64) {
        self.index();
        self.beat(now);
        if let Err(error) = self.sync() {
            tracing::debug!("the state log cannot be synced: {error}");
        }
        self.replace_head();
        if self.inner.lock().suspect.is_none() {
            self.write_held();
        }
        let reserved = self.reserve();
        // What can be removed may be the space that an index file needs.
        let indexed = self.write_indexes();
        let tidied = self.clean(now).and(indexed);
        let complaint = tidied.err().map(|it| it.to_string());
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        if inner.complaint != complaint {
            if let Some(error) = &complaint {
                tracing::error!("a segment of the state log cannot be indexed or removed: {error}");
            }
            inner.complaint = complaint;
        }
        let is_failed = matches!(inner.status.state, LogState::Failed(_));
        let is_stuck = !inner.held.is_empty() || inner.suspect.is_some();
        match reserved {
            Ok(()) if is_failed && is_stuck => (),
            Ok(()) => {
                if inner.status.state != LogState::Ok {
                    tracing::info!("the state log can be written again");
                }
                self.set_state(inner, LogState::Ok);
            }
            Err(error) if is_failed && is_stuck => drop(error),
            Err(error) => {
                if inner.status.state == LogState::Ok {
                    tracing::error!(
                        "the next segment of the state log cannot be made ({error}): no call and no \
                         change is accepted"
                    );
                }
                self.set_state(inner, LogState::Low(WriteError::of(&error)));
            }
        }
    }

    /// Lets the index take what is written. Turns write meanwhile.
    fn index(&self) {
        let index = self.inner.lock().index.shared();
        while self.inner.lock().index.hand_over() {
            while index.catch_up(INDEXED_AT_ONCE) {}
        }
    }

    /// Makes what is written survive a loss of power.
    pub(super) fn sync(&self) -> io::Result<()> {
        let (files, has_new_name, fault) = {
            let mut inner = self.inner.lock();
            let files = mem::take(&mut inner.unsynced);
            (files, mem::take(&mut inner.has_new_name), inner.fault)
        };
        let began = now();
        let mut synced = match fault.filter(|_| !files.is_empty()) {
            Some(kind) => Err(kind.into()),
            None => files.iter().try_for_each(|it| it.sync_data()),
        };
        if has_new_name && synced.is_ok() {
            synced = self.folder.sync_all();
        }
        if let Err(error) = &synced {
            // After a failed sync the kernel may have dropped the pages, so the file is not trusted.
            let mut inner = self.inner.lock();
            self.note_failure(&mut inner, error);
            inner.suspect = inner.segments.last_key_value().map(|(number, _)| *number);
            inner.has_new_name |= has_new_name;
        }
        let mut inner = self.inner.lock();
        inner.unsynced_since = (!inner.unsynced.is_empty()).then_some(began);
        synced
    }

    /// Writes the rows to a new segment, if the newest one is not trusted, and syncs it. A try that has
    /// failed goes on in the segment that it has begun.
    fn replace_head(&self) {
        let (begun, suspect, old) = {
            let mut inner = self.inner.lock();
            let Some(suspect) = inner.suspect else { return };
            let is_begun =
                inner.segments.last_key_value().is_some_and(|(number, _)| suspect < *number);
            let begun = if is_begun { Ok(()) } else { inner.begin_segment(&self.settings) };
            (begun, suspect, inner.segments.get(&suspect).cloned())
        };
        if let Err(error) = begun.and_then(|()| self.copy_rows(suspect, false)) {
            self.note_failure(&mut self.inner.lock(), &error);
            return;
        }
        if self.sync().is_ok() {
            self.inner.lock().suspect = None;
        }
        // While syncs fail, there is a new one every second.
        if let Some(old) = old.filter(|it| it.has_only_rows) {
            self.remove(&old).unwrap_or_default();
        }
    }

    /// Writes held frames, in order, until one fails.
    fn write_held(&self) {
        loop {
            let held = {
                let mut inner = self.inner.lock();
                let Some(held) = inner.held.pop() else { return };
                let lines = frame::decode(&held.frame).map(|(lines, _)| lines).unwrap_or_default();
                if let Err(error) = inner.write(&self.settings, &held.frame, &lines) {
                    self.note_failure(&mut inner, &error);
                    inner.held.put_back(held);
                    return;
                }
                inner.is_releasing = true;
                held
            };
            (held.release)(true);
            self.inner.lock().is_releasing = false;
        }
    }

    /// Writes the time, once a second, while there are rows: so the next start knows when they ended.
    fn beat(&self, now: u64) {
        let mut inner = self.inner.lock();
        // The clock may have been set back.
        let is_due = now < inner.last_beat || inner.last_beat.saturating_add(BEAT_MICROS) <= now;
        let is_stuck = !inner.held.is_empty() || inner.suspect.is_some();
        if !is_due || is_stuck || !inner.index.get().rows.keys().any(|it| *it != BEAT) {
            return;
        }
        inner.last_beat = now;
        let (lines, mut frame) = ([Line::Row { key: BEAT, body: &now.to_le_bytes() }], Vec::new());
        frame::encode(&lines, &mut frame);
        if let Err(error) = inner.write(&self.settings, &frame, &lines) {
            self.note_failure(&mut inner, &error);
        }
    }

    fn write_indexes(&self) -> io::Result<()> {
        loop {
            let (number, segment) = {
                let mut inner = self.inner.lock();
                if inner.index_after.is_some_and(|it| now() < it) {
                    return Ok(());
                }
                let Some(number) = inner.unindexed.pop() else { return Ok(()) };
                (number, inner.segments.get(&number).cloned())
            };
            let Some(segment) = segment else { continue };
            // Without an index file it is read whole at the next start.
            if let Err(error) = segment.write_index(&self.settings.folder) {
                let mut inner = self.inner.lock();
                inner.unindexed.push(number);
                inner.index_after = Some(now() + INDEX_PAUSE);
                return Err(error);
            }
        }
    }

    /// Reserves the space of the next segment, so that a full disk is seen before a turn meets it.
    fn reserve(&self) -> io::Result<()> {
        if self.inner.lock().spare.is_none() {
            let spare = Spare::reserve(&self.settings.folder, self.settings.segment_bytes)?;
            self.inner.lock().spare = Some(spare);
        }
        Ok(())
    }

    /// Removes the oldest segment while it is too old, or all are too large.
    ///
    /// Segments that begin meanwhile have copies of rows: they are left alone. If most of what is
    /// removed are rows, which are copied, the log must grow by a quarter before that is done again.
    fn clean(&self, now: u64) -> io::Result<()> {
        let (head, is_large) = {
            let mut inner = self.inner.lock();
            inner.clock = now;
            // Else a log that hardly grows would keep its events for ever.
            let keep = self.settings.keep_micros;
            let first = inner.segments.values().next_back().map_or(0, |it| it.oldest);
            let is_old = 0 < first && first.saturating_add(keep) < now;
            if is_old && inner.spare.is_some() {
                inner.begin_segment(&self.settings)?;
            }
            let head = inner.segments.last_key_value().map_or(0, |(number, _)| *number);
            (head, self.settings.bytes_max.max(inner.clean_above) < inner.bytes())
        };
        let (mut copied, mut removed) = (0, 0);
        while let Some(segment) = self.removable(head, is_large, now) {
            copied += self.copy_rows(segment.number, true)?;
            // The copies must survive before the originals go.
            self.sync()?;
            self.remove(&segment)?;
            removed += u64::from(segment.length);
        }
        if is_large {
            let mut inner = self.inner.lock();
            let bytes = inner.bytes();
            let is_mostly_rows = 0 < removed && removed / 2 <= copied;
            inner.clean_above = if is_mostly_rows { bytes + bytes / 4 } else { 0 };
        }
        Ok(())
    }

    /// The oldest segment, if it is older than `head`, and too old or too much.
    fn removable(&self, head: u32, is_large: bool, now: u64) -> Option<Segment> {
        let inner = self.inner.lock();
        let oldest = inner.segments.values().next().filter(|it| it.number < head)?;
        let is_above = is_large && self.settings.bytes_max < inner.bytes();
        let is_old = inner.oldest_at().saturating_add(self.settings.keep_micros) < now;
        (is_above || is_old).then(|| oldest.clone())
    }

    /// Removes a segment. If its file stays, so does everything else: ends of keys in newer segments
    /// are needed for as long.
    fn remove(&self, segment: &Segment) -> io::Result<()> {
        segment.remove(&self.settings.folder)?;
        let mut inner = self.inner.lock();
        inner.segments.remove(&segment.number);
        inner.index.get().forget(segment.number);
        inner.unindexed.retain(|it| *it != segment.number);
        Ok(())
    }
}

impl Shared {
    /// Copies the lines of the keys up to a segment to the newest one; returns their bytes. The lock is
    /// given back between slices: a turn that writes an event does not wait for all of them.
    /// `is_spare`: half of the space of a full disk is left to calls that end.
    fn copy_rows(&self, up_to: u32, is_spare: bool) -> io::Result<u64> {
        let (rows, mut copied) = (self.inner.lock().index.get().rows_up_to(up_to), 0);
        for slice in rows.chunks(COPIED_AT_ONCE) {
            let reserved = if is_spare { self.reserve() } else { Ok(()) };
            let mut inner = self.inner.lock();
            if let Err(error) = reserved
                && inner.is_head_half_full()
            {
                return Err(error);
            }
            for (place, key) in slice {
                // A turn may have replaced or ended it meanwhile.
                if inner.index.get().rows.get(key) == Some(place) {
                    copied += inner.copy_row(&self.settings, *place, *key)?;
                }
            }
        }
        Ok(copied)
    }
}

impl Inner {
    /// When the oldest segment was last written, in microseconds since 1970; 0: nobody knows. If the
    /// clock was ahead then, a newer segment tells.
    fn oldest_at(&self) -> u64 {
        let mut times = self.segments.values().map(|it| it.newest.max(it.begun));
        match times.next() {
            None | Some(0) => 0,
            Some(oldest) => times.filter(|it| 0 < *it).fold(oldest, u64::min),
        }
    }

    fn is_head_half_full(&self) -> bool {
        self.segments.values().next_back().is_none_or(|it| it.capacity / 2 < it.length)
    }

    /// Copies the line of a key to the newest segment; returns its bytes.
    fn copy_row(
        &mut self,
        settings: &StateLogSettings,
        place: Place,
        key: RowKey,
    ) -> io::Result<u64> {
        let row = match self.read_row(place, key) {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(0),
            Err(error) => {
                tracing::error!("a row of the state log is lost: {error}");
                self.index.get().rows.remove(&key);
                return Ok(0);
            }
        };
        let line = match &row.event {
            Some((account, number, at)) => Line::Copied(frame::EventLine {
                account,
                number: *number,
                at: *at,
                keys: [Some(key), None, None, None],
                body: &row.body,
            }),
            None => Line::Row { key, body: &row.body },
        };
        let (lines, mut frame) = ([line], Vec::new());
        frame::encode(&lines, &mut frame);
        self.write(settings, &frame, &lines)?;
        Ok(frame.len() as u64)
    }
}

/// Microseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "events have the time of the wall clock")]
fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
