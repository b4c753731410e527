//! Member ids: counters, and the marks in rows that keep an id from ever being given twice.
//!
//! A mark says that the ids up to it may have been given. It is set ahead, a block at a time, so
//! that a crash costs the rest of a block and nothing else; a planned end sets it to the last id
//! given, so that the next start goes on without a gap.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc::channel,
    },
};

use parking_lot::{Mutex, RwLock};
use serde::Deserialize;

use super::{
    MemberIds,
    folder::{DataFolder, StoreError},
    rows::{Row, Rows, RowsError, Table, Write},
};
use crate::base::ids::{AccountId, MemberId};

/// The member ids of a data folder.
pub struct Marks {
    rows: Arc<dyn Rows>,
    /// Locked for reading but for the first id of an account.
    counters: RwLock<BTreeMap<AccountId, Arc<Counter>>>,
    /// Whoever sets a mark has it, until it is set for good.
    setting: Mutex<()>,
}

/// Its two numbers are used in one order by all: an id is taken first, then the mark is looked
/// at; whoever lowers the mark does so first, then looks at the last id.
#[derive(Debug)]
struct Counter {
    last: AtomicU64,
    /// Up to this, ids are good.
    mark: AtomicU64,
}

/// Where marks were before there were rows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OldFile {
    version: u32,
    /// By account: the ids up to this one may have been given.
    members: BTreeMap<AccountId, u64>,
}

/// How many ids are set aside at a time: at 10,000 joins a second, one write a second.
const BLOCK: u64 = 10_000;
/// The form of the old file.
const OLD_VERSION: u32 = 1;
/// Its name in the data folder.
const OLD_FILE: &str = "marks.json";

impl Marks {
    /// Takes up the ids where the last process left off; marks in the file of an earlier version
    /// are taken over, and the file is removed.
    ///
    /// # Errors
    ///
    /// The rows cannot be read or make no sense; [`StoreError::Damaged`] if the file makes none.
    pub fn open(folder: &DataFolder, rows: Arc<dyn Rows>) -> Result<Self, StoreError> {
        let mut marks = BTreeMap::new();
        for row in rows.load(Table::Marks)? {
            marks.insert(row.account.clone(), row.parse::<u64>(Table::Marks)?);
        }
        let old = old_file(folder)?;
        for (account, mark) in old.iter().flatten() {
            let found = marks.entry(account.clone()).or_default();
            *found = u64::max(*found, *mark);
        }
        if old.is_some() {
            set(&*rows, marks.iter().map(|(account, mark)| (account.clone(), *mark)))?;
            folder.remove(OLD_FILE)?;
        }
        let counter = |(account, mark): (AccountId, u64)| {
            (account, Arc::new(Counter { last: mark.into(), mark: mark.into() }))
        };
        let counters = RwLock::new(marks.into_iter().map(counter).collect());
        Ok(Self { rows, counters, setting: Mutex::default() })
    }

    /// Sets the marks to the last ids given. Ids can be had afterwards as before.
    ///
    /// # Errors
    ///
    /// The store cannot write: the marks stay where they were, and the rest of a block is lost.
    pub fn close(&self) -> Result<(), RowsError> {
        let _setting = self.setting.lock();
        let mut marks = Vec::new();
        for (account, counter) in &*self.counters.read() {
            counter.mark.store(0, SeqCst);
            marks.push((account.clone(), counter.last.load(SeqCst)));
        }
        set(&*self.rows, marks)
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
        let _setting = self.setting.lock();
        if id <= counter.mark.load(SeqCst) {
            return;
        }
        let mark = id + BLOCK;
        // Without a disk, callers can still meet: what is at stake is a number given twice.
        if let Err(error) = set(&*self.rows, [(account.clone(), mark)]) {
            tracing::error!("member ids may come twice after the next start: {error}");
        }
        counter.mark.store(mark, SeqCst);
    }
}

/// Whether a row of [`Table::Marks`] can be read.
///
/// # Errors
///
/// It makes no sense.
pub fn check(row: &Row) -> Result<(), RowsError> {
    row.parse::<u64>(Table::Marks).map(drop)
}

/// Waits until they are durable.
fn set(
    rows: &dyn Rows,
    marks: impl IntoIterator<Item = (AccountId, u64)>,
) -> Result<(), RowsError> {
    let write = |(account, mark)| Write::put(Table::Marks, &account, 0, &mark);
    let (tell, told) = channel();
    let done = move |written| drop(tell.send(written));
    rows.commit(marks.into_iter().map(write).collect(), Box::new(done));
    told.recv().unwrap_or_else(|_| Err(RowsError("the store has ended".to_owned())))
}

fn old_file(folder: &DataFolder) -> Result<Option<BTreeMap<AccountId, u64>>, StoreError> {
    let Some(bytes) = folder.read(OLD_FILE)? else { return Ok(None) };
    let damaged = |why| StoreError::Damaged { path: folder.path(OLD_FILE), why };
    let file: OldFile =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if file.version != OLD_VERSION {
        let why = format!("version {} where {OLD_VERSION} is known", file.version);
        return Err(damaged(why));
    }
    Ok(Some(file.members))
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marks").field("counters", &self.counters).finish_non_exhaustive()
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
    use crate::store::rows_memory::Memory;

    /// Rows that outlive whoever has them open.
    #[derive(Default)]
    struct Disk(Arc<Memory>);

    impl Disk {
        fn open(&self) -> Marks {
            let temp = tempdir().unwrap();
            self.open_in(temp.path()).unwrap()
        }

        fn open_in(&self, path: &Path) -> Result<Marks, StoreError> {
            Marks::open(&DataFolder::hold(path)?, self.0.clone())
        }
    }

    fn take(ids: &impl MemberIds, account: &str, n: usize) -> Vec<u64> {
        let account = account.parse().unwrap();
        (0..n).map(|_| ids.next(&account).0).collect()
    }

    #[test]
    fn every_account_counts_from_one() {
        let disk = Disk::default();
        let marks = disk.open();
        assert_eq!(take(&marks, "MA1", 3), [1, 2, 3]);
        assert_eq!(take(&marks, "MA2", 2), [1, 2]);
        assert_eq!(take(&Volatile::default(), "MA1", 2), [1, 2]);
    }

    #[test]
    fn after_a_planned_end_the_ids_go_on_without_a_gap() {
        let disk = Disk::default();
        let marks = disk.open();
        take(&marks, "MA1", 3);
        marks.close().unwrap();
        assert_eq!(take(&marks, "MA1", 1), [4]);
        marks.close().unwrap();
        drop(marks);
        assert_eq!(take(&disk.open(), "MA1", 2), [5, 6]);
    }

    #[test]
    fn after_a_crash_no_id_comes_again() {
        let disk = Disk::default();
        let (mut last, mut seen) = (0, BTreeSet::new());
        for n in [1, 2, usize::try_from(BLOCK).unwrap() + 5, 3] {
            // Dropped without a close.
            let marks = disk.open();
            for id in take(&marks, "MA1", n) {
                assert!(last < id && seen.insert(id), "{id} after {last}");
                last = id;
            }
        }
    }

    #[test]
    fn ids_given_after_a_close_are_marked_as_well() {
        let disk = Disk::default();
        let marks = disk.open();
        take(&marks, "MA1", 3);
        marks.close().unwrap();
        take(&marks, "MA1", 1);
        drop(marks);
        assert!(4 < take(&disk.open(), "MA1", 1)[0]);
    }

    #[test]
    fn many_threads_get_each_id_once() {
        let disk = Disk::default();
        let marks = disk.open();
        let ids = thread::scope(|scope| {
            let takers = [0; 4].map(|_| scope.spawn(|| take(&marks, "MA1", 8_000)));
            for _ in 0..20 {
                marks.close().unwrap();
            }
            takers.into_iter().flat_map(|it| it.join().unwrap()).collect::<BTreeSet<_>>()
        });
        assert_eq!(ids.into_iter().collect::<Vec<_>>(), (1..=32_000).collect::<Vec<_>>());
        drop(marks);
        assert!(32_000 < take(&disk.open(), "MA1", 1)[0]);
    }

    #[test]
    fn the_file_of_an_earlier_version_is_taken_over_once() {
        let (disk, temp) = (Disk::default(), tempdir().unwrap());
        let path = temp.path().join(OLD_FILE);
        take(&disk.open(), "MA2", 1);
        fs::write(&path, "{\"version\":1,\"members\":{\"MA1\":7,\"MA2\":5}}").unwrap();
        let marks = disk.open_in(temp.path()).unwrap();
        assert!(!path.exists());
        assert_eq!(take(&marks, "MA1", 1), [8]);
        assert_eq!(take(&marks, "MA2", 1), [BLOCK + 2]);
        marks.close().unwrap();
        assert_eq!(take(&disk.open_in(temp.path()).unwrap(), "MA1", 1), [9]);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_named() {
        let check = |text: &str, expected: &str| {
            let temp = tempdir().unwrap();
            fs::write(temp.path().join(OLD_FILE), text).unwrap();
            let refused = Disk::default().open_in(temp.path()).unwrap_err().to_string();
            assert!(refused.contains("marks.json is damaged"), "{refused}");
            assert!(refused.contains(expected), "{refused}");
        };
        check("", "EOF");
        check("{\"version\":1,\"members\":{\"MA1\":-1}}", "invalid value");
        check("{\"version\":1,\"members\":{},\"rooms\":{}}", "unknown field `rooms`");
        check("{\"version\":2,\"members\":{}}", "version 2 where 1 is known");
    }
}
