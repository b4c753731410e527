//! `conflow check --watch`: looks again whenever a file has been saved.

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

/// Sooner than anybody looks up from the editor, and nothing for a machine.
const PAUSE: Duration = Duration::from_millis(200);

/// By this a file that has been saved is known.
type SaveStamp = (Option<SystemTime>, u64);

/// Device and inode: by whatever name it is reached.
type FileIdentity = (u64, u64);

/// Goes on until the process is ended.
///
/// # Errors
///
/// What is found cannot be written.
pub(super) fn watch(arguments: &CheckArgs) -> io::Result<ExitCode> {
    at_each_save(&arguments.paths, || {
        check_once(arguments)?;
        if arguments.format == CheckFormat::Text {
            writeln!(io::stderr(), "waiting for a change; Ctrl-C ends it")?;
        }
        Ok(())
    })
}

/// Acts at once, and whenever one of the files, or one in the folders, has been saved: also while
/// it acts. What it prints is no save, though that may go into a file in one of the folders.
///
/// # Errors
///
/// The act fails.
pub(crate) fn at_each_save<T>(
    paths: &[PathBuf],
    mut act: impl FnMut() -> io::Result<()>,
) -> io::Result<T> {
    loop {
        // Before the act: it may have read a file when that is saved.
        let seen = stamps(paths);
        act()?;
        while stamps(paths) == seen {
            thread::sleep(PAUSE);
        }
    }
}

fn stamps(paths: &[PathBuf]) -> BTreeMap<PathBuf, Option<SaveStamp>> {
    // A link may lead to a file of any name: all names count.
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
