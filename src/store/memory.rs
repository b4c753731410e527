//! Call records in memory: the latest of each account, until the process ends.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    ids::{AccountId, CallId},
    media::legs::LegSummary,
    records::{Filter, Page, Record, Records},
};

/// The records of every account.
#[derive(Debug)]
pub struct Ledger {
    accounts: Mutex<HashMap<AccountId, Pages>>,
    records_max: usize,
    /// How calls sounded whose records are still to come. Locked after `accounts`.
    sounds: Mutex<HashMap<CallId, LegSummary>>,
}

/// Some hundreds of bytes each; a busy account's last hours.
pub const RECORDS_MAX: usize = 50_000;

/// A record follows within moments; so many calls do not end at once.
const SOUNDS_MAX: usize = 10_000;

#[derive(Debug, Default)]
struct Pages {
    /// The latest last.
    order: VecDeque<CallId>,
    records: HashMap<CallId, Arc<Record>>,
}

impl Ledger {
    /// One that keeps so many records of each account.
    pub fn with_room_for(records_max: usize) -> Self {
        Self { accounts: Mutex::default(), records_max, sounds: Mutex::default() }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::with_room_for(RECORDS_MAX)
    }
}

impl Records for Ledger {
    fn add(&self, record: Arc<Record>) {
        let mut accounts = self.accounts.lock();
        if let Some(sound) = self.sounds.lock().remove(&record.call) {
            record.sound.get_or_init(|| sound);
        }
        let pages = accounts.entry(record.account.clone()).or_default();
        pages.order.push_back(record.call);
        pages.records.insert(record.call, record);
        if self.records_max < pages.order.len()
            && let Some(oldest) = pages.order.pop_front()
        {
            pages.records.remove(&oldest);
        }
    }

    fn sounded(&self, call: CallId, sound: LegSummary) {
        let accounts = self.accounts.lock();
        match accounts.values().find_map(|pages| pages.records.get(&call)) {
            Some(record) => drop(record.sound.get_or_init(|| sound)),
            None => {
                let mut sounds = self.sounds.lock();
                if sounds.len() < SOUNDS_MAX {
                    sounds.insert(call, sound);
                }
            }
        }
    }

    fn find(&self, account: &AccountId, call: CallId) -> Option<Arc<Record>> {
        self.accounts.lock().get(account)?.records.get(&call).cloned()
    }

    fn list(&self, account: &AccountId, filter: &Filter, offset: usize, limit: usize) -> Page {
        // Copied, so that calls that end do not wait for whoever reads.
        let all: Vec<_> = match self.accounts.lock().get(account) {
            Some(pages) => pages.order.iter().rev().map(|it| pages.records[it].clone()).collect(),
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

#[cfg(test)]
mod tests {
    use std::{
        sync::OnceLock,
        time::{Duration, SystemTime},
    };

    use super::*;
    use crate::{
        call::{Direction, Party, Session},
        ids::Dialect,
        media::{Ending, HangupCause, HangupSource},
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
        (1..=6).for_each(|n| ledger.add(record("MA1", n)));
        ledger.add(record("MA2", 9));
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
        ledger.add(record("MA1", 1));
        ledger.add(record("MA1", 2));
        ledger.sounded(CallId::of(2), sound);
        ledger.add(record("MA1", 3));
        let kept = |n| ledger.find(&account, CallId::of(n)).unwrap().sound.get().copied();
        assert_eq!([kept(1), kept(2), kept(3)], [Some(sound), Some(sound), None]);
        assert!(ledger.sounds.lock().is_empty());
    }
}
