//! Call records: the latest of each account, in memory, and in rows if they are to outlive it.
//!
//! All is read from memory. Rows are written behind it: nobody waits for them.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;

use super::row::{self, CallRow, RecordRow};
use crate::store::rows::{Row, Rows, RowsError, Table, Write};
use crate::{
    base::ids::{AccountId, CallId},
    call::Party,
    cdr::{Draft, Filter, Page, Record, Records},
    media::legs::LegSummary,
};

/// The records of every account.
#[derive(Debug)]
pub struct Ledger {
    sheets: Mutex<Sheets>,
    records_max: usize,
    /// How calls sounded whose records are still to come. Locked after `sheets`.
    sounds: Mutex<HashMap<CallId, LegSummary>>,
    /// None: they last as long as the process.
    disk: Option<Disk>,
}

/// Some hundreds of bytes each; a busy account's last hours.
pub const RECORDS_MAX: usize = 50_000;
/// As long as the vendors keep theirs (Plivo: 90 days); who called whom is nobody's for ever.
pub const KEPT_FOR: Duration = Duration::from_secs(90 * 86_400);

/// A record follows within moments; so many calls do not end at once.
const SOUNDS_MAX: usize = 10_000;
/// Accounts whose calls have ceased grow old as well. All are looked through so often.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);
/// Some hundred megabytes wait for a disk that stands still; then records are in memory only.
const WAITING_MAX: usize = 100_000;

#[derive(Debug, Default)]
struct Sheets {
    accounts: HashMap<AccountId, Pages>,
    /// Rows are numbered as they come.
    last: u64,
    swept_at: Option<SystemTime>,
}

#[derive(Debug, Default)]
struct Pages {
    /// The latest last.
    order: VecDeque<CallId>,
    records: HashMap<CallId, Kept>,
}

#[derive(Debug)]
struct Kept {
    /// Of its row.
    number: u64,
    record: Arc<Record>,
}

/// What is written behind.
struct Disk {
    rows: Arc<dyn Rows>,
    /// Commits under way.
    waiting: Arc<AtomicUsize>,
    lost: AtomicU64,
}

impl Ledger {
    /// One that keeps so many records of each account, as long as the process lasts.
    pub fn with_room_for(records_max: usize) -> Self {
        let (sheets, sounds) = (Mutex::default(), Mutex::default());
        Self { sheets, records_max, sounds, disk: None }
    }

    /// One whose records outlive the process. A call that was up when the last one died gets its
    /// record now: cause 5010, ended at the last moment that anything is known of.
    ///
    /// # Errors
    ///
    /// The rows cannot be read, or one makes no sense.
    pub fn open(rows: Arc<dyn Rows>, now: SystemTime) -> Result<Self, RowsError> {
        Self::open_with_room_for(RECORDS_MAX, rows, now)
    }

    fn open_with_room_for(
        records_max: usize,
        rows: Arc<dyn Rows>,
        now: SystemTime,
    ) -> Result<Self, RowsError> {
        let (mut sheets, mut writes) = (Sheets::default(), Vec::new());
        let mut last_sign = SystemTime::UNIX_EPOCH;
        for row in rows.load(Table::Records)? {
            let record = row::record(&row)?;
            last_sign = last_sign.max(record.ended_at);
            sheets.last = sheets.last.max(row.a);
            sheets.pages(&record.account).push(row.a, Arc::new(record));
        }
        let up = rows.load(Table::Calls)?;
        for row in &up {
            last_sign = last_sign.max(row.parse::<CallRow>(Table::Calls)?.last_sign());
            sheets.last = sheets.last.max(row.a);
        }
        for row in &up {
            writes.push(Write::delete(Table::Calls, &row.account, row.a));
            let record = Arc::new(row::crashed(row, last_sign)?);
            if !sheets.pages(&record.account).records.contains_key(&record.call) {
                tracing::warn!(call = %record.call, "was cut off by the end of the last process");
                writes.push(sheets.add(record));
            }
        }
        sheets.sweep(now, records_max, &mut writes);
        let (waiting, lost) = (Arc::default(), AtomicU64::new(0));
        let disk = Disk { rows, waiting, lost };
        disk.write(writes);
        let sounds = Mutex::default();
        Ok(Self { sheets: Mutex::new(sheets), records_max, sounds, disk: Some(disk) })
    }

    fn write(&self, writes: Vec<Write>) {
        if let Some(disk) = &self.disk {
            disk.write(writes);
        }
    }
}

/// Whether a row of [`Table::Records`] or [`Table::Calls`] can be read.
///
/// # Errors
///
/// It makes no sense.
pub fn check(table: Table, row: &Row) -> Result<(), RowsError> {
    let record = match table == Table::Calls {
        true => row::crashed(row, SystemTime::UNIX_EPOCH),
        false => row::record(row),
    };
    record.map(drop)
}

impl Default for Ledger {
    fn default() -> Self {
        Self::with_room_for(RECORDS_MAX)
    }
}

impl Records for Ledger {
    fn answered(
        &self,
        account: &AccountId,
        call: CallId,
        party: &Arc<Party>,
        at: SystemTime,
    ) -> Option<Draft> {
        let disk = self.disk.as_ref()?;
        let row = CallRow::new(call, party, Some(at));
        let mut sheets = self.sheets.lock();
        let number = sheets.next();
        disk.write(vec![Write::put(Table::Calls, account, number, &row)]);
        NonZeroU64::new(number).map(Draft)
    }

    fn add(&self, record: Arc<Record>, draft: Option<Draft>) {
        let mut sheets = self.sheets.lock();
        if let Some(sound) = self.sounds.lock().remove(&record.call) {
            record.sound.get_or_init(|| sound);
        }
        let (account, now) = (record.account.clone(), record.ended_at);
        let mut writes = Vec::new();
        if let Some(Draft(number)) = draft {
            writes.push(Write::delete(Table::Calls, &account, number.get()));
        }
        match &self.disk {
            Some(_) => writes.push(sheets.add(record)),
            None => sheets.pages(&account).push(0, record),
        }
        let age = sheets.swept_at.map(|at| now.duration_since(at).unwrap_or_default());
        match age.is_none_or(|it| SWEEP_EVERY <= it) {
            true => sheets.sweep(now, self.records_max, &mut writes),
            false => sheets.pages(&account).trim(&account, now, self.records_max, &mut writes),
        }
        // Under the lock, so that rows are written as they came.
        self.write(writes);
    }

    fn sounded(&self, call: CallId, sound: LegSummary) {
        let sheets = self.sheets.lock();
        match sheets.accounts.values().find_map(|pages| pages.records.get(&call)) {
            Some(Kept { number, record }) => {
                record.sound.get_or_init(|| sound);
                if self.disk.is_some() {
                    self.write(vec![put(*number, record)]);
                }
            }
            None => {
                let mut sounds = self.sounds.lock();
                if sounds.len() < SOUNDS_MAX {
                    sounds.insert(call, sound);
                }
            }
        }
    }

    fn find(&self, account: &AccountId, call: CallId) -> Option<Arc<Record>> {
        let sheets = self.sheets.lock();
        sheets.accounts.get(account)?.records.get(&call).map(|it| it.record.clone())
    }

    fn list(&self, account: &AccountId, filter: &Filter, offset: usize, limit: usize) -> Page {
        // Copied, so that calls that end do not wait for whoever reads.
        let all: Vec<_> = match self.sheets.lock().accounts.get(account) {
            Some(pages) => pages.latest_first().cloned().collect(),
            None => return Page::default(),
        };
        let wanted = all.into_iter().filter(|it| filter.lets_through(it));
        let (mut records, mut total) = (Vec::new(), 0);
        for record in wanted {
            if offset <= total && records.len() < limit {
                records.push(record);
            }
            total += 1;
        }
        Page { records, total }
    }
}

impl Sheets {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn pages(&mut self, account: &AccountId) -> &mut Pages {
        self.accounts.entry(account.clone()).or_default()
    }

    /// Takes a record in, and tells its row.
    fn add(&mut self, record: Arc<Record>) -> Write {
        let number = self.next();
        let write = put(number, &record);
        self.pages(&record.account.clone()).push(number, record);
        write
    }

    fn sweep(&mut self, now: SystemTime, records_max: usize, writes: &mut Vec<Write>) {
        self.swept_at = Some(now);
        for (account, pages) in &mut self.accounts {
            pages.trim(account, now, records_max, writes);
        }
    }
}

impl Pages {
    fn push(&mut self, number: u64, record: Arc<Record>) {
        let call = record.call;
        if self.records.insert(call, Kept { number, record }).is_none() {
            self.order.push_back(call);
        }
    }

    fn latest_first(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.order.iter().rev().map(|it| &self.records[it].record)
    }

    /// Lets go of what is too old, and of what is too much.
    fn trim(
        &mut self,
        account: &AccountId,
        now: SystemTime,
        records_max: usize,
        writes: &mut Vec<Write>,
    ) {
        while let Some(oldest) = self.order.front() {
            let age = now.duration_since(self.records[oldest].record.ended_at).unwrap_or_default();
            if age < KEPT_FOR && self.order.len() <= records_max {
                return;
            }
            let oldest = self.order.pop_front();
            if let Some(Kept { number, .. }) = oldest.and_then(|it| self.records.remove(&it)) {
                writes.push(Write::delete(Table::Records, account, number));
            }
        }
    }
}

impl Disk {
    fn write(&self, writes: Vec<Write>) {
        if writes.is_empty() {
            return;
        }
        if WAITING_MAX <= self.waiting.fetch_add(1, Relaxed) {
            self.waiting.fetch_sub(1, Relaxed);
            // Said more and more rarely: the log is on a disk, too.
            let lost = self.lost.fetch_add(1, Relaxed) + 1;
            if lost.is_power_of_two() {
                tracing::error!("{lost} call records are in memory only: the store is too slow");
            }
            return;
        }
        let waiting = self.waiting.clone();
        // Whoever writes says himself what went wrong.
        let done = move |_| {
            waiting.fetch_sub(1, Relaxed);
        };
        self.rows.commit_soon(writes, Box::new(done));
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

fn put(number: u64, record: &Record) -> Write {
    Write::put(Table::Records, &record.account, number, &RecordRow::from(record))
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
        call::{Direction, Party, Session},
        media::{Ending, HangupCause, HangupSource},
        store::rows_memory::Memory,
    };

    fn record(account: &str, n: u64) -> Arc<Record> {
        let began_at = SystemTime::UNIX_EPOCH + Duration::from_secs(n);
        let party = Party {
            from: format!("from-{}", n % 2).into(),
            to: "to".into(),
            caller_name: "".into(),
            direction: Direction::Inbound,
            dialect: Dialect::Plivo,
            trusted: None,
            session: Session::at(began_at),
        };
        Arc::new(Record {
            account: account.parse().unwrap(),
            call: CallId::of(n.into()),
            party: party.into(),
            answered_at: None,
            ended_at: began_at + Duration::from_secs(10),
            ending: Ending { cause: HangupCause::Normal, source: HangupSource::Caller },
            sound: OnceLock::new(),
        })
    }

    #[test]
    fn the_latest_come_first_page_by_page_and_accounts_are_walls() {
        let ledger = Ledger::with_room_for(4);
        (1..=6).for_each(|n| ledger.add(record("MA1", n), None));
        ledger.add(record("MA2", 9), None);
        let check = |account: &str, from: Option<&str>, offset, limit, expected: &[u128], total| {
            let filter = Filter { from: from.map(str::to_owned), ..Filter::default() };
            let page = ledger.list(&account.parse().unwrap(), &filter, offset, limit);
            let calls: Vec<_> = page.records.iter().map(|it| it.call.0.as_u128()).collect();
            assert_eq!((&*calls, page.total), (expected, total), "{account} {from:?} {offset}");
        };
        check("MA1", None, 0, 20, &[6, 5, 4, 3], 4);
        check("MA1", None, 1, 2, &[5, 4], 4);
        check("MA1", Some("from-1"), 0, 20, &[5, 3], 2);
        check("MA1", None, 4, 20, &[], 4);
        check("MA3", None, 0, 20, &[], 0);
        let find = |account: &str, n| {
            ledger.find(&account.parse().unwrap(), CallId::of(n)).map(|it| it.call)
        };
        assert_eq!(find("MA1", 6), Some(CallId::of(6)));
        assert_eq!((find("MA1", 2), find("MA2", 6)), (None, None));
    }

    #[test]
    fn how_a_call_sounded_is_kept_whether_it_is_told_before_its_record_or_after() {
        let ledger = Ledger::default();
        let sound = LegSummary { sent: 50, received: 49, lost: 1, jitter_us: 700 };
        let account = "MA1".parse().unwrap();
        ledger.sounded(CallId::of(1), sound);
        ledger.add(record("MA1", 1), None);
        ledger.add(record("MA1", 2), None);
        ledger.sounded(CallId::of(2), sound);
        ledger.add(record("MA1", 3), None);
        let kept = |n| ledger.find(&account, CallId::of(n)).unwrap().sound.get().copied();
        assert_eq!([kept(1), kept(2), kept(3)], [Some(sound), Some(sound), None]);
        assert!(ledger.sounds.lock().is_empty());
    }

    #[test]
    fn what_is_too_old_or_too_much_is_let_go_of_in_memory_and_in_rows() {
        let rows = Arc::new(Memory::default());
        let at = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(n);
        let open = |now| Ledger::open_with_room_for(4, rows.clone(), now).unwrap();
        let check = |ledger: &Ledger, account: &str, expected: &[u128]| {
            let account: AccountId = account.parse().unwrap();
            let page = ledger.list(&account, &Filter::default(), 0, 9);
            let calls: Vec<_> = page.records.iter().map(|it| it.call.0.as_u128()).collect();
            assert_eq!(calls, expected, "{account}");
            let rows = rows.load(Table::Records).unwrap();
            let rows = rows.iter().filter(|it| it.account == account).rev();
            let calls: Vec<_> = rows.map(|it| row::record(it).unwrap().call.0.as_u128()).collect();
            assert_eq!(calls, expected, "rows of {account}");
        };
        let ledger = open(at(0));
        (1..=6).for_each(|n| ledger.add(record("MA1", n), None));
        check(&ledger, "MA1", &[6, 5, 4, 3]);
        drop(ledger);
        let ledger = open(at(20));
        check(&ledger, "MA1", &[6, 5, 4, 3]);
        // Another account's call, when the first one's have just grown too old.
        let late = KEPT_FOR.as_secs() + 6;
        ledger.add(record("MA2", late), None);
        check(&ledger, "MA1", &[]);
        check(&ledger, "MA2", &[late.into()]);
        drop(ledger);
        check(&open(at(late + KEPT_FOR.as_secs() + 9)), "MA2", &[late.into()]);
        check(&open(at(late + KEPT_FOR.as_secs() + 10)), "MA2", &[]);
    }
}
