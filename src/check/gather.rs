//! Input of `conflow check`: reads and checks documents from files, folders and the standard input.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    base::ids::Dialect,
    flow::check::{Checked, Finding, check, check_folder},
};

/// One byte more than a document may have (contract 3.1), so that the check sees it is too long.
const BYTES_READ_MAX: u64 = 100 * 1024 + 1;

/// A document with its findings.
pub(super) struct GatheredDocument {
    /// Path as given on the command line; `-` for the standard input.
    pub(super) shown: String,
    pub(super) bytes: Vec<u8>,
    pub(super) checked: Checked,
}

/// All documents of one run.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) documents: Vec<GatheredDocument>,
    /// Messages about files and folders that cannot be read.
    pub(super) problems: Vec<String>,
}

/// A document with its place, for the checks across the documents of a folder.
struct FolderDocument {
    folder: PathBuf,
    file: String,
    document: GatheredDocument,
}

impl Gathered {
    /// All findings, document by document.
    pub(super) fn findings(&self) -> impl Iterator<Item = (&GatheredDocument, &Finding)> {
        let documents = self.documents.iter();
        documents.flat_map(|it| it.checked.findings.iter().map(move |finding| (it, finding)))
    }
}

/// Reads and checks each document once, in the order of the command line.
pub(super) fn gather(paths: &[PathBuf], dialect: Dialect) -> Gathered {
    let mut gathered = Gathered::default();
    let mut entries: Vec<FolderDocument> = Vec::new();
    let mut folder_files = BTreeMap::new();
    for path in files(paths, &mut folder_files, &mut gathered.problems) {
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entries.iter().any(|it| it.folder == folder && it.file == file) {
            continue;
        }
        let shown = path.display().to_string();
        match read(&path) {
            Ok(bytes) => {
                let checked = check(&bytes, dialect);
                entries.push(FolderDocument {
                    folder,
                    file,
                    document: GatheredDocument { shown, bytes, checked },
                });
            }
            Err(error) => gathered.problems.push(format!("{shown} cannot be read: {error}")),
        }
    }
    check_folders(&mut entries, &folder_files);
    gathered.documents = entries.into_iter().map(|it| it.document).collect();
    gathered
}

/// Checks the links between the documents of each folder.
fn check_folders(
    entries: &mut [FolderDocument],
    folder_files: &BTreeMap<PathBuf, BTreeSet<String>>,
) {
    let folders: BTreeSet<_> = entries.iter().map(|it| it.folder.clone()).collect();
    for folder in folders {
        let mut own: Vec<_> = entries.iter_mut().filter(|it| it.folder == folder).collect();
        let take = |it: &mut &mut FolderDocument| {
            (it.file.clone(), std::mem::take(&mut it.document.checked))
        };
        let mut documents: BTreeMap<_, _> = own.iter_mut().map(take).collect();
        check_folder(&mut documents, folder_files.get(&folder));
        for entry in own {
            entry.document.checked = documents.remove(&entry.file).unwrap_or_default();
        }
    }
}

/// Expands paths to files. Adds all file names of each folder to `folder_files`.
pub(super) fn files(
    paths: &[PathBuf],
    folder_files: &mut BTreeMap<PathBuf, BTreeSet<String>>,
    problems: &mut Vec<String>,
) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        if let Err(error) = list(path, &mut files, folder_files) {
            problems.push(format!("{} cannot be listed: {error}", path.display()));
        } else if files.len() == before {
            problems.push(format!("{} holds no .xml file", path.display()));
        }
    }
    files
}

/// Lists a folder's documents, then those of its subfolders (each account has one). Ignores links
/// to folders, because they could form a cycle.
fn list(
    folder: &Path,
    files: &mut Vec<PathBuf>,
    folder_files: &mut BTreeMap<PathBuf, BTreeSet<String>>,
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
    folder_files.insert(folder.to_owned(), names);
    folders.iter().try_for_each(|folder| list(folder, files, folder_files))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match path.as_os_str() == "-" {
        true => io::stdin().lock().take(BYTES_READ_MAX).read_to_end(&mut bytes)?,
        false => File::open(path)?.take(BYTES_READ_MAX).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}
