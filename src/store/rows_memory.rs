//! Rows that last as long as the process: for tests and trials.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::rows::{Committed, Row, Rows, RowsError, Table, Write};
use crate::base::ids::AccountId;

/// Rows in memory.
#[derive(Debug, Default)]
pub struct Memory {
    rows: Mutex<BTreeMap<Key, String>>,
}

type Key = (Table, AccountId, u64, u64);

impl Rows for Memory {
    fn load(&self, table: Table) -> Result<Vec<Row>, RowsError> {
        let rows = self.rows.lock();
        let of_it = rows.iter().filter(|((it, ..), _)| *it == table);
        let record = |((_, account, a, b), body): (&Key, &String)| Row {
            account: account.clone(),
            a: *a,
            b: *b,
            body: body.clone(),
        };
        Ok(of_it.map(record).collect())
    }

    fn commit(&self, writes: Vec<Write>, done: Committed) {
        let mut rows = self.rows.lock();
        for Write { table, account, a, b, body } in writes {
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
