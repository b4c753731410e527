//! Store suites, which every store passes: rows, and what is kept in them. Add a store to
//! [`each_store`].

mod inspect;
mod kill;
mod restart;
mod rows;

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
};

use conflow::store::{
    rows::{RowStore, RowWrite, StoredRow, Table, WriteError},
    rows_memory::MemoryRows,
    sqlite::Sqlite,
};
use tempfile::tempdir;

/// Opens the same store each time.
type Open<'a> = &'a dyn Fn() -> Arc<dyn RowStore>;

/// Runs a suite with each kind of store, empty at first.
fn each_store(suite: impl Fn(Open<'_>)) {
    let memory = Arc::new(MemoryRows::default());
    suite(&|| memory.clone());
    let temp = tempdir().unwrap();
    suite(&|| sqlite(&temp.path().join("s.db")));
}

fn sqlite(path: &Path) -> Arc<dyn RowStore> {
    Arc::new(Sqlite::open(path).unwrap())
}

fn write(table: Table, account: &str, (a, b): (u64, u64), body: Option<&str>) -> RowWrite {
    RowWrite { table, account: account.parse().unwrap(), a, b, body: body.map(str::to_owned) }
}

fn commit(store: &dyn RowStore, writes: Vec<RowWrite>) -> Receiver<Result<(), WriteError>> {
    let (tell, written) = channel();
    store.commit(writes, Box::new(move |written| drop(tell.send(written))));
    written
}

/// Returns when everything requested before is durable.
fn settle(store: &dyn RowStore) {
    commit(store, Vec::new()).recv().unwrap().unwrap();
}

fn rows(store: &dyn RowStore, table: Table) -> Vec<String> {
    let show = |it: StoredRow| format!("{} {} {} {}", it.account, it.a, it.b, it.body);
    store.load(table).unwrap().into_iter().map(show).collect()
}
