//! Store of call detail records: on the disk, and the last ones in memory.
//!
//! A record is written in the background; no call waits for it. It is in memory until it is on the
//! disk, so that nobody misses it, and some moments longer for the audio statistics. While the disk is
//! full, rows wait in the store's queue.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, task::spawn_blocking};

use super::{
    row::{self, CdrRow},
    table::{CdrKey, CdrTable},
};
use crate::{
    base::ids::{AccountId, CallId},
    cdr::{Cdr, CdrFilter, CdrPage, CdrStore, OnCdrStored},
    media::legs::LegSummary,
    store::rows::{RowStore, RowStoreError, RowWrite, StoredRow, Table},
};

/// The CDRs of every account.
pub struct CachedCdrStore {
    recent: Arc<Mutex<RecentCdrs>>,
    /// None: CDRs last as long as the process.
    disk: Option<CdrDisk>,
}

/// Where CDRs are kept.
struct CdrDisk {
    rows: Arc<dyn RowStore>,
    table: Arc<CdrTable>,
    keep: Duration,
}

/// CDRs in memory that are on the disk already, and the audio statistics that wait for a CDR: one
/// follows the other within moments, so more calls than this do not end meanwhile.
pub const RECENT_MAX: usize = 10_000;
/// CDRs without a disk, for tests and benches.
const IN_MEMORY_MAX: usize = 100_000;
/// CDRs that are removed at once. Other writes go between.
const REMOVED_AT_ONCE: usize = 500;

#[derive(Debug, Default)]
struct RecentCdrs {
    by_call: HashMap<CallId, Arc<Cdr>>,
    /// The calls of `by_call` in the order of their ends, latest last.
    order: VecDeque<CallId>,
    /// Those that are not on the disk yet.
    unstored: BTreeMap<(AccountId, CdrKey), Arc<Cdr>>,
    /// Audio statistics of calls whose CDRs are yet to come.
    leg_summaries: HashMap<CallId, LegSummary>,
    leg_summary_order: VecDeque<CallId>,
}

impl CachedCdrStore {
    /// A store whose CDRs outlive the process, for `keep`. `path` is the file of `rows`.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the file cannot be opened.
    pub fn open(
        rows: Arc<dyn RowStore>,
        path: &Path,
        keep: Duration,
    ) -> Result<Self, RowStoreError> {
        let table = Arc::new(CdrTable::open(path)?);
        Ok(Self { recent: Arc::default(), disk: Some(CdrDisk { rows, table, keep }) })
    }

    /// Removes some of the CDRs that are too old, and returns how many. It is done once they are
    /// removed from the disk.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the disk cannot be read or written.
    pub async fn remove_old(&self, now: SystemTime) -> Result<usize, RowStoreError> {
        let Some(CdrDisk { rows, table, keep }) = &self.disk else { return Ok(0) };
        let (table, before) = (table.clone(), now.checked_sub(*keep));
        let before = before.unwrap_or(SystemTime::UNIX_EPOCH);
        let read = spawn_blocking(move || table.oldest(before, REMOVED_AT_ONCE)).await;
        let keys = read.map_err(|error| RowStoreError(error.to_string()))??;
        let count = keys.len();
        if 0 < count {
            let writes = keys.into_iter().map(|(account, (a, b))| RowWrite {
                table: Table::Cdrs,
                account,
                a,
                b,
                body: None,
            });
            let (tell, removed) = oneshot::channel();
            rows.commit_soon(writes.collect(), Box::new(move |it| drop(tell.send(it))));
            removed.await.map_err(|error| RowStoreError(error.to_string()))??;
        }
        Ok(count)
    }
}

/// Checks that a row of [`Table::Cdrs`] can be read.
///
/// # Errors
///
/// [`RowStoreError`]: the row is invalid.
pub fn check(row: &StoredRow) -> Result<(), RowStoreError> {
    row::finished(row).map(drop)
}

impl Default for CachedCdrStore {
    /// A store in memory, of the last 100,000 CDRs.
    fn default() -> Self {
        Self { recent: Arc::default(), disk: None }
    }
}

impl CdrStore for CachedCdrStore {
    fn add(&self, cdr: Arc<Cdr>, on_stored: Option<OnCdrStored>) {
        let mut recent = self.recent.lock();
        if let Some(summary) = recent.leg_summaries.remove(&cdr.call) {
            cdr.leg_summary.get_or_init(|| summary);
        }
        let key = (cdr.account.clone(), key(&cdr));
        recent.unstored.insert(key.clone(), cdr.clone());
        if recent.by_call.insert(cdr.call, cdr.clone()).is_none() {
            recent.order.push_back(cdr.call);
        }
        let Some(CdrDisk { rows, .. }) = &self.disk else { return recent.forget() };
        let shared = self.recent.clone();
        let done = move |written: Result<(), _>| {
            // What is not written waits in the state log, and `on_stored` would end that.
            if written.is_ok()
                && let Some(on_stored) = on_stored
            {
                on_stored();
            }
            shared.lock().stored(&key);
        };
        // Under the lock, so that a later row of the call is written later.
        rows.commit_soon(vec![put(&cdr)], Box::new(done));
    }

    fn add_leg_summary(&self, call: CallId, summary: LegSummary) {
        let mut recent = self.recent.lock();
        let Some(cdr) = recent.by_call.get(&call).cloned() else {
            return recent.expect(call, summary);
        };
        cdr.leg_summary.get_or_init(|| summary);
        if let Some(CdrDisk { rows, .. }) = &self.disk {
            rows.commit_soon(vec![put(&cdr)], Box::new(drop));
        }
    }

    fn recent(&self, account: &AccountId, call: CallId) -> Option<Arc<Cdr>> {
        let cdr = self.recent.lock().by_call.get(&call).cloned();
        cdr.filter(|it| it.account == *account)
    }

    fn find(&self, account: &AccountId, call: CallId) -> Result<Option<Arc<Cdr>>, RowStoreError> {
        match (self.recent(account, call), &self.disk) {
            (None, Some(CdrDisk { table, .. })) => Ok(table.find(account, call)?.map(Arc::new)),
            (cdr, _) => Ok(cdr),
        }
    }

    fn list(
        &self,
        account: &AccountId,
        filter: &CdrFilter,
        offset: usize,
        limit: usize,
    ) -> Result<CdrPage, RowStoreError> {
        let unstored = self.recent.lock().unstored(account, filter);
        if let Some(CdrDisk { table, .. }) = &self.disk {
            return table.page(account, filter, (offset, limit), unstored);
        }
        let total = unstored.len();
        let cdrs = unstored.into_values().rev().skip(offset).take(limit).collect();
        Ok(CdrPage { cdrs, total })
    }
}

impl RecentCdrs {
    /// Those of an account that match and are not on the disk yet.
    fn unstored(&self, account: &AccountId, filter: &CdrFilter) -> BTreeMap<CdrKey, Arc<Cdr>> {
        let all = (account.clone(), (0, 0))..=(account.clone(), (u64::MAX, u64::MAX));
        let matching = self.unstored.range(all).filter(|(_, cdr)| filter.matches(cdr));
        matching.map(|((_, key), cdr)| (*key, cdr.clone())).collect()
    }

    /// A CDR is on the disk, or will not be.
    fn stored(&mut self, key: &(AccountId, CdrKey)) {
        self.unstored.remove(key);
        while RECENT_MAX < self.order.len().saturating_sub(self.unstored.len()) {
            self.order.pop_front().and_then(|it| self.by_call.remove(&it));
        }
    }

    /// Removes the oldest beyond [`IN_MEMORY_MAX`].
    fn forget(&mut self) {
        if IN_MEMORY_MAX < self.order.len()
            && let Some(cdr) = self.order.pop_front().and_then(|it| self.by_call.remove(&it))
        {
            self.unstored.remove(&(cdr.account.clone(), key(&cdr)));
        }
    }

    /// Keeps audio statistics for a CDR that is yet to come.
    fn expect(&mut self, call: CallId, summary: LegSummary) {
        if self.leg_summaries.insert(call, summary).is_none() {
            self.leg_summary_order.push_back(call);
        }
        while RECENT_MAX < self.leg_summary_order.len() {
            let oldest = self.leg_summary_order.pop_front();
            oldest.and_then(|it| self.leg_summaries.remove(&it));
        }
    }
}

impl fmt::Debug for CachedCdrStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedCdrStore").field("recent", &self.recent).finish_non_exhaustive()
    }
}

/// The key of a CDR's row: equal each time, so that a CDR is not stored twice.
fn key(cdr: &Cdr) -> CdrKey {
    let (high, low) = cdr.call.0.as_u64_pair();
    // SQLite's integers have 63 bits above zero.
    (row::micros(cdr.ended_at), (high ^ low) & (u64::MAX >> 1))
}

fn put(cdr: &Cdr) -> RowWrite {
    let (a, b) = key(cdr);
    RowWrite { b, ..RowWrite::put(Table::Cdrs, &cdr.account, a, &CdrRow::from(cdr)) }
}

#[cfg(test)]
mod tests {
    use std::{sync::OnceLock, time::SystemTime};

    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::{
        base::ids::Dialect,
        call::{CallDirection, CallSession, Party, SessionDetails},
        media::{Ending, HangupCause, HangupSource},
        store::sqlite::Sqlite,
    };

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A CDR that ends `seconds` after 1970; `n` decides the rest.
    fn cdr(account: &str, n: u64, seconds: u64) -> Arc<Cdr> {
        let parent = n.is_multiple_of(5).then(|| CallId::of(u128::from(n % 2) + 1));
        let details = SessionDetails { parent, ..SessionDetails::default() };
        let inbound = n.is_multiple_of(3);
        let party = Party {
            from: format!("from-{}", n % 7).into(),
            to: format!("to-{}", n % 2).into(),
            caller_name: "".into(),
            direction: if inbound { CallDirection::Inbound } else { CallDirection::Outbound },
            dialect: Dialect::Plivo,
            trusted: None,
            session: CallSession::new(at(seconds.saturating_sub(100)), details),
        };
        let causes = [HangupCause::Normal, HangupCause::Canceled];
        let sources = [HangupSource::Caller, HangupSource::Error];
        let ending = Ending { cause: causes[(n % 2) as usize], source: sources[(n % 2) as usize] };
        Arc::new(Cdr {
            account: account.parse().unwrap(),
            call: CallId::of(n.into()),
            party: party.into(),
            answered_at: (!n.is_multiple_of(4)).then(|| at(seconds.saturating_sub(n % 60))),
            ended_at: at(seconds),
            ending,
            detail: None,
            conference: None,
            leg_summary: OnceLock::new(),
        })
    }

    fn open(temp: &TempDir, keep: Duration) -> (Arc<dyn RowStore>, CachedCdrStore) {
        let path = temp.path().join("s.db");
        let rows: Arc<dyn RowStore> = Arc::new(Sqlite::open(&path).unwrap());
        let cdrs = CachedCdrStore::open(rows.clone(), &path, keep).unwrap();
        (rows, cdrs)
    }

    /// Returns when everything is on the disk, and told.
    fn flush(rows: &dyn RowStore) {
        let (tell, written) = std::sync::mpsc::channel();
        rows.commit(Vec::new(), Box::new(move |it| tell.send(it).unwrap()));
        written.recv().unwrap().unwrap();
    }

    fn calls(page: &CdrPage) -> Vec<u128> {
        page.cdrs.iter().map(|it| it.call.0.as_u128()).collect()
    }

    #[test]
    fn a_leg_summary_is_kept_whether_it_comes_before_its_cdr_or_after() {
        let temp = tempdir().unwrap();
        let (rows, cdrs) = open(&temp, Duration::MAX);
        let summary = LegSummary { sent: 50, received: 49, lost: 1, jitter_us: 700 };
        let account = "MA1".parse().unwrap();
        cdrs.add_leg_summary(CallId::of(1), summary);
        (1..=3).for_each(|n| cdrs.add(cdr("MA1", n, n), None));
        flush(&*rows);
        cdrs.add_leg_summary(CallId::of(2), summary);
        flush(&*rows);
        drop((rows, cdrs));
        let (_, cdrs) = open(&temp, Duration::MAX);
        let kept =
            |n| cdrs.find(&account, CallId::of(n)).unwrap().unwrap().leg_summary.get().copied();
        assert_eq!([kept(1), kept(2), kept(3)], [Some(summary), Some(summary), None]);
    }

    #[test]
    fn a_cdr_is_told_as_stored_once_it_is_and_found_all_the_time() {
        let temp = tempdir().unwrap();
        let (rows, cdrs) = open(&temp, Duration::MAX);
        let (tell, stored) = std::sync::mpsc::channel();
        let (account, other) = ("MA1".parse().unwrap(), "MA2".parse().unwrap());
        cdrs.add(cdr("MA1", 1, 10), Some(Box::new(move || tell.send(()).unwrap())));
        assert!(cdrs.find(&account, CallId::of(1)).unwrap().is_some());
        assert!(cdrs.find(&other, CallId::of(1)).unwrap().is_none());
        stored.recv().unwrap();
        let is_there = || {
            let table = CdrTable::open(&temp.path().join("s.db")).unwrap();
            table.find(&account, CallId::of(1)).unwrap().is_some()
        };
        assert!(is_there());
        // A second time is the same record.
        cdrs.add(cdr("MA1", 1, 10), None);
        flush(&*rows);
        assert_eq!(cdrs.list(&account, &CdrFilter::default(), 0, 9).unwrap().total, 1);
        assert!(
            CdrTable::open(&temp.path().join("s.db"))
                .unwrap()
                .find(&other, CallId::of(1))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn memory_has_the_last_cdrs_only() {
        let temp = tempdir().unwrap();
        let (rows, cdrs) = open(&temp, Duration::MAX);
        let count = RECENT_MAX as u64 + 100;
        (0..count).for_each(|n| cdrs.add(cdr("MA1", n, n), None));
        flush(&*rows);
        let recent = cdrs.recent.lock();
        assert_eq!((recent.by_call.len(), recent.order.len()), (RECENT_MAX, RECENT_MAX));
        assert!(recent.unstored.is_empty());
        drop(recent);
        let account = "MA1".parse().unwrap();
        assert!(cdrs.recent(&account, CallId::of(0)).is_none());
        assert!(cdrs.find(&account, CallId::of(0)).unwrap().is_some());
        let page = cdrs.list(&account, &CdrFilter::default(), count as usize - 2, 20).unwrap();
        assert_eq!((calls(&page), page.total), (vec![1, 0], count as usize));
    }

    #[test]
    fn lists_are_those_of_a_plain_search_on_the_disk_and_on_the_way_there() {
        let filter = CdrFilter::default;
        let filters = [
            filter(),
            CdrFilter { from: Some("from-3".into()), ..filter() },
            CdrFilter { to: Some("to-1".into()), from: Some("from-1".into()), ..filter() },
            CdrFilter { to: Some("to-0".into()), ended_from: Some(at(9_000)), ..filter() },
            CdrFilter { direction: Some(CallDirection::Inbound), ..filter() },
            CdrFilter {
                direction: Some(CallDirection::Outbound),
                ended_from: Some(at(4_000)),
                ended_until: Some(at(20_000)),
                ..filter()
            },
            CdrFilter { ended_from: Some(at(3_601)), ended_until: Some(at(3_700)), ..filter() },
            CdrFilter { ended_from: Some(at(7_200)), ..filter() },
            CdrFilter { ended_until: Some(at(7_199)), ..filter() },
            CdrFilter { ended_until: Some(at(0)), ..filter() },
            CdrFilter { parent: Some(CallId::of(2)), ..filter() },
            CdrFilter { cause_code: Some(4_000), talked_from: Some(30), ..filter() },
            CdrFilter { source: Some("Error".into()), talked_below: Some(1), ..filter() },
            CdrFilter { from: Some("nobody".into()), ..filter() },
        ];
        // Many end in one second, and some in the order of their numbers.
        let all: Vec<_> = (0..400).map(|n| cdr("MA1", n, (n * 7_919) % 331 * 97)).collect();
        let temp = tempdir().unwrap();
        let (rows, cdrs) = open(&temp, Duration::MAX);
        let account: AccountId = "MA1".parse().unwrap();
        let check = |given: &[Arc<Cdr>]| {
            for filter in &filters {
                let mut wanted: Vec<_> = given.iter().filter(|it| filter.matches(it)).collect();
                wanted.sort_by_key(|it| std::cmp::Reverse(key(it)));
                for (offset, limit) in [(0, 20), (1, 3), (40, 20), (0, 1_000), (390, 20), (900, 5)]
                {
                    let page = cdrs.list(&account, filter, offset, limit).unwrap();
                    let expected = wanted.iter().skip(offset).take(limit);
                    let expected: Vec<_> = expected.map(|it| it.call.0.as_u128()).collect();
                    assert_eq!(
                        (calls(&page), page.total),
                        (expected, wanted.len()),
                        "{offset} {limit} {filter:?}"
                    );
                }
            }
        };
        check(&[]);
        for (n, record) in all.iter().enumerate() {
            cdrs.add(record.clone(), None);
            cdrs.add(cdr("MA2", 1_000 + n as u64, n as u64 * 97), None);
            // At first nothing is on the disk, then some is, in the end everything.
            if n.is_multiple_of(80) {
                check(&all[..=n]);
            }
        }
        check(&all);
        flush(&*rows);
        check(&all);
    }

    #[tokio::test]
    async fn what_is_too_old_is_removed_in_slices_and_counted_no_more() {
        let temp = tempdir().unwrap();
        let keep = Duration::from_secs(1_000);
        let (rows, cdrs) = open(&temp, keep);
        let count = REMOVED_AT_ONCE as u64 + 10;
        (0..count).for_each(|n| cdrs.add(cdr("MA1", n, n), None));
        cdrs.add(cdr("MA2", count, count + 50), None);
        flush(&*rows);
        let totals = || {
            ["MA1", "MA2"].map(|account| {
                let account = account.parse().unwrap();
                cdrs.list(&account, &CdrFilter::default(), 0, 1).unwrap().total
            })
        };
        let remove = async |now| cdrs.remove_old(at(now)).await.unwrap();
        assert_eq!(remove(1_000).await, 0);
        assert_eq!((remove(1_010).await, totals()), (10, [REMOVED_AT_ONCE, 1]));
        assert_eq!((remove(1_010).await, totals()), (0, [REMOVED_AT_ONCE, 1]));
        assert_eq!((remove(9_999).await, totals()), (REMOVED_AT_ONCE, [0, 1]));
        assert_eq!((remove(9_999).await, totals()), (1, [0, 0]));
    }
}
