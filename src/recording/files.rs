//! Files of recordings in a data folder, and what is done with them as a whole.
//!
//! [`Recording::path`] says where a file is below [`FOLDER`].

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

use super::{Recording, RecordingEnd, format_name};
use crate::{
    audio::wav::{self, HEADER_BYTES},
    flow::RecordingFormat,
    media::{RECORDING_RATE, RecordingChannels},
};

/// The folder of the recordings, in the data folder.
pub const FOLDER: &str = "recordings";

/// The error of a file that is not what its row says.
#[derive(Debug, thiserror::Error)]
pub enum AudioFileError {
    /// The file is not there, or cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// The file has another size.
    #[error("it has {found} bytes, and its row says {expected}")]
    Size {
        /// Bytes of the file.
        found: u64,
        /// Bytes in the row.
        expected: u64,
    },
    /// The file begins in another way than its format does.
    #[error("{0}")]
    Header(&'static str),
}

/// Deletes the file of a complete recording, in whatever format. One that is gone already is no error.
///
/// # Errors
///
/// The file is there and cannot be deleted.
pub fn delete(root: &Path, recording: &Recording) -> io::Result<()> {
    for format in [RecordingFormat::Wav, RecordingFormat::Mp3] {
        let path = root.join(recording.path()).with_extension(format_name(format));
        match fs::remove_file(&path) {
            // Otherwise it might be there again after a power cut.
            Ok(()) => path.parent().map_or(Ok(()), |it| File::open(it)?.sync_all())?,
            Err(error) if error.kind() == ErrorKind::NotFound => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Checks that the file of a complete recording has the size of its row and the header of its format.
///
/// # Errors
///
/// [`AudioFileError`], which says what differs.
pub fn check(root: &Path, recording: &Recording, end: &RecordingEnd) -> Result<(), AudioFileError> {
    let mut file = File::open(root.join(recording.path()))?;
    let found = file.metadata()?.len();
    if found != end.bytes {
        return Err(AudioFileError::Size { found, expected: end.bytes });
    }
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(HEADER_BYTES as u64).read_to_end(&mut head)?;
    let is_good = match end.format {
        RecordingFormat::Wav => head[..] == wav_header(recording.channels, found),
        RecordingFormat::Mp3 => is_mp3(&head),
    };
    match (is_good, end.format) {
        (true, _) => Ok(()),
        (false, RecordingFormat::Wav) => {
            Err(AudioFileError::Header("its header is not that of a WAV file of its size"))
        }
        (false, RecordingFormat::Mp3) => {
            Err(AudioFileError::Header("it does not begin as an MP3 file"))
        }
    }
}

/// The header of a WAV file of `bytes` bytes.
fn wav_header(channels: RecordingChannels, bytes: u64) -> [u8; HEADER_BYTES] {
    let length = u32::try_from(bytes.saturating_sub(HEADER_BYTES as u64)).unwrap_or(u32::MAX);
    wav::header(RECORDING_RATE, channels.count(), length)
}

/// An ID3 tag, or the eleven set bits that each frame begins with.
fn is_mp3(head: &[u8]) -> bool {
    match head {
        [b'I', b'D', b'3', ..] => true,
        [0xff, second, ..] => 0xe0 <= *second,
        _ => false,
    }
}

/// Every file below the folder of the recordings, sorted. A folder that is not there has none.
///
/// # Errors
///
/// A folder cannot be read.
pub fn list(root: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut waiting) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = waiting.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => waiting.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use tempfile::tempdir;
    use uuid::Uuid;

    use super::*;
    use crate::{
        base::ids::{CallId, RecordingId},
        recording::RecordingEndReason,
    };

    fn recording(channels: RecordingChannels, end: Option<RecordingEnd>) -> Recording {
        Recording {
            id: RecordingId::of(0xabc),
            account: "MA1".parse().unwrap(),
            call: CallId::of(1),
            from: "".into(),
            to: "".into(),
            conference: None,
            api_id: Uuid::from_u128(1),
            channels,
            format: RecordingFormat::Wav,
            started_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_085_315),
            callback: None,
            audience: None,
            end,
        }
    }

    fn end(bytes: u64, format: RecordingFormat) -> RecordingEnd {
        RecordingEnd {
            at: SystemTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            bytes,
            lost_samples: 0,
            format,
            reason: RecordingEndReason::HungUp,
        }
    }

    #[test]
    fn a_file_is_in_the_folder_of_its_day() {
        let of = |end| recording(RecordingChannels::Mono, end).path();
        let day = "2026/12/01/00000000-0000-0000-0000-000000000abc";
        assert_eq!(of(None), format!("{day}.wav"));
        assert_eq!(of(Some(end(0, RecordingFormat::Mp3))), format!("{day}.mp3"));
    }

    #[test]
    fn a_file_that_is_not_what_its_row_says_is_found_out() {
        let temp = tempdir().unwrap();
        let root = temp.path();
        let of = |format| recording(RecordingChannels::Stereo, Some(end(52, format)));
        let check = |format, bytes: &[u8], expected: &str| {
            let path = root.join(of(format).path());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
            let found = check(root, &of(format), &end(52, format));
            let found = found.map_or_else(|error| error.to_string(), |()| String::new());
            assert_eq!(found, expected);
        };
        let good = [&wav_header(RecordingChannels::Stereo, 52)[..], &[0; 8]].concat();
        let wrong = "its header is not that of a WAV file of its size";
        check(RecordingFormat::Wav, &good, "");
        check(RecordingFormat::Wav, &good[..51], "it has 51 bytes, and its row says 52");
        let mono = [&wav_header(RecordingChannels::Mono, 52)[..], &[0; 8]].concat();
        check(RecordingFormat::Wav, &mono, wrong);
        // The sizes of a file that was never closed.
        let open = [&wav_header(RecordingChannels::Stereo, 44)[..], &[0; 8]].concat();
        check(RecordingFormat::Wav, &open, wrong);
        check(RecordingFormat::Mp3, &good, "it does not begin as an MP3 file");
        let mp3 = [&[0xff, 0xfb][..], &[0; 50]].concat();
        check(RecordingFormat::Mp3, &mp3, "");
        let tagged = [b"ID3", &[0; 49][..]].concat();
        check(RecordingFormat::Mp3, &tagged, "");

        assert_eq!(list(root).unwrap().len(), 2);
        let it = of(RecordingFormat::Wav);
        delete(root, &it).unwrap();
        delete(root, &it).unwrap();
        assert_eq!(list(root).unwrap(), [""; 0].map(PathBuf::from));
        assert_eq!(list(&root.join("nowhere")).unwrap().len(), 0);
        let gone = super::check(root, &it, &end(52, RecordingFormat::Wav));
        assert!(matches!(gone, Err(AudioFileError::Unreadable(_))), "{gone:?}");
    }
}
