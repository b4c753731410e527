//! Sound files: finds and reads sounds in a flows folder.
//!
//! No path is built from a name in a flow: the folder is listed, and names are compared. So a name
//! cannot escape from the folder.

use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::audio::clip::SoundError;

/// Largest sound file: limit of the vendors (contract 3.5), and 10 minutes at 8 kHz.
pub const FILE_BYTES_MAX: u64 = 10_000_000;

/// Entries of a folder that are searched. More would take over a second.
const ENTRIES_MAX: usize = 10_000;

/// A sound file with its stamp.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct FoundSoundFile {
    path: PathBuf,
    stamp: SoundFileStamp,
}

/// Metadata by which a change is detected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct SoundFileStamp {
    inode: u64,
    length: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl From<&Metadata> for SoundFileStamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            length: metadata.len(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        }
    }
}

impl FoundSoundFile {
    /// Whether the file is unchanged.
    pub(super) fn is_current(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| SoundFileStamp::from(&metadata) == self.stamp)
    }
}

/// Finds a file by its name and reads it.
///
/// # Errors
///
/// The file does not exist, is too large, or cannot be read (temporary).
pub(super) fn read(folder: &Path, name: &str) -> Result<(FoundSoundFile, Vec<u8>), SoundError> {
    let unreadable = |error: io::Error| {
        if error.kind() == ErrorKind::NotFound {
            return SoundError::permanent(format!("flow:{name}: there is no such file"));
        }
        SoundError::temporary(format!("flow:{name}: the file cannot be read: {error}"))
    };
    if !is_sound(name) {
        let message = format!("flow:{name}: a sound file ends in .wav or .mp3");
        return Err(SoundError::permanent(message));
    }
    let path = find(folder, name).map_err(unreadable)?;
    let file = File::open(&path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!(
            "flow:{name}: the file has over {FILE_BYTES_MAX} bytes: shorten it, or convert it to MP3"
        );
        return Err(SoundError::permanent(message));
    }
    Ok((FoundSoundFile { path, stamp: SoundFileStamp::from(&metadata) }, bytes))
}

/// Whether the extension is that of a sound.
fn is_sound(name: &str) -> bool {
    let (_, ending) = name.rsplit_once('.').unwrap_or_default();
    ["wav", "mp3"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// Finds the file with exactly this name.
fn find(folder: &Path, name: &str) -> io::Result<PathBuf> {
    for entry in fs::read_dir(folder)?.take(ENTRIES_MAX) {
        let entry = entry?;
        if entry.file_name() == name {
            let path = entry.path();
            // Only regular files: a pipe would never end.
            let is_file = fs::metadata(&path)?.is_file();
            return if is_file { Ok(path) } else { Err(ErrorKind::NotFound.into()) };
        }
    }
    Err(ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty folder for one test.
    fn folder(name: &str) -> PathBuf {
        let folder = Path::new(env!("OUT_DIR")).join(name);
        let _none = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn files_are_found_by_their_very_names() {
        let folder = folder("found");
        fs::write(folder.join("a.wav"), b"a").unwrap();
        fs::write(folder.join("B.MP3"), b"b").unwrap();
        fs::write(folder.join("ü ö.mp3"), b"c").unwrap();
        fs::write(folder.join("flow.xml"), b"<Response/>").unwrap();
        fs::write(folder.join("../secret.wav"), b"secret").unwrap();
        fs::create_dir(folder.join("dir.wav")).unwrap();
        let check = |name: &str, expected: Result<&[u8], &str>| {
            let read = read(&folder, name).map(|(_, bytes)| bytes);
            let expected = expected.map_err(|what| format!("flow:{name}: {what}"));
            assert_eq!(read.as_deref().map_err(ToString::to_string), expected);
        };
        check("a.wav", Ok(b"a"));
        check("B.MP3", Ok(b"b"));
        check("ü ö.mp3", Ok(b"c"));
        let none = "there is no such file";
        let absolute = folder.join("a.wav");
        for name in [
            "A.wav",
            "a.mp3",
            "dir.wav",
            "../secret.wav",
            "./a.wav",
            "dir.wav/../a.wav",
            "",
            "a.wav\0.wav",
            ".wav",
            "%61.wav",
            absolute.to_str().unwrap(),
        ] {
            if is_sound(name) {
                check(name, Err(none));
            }
        }
        check("flow.xml", Err("a sound file ends in .wav or .mp3"));
        check("", Err("a sound file ends in .wav or .mp3"));
        check("wav", Err("a sound file ends in .wav or .mp3"));
    }

    #[test]
    fn files_over_the_limit_are_refused() {
        let folder = folder("large");
        let file = File::create(folder.join("large.wav")).unwrap();
        file.set_len(FILE_BYTES_MAX).unwrap();
        assert_eq!(read(&folder, "large.wav").unwrap().1.len() as u64, FILE_BYTES_MAX);
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        let error = read(&folder, "large.wav").unwrap_err().to_string();
        assert!(error.starts_with("flow:large.wav: the file has over 10000000 bytes"), "{error}");
    }

    #[test]
    fn a_changed_file_is_known() {
        let folder = folder("changed");
        let path = folder.join("a.wav");
        fs::write(&path, b"one").unwrap();
        let found = || read(&folder, "a.wav").unwrap().0;
        let check = |found: &FoundSoundFile, expected| assert_eq!(found.is_current(), expected);
        let first = found();
        check(&first, true);
        fs::write(&path, b"three").unwrap();
        check(&first, false);
        let second = found();
        fs::write(folder.join("b.wav"), b"other").unwrap();
        check(&second, true);
        fs::rename(folder.join("b.wav"), &path).unwrap();
        check(&second, false);
        let third = found();
        fs::remove_file(&path).unwrap();
        check(&third, false);
    }
}
