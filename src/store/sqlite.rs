//! Row store in SQLite: one writer thread, and one commit for all that wait.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::{Connection, Error, ErrorCode, Transaction, TransactionBehavior, params};

use super::{
    queue::{WriteBatch, WriteQueue},
    rows::{
        OnCommit, RowStore, RowStoreError, RowWrite, StoreHealth, StoredRow, Table, WriteError,
    },
};

/// An open database file, with its writer thread.
#[derive(Debug)]
pub struct Sqlite {
    reader: Mutex<Connection>,
    queue: Arc<WriteQueue>,
    /// None once the store is being dropped.
    writer: Option<JoinHandle<()>>,
}

/// In order, each applied once. Released migrations never change: add a new one.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_groups.sql"),
    include_str!("migrations/0002_accounts.sql"),
    include_str!("migrations/0003_records.sql"),
    include_str!("migrations/0004_room_bans.sql"),
    include_str!("migrations/0005_cdrs.sql"),
    include_str!("migrations/0006_config_rows.sql"),
    include_str!("migrations/0007_trunk_minutes.sql"),
    include_str!("migrations/0008_recordings.sql"),
];
/// The oldest version whose programs can use a store that has all of these migrations: those after it only
/// add (CONTRIBUTING.md, "Releases after this one"). It is 8 or more, and that of the release before, or later.
const USABLE_FROM: u32 = 8;
/// A store notes its version, and below it, in so many bits, [`USABLE_FROM`].
const NOTE_BITS: u32 = 16;
/// How long writes that nobody waits for are collected: at 20,000 calls a second, 50 syncs instead
/// of 1,000.
const LINGER: Duration = Duration::from_millis(20);
/// Only the owner may read the file, like the rest of the data folder.
pub(super) const FILE_MODE: u32 = 0o600;

impl Sqlite {
    /// Opens a file or creates it, and migrates it to this version.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the file cannot be opened, or a later version of conflow has written it.
    pub fn open(path: &Path) -> Result<Self, RowStoreError> {
        let failed = |error: &dyn std::fmt::Display| {
            RowStoreError(format!("cannot use the store {}: {error}", path.display()))
        };
        // Created here with its mode, so that others can never read it.
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(FILE_MODE);
        options.open(path).map_err(|error| failed(&error))?;
        let open = || -> Result<Connection, Error> {
            let connection = Connection::open(path)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            Ok(connection)
        };
        let mut connection = open().map_err(|error| failed(&error))?;
        let version = version(&connection, path)?;
        migrate(&mut connection, version).map_err(|error| failed(&error))?;

        let reader = Mutex::new(open().map_err(|error| failed(&error))?);
        let queue = Arc::new(WriteQueue::new(LINGER));
        let taker = QueueConsumer(queue.clone());
        let writer = thread::Builder::new().name("store".to_owned());
        let writer = writer.spawn(move || write_all(&mut connection, &taker));
        let writer = Some(writer.map_err(|error| failed(&error))?);
        Ok(Self { reader, queue, writer })
    }
}

impl RowStore for Sqlite {
    fn load(&self, table: Table) -> Result<Vec<StoredRow>, RowStoreError> {
        let mut rows = Vec::new();
        for_each(&self.reader.lock(), table, |it| rows.push(it))?;
        Ok(rows)
    }

    fn commit(&self, writes: Vec<RowWrite>, done: OnCommit) {
        self.queue.push(WriteBatch { writes, done, is_awaited: true });
    }

    fn commit_soon(&self, writes: Vec<RowWrite>, done: OnCommit) {
        self.queue.push(WriteBatch { writes, done, is_awaited: false });
    }

    fn health(&self) -> StoreHealth {
        self.queue.health()
    }

    fn flush(&self, patience: Duration) -> usize {
        self.queue.flush(patience)
    }
}

impl Drop for Sqlite {
    /// Writes what is queued first.
    fn drop(&mut self) {
        self.queue.close();
        // The last user may be the writer itself, in what a row's writer is told.
        let is_other = |it: &JoinHandle<()>| it.thread().id() != thread::current().id();
        if let Some(writer) = self.writer.take().filter(is_other) {
            drop(writer.join());
        }
    }
}

/// The version that this conflow writes.
pub(super) fn known_version() -> u32 {
    u32::try_from(MIGRATIONS.len()).expect("they are few")
}

/// The version of a store; a version that is too new is an error, unless its migrations have only added
/// to what this conflow knows.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<u32, RowStoreError> {
    let failed = |why: &dyn std::fmt::Display| {
        RowStoreError(format!("cannot use the store {}: {why}", path.display()))
    };
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    let (version, known) = (version.map_err(|error| failed(&error))?, known_version());
    match version <= known || usable_from(connection, version) <= known {
        true => Ok(version),
        false => Err(failed(&format!(
            "it has version {version}, and this conflow knows {known}: use a later conflow, or a \
             backup of an earlier store"
        ))),
    }
}

/// The oldest version whose programs can use a store of this version, as the program that has migrated it
/// says.
fn usable_from(connection: &Connection, version: u32) -> u32 {
    match note(connection).unwrap_or(0) {
        note if note >> NOTE_BITS == version => note & ((1 << NOTE_BITS) - 1),
        _ => version,
    }
}

/// The note of the program that has migrated the store; 0 if there is none.
fn note(connection: &Connection) -> Result<u32, Error> {
    connection.pragma_query_value(None, "application_id", |row| row.get(0))
}

/// Passes every row of a table on, in the order of [`RowStore::load`]; memory has one at a time.
pub(super) fn for_each(
    connection: &Connection,
    table: Table,
    mut then: impl FnMut(StoredRow),
) -> Result<(), RowStoreError> {
    let failed = |why: String| RowStoreError(format!("cannot read {}: {why}", table.name()));
    let error = |error: Error| failed(error.to_string());
    let select = format!("SELECT account, a, b, body FROM {}", table.name());
    let mut statement =
        connection.prepare(&format!("{select} ORDER BY account, a, b")).map_err(error)?;
    let mut rows = statement.query([]).map_err(error)?;
    while let Some(row) = rows.next().map_err(error)? {
        let read = || Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        let (account, a, b, body): (String, i64, i64, String) = read().map_err(error)?;
        let account = account.parse().map_err(|_| failed(format!("{account:?}")))?;
        then(StoredRow { account, a: a.cast_unsigned(), b: b.cast_unsigned(), body });
    }
    Ok(())
}

fn migrate(connection: &mut Connection, version: u32) -> Result<(), Error> {
    for (number, migration) in (1..).zip(MIGRATIONS).filter(|(it, _)| version < *it) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    let (known, own) = (known_version(), known_version() << NOTE_BITS | USABLE_FROM);
    if version <= known && note(connection)? != own {
        connection.pragma_update(None, "application_id", own)?;
    }
    Ok(())
}

/// The writer's end of the queue: if the writer panics, all queued batches fail.
struct QueueConsumer(Arc<WriteQueue>);

impl Drop for QueueConsumer {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Writes everything that is queued in one transaction, so that the disk syncs once for all of it.
fn write_all(connection: &mut Connection, queue: &QueueConsumer) {
    while let Some(batches) = queue.0.take() {
        match write(connection, &batches) {
            Ok(()) => queue.0.succeed(batches),
            Err(error) => queue.0.fail(batches, write_error(&error), &error.to_string()),
        }
    }
}

fn write_error(error: &Error) -> WriteError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => WriteError::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => WriteError::ReadOnly,
        Some(_) | None => WriteError::Io,
    }
}

fn write(connection: &mut Connection, batches: &[WriteBatch]) -> Result<(), Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if batches.is_empty() {
        // Writes a page, and changes nothing. A later conflow may have written the version.
        let version =
            transaction.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    for write in batches.iter().flat_map(|it| &it.writes) {
        put(&transaction, write)?;
    }
    transaction.commit()
}

/// The columns of a row. A later version may have others.
const COLUMNS: &str = "account, a, b, body";
const CDR_COLUMNS: &str =
    "account, a, b, body, call, caller, callee, direction, parent, cause, source, talked";

/// The columns of a CDR, as of its migration.
const CDR_VALUES: &str = "?1, ?2, ?3, ?4,
    ?4 ->> '$.call.call', ?4 ->> '$.call.from', ?4 ->> '$.call.to',
    coalesce(?4 ->> '$.call.direction', ''), ?4 ->> '$.call.parent', ?4 ->> '$.cause',
    ?4 ->> '$.source',
    max(0, coalesce((?4 ->> '$.ended_at') - (?4 ->> '$.call.answered_at'), 0)) / 1000000";

fn put(transaction: &Transaction<'_>, write: &RowWrite) -> Result<(), Error> {
    let RowWrite { table, account, a, b, body } = write;
    let (account, a, b) = (account.as_str(), a.cast_signed(), b.cast_signed());
    let name = table.name();
    match body {
        Some(body) => {
            let (columns, values) = match *table == Table::Cdrs {
                true => (CDR_COLUMNS, CDR_VALUES),
                false => (COLUMNS, "?1, ?2, ?3, ?4"),
            };
            // Not REPLACE, which a trigger would take for another row.
            let sql = format!(
                "INSERT INTO {name} ({columns}) VALUES ({values})
                 ON CONFLICT DO UPDATE SET body = excluded.body"
            );
            transaction.prepare_cached(&sql)?.execute(params![account, a, b, body])?;
        }
        None => {
            let sql = format!("DELETE FROM {name} WHERE account = ? AND a = ? AND b = ?");
            transaction.prepare_cached(&sql)?.execute(params![account, a, b])?;
        }
    }
    Ok(())
}
