//! Row store in memory, for tests and development: rows last as long as the process.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::rows::{OnCommit, RowStore, RowStoreError, RowWrite, StoredRow, Table};
use crate::base::ids::AccountId;

/// Rows in memory, which never fail.
#[derive(Debug, Default)]
pub struct MemoryRows {
    rows: Mutex<BTreeMap<RowKey, String>>,
}

type RowKey = (Table, AccountId, u64, u64);

impl RowStore for MemoryRows {
    fn load(&self, table: Table) -> Result<Vec<StoredRow>, RowStoreError> {
        let rows = self.rows.lock();
        let of_it = rows.iter().filter(|((it, ..), _)| *it == table);
        let row = |((_, account, a, b), body): (&RowKey, &String)| StoredRow {
            account: account.clone(),
            a: *a,
            b: *b,
            body: body.clone(),
        };
        Ok(of_it.map(row).collect())
    }

    fn commit(&self, writes: Vec<RowWrite>, done: OnCommit) {
        let mut rows = self.rows.lock();
        for RowWrite { table, account, a, b, body } in writes {
            let key = (table, account, a, b);
            match body {
                Some(body) => drop(rows.insert(key, body)),
                None => drop(rows.remove(&key)),
            }
        }
        drop(rows);
        done(Ok(()));
    }
}
