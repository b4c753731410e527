//! The data folder: what outlives the process, in files. One process at a time has it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::rows::RowStoreError;

/// A data folder that this process has to itself, for as long as this value lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// Locked; the system unlocks it when the process ends, however it ends.
    _lock: File,
}

/// Why something cannot be stored, or what is stored cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the data folder.
    #[error(
        "the data folder {} is in use by another conflow: stop that one, or name another folder with --data",
        path.display()
    )]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// A file does not hold what we have once written.
    #[error(
        "{} is damaged ({why}): bring it back from a backup; without it, what it holds begins anew",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In what way.
        why: String,
    },
    /// The rows failed.
    #[error(transparent)]
    Rows(#[from] RowStoreError),
    /// The system said no.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Nobody but its owner may look into the folder: it holds secrets.
const FOLDER_MODE: u32 = 0o700;
/// As the folder.
const FILE_MODE: u32 = 0o600;
/// Its content is of no account, its lock is.
const LOCK: &str = "lock";
/// As that, for as long as accounts are changed.
const ACCOUNTS_LOCK: &str = "accounts.lock";

impl DataFolder {
    /// Makes the folder if there is none, and takes it for this process.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] if another process has it.
    pub fn hold(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Io { what: "lock", path: path.to_owned(), source };
        let lock = lock_file(path, LOCK)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The same, only to change accounts: another process may hold the folder meanwhile. Waits
    /// until nobody else changes them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn hold_accounts(path: &Path) -> Result<Self, StoreError> {
        let lock = lock_file(path, ACCOUNTS_LOCK)?;
        let failed = |source| StoreError::Io { what: "lock", path: path.to_owned(), source };
        lock.lock().map_err(failed)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where a file of this name is, or would be.
    pub fn path(&self, file: &str) -> PathBuf {
        self.path.join(file)
    }

    /// What a file holds; None if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn read(&self, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match fs::read(self.path(file)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Io { what: "read", path: self.path(file), source }),
        }
    }

    /// Gives a file a new content, for good: whatever happens meanwhile, it holds the old or the
    /// new one, and once this has returned, the new one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`]; the file holds what it held, or the new content.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self.replace(file, bytes);
        written.map_err(|source| StoreError::Io { what: "write", path: self.path(file), source })
    }

    /// Takes a file away, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
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
        // Else the new name might not outlive a power cut.
        File::open(&self.path)?.sync_all()
    }
}

/// Makes the folder and the file if they are missing.
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
    use std::os::unix::fs::PermissionsExt;

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
