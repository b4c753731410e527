//! Watch mode: repeats a command whenever a file is saved.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, SystemTime},
};

use super::{gather, output::check_once};
use crate::cli::check::{CheckArgs, CheckFormat};

/// Polling interval: shorter than the glance from the editor to the terminal, and cheap.
const PAUSE: Duration = Duration::from_millis(200);

/// Modification time and length, by which a save is detected.
type SaveStamp = (Option<SystemTime>, u64);

/// Device and inode, which identify a file under any name.
type FileIdentity = (u64, u64);

/// Checks after each save until the process ends.
///
/// # Errors
///
/// The findings cannot be written.
pub(super) fn watch(arguments: &CheckArgs) -> io::Result<ExitCode> {
    at_each_save(&arguments.paths, || {
        check_once(arguments)?;
        if arguments.format == CheckFormat::Text {
            writeln!(io::stderr(), "waiting for a change; Ctrl-C ends it")?;
        }
        Ok(())
    })
}

/// Calls `act` now and after each save of one of the files, or of a file in the folders, including
/// saves during `act`. The own output does not count, even if it goes to a file in such a folder.
///
/// # Errors
///
/// `act` returns an error.
pub(crate) fn at_each_save<T>(
    paths: &[PathBuf],
    mut act: impl FnMut() -> io::Result<()>,
) -> io::Result<T> {
    loop {
        // Before `act`, which may have read a file before that is saved.
        let seen = stamps(paths);
        act()?;
        while stamps(paths) == seen {
            thread::sleep(PAUSE);
        }
    }
}

fn stamps(paths: &[PathBuf]) -> BTreeMap<PathBuf, Option<SaveStamp>> {
    // All names count, because a link may lead to a file of any name.
    let mut folders = BTreeMap::new();
    let mut files = gather::files(paths, &mut folders, &mut Vec::new());
    for (folder, names) in folders {
        files.extend(names.into_iter().map(|name| folder.join(name)));
    }
    let outputs = [opened(io::stdout().as_fd()), opened(io::stderr().as_fd())];

    let mut stamps = BTreeMap::new();
    for path in files {
        let found = fs::metadata(&path).ok();
        if found.is_none() || !outputs.contains(&found.as_ref().map(identity)) {
            stamps.insert(path, found.map(|it| (it.modified().ok(), it.len())));
        }
    }
    stamps
}

fn identity(metadata: &Metadata) -> FileIdentity {
    (metadata.dev(), metadata.ino())
}

fn opened(output: BorrowedFd<'_>) -> Option<FileIdentity> {
    let metadata = File::from(output.try_clone_to_owned().ok()?).metadata().ok()?;
    Some(identity(&metadata))
}
