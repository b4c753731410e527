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
    MemberIdSource,
    folder::{DataFolder, StoreError},
    rows::{RowStore, RowStoreError, RowWrite, StoredRow, Table},
};
use crate::base::ids::{AccountId, MemberId};

/// The member ids of a data folder.
pub struct MemberIdBlocks {
    rows: Arc<dyn RowStore>,
    /// Locked for reading but for the first id of an account.
    counters: RwLock<BTreeMap<AccountId, Arc<MemberIdCounter>>>,
    /// Whoever sets a mark has it, until it is set for good.
    reserving: Mutex<()>,
}

/// Its two numbers are used in one order by all: an id is taken first, then the mark is looked
/// at; whoever lowers the mark does so first, then looks at the last id.
#[derive(Debug)]
struct MemberIdCounter {
    last: AtomicU64,
    /// Up to this, ids are good.
    reserved_until: AtomicU64,
}

/// Where marks were before there were rows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OldBlocksFile {
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

impl MemberIdBlocks {
    /// Takes up the ids where the last process left off; marks in the file of an earlier version
    /// are taken over, and the file is removed.
    ///
    /// # Errors
    ///
    /// The rows cannot be read or make no sense; [`StoreError::Damaged`] if the file makes none.
    pub fn open(folder: &DataFolder, rows: Arc<dyn RowStore>) -> Result<Self, StoreError> {
        let mut blocks = BTreeMap::new();
        for row in rows.load(Table::MemberIdBlocks)? {
            blocks.insert(row.account.clone(), row.parse::<u64>(Table::MemberIdBlocks)?);
        }
        let old = old_file(folder)?;
        for (account, end) in old.iter().flatten() {
            let found = blocks.entry(account.clone()).or_default();
            *found = u64::max(*found, *end);
        }
        if old.is_some() {
            write_blocks(&*rows, blocks.iter().map(|(account, end)| (account.clone(), *end)))?;
            folder.remove(OLD_FILE)?;
        }
        let counter = |(account, end): (AccountId, u64)| {
            (account, Arc::new(MemberIdCounter { last: end.into(), reserved_until: end.into() }))
        };
        let counters = RwLock::new(blocks.into_iter().map(counter).collect());
        Ok(Self { rows, counters, reserving: Mutex::default() })
    }

    /// Sets the marks to the last ids given. Ids can be had afterwards as before.
    ///
    /// # Errors
    ///
    /// The store cannot write: the marks stay where they were, and the rest of a block is lost.
    pub fn close(&self) -> Result<(), RowStoreError> {
        let _reserving = self.reserving.lock();
        let mut blocks = Vec::new();
        for (account, counter) in &*self.counters.read() {
            counter.reserved_until.store(0, SeqCst);
            blocks.push((account.clone(), counter.last.load(SeqCst)));
        }
        write_blocks(&*self.rows, blocks)
    }

    fn counter(&self, account: &AccountId) -> Arc<MemberIdCounter> {
        if let Some(counter) = self.counters.read().get(account) {
            return counter.clone();
        }
        let fresh = || Arc::new(MemberIdCounter { last: 0.into(), reserved_until: 0.into() });
        self.counters.write().entry(account.clone()).or_insert_with(fresh).clone()
    }

    /// Sets an account's mark ahead, unless another has done so meanwhile.
    fn reserve(&self, account: &AccountId, counter: &MemberIdCounter, id: u64) {
        let _reserving = self.reserving.lock();
        if id <= counter.reserved_until.load(SeqCst) {
            return;
        }
        let end = id + BLOCK;
        // Without a disk, callers can still meet: what is at stake is a number given twice.
        if let Err(error) = write_blocks(&*self.rows, [(account.clone(), end)]) {
            tracing::error!("member ids may come twice after the next start: {error}");
        }
        counter.reserved_until.store(end, SeqCst);
    }
}

/// Whether a row of [`Table::MemberIdBlocks`] can be read.
///
/// # Errors
///
/// It makes no sense.
pub fn check(row: &StoredRow) -> Result<(), RowStoreError> {
    row.parse::<u64>(Table::MemberIdBlocks).map(drop)
}

/// Waits until they are durable.
fn write_blocks(
    rows: &dyn RowStore,
    blocks: impl IntoIterator<Item = (AccountId, u64)>,
) -> Result<(), RowStoreError> {
    let write = |(account, end)| RowWrite::put(Table::MemberIdBlocks, &account, 0, &end);
    let (tell, written) = channel();
    let done = move |written| drop(tell.send(written));
    rows.commit(blocks.into_iter().map(write).collect(), Box::new(done));
    written.recv().unwrap_or_else(|_| Err(RowStoreError("the store has ended".to_owned())))
}

fn old_file(folder: &DataFolder) -> Result<Option<BTreeMap<AccountId, u64>>, StoreError> {
    let Some(bytes) = folder.read(OLD_FILE)? else { return Ok(None) };
    let damaged = |why| StoreError::Damaged { path: folder.path(OLD_FILE), why };
    let file: OldBlocksFile =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if file.version != OLD_VERSION {
        let why = format!("version {} where {OLD_VERSION} is known", file.version);
        return Err(damaged(why));
    }
    Ok(Some(file.members))
}

impl fmt::Debug for MemberIdBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberIdBlocks").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl MemberIdSource for MemberIdBlocks {
    fn next(&self, account: &AccountId) -> MemberId {
        let counter = self.counter(account);
        let id = counter.last.fetch_add(1, SeqCst) + 1;
        if counter.reserved_until.load(SeqCst) < id {
            self.reserve(account, &counter, id);
        }
        MemberId(id)
    }
}

/// Member ids that begin anew with each process: for tests and trials.
#[derive(Debug, Default)]
pub struct VolatileMemberIds {
    last: Mutex<BTreeMap<AccountId, u64>>,
}

impl MemberIdSource for VolatileMemberIds {
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
    use crate::store::rows_memory::MemoryRows;

    /// Rows that outlive whoever has them open.
    #[derive(Default)]
    struct Disk(Arc<MemoryRows>);

    impl Disk {
        fn open(&self) -> MemberIdBlocks {
            let temp = tempdir().unwrap();
            self.open_in(temp.path()).unwrap()
        }

        fn open_in(&self, path: &Path) -> Result<MemberIdBlocks, StoreError> {
            MemberIdBlocks::open(&DataFolder::hold(path)?, self.0.clone())
        }
    }

    fn take(ids: &impl MemberIdSource, account: &str, n: usize) -> Vec<u64> {
        let account = account.parse().unwrap();
        (0..n).map(|_| ids.next(&account).0).collect()
    }

    #[test]
    fn every_account_counts_from_one() {
        let disk = Disk::default();
        let ids = disk.open();
        assert_eq!(take(&ids, "MA1", 3), [1, 2, 3]);
        assert_eq!(take(&ids, "MA2", 2), [1, 2]);
        assert_eq!(take(&VolatileMemberIds::default(), "MA1", 2), [1, 2]);
    }

    #[test]
    fn after_a_planned_end_the_ids_go_on_without_a_gap() {
        let disk = Disk::default();
        let ids = disk.open();
        take(&ids, "MA1", 3);
        ids.close().unwrap();
        assert_eq!(take(&ids, "MA1", 1), [4]);
        ids.close().unwrap();
        drop(ids);
        assert_eq!(take(&disk.open(), "MA1", 2), [5, 6]);
    }

    #[test]
    fn after_a_crash_no_id_comes_again() {
        let disk = Disk::default();
        let (mut last, mut seen) = (0, BTreeSet::new());
        for n in [1, 2, usize::try_from(BLOCK).unwrap() + 5, 3] {
            // Dropped without a close.
            let ids = disk.open();
            for id in take(&ids, "MA1", n) {
                assert!(last < id && seen.insert(id), "{id} after {last}");
                last = id;
            }
        }
    }

    #[test]
    fn ids_given_after_a_close_are_reserved_as_well() {
        let disk = Disk::default();
        let ids = disk.open();
        take(&ids, "MA1", 3);
        ids.close().unwrap();
        take(&ids, "MA1", 1);
        drop(ids);
        assert!(4 < take(&disk.open(), "MA1", 1)[0]);
    }

    #[test]
    fn many_threads_get_each_id_once() {
        let disk = Disk::default();
        let ids = disk.open();
        let taken = thread::scope(|scope| {
            let takers = [0; 4].map(|_| scope.spawn(|| take(&ids, "MA1", 8_000)));
            for _ in 0..20 {
                ids.close().unwrap();
            }
            takers.into_iter().flat_map(|it| it.join().unwrap()).collect::<BTreeSet<_>>()
        });
        assert_eq!(taken.into_iter().collect::<Vec<_>>(), (1..=32_000).collect::<Vec<_>>());
        drop(ids);
        assert!(32_000 < take(&disk.open(), "MA1", 1)[0]);
    }

    #[test]
    fn the_file_of_an_earlier_version_is_taken_over_once() {
        let (disk, temp) = (Disk::default(), tempdir().unwrap());
        let path = temp.path().join(OLD_FILE);
        take(&disk.open(), "MA2", 1);
        fs::write(&path, "{\"version\":1,\"members\":{\"MA1\":7,\"MA2\":5}}").unwrap();
        let ids = disk.open_in(temp.path()).unwrap();
        assert!(!path.exists());
        assert_eq!(take(&ids, "MA1", 1), [8]);
        assert_eq!(take(&ids, "MA2", 1), [BLOCK + 2]);
        ids.close().unwrap();
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
