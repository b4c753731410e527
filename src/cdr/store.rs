//! Store of call detail records: the latest of each account in memory, and in rows if they must
//! survive.
//!
//! All reads are from memory. Rows are written in the background; no caller waits for them, and while
//! the disk is full they wait in the store's queue.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;

use super::row::{self, CallRow, CdrRow};
use crate::store::rows::{RowStore, RowStoreError, RowWrite, StoredRow, Table};
use crate::{
    base::ids::{AccountId, CallId},
    call::Party,
    cdr::{Cdr, CdrFilter, CdrPage, CdrStore, OpenCdr},
    media::legs::LegSummary,
};

/// The CDRs of every account.
pub struct CachedCdrStore {
    state: Mutex<CdrState>,
    cdrs_max: usize,
    /// Audio statistics of calls whose CDRs are yet to come. Locked after `state`.
    leg_summaries: Mutex<HashMap<CallId, LegSummary>>,
    /// None: CDRs last as long as the process.
    rows: Option<Arc<dyn RowStore>>,
}

/// CDRs kept for each account: some hundred bytes each, the last hours of a busy account.
pub const CDRS_MAX: usize = 50_000;
/// Retention of the vendors (Plivo: 90 days). Who called whom must not be kept for ever.
pub const KEPT_FOR: Duration = Duration::from_secs(90 * 86_400);

/// A CDR follows within moments, so more calls than this do not end at once.
const LEG_SUMMARIES_MAX: usize = 10_000;
/// How often accounts without live calls are checked for expiry.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

#[derive(Debug, Default)]
struct CdrState {
    accounts: HashMap<AccountId, AccountCdrs>,
    /// Number of the newest row.
    last: u64,
    swept_at: Option<SystemTime>,
}

#[derive(Debug, Default)]
struct AccountCdrs {
    /// Calls in the order of their ends, latest last.
    order: VecDeque<CallId>,
    by_call: HashMap<CallId, NumberedCdr>,
}

#[derive(Debug)]
struct NumberedCdr {
    /// Number of the row in [`Table::Cdrs`].
    number: u64,
    cdr: Arc<Cdr>,
}

impl CachedCdrStore {
    /// A store that keeps `cdrs_max` CDRs of each account, for as long as the process lives.
    pub fn with_capacity(cdrs_max: usize) -> Self {
        let (state, leg_summaries) = (Mutex::default(), Mutex::default());
        Self { state, cdrs_max, leg_summaries, rows: None }
    }

    /// A store whose CDRs outlive the process. A call that was live when the last process died gets
    /// a CDR now: cause 5010, ended at the latest time that any row contains.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the rows cannot be read, or one is invalid.
    pub fn open(rows: Arc<dyn RowStore>, now: SystemTime) -> Result<Self, RowStoreError> {
        Self::open_with_capacity(CDRS_MAX, rows, now)
    }

    fn open_with_capacity(
        cdrs_max: usize,
        rows: Arc<dyn RowStore>,
        now: SystemTime,
    ) -> Result<Self, RowStoreError> {
        let (mut state, mut writes) = (CdrState::default(), Vec::new());
        let mut last_known_at = SystemTime::UNIX_EPOCH;
        for row in rows.load(Table::Cdrs)? {
            let cdr = row::finished(&row)?;
            last_known_at = last_known_at.max(cdr.ended_at);
            state.last = state.last.max(row.a);
            state.account_cdrs(&cdr.account).push(row.a, Arc::new(cdr));
        }
        let unfinished = rows.load(Table::Calls)?;
        for row in &unfinished {
            last_known_at = last_known_at.max(row.parse::<CallRow>(Table::Calls)?.last_known_at());
            state.last = state.last.max(row.a);
        }
        for row in &unfinished {
            writes.push(RowWrite::delete(Table::Calls, &row.account, row.a));
            let cdr = Arc::new(row::interrupted(row, last_known_at)?);
            if !state.account_cdrs(&cdr.account).by_call.contains_key(&cdr.call) {
                tracing::warn!(call = %cdr.call, "the call was cut off when the last process ended");
                writes.push(state.add(cdr));
            }
        }
        state.sweep(now, cdrs_max, &mut writes);
        let leg_summaries = Mutex::default();
        let cdrs = Self { state: Mutex::new(state), cdrs_max, leg_summaries, rows: Some(rows) };
        cdrs.write(writes);
        Ok(cdrs)
    }

    fn write(&self, writes: Vec<RowWrite>) {
        if let Some(rows) = &self.rows
            && !writes.is_empty()
        {
            // The store keeps them until it can write, and logs what it drops.
            rows.commit_soon(writes, Box::new(drop));
        }
    }
}

/// Checks that a row of [`Table::Cdrs`] or [`Table::Calls`] can be read.
///
/// # Errors
///
/// [`RowStoreError`]: the row is invalid.
pub fn check(table: Table, row: &StoredRow) -> Result<(), RowStoreError> {
    let cdr = match table == Table::Calls {
        true => row::interrupted(row, SystemTime::UNIX_EPOCH),
        false => row::finished(row),
    };
    cdr.map(drop)
}

impl Default for CachedCdrStore {
    fn default() -> Self {
        Self::with_capacity(CDRS_MAX)
    }
}

impl CdrStore for CachedCdrStore {
    fn answered(
        &self,
        account: &AccountId,
        call: CallId,
        party: &Arc<Party>,
        at: SystemTime,
    ) -> Option<OpenCdr> {
        self.rows.as_ref()?;
        let row = CallRow::new(call, party, Some(at));
        let mut state = self.state.lock();
        let number = state.next();
        self.write(vec![RowWrite::put(Table::Calls, account, number, &row)]);
        NonZeroU64::new(number).map(OpenCdr)
    }

    fn add(&self, cdr: Arc<Cdr>, open_cdr: Option<OpenCdr>) {
        let mut state = self.state.lock();
        if let Some(summary) = self.leg_summaries.lock().remove(&cdr.call) {
            cdr.leg_summary.get_or_init(|| summary);
        }
        let (account, now) = (cdr.account.clone(), cdr.ended_at);
        let mut writes = Vec::new();
        if let Some(OpenCdr(number)) = open_cdr {
            writes.push(RowWrite::delete(Table::Calls, &account, number.get()));
        }
        match &self.rows {
            Some(_) => writes.push(state.add(cdr)),
            None => state.account_cdrs(&account).push(0, cdr),
        }
        let age = state.swept_at.map(|at| now.duration_since(at).unwrap_or_default());
        match age.is_none_or(|it| SWEEP_EVERY <= it) {
            true => state.sweep(now, self.cdrs_max, &mut writes),
            false => state.account_cdrs(&account).trim(&account, now, self.cdrs_max, &mut writes),
        }
        // Under the lock, so that rows are written in the order of their numbers.
        self.write(writes);
    }

    fn add_leg_summary(&self, call: CallId, summary: LegSummary) {
        let state = self.state.lock();
        match state.accounts.values().find_map(|account_cdrs| account_cdrs.by_call.get(&call)) {
            Some(NumberedCdr { number, cdr }) => {
                cdr.leg_summary.get_or_init(|| summary);
                if self.rows.is_some() {
                    self.write(vec![put(*number, cdr)]);
                }
            }
            None => {
                let mut leg_summaries = self.leg_summaries.lock();
                if leg_summaries.len() < LEG_SUMMARIES_MAX {
                    leg_summaries.insert(call, summary);
                }
            }
        }
    }

    fn find(&self, account: &AccountId, call: CallId) -> Option<Arc<Cdr>> {
        let state = self.state.lock();
        state.accounts.get(account)?.by_call.get(&call).map(|it| it.cdr.clone())
    }

    fn list(
        &self,
        account: &AccountId,
        filter: &CdrFilter,
        offset: usize,
        limit: usize,
    ) -> CdrPage {
        // Copied, so that calls that end do not wait for readers.
        let all: Vec<_> = match self.state.lock().accounts.get(account) {
            Some(account_cdrs) => account_cdrs.latest_first().cloned().collect(),
            None => return CdrPage::default(),
        };
        let wanted = all.into_iter().filter(|it| filter.matches(it));
        let (mut cdrs, mut total) = (Vec::new(), 0);
        for cdr in wanted {
            if offset <= total && cdrs.len() < limit {
                cdrs.push(cdr);
            }
            total += 1;
        }
        CdrPage { cdrs, total }
    }
}

impl CdrState {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn account_cdrs(&mut self, account: &AccountId) -> &mut AccountCdrs {
        self.accounts.entry(account.clone()).or_default()
    }

    /// Adds a CDR, and returns the write of its row.
    fn add(&mut self, cdr: Arc<Cdr>) -> RowWrite {
        let number = self.next();
        let write = put(number, &cdr);
        self.account_cdrs(&cdr.account.clone()).push(number, cdr);
        write
    }

    fn sweep(&mut self, now: SystemTime, cdrs_max: usize, writes: &mut Vec<RowWrite>) {
        self.swept_at = Some(now);
        for (account, account_cdrs) in &mut self.accounts {
            account_cdrs.trim(account, now, cdrs_max, writes);
        }
    }
}

impl AccountCdrs {
    fn push(&mut self, number: u64, cdr: Arc<Cdr>) {
        let call = cdr.call;
        if self.by_call.insert(call, NumberedCdr { number, cdr }).is_none() {
            self.order.push_back(call);
        }
    }

    fn latest_first(&self) -> impl Iterator<Item = &Arc<Cdr>> {
        self.order.iter().rev().map(|it| &self.by_call[it].cdr)
    }

    /// Removes CDRs that are too old, and the oldest of those that are too many.
    fn trim(
        &mut self,
        account: &AccountId,
        now: SystemTime,
        cdrs_max: usize,
        writes: &mut Vec<RowWrite>,
    ) {
        while let Some(oldest) = self.order.front() {
            let age = now.duration_since(self.by_call[oldest].cdr.ended_at).unwrap_or_default();
            if age < KEPT_FOR && self.order.len() <= cdrs_max {
                return;
            }
            let oldest = self.order.pop_front();
            if let Some(NumberedCdr { number, .. }) = oldest.and_then(|it| self.by_call.remove(&it))
            {
                writes.push(RowWrite::delete(Table::Cdrs, account, number));
            }
        }
    }
}

impl fmt::Debug for CachedCdrStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedCdrStore").field("state", &self.state).finish_non_exhaustive()
    }
}

fn put(number: u64, cdr: &Cdr) -> RowWrite {
    RowWrite::put(Table::Cdrs, &cdr.account, number, &CdrRow::from(cdr))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::OnceLock,
        time::{Duration, SystemTime},
    };

    use super::*;
    use crate::{
        base::ids::Dialect,
        call::{CallDirection, CallSession, Party},
        media::{Ending, HangupCause, HangupSource},
        store::rows_memory::MemoryRows,
    };

    fn cdr(account: &str, n: u64) -> Arc<Cdr> {
        let began_at = SystemTime::UNIX_EPOCH + Duration::from_secs(n);
        let party = Party {
            from: format!("from-{}", n % 2).into(),
            to: "to".into(),
            caller_name: "".into(),
            direction: CallDirection::Inbound,
            dialect: Dialect::Plivo,
            trusted: None,
            session: CallSession::at(began_at),
        };
        Arc::new(Cdr {
            account: account.parse().unwrap(),
            call: CallId::of(n.into()),
            party: party.into(),
            answered_at: None,
            ended_at: began_at + Duration::from_secs(10),
            ending: Ending { cause: HangupCause::Normal, source: HangupSource::Caller },
            detail: None,
            conference: None,
            leg_summary: OnceLock::new(),
        })
    }

    #[test]
    fn cdrs_are_listed_latest_first_page_by_page_and_per_account() {
        let cdrs = CachedCdrStore::with_capacity(4);
        (1..=6).for_each(|n| cdrs.add(cdr("MA1", n), None));
        cdrs.add(cdr("MA2", 9), None);
        let check = |account: &str, from: Option<&str>, offset, limit, expected: &[u128], total| {
            let filter = CdrFilter { from: from.map(str::to_owned), ..CdrFilter::default() };
            let page = cdrs.list(&account.parse().unwrap(), &filter, offset, limit);
            let calls: Vec<_> = page.cdrs.iter().map(|it| it.call.0.as_u128()).collect();
            assert_eq!((&*calls, page.total), (expected, total), "{account} {from:?} {offset}");
        };
        check("MA1", None, 0, 20, &[6, 5, 4, 3], 4);
        check("MA1", None, 1, 2, &[5, 4], 4);
        check("MA1", Some("from-1"), 0, 20, &[5, 3], 2);
        check("MA1", None, 4, 20, &[], 4);
        check("MA3", None, 0, 20, &[], 0);
        let find = |account: &str, n| {
            cdrs.find(&account.parse().unwrap(), CallId::of(n)).map(|it| it.call)
        };
        assert_eq!(find("MA1", 6), Some(CallId::of(6)));
        assert_eq!((find("MA1", 2), find("MA2", 6)), (None, None));
    }

    #[test]
    fn a_leg_summary_is_kept_whether_it_comes_before_its_cdr_or_after() {
        let cdrs = CachedCdrStore::default();
        let summary = LegSummary { sent: 50, received: 49, lost: 1, jitter_us: 700 };
        let account = "MA1".parse().unwrap();
        cdrs.add_leg_summary(CallId::of(1), summary);
        cdrs.add(cdr("MA1", 1), None);
        cdrs.add(cdr("MA1", 2), None);
        cdrs.add_leg_summary(CallId::of(2), summary);
        cdrs.add(cdr("MA1", 3), None);
        let kept = |n| cdrs.find(&account, CallId::of(n)).unwrap().leg_summary.get().copied();
        assert_eq!([kept(1), kept(2), kept(3)], [Some(summary), Some(summary), None]);
        assert!(cdrs.leg_summaries.lock().is_empty());
    }

    #[test]
    fn what_is_too_old_or_too_much_is_removed_from_memory_and_rows() {
        let rows = Arc::new(MemoryRows::default());
        let at = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(n);
        let open = |now| CachedCdrStore::open_with_capacity(4, rows.clone(), now).unwrap();
        let check = |cdrs: &CachedCdrStore, account: &str, expected: &[u128]| {
            let account: AccountId = account.parse().unwrap();
            let page = cdrs.list(&account, &CdrFilter::default(), 0, 9);
            let calls: Vec<_> = page.cdrs.iter().map(|it| it.call.0.as_u128()).collect();
            assert_eq!(calls, expected, "{account}");
            let rows = rows.load(Table::Cdrs).unwrap();
            let rows = rows.iter().filter(|it| it.account == account).rev();
            let calls: Vec<_> =
                rows.map(|it| row::finished(it).unwrap().call.0.as_u128()).collect();
            assert_eq!(calls, expected, "rows of {account}");
        };
        let cdrs = open(at(0));
        (1..=6).for_each(|n| cdrs.add(cdr("MA1", n), None));
        check(&cdrs, "MA1", &[6, 5, 4, 3]);
        drop(cdrs);
        let cdrs = open(at(20));
        check(&cdrs, "MA1", &[6, 5, 4, 3]);
        // A call of another account ends when the first account's calls have just become too old.
        let late = KEPT_FOR.as_secs() + 6;
        cdrs.add(cdr("MA2", late), None);
        check(&cdrs, "MA1", &[]);
        check(&cdrs, "MA2", &[late.into()]);
        drop(cdrs);
        check(&open(at(late + KEPT_FOR.as_secs() + 9)), "MA2", &[late.into()]);
        check(&open(at(late + KEPT_FOR.as_secs() + 10)), "MA2", &[]);
    }
}
