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
    flow::check::{Checked, Finding, Levels, check, check_folder, links},
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
    /// Whether it was named; others are read because links lead to them.
    is_named: bool,
    document: GatheredDocument,
}

impl Gathered {
    /// All findings, document by document.
    pub(super) fn findings(&self) -> impl Iterator<Item = (&GatheredDocument, &Finding)> {
        let documents = self.documents.iter();
        documents.flat_map(|it| it.checked.findings.iter().map(move |finding| (it, finding)))
    }
}

/// Reads and checks each document once, in the order of the command line. The links of a document are
/// followed within its folder.
pub(super) fn gather(paths: &[PathBuf], dialect: Dialect, levels: &Levels) -> Gathered {
    let mut gathered = Gathered::default();
    let mut entries: Vec<FolderDocument> = Vec::new();
    let mut folder_files = BTreeMap::new();
    for path in files(paths, &mut folder_files, &mut gathered.problems) {
        // The standard input has no folder.
        let folder = if path.as_os_str() == "-" { path.clone() } else { folder_of(&path) };
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entries.iter().any(|it| it.folder == folder && it.file == file) {
            continue;
        }
        let shown = path.display().to_string();
        match read(&path) {
            Ok(bytes) => {
                let checked = check(&bytes, dialect);
                let document = GatheredDocument { shown, bytes, checked };
                entries.push(FolderDocument { folder, file, is_named: true, document });
            }
            Err(error) => gathered.problems.push(format!("{shown} cannot be read: {error}")),
        }
    }
    follow_links(&mut entries, dialect);
    check_folders(&mut entries, &folder_files);
    gathered.documents =
        entries.into_iter().filter(|it| it.is_named).map(|it| it.document).collect();
    for GatheredDocument { checked, .. } in &mut gathered.documents {
        checked.levels.below(levels).apply(&mut checked.findings);
    }
    gathered
}

/// Adds the documents that links lead to. One that cannot be read has no findings of its own.
fn follow_links(entries: &mut Vec<FolderDocument>, dialect: Dialect) {
    let mut next = 0;
    while let Some(entry) = entries.get(next) {
        let folder = entry.folder.clone();
        for file in links(&entry.document.checked).collect::<BTreeSet<_>>() {
            if entries.iter().any(|it| it.folder == folder && it.file == file) {
                continue;
            }
            let path = folder.join(&file);
            // A name such as ../x leads to no document.
            let is_plain = path.file_name() == Some(OsStr::new(&file));
            if let Some(bytes) = is_plain.then(|| read(&path).ok()).flatten() {
                let (checked, shown) = (check(&bytes, dialect), path.display().to_string());
                let document = GatheredDocument { shown, bytes, checked };
                let folder = folder.clone();
                entries.push(FolderDocument { folder, file, is_named: false, document });
            }
        }
        next += 1;
    }
}

/// The folder of a file.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
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

/// Expands paths to files. Adds all file names of each folder to `folder_files`, and of the folder of
/// each file.
pub(super) fn files(
    paths: &[PathBuf],
    folder_files: &mut BTreeMap<PathBuf, BTreeSet<String>>,
    problems: &mut Vec<String>,
) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            let folder = folder_of(path);
            if path.as_os_str() != "-" && !folder_files.contains_key(&folder) {
                // A folder that cannot be listed has no names to compare with.
                if let Ok(names) = names(&folder) {
                    folder_files.insert(folder, names);
                }
            }
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

/// Names of the files in a folder.
fn names(folder: &Path) -> io::Result<BTreeSet<String>> {
    let entries = fs::read_dir(folder)?.filter_map(Result::ok);
    let files = entries.filter(|it| it.file_type().is_ok_and(|it| !it.is_dir()));
    Ok(files.map(|it| it.file_name().to_string_lossy().into_owned()).collect())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match path.as_os_str() == "-" {
        true => io::stdin().lock().take(BYTES_READ_MAX).read_to_end(&mut bytes)?,
        false => File::open(path)?.take(BYTES_READ_MAX).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}
