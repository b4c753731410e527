//! Upkeep: what the log's own thread does: syncs, writes index files, removes old segments, tries
//! again what could not be written.

use std::{
    io, mem,
    time::{Duration, SystemTime},
};

use super::{
    frame::{self, BEAT, Line, RowKey},
    index::Place,
    log::{Held, Inner, LogState, Shared, StateLog, StateLogSettings, now},
    segment::{Segment, Spare},
};
use crate::store::rows::WriteError;

/// Time from a frame to its sync.
const SYNC_EVERY: Duration = Duration::from_millis(20);
/// Time between two beats, in microseconds.
const BEAT_MICROS: u64 = 1_000_000;
/// Rows that are copied before a turn may write: some 0.3 ms.
const COPIED_AT_ONCE: usize = 32;
/// Time between two looks at old segments, and between two tries after an error.
const CLEAN_EVERY: Duration = Duration::from_secs(1);

impl StateLog {
    /// Writes the mark of a planned end, syncs, and ends the thread. What is held then is lost, and
    /// released as such.
    pub fn close(&self) -> io::Result<()> {
        self.append(&[Line::Closed], |_| ());
        self.end_thread();
        let synced = self.shared.sync();
        let held = mem::take(&mut self.shared.inner.lock().held);
        held.into_iter().for_each(|it| (it.release)(false));
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
        self.beat(now);
        if let Err(error) = self.sync() {
            tracing::debug!("the state log cannot be synced: {error}");
        }
        self.replace_head();
        if !self.inner.lock().is_head_suspect {
            self.write_held();
        }
        let reserved = self.reserve();
        let tidied = self.write_indexes().and_then(|()| self.clean(now));
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
        let is_stuck = !inner.held.is_empty() || inner.is_head_suspect;
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
            inner.is_head_suspect = true;
            inner.has_new_name |= has_new_name;
        }
        let mut inner = self.inner.lock();
        inner.unsynced_since = (!inner.unsynced.is_empty()).then_some(began);
        synced
    }

    /// Writes the rows to a new segment, if the newest one is not trusted, and syncs it.
    fn replace_head(&self) {
        let (begun, old) = {
            let mut inner = self.inner.lock();
            if !inner.is_head_suspect {
                return;
            }
            let old = inner.segments.values().next_back().cloned();
            (inner.begin_segment(&self.settings), old)
        };
        if let Err(error) = begun.and_then(|()| self.copy_rows(u32::MAX)) {
            let mut inner = self.inner.lock();
            inner.is_head_suspect = true;
            self.note_failure(&mut inner, &error);
            return;
        }
        drop(self.sync());
        // While syncs fail, there is a new one every second.
        if let Some(old) = old.filter(|it| it.newest == 0) {
            self.remove(&old).unwrap_or_default();
        }
    }

    /// Writes held frames, in order, until one fails.
    fn write_held(&self) {
        loop {
            let Held { frame, release } = {
                let mut inner = self.inner.lock();
                let Some(held) = inner.held.pop_front() else { return };
                let lines = frame::decode(&held.frame).map(|(lines, _)| lines).unwrap_or_default();
                if let Err(error) = inner.write(&self.settings, &held.frame, &lines) {
                    self.note_failure(&mut inner, &error);
                    inner.held.push_front(held);
                    return;
                }
                inner.is_releasing = true;
                held
            };
            drop(frame);
            release(true);
            self.inner.lock().is_releasing = false;
        }
    }

    /// Writes the time, once a second, while there are rows: so the next start knows when they ended.
    fn beat(&self, now: u64) {
        let mut inner = self.inner.lock();
        let has_rows = inner.index.rows.keys().any(|it| *it != BEAT);
        let is_due = inner.last_beat.saturating_add(BEAT_MICROS) <= now;
        let is_stuck = !inner.held.is_empty() || inner.is_head_suspect;
        if !has_rows || !is_due || is_stuck {
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
            let segment = {
                let mut inner = self.inner.lock();
                let Some(number) = inner.unindexed.pop() else { return Ok(()) };
                inner.segments.get(&number).cloned()
            };
            // A segment without an index file is read whole at the next start.
            let Some(segment) = segment else { continue };
            segment.write_index(&self.settings.folder)?;
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
    /// Segments that begin meanwhile have copies of rows: they are left alone. If the rows alone are
    /// too large, they are copied again only when the log has grown by a quarter.
    fn clean(&self, now: u64) -> io::Result<()> {
        let (head, is_large) = {
            let mut inner = self.inner.lock();
            inner.clock = now;
            let head = inner.segments.last_key_value().map_or(0, |(number, _)| *number);
            (head, self.settings.bytes_max.max(inner.clean_above) < inner.bytes())
        };
        loop {
            let segment = {
                let mut inner = self.inner.lock();
                let is_above = is_large && self.settings.bytes_max < inner.bytes();
                let oldest = inner.segments.first_key_value().map(|(_, oldest)| oldest);
                let removed = oldest.filter(|it| {
                    let newest = it.newest.max(it.begun);
                    it.number < head
                        && (is_above || newest.saturating_add(self.settings.keep_micros) < now)
                });
                let Some(segment) = removed.cloned() else {
                    if is_large {
                        let bytes = inner.bytes();
                        inner.clean_above = bytes + bytes / 4;
                    }
                    return Ok(());
                };
                segment
            };
            self.copy_rows(segment.number)?;
            // The copies must survive before the originals go.
            self.sync()?;
            self.remove(&segment)?;
        }
    }

    fn remove(&self, segment: &Segment) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.segments.remove(&segment.number);
        inner.index.forget(segment.number);
        inner.unindexed.retain(|it| *it != segment.number);
        drop(inner);
        segment.remove(&self.settings.folder)
    }
}

impl Shared {
    /// Copies the lines of the keys up to a segment to the newest one. The lock is given back between
    /// slices: a turn that writes an event does not wait for all of them.
    fn copy_rows(&self, up_to: u32) -> io::Result<()> {
        let rows = self.inner.lock().rows_up_to(up_to);
        for slice in rows.chunks(COPIED_AT_ONCE) {
            let mut inner = self.inner.lock();
            for (place, key) in slice {
                // A turn may have replaced or ended it meanwhile.
                if inner.index.rows.get(key) == Some(place) {
                    inner.copy_row(&self.settings, *place, *key)?;
                }
            }
        }
        Ok(())
    }
}

impl Inner {
    fn rows_up_to(&self, segment: u32) -> Vec<(Place, RowKey)> {
        let newest = self.segments.last_key_value().map_or(0, |(number, _)| *number);
        self.index.rows_up_to(segment.min(newest.saturating_sub(1)))
    }

    fn copy_row(
        &mut self,
        settings: &StateLogSettings,
        place: Place,
        key: RowKey,
    ) -> io::Result<()> {
        let row = match self.read_row(place, key) {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::error!("a row of the state log is lost: {error}");
                self.index.rows.remove(&key);
                return Ok(());
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
        self.write(settings, &frame, &lines)
    }
}

/// Microseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "events have the time of the wall clock")]
fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
