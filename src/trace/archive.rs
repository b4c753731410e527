//! Archive of traces: entries in files of the data folder, found by call.
//!
//! An entry is appended to the newest segment and never changed. A full segment gets an index file: the
//! calls in order, and the offsets of their entries; so memory has the places of one segment only, and
//! a lookup takes some microseconds for each of the others. Old segments are removed as a whole.
//!
//! An entry is `length: u32`, `checksum: u32` (CRC-32 of the rest), both little-endian, the call's id,
//! and what [`TraceSnapshot::entry`](super::TraceSnapshot::entry) gives. Entries survive the end of the process at once,
//! and a loss of power when the system has written them.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;

use crate::base::ids::CallId;

/// How much is kept, and where.
#[derive(Clone, Debug)]
pub struct ArchiveSettings {
    /// The folder of the segments; it exists.
    pub folder: PathBuf,
    /// A segment is removed when its last entry is older.
    pub keep: Duration,
    /// The oldest segments are removed while all of them together are larger, in bytes.
    pub bytes_max: u64,
}

/// An open archive. One process at a time has it.
pub struct TraceArchive {
    settings: ArchiveSettings,
    inner: Mutex<ArchiveInner>,
}

struct ArchiveInner {
    /// The numbers of the full segments, in order.
    full: Vec<u32>,
    /// None until there is an entry.
    newest: Option<NewestSegment>,
}

struct NewestSegment {
    number: u32,
    file: File,
    begun_at: SystemTime,
    length: u32,
    /// The offsets of each call's entries.
    places: HashMap<u128, Vec<u32>>,
}

/// A segment is full beyond this, in bytes: at most a second's reading without its index.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Parts of the time and of the bytes that a segment may take: so much more is kept at most.
const PARTS: u32 = 8;
/// Length and checksum.
const ENTRY_HEAD: usize = 8;
/// A call's id.
const ID: usize = 16;
/// A call's id and an offset.
const PLACE: usize = ID + 4;
/// A longer entry is damage.
const ENTRY_MAX: u32 = 16 << 20;

impl TraceArchive {
    /// Opens the segments of earlier processes.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn open(settings: ArchiveSettings) -> io::Result<Self> {
        let mut full = Vec::new();
        for entry in fs::read_dir(&settings.folder)? {
            let path = entry?.path();
            let is_segment = path.extension().is_some_and(|it| it == "traces");
            let stem = path.file_stem().and_then(|it| it.to_str()).filter(|_| is_segment);
            full.extend(stem.and_then(|it| it.parse::<u32>().ok()));
        }
        full.sort_unstable();
        Ok(Self { settings, inner: Mutex::new(ArchiveInner { full, newest: None }) })
    }

    /// Appends entries with one write.
    ///
    /// # Errors
    ///
    /// They cannot be written: then none is there.
    pub fn append(&self, now: SystemTime, entries: &[(CallId, Vec<u8>)]) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let newest = inner.newest(&self.settings, now)?;
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        for (call, body) in entries {
            let id = call.0.as_u128();
            places
                .push((id, newest.length + u32::try_from(bytes.len()).expect("a batch is short")));
            encode(id, body, &mut bytes);
        }
        newest.file.write_all_at(&bytes, newest.length.into())?;
        newest.length += u32::try_from(bytes.len()).expect("a batch is short");
        for (id, offset) in places {
            newest.places.entry(id).or_default().push(offset);
        }
        Ok(())
    }

    /// The entries of a call, in the order in which they were written.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn read(&self, call: CallId) -> io::Result<Vec<Vec<u8>>> {
        let id = call.0.as_u128();
        let (full, newest) = {
            let inner = self.inner.lock();
            let newest = inner.newest.as_ref().map(|it| -> io::Result<_> {
                Ok((it.file.try_clone()?, it.places.get(&id).cloned().unwrap_or_default()))
            });
            (inner.full.clone(), newest.transpose()?)
        };
        let mut entries = Vec::new();
        for number in full {
            let found = find(&self.settings.folder, number, id).and_then(|places| {
                if places.is_empty() {
                    return Ok(());
                }
                let file = File::open(path(&self.settings.folder, number))?;
                read_entries(&file, id, &places, &mut entries)
            });
            match found {
                // It has been removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                found => found?,
            }
        }
        if let Some((file, places)) = newest {
            read_entries(&file, id, &places, &mut entries)?;
        }
        Ok(entries)
    }

    /// Writes the index of a segment that the last process has not filled.
    fn write_indexes(&self) -> io::Result<()> {
        let (folder, full) = (&self.settings.folder, self.inner.lock().full.clone());
        for number in full {
            if !index_path(folder, number).exists() {
                write_index(folder, number, &places(&fs::read(path(folder, number))?))?;
            }
        }
        Ok(())
    }

    /// Removes what is too old or too much; call it now and then.
    ///
    /// # Errors
    ///
    /// A file cannot be removed, or an index cannot be written.
    pub fn clean(&self, now: SystemTime) -> io::Result<()> {
        let ArchiveSettings { folder, keep, bytes_max } = &self.settings;
        let mut inner = self.inner.lock();
        // A segment of few calls would keep them too long.
        let is_old = inner.newest.as_ref().is_some_and(|it| {
            keep.as_secs() / u64::from(PARTS)
                < now.duration_since(it.begun_at).unwrap_or_default().as_secs()
        });
        let filled = if is_old { inner.fill(folder) } else { Ok(()) };
        let mut bytes: u64 = inner.newest.as_ref().map_or(0, |it| it.length.into());
        let mut kept = 0;
        for number in inner.full.iter().rev() {
            let found = fs::metadata(path(folder, *number))?;
            let age = now.duration_since(found.modified()?).unwrap_or_default();
            bytes += found.len();
            bytes += fs::metadata(index_path(folder, *number)).map_or(0, |it| it.len());
            if *keep < age || *bytes_max < bytes {
                break;
            }
            kept += 1;
        }
        let removed = inner.full.len() - kept;
        let removed: Vec<_> = inner.full.drain(..removed).collect();
        drop(inner);
        for number in removed {
            // In this order, so that no index stays alone.
            match fs::remove_file(index_path(folder, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => fs::remove_file(path(folder, number))?,
            }
        }
        // Last: they need space, which a full disk has now.
        filled?;
        self.write_indexes()
    }
}

impl ArchiveInner {
    /// The segment to append to.
    fn newest(
        &mut self,
        settings: &ArchiveSettings,
        now: SystemTime,
    ) -> io::Result<&mut NewestSegment> {
        let bytes = SEGMENT_BYTES.min(settings.bytes_max / u64::from(PARTS));
        if self.newest.as_ref().is_some_and(|it| bytes <= it.length.into()) {
            self.fill(&settings.folder)?;
        }
        if self.newest.is_none() {
            let number = self.full.last().map_or(1, |it| it + 1);
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create_new(true).mode(0o600);
            let file = options.open(path(&settings.folder, number))?;
            let places = HashMap::new();
            self.newest = Some(NewestSegment { number, file, begun_at: now, length: 0, places });
        }
        Ok(self.newest.as_mut().expect("it has just been begun"))
    }

    /// Gives the newest segment its index file.
    fn fill(&mut self, folder: &Path) -> io::Result<()> {
        if let Some(newest) = &self.newest {
            let places = newest
                .places
                .iter()
                .flat_map(|(id, offsets)| offsets.iter().map(|offset| (*id, *offset)));
            let mut places: Vec<_> = places.collect();
            places.sort_unstable();
            write_index(folder, newest.number, &places)?;
            self.full.push(newest.number);
            self.newest = None;
        }
        Ok(())
    }
}

fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.traces"))
}

fn index_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.index"))
}

fn encode(id: u128, body: &[u8], bytes: &mut Vec<u8>) {
    let start = bytes.len();
    let length = u32::try_from(ID + body.len()).expect("a trace is short");
    bytes.extend(length.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(id.to_be_bytes());
    bytes.extend(body);
    let sum = crc32fast::hash(&bytes[start + ENTRY_HEAD..]);
    bytes[start + 4..start + ENTRY_HEAD].copy_from_slice(&sum.to_le_bytes());
}

/// The id and the body of the entry that bytes begin with. None: there is no whole one.
fn decode(bytes: &[u8]) -> Option<(u128, &[u8])> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let sum = u32::from_le_bytes(bytes.get(4..ENTRY_HEAD)?.try_into().ok()?);
    let rest = bytes[ENTRY_HEAD..].get(..length as usize)?;
    let (id, body) = rest.split_at_checked(ID)?;
    (sum == crc32fast::hash(rest)).then_some((u128::from_be_bytes(id.try_into().ok()?), body))
}

/// The places of a segment's whole entries, sorted. A crash may have cut the last one.
fn places(bytes: &[u8]) -> Vec<(u128, u32)> {
    let (mut places, mut at) = (Vec::new(), 0);
    while let Some((id, body)) = bytes.get(at..).and_then(decode) {
        places.push((id, u32::try_from(at).expect("a segment is short")));
        at += ENTRY_HEAD + ID + body.len();
    }
    places.sort_unstable();
    places
}

/// Writes an index file; it has its name once it is whole.
fn write_index(folder: &Path, number: u32, places: &[(u128, u32)]) -> io::Result<()> {
    let path = index_path(folder, number);
    let draft = path.with_extension("draft");
    let mut bytes = Vec::with_capacity(places.len() * PLACE);
    for (id, offset) in places {
        bytes.extend(id.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(draft, path)
}

/// The offsets of a call's entries in a full segment.
fn find(folder: &Path, number: u32, id: u128) -> io::Result<Vec<u32>> {
    let file = match File::open(index_path(folder, number)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut places = places(&fs::read(path(folder, number))?);
            places.retain(|(found, _)| *found == id);
            return Ok(places.into_iter().map(|(_, offset)| offset).collect());
        }
        file => file?,
    };
    let count = file.metadata()?.len() / PLACE as u64;
    let place = |at: u64| -> io::Result<(u128, u32)> {
        let mut bytes = [0; PLACE];
        file.read_exact_at(&mut bytes, at * PLACE as u64)?;
        let (id, offset) = bytes.split_at(ID);
        let id = u128::from_be_bytes(id.try_into().expect("16 bytes"));
        Ok((id, u32::from_be_bytes(offset.try_into().expect("4 bytes"))))
    };
    // The first place that is not before the call's.
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match place(middle)?.0 < id {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    let mut offsets = Vec::new();
    while low < count {
        let (found, offset) = place(low)?;
        if found != id {
            break;
        }
        offsets.push(offset);
        low += 1;
    }
    Ok(offsets)
}

fn read_entries(
    file: &File,
    id: u128,
    offsets: &[u32],
    entries: &mut Vec<Vec<u8>>,
) -> io::Result<()> {
    for offset in offsets {
        let mut head = [0; ENTRY_HEAD];
        file.read_exact_at(&mut head, (*offset).into())?;
        let length = u32::from_le_bytes(head[..4].try_into().expect("4 bytes")).min(ENTRY_MAX);
        let mut bytes = vec![0; ENTRY_HEAD + length as usize];
        file.read_exact_at(&mut bytes, (*offset).into())?;
        match decode(&bytes) {
            Some((found, body)) if found == id => entries.push(body.to_vec()),
            Some(_) | None => tracing::error!(offset, "an entry of the trace archive is damaged"),
        }
    }
    Ok(())
}

impl fmt::Debug for TraceArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceArchive").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::{TempDir, tempdir};

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn open(temp: &TempDir, bytes_max: u64) -> TraceArchive {
        let (folder, keep) = (temp.path().to_owned(), Duration::from_secs(800));
        TraceArchive::open(ArchiveSettings { folder, keep, bytes_max }).unwrap()
    }

    fn texts(archive: &TraceArchive, call: u128) -> Vec<String> {
        let entries = archive.read(CallId::of(call)).unwrap();
        entries.into_iter().map(|it| String::from_utf8(it).unwrap()).collect()
    }

    fn append(archive: &TraceArchive, entries: &[(u128, &str)]) {
        let entries: Vec<_> =
            entries.iter().map(|(call, it)| (CallId::of(*call), it.as_bytes().to_vec())).collect();
        archive.append(NOW, &entries).unwrap();
    }

    #[test]
    fn entries_of_a_call_are_found_in_order_in_every_segment_and_after_a_restart() {
        let temp = tempdir().unwrap();
        // A segment is full after some entries.
        let archive = open(&temp, 8_000);
        for n in 0..100_u128 {
            append(&archive, &[(n, &format!("a{n}")), (500, &format!("x{n}")), (n, "b")]);
        }
        assert!(2 < archive.inner.lock().full.len());
        let check = |archive: &TraceArchive| {
            for n in 0..100 {
                assert_eq!(texts(archive, n), [format!("a{n}"), "b".to_owned()]);
            }
            let expected: Vec<_> = (0..100).map(|n| format!("x{n}")).collect();
            assert_eq!(texts(archive, 500), expected);
            assert!(texts(archive, 1_000).is_empty());
        };
        check(&archive);
        drop(archive);
        let archive = open(&temp, 8_000);
        let indexes = || {
            let files = fs::read_dir(temp.path()).unwrap().map(|it| it.unwrap().path());
            files.filter(|it| it.extension().unwrap() == "index").count()
        };
        assert_eq!(indexes() + 1, archive.inner.lock().full.len());
        check(&archive);
        archive.write_indexes().unwrap();
        assert_eq!(indexes(), archive.inner.lock().full.len());
        check(&archive);
        append(&archive, &[(7, "c")]);
        assert_eq!(texts(&archive, 7), ["a7", "b", "c"]);
        for entry in fs::read_dir(temp.path()).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_segment_that_is_cut_anywhere_has_the_entries_before() {
        let whole = tempdir().unwrap();
        append(&open(&whole, 1 << 20), &[(1, "one"), (2, "two"), (1, "three")]);
        let bytes = fs::read(path(whole.path(), 1)).unwrap();
        let entry = |text: &str| ENTRY_HEAD + ID + text.len();
        let ends = [entry("one"), entry("one") + entry("two"), bytes.len()];
        for cut in 0..=bytes.len() {
            for rest in [&[][..], &[0; 64]] {
                let temp = tempdir().unwrap();
                fs::write(path(temp.path(), 1), [&bytes[..cut], rest].concat()).unwrap();
                let archive = open(&temp, 1 << 20);
                let has = |end: usize| end <= cut;
                let one = [("one", ends[0]), ("three", ends[2])];
                let one: Vec<_> = one.iter().filter(|it| has(it.1)).map(|it| it.0).collect();
                assert_eq!(texts(&archive, 1), one, "{cut}");
                assert_eq!(texts(&archive, 2).len(), usize::from(has(ends[1])), "{cut}");
                append(&archive, &[(2, "after")]);
                assert_eq!(texts(&archive, 2).last().unwrap(), "after");
            }
        }
    }

    #[test]
    fn what_is_too_old_or_too_much_is_removed() {
        let temp = tempdir().unwrap();
        let archive = open(&temp, 8_000);
        let long = "x".repeat(1_100);
        for n in 0..20 {
            append(&archive, &[(n, &long)]);
        }
        archive.clean(NOW).unwrap();
        assert!(texts(&archive, 0).is_empty() && !texts(&archive, 19).is_empty());
        let bytes: u64 = fs::read_dir(temp.path())
            .unwrap()
            .map(|it| it.unwrap().metadata().unwrap().len())
            .sum();
        assert!((4_000..=9_200).contains(&bytes), "{bytes}");

        // The newest segment is not full, but old enough to be closed, and then to be removed.
        let kept = temp.path().join("00000020.traces");
        assert!(kept.exists());
        archive.clean(NOW + Duration::from_secs(101)).unwrap();
        assert!(archive.inner.lock().newest.is_none());
        let written_at = fs::metadata(&kept).unwrap().modified().unwrap();
        archive.clean(written_at + Duration::from_secs(799)).unwrap();
        assert!(kept.exists());
        archive.clean(written_at + Duration::from_secs(801)).unwrap();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}
