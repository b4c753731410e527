//! Command `conflow recordings`: lists, verifies and deletes the recordings of a data folder.

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::store::{self, STORE_FILE};
use crate::{
    base::utc,
    cli::{
        events::OutputFormat,
        recordings::{ListRecordings, PruneRecordings, RecordingsCommand},
    },
    engine::inbound::wall_clock,
    recording::{
        Recording, RecordingStore, files, format_name,
        retention::KeepRule,
        store::{RecordingUsage, StoredRecordings, read},
    },
    store::{folder::DataFolder, inspect::Inspection, rows::Table},
};

/// The pause before a second look at what seems wrong: a recording begins or ends in less.
const SECOND_LOOK: Duration = Duration::from_secs(2);
/// Rows that are deleted at once. Other writes go between.
const DELETED_AT_ONCE: usize = 500;

/// Runs `conflow recordings`; an engine may be running on the folder.
///
/// # Errors
///
/// The store or the files cannot be used, or `verify` found something wrong.
pub fn recordings(command: &RecordingsCommand, out: &mut impl Write) -> Result<()> {
    let data = command.data();
    if !data.is_dir() {
        bail!("{}: there is no such folder; --data names the folder of an engine", data.display());
    }
    match command {
        RecordingsCommand::List(wanted) => list(wanted, out),
        RecordingsCommand::Verify(_) => verify(data, out),
        RecordingsCommand::Prune(wanted) => prune(wanted, out),
    }
}

/// Every recording of a data folder, in the order of accounts and times.
fn all(data: &Path) -> Result<Vec<Recording>> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    let has_table = Inspection::open(&data.join(STORE_FILE))?.for_each(
        Table::Recordings,
        |row| match read(&row) {
            Ok(recording) => found.push(recording),
            Err(error) => errors.push(error.to_string()),
        },
    )?;
    match (has_table, errors.first()) {
        (true, Some(error)) => bail!("{error}"),
        (_, None) => Ok(found),
        (false, Some(_)) => unreachable!("there are no rows"),
    }
}

fn list(wanted: &ListRecordings, out: &mut impl Write) -> Result<()> {
    let root = wanted.data.join(files::FOLDER);
    let is_wanted = |it: &Recording| wanted.account.as_ref().is_none_or(|id| *id == it.account);
    for recording in all(&wanted.data)?.into_iter().filter(is_wanted) {
        let path = root.join(recording.path());
        let Recording { id, account, call, conference, started_at, end, .. } = &recording;
        let (began, name) = (utc::seconds(*started_at), format_name(recording.file_format()));
        let seconds = end.as_ref().map(|it| it.duration.as_secs_f64());
        let bytes = end.as_ref().map(|it| it.bytes);
        let state = end.as_ref().map_or("running", |it| it.reason.text());
        match wanted.format {
            OutputFormat::Text => {
                let size = bytes.map_or_else(|| "-".to_owned(), |it| format!("{it} bytes"));
                let length = seconds.map_or_else(|| "-".to_owned(), |it| format!("{it:.2} s"));
                writeln!(out, "{id} {account} {began} {length} {size} {name} {state}")?;
            }
            OutputFormat::Json => {
                let line = json!({
                    "recording_id": id, "account": account, "call_uuid": call,
                    "conference_name": conference, "add_time": began, "seconds": seconds,
                    "bytes": bytes, "lost_samples": end.as_ref().map(|it| it.lost_samples),
                    "format": name, "state": state, "file": path.display().to_string(),
                });
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}

fn verify(data: &Path, out: &mut impl Write) -> Result<()> {
    let (mut found, counts) = errors(data)?;
    if !found.is_empty() {
        // A row and its file do not change in one step.
        thread::sleep(SECOND_LOOK);
        let (again, _) = errors(data)?;
        found.retain(|it| again.contains(it));
    }
    for error in &found {
        writeln!(out, "error: {error}")?;
    }
    let Counts { complete, running, bytes } = counts;
    writeln!(out, "{complete} recordings of {bytes} bytes, and {running} that run")?;
    match found.len() {
        0 => Ok(writeln!(out, "no errors")?),
        1 => bail!("a recording is not as it should be"),
        n => bail!("{n} recordings are not as they should be"),
    }
}

/// The recordings of a data folder.
#[derive(Default)]
struct Counts {
    complete: usize,
    running: usize,
    bytes: u64,
}

/// What is wrong with rows and files.
fn errors(data: &Path) -> Result<(BTreeSet<String>, Counts)> {
    let root = data.join(files::FOLDER);
    let (mut errors, mut counts) = (BTreeSet::new(), Counts::default());
    let (recordings, on_disk) = (all(data)?, files::list(&root));
    let on_disk = on_disk.with_context(|| root.display().to_string())?;
    let (mut expected, mut running) = (BTreeSet::new(), BTreeSet::new());
    for recording in &recordings {
        let path = root.join(recording.path());
        match &recording.end {
            Some(end) => {
                if let Err(error) = files::check(&root, recording, end) {
                    errors.insert(format!("{}: {error}", path.display()));
                }
                counts.complete += 1;
                counts.bytes += end.bytes;
            }
            None => {
                running.insert(recording.id.to_string());
                counts.running += 1;
            }
        }
        expected.insert(path);
    }
    // Its file has another name while it runs.
    let id = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.split('.').next().unwrap_or_default().to_owned()
    };
    let found: BTreeSet<_> = on_disk.iter().map(|it| id(it)).collect();
    let missing = running.difference(&found);
    errors.extend(missing.map(|it| format!("{it}: it runs, and has no file")));
    let has_row = |it: &PathBuf| expected.contains(it) || running.contains(&id(it));
    let orphans = on_disk.iter().filter(|it| !has_row(it));
    errors.extend(orphans.map(|it| format!("{}: it has no row", it.display())));
    Ok((errors, counts))
}

fn prune(wanted: &PruneRecordings, out: &mut impl Write) -> Result<()> {
    // Before the store is opened for writing, which would make one.
    drop(Inspection::open(&wanted.data.join(STORE_FILE))?);
    let folder = DataFolder::hold_accounts(&wanted.data)?;
    let rows = store::rows(&folder)?;
    let recordings = StoredRecordings::open(rows, &folder.path(STORE_FILE))?;
    let days = wanted.older_than.map(|it| Duration::from_secs(u64::from(it.get()) * 86_400));
    let bytes_max = wanted.keep_gb.map(|it| u64::from(it.get()) * 1_000_000_000);
    let rule = KeepRule { age_max: days, bytes_max };
    let (root, now) = (wanted.data.join(files::FOLDER), wall_clock());
    let (mut count, mut bytes) = (0_usize, 0);
    for usage in recordings.usage()? {
        let RecordingUsage { account, bytes: size, .. } = usage;
        if wanted.account.as_ref().is_some_and(|it| *it != account) {
            continue;
        }
        let due = recordings.due(now, &account, rule, size)?;
        for slice in due.chunks(DELETED_AT_ONCE) {
            for recording in slice {
                let path = root.join(recording.path());
                if !wanted.dry_run {
                    files::delete(&root, recording).with_context(|| path.display().to_string())?;
                }
                count += 1;
                bytes += recording.end.as_ref().map_or(0, |it| it.bytes);
                writeln!(out, "{}", path.display())?;
            }
            if !wanted.dry_run {
                remove(&recordings, slice)?;
            }
        }
    }
    let done = if wanted.dry_run { "would be deleted" } else { "are deleted" };
    Ok(writeln!(out, "{count} recordings of {bytes} bytes {done}")?)
}

/// Removes rows, and returns once they are removed from the disk.
fn remove(store: &StoredRecordings, recordings: &[Recording]) -> Result<()> {
    let (tell, removed) = std::sync::mpsc::channel();
    for recording in recordings {
        let tell = tell.clone();
        store.remove(recording, Box::new(move |it| drop(tell.send(it))));
    }
    drop(tell);
    for written in removed {
        written.context("the files are deleted, and their rows are not: run the command again")?;
    }
    Ok(())
}
