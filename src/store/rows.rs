//! The port of rows that outlive the process: people and groups, records of calls, answers, marks.

use serde::{Serialize, de::DeserializeOwned};

use crate::base::ids::AccountId;

/// Rows that outlive the process. All are read at the start; afterwards there are only writes.
pub trait Rows: Send + Sync + 'static {
    /// Every row of a table, by account, then by its two numbers.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn load(&self, table: Table) -> Result<Vec<Row>, RowsError>;

    /// Writes all of these or none, after those of earlier calls; then calls `done`, from any
    /// thread. Once it has been told `Ok`, they outlive the process, however that ends.
    fn commit(&self, writes: Vec<Write>, done: Committed);

    /// The same where nobody waits: more may come together in some tens of milliseconds, and the
    /// disk syncs once for all of it.
    fn commit_soon(&self, writes: Vec<Write>, done: Committed) {
        self.commit(writes, done);
    }
}

/// Is told how a commit went.
pub type Committed = Box<dyn FnOnce(Result<(), RowsError>) + Send>;

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
    Records,
    /// Calls that have been answered and are not over, by a number that rises.
    Calls,
    /// Answers to requests that may come again, by a number that rises.
    Repeats,
    /// One for each account.
    Marks,
    /// The accounts that are kept, one row each.
    Accounts,
    /// Who may not come into a conference; by ban.
    RoomBans,
}

/// One row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
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
pub struct Write {
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

impl Row {
    /// What it says.
    ///
    /// # Errors
    ///
    /// It is no JSON, or not of this shape; `table` is for the message.
    pub fn parse<T: DeserializeOwned>(&self, table: Table) -> Result<T, RowsError> {
        serde_json::from_str(&self.body).map_err(|error| self.fault(table, &error))
    }

    /// That it makes no sense, and why.
    pub fn fault(&self, table: Table, why: &dyn std::fmt::Display) -> RowsError {
        let Self { account, a, b, .. } = self;
        RowsError(format!("the row {account} {a} {b} of {} makes no sense: {why}", table.name()))
    }
}

impl Write {
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
pub struct RowsError(pub String);

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
        Self::Records,
        Self::Calls,
        Self::Repeats,
        Self::Marks,
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
            Self::Records => "records",
            Self::Calls => "calls",
            Self::Repeats => "repeats",
            Self::Marks => "marks",
            Self::Accounts => "accounts",
            Self::RoomBans => "room_bans",
        }
    }
}
