//! The suites that every store passes: rows, and what is kept in them. A store joins in
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
    rows::{Row, Rows, RowsError, Table, Write},
    rows_memory::Memory,
    sqlite::Sqlite,
};
use tempfile::tempdir;

/// Opens one and the same store, again and again.
type Open<'a> = &'a dyn Fn() -> Arc<dyn Rows>;

/// A suite, with each store there is, empty.
fn each_store(suite: impl Fn(Open<'_>)) {
    let memory = Arc::new(Memory::default());
    suite(&|| memory.clone());
    let temp = tempdir().unwrap();
    suite(&|| sqlite(&temp.path().join("s.db")));
}

fn sqlite(path: &Path) -> Arc<dyn Rows> {
    Arc::new(Sqlite::open(path).unwrap())
}

fn write(table: Table, account: &str, (a, b): (u64, u64), body: Option<&str>) -> Write {
    Write { table, account: account.parse().unwrap(), a, b, body: body.map(str::to_owned) }
}

fn commit(store: &dyn Rows, writes: Vec<Write>) -> Receiver<Result<(), RowsError>> {
    let (tell, told) = channel();
    store.commit(writes, Box::new(move |written| drop(tell.send(written))));
    told
}

/// Returns when all that was asked for before is durable.
fn settle(store: &dyn Rows) {
    commit(store, Vec::new()).recv().unwrap().unwrap();
}

fn rows(store: &dyn Rows, table: Table) -> Vec<String> {
    let show = |it: Row| format!("{} {} {} {}", it.account, it.a, it.b, it.body);
    store.load(table).unwrap().into_iter().map(show).collect()
}
