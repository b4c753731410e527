//! A folder of flows, and what is known of it: its listing, and what each file held when it was
//! last read.
//!
//! A change is seen at once. What the file system says of a folder or a file is compared with
//! what it said before; and since two changes within one tick of its clock look the same,
//! whatever has changed within the last moments is looked at anew each time.

use std::{
    collections::BTreeMap,
    fs::{self, DirEntry, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use blake3::Hash;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::flow::FlowOrigin;

/// A folder, and what is known of it.
#[derive(Debug)]
pub(super) struct FolderIndex {
    path: PathBuf,
    /// Before a file's name in its origin: empty, or `MA…/`.
    prefix: String,
    /// What has changed within so long is not taken for known.
    settling_time: Duration,
    listing: RwLock<Listing>,
}

#[derive(Debug, Default)]
struct Listing {
    /// Of the folder when it was listed; None if it may have changed unseen since.
    stamp: Option<FlowFileStamp>,
    files: BTreeMap<Box<str>, Arc<IndexedFile>>,
    folders: BTreeMap<Box<str>, Arc<FolderIndex>>,
}

#[derive(Debug)]
pub(super) struct IndexedFile {
    path: PathBuf,
    /// Its path from the flows folder on.
    pub(super) origin: FlowOrigin,
    settling_time: Duration,
    /// When it was last read, and what it held; None if it may have changed unseen since.
    known: Mutex<Option<(FlowFileStamp, Hash)>>,
}

/// By this a change is seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct FlowFileStamp {
    device: u64,
    inode: u64,
    len: u64,
    /// In nanoseconds since 1970: when the content was written.
    modified: i128,
    /// When anything was: a file that is moved here keeps its `modified`, and gets this.
    changed: i128,
}

/// What the vendors allow in a document (contract 3.1). A longer file is not even read.
pub(super) const FILE_BYTES_MAX: u64 = 100 * 1024;
/// A listing is held in memory; this many names take about a megabyte.
const ENTRIES_MAX: usize = 10_000;
/// The coarsest clock of a file system in use ticks once in two seconds (FAT).
pub(super) const SETTLING_TIME: Duration = Duration::from_secs(2);
/// The ending of a flow's file name.
pub(super) const EXTENSION: &str = "xml";

impl FolderIndex {
    /// A folder, which need not be there yet.
    pub(super) fn new(path: PathBuf, settling_time: Duration) -> Self {
        Self { path, prefix: String::new(), settling_time, listing: RwLock::default() }
    }

    /// The names of the flows, in order.
    pub(super) fn names(&self) -> Vec<String> {
        self.listing().files.keys().map(|name| (**name).to_owned()).collect()
    }

    /// The file of the flow of that name.
    pub(super) fn file(&self, name: &str) -> Option<Arc<IndexedFile>> {
        self.listing().files.get(name).cloned()
    }

    /// The same, as far as the folder has been listed: it may have gone since.
    pub(super) fn listed_file(&self, name: &str) -> Option<Arc<IndexedFile>> {
        self.listing.read().files.get(name).cloned()
    }

    /// The folder of that name.
    pub(super) fn folder(&self, name: &str) -> Option<Arc<Self>> {
        self.listing().folders.get(name).cloned()
    }

    /// The same, as far as the folder has been listed: it may have gone since.
    pub(super) fn listed_folder(&self, name: &str) -> Option<Arc<Self>> {
        self.listing.read().folders.get(name).cloned()
    }

    /// What is in the folder now; nothing if it is not there.
    fn listing(&self) -> RwLockReadGuard<'_, Listing> {
        let stamp = fs::metadata(&self.path).ok().map(|it| FlowFileStamp::of(&it));
        let listing = self.listing.read();
        if stamp.is_some() && listing.stamp == stamp {
            return listing;
        }

        drop(listing);
        let mut listing = self.listing.write();
        let fresh = self.list(&listing).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("the flows folder {} cannot be read: {error}", self.path.display());
            }
            Listing::default()
        });
        *listing = fresh;
        RwLockWriteGuard::downgrade(listing)
    }

    /// Lists the folder; what is known of a file or a folder in it is kept.
    fn list(&self, before: &Listing) -> io::Result<Listing> {
        // In this order: what changes while the folder is being listed makes the stamp an old one.
        let now = now();
        let stamp = FlowFileStamp::of(&fs::metadata(&self.path)?);
        let mut listing =
            Listing { stamp: stamp.if_settled(now, self.settling_time), ..Default::default() };
        let home = fs::canonicalize(&self.path)?;
        for entry in fs::read_dir(&self.path)? {
            if ENTRIES_MAX <= listing.files.len() + listing.folders.len() {
                let path = self.path.display();
                tracing::warn!(
                    "{path} has more than {ENTRIES_MAX} entries: the rest is passed over"
                );
                break;
            }
            self.add_entry(&entry?, &home, before, &mut listing);
        }
        Ok(listing)
    }

    fn add_entry(&self, entry: &DirEntry, home: &Path, before: &Listing, listing: &mut Listing) {
        let path = entry.path();
        let Some(found) = resolve(entry, home) else { return };
        let settling_time = self.settling_time;
        if found.is_dir() {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
            let index = before.folders.get(name).cloned();
            let index = index.unwrap_or_else(|| {
                let prefix = format!("{}{name}/", self.prefix);
                Arc::new(Self { prefix, ..Self::new(path.clone(), settling_time) })
            });
            listing.folders.insert(name.into(), index);
        } else if found.is_file() && path.extension().is_some_and(|it| it == EXTENSION) {
            let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { return };
            let file = before.files.get(name).cloned();
            let file = file.unwrap_or_else(|| {
                let origin = format!("{}{name}.{EXTENSION}", self.prefix);
                Arc::new(IndexedFile {
                    path: path.clone(),
                    origin: FlowOrigin::File(origin.into()),
                    settling_time,
                    known: Mutex::default(),
                })
            });
            listing.files.insert(name.into(), file);
        }
    }
}

/// What an entry is, behind its links; None if they lead out of the folder, or nowhere.
fn resolve(entry: &DirEntry, home: &Path) -> Option<Metadata> {
    let own = entry.metadata().ok()?;
    if !own.is_symlink() {
        return Some(own);
    }
    let path = entry.path();
    match fs::canonicalize(&path) {
        Ok(target) if target.starts_with(home) => fs::metadata(target).ok(),
        Ok(_) => {
            tracing::warn!("{} leads out of the flows folder: it is passed over", path.display());
            None
        }
        Err(_) => None,
    }
}

impl IndexedFile {
    /// What the file holds, if it has not changed since it was read.
    pub(super) fn known(&self) -> io::Result<Option<Hash>> {
        let stamp = FlowFileStamp::of(&self.found()?);
        Ok(self.known.lock().filter(|(it, _)| *it == stamp).map(|(_, hash)| hash))
    }

    /// Reads the file; None if it is too long for a flow.
    pub(super) fn read(&self) -> io::Result<Option<(Hash, Bytes)>> {
        // In this order: what is written while the file is being read makes the stamp an old one.
        let now = now();
        let found = self.found()?;
        if FILE_BYTES_MAX < found.len() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        // It may grow meanwhile.
        fs::File::open(&self.path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if FILE_BYTES_MAX < bytes.len() as u64 {
            return Ok(None);
        }

        let hash = blake3::hash(&bytes);
        let stamp = FlowFileStamp::of(&found).if_settled(now, self.settling_time);
        *self.known.lock() = stamp.map(|stamp| (stamp, hash));
        // A flow keeps them, so what was allocated beyond them is given back.
        Ok(Some((hash, bytes.into_boxed_slice().into())))
    }

    /// Anything but a file is as good as none: to open a pipe would wait for its writer.
    fn found(&self) -> io::Result<Metadata> {
        let found = fs::metadata(&self.path)?;
        if !found.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(found)
    }
}

impl FlowFileStamp {
    fn of(found: &Metadata) -> Self {
        let nanos =
            |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self {
            device: found.dev(),
            inode: found.ino(),
            len: found.len(),
            modified: nanos(found.mtime(), found.mtime_nsec()),
            changed: nanos(found.ctime(), found.ctime_nsec()),
        }
    }

    /// None if a later change might bear the same stamp. One from the future never settles.
    fn if_settled(self, now: i128, settling_time: Duration) -> Option<Self> {
        let age = now - self.modified.max(self.changed);
        (settling_time.as_nanos().cast_signed() < age).then_some(self)
    }
}

/// In nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a file's age is told by the clock on the wall")]
fn now() -> i128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |it| it.as_nanos().cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_settles_when_no_later_change_could_bear_it() {
        let second = 1_000_000_000;
        let now = 1_000 * second;
        let check = |modified: i128, changed: i128, expected: bool| {
            let stamp = FlowFileStamp { device: 1, inode: 1, len: 1, modified, changed };
            let is_settled = stamp.if_settled(now, SETTLING_TIME).is_some();
            assert_eq!(is_settled, expected, "{modified} {changed}");
        };
        check(now - 3 * second, now - 3 * second, true);
        check(now - 2 * second, now - 2 * second, false);
        check(now - 3 * second, now - second, false);
        check(now - second, now - 3 * second, false);
        check(now + second, now - 3 * second, false);
    }
}
