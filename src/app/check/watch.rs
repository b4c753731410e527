//! `conflow check --watch`: looks again whenever a file has been saved.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, SystemTime},
};

use super::{gather, once};
use crate::cli::check::{Check, Format};

/// Sooner than anybody looks up from the editor, and nothing for a machine.
const PAUSE: Duration = Duration::from_millis(200);

/// By this a file that has been saved is known.
type Stamp = (Option<SystemTime>, u64);

/// Goes on until the process is ended.
///
/// # Errors
///
/// What is found cannot be written.
pub(super) fn again_and_again(asked: &Check) -> io::Result<ExitCode> {
    at_each_save(&asked.paths, || {
        once(asked)?;
        if asked.format == Format::Text {
            writeln!(io::stderr(), "waiting for a change; Ctrl-C ends it")?;
        }
        Ok(())
    })
}

/// Acts at once, and whenever one of the files, or one in the folders, has been saved.
///
/// # Errors
///
/// The act fails.
pub(in crate::app) fn at_each_save<T>(
    paths: &[PathBuf],
    mut act: impl FnMut() -> io::Result<()>,
) -> io::Result<T> {
    loop {
        act()?;
        // What the act has written into the folder itself is no save.
        let seen = stamps(paths);
        while stamps(paths) == seen {
            thread::sleep(PAUSE);
        }
    }
}

fn stamps(paths: &[PathBuf]) -> BTreeMap<PathBuf, Option<Stamp>> {
    // A link may lead to a file of any name: all names count.
    let mut folders = BTreeMap::new();
    let mut files = gather::files(paths, &mut folders, &mut Vec::new());
    for (folder, names) in folders {
        files.extend(names.into_iter().map(|name| folder.join(name)));
    }
    let stamp = |metadata: Metadata| (metadata.modified().ok(), metadata.len());
    files.into_iter().map(|path| (path.clone(), fs::metadata(path).ok().map(stamp))).collect()
}
