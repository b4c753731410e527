//! Backups and checks of a store from another process, while it is being written.

use std::{fs, iter, os::unix::fs::PermissionsExt};

use conflow::store::{inspect::Inspection, rows::Table};
use tempfile::tempdir;

use super::{commit, rows, sqlite, write};

#[test]
fn a_backup_during_writes_has_whole_commits_and_everything_acknowledged() {
    let temp = tempdir().unwrap();
    let (path, backup) = (temp.path().join("s.db"), temp.path().join("b.db"));
    let store = sqlite(&path);
    let pair = |n| {
        let row = |table| write(table, "M", (n, 0), Some("x"));
        commit(&*store, vec![row(Table::Members), row(Table::Audit)])
    };
    let acknowledged = (0..500).map(pair).collect::<Vec<_>>();
    acknowledged.into_iter().for_each(|it| it.recv().unwrap().unwrap());
    let more: Vec<_> = (500..20_000).map(pair).collect();
    Inspection::open(&path).unwrap().copy_to(&backup, None, iter::empty()).unwrap();
    more.into_iter().for_each(|it| it.recv().unwrap().unwrap());
    assert_eq!(rows(&*store, Table::Members).len(), 20_000);

    let names = fs::read_dir(temp.path()).unwrap().map(|it| it.unwrap().file_name());
    assert!(names.into_iter().all(|it| !it.to_string_lossy().contains("partial")));
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = Inspection::open(&backup).unwrap();
    assert_eq!(copy.errors().unwrap(), [""; 0]);
    assert_eq!(copy.versions().0, copy.versions().1);
    drop(copy);
    let restored = sqlite(&backup);
    let (members, audit) = (rows(&*restored, Table::Members), rows(&*restored, Table::Audit));
    assert!(500 <= members.len() && members.len() < 20_000, "{}", members.len());
    assert_eq!(members, audit, "half of a commit");
}

#[test]
fn a_backup_overwrites_nothing_and_leaves_no_partial_file() {
    let temp = tempdir().unwrap();
    let (path, backup) = (temp.path().join("s.db"), temp.path().join("b.db"));
    drop(sqlite(&path));
    let store = Inspection::open(&path).unwrap();
    let partial = temp.path().join("b.db.partial");
    for (taken, expected) in [(&backup, "there is a file of that name"), (&partial, "partial")] {
        fs::write(taken, "mine").unwrap();
        let refused = store.copy_to(&backup, None, iter::empty()).unwrap_err().to_string();
        assert!(refused.contains("b.db") && refused.contains(expected), "{refused}");
        assert_eq!(fs::read_to_string(taken).unwrap(), "mine");
        fs::remove_file(taken).unwrap();
        assert!(!backup.exists() && !partial.exists());
    }
    let refused =
        store.copy_to(&temp.path().join("no/b.db"), None, iter::empty()).unwrap_err().to_string();
    assert!(refused.contains("no/b.db: No such file"), "{refused}");
    store.copy_to(&backup, None, iter::empty()).unwrap();
}
