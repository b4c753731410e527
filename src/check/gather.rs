//! The documents that are to be looked at, from files, folders and the standard input.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    base::ids::Dialect,
    flow::check::{Checked, Finding, among, check},
};

/// One byte more than a document may have (contract 3.1) is enough to say so.
const BYTES_READ_MAX: u64 = 100 * 1024 + 1;

/// A document, and what was found.
pub(super) struct Document {
    /// As it was given; `-` for the standard input.
    pub(super) shown: String,
    pub(super) bytes: Vec<u8>,
    pub(super) checked: Checked,
}

/// All that was asked for.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) documents: Vec<Document>,
    /// What cannot be read, and why.
    pub(super) troubles: Vec<String>,
}

/// Where a document lies, as long as it is looked at with others.
struct Entry {
    folder: PathBuf,
    file: String,
    document: Document,
}

impl Gathered {
    /// What was found, document by document.
    pub(super) fn findings(&self) -> impl Iterator<Item = (&Document, &Finding)> {
        let documents = self.documents.iter();
        documents.flat_map(|it| it.checked.findings.iter().map(move |finding| (it, finding)))
    }
}

/// Reads and looks at the documents, each once, in the order in which they were given.
pub(super) fn gather(paths: &[PathBuf], dialect: Dialect) -> Gathered {
    let mut gathered = Gathered::default();
    let mut entries: Vec<Entry> = Vec::new();
    let mut whole = BTreeMap::new();
    for path in files(paths, &mut whole, &mut gathered.troubles) {
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entries.iter().any(|it| it.folder == folder && it.file == file) {
            continue;
        }
        let shown = path.display().to_string();
        match read(&path) {
            Ok(bytes) => {
                let checked = check(&bytes, dialect);
                entries.push(Entry { folder, file, document: Document { shown, bytes, checked } });
            }
            Err(error) => gathered.troubles.push(format!("{shown} cannot be read: {error}")),
        }
    }
    look_around(&mut entries, &whole);
    gathered.documents = entries.into_iter().map(|it| it.document).collect();
    gathered
}

/// The documents of a folder may lead to each other.
fn look_around(entries: &mut [Entry], whole: &BTreeMap<PathBuf, BTreeSet<String>>) {
    let folders: BTreeSet<_> = entries.iter().map(|it| it.folder.clone()).collect();
    for folder in folders {
        let mut own: Vec<_> = entries.iter_mut().filter(|it| it.folder == folder).collect();
        let take =
            |it: &mut &mut Entry| (it.file.clone(), std::mem::take(&mut it.document.checked));
        let mut documents: BTreeMap<_, _> = own.iter_mut().map(take).collect();
        among(&mut documents, whole.get(&folder));
        for entry in own {
            entry.document.checked = documents.remove(&entry.file).unwrap_or_default();
        }
    }
}

/// The files that paths lead to. Of each folder, the names of all that is in it are kept.
pub(super) fn files(
    paths: &[PathBuf],
    whole: &mut BTreeMap<PathBuf, BTreeSet<String>>,
    troubles: &mut Vec<String>,
) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        if let Err(error) = list(path, &mut files, whole) {
            troubles.push(format!("{} cannot be listed: {error}", path.display()));
        } else if files.len() == before {
            troubles.push(format!("{} holds no .xml file", path.display()));
        }
    }
    files
}

/// A folder's documents, then those of the folders in it (each account has its own). Links to
/// folders are let be: they could lead in a circle.
fn list(
    folder: &Path,
    files: &mut Vec<PathBuf>,
    whole: &mut BTreeMap<PathBuf, BTreeSet<String>>,
) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut names = BTreeSet::new();
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            folders.push(path);
            continue;
        }
        names.insert(entry.file_name().to_string_lossy().into_owned());
        if path.extension() == Some(OsStr::new("xml")) {
            files.push(path);
        }
    }
    whole.insert(folder.to_owned(), names);
    folders.iter().try_for_each(|folder| list(folder, files, whole))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match path.as_os_str() == "-" {
        true => io::stdin().lock().take(BYTES_READ_MAX).read_to_end(&mut bytes)?,
        false => File::open(path)?.take(BYTES_READ_MAX).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}
