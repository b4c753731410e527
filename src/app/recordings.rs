//! Recording: starts the writer of a server's files, and the completion of those that the last process left.

use std::{env, sync::Arc};

use anyhow::{Context, Result, ensure};
use uuid::Uuid;

use crate::{
    base::ids::RecordingId,
    cli::recordings::Mp3Setting,
    config::RecordingsConfig,
    engine::{
        inbound::wall_clock,
        recordings::{RecordingPorts, Recordings, tokio_clock},
        registry::Registry,
    },
    recording::{
        RecordingStore,
        archive::RecordingArchive,
        mp3::Mp3Encoder,
        port::RecordingListener,
        writer::{RecordingWriter, WriterSettings},
    },
};

/// Keeps in an archive what the calls of a registry record from now on.
pub(super) fn start(
    config: &RecordingsConfig,
    archive: Arc<RecordingArchive>,
    registry: &Arc<Registry>,
) -> Result<()> {
    let files = RecordingWriter::start(WriterSettings {
        folder: archive.root().to_owned(),
        free_min_mb: config.free_min_mb.get().into(),
        free_stop_mb: config.free_stop_mb.get().into(),
        mp3: mp3_encoder(&config.mp3)?,
    });
    let files = Arc::new(files.context("the thread of the recordings")?);
    // Read before the first recording of this process begins: nobody repairs a file that is written.
    let left = archive.store().running().unwrap_or_else(|error| {
        tracing::error!("recordings of the last process stay as they are: {error}");
        Vec::new()
    });
    let recordings = registry.keep_recordings(RecordingPorts {
        store: archive.store().clone(),
        files: files.clone(),
        audio_url: Box::new(move |dialect, it| archive.url(wall_clock(), dialect, it)),
        new_id: Box::new(|| RecordingId(Uuid::new_v4())),
        recordings_max: config.max.get() as usize,
        clock: Box::new(tokio_clock),
    });
    let listener: Arc<dyn RecordingListener> = recordings.clone();
    files.connect(Arc::downgrade(&listener));
    drop(tokio::spawn(Recordings::run(Arc::downgrade(recordings))));
    let recordings = recordings.clone();
    if !left.is_empty() {
        tracing::info!(count = left.len(), "recordings of the last process are completed");
        drop(tokio::task::spawn_blocking(move || recordings.repair(left)));
    }
    Ok(())
}

/// The program that makes MP3 files; None: all files are WAV.
fn mp3_encoder(setting: &Mp3Setting) -> Result<Option<Mp3Encoder>> {
    let encoder = match setting {
        Mp3Setting::Auto => env::var_os("PATH").and_then(|it| Mp3Encoder::find(&it)),
        Mp3Setting::Off => None,
        Mp3Setting::Path(path) => {
            ensure!(path.is_file(), "recordings.mp3: there is no program {}", path.display());
            Some(Mp3Encoder::at(path.clone()))
        }
    };
    let program = encoder.as_ref().map(|it| it.program().display().to_string());
    tracing::info!(
        program,
        "recordings can be WAV{}",
        if encoder.is_some() { " and MP3" } else { "" }
    );
    Ok(encoder)
}
