//! The suite that every store passes, and what SQLite alone promises.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write as _, stdout},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::{Receiver, channel},
};

use conflow::store::{
    rows::{Row, Rows, RowsError, Table, Write},
    rows_memory::Memory,
    sqlite::Sqlite,
};
use tempfile::tempdir;

fn write(table: Table, account: &str, (a, b): (u64, u64), body: Option<&str>) -> Write {
    Write { table, account: account.parse().unwrap(), a, b, body: body.map(str::to_owned) }
}

fn commit(store: &dyn Rows, writes: Vec<Write>) -> Receiver<Result<(), RowsError>> {
    let (tell, told) = channel();
    store.commit(writes, Box::new(move |written| drop(tell.send(written))));
    told
}

fn rows(store: &dyn Rows, table: Table) -> Vec<String> {
    let show = |it: Row| format!("{} {} {} {}", it.account, it.a, it.b, it.body);
    store.load(table).unwrap().into_iter().map(show).collect()
}

fn suite(store: &dyn Rows) {
    for table in Table::ALL {
        assert!(rows(store, table).is_empty(), "{table:?}");
        let fresh = vec![
            write(table, "MA2", (1, 0), Some("c")),
            write(table, "MA1", (u64::MAX >> 1, 2), Some("b")),
            write(table, "MA1", (3, 9), Some("a")),
        ];
        commit(store, fresh).recv().unwrap().unwrap();
        let far = format!("MA1 {} 2 b", u64::MAX >> 1);
        assert_eq!(rows(store, table), ["MA1 3 9 a", &far, "MA2 1 0 c"], "{table:?}");
        let changed = vec![
            write(table, "MA1", (3, 9), Some("z")),
            write(table, "MA1", (u64::MAX >> 1, 2), None),
            write(table, "MA2", (5, 0), None),
            write(table, "MA2", (1, 0), Some("first")),
            write(table, "MA2", (1, 0), Some("last")),
        ];
        commit(store, changed).recv().unwrap().unwrap();
        assert_eq!(rows(store, table), ["MA1 3 9 z", "MA2 1 0 last"], "{table:?}");
    }
    let many = (0..2_000).map(|n| commit(store, vec![write(Table::Audit, "M", (1, n), Some("x"))]));
    for told in many.collect::<Vec<_>>() {
        told.recv().unwrap().unwrap();
    }
    assert_eq!(rows(store, Table::Audit).len(), 2_002);
}

#[test]
fn both_stores_pass_the_suite() {
    suite(&Memory::default());
    let temp = tempdir().unwrap();
    suite(&Sqlite::open(&temp.path().join("s.db")).unwrap());
}

#[test]
fn what_is_queued_is_written_when_the_store_closes() {
    let temp = tempdir().unwrap();
    let path = temp.path().join("s.db");
    let store = Sqlite::open(&path).unwrap();
    (0..500).for_each(|n| drop(commit(&store, vec![write(Table::Bans, "M", (n, 0), Some("x"))])));
    drop(store);
    assert_eq!(rows(&Sqlite::open(&path).unwrap(), Table::Bans).len(), 500);
}

#[test]
fn a_store_of_a_later_version_is_refused_and_one_that_is_none() {
    let temp = tempdir().unwrap();
    let path = temp.path().join("s.db");
    drop(Sqlite::open(&path).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let refused = Sqlite::open(&path).unwrap_err().to_string();
    assert!(refused.contains("it has version 99, and this conflow knows 2"), "{refused}");
    let path = temp.path().join("text.db");
    fs::write(&path, "no database, but long enough for a header. ".repeat(30)).unwrap();
    let refused = Sqlite::open(&path).unwrap_err().to_string();
    assert!(refused.contains("text.db: file is not a database"), "{refused}");
}

/// Names the file, in the process that is to be killed.
const VICTIM: &str = "STORE_VICTIM";

/// Not a test, but what the next one kills.
#[test]
fn victim_of_a_kill() {
    let Ok(path) = env::var(VICTIM) else { return };
    let store = Sqlite::open(Path::new(&path)).unwrap();
    let mut waiting = Vec::new();
    for n in 0.. {
        let writes = vec![
            write(Table::Members, "M", (n, 0), Some("out")),
            write(Table::Audit, "M", (n, 0), Some("out")),
        ];
        waiting.push((n, commit(&store, writes)));
        if waiting.len() == 64 {
            for (n, told) in waiting.drain(..) {
                told.recv().unwrap().unwrap();
                writeln!(stdout(), "acknowledged {n}").unwrap();
            }
        }
    }
}

#[test]
fn a_kill_in_the_middle_of_a_burst_loses_nothing_that_was_acknowledged() {
    let temp = tempdir().unwrap();
    let path = temp.path().join("s.db");
    let test = "groups::store::victim_of_a_kill";
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(VICTIM, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let number = |it: String| it.split("acknowledged ").nth(1).and_then(|it| it.parse().ok());
    let mut acknowledged = lines.map(Result::unwrap).filter_map(number).collect_while(2_000);
    victim.kill().unwrap();
    victim.wait().unwrap();
    // What it said before it died counts as well.
    acknowledged.0.extend(acknowledged.1);
    let last: u64 = *acknowledged.0.last().unwrap();
    assert!(2_000 <= last + 1, "{last}");

    let store = Sqlite::open(&path).unwrap();
    let (members, audit) = (rows(&store, Table::Members), rows(&store, Table::Audit));
    assert_eq!(members, audit, "half of a commit");
    assert!(usize::try_from(last).unwrap() < members.len(), "{last} is lost");
}

trait CollectWhile: Iterator + Sized {
    /// So many, and the rest to be read later.
    fn collect_while(mut self, n: usize) -> (Vec<Self::Item>, Self) {
        (self.by_ref().take(n).collect(), self)
    }
}

impl<I: Iterator> CollectWhile for I {}
