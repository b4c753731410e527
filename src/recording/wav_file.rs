//! WAV file of a recording: written while it runs, and repaired after a crash.
//!
//! While it runs its name ends in `.part`, and its header says after each write how much there is. So
//! a killed process loses what was not handed over yet, and the file plays.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{
    audio::wav::{self, HEADER_BYTES},
    media::{RECORDING_RATE, RecordingChannels},
};

/// As all that is in the data folder: for its owner alone.
pub(super) const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct WavFile {
    file: File,
    path: PathBuf,
    channels: RecordingChannels,
    /// Bytes of samples.
    length: u64,
}

impl WavFile {
    /// Begins the file of this name, with `.part` after it.
    pub(super) fn create(path: &Path, channels: RecordingChannels) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        }
        let options = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).clone();
        let file = options.open(part(path))?;
        let it = Self { file, path: path.to_owned(), channels, length: 0 };
        it.write_header()?;
        Ok(it)
    }

    /// Its final path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds silence, then samples. After an error the file is as it was before.
    pub(super) fn append(&mut self, silence: u64, samples: &[i16]) -> io::Result<()> {
        let (before, silence) = (self.length, silence * self.frame_bytes());
        let appended = self.try_append(silence, samples).and_then(|()| self.write_header());
        if appended.is_err() {
            self.length = before;
            // What is left of it is behind the end that the header states.
            drop(self.file.set_len(HEADER_BYTES as u64 + before));
            drop(self.write_header());
        }
        appended
    }

    fn try_append(&mut self, silence: u64, samples: &[i16]) -> io::Result<()> {
        if 0 < silence {
            self.length += silence;
            self.file.set_len(HEADER_BYTES as u64 + self.length)?;
        }
        let bytes: Vec<u8> = samples.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.file.write_all_at(&bytes, HEADER_BYTES as u64 + self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Makes the file durable, and gives it its final name. Returns its size.
    pub(super) fn close(self) -> io::Result<u64> {
        self.file.sync_all()?;
        fs::rename(part(&self.path), &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(HEADER_BYTES as u64 + self.length)
    }

    fn write_header(&self) -> io::Result<()> {
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        let header = wav::header(RECORDING_RATE, self.channels.count(), length);
        self.file.write_all_at(&header, 0)
    }

    fn frame_bytes(&self) -> u64 {
        frame_bytes(self.channels)
    }
}

/// The samples per channel and the size of a file that an earlier process did not close: its `.part`
/// is repaired, by its length, and gets its final name. None if there is no audio.
pub(super) fn repair(path: &Path, channels: RecordingChannels) -> io::Result<Option<(u64, u64)>> {
    let unfinished = part(path);
    let file = match OpenOptions::new().read(true).write(true).open(&unfinished) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return finished(path, channels),
        Err(error) => return Err(error),
    };
    let Some(bytes) = file.metadata()?.len().checked_sub(HEADER_BYTES as u64) else {
        fs::remove_file(&unfinished)?;
        return Ok(None);
    };
    let frames = bytes / frame_bytes(channels);
    let length = frames * frame_bytes(channels);
    file.set_len(HEADER_BYTES as u64 + length)?;
    let it = WavFile { file, path: path.to_owned(), channels, length };
    it.write_header()?;
    Ok(Some((frames, it.close()?)))
}

/// A file that was closed, though its row does not say so.
fn finished(path: &Path, channels: RecordingChannels) -> io::Result<Option<(u64, u64)>> {
    let mut header = [0; HEADER_BYTES];
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    file.read_exact(&mut header)?;
    let bytes = file.metadata()?.len();
    Ok(Some(((bytes - HEADER_BYTES as u64) / frame_bytes(channels), bytes)))
}

fn frame_bytes(channels: RecordingChannels) -> u64 {
    2 * u64::from(channels.count())
}

fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}
