//! Store of recordings' rows: on the disk, and in memory until they are there.

use std::{collections::BTreeMap, fmt, ops::Bound, path::Path, sync::Arc, time::SystemTime};

use parking_lot::Mutex;

pub use super::table::RecordingUsage;
use super::{
    Recording, RecordingFilter, RecordingPage, RecordingStore,
    retention::KeepRule,
    row::{self, RecordingKey},
    table::RecordingTable,
};
use crate::{
    base::ids::{AccountId, RecordingId},
    store::rows::{OnCommit, RowStore, RowStoreError, StoredRow},
};

/// The rows of every account's recordings.
///
/// The start of a recording is refused while the disk takes nothing; its end waits until it does.
/// Rows that other processes write (`conflow recordings prune`) are seen at once.
pub struct StoredRecordings {
    /// Those that are not on the disk yet, or not with their end.
    unwritten: Arc<Mutex<UnwrittenRecordings>>,
    /// None: recordings last as long as the process.
    disk: Option<RecordingDisk>,
}

type UnwrittenRecordings = BTreeMap<(AccountId, RecordingKey), Arc<Recording>>;

/// Where rows are kept.
struct RecordingDisk {
    rows: Arc<dyn RowStore>,
    table: RecordingTable,
}

/// Rows that retention reads at once. Lists go between.
const READ_AT_ONCE: usize = 500;

impl StoredRecordings {
    /// A store whose rows outlive the process. `path` is the file of `rows`.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the file cannot be opened.
    pub fn open(rows: Arc<dyn RowStore>, path: &Path) -> Result<Self, RowStoreError> {
        let table = RecordingTable::open(path)?;
        Ok(Self { unwritten: Arc::default(), disk: Some(RecordingDisk { rows, table }) })
    }

    /// A store in memory, for tests.
    pub fn in_memory() -> Self {
        Self { unwritten: Arc::default(), disk: None }
    }

    /// The recordings of an account that are due for deletion by a rule, oldest first. `bytes` is the
    /// size of all its files. Reads the disk.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the disk cannot be read.
    pub fn due(
        &self,
        now: SystemTime,
        account: &AccountId,
        rule: KeepRule,
        bytes: u64,
    ) -> Result<Vec<Recording>, RowStoreError> {
        let Some(RecordingDisk { table, .. }) = &self.disk else { return Ok(Vec::new()) };
        let (mut due, mut left, mut after) = (Vec::new(), bytes, None);
        loop {
            let mut oldest = table.oldest(account, after, READ_AT_ONCE)?;
            let (count, read) = (rule.due(now, left, &oldest), oldest.len());
            after = oldest.last().map(row::key);
            oldest.truncate(count);
            let size = |it: &Recording| it.end.as_ref().map_or(0, |end| end.bytes);
            left = left.saturating_sub(oldest.iter().map(size).sum());
            due.append(&mut oldest);
            if count < READ_AT_ONCE || read < READ_AT_ONCE {
                return Ok(due);
            }
        }
    }

    /// Number and size of each account's recordings that are on the disk. Reads the disk.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the disk cannot be read.
    pub fn usage(&self) -> Result<Vec<RecordingUsage>, RowStoreError> {
        self.disk.as_ref().map_or(Ok(Vec::new()), |it| it.table.usage())
    }

    /// An account's recordings that are not on the disk yet.
    fn unwritten(&self, account: &AccountId) -> BTreeMap<RecordingKey, Arc<Recording>> {
        let unwritten = self.unwritten.lock();
        let first = Bound::Included((account.clone(), (0, 0)));
        let of_account = unwritten.range((first, Bound::Unbounded));
        let of_account = of_account.take_while(|((owner, _), _)| owner == account);
        of_account.map(|((_, key), it)| (*key, it.clone())).collect()
    }
}

/// Reads the recording of a row of `Table::Recordings`, for tools.
///
/// # Errors
///
/// [`RowStoreError`]: the row is invalid.
pub fn read(row: &StoredRow) -> Result<Recording, RowStoreError> {
    row::read(row)
}

impl RecordingStore for StoredRecordings {
    fn put(&self, recording: Arc<Recording>, on_stored: OnCommit) {
        let key = (recording.account.clone(), row::key(&recording));
        let mut unwritten = self.unwritten.lock();
        unwritten.insert(key.clone(), recording.clone());
        let Some(RecordingDisk { rows, .. }) = &self.disk else {
            drop(unwritten);
            return on_stored(Ok(()));
        };
        let (writes, has_ended) = (vec![row::put(&recording)], recording.end.is_some());
        let shared = self.unwritten.clone();
        let done: OnCommit = Box::new(move |written| {
            let mut unwritten = shared.lock();
            // A later row of the recording may be on its way.
            if unwritten.get(&key).is_some_and(|it| Arc::ptr_eq(it, &recording)) {
                unwritten.remove(&key);
            }
            drop(unwritten);
            on_stored(written);
        });
        // Under the lock, so that a later row of the recording is written later.
        match has_ended {
            true => rows.commit_soon(writes, done),
            false => rows.commit(writes, done),
        }
    }

    fn remove(&self, recording: &Recording, on_stored: OnCommit) {
        let mut unwritten = self.unwritten.lock();
        unwritten.remove(&(recording.account.clone(), row::key(recording)));
        match &self.disk {
            Some(RecordingDisk { rows, .. }) => {
                rows.commit(vec![row::delete(recording)], on_stored);
            }
            None => {
                drop(unwritten);
                on_stored(Ok(()));
            }
        }
    }

    fn find(
        &self,
        account: &AccountId,
        id: RecordingId,
    ) -> Result<Option<Arc<Recording>>, RowStoreError> {
        let unwritten = self.unwritten(account).into_values().find(|it| it.id == id);
        match (unwritten, &self.disk) {
            (None, Some(RecordingDisk { table, .. })) => Ok(table.find(account, id)?.map(Arc::new)),
            (found, _) => Ok(found),
        }
    }

    fn list(
        &self,
        account: &AccountId,
        filter: &RecordingFilter,
        offset: usize,
        limit: usize,
    ) -> Result<RecordingPage, RowStoreError> {
        let mut unwritten = self.unwritten(account);
        unwritten.retain(|_, it| filter.matches(it));
        if let Some(RecordingDisk { table, .. }) = &self.disk {
            return table.page(account, filter, (offset, limit), unwritten);
        }
        let total = unwritten.len();
        let recordings = unwritten.into_values().rev().skip(offset).take(limit).collect();
        Ok(RecordingPage { recordings, total })
    }

    fn running(&self) -> Result<Vec<Arc<Recording>>, RowStoreError> {
        let unwritten = self.unwritten.lock().clone();
        let mut found = unwritten;
        if let Some(RecordingDisk { table, .. }) = &self.disk {
            for recording in table.running()? {
                let key = (recording.account.clone(), row::key(&recording));
                found.entry(key).or_insert_with(|| Arc::new(recording));
            }
        }
        Ok(found.into_values().filter(|it| it.end.is_none()).collect())
    }
}

impl fmt::Debug for StoredRecordings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unwritten = self.unwritten.lock().len();
        f.debug_struct("StoredRecordings").field("unwritten", &unwritten).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::{TempDir, tempdir};
    use uuid::Uuid;

    use super::*;
    use crate::{
        base::ids::CallId,
        flow::RecordingFormat,
        media::RecordingChannels,
        recording::{RecordingEnd, RecordingEndReason},
        store::sqlite::Sqlite,
    };

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A recording that began `seconds` after 1970; `n` decides the rest.
    fn recording(account: &str, n: u64, seconds: u64) -> Recording {
        Recording {
            id: RecordingId::of(n.into()),
            account: account.parse().unwrap(),
            call: CallId::of((n / 3).into()),
            from: format!("from-{}", n % 7).into(),
            to: format!("to-{}", n % 2).into(),
            conference: n.is_multiple_of(4).then(|| format!("room-{}", n % 5).parse().unwrap()),
            api_id: Uuid::from_u128(n.into()),
            channels: RecordingChannels::Mono,
            format: RecordingFormat::Wav,
            started_at: at(seconds),
            callback: None,
            audience: None,
            end: None,
        }
    }

    fn ended(recording: &Recording, bytes: u64) -> Recording {
        let duration = Duration::from_secs(60);
        let end = RecordingEnd {
            at: recording.started_at + duration,
            duration,
            bytes,
            lost_samples: 0,
            format: RecordingFormat::Wav,
            reason: RecordingEndReason::HungUp,
        };
        Recording { end: Some(end), ..recording.clone() }
    }

    fn open(temp: &TempDir) -> (Arc<dyn RowStore>, StoredRecordings) {
        let path = temp.path().join("s.db");
        let rows: Arc<dyn RowStore> = Arc::new(Sqlite::open(&path).unwrap());
        let recordings = StoredRecordings::open(rows.clone(), &path).unwrap();
        (rows, recordings)
    }

    fn put(recordings: &StoredRecordings, recording: Recording) {
        recordings.put(Arc::new(recording), Box::new(|it| it.unwrap()));
    }

    /// Returns when everything is on the disk, and told.
    fn flush(rows: &dyn RowStore) {
        let (tell, written) = std::sync::mpsc::channel();
        rows.commit(Vec::new(), Box::new(move |it| tell.send(it).unwrap()));
        written.recv().unwrap().unwrap();
    }

    fn remove(recordings: &StoredRecordings, recording: &Recording) {
        let (tell, written) = std::sync::mpsc::channel();
        recordings.remove(recording, Box::new(move |it| tell.send(it).unwrap()));
        written.recv().unwrap().unwrap();
    }

    #[test]
    fn a_recording_is_found_at_once_and_after_a_restart_by_its_account_alone() {
        let temp = tempdir().unwrap();
        let (rows, recordings) = open(&temp);
        let (account, other) = ("MA1".parse().unwrap(), "MA2".parse().unwrap());
        let (one, two) = (recording("MA1", 1, 10), recording("MA1", 2, 20));
        put(&recordings, one.clone());
        put(&recordings, two.clone());
        let find = |store: &StoredRecordings, account, n| {
            store.find(account, RecordingId::of(n)).unwrap().map(|it| (*it).clone())
        };
        let running = |store: &StoredRecordings| -> Vec<_> {
            store.running().unwrap().iter().map(|it| it.id).collect()
        };
        assert_eq!(find(&recordings, &account, 1), Some(one.clone()));
        assert_eq!(find(&recordings, &other, 1), None);
        assert_eq!(running(&recordings), [one.id, two.id]);
        flush(&*rows);
        assert_eq!(recordings.unwritten.lock().len(), 0);
        put(&recordings, ended(&one, 1_000));
        assert_eq!(running(&recordings), [two.id], "the row is not on the disk yet");
        assert_eq!(find(&recordings, &account, 1), Some(ended(&one, 1_000)));
        flush(&*rows);
        drop((rows, recordings));

        let (_rows, recordings) = open(&temp);
        assert_eq!(running(&recordings), [two.id]);
        assert_eq!(find(&recordings, &account, 1), Some(ended(&one, 1_000)));
        assert_eq!((find(&recordings, &other, 1), find(&recordings, &account, 3)), (None, None));
        remove(&recordings, &one);
        assert_eq!(find(&recordings, &account, 1), None);
        let page = recordings.list(&account, &RecordingFilter::default(), 0, 9).unwrap();
        assert_eq!((page.total, page.recordings[0].id), (1, two.id));
    }

    #[test]
    fn lists_are_those_of_a_plain_search_on_the_disk_and_on_the_way_there() {
        let filter = RecordingFilter::default;
        let filters = [
            filter(),
            RecordingFilter { from: Some("from-3".into()), ..filter() },
            RecordingFilter { to: Some("to-1".into()), from: Some("from-1".into()), ..filter() },
            RecordingFilter { to: Some("to-0".into()), started_from: Some(at(9_000)), ..filter() },
            RecordingFilter { call: Some(CallId::of(7)), ..filter() },
            RecordingFilter { conference: Some("room-3".parse().unwrap()), ..filter() },
            RecordingFilter { is_conference: Some(true), ..filter() },
            RecordingFilter {
                is_conference: Some(false),
                started_from: Some(at(4_000)),
                started_until: Some(at(20_000)),
                ..filter()
            },
            RecordingFilter { started_until: Some(at(0)), ..filter() },
            RecordingFilter { from: Some("nobody".into()), ..filter() },
        ];
        // Many begin in one second, and some in the order of their numbers.
        let all: Vec<_> = (0..300).map(|n| recording("MA1", n, (n * 7_919) % 331 * 97)).collect();
        let temp = tempdir().unwrap();
        let (rows, recordings) = open(&temp);
        let account: AccountId = "MA1".parse().unwrap();
        let check = |given: &[Recording]| {
            for filter in &filters {
                let mut wanted: Vec<_> = given.iter().filter(|it| filter.matches(it)).collect();
                wanted.sort_by_key(|it| std::cmp::Reverse(row::key(it)));
                for (offset, limit) in [(0, 20), (1, 3), (40, 20), (0, 1_000), (290, 20), (900, 5)]
                {
                    let page = recordings.list(&account, filter, offset, limit).unwrap();
                    let expected = wanted.iter().skip(offset).take(limit);
                    let expected: Vec<_> = expected.map(|it| it.id).collect();
                    let found: Vec<_> = page.recordings.iter().map(|it| it.id).collect();
                    let found = (found, page.total);
                    assert_eq!(found, (expected, wanted.len()), "{offset} {limit} {filter:?}");
                }
            }
        };
        check(&[]);
        for (n, it) in all.iter().enumerate() {
            put(&recordings, it.clone());
            put(&recordings, recording("MA2", 1_000 + n as u64, n as u64 * 97));
            if n.is_multiple_of(3) {
                put(&recordings, ended(it, 1_000));
            }
            // At first nothing is on the disk, then some is, in the end everything.
            if n.is_multiple_of(60) {
                check(&all[..=n]);
            }
        }
        check(&all);
        flush(&*rows);
        check(&all);
        let page = recordings.list(&account, &filter(), 0, 1_000).unwrap().recordings;
        assert_eq!(page.iter().filter(|it| it.end.is_some()).count(), 100, "none is there twice");
    }

    #[test]
    fn the_oldest_of_an_account_are_due_and_never_a_running_one() {
        let temp = tempdir().unwrap();
        let (rows, recordings) = open(&temp);
        let account: AccountId = "MA1".parse().unwrap();
        let count = READ_AT_ONCE as u64 + 10;
        for n in 0..count {
            put(&recordings, ended(&recording("MA1", n, n), 100));
        }
        put(&recordings, recording("MA1", count, 0));
        put(&recordings, ended(&recording("MA2", count + 1, 0), 7));
        flush(&*rows);
        let usage = |account: &str, count, bytes| RecordingUsage {
            account: account.parse().unwrap(),
            count,
            bytes,
        };
        let expected = [usage("MA1", count + 1, count * 100), usage("MA2", 1, 7)];
        assert_eq!(recordings.usage().unwrap(), expected);
        let due = |age: Option<u64>, bytes_max| {
            let rule = KeepRule { age_max: age.map(Duration::from_secs), bytes_max };
            let due = recordings.due(at(1_000), &account, rule, count * 100).unwrap();
            due.iter().map(|it| it.id.0.as_u128() as u64).collect::<Vec<_>>()
        };
        assert_eq!(due(None, None), [0; 0]);
        assert_eq!(due(Some(995), None), [0, 1, 2, 3, 4]);
        assert_eq!(due(Some(1_000 - 506), None), (0..506).collect::<Vec<_>>());
        assert_eq!(due(Some(1), None), (0..count).collect::<Vec<_>>());
        assert_eq!(due(None, Some(count * 100 - 150)), [0, 1]);
        assert_eq!(due(None, Some(500)), (0..count - 5).collect::<Vec<_>>());
    }

    /// Each query names its index (`INDEXED BY`), and is an error where that is of no use.
    #[test]
    fn the_first_page_of_many_is_found_by_an_index() {
        let temp = tempdir().unwrap();
        let (rows, recordings) = open(&temp);
        let count = 3_000;
        for n in 0..count {
            put(&recordings, ended(&recording("MA1", n, n), 1_000));
        }
        flush(&*rows);
        let account = "MA1".parse().unwrap();
        let filter = RecordingFilter::default;
        for (filter, total) in [
            (filter(), count),
            (RecordingFilter { started_from: Some(at(count / 2)), ..filter() }, count / 2),
            (RecordingFilter { call: Some(CallId::of(500)), ..filter() }, 3),
        ] {
            let page = recordings.list(&account, &filter, 0, 20).unwrap();
            assert_eq!((page.total as u64, page.recordings.len() as u64), (total, total.min(20)));
        }
    }
}
