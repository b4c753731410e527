//! Inspection of a log's files: what they keep, and a copy of them, while an engine may write them.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::{
    StateLog,
    frame::BEAT,
    index::Index,
    segment::{self, Segment},
};

/// What the files of a log keep.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LogInspection {
    /// The length of all segments, in bytes.
    pub bytes: u64,
    /// The number of segments.
    pub segments: usize,
    /// The epoch that ids of events begin with; None of an empty log.
    pub epoch: Option<u64>,
    /// The number of keys of each kind.
    pub rows: BTreeMap<u8, usize>,
    /// The events of each account that has any.
    pub accounts: Vec<AccountInspection>,
    /// The time of the latest event, in microseconds since 1970; 0: there is none.
    pub newest: u64,
}

/// The events of an account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccountInspection {
    /// The account that has them.
    pub account: Box<str>,
    /// The number of its kept events.
    pub count: u64,
    /// The time of the oldest, in microseconds since 1970.
    pub oldest: u64,
}

impl LogInspection {
    /// Looks at the segments in a folder; no folder is an empty log.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let (mut found, mut index) = (Self::default(), Index::default());
        for number in numbers(folder)? {
            let (segment, of_segment) = match Segment::read_only(folder, number) {
                // The engine has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let Some(header) = segment.header() else { continue };
            found.bytes += u64::from(segment.length);
            found.segments += 1;
            found.epoch = Some(header.epoch);
            found.newest = found.newest.max(segment.newest);
            index.add(number, &of_segment);
        }
        for key in index.rows.keys().filter(|it| **it != BEAT) {
            *found.rows.entry(key.kind).or_default() += 1;
        }
        for (account, events) in index.accounts {
            let Some(first) = events.stops.first() else { continue };
            let count = (events.last + 1).saturating_sub(first.number);
            found.accounts.push(AccountInspection { account, count, oldest: first.at });
        }
        Ok(found)
    }
}

/// The segments of a log at one moment, open for reading.
#[derive(Debug)]
pub struct LogSnapshot(Vec<Segment>);

impl LogSnapshot {
    /// Opens the segments in a folder. What the engine writes or removes afterwards changes nothing.
    pub fn take(folder: &Path) -> io::Result<Self> {
        let mut segments = Vec::new();
        for number in numbers(folder)? {
            match Segment::read_only(folder, number) {
                // It was removed meanwhile, and its rows are in a later one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                opened => segments.extend(Some(opened?.0).filter(|it| it.header().is_some())),
            }
        }
        Ok(Self(segments))
    }

    /// The number of each segment, and its whole frames.
    pub fn parts(&self) -> impl Iterator<Item = io::Result<(u32, Vec<u8>)>> + '_ {
        self.0.iter().map(|it| Ok((it.number, it.read(0, usize::MAX)?)))
    }
}

/// Writes a segment of a snapshot to a folder that has none of this number.
pub fn restore_segment(folder: &Path, number: u32, frames: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let path = segment::path(folder, number);
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(frames)?;
    file.sync_all()
}

/// Whether a folder has a log.
pub fn has_log(folder: &Path) -> io::Result<bool> {
    Ok(!numbers(folder)?.is_empty())
}

fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    match fs::exists(folder)? {
        true => segment::numbers(folder),
        false => Ok(Vec::new()),
    }
}

impl StateLog {
    /// Begins another epoch: no later event has the id of one that the log has lost, such as those
    /// after a backup.
    pub fn begin_epoch(&self, epoch: u64) -> io::Result<()> {
        let mut inner = self.shared.inner.lock();
        // It is later than every epoch of the log, even if the clock was put back.
        inner.header.epoch = epoch.max(inner.header.epoch + 1);
        inner.begin_segment(&self.shared.settings)?;
        drop(inner);
        self.shared.sync()?;
        File::open(&self.shared.settings.folder)?.sync_all()
    }
}
