//! The port of rows that outlive the process: people and groups, records of calls, answers, marks.

use serde::{Serialize, de::DeserializeOwned};

use crate::base::ids::AccountId;

/// Rows that outlive the process. All are read at the start; afterwards there are only writes.
pub trait RowStore: Send + Sync + 'static {
    /// Every row of a table, by account, then by its two numbers.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn load(&self, table: Table) -> Result<Vec<StoredRow>, RowStoreError>;

    /// Writes all of these or none, after those of earlier calls; then calls `done`, from any
    /// thread. Once it has been told `Ok`, they outlive the process, however that ends.
    fn commit(&self, writes: Vec<RowWrite>, done: OnCommit);

    /// The same where nobody waits: more may come together in some tens of milliseconds, and the
    /// disk syncs once for all of it.
    fn commit_soon(&self, writes: Vec<RowWrite>, done: OnCommit) {
        self.commit(writes, done);
    }
}

/// Is told how a commit went.
pub type OnCommit = Box<dyn FnOnce(Result<(), RowStoreError>) + Send>;

/// What rows there are.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Table {
    /// By person.
    People,
    /// By group.
    Groups,
    /// By group and person.
    Members,
    /// By group and person.
    Bans,
    /// By group and person.
    Applications,
    /// By group and sequence number.
    Audit,
    /// By a number that rises.
    Tokens,
    /// By person.
    Passwords,
    /// What the whole folder has but once.
    Folder,
    /// Calls that are over, by a number that rises.
    Cdrs,
    /// Calls that have been answered and are not over, by a number that rises.
    Calls,
    /// Answers to requests that may come again, by a number that rises.
    IdempotencyKeys,
    /// One for each account.
    MemberIdBlocks,
    /// The accounts that are kept, one row each.
    Accounts,
    /// Who may not come into a conference; by ban.
    RoomBans,
}

/// One row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredRow {
    /// Whose it is.
    pub account: AccountId,
    /// The first number of its key.
    pub a: u64,
    /// The second one; 0 where one is enough.
    pub b: u64,
    /// What it says, as JSON.
    pub body: String,
}

/// A row as it is to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RowWrite {
    /// Where.
    pub table: Table,
    /// Whose.
    pub account: AccountId,
    /// The first number of its key.
    pub a: u64,
    /// The second one; 0 where one is enough.
    pub b: u64,
    /// What it says, as JSON; None takes it away.
    pub body: Option<String>,
}

impl StoredRow {
    /// What it says.
    ///
    /// # Errors
    ///
    /// It is no JSON, or not of this shape; `table` is for the message.
    pub fn parse<T: DeserializeOwned>(&self, table: Table) -> Result<T, RowStoreError> {
        serde_json::from_str(&self.body).map_err(|error| self.invalid(table, &error))
    }

    /// That it makes no sense, and why.
    pub fn invalid(&self, table: Table, why: &dyn std::fmt::Display) -> RowStoreError {
        let Self { account, a, b, .. } = self;
        RowStoreError(format!(
            "the row {account} {a} {b} of {} makes no sense: {why}",
            table.name()
        ))
    }
}

impl RowWrite {
    /// A row with this number, and what it says.
    pub fn put(table: Table, account: &AccountId, a: u64, body: &impl Serialize) -> Self {
        let mut body = serde_json::to_string(body).expect("names and numbers are JSON");
        // Many may wait for the disk.
        body.shrink_to_fit();
        Self { table, account: account.clone(), a, b: 0, body: Some(body) }
    }

    /// The end of the row with this number.
    pub fn delete(table: Table, account: &AccountId, a: u64) -> Self {
        Self { table, account: account.clone(), a, b: 0, body: None }
    }
}

/// The store failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct RowStoreError(pub String);

impl Table {
    /// Every one.
    pub const ALL: [Self; 15] = [
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
        Self::Calls,
        Self::IdempotencyKeys,
        Self::MemberIdBlocks,
        Self::Accounts,
        Self::RoomBans,
    ];

    /// What a database calls it.
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
            Self::Cdrs => "records",
            Self::Calls => "calls",
            Self::IdempotencyKeys => "repeats",
            Self::MemberIdBlocks => "marks",
            Self::Accounts => "accounts",
            Self::RoomBans => "room_bans",
        }
    }
}
