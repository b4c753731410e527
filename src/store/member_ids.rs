//! Member id blocks: counters, and rows that keep an id from being allocated twice.
//!
//! A row states the end of the reserved block: ids up to it may be in use. It is written ahead, one
//! block at a time, so that a crash costs only the rest of a block. A planned end sets it to the
//! last allocated id, so that the next start continues without a gap.

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
    /// Locked for writing only for the first id of an account.
    counters: RwLock<BTreeMap<AccountId, Arc<MemberIdCounter>>>,
    /// Held while a block is reserved, until its row is durable.
    reserving: Mutex<()>,
}

/// All users access the two numbers in one order: first an id is taken, then the end of the block
/// is read; a closing store first lowers the end, then reads the last id.
#[derive(Debug)]
struct MemberIdCounter {
    last: AtomicU64,
    /// Ids up to this one may be used.
    reserved_until: AtomicU64,
}

/// File of reserved ids in versions without a row store.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OldBlocksFile {
    version: u32,
    /// By account: ids up to this one may be in use.
    members: BTreeMap<AccountId, u64>,
}

/// Ids reserved at a time: at 10,000 joins a second, one write a second.
const BLOCK: u64 = 10_000;
/// Version of the old file's format.
const OLD_VERSION: u32 = 1;
/// Name of the old file in the data folder.
const OLD_FILE: &str = "marks.json";

impl MemberIdBlocks {
    /// Continues where the last process stopped. Imports the file of an earlier version, and
    /// removes it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Rows`]: the rows cannot be read or are invalid; [`StoreError::Damaged`]: the
    /// file is invalid.
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

    /// Lowers the ends of the blocks to the last allocated ids. Later ids reserve a new block.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the store cannot write. The rows are unchanged, and the rest of a block
    /// is lost.
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

    /// Reserves an account's next block, unless another thread has done so meanwhile.
    fn reserve(&self, account: &AccountId, counter: &MemberIdCounter, id: u64) {
        let _reserving = self.reserving.lock();
        if id <= counter.reserved_until.load(SeqCst) {
            return;
        }
        let end = id + BLOCK;
        // Calls can go on without a disk; the risk is a member id that is used twice.
        if let Err(error) = write_blocks(&*self.rows, [(account.clone(), end)]) {
            tracing::error!("member ids may come twice after the next start: {error}");
        }
        counter.reserved_until.store(end, SeqCst);
    }
}

/// Checks that a row of [`Table::MemberIdBlocks`] can be read.
///
/// # Errors
///
/// [`RowStoreError`]: the row is invalid.
pub fn check(row: &StoredRow) -> Result<(), RowStoreError> {
    row.parse::<u64>(Table::MemberIdBlocks).map(drop)
}

/// Blocks until the rows are durable.
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

/// Member ids that start at 1 in each process, for tests and development.
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

    /// Rows that outlive the [`MemberIdBlocks`] that have them open.
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
            // Dropped without a close, as in a crash.
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
