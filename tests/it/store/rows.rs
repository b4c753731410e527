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

/// A later release has added to the store, and says that this one can use it.
#[test]
fn a_store_that_a_later_release_has_only_added_to_is_used_and_stays_its() {
    let temp = tempdir().unwrap();
    let path = temp.path().join("s.db");
    drop(Sqlite::open(&path).unwrap());
    let number = |name| {
        let raw = rusqlite::Connection::open(&path).unwrap();
        raw.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).unwrap()
    };
    let (known, note) = (number("user_version"), number("application_id"));
    assert_eq!(note >> 16, known);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(
        "ALTER TABLE bans ADD COLUMN more TEXT; ALTER TABLE cdrs ADD COLUMN more TEXT",
    )
    .unwrap();
    raw.pragma_update(None, "user_version", known + 1).unwrap();
    raw.pragma_update(None, "application_id", (known + 1) << 16 | known).unwrap();
    drop(raw);
    let store = Sqlite::open(&path).unwrap();
    for table in [Table::Bans, Table::Cdrs, Table::Recordings] {
        commit(&store, vec![write(table, "M", (1, 0), Some("{}"))]).recv().unwrap().unwrap();
        assert_eq!(rows(&store, table).len(), 1);
    }
    commit(&store, Vec::new()).recv().unwrap().unwrap();
    drop(store);
    assert_eq!(number("user_version"), known + 1);
    assert_eq!(number("application_id"), (known + 1) << 16 | known);

    // The next one has taken away what this one needs.
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "application_id", (known + 1) << 16 | (known + 1)).unwrap();
    drop(raw);
    let refused = Sqlite::open(&path).unwrap_err().to_string();
    assert!(refused.contains(&format!("it has version {}", known + 1)), "{refused}");
}

/// What a migration does beyond adding, which a program of the release before would not survive.
fn not_an_addition(migration: &str) -> Option<String> {
    let text: Vec<_> = migration.lines().map(|it| it.split("--").next().unwrap()).collect();
    let text = text.join(" ");
    let mut made = Vec::new();
    let words = |it: &str| it.split_whitespace().map(str::to_uppercase).collect::<Vec<_>>();
    text.split(';').map(words).filter(|it| !it.is_empty()).find_map(|words| {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let adds = match &words[..] {
            ["CREATE", "TABLE", name, ..] => {
                made.push((*name).to_owned());
                true
            }
            ["CREATE", "INDEX", ..] => true,
            // The programs before do not know the column.
            ["ALTER", "TABLE", _, "ADD", "COLUMN", rest @ ..] => {
                !rest.windows(2).any(|it| it == ["NOT", "NULL"]) || rest.contains(&"DEFAULT")
            }
            ["INSERT", "INTO", name, ..] => made.iter().any(|it| it == name),
            _ => false,
        };
        (!adds).then(|| words.join(" "))
    })
}

/// Expand first, contract one release later: CONTRIBUTING.md has the rule.
#[test]
fn migrations_after_the_one_that_stores_are_usable_from_only_add() {
    for (migration, adds) in [
        ("-- A table.\nCREATE TABLE x (a INTEGER); CREATE INDEX y ON x (a);", true),
        ("CREATE TABLE x (a TEXT);\nINSERT INTO x SELECT body FROM bans;", true),
        ("ALTER TABLE bans ADD COLUMN more TEXT", true),
        ("ALTER TABLE bans ADD COLUMN more TEXT NOT NULL DEFAULT ''", true),
        ("ALTER TABLE bans ADD COLUMN more TEXT NOT NULL", false),
        ("ALTER TABLE bans RENAME COLUMN body TO text", false),
        ("INSERT INTO bans SELECT * FROM room_bans", false),
        ("UPDATE bans SET body = ''", false),
        ("CREATE TABLE x (a TEXT); DROP TABLE bans", false),
        ("CREATE UNIQUE INDEX y ON bans (body)", false),
        ("DELETE FROM bans", false),
    ] {
        assert_eq!(not_an_addition(migration).is_none(), adds, "{migration}");
    }
    let temp = tempdir().unwrap();
    let path = temp.path().join("s.db");
    drop(Sqlite::open(&path).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    let note = raw.pragma_query_value(None, "application_id", |row| row.get::<_, u32>(0)).unwrap();
    let (known, usable_from) = (note >> 16, note & 0xFFFF);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/migrations");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), known as usize);
    for file in &files[usable_from as usize..] {
        let found = not_an_addition(&fs::read_to_string(file).unwrap());
        assert_eq!(found, None, "{}", file.display());
    }
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
