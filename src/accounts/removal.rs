//! Removal of stored accounts: a row says that an account's people must be deleted, too.
//!
//! `conflow account` does not know whose people they are: an account of the configuration may have the
//! same id. So the engine deletes them, at once or when it starts.

use crate::{
    base::ids::AccountId,
    store::rows::{RowStore, RowStoreError, RowWrite, StoredRow, Table, WriteError},
};

/// Number of the row of an account.
pub(super) const PRESENT: u64 = 0;
/// Number of the row that says that an account was removed, until its people are, too. The account may
/// have been added again since.
pub(super) const REMOVED: u64 = 1;

/// The accounts that were removed and whose people are still in the store, each with whether it has
/// been added again.
///
/// # Errors
///
/// [`RowStoreError`]: the rows cannot be read.
pub fn removed(rows: &dyn RowStore) -> Result<Vec<(AccountId, bool)>, RowStoreError> {
    let (present, removed) = split(rows.load(Table::Accounts)?);
    let is_there = |id: &AccountId| present.iter().any(|it| it.account == *id);
    Ok(removed.into_iter().map(|id| (id.clone(), is_there(&id))).collect())
}

/// Whether an account is stored, and has not been removed.
///
/// # Errors
///
/// [`RowStoreError`]: the rows cannot be read.
pub fn is_present(rows: &dyn RowStore, id: &AccountId) -> Result<bool, RowStoreError> {
    let (present, _) = split(rows.load(Table::Accounts)?);
    Ok(present.iter().any(|it| it.account == *id))
}

/// Deletes the rows that removed accounts have in some tables, and then no longer counts the accounts
/// as removed. Blocks until that is durable.
///
/// # Errors
///
/// [`RowStoreError`]: nothing has changed.
pub fn purge(
    rows: &dyn RowStore,
    tables: &[Table],
    ids: &[AccountId],
) -> Result<(), RowStoreError> {
    // What was written before is not missed.
    commit(rows, Vec::new())?;
    let mut writes: Vec<_> =
        ids.iter().map(|id| RowWrite::delete(Table::Accounts, id, REMOVED)).collect();
    for table in tables {
        let found = rows.load(*table)?.into_iter().filter(|it| ids.contains(&it.account));
        writes.extend(found.map(|StoredRow { account, a, b, body: _ }| RowWrite {
            table: *table,
            account,
            a,
            b,
            body: None,
        }));
    }
    commit(rows, writes)
}

/// Separates the rows of accounts from the ids of those that were removed.
pub(super) fn split(rows: Vec<StoredRow>) -> (Vec<StoredRow>, Vec<AccountId>) {
    let (removed, present): (Vec<_>, _) = rows.into_iter().partition(|it| it.a == REMOVED);
    (present, removed.into_iter().map(|it| it.account).collect())
}

/// Blocks until the rows are durable.
///
/// # Errors
///
/// [`RowStoreError`]: nothing has changed.
pub fn commit(rows: &dyn RowStore, writes: Vec<RowWrite>) -> Result<(), RowStoreError> {
    let (tell, written) = std::sync::mpsc::channel();
    rows.commit(writes, Box::new(move |written| drop(tell.send(written))));
    Ok(written.recv().unwrap_or(Err(WriteError::Ended))?)
}
