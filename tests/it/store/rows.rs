//! Rows: the suite of the port, and guarantees of SQLite alone.

use std::fs;

use conflow::store::{inspect::Inspection, rows::Table, sqlite::Sqlite};
use tempfile::tempdir;

use super::{Open, commit, each_store, rows, settle, write};

#[test]
fn every_store_keeps_rows_by_account_and_number_all_of_a_commit_in_order() {
    each_store(suite);
}

fn suite(open: Open<'_>) {
    let store = open();
    let store = &*store;
    for table in Table::ALL {
        assert!(rows(store, table).is_empty(), "{table:?}");
        let fresh = vec![
            write(table, "MA2", (1, 0), Some("\"c\"")),
            write(table, "MA1", (u64::MAX >> 1, 2), Some("\"b\"")),
            write(table, "MA1", (3, 9), Some("\"a\"")),
        ];
        commit(store, fresh).recv().unwrap().unwrap();
        let far = format!("MA1 {} 2 \"b\"", u64::MAX >> 1);
        assert_eq!(rows(store, table), ["MA1 3 9 \"a\"", &far, "MA2 1 0 \"c\""], "{table:?}");
        let changed = vec![
            write(table, "MA1", (3, 9), Some("\"z\"")),
            write(table, "MA1", (u64::MAX >> 1, 2), None),
            write(table, "MA2", (5, 0), None),
            write(table, "MA2", (1, 0), Some("\"first\"")),
            write(table, "MA2", (1, 0), Some("\"last\"")),
        ];
        commit(store, changed).recv().unwrap().unwrap();
        assert_eq!(rows(store, table), ["MA1 3 9 \"z\"", "MA2 1 0 \"last\""], "{table:?}");
    }
    let many = (0..2_000).map(|n| commit(store, vec![write(Table::Audit, "M", (1, n), Some("x"))]));
    for written in many.collect::<Vec<_>>() {
        written.recv().unwrap().unwrap();
    }
    assert_eq!(rows(store, Table::Audit).len(), 2_002);

    // Any text of any length.
    let long = "é\0\"'; DROP TABLE bans; --\n".repeat(10_000);
    commit(store, vec![write(Table::Bans, "a'b", (7, 7), Some(&long))]).recv().unwrap().unwrap();
}

#[test]
fn every_store_has_its_rows_when_it_is_opened_again() {
    each_store(|open| {
        let store = open();
        for table in Table::ALL {
            commit(&*store, vec![write(table, "M\u{fc}", (1, 2), Some("\"\u{1f600}\""))]);
        }
        settle(&*store);
        drop(store);
        for table in Table::ALL {
            assert_eq!(rows(&*open(), table), ["M\u{fc} 1 2 \"\u{1f600}\""], "{table:?}");
        }
    });
}

#[test]
fn every_store_writes_commits_in_the_order_of_the_requests() {
    each_store(|open| {
        let store = open();
        for n in 0..1_000 {
            let text = n.to_string();
            let body = (n % 2 == 1).then_some(&*text);
            drop(commit(&*store, vec![write(Table::Groups, "M", (1, 0), body)]));
        }
        settle(&*store);
        assert_eq!(rows(&*store, Table::Groups), ["M 1 0 999"]);
    });
}

#[test]
fn queued_rows_are_written_when_the_store_closes() {
    let temp = tempdir().unwrap();
    let path = temp.path().join("s.db");
    let store = Sqlite::open(&path).unwrap();
    (0..500).for_each(|n| drop(commit(&store, vec![write(Table::Bans, "M", (n, 0), Some("x"))])));
    drop(store);
    assert_eq!(rows(&Sqlite::open(&path).unwrap(), Table::Bans).len(), 500);
}

#[test]
fn a_store_of_a_later_version_and_a_file_that_is_not_a_store_are_refused() {
    let temp = tempdir().unwrap();
    let path = temp.path().join("s.db");
    drop(Sqlite::open(&path).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let refused = Sqlite::open(&path).unwrap_err().to_string();
    assert!(refused.contains("it has version 99, and this conflow knows "), "{refused}");
    let refused = Inspection::open(&path).unwrap_err().to_string();
    assert!(refused.contains("use a later conflow, or a backup"), "{refused}");
    let path = temp.path().join("text.db");
    fs::write(&path, "no database, but long enough for a header. ".repeat(30)).unwrap();
    let refused = Sqlite::open(&path).unwrap_err().to_string();
    assert!(refused.contains("text.db: file is not a database"), "{refused}");
}
