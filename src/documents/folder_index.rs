//! Folder index: the listing of a folder of flows, and the content hashes of its files.
//!
//! Changes are seen at once: the metadata of folders and files is compared with the last stamp. Two
//! changes within one tick of the file system's clock have the same stamp, so recently changed
//! entries are read again each time.

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

use crate::{descriptors, flow::FlowOrigin};

/// The cached state of one folder.
#[derive(Debug)]
pub(super) struct FolderIndex {
    path: PathBuf,
    /// Prefix of a file's name in its origin: empty, or `MA…/`.
    prefix: String,
    /// Age from which a stamp is trusted.
    settling_time: Duration,
    listing: RwLock<Listing>,
}

#[derive(Debug, Default)]
struct Listing {
    /// Stamp of the folder at listing time; None if a later change might go unseen.
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
    /// Stamp and hash at the last read; None if a later change might go unseen.
    known: Mutex<Option<(FlowFileStamp, Hash)>>,
}

/// Metadata by which a change is detected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct FlowFileStamp {
    device: u64,
    inode: u64,
    len: u64,
    /// Nanoseconds since 1970 of the last change of the content.
    modified: i128,
    /// Nanoseconds since 1970 of the last change of the inode. A file that is moved here keeps
    /// `modified` and gets a new `changed`.
    changed: i128,
}

/// Limit of the vendors (contract 3.1). A longer file is not read.
pub(super) const FILE_BYTES_MAX: u64 = 100 * 1024;
/// Listings are kept in memory; this many names take about a megabyte.
const ENTRIES_MAX: usize = 10_000;
/// The coarsest clock of a file system in use has ticks of two seconds (FAT).
pub(super) const SETTLING_TIME: Duration = Duration::from_secs(2);
pub(super) const EXTENSION: &str = "xml";

impl FolderIndex {
    /// The path need not exist yet.
    pub(super) fn new(path: PathBuf, settling_time: Duration) -> Self {
        Self { path, prefix: String::new(), settling_time, listing: RwLock::default() }
    }

    /// Names of the flows, sorted.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.listing()?.files.keys().map(|name| (**name).to_owned()).collect())
    }

    /// File of the flow with this name; None if there is none.
    pub(super) fn file(&self, name: &str) -> io::Result<Option<Arc<IndexedFile>>> {
        Ok(self.listing()?.files.get(name).cloned())
    }

    /// As [`Self::file`], from the last listing: the file may have disappeared since.
    pub(super) fn listed_file(&self, name: &str) -> Option<Arc<IndexedFile>> {
        self.listing.read().files.get(name).cloned()
    }

    /// Subfolder with this name; None if there is none.
    pub(super) fn folder(&self, name: &str) -> io::Result<Option<Arc<Self>>> {
        Ok(self.listing()?.folders.get(name).cloned())
    }

    /// As [`Self::folder`], from the last listing: the folder may have disappeared since.
    pub(super) fn listed_folder(&self, name: &str) -> Option<Arc<Self>> {
        self.listing.read().folders.get(name).cloned()
    }

    /// The current content of the folder; empty if the folder does not exist. No other error means
    /// that: after one, the last listing is kept for the next time.
    fn listing(&self) -> io::Result<RwLockReadGuard<'_, Listing>> {
        let stamp = fs::metadata(&self.path).ok().map(|it| FlowFileStamp::of(&it));
        let listing = self.listing.read();
        if stamp.is_some() && listing.stamp == stamp {
            return Ok(listing);
        }

        drop(listing);
        let mut listing = self.listing.write();
        *listing = match self.list(&listing) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Listing::default(),
            listed => listed.inspect_err(|error| {
                tracing::warn!("the flows folder {} cannot be read: {error}", self.path.display());
                descriptors::note(error);
            })?,
        };
        Ok(RwLockWriteGuard::downgrade(listing))
    }

    /// Lists the folder and keeps what is known of unchanged names.
    fn list(&self, before: &Listing) -> io::Result<Listing> {
        // The stamp comes first, so that a change during the listing makes it outdated.
        let now = now();
        let stamp = FlowFileStamp::of(&fs::metadata(&self.path)?);
        let mut listing =
            Listing { stamp: stamp.if_settled(now, self.settling_time), ..Default::default() };
        let home = fs::canonicalize(&self.path)?;
        for entry in fs::read_dir(&self.path)? {
            if ENTRIES_MAX <= listing.files.len() + listing.folders.len() {
                let path = self.path.display();
                tracing::warn!(
                    "{path} has more than {ENTRIES_MAX} entries: the others are ignored"
                );
                break;
            }
            self.add_entry(&entry?, &home, before, &mut listing);
        }
        Ok(listing)
    }

    fn add_entry(&self, entry: &DirEntry, home: &Path, before: &Listing, listing: &mut Listing) {
        let path = entry.path();
        let (is_dir, is_file) = match resolve(entry, home) {
            Ok(Some(found)) => (found.is_dir(), found.is_file()),
            Ok(None) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            // It is there: its use says why it cannot be read.
            Err(_) => (false, true),
        };
        let settling_time = self.settling_time;
        if is_dir {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
            let index = before.folders.get(name).cloned();
            let index = index.unwrap_or_else(|| {
                let prefix = format!("{}{name}/", self.prefix);
                Arc::new(Self { prefix, ..Self::new(path.clone(), settling_time) })
            });
            listing.folders.insert(name.into(), index);
        } else if is_file && path.extension().is_some_and(|it| it == EXTENSION) {
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

/// Metadata of an entry's target; None if it is outside of the folder.
fn resolve(entry: &DirEntry, home: &Path) -> io::Result<Option<Metadata>> {
    let own = entry.metadata()?;
    if !own.is_symlink() {
        return Ok(Some(own));
    }
    let path = entry.path();
    let target = fs::canonicalize(&path)?;
    if target.starts_with(home) {
        return fs::metadata(target).map(Some);
    }
    tracing::warn!(
        "{} links to a target outside of the flows folder: it is ignored",
        path.display()
    );
    Ok(None)
}

impl IndexedFile {
    /// Content hash, if the file has not changed since it was read.
    pub(super) fn known(&self) -> io::Result<Option<Hash>> {
        let stamp = FlowFileStamp::of(&self.found()?);
        Ok(self.known.lock().filter(|(it, _)| *it == stamp).map(|(_, hash)| hash))
    }

    /// Reads the file; None if it is longer than a flow may be.
    pub(super) fn read(&self) -> io::Result<Option<(Hash, Bytes)>> {
        // The stamp comes first, so that a write during the read makes it outdated.
        let now = now();
        let found = self.found()?;
        if FILE_BYTES_MAX < found.len() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        // The file may grow meanwhile.
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

    /// Only regular files count: opening a pipe would wait for its writer.
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

    /// None if a later change might have the same stamp. A time in the future never settles.
    fn if_settled(self, now: i128, settling_time: Duration) -> Option<Self> {
        let age = now - self.modified.max(self.changed);
        (settling_time.as_nanos().cast_signed() < age).then_some(self)
    }
}

/// Current time in nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "file times are wall-clock times")]
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
