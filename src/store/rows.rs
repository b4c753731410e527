//! The port of rows that outlive the process: people, groups, and what belongs to them.

use crate::ids::AccountId;

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
    /// The accounts that are kept, one row each.
    Accounts,
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

/// The store failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct RowsError(pub String);

impl Table {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::People,
        Self::Groups,
        Self::Members,
        Self::Bans,
        Self::Applications,
        Self::Audit,
        Self::Tokens,
        Self::Passwords,
        Self::Folder,
        Self::Accounts,
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
            Self::Accounts => "accounts",
        }
    }
}
