//! Segments: the files of the log, and the index file beside each that is full.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FallocateFlags, fallocate, fstatvfs},
    io::Errno,
};

use super::{
    frame::{self, FRAME_HEAD, Header, Line, VERSION},
    index::SegmentIndex,
};

/// A file of the log.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Counts from 1.
    pub(super) number: u32,
    /// Open for reading and writing.
    pub(super) file: Arc<File>,
    /// The end of its last whole frame.
    pub(super) length: u32,
    /// It is full beyond this, in bytes.
    pub(super) capacity: u32,
    /// The time of its latest event, in microseconds since 1970; 0: it has none.
    pub(super) newest: u64,
    /// The time of its earliest event, if it is the newest segment; 0: it has none.
    pub(super) oldest: u64,
    /// When this process began it, in microseconds since 1970; 0: another process has, or the first
    /// look at old segments was later.
    pub(super) begun: u64,
    /// Whether this process has written nothing to it but rows, and no other one anything: then it is
    /// of no use once they are elsewhere. The end of a key is, while an older segment has the key.
    pub(super) has_only_rows: bool,
}

/// The path of a segment.
pub(super) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:010}.log"))
}

fn index_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:010}.index"))
}

fn spare_path(folder: &Path) -> PathBuf {
    folder.join("next.draft")
}

/// The file of the next segment.
#[derive(Debug)]
pub(super) struct Spare {
    file: File,
    capacity: u32,
}

/// The space of a segment on a disk that is nearly full: some hundred calls can end in it.
const SMALL_BYTES: u32 = 1 << 20;

impl Spare {
    /// Makes the file, with its space reserved if the file system can do that.
    pub(super) fn reserve(folder: &Path, bytes: u32) -> io::Result<Self> {
        let path = spare_path(folder);
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        match reserve(&file, bytes) {
            Ok(capacity) => Ok(Self { file, capacity }),
            Err(error) => {
                fs::remove_file(path)?;
                Err(error)
            }
        }
    }
}

/// The part of the free space that a segment takes at most: others need the disk, too.
const SHARE: u64 = 8;

/// Reserves space for a file: this much, or less on a small disk. Returns how much.
fn reserve(file: &File, bytes: u32) -> io::Result<u32> {
    let space = fstatvfs(file).map_or(u64::MAX, |it| it.f_bavail.saturating_mul(it.f_frsize));
    let share = u32::try_from(space / SHARE).unwrap_or(u32::MAX);
    let mut capacity = bytes.min(share.max(SMALL_BYTES));
    loop {
        match fallocate(file, FallocateFlags::KEEP_SIZE, 0, capacity.into()) {
            Ok(()) => return Ok(capacity),
            Err(Errno::NOSPC) if SMALL_BYTES < capacity => {
                capacity = (capacity / 4).max(SMALL_BYTES);
            }
            Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO | Errno::ROFS)) => {
                return Err(error.into());
            }
            // The file system cannot do it: a full disk is seen when a frame is written.
            Err(_) => return Ok(capacity),
        }
    }
}

/// The numbers of the segments in a folder, in order.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_log = path.extension().is_some_and(|it| it == "log");
        let stem = path.file_stem().and_then(|it| it.to_str());
        numbers.extend(stem.filter(|_| is_log).and_then(|it| it.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

impl Segment {
    /// Begins a segment in a reserved file, or in a new one. Its name survives a loss of power once
    /// the folder is synced.
    pub(super) fn create(
        folder: &Path,
        number: u32,
        spare: Option<Spare>,
        bytes: u32,
    ) -> io::Result<Self> {
        let path = path(folder, number);
        if let Some(Spare { file, capacity }) = spare {
            fs::rename(spare_path(folder), path)?;
            return Ok(Self {
                number,
                file: Arc::new(file),
                length: 0,
                capacity,
                newest: 0,
                oldest: 0,
                begun: 0,
                has_only_rows: true,
            });
        }
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let file = Arc::new(file);
        let (length, newest, oldest, begun, has_only_rows) = (0, 0, 0, 0, true);
        let mut segment =
            Self { number, file, length, capacity: bytes, newest, oldest, begun, has_only_rows };
        segment.reserve(bytes);
        Ok(segment)
    }

    /// Reserves the space of the newest segment. If there is none, its writes may fail.
    pub(super) fn reserve(&mut self, bytes: u32) {
        self.capacity = reserve(&self.file, bytes).unwrap_or(bytes);
    }

    /// Whether a frame of this length is for the next segment.
    pub(super) fn is_full(&self, frame: u32) -> bool {
        self.capacity < self.length.saturating_add(frame)
    }

    /// Opens a file, and reads its index: from the index file if that is whole, else from the frames.
    pub(super) fn open(folder: &Path, number: u32) -> io::Result<(Self, SegmentIndex)> {
        let file = OpenOptions::new().read(true).write(true).open(path(folder, number))?;
        Self::with(file, folder, number)
    }

    /// As [`Self::open`], for reading only.
    pub(super) fn read_only(folder: &Path, number: u32) -> io::Result<(Self, SegmentIndex)> {
        Self::with(File::open(path(folder, number))?, folder, number)
    }

    fn with(file: File, folder: &Path, number: u32) -> io::Result<(Self, SegmentIndex)> {
        let path = path(folder, number);
        let size = file.metadata()?.len();
        let index = match read_index(folder, number).filter(|it| u64::from(it.length) <= size) {
            Some(index) => index,
            None => SegmentIndex::of_frames(&fs::read(&path)?),
        };
        let (length, newest) = (index.length, index.newest);
        let file = Arc::new(file);
        let (capacity, oldest, begun, has_only_rows) = (u32::MAX, 0, 0, false);
        let segment = Self { number, file, length, capacity, newest, oldest, begun, has_only_rows };
        Ok((segment, index))
    }

    /// The first line. None: it is damaged, or of another version.
    pub(super) fn header(&self) -> Option<Header> {
        let mut bytes = [0; 64];
        let count = self.file.read_at(&mut bytes, 0).ok()?;
        let (lines, _) = frame::decode(bytes.get(..count)?)?;
        match lines.first() {
            Some(Line::Header(header)) if header.version == VERSION => Some(*header),
            _ => None,
        }
    }

    /// Reads bytes from an offset on, at most to the end of the last whole frame.
    pub(super) fn read(&self, offset: u32, bytes_max: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(bytes_max)];
        self.file.read_exact_at(&mut bytes, offset.into())?;
        Ok(bytes)
    }

    /// Reads the frame at an offset.
    pub(super) fn read_frame(&self, offset: u32) -> io::Result<Vec<u8>> {
        let head = self.read(offset, FRAME_HEAD)?;
        let damaged = || {
            let text = format!("segment {} has no frame at byte {offset}", self.number);
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        self.read(offset, frame::length(&head).ok_or_else(damaged)?)
    }

    /// Writes the index file of a full segment, and gives back the space that was reserved for more.
    pub(super) fn write_index(&self, folder: &Path) -> io::Result<()> {
        self.file.set_len(self.length.into())?;
        let bytes = self.read(0, usize::MAX)?;
        let index = SegmentIndex::of_frames(&bytes);
        let body = postcard::to_allocvec(&index).map_err(io::Error::other)?;
        let path = index_path(folder, self.number);
        let draft = path.with_extension("draft");
        let written = write_file(&draft, &body).and_then(|()| fs::rename(&draft, path));
        if written.is_err() {
            // The disk may be full.
            fs::remove_file(draft).unwrap_or_default();
        }
        written
    }

    /// Whether it has an index file.
    pub(super) fn has_index(&self, folder: &Path) -> bool {
        index_path(folder, self.number).exists()
    }

    /// Removes the file and its index file.
    pub(super) fn remove(&self, folder: &Path) -> io::Result<()> {
        self.remove_index(folder)?;
        fs::remove_file(path(folder, self.number))
    }

    /// Removes the index file, if there is one.
    pub(super) fn remove_index(&self, folder: &Path) -> io::Result<()> {
        match fs::remove_file(index_path(folder, self.number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn write_file(path: &Path, body: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new();
    let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&crc32fast::hash(body).to_le_bytes())?;
    file.write_all(body)?;
    file.sync_all()
}

/// The index file of a segment. None: it is missing or damaged, and the frames must be read.
fn read_index(folder: &Path, number: u32) -> Option<SegmentIndex> {
    let mut bytes = Vec::new();
    File::open(index_path(folder, number)).ok()?.read_to_end(&mut bytes).ok()?;
    let (sum, body) = bytes.split_at_checked(4)?;
    let is_whole = sum == crc32fast::hash(body).to_le_bytes();
    postcard::from_bytes(body).ok().filter(|_| is_whole)
}
