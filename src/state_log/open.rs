//! Opening: finds the segments, cuts a frame that a crash has torn, and reads what was kept.

use std::{
    fs::{self, File},
    io,
    sync::{Arc, atomic::AtomicBool},
    thread,
};

use parking_lot::{Condvar, Mutex};

use super::{
    frame::{self, BEAT, Line, RowKey},
    index::Place,
    log::{Inner, Shared, StateLog, StateLogSettings, header},
    segment::{self, Segment},
};

/// A log that has been opened, and what was in it.
#[derive(Debug)]
pub struct Opened {
    /// The log itself, without its thread.
    pub log: StateLog,
    /// The latest line of each key below [`RowKey::LATER`], in the order in which they were written.
    pub rows: Vec<RowRecord>,
    /// The last time at which the log is known to have been open, in microseconds since 1970; 0 of a
    /// new log. It is right to a second while there are rows.
    pub last_sign: u64,
    /// Whether the last end was planned. A new log's was.
    pub was_closed: bool,
    /// Whether the machine has been started since.
    pub is_other_boot: bool,
    /// What was damaged or cut, for the log of the program.
    pub findings: Vec<String>,
}

/// The latest line of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RowRecord {
    /// The key that it is the latest line of.
    pub key: RowKey,
    /// Account, number and time, if the line is an event.
    pub event: Option<(Box<str>, u64, u64)>,
    /// The state or the event, in the format of the log's user.
    pub body: Vec<u8>,
}

impl StateLog {
    /// Opens the log of a folder, or begins one. `epoch` is for a new log, and for one whose last
    /// events may be lost since the power failed; `boot` is the kernel's boot.
    pub fn open(settings: StateLogSettings, epoch: u64, boot: u128) -> io::Result<Opened> {
        let mut findings = Vec::new();
        let mut inner = Inner::new(header(epoch, boot));
        let (mut was_closed, mut boot_last) = (true, boot);
        let numbers = segment::numbers(&settings.folder)?;
        for (at, number) in numbers.iter().enumerate() {
            let (segment, index) = Segment::open(&settings.folder, *number)?;
            let Some(header) = segment.header() else {
                if 0 < segment.file.metadata()?.len() {
                    findings.push(format!("segment {number} has no readable header: set aside"));
                    let path = segment::path(&settings.folder, *number);
                    fs::rename(&path, path.with_extension("damaged"))?;
                } else {
                    // Begun, and never written.
                    segment.remove(&settings.folder)?;
                }
                continue;
            };
            let size = segment.file.metadata()?.len();
            if u64::from(index.length) < size {
                let torn = size - u64::from(index.length);
                findings.push(format!("segment {number} ends with {torn} bytes of no whole frame"));
                segment.file.set_len(index.length.into())?;
            }
            if at + 1 < numbers.len() {
                inner.unindexed.extend((!segment.has_index(&settings.folder)).then_some(*number));
            }
            (was_closed, boot_last) = (index.is_closed, header.boot);
            inner.header.epoch = header.epoch;
            inner.index.get().add(*number, &index);
            inner.segments.insert(*number, segment);
        }
        let is_other_boot = boot_last != boot;
        if is_other_boot && !was_closed {
            inner.header.epoch = epoch;
        }
        if let Some(head) = inner.segments.values().next_back() {
            // What followed it is gone, and it may be written again: its index would be too short.
            head.remove_index(&settings.folder)?;
            inner.unindexed.retain(|it| *it != head.number);
        }
        if inner.segments.is_empty() || is_other_boot {
            inner.begin_segment(&settings)?;
        } else if let Some(mut head) = inner.segments.last_entry() {
            head.get_mut().reserve(settings.segment_bytes);
            head.get_mut().oldest = inner.index.get().first_at(*head.key());
        }
        for segment in inner.segments.values() {
            segment.file.sync_data()?;
        }
        File::open(&settings.folder)?.sync_all()?;
        let mut rows = inner.read_rows(&mut findings);
        let mut last_sign = inner.segments.values().map(|it| it.newest).max().unwrap_or(0);
        rows.retain(|row| {
            let beat = row.body[..].try_into().ok().filter(|_| row.key == BEAT);
            last_sign = last_sign.max(beat.map_or(0, u64::from_le_bytes));
            row.key != BEAT
        });
        let (inner, work) = (Mutex::new(inner), Condvar::new());
        let (is_in_trouble, folder) = (AtomicBool::new(false), File::open(&settings.folder)?);
        let shared = Arc::new(Shared { settings, folder, inner, work, is_in_trouble });
        let log = Self { shared, upkeep: Mutex::default() };
        Ok(Opened { log, rows, last_sign, was_closed, is_other_boot, findings })
    }

    /// Starts the thread that syncs, cleans and tries again.
    pub fn start(&self) -> io::Result<()> {
        let shared = self.shared.clone();
        let thread = thread::Builder::new().name("state-log".to_owned());
        *self.upkeep.lock() = Some(thread.spawn(move || shared.run())?);
        Ok(())
    }
}

impl StateLog {
    /// The keys of a kind, sorted.
    pub fn keys(&self, kind: u8) -> Vec<RowKey> {
        let mut inner = self.shared.inner.lock();
        let index = inner.index.get();
        let keys = index.rows.keys().filter(|it| it.kind == kind);
        let mut keys: Vec<_> = keys.copied().collect();
        drop(index);
        drop(inner);
        keys.sort_unstable();
        keys
    }

    /// Whether a key has a line.
    pub fn has(&self, key: RowKey) -> bool {
        self.shared.inner.lock().index.get().rows.contains_key(&key)
    }

    /// The latest line of a key; None if it has none. It reads a file, while nothing waits for it.
    pub fn row(&self, key: RowKey) -> io::Result<Option<RowRecord>> {
        let (place, segment) = {
            let mut inner = self.shared.inner.lock();
            let Some(place) = inner.index.get().rows.get(&key).copied() else { return Ok(None) };
            (place, inner.segments.get(&place.segment).cloned().ok_or_else(|| damaged(place))?)
        };
        read_row(&segment, place, key)
    }
}

impl Inner {
    fn read_rows(&mut self, findings: &mut Vec<String>) -> Vec<RowRecord> {
        let mut all = self.index.get().rows_up_to(u32::MAX);
        let mut rows = Vec::with_capacity(all.len());
        all.retain(|(_, key)| key.kind < RowKey::LATER);
        // A frame may have many of them, and is read once.
        for of_frame in all.chunk_by(|a, b| a.0 == b.0) {
            let place = of_frame[0].0;
            let segment = self.segments.get(&place.segment).ok_or_else(|| damaged(place));
            match segment.and_then(|it| it.read_frame(place.offset)) {
                Ok(frame) => {
                    let Some((lines, _)) = frame::decode(&frame) else {
                        findings.push(format!("a row is lost: {}", damaged(place)));
                        continue;
                    };
                    rows.extend(of_frame.iter().filter_map(|(_, key)| find(&lines, *key)));
                }
                Err(error) => findings.push(format!("a row is lost: {error}")),
            }
        }
        rows
    }

    /// The line of a key at a place; None if the frame there has none.
    pub(super) fn read_row(&self, place: Place, key: RowKey) -> io::Result<Option<RowRecord>> {
        let segment = self.segments.get(&place.segment).ok_or_else(|| damaged(place))?;
        read_row(segment, place, key)
    }
}

fn read_row(segment: &Segment, place: Place, key: RowKey) -> io::Result<Option<RowRecord>> {
    let bytes = segment.read_frame(place.offset)?;
    let (lines, _) = frame::decode(&bytes).ok_or_else(|| damaged(place))?;
    Ok(find(&lines, key))
}

fn damaged(place: Place) -> io::Error {
    let text = format!("segment {} is damaged at byte {}", place.segment, place.offset);
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The last of these lines that has a key.
fn find(lines: &[Line<'_>], key: RowKey) -> Option<RowRecord> {
    let line = lines.iter().rev().find(|line| line.keys().any(|it| it == key))?;
    match line {
        Line::Event(event) | Line::Copied(event) => Some(RowRecord {
            key,
            event: Some((event.account.into(), event.number, event.at)),
            body: event.body.to_vec(),
        }),
        Line::Row { body, .. } => Some(RowRecord { key, event: None, body: body.to_vec() }),
        Line::Header(_) | Line::Gone(_) | Line::LastNumber { .. } | Line::Closed => None,
    }
}
