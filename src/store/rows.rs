//! Row store port: tables of rows that outlive the process.

use std::{io::ErrorKind, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::base::ids::AccountId;

/// Rows that outlive the process. All but those of [`Table::Cdrs`] and [`Table::Recordings`] are read
/// at the start; afterwards they are only written.
pub trait RowStore: Send + Sync + 'static {
    /// Every row of a table, ordered by account, then by its two numbers.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the table cannot be read.
    fn load(&self, table: Table) -> Result<Vec<StoredRow>, RowStoreError>;

    /// Writes all of these rows or none, after those of earlier calls; then calls `done` from any
    /// thread. After `Ok`, they outlive the process, however it ends. After an error nothing has
    /// changed, and nothing will: its text is for the client whose request is refused. An error comes
    /// after this call has returned, so the caller may hold a lock that `done` takes then.
    fn commit(&self, writes: Vec<RowWrite>, done: OnCommit);

    /// As [`Self::commit`], for writes that nobody waits for: they may be collected for some tens
    /// of milliseconds, so that the disk syncs once for all of them. While the disk takes nothing
    /// they wait, and are tried again every second; `done` gets an error only if they are dropped.
    fn commit_soon(&self, writes: Vec<RowWrite>, done: OnCommit) {
        self.commit(writes, done);
    }

    /// Whether the last write succeeded, and how many have failed.
    fn health(&self) -> StoreHealth {
        StoreHealth::default()
    }

    /// Blocks until the writes that nobody waits for are durable, for so long at most. Returns the
    /// number of rows that are not.
    fn flush(&self, _patience: Duration) -> usize {
        0
    }
}

/// State of a store's writes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StoreHealth {
    /// The error of the last write; None if it succeeded.
    pub error: Option<WriteError>,
    /// Writes that failed, and those that were refused because the last one had failed.
    pub failures: u64,
    /// Rows that nobody waits for and that are not written yet.
    pub waiting_rows: usize,
    /// Such rows that were dropped, because too many waited.
    pub dropped_rows: u64,
}

/// The reason why nothing was written. The text is for the client whose request is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", self.text())]
pub enum WriteError {
    /// No space is left (`ENOSPC`).
    Full,
    /// The file or its file system is read-only (`EROFS`).
    ReadOnly,
    /// Any other error of the disk (`EIO`).
    Io,
    /// The store has ended.
    Ended,
}

impl WriteError {
    /// The reason that an error of the system has.
    pub fn of(error: &std::io::Error) -> Self {
        let kind = error.kind();
        if [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&kind) {
            Self::Full
        } else if kind == ErrorKind::ReadOnlyFilesystem {
            Self::ReadOnly
        } else {
            Self::Io
        }
    }

    /// The text for clients.
    pub fn text(&self) -> &'static str {
        match self {
            Self::Full => "storage is full: nothing was changed",
            Self::ReadOnly => "storage is read-only: nothing was changed",
            Self::Io => "storage cannot be written: nothing was changed",
            Self::Ended => "storage has ended: nothing was changed",
        }
    }
}

impl From<WriteError> for RowStoreError {
    fn from(error: WriteError) -> Self {
        Self(error.to_string())
    }
}

/// Callback with the result of a commit.
pub type OnCommit = Box<dyn FnOnce(Result<(), WriteError>) + Send>;

/// Tables of the store, each with the meaning of a row's numbers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Table {
    /// People of groups, by person number.
    People,
    /// Groups of all dialects, by group number.
    Groups,
    /// Members of groups, by group and person.
    Members,
    /// Bans from groups, by group and person.
    Bans,
    /// Applications to join groups, by group and person.
    Applications,
    /// Audit entries of groups, by group and sequence number.
    Audit,
    /// Hashes of tokens, by a rising number.
    Tokens,
    /// Hashes of passwords, by person number.
    Passwords,
    /// A single row for the whole folder: the key that hashes tokens.
    Folder,
    /// Calls that have ended, by the time of the end in microseconds and a tie-breaker. Nobody
    /// loads it: it has no bound but time.
    Cdrs,
    /// Responses with idempotency keys, by a rising number.
    IdempotencyKeys,
    /// Ends of the reserved member id blocks, one row for each account.
    MemberIdBlocks,
    /// Accounts of `conflow account`, one row each.
    Accounts,
    /// Bans from conferences, by ban number.
    RoomBans,
    /// Endpoints, numbers and trunks of `conflow endpoint`, `number` and `trunk`, by kind and a rising
    /// number.
    ConfigRows,
    /// Recordings, by the time of their first sample in microseconds and a tie-breaker. Nobody loads
    /// it.
    Recordings,
    /// Answered time of accounts through trunks, by hour since 1970 and trunk.
    TrunkMinutes,
}

/// A row as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredRow {
    /// Account that the row belongs to.
    pub account: AccountId,
    /// First number of the key.
    pub a: u64,
    /// Second number of the key; 0 where one is enough.
    pub b: u64,
    /// Content of the row, as JSON.
    pub body: String,
}

/// A write of one row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RowWrite {
    /// Table that the row is in.
    pub table: Table,
    /// Account that the row belongs to.
    pub account: AccountId,
    /// First number of the key.
    pub a: u64,
    /// Second number of the key; 0 where one is enough.
    pub b: u64,
    /// New content, as JSON; None deletes the row.
    pub body: Option<String>,
}

impl StoredRow {
    /// Parses the row's content.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the content is not JSON, or has another shape; `table` is for the
    /// message.
    pub fn parse<T: DeserializeOwned>(&self, table: Table) -> Result<T, RowStoreError> {
        serde_json::from_str(&self.body).map_err(|error| self.invalid(table, &error))
    }

    /// The error that this row is invalid.
    pub fn invalid(&self, table: Table, why: &dyn std::fmt::Display) -> RowStoreError {
        let Self { account, a, b, .. } = self;
        RowStoreError(format!(
            "the row {account} {a} {b} of {} makes no sense: {why}",
            table.name()
        ))
    }
}

impl RowWrite {
    /// A write of a row with this number and content.
    pub fn put(table: Table, account: &AccountId, a: u64, body: &impl Serialize) -> Self {
        let mut body = serde_json::to_string(body).expect("names and numbers are JSON");
        // Many writes may wait for the disk.
        body.shrink_to_fit();
        Self { table, account: account.clone(), a, b: 0, body: Some(body) }
    }

    /// A write that deletes the row with this number.
    pub fn delete(table: Table, account: &AccountId, a: u64) -> Self {
        Self { table, account: account.clone(), a, b: 0, body: None }
    }
}

/// An error of the store, as text for the operator.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct RowStoreError(pub String);

impl Table {
    /// Every table, in the order of its declaration.
    pub const ALL: [Self; 17] = [
        Self::People,
        Self::Groups,
        Self::Members,
        Self::Bans,
        Self::Applications,
        Self::Audit,
        Self::Tokens,
        Self::Passwords,
        Self::Folder,
        Self::Cdrs,
        Self::IdempotencyKeys,
        Self::MemberIdBlocks,
        Self::Accounts,
        Self::RoomBans,
        Self::ConfigRows,
        Self::Recordings,
        Self::TrunkMinutes,
    ];

    /// Name of the table in the database, which never changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Groups => "groups",
            Self::Members => "members",
            Self::Bans => "bans",
            Self::Applications => "applications",
            Self::Audit => "audit",
            Self::Tokens => "tokens",
            Self::Passwords => "passwords",
            Self::Folder => "folder",
            Self::Cdrs => "cdrs",
            Self::IdempotencyKeys => "repeats",
            Self::MemberIdBlocks => "marks",
            Self::Accounts => "accounts",
            Self::RoomBans => "room_bans",
            Self::ConfigRows => "config_rows",
            Self::Recordings => "recordings",
            Self::TrunkMinutes => "trunk_minutes",
        }
    }
}
