//! Recordings: where a server keeps them, and the completion of those that the last process left.

use std::{env, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use uuid::Uuid;

use crate::{
    base::ids::RecordingId,
    config::Config,
    engine::{
        recordings::{RecordingPorts, Recordings},
        registry::Registry,
    },
    recording::{
        audio_url,
        memory::MemoryRecordings,
        mp3::Mp3Encoder,
        port::RecordingListener,
        writer::{RecordingWriter, WriterSettings},
    },
    store::folder::DataFolder,
};

/// Folder of the recordings in the data folder.
const RECORDINGS_FOLDER: &str = "recordings";
/// Recordings at a time (contract of recording, section 8).
const RECORDINGS_MAX: usize = 1_000;

/// Keeps recordings in the data folder from now on.
pub(super) fn start(
    config: &Config,
    folder: &DataFolder,
    http: SocketAddr,
    registry: &Arc<Registry>,
) -> Result<()> {
    let path = folder.path(RECORDINGS_FOLDER);
    let mp3 = env::var_os("PATH").and_then(|it| Mp3Encoder::find(&it));
    let encoder = mp3.as_ref().map(|it| it.program().display().to_string());
    tracing::info!(encoder, "recordings can be WAV{}", if mp3.is_some() { " and MP3" } else { "" });
    let files = RecordingWriter::start(WriterSettings { mp3, ..WriterSettings::new(path) });
    let files = Arc::new(files.context("the thread of the recordings")?);
    let scheme = if config.https_files()?.is_some() { "https" } else { "http" };
    let base = format!("{scheme}://{http}");
    let recordings = registry.keep_recordings(RecordingPorts {
        store: Arc::new(MemoryRecordings::default()),
        files: files.clone(),
        audio_url: Box::new(move |dialect, recording| audio_url(&base, dialect, recording)),
        new_id: Box::new(|| RecordingId(Uuid::new_v4())),
        recordings_max: RECORDINGS_MAX,
    });
    let listener: Arc<dyn RecordingListener> = recordings.clone();
    files.connect(Arc::downgrade(&listener));
    drop(tokio::spawn(Recordings::run(Arc::downgrade(recordings))));
    let recordings = recordings.clone();
    drop(tokio::task::spawn_blocking(move || match recordings.repair() {
        0 => (),
        count => tracing::info!(count, "recordings of the last process are complete"),
    }));
    Ok(())
}
