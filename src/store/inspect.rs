//! Inspection of a store's file: checks it and copies it, while an engine may be running on it.
//!
//! The file is opened read-only. In WAL mode a reader sees a snapshot of the store, never blocks a
//! writer, and needs no lock of the data folder.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io, iter,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, Error, OpenFlags, OptionalExtension};

use super::{
    rows::{RowStoreError, StoredRow, Table},
    sqlite::{FILE_MODE, for_each, known_version, version},
};

/// A store's file, open for reading.
#[derive(Debug)]
pub struct Inspection {
    connection: Connection,
    path: PathBuf,
    version: u32,
}

/// Further errors tell nothing new.
const ERRORS_MAX: u32 = 20;

impl Inspection {
    /// Opens a store or a backup.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: there is no store, or a later version of conflow has written it.
    pub fn open(path: &Path) -> Result<Self, RowStoreError> {
        let failed = |why: &dyn std::fmt::Display| {
            RowStoreError(format!("cannot use the store {}: {why}", path.display()))
        };
        match fs::metadata(path) {
            Ok(found) if found.is_file() => (),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
            Ok(_) | Err(_) => {
                return Err(failed(&"there is no such file; --data names the folder of an engine"));
            }
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags);
        let connection = connection.map_err(|error| failed(&error))?;
        let version = version(&connection, path)?;
        if version == 0 {
            return Err(failed(&"it is empty"));
        }
        Ok(Self { connection, path: path.to_owned(), version })
    }

    /// The file's version, and the one that this conflow writes. An engine migrates older stores
    /// when it starts.
    pub fn versions(&self) -> (u32, u32) {
        (self.version, known_version())
    }

    /// SQLite's errors about the file, the first 20 of them.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the file cannot be read at all.
    pub fn errors(&self) -> Result<Vec<String>, RowStoreError> {
        let errors = || -> Result<Vec<String>, Error> {
            let mut statement =
                self.connection.prepare(&format!("PRAGMA integrity_check({ERRORS_MAX})"))?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect()
        };
        let errors = errors().map_err(|error| self.failed("read", &error))?;
        Ok(errors.into_iter().filter(|it| it != "ok").collect())
    }

    /// Passes every row of a table on; false if the store's version is too old to have the table.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the table cannot be read.
    pub fn for_each(
        &self,
        table: Table,
        then: impl FnMut(StoredRow),
    ) -> Result<bool, RowStoreError> {
        let (version, known) = self.versions();
        let has_it = self.connection.table_exists(None, table.name());
        match has_it.map_err(|error| self.failed("read", &error))? {
            false if version < known => Ok(false),
            false | true => for_each(&self.connection, table, then).map(|()| true),
        }
    }

    /// The size of each table, by name. Tables of later versions count, too.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: a table cannot be read.
    pub fn sizes(&self) -> Result<Vec<TableSize>, RowStoreError> {
        let sizes = || -> Result<Vec<TableSize>, Error> {
            let named = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
            let mut statement = self.connection.prepare(named)?;
            let names = statement.query_map([], |row| row.get(0))?;
            let names = names.collect::<Result<Vec<String>, Error>>()?;
            let size = |name: String| {
                let quoted = name.replace('"', "\"\"");
                let has_body = self.connection.column_exists(None, name.as_str(), "body")?;
                let bytes = if has_body { "total(length(body))" } else { "0" };
                let counted =
                    format!("SELECT count(*), CAST({bytes} AS INTEGER) FROM \"{quoted}\"");
                self.connection.query_row(&counted, [], |row| {
                    Ok(TableSize { name, rows: row.get(0)?, bytes: row.get(1)? })
                })
            };
            names.into_iter().map(size).collect()
        };
        sizes().map_err(|error| self.failed("read", &error))
    }

    /// Copies a snapshot of the store to a new file, with the account key if there is one, and parts
    /// of a log by their numbers. The copy has another name until it is complete and durable.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the file exists already, or cannot be written.
    pub fn copy_to(
        &self,
        file: &Path,
        key: Option<&[u8]>,
        log: impl Iterator<Item = io::Result<(u32, Vec<u8>)>>,
    ) -> Result<(), RowStoreError> {
        let failed = |why: &dyn std::fmt::Display| {
            RowStoreError(format!("cannot write the backup {}: {why}", file.display()))
        };
        let create = |path: &Path| {
            let mut options = OpenOptions::new();
            options.create_new(true).write(true).mode(FILE_MODE).open(path)
        };
        let mut partial = OsString::from(file);
        partial.push(PARTIAL);
        let partial = Path::new(&partial);
        // Creating the file reserves its name, so no other file is overwritten.
        create(file).map_err(|error| match error.kind() == io::ErrorKind::AlreadyExists {
            true => failed(&"there is a file of that name already"),
            false => failed(&error),
        })?;
        let copied = create(partial).map_err(|error| format!("{}: {error}", partial.display()));
        let copied = copied.and_then(|_| {
            let copied = self.vacuum_into(partial).map_err(|error| error.to_string());
            let copied = copied.and_then(|()| match key {
                Some(key) => put_key(partial, key).map_err(|error| error.to_string()),
                None => Ok(()),
            });
            let copied = copied.and_then(|()| put_log(partial, log));
            let copied =
                copied.and_then(|()| publish(partial, file).map_err(|error| error.to_string()));
            if copied.is_err() {
                drop(fs::remove_file(partial));
            }
            copied
        });
        copied.map_err(|why| {
            drop(fs::remove_file(file));
            failed(&why)
        })
    }

    /// The account key of a backup; None if it has none.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the file cannot be read.
    pub fn key(&self) -> Result<Option<Vec<u8>>, RowStoreError> {
        let key = || -> Result<Option<Vec<u8>>, Error> {
            match self.connection.table_exists(None, KEY_TABLE)? {
                true => self
                    .connection
                    .query_row(&format!("SELECT key FROM {KEY_TABLE}"), [], |row| row.get(0))
                    .optional(),
                false => Ok(None),
            }
        };
        key().map_err(|error| self.failed("read", &error))
    }

    /// Passes on the parts of the log that a backup has, in order; none if it has no log.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the file cannot be read, or `then` fails.
    pub fn each_log_part(
        &self,
        mut then: impl FnMut(u32, &[u8]) -> io::Result<()>,
    ) -> Result<(), RowStoreError> {
        let mut parts = || -> Result<io::Result<()>, Error> {
            if !self.connection.table_exists(None, LOG_TABLE)? {
                return Ok(Ok(()));
            }
            let read = format!("SELECT number, frames FROM {LOG_TABLE} ORDER BY number");
            let mut statement = self.connection.prepare(&read)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let frames: Vec<u8> = row.get(1)?;
                if let Err(error) = then(row.get(0)?, &frames) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        };
        parts()
            .map_err(|error| self.failed("read", &error))?
            .map_err(|error| RowStoreError(format!("cannot write the state log: {error}")))
    }

    /// Makes the store's file of a data folder from this backup, without the account key and the log.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the file exists already, or cannot be written.
    pub fn restore_to(&self, file: &Path) -> Result<(), RowStoreError> {
        self.copy_to(file, None, iter::empty())?;
        let without_key = || -> Result<(), Error> {
            let connection = Connection::open(file)?;
            connection.execute_batch(&format!(
                "PRAGMA secure_delete = ON; DROP TABLE IF EXISTS {KEY_TABLE};
                 DROP TABLE IF EXISTS {LOG_TABLE}; VACUUM"
            ))
        };
        without_key().map_err(|error| {
            drop(fs::remove_file(file));
            RowStoreError(format!("cannot write the store {}: {error}", file.display()))
        })
    }

    fn vacuum_into(&self, path: &Path) -> Result<(), Error> {
        let path = path.to_str().ok_or_else(|| Error::InvalidPath(path.to_owned()))?;
        self.connection.execute("VACUUM INTO ?", [path]).map(drop)
    }

    fn failed(&self, what: &str, error: &Error) -> RowStoreError {
        RowStoreError(format!("cannot {what} the store {}: {error}", self.path.display()))
    }
}

/// The size of a table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableSize {
    /// The name in the file.
    pub name: String,
    /// The number of rows.
    pub rows: i64,
    /// What the rows say, without keys, in bytes.
    pub bytes: i64,
}

/// Table of a backup that holds the files of the state log.
const LOG_TABLE: &str = "state_log";

fn put_log(
    backup: &Path,
    log: impl Iterator<Item = io::Result<(u32, Vec<u8>)>>,
) -> Result<(), String> {
    let text = |error: Error| error.to_string();
    let connection = Connection::open(backup).map_err(text)?;
    let mut has_table = false;
    for part in log {
        let (number, frames) = part.map_err(|error| format!("the state log: {error}"))?;
        if !has_table {
            let made = format!(
                "CREATE TABLE {LOG_TABLE} (number INTEGER PRIMARY KEY, frames BLOB NOT NULL)"
            );
            connection.execute_batch(&made).map_err(text)?;
            has_table = true;
        }
        let put = format!("INSERT INTO {LOG_TABLE} VALUES (?, ?)");
        connection.execute(&put, (number, frames)).map_err(text)?;
    }
    Ok(())
}

/// Table of a backup that holds the account key.
const KEY_TABLE: &str = "account_key";

fn put_key(backup: &Path, key: &[u8]) -> Result<(), Error> {
    let connection = Connection::open(backup)?;
    connection.execute_batch(&format!("CREATE TABLE {KEY_TABLE} (key BLOB NOT NULL)"))?;
    connection.execute(&format!("INSERT INTO {KEY_TABLE} VALUES (?)"), [key]).map(drop)
}

/// Suffix of a backup that is incomplete.
const PARTIAL: &str = ".partial";

fn publish(partial: &Path, file: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    fs::rename(partial, file)?;
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
    // Otherwise the name might not survive a power cut.
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}
