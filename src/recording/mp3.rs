//! MP3 encoder: an external program that turns a complete WAV file into MP3.
//!
//! None is linked: there is no encoder with a licence that we may link (LAME and its ports are LGPL).

use std::{
    env,
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::wav_file::FILE_MODE;
use crate::media::RecordingChannels;

/// A program that encodes MP3: `lame` or `ffmpeg`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mp3Encoder {
    program: PathBuf,
}

/// The programs that are looked for, the better one first.
const PROGRAMS: [&str; 2] = ["lame", "ffmpeg"];

/// Even a short file may take so long on a busy machine.
const WAIT_MIN: Duration = Duration::from_secs(60);

/// A recording takes a hundredth of its length, so this part of it is far more.
const WAIT_PART: u32 = 10;

const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Mp3Encoder {
    /// The first program in the folders of a list such as `PATH`.
    pub fn find(folders: &OsStr) -> Option<Self> {
        let in_folder =
            |name: &str| env::split_paths(folders).map(|it| it.join(name)).find(|it| it.is_file());
        PROGRAMS.iter().find_map(|it| in_folder(it)).map(Self::at)
    }

    /// The program at a path. One that is not called `ffmpeg` takes the arguments of `lame`.
    pub fn at(program: PathBuf) -> Self {
        Self { program }
    }

    /// The path of the program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Encodes a WAV file of this length into an MP3 file, which is durable then. Returns its size.
    /// Blocks.
    pub(super) fn encode(
        &self,
        (wav, mp3): (&Path, &Path),
        channels: RecordingChannels,
        length: Duration,
    ) -> io::Result<u64> {
        let part = mp3.with_extension("mp3.part");
        // The program keeps the mode of a file that is there. One of an earlier attempt is of no use.
        drop(fs::remove_file(&part));
        drop(OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&part)?);
        let encoded = self.run((wav, &part), channels, WAIT_MIN.max(length / WAIT_PART));
        let finished = encoded.and_then(|()| finish(&part, mp3));
        if finished.is_err() {
            drop(fs::remove_file(&part));
        }
        finished
    }

    fn run(
        &self,
        (wav, part): (&Path, &Path),
        channels: RecordingChannels,
        wait_max: Duration,
    ) -> io::Result<()> {
        // Calls come first.
        let mut command = Command::new("nice");
        command.args(["-n", "10"]).arg(&self.program);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let is_stereo = channels == RecordingChannels::Stereo;
        if self.program.file_stem() == Some(OsStr::new("ffmpeg")) {
            let rate = if is_stereo { "64k" } else { "32k" };
            command.args(["-nostdin", "-loglevel", "error", "-y", "-i"]).arg(wav);
            command.args(["-codec:a", "libmp3lame", "-b:a", rate, "-f", "mp3"]).arg(part);
        } else {
            let [rate, mode] = if is_stereo { ["64", "s"] } else { ["32", "m"] };
            command.args(["--silent", "-b", rate, "-m", mode]).arg(wav).arg(part);
        }
        let (mut child, until) = (command.spawn()?, now() + wait_max);
        loop {
            if let Some(status) = child.try_wait()? {
                let failed =
                    || io::Error::other(format!("{} ended with {status}", self.program.display()));
                return if status.success() { Ok(()) } else { Err(failed()) };
            }
            if until <= now() {
                drop(child.kill());
                drop(child.wait());
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// Makes the file durable, and gives it its final name.
fn finish(part: &Path, mp3: &Path) -> io::Result<u64> {
    let file = File::open(part)?;
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Err(io::Error::other("the MP3 file is empty"));
    }
    file.sync_all()?;
    fs::rename(part, mp3)?;
    Ok(bytes)
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own has no tokio")]
fn now() -> Instant {
    Instant::now()
}
