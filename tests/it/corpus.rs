//! Corpus of rows: what each release has written, in `tests/rows/RELEASE`, for all later ones to read.
//!
//! `WRITE_ROWS=1` writes the files of this release instead of comparing them.

use std::{env, fs, path::PathBuf};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rows");
const THIS: &str = env!("CARGO_PKG_VERSION");

/// Checks that rows of this release are in the corpus as they are written. A release that writes other
/// ones has another version of them, and files of its own; those of earlier releases stay.
#[track_caller]
pub(crate) fn check(kind: &str, row: &[u8]) {
    if !write(kind, row) {
        let file = file(THIS, kind);
        let wrong = "rows have changed: give them a new version";
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(found.trim(), hex(row), "{}: {wrong}, or see CONTRIBUTING.md", file.display());
    }
}

/// Adds a row to the corpus of this release, if it is being written. It differs each time.
pub(crate) fn write(kind: &str, row: &[u8]) -> bool {
    let writes = env::var_os("WRITE_ROWS").is_some();
    if writes {
        let file = file(THIS, kind);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, hex(row) + "\n").unwrap();
    }
    writes
}

/// The rows of this kind of each release that has some, this one among them.
#[track_caller]
pub(crate) fn of_all_releases(kind: &str) -> Vec<(String, Vec<u8>)> {
    let releases = fs::read_dir(FOLDER).unwrap().map(|it| it.unwrap().file_name());
    let mut releases: Vec<_> = releases.map(|it| it.into_string().unwrap()).collect();
    releases.sort();
    let row = |release: String| Some((fs::read_to_string(file(&release, kind)).ok()?, release));
    let rows = releases.into_iter().filter_map(row);
    let rows: Vec<_> = rows.map(|(text, release)| (release, bytes(text.trim()))).collect();
    assert!(rows.iter().any(|it| it.0 == THIS), "{THIS} has no rows of the kind {kind}");
    rows
}

fn file(release: &str, kind: &str) -> PathBuf {
    PathBuf::from(FOLDER).join(release).join(format!("{kind}.hex"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|it| str::from_utf8(it).unwrap());
    digits.map(|it| u8::from_str_radix(it, 16).unwrap()).collect()
}
