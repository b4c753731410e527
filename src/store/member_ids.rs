//! Member id blocks: counters, and rows that keep an id from being allocated twice.
//!
//! A row states the end of the reserved block: ids up to it may be in use. It is written ahead, one
//! block at a time, so that a crash costs only the rest of a block; the next block is reserved when
//! half of one is used, so that a full disk stops nobody for a while. A planned end sets it to the
//! last allocated id, so that the next start continues without a gap.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc::channel,
    },
};

use parking_lot::{Mutex, RwLock};
use serde::Deserialize;

use super::{
    MemberIdSource,
    folder::{DataFolder, StoreError},
    rows::{RowStore, RowStoreError, RowWrite, StoredRow, Table, WriteError},
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
    /// The next block is being written.
    is_reserving: AtomicBool,
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
            let ends = blocks.iter().map(|(account, end)| (account.clone(), *end));
            write_blocks(&*rows, ends).map_err(RowStoreError::from)?;
            folder.remove(OLD_FILE)?;
        }
        let counter =
            |(account, end): (AccountId, u64)| (account, Arc::new(MemberIdCounter::at(end)));
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
        Ok(write_blocks(&*self.rows, blocks)?)
    }

    fn counter(&self, account: &AccountId) -> Arc<MemberIdCounter> {
        if let Some(counter) = self.counters.read().get(account) {
            return counter.clone();
        }
        let fresh = || Arc::new(MemberIdCounter::at(0));
        self.counters.write().entry(account.clone()).or_insert_with(fresh).clone()
    }

    /// Reserves a block for each of these accounts, so that a disk that fills up later stops none of
    /// their calls at once.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the store cannot write.
    pub fn prepare(&self, accounts: &[AccountId]) -> Result<(), RowStoreError> {
        let _reserving = self.reserving.lock();
        let counters: Vec<_> = accounts.iter().map(|it| self.counter(it)).collect();
        let ends: Vec<_> = counters.iter().map(|it| it.last.load(SeqCst) + BLOCK).collect();
        let blocks = accounts.iter().cloned().zip(ends.iter().copied());
        write_blocks(&*self.rows, blocks)?;
        for (counter, end) in counters.iter().zip(ends) {
            counter.reserved_until.fetch_max(end, SeqCst);
        }
        Ok(())
    }

    /// Reserves an account's next block, unless another thread has done so meanwhile. Whether the id
    /// is reserved then.
    fn reserve(&self, account: &AccountId, counter: &MemberIdCounter, id: u64) -> bool {
        let _reserving = self.reserving.lock();
        if id <= counter.reserved_until.load(SeqCst) {
            return true;
        }
        let end = id + BLOCK;
        if let Err(error) = write_blocks(&*self.rows, [(account.clone(), end)]) {
            tracing::error!(%account, "no member ids are left, so calls cannot join: {error}");
            return false;
        }
        counter.reserved_until.store(end, SeqCst);
        true
    }

    /// Begins to reserve the block after this one.
    fn reserve_ahead(&self, account: &AccountId, counter: &Arc<MemberIdCounter>, end: u64) {
        // Queued under the lock, so that the highest end is written last.
        let Some(_reserving) = self.reserving.try_lock() else { return };
        if counter.reserved_until.load(SeqCst) != end || counter.is_reserving.swap(true, SeqCst) {
            return;
        }
        let (next, counter) = (end + BLOCK, counter.clone());
        let write = RowWrite::put(Table::MemberIdBlocks, account, 0, &next);
        let done = move |written: Result<(), WriteError>| {
            if written.is_ok() {
                // Unless a close has lowered it meanwhile.
                let raise = |now| (now == end).then_some(next);
                counter.reserved_until.fetch_update(SeqCst, SeqCst, raise).unwrap_or_default();
            }
            counter.is_reserving.store(false, SeqCst);
        };
        self.rows.commit(vec![write], Box::new(done));
    }
}

impl MemberIdCounter {
    fn at(end: u64) -> Self {
        Self { last: end.into(), reserved_until: end.into(), is_reserving: false.into() }
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
) -> Result<(), WriteError> {
    let write = |(account, end)| RowWrite::put(Table::MemberIdBlocks, &account, 0, &end);
    let (tell, written) = channel();
    let done = move |written| drop(tell.send(written));
    rows.commit(blocks.into_iter().map(write).collect(), Box::new(done));
    written.recv().unwrap_or(Err(WriteError::Ended))
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
    fn next(&self, account: &AccountId) -> Option<MemberId> {
        let counter = self.counter(account);
        let id = counter.last.fetch_add(1, SeqCst) + 1;
        let end = counter.reserved_until.load(SeqCst);
        if end < id && !self.reserve(account, &counter, id) {
            return None;
        }
        if id <= end && end - id < BLOCK / 2 {
            self.reserve_ahead(account, &counter, end);
        }
        Some(MemberId(id))
    }
}

/// Member ids that start at 1 in each process, for tests and development.
#[derive(Debug, Default)]
pub struct VolatileMemberIds {
    last: Mutex<BTreeMap<AccountId, u64>>,
}

impl MemberIdSource for VolatileMemberIds {
    fn next(&self, account: &AccountId) -> Option<MemberId> {
        let mut last = self.last.lock();
        let last = last.entry(account.clone()).or_default();
        *last += 1;
        Some(MemberId(*last))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path, thread};

    use tempfile::tempdir;

    use super::*;
    use crate::store::{rows::OnCommit, rows_memory::MemoryRows};

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
        (0..n).map(|_| ids.next(&account).unwrap().0).collect()
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

    /// Rows on a disk that becomes full.
    #[derive(Default)]
    struct FullRows(MemoryRows, AtomicBool);

    impl RowStore for FullRows {
        fn load(&self, table: Table) -> Result<Vec<StoredRow>, RowStoreError> {
            self.0.load(table)
        }

        fn commit(&self, writes: Vec<RowWrite>, done: OnCommit) {
            match self.1.load(SeqCst) {
                true => done(Err(WriteError::Full)),
                false => self.0.commit(writes, done),
            }
        }
    }

    /// An id is a promise as well: what is not reserved is not given out.
    #[test]
    fn while_the_disk_is_full_reserved_ids_last_a_while_and_no_others_are_given() {
        let (rows, temp) = (Arc::new(FullRows::default()), tempdir().unwrap());
        let open =
            || MemberIdBlocks::open(&DataFolder::hold(temp.path()).unwrap(), rows.clone()).unwrap();
        let (ids, account) = (open(), "MA1".parse().unwrap());
        ids.prepare(std::slice::from_ref(&account)).unwrap();
        take(&ids, "MA1", usize::try_from(BLOCK).unwrap() * 3 / 4);
        rows.1.store(true, SeqCst);
        assert!(ids.prepare(std::slice::from_ref(&account)).is_err());
        let given = (0..2 * BLOCK).filter_map(|_| ids.next(&account)).map(|it| it.0).max().unwrap();
        assert_eq!(given, 2 * BLOCK, "the next block was reserved at the half of the first");
        assert_eq!(ids.next(&"MA2".parse().unwrap()), None);
        drop(ids);
        rows.1.store(false, SeqCst);
        assert!(given < take(&open(), "MA1", 1)[0]);
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
