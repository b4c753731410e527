//! Data folder: the files that outlive the process. One process at a time locks it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::rows::RowStoreError;

/// A data folder that this process has locked, for as long as this value lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// The system unlocks it when the process ends, however it ends.
    _lock: File,
}

/// Error of the data folder or of its store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has locked the data folder.
    #[error(
        "the data folder {} is in use by another conflow: stop that one, or name another folder with --data",
        path.display()
    )]
    Busy {
        /// Path of the data folder.
        path: PathBuf,
    },
    /// A file does not contain what conflow writes.
    #[error(
        "{} is damaged ({why}): bring it back from a backup; without it, its data is lost",
        path.display()
    )]
    Damaged {
        /// Path of the damaged file.
        path: PathBuf,
        /// Description of the damage.
        why: String,
    },
    /// The store's rows cannot be read or written.
    #[error(transparent)]
    Rows(#[from] RowStoreError),
    /// The system refused an operation.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// Verb of the operation, for the message.
        what: &'static str,
        /// File or folder of the operation.
        path: PathBuf,
        /// Error of the system call.
        source: io::Error,
    },
}

/// The folder contains secrets: only its owner may look into it.
const FOLDER_MODE: u32 = 0o700;
/// Only the owner may read the files, too.
const FILE_MODE: u32 = 0o600;
/// Folders in the data folder have files only.
const FOLDER_DEPTH: u32 = 2;
/// Lock file of the engine; it is empty.
const LOCK: &str = "lock";
/// Lock file for changes of accounts; it is empty.
const ACCOUNTS_LOCK: &str = "accounts.lock";

impl DataFolder {
    /// Creates the folder if it is missing, and locks it for this process. If others could read the
    /// folder or a file in it, they cannot any more, and the log says so.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] if another process has locked it; [`StoreError::Io`].
    pub fn hold(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Io { what: "lock", path: path.to_owned(), source };
        let lock = lock_file(path, LOCK)?;
        match lock.try_lock() {
            Ok(()) => {
                close_to_others(path);
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(StoreError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Locks the folder for changes of accounts only: another process may hold the folder. Blocks
    /// until no other process changes accounts.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`]: the folder or its lock file cannot be created or locked.
    pub fn hold_accounts(path: &Path) -> Result<Self, StoreError> {
        let lock = lock_file(path, ACCOUNTS_LOCK)?;
        let failed = |source| StoreError::Io { what: "lock", path: path.to_owned(), source };
        lock.lock().map_err(failed)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Path of a folder in the folder, which is created if it is missing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`]: it cannot be created.
    pub fn folder(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.path(name);
        let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&path);
        match made {
            Ok(()) => Ok(path),
            Err(source) => Err(StoreError::Io { what: "create", path, source }),
        }
    }

    /// Path of a file in the folder; the file need not exist.
    pub fn path(&self, file: &str) -> PathBuf {
        self.path.join(file)
    }

    /// Content of a file; None if there is no such file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`]: the file exists and cannot be read.
    pub fn read(&self, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match fs::read(self.path(file)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Io { what: "read", path: self.path(file), source }),
        }
    }

    /// Replaces a file's content atomically: after a crash, the file has the old or the new
    /// content. Once this has returned, the new content is durable.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`]; the file has its old content, or the new one.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self.replace(file, bytes);
        written.map_err(|source| StoreError::Io { what: "write", path: self.path(file), source })
    }

    /// Removes a file, if it exists.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`]: the file exists and cannot be removed.
    pub fn remove(&self, file: &str) -> Result<(), StoreError> {
        match fs::remove_file(self.path(file)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::Io { what: "remove", path: self.path(file), source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn replace(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.path(&format!("{file}.new"));
        let mut options = OpenOptions::new();
        let mut writer =
            options.create(true).truncate(true).write(true).mode(FILE_MODE).open(&new)?;
        writer.write_all(bytes)?;
        writer.sync_all()?;
        fs::rename(new, self.path(file))?;
        // Otherwise the new name might not survive a power cut.
        File::open(&self.path)?.sync_all()
    }
}

/// Takes the rights of all others but the owner from the folder, and from what is in it and in its
/// folders.
fn close_to_others(path: &Path) {
    let mut waiting = vec![(path.to_owned(), 0)];
    while let Some((path, depth)) = waiting.pop() {
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        let mode = found.permissions().mode() & 0o7777;
        if found.is_symlink() {
            continue;
        }
        if mode & 0o077 != 0 {
            let (shown, closed) = (path.display(), mode & !0o077);
            match fs::set_permissions(&path, Permissions::from_mode(closed)) {
                Ok(()) => tracing::warn!(
                    "{shown} was open to other users of this machine (mode {mode:o}): now {closed:o}"
                ),
                Err(error) => tracing::error!(
                    "other users of this machine can read {shown} (mode {mode:o}), which holds \
                     secrets, and that cannot be changed ({error}): take their rights away"
                ),
            }
        }
        if found.is_dir() && depth < FOLDER_DEPTH {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            waiting.extend(entries.map(|it| (it.path(), depth + 1)));
        }
    }
}

/// Opens a file in the folder; creates both if they are missing.
fn lock_file(path: &Path, name: &str) -> Result<File, StoreError> {
    let failed = |what| move |source| StoreError::Io { what, path: path.to_owned(), source };
    let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path);
    made.map_err(failed("make the data folder"))?;
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).write(true).mode(FILE_MODE);
    options.open(path.join(name)).map_err(failed("write into the data folder"))
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn a_file_holds_what_was_written_last_for_its_owner_alone() {
        let temp = tempdir().unwrap();
        let path = temp.path().join("a/b");
        let folder = DataFolder::hold(&path).unwrap();
        assert_eq!(folder.read("file").unwrap(), None);
        for text in ["one", "another"] {
            folder.write("file", text.as_bytes()).unwrap();
            assert_eq!(folder.read("file").unwrap().unwrap(), text.as_bytes());
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder.path("file"))), (FOLDER_MODE, FILE_MODE));
        assert!(!folder.path("file.new").exists());
    }

    #[test]
    fn a_folder_that_others_could_read_is_closed_to_them() {
        let temp = tempdir().unwrap();
        let path = temp.path().join("data");
        fs::create_dir_all(path.join("state")).unwrap();
        let files = ["conflow.db", "state/0000000001.log"].map(|it| path.join(it));
        for file in &files {
            fs::write(file, "").unwrap();
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        let outside = temp.path().join("outside");
        fs::write(&outside, "").unwrap();
        fs::set_permissions(&outside, Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&outside, path.join("link")).unwrap();
        for folder in [path.join("state"), path.clone()] {
            fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        }
        let folder = DataFolder::hold(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&path), mode(&folder.path("state"))], [FOLDER_MODE; 2]);
        assert_eq!(files.map(|it| mode(&it)), [FILE_MODE; 2]);
        assert_eq!(mode(&outside), 0o644, "it is not ours");
    }

    #[test]
    fn one_process_at_a_time_has_the_folder() {
        let temp = tempdir().unwrap();
        let first = DataFolder::hold(temp.path()).unwrap();
        let refused = DataFolder::hold(temp.path()).unwrap_err();
        assert!(matches!(refused, StoreError::Busy { .. }), "{refused}");
        drop(first);
        DataFolder::hold(temp.path()).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_had_is_named() {
        let temp = tempdir().unwrap();
        let path = temp.path().join("file");
        fs::write(&path, "").unwrap();
        let refused = DataFolder::hold(&path.join("data")).unwrap_err().to_string();
        assert!(refused.contains("cannot make the data folder"), "{refused}");
        assert!(refused.contains("file/data"), "{refused}");
    }
}
