//! Kill during writes: a process is killed, and everything acknowledged as durable is there.

use std::{
    env,
    io::{BufRead, BufReader, Write as _, stdout},
    path::Path,
    process::{Command, Stdio},
};

use conflow::store::{rows::Table, sqlite::Sqlite};
use tempfile::tempdir;

use super::{commit, rows, write};

/// Environment variable with the path of the store, set in the process that is killed.
const VICTIM: &str = "STORE_VICTIM";

/// Not a test, but the process that the next test kills.
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
            for (n, written) in waiting.drain(..) {
                written.recv().unwrap().unwrap();
                writeln!(stdout(), "acknowledged {n}").unwrap();
            }
        }
    }
}

#[test]
fn a_kill_in_the_middle_of_a_burst_loses_nothing_that_was_acknowledged() {
    let temp = tempdir().unwrap();
    let path = temp.path().join("s.db");
    let test = "store::kill::victim_of_a_kill";
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
    // What it printed before it died counts as well.
    acknowledged.0.extend(acknowledged.1);
    let last: u64 = *acknowledged.0.last().unwrap();
    assert!(2_000 <= last + 1, "{last}");

    let store = Sqlite::open(&path).unwrap();
    let (members, audit) = (rows(&store, Table::Members), rows(&store, Table::Audit));
    assert_eq!(members, audit, "half of a commit");
    assert!(usize::try_from(last).unwrap() < members.len(), "{last} is lost");
}

trait CollectWhile: Iterator + Sized {
    /// Returns the first `n` items, and the rest of the iterator.
    fn collect_while(mut self, n: usize) -> (Vec<Self::Item>, Self) {
        (self.by_ref().take(n).collect(), self)
    }
}

impl<I: Iterator> CollectWhile for I {}
