//! Encoders: the threads that turn complete recordings into MP3.

use std::{
    fs, io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
};

use parking_lot::Mutex;

use super::{RecordingEnd, mp3::Mp3Encoder, writer_shared::WriterShared};
use crate::{base::ids::RecordingId, flow::RecordingFormat, media::RecordingChannels};

/// Files that are encoded at a time.
const MP3_JOBS: usize = 2;

/// A complete WAV file to be encoded.
#[derive(Debug)]
pub(super) struct Mp3Job {
    pub(super) id: RecordingId,
    pub(super) wav: PathBuf,
    pub(super) channels: RecordingChannels,
    pub(super) end: RecordingEnd,
}

/// Starts the threads. They end by themselves, once the queue is gone and their last file is done.
pub(super) fn start(
    encoder: &Mp3Encoder,
    shared: &Arc<WriterShared>,
) -> io::Result<Sender<Mp3Job>> {
    let (queue, jobs) = mpsc::channel::<Mp3Job>();
    let jobs = Arc::new(Mutex::new(jobs));
    for number in 0..MP3_JOBS {
        let (encoder, shared, jobs) = (encoder.clone(), Arc::clone(shared), Arc::clone(&jobs));
        let run = move || {
            loop {
                // The lock is held while one waits for a job, and the others wait for the lock.
                let job = jobs.lock().recv();
                let Ok(job) = job else { return };
                encode(&encoder, &shared, job);
            }
        };
        thread::Builder::new().name(format!("mp3-{number}")).spawn(run)?;
    }
    Ok(queue)
}

/// Encodes a file, and tells of its end. If that fails, the WAV file stays.
fn encode(encoder: &Mp3Encoder, shared: &WriterShared, job: Mp3Job) {
    let Mp3Job { id, wav, channels, end } = job;
    let mp3 = wav.with_extension("mp3");
    match encoder.encode((&wav, &mp3), channels, end.duration) {
        Ok(bytes) => {
            shared.report(id, &RecordingEnd { bytes, format: RecordingFormat::Mp3, ..end });
            // Last: a start that finds it can still complete the recording.
            drop(fs::remove_file(&wav));
        }
        Err(error) => {
            tracing::warn!(recording = %id, "no MP3, so the file stays WAV: {error}");
            shared.report(id, &end);
        }
    }
}
