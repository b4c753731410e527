//! History of deliveries: the state and the last attempts of each event's callback, within limits.
//!
//! What waits is bounded by the queues. What is settled is bounded here: those that have arrived and
//! those that were given up have separate limits, so that a busy receiver does not push out the
//! failures of another one.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::delivery::DropReason;
use crate::{
    base::ids::{AccountId, CallId, ConferenceName},
    flow::RequestMethod,
};

/// What has become of a callback so far.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum DeliveryState {
    /// It waits for its turn, or for its next attempt.
    Waiting,
    /// A request is under way.
    InFlight,
    /// The receiver has confirmed it.
    Arrived,
    /// It has not arrived, and no attempt follows.
    GivenUp(DropReason),
}

impl DeliveryState {
    /// The names of all states, as users write them.
    pub const NAMES: [&str; 5] = ["waiting", "in-flight", "arrived", "failed", "dropped"];

    /// The name of the state, one of [`Self::NAMES`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InFlight => "in-flight",
            Self::Arrived => "arrived",
            Self::GivenUp(DropReason::Exhausted | DropReason::Refused) => "failed",
            Self::GivenUp(DropReason::Closed | DropReason::Full) => "dropped",
        }
    }
}

/// One request of a callback.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DeliveryAttempt {
    /// The wall clock time when it began.
    pub at: SystemTime,
    /// Status of the response; None if there was none.
    pub status: Option<u16>,
    /// Why it failed; empty if it has arrived.
    pub error: Box<str>,
    /// Time until the response, or the failure.
    pub took: Duration,
}

/// What earlier processes have done for a callback.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EarlierTries {
    /// The number of attempts.
    pub attempts: u8,
    /// Time since its event, or since its repetition was asked for.
    pub age: Duration,
}

/// A change that the dispatcher reports of a callback.
#[derive(Clone, Copy, Debug)]
pub enum DeliveryChange<'a> {
    /// It is in a queue.
    Queued,
    /// A request has begun.
    Sent,
    /// A request has failed, and another one follows.
    Failed(&'a DeliveryAttempt),
    /// It has arrived or is given up; with the request that has decided it, if one has.
    Settled(DeliveryState, Option<&'a DeliveryAttempt>),
}

/// A callback, as its account may see it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DeliveryRecord {
    /// The value of `Event`, such as `ConferenceEnter`.
    pub event: Cow<'static, str>,
    /// The time of the event.
    pub event_at: SystemTime,
    /// The time from which its age is counted: of the event, or of the request to repeat it.
    pub since: SystemTime,
    /// The call that the event is about.
    pub call: Option<CallId>,
    /// The conference that the event is about.
    pub conference: Option<ConferenceName>,
    /// The receiver's URL, with secret values masked.
    pub url: Arc<str>,
    /// The method of the requests.
    pub method: RequestMethod,
    /// What has become of it.
    pub state: DeliveryState,
    /// The time since which it is settled; None while it waits.
    pub settled_at: Option<SystemTime>,
    /// The number of attempts so far.
    pub attempts: u8,
    /// The last of them, the oldest first: [`ATTEMPTS_KEPT`] at most.
    pub last: VecDeque<DeliveryAttempt>,
}

/// Attempts of a callback that are kept.
pub const ATTEMPTS_KEPT: usize = 5;
/// Characters of an error that are kept.
const ERROR_CHARS_MAX: usize = 200;
/// Callbacks that have arrived, of all accounts: some 10 MB.
pub const ARRIVED_MAX: usize = 50_000;
/// Callbacks that were given up, of all accounts.
pub const GIVEN_UP_MAX: usize = 50_000;
/// Records that are removed at once, since each time costs a look at every account.
const TRIMMED: usize = 256;
/// Records that one look at a list reads, so that nobody waits long for the history.
pub const SCAN_MAX: usize = 4_096;

impl DeliveryRecord {
    /// Adds an attempt, and forgets the oldest if there are many.
    pub fn add(&mut self, attempt: &DeliveryAttempt) {
        let DeliveryAttempt { at, status, error, took } = attempt;
        let error = error.chars().take(ERROR_CHARS_MAX).collect::<String>().into();
        if self.last.len() == ATTEMPTS_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(DeliveryAttempt { at: *at, status: *status, error, took: *took });
        self.attempts = self.attempts.saturating_add(1);
    }
}

/// The callbacks that a list has. All conditions must hold.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DeliveryFilter {
    /// Only those of events about this call.
    pub call: Option<CallId>,
    /// Only those in a state of this name.
    pub state: Option<&'static str>,
    /// Only those of events from this time on.
    pub from: Option<SystemTime>,
    /// Only those of events until this time.
    pub until: Option<SystemTime>,
}

impl DeliveryFilter {
    fn lets_through(&self, record: &DeliveryRecord) -> bool {
        self.call.is_none_or(|it| record.call == Some(it))
            && self.state.is_none_or(|it| record.state.name() == it)
            && self.from.is_none_or(|it| it <= record.event_at)
            && self.until.is_none_or(|it| record.event_at <= it)
    }
}

/// A page of a list, the latest event first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeliveryPage {
    offset: usize,
    limit: usize,
    /// The number of the event that was looked at last.
    below: u64,
    /// The number of each event, and its callback.
    pub records: Vec<(u64, DeliveryRecord)>,
    /// The number of callbacks in the whole list.
    pub total: usize,
}

impl DeliveryPage {
    /// A page that nothing has been read for yet.
    pub fn new(offset: usize, limit: usize) -> Self {
        Self { offset, limit, below: u64::MAX, records: Vec::new(), total: 0 }
    }
}

/// The callbacks of all accounts.
#[derive(Debug, Default)]
pub struct DeliveryHistory {
    accounts: BTreeMap<AccountId, AccountDeliveries>,
    /// The number of settled ones: arrived, and given up.
    settled: [usize; 2],
}

#[derive(Debug, Default)]
struct AccountDeliveries {
    /// By the number of the event.
    records: BTreeMap<u64, DeliveryRecord>,
    /// Arrived, and given up; the oldest first.
    settled: [VecDeque<SettledDelivery>; 2],
}

/// The limits of [`DeliveryHistory::settled`].
const SETTLED_MAX: [usize; 2] = [ARRIVED_MAX, GIVEN_UP_MAX];

/// A record that is removed when it is too old, unless it has changed since.
#[derive(Clone, Copy, Debug)]
struct SettledDelivery {
    number: u64,
    at: SystemTime,
}

impl DeliveryHistory {
    /// The callback of an account's event.
    pub fn get(&self, account: &AccountId, number: u64) -> Option<&DeliveryRecord> {
        self.accounts.get(account)?.records.get(&number)
    }

    /// Changes the callback of an account's event, which `new` makes if it is not known, and returns
    /// it as it is then.
    pub fn change(
        &mut self,
        account: &AccountId,
        number: u64,
        new: impl FnOnce() -> DeliveryRecord,
        change: impl FnOnce(&mut DeliveryRecord),
    ) -> &DeliveryRecord {
        if !self.accounts.contains_key(account) {
            self.accounts.insert(account.clone(), AccountDeliveries::default());
        }
        let deliveries = self.accounts.get_mut(account).expect("it has just been added");
        let before = deliveries.records.get(&number).and_then(|it| it.settled_at);
        let record = deliveries.records.entry(number).or_insert_with(new);
        change(record);
        if let Some(at) = record.settled_at.filter(|it| before != Some(*it)) {
            let kind = usize::from(record.state != DeliveryState::Arrived);
            deliveries.settled[kind].push_back(SettledDelivery { number, at });
            self.settled[kind] += 1;
        }
        record
    }

    /// Removes what was settled before a time, and some of the oldest if a limit is reached: from the
    /// account that has most. Returns the account and the number of each.
    pub fn trim(&mut self, before: SystemTime) -> Vec<(AccountId, u64)> {
        let mut removed = Vec::new();
        let is_full = self.is_full();
        for (kind, max) in SETTLED_MAX.into_iter().enumerate() {
            for (account, deliveries) in &mut self.accounts {
                while deliveries.settled[kind].front().is_some_and(|it| it.at < before) {
                    deliveries.forget_oldest(kind, account, &mut removed);
                    self.settled[kind] -= 1;
                }
            }
            while is_full && max - TRIMMED < self.settled[kind] {
                let accounts = self.accounts.iter_mut();
                let largest = accounts.max_by_key(|(_, it)| it.settled[kind].len());
                let (account, deliveries) = largest.expect("an account has them");
                deliveries.forget_oldest(kind, account, &mut removed);
                self.settled[kind] -= 1;
            }
        }
        self.accounts.retain(|_, it| !it.is_empty());
        removed
    }

    /// Whether there is as much as the limits allow.
    pub fn is_full(&self) -> bool {
        SETTLED_MAX.iter().zip(self.settled).any(|(max, count)| *max <= count)
    }

    /// Reads up to [`SCAN_MAX`] more records of an account into a page; whether it is complete.
    pub fn read(
        &self,
        account: &AccountId,
        filter: &DeliveryFilter,
        page: &mut DeliveryPage,
    ) -> bool {
        let Some(deliveries) = self.accounts.get(account) else { return true };
        let mut seen = 0;
        for (number, record) in deliveries.records.range(..page.below).rev().take(SCAN_MAX) {
            (seen, page.below) = (seen + 1, *number);
            if filter.lets_through(record) {
                if page.offset <= page.total && page.records.len() < page.limit {
                    page.records.push((*number, record.clone()));
                }
                page.total += 1;
            }
        }
        seen < SCAN_MAX
    }
}

impl AccountDeliveries {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.settled.iter().all(VecDeque::is_empty)
    }

    /// Forgets the oldest settled one, unless it has been repeated since.
    fn forget_oldest(
        &mut self,
        kind: usize,
        account: &AccountId,
        removed: &mut Vec<(AccountId, u64)>,
    ) {
        let Some(SettledDelivery { number, at }) = self.settled[kind].pop_front() else { return };
        if self.records.get(&number).is_some_and(|it| it.settled_at == Some(at)) {
            self.records.remove(&number);
            removed.push((account.clone(), number));
        }
    }
}

/// The version of the rows of this build.
const VERSION: u8 = 1;

/// The row of a callback in the state log.
pub fn write_row(account: &AccountId, record: &DeliveryRecord) -> Vec<u8> {
    let row = vec![VERSION];
    postcard::to_extend(&(account.as_str(), record), row).expect("postcard writes every record")
}

/// Reads a row. None: it is of another version, or damaged.
pub fn read_row(row: &[u8]) -> Option<(AccountId, DeliveryRecord)> {
    let (&version, row) = row.split_first()?;
    if version != VERSION {
        return None;
    }
    let (account, record): (Box<str>, DeliveryRecord) = postcard::from_bytes(row).ok()?;
    Some((account.parse().ok()?, record))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn attempt(seconds: u64, error: &str) -> DeliveryAttempt {
        let (at, took) = (at(seconds), Duration::from_millis(7));
        DeliveryAttempt { at, status: Some(500), error: error.into(), took }
    }

    fn record(seconds: u64) -> DeliveryRecord {
        DeliveryRecord {
            event: "ConferenceEnter".into(),
            event_at: at(seconds),
            since: at(seconds),
            call: Some(CallId::of(u128::from(seconds % 2))),
            conference: Some("weekly".parse().unwrap()),
            url: "http://a/?token=***".into(),
            method: RequestMethod::Post,
            state: DeliveryState::Waiting,
            settled_at: None,
            attempts: 0,
            last: VecDeque::new(),
        }
    }

    fn account(name: &str) -> AccountId {
        name.parse().unwrap()
    }

    fn settle(history: &mut DeliveryHistory, name: &str, number: u64, state: DeliveryState) {
        let new = || record(number);
        history.change(&account(name), number, new, |it| {
            it.state = state;
            it.settled_at = Some(at(number));
        });
    }

    const FAILED: DeliveryState = DeliveryState::GivenUp(DropReason::Exhausted);

    #[test]
    fn a_row_is_read_as_it_was_written_and_no_other_version_is() {
        let mut record = record(3);
        (1..=9).for_each(|n| record.add(&attempt(n, &"x".repeat(500))));
        assert_eq!((record.attempts, record.last.len()), (9, ATTEMPTS_KEPT));
        assert_eq!((record.last[0].at, record.last[0].error.len()), (at(5), ERROR_CHARS_MAX));
        let mut row = write_row(&account("MA1"), &record);
        assert_eq!(read_row(&row), Some((account("MA1"), record)));
        assert_eq!(read_row(&row[..row.len() - 1]), None);
        row[0] = 2;
        assert_eq!(read_row(&row), None);
        assert_eq!(read_row(&[]), None);
    }

    #[test]
    fn a_list_has_the_latest_first_and_all_conditions_hold() {
        let mut history = DeliveryHistory::default();
        let one = account("MA1");
        (1..=6).for_each(|n| _ = history.change(&one, n, || record(n), |_| ()));
        settle(&mut history, "MA1", 3, FAILED);
        settle(&mut history, "MA1", 5, DeliveryState::Arrived);
        settle(&mut history, "MA2", 9, DeliveryState::Arrived);
        let check = |filter: DeliveryFilter, offset, limit, expected: &[u64], total| {
            let mut page = DeliveryPage::new(offset, limit);
            assert!(history.read(&one, &filter, &mut page));
            let numbers: Vec<_> = page.records.iter().map(|it| it.0).collect();
            assert_eq!((&*numbers, page.total), (expected, total), "{filter:?}");
        };
        let all = DeliveryFilter::default();
        check(all, 0, 20, &[6, 5, 4, 3, 2, 1], 6);
        check(all, 1, 2, &[5, 4], 6);
        check(all, 6, 2, &[], 6);
        check(DeliveryFilter { state: Some("waiting"), ..all }, 0, 20, &[6, 4, 2, 1], 4);
        check(DeliveryFilter { state: Some("failed"), ..all }, 0, 20, &[3], 1);
        check(DeliveryFilter { state: Some("in-flight"), ..all }, 0, 20, &[], 0);
        let of_call = DeliveryFilter { call: Some(CallId::of(1)), ..all };
        check(of_call, 0, 20, &[5, 3, 1], 3);
        check(DeliveryFilter { state: Some("arrived"), ..of_call }, 0, 20, &[5], 1);
        check(
            DeliveryFilter { from: Some(at(2)), until: Some(at(4)), ..all },
            0,
            20,
            &[4, 3, 2],
            3,
        );
    }

    #[test]
    fn a_long_list_is_read_bit_by_bit() {
        let mut history = DeliveryHistory::default();
        let (one, count) = (account("MA1"), SCAN_MAX as u64 + 10);
        (1..=count).for_each(|n| _ = history.change(&one, n, || record(n), |_| ()));
        let mut page = DeliveryPage::new(SCAN_MAX - 1, 3);
        let all = DeliveryFilter::default();
        assert!(!history.read(&one, &all, &mut page));
        assert!(history.read(&one, &all, &mut page));
        let numbers: Vec<_> = page.records.iter().map(|it| it.0).collect();
        assert_eq!((numbers, page.total as u64), (vec![11, 10, 9], count));
    }

    #[test]
    fn what_is_old_or_too_much_is_removed_and_what_waits_is_not() {
        let mut history = DeliveryHistory::default();
        history.change(&account("MA1"), 1, || record(1), |_| ());
        settle(&mut history, "MA1", 2, DeliveryState::Arrived);
        settle(&mut history, "MA1", 3, FAILED);
        settle(&mut history, "MA2", 4, FAILED);
        // This one is repeated, and waits again.
        history.change(
            &account("MA2"),
            4,
            || record(4),
            |it| {
                (it.state, it.settled_at) = (DeliveryState::Waiting, None);
            },
        );
        assert_eq!(history.trim(at(3)), [(account("MA1"), 2)]);
        assert_eq!(history.trim(at(9)), [(account("MA1"), 3)]);
        assert!(history.get(&account("MA1"), 1).is_some());
        assert!(history.get(&account("MA2"), 4).is_some());

        // The account with most loses its oldest; failures are not pushed out by what arrives.
        settle(&mut history, "MA2", 5, FAILED);
        settle(&mut history, "MA2", 6, DeliveryState::Arrived);
        let count = ARRIVED_MAX as u64;
        (1..=count).for_each(|n| settle(&mut history, "MA3", 10 + n, DeliveryState::Arrived));
        assert!(history.is_full());
        let removed = history.trim(at(0));
        // Of those that have arrived, there is one of MA2 as well.
        let expected = (11..=11 + TRIMMED as u64).map(|n| (account("MA3"), n));
        assert!(removed.iter().cloned().eq(expected), "{removed:?}");
        assert!(!history.is_full());
        assert!(
            history.get(&account("MA2"), 5).is_some() && history.get(&account("MA2"), 6).is_some()
        );
    }
}
