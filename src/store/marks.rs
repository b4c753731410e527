//! Member ids: counters, and the marks on disk that keep an id from ever being given twice.
//!
//! A mark says that the ids up to it may have been given. It is set ahead, a block at a time, so
//! that a crash costs the rest of a block and nothing else; a planned end sets it to the last id
//! given, so that the next start goes on without a gap.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::{
    MemberIds,
    folder::{DataFolder, StoreError},
};
use crate::ids::{AccountId, MemberId};

/// The member ids of a data folder.
#[derive(Debug)]
pub struct Marks {
    folder: Arc<DataFolder>,
    /// Locked for reading but for the first id of an account.
    counters: RwLock<BTreeMap<AccountId, Arc<Counter>>>,
    /// As they are on disk.
    marks: Mutex<BTreeMap<AccountId, u64>>,
}

/// Its two numbers are used in one order by all: an id is taken first, then the mark is looked
/// at; whoever lowers the mark does so first, then looks at the last id.
#[derive(Debug)]
struct Counter {
    last: AtomicU64,
    /// Up to this, ids are good.
    mark: AtomicU64,
}

/// What is on disk.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    /// By account: the ids up to this one may have been given.
    members: BTreeMap<AccountId, u64>,
}

/// How many ids are set aside at a time: at 10,000 joins a second, one write a second.
const BLOCK: u64 = 10_000;
/// The form of the file.
const VERSION: u32 = 1;
/// The file's name in the data folder.
const FILE: &str = "marks.json";

impl Marks {
    /// Takes up the ids where the last process left off.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if the file makes no sense, or is of a later version.
    pub fn open(folder: Arc<DataFolder>) -> Result<Self, StoreError> {
        let marks = match folder.read(FILE)? {
            None => BTreeMap::new(),
            Some(bytes) => {
                let damaged = |why| StoreError::Damaged { path: folder.path(FILE), why };
                let file: File =
                    serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
                if file.version != VERSION {
                    let why = format!("version {} where {VERSION} is known", file.version);
                    return Err(damaged(why));
                }
                file.members
            }
        };
        let counter = |(account, mark): (&AccountId, &u64)| {
            (account.clone(), Arc::new(Counter { last: (*mark).into(), mark: (*mark).into() }))
        };
        let counters = RwLock::new(marks.iter().map(counter).collect());
        Ok(Self { folder, counters, marks: Mutex::new(marks) })
    }

    /// Sets the marks to the last ids given. Ids can be had afterwards as before.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`]: the marks stay where they were, and the rest of a block is lost.
    pub fn close(&self) -> Result<(), StoreError> {
        let mut marks = self.marks.lock();
        for (account, counter) in &*self.counters.read() {
            counter.mark.store(0, SeqCst);
            marks.insert(account.clone(), counter.last.load(SeqCst));
        }
        self.write(&marks)
    }

    fn counter(&self, account: &AccountId) -> Arc<Counter> {
        if let Some(counter) = self.counters.read().get(account) {
            return counter.clone();
        }
        let fresh = || Arc::new(Counter { last: 0.into(), mark: 0.into() });
        self.counters.write().entry(account.clone()).or_insert_with(fresh).clone()
    }

    /// Sets an account's mark ahead, unless another has done so meanwhile.
    fn reserve(&self, account: &AccountId, counter: &Counter, id: u64) {
        let mut marks = self.marks.lock();
        if id <= counter.mark.load(SeqCst) {
            return;
        }
        let mark = id + BLOCK;
        marks.insert(account.clone(), mark);
        // Without a disk, callers can still meet: what is at stake is a number given twice.
        if let Err(error) = self.write(&marks) {
            tracing::error!("member ids may come twice after the next start: {error}");
        }
        counter.mark.store(mark, SeqCst);
    }

    fn write(&self, marks: &BTreeMap<AccountId, u64>) -> Result<(), StoreError> {
        let file = File { version: VERSION, members: marks.clone() };
        let bytes = serde_json::to_vec_pretty(&file).expect("names and numbers are JSON");
        self.folder.write(FILE, &bytes)
    }
}

impl MemberIds for Marks {
    fn next(&self, account: &AccountId) -> MemberId {
        let counter = self.counter(account);
        let id = counter.last.fetch_add(1, SeqCst) + 1;
        if counter.mark.load(SeqCst) < id {
            self.reserve(account, &counter, id);
        }
        MemberId(id)
    }
}

/// Member ids that begin anew with each process: for tests and trials.
#[derive(Debug, Default)]
pub struct Volatile {
    last: Mutex<BTreeMap<AccountId, u64>>,
}

impl MemberIds for Volatile {
    fn next(&self, account: &AccountId) -> MemberId {
        let mut last = self.last.lock();
        let last = last.entry(account.clone()).or_default();
        *last += 1;
        MemberId(*last)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path, thread};

    use tempfile::tempdir;

    use super::*;

    fn open(path: &Path) -> Result<Marks, StoreError> {
        Marks::open(Arc::new(DataFolder::hold(path)?))
    }

    fn take(ids: &impl MemberIds, account: &str, n: usize) -> Vec<u64> {
        let account = account.parse().unwrap();
        (0..n).map(|_| ids.next(&account).0).collect()
    }

    #[test]
    fn every_account_counts_from_one() {
        let temp = tempdir().unwrap();
        let marks = open(temp.path()).unwrap();
        assert_eq!(take(&marks, "MA1", 3), [1, 2, 3]);
        assert_eq!(take(&marks, "MA2", 2), [1, 2]);
        assert_eq!(take(&Volatile::default(), "MA1", 2), [1, 2]);
    }

    #[test]
    fn after_a_planned_end_the_ids_go_on_without_a_gap() {
        let temp = tempdir().unwrap();
        let marks = open(temp.path()).unwrap();
        take(&marks, "MA1", 3);
        marks.close().unwrap();
        assert_eq!(take(&marks, "MA1", 1), [4]);
        marks.close().unwrap();
        drop(marks);
        assert_eq!(take(&open(temp.path()).unwrap(), "MA1", 2), [5, 6]);
    }

    #[test]
    fn after_a_crash_no_id_comes_again() {
        let temp = tempdir().unwrap();
        let (mut last, mut seen) = (0, BTreeSet::new());
        for n in [1, 2, usize::try_from(BLOCK).unwrap() + 5, 3] {
            // Dropped without a close.
            let marks = open(temp.path()).unwrap();
            for id in take(&marks, "MA1", n) {
                assert!(last < id && seen.insert(id), "{id} after {last}");
                last = id;
            }
        }
    }

    #[test]
    fn ids_given_after_a_close_are_marked_as_well() {
        let temp = tempdir().unwrap();
        let marks = open(temp.path()).unwrap();
        take(&marks, "MA1", 3);
        marks.close().unwrap();
        take(&marks, "MA1", 1);
        drop(marks);
        assert!(4 < take(&open(temp.path()).unwrap(), "MA1", 1)[0]);
    }

    #[test]
    fn many_threads_get_each_id_once() {
        let temp = tempdir().unwrap();
        let marks = open(temp.path()).unwrap();
        let ids = thread::scope(|scope| {
            let takers = [0; 4].map(|_| scope.spawn(|| take(&marks, "MA1", 8_000)));
            for _ in 0..20 {
                marks.close().unwrap();
            }
            takers.into_iter().flat_map(|it| it.join().unwrap()).collect::<BTreeSet<_>>()
        });
        assert_eq!(ids.into_iter().collect::<Vec<_>>(), (1..=32_000).collect::<Vec<_>>());
        drop(marks);
        assert!(32_000 < take(&open(temp.path()).unwrap(), "MA1", 1)[0]);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_named() {
        let check = |text: &str, expected: &str| {
            let temp = tempdir().unwrap();
            fs::write(temp.path().join(FILE), text).unwrap();
            let refused = open(temp.path()).unwrap_err().to_string();
            assert!(refused.contains("marks.json is damaged"), "{refused}");
            assert!(refused.contains(expected), "{refused}");
        };
        check("", "EOF");
        check("{\"version\":1,\"members\":{\"MA1\":-1}}", "invalid value");
        check("{\"version\":1,\"members\":{},\"rooms\":{}}", "unknown field `rooms`");
        check("{\"version\":2,\"members\":{}}", "version 2 where 1 is known");
    }
}
