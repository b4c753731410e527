//! Deliveries: what has become of each event's callback, kept in the state log as long as events are.

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;

use super::{
    inbound::wall_clock,
    recorder::{KeyKind, callback_key},
};
use crate::{
    base::ids::AccountId,
    events::{
        AccountEvent, fields,
        log::{Event, Topic},
    },
    fetch::HiddenNames,
    flow::RequestMethod,
    state_log::{Line, RowKey, StateLog},
    webhooks::history::{
        DeliveryChange, DeliveryFilter, DeliveryHistory, DeliveryPage, DeliveryRecord,
        DeliveryState, read_row, write_row,
    },
};

/// The history of all accounts, in memory and in the state log.
pub(super) struct Deliveries {
    history: Mutex<DeliveryHistory>,
    /// None if nothing outlives the process.
    state_log: Option<Arc<StateLog>>,
    keep: Duration,
}

/// As long as events, if there is no state log that says how long.
const KEEP_DEFAULT: Duration = Duration::from_secs(86_400);

/// No value of a query is shown: any may be a secret.
static ALL_HIDDEN: LazyLock<HiddenNames> = LazyLock::new(|| HiddenNames::new(["*"]));

/// The callback of an event that nothing has happened to yet.
pub(super) fn new_record(
    event: &Event<AccountEvent>,
    url: &str,
    method: RequestMethod,
) -> DeliveryRecord {
    DeliveryRecord {
        event: fields::event_name(&event.what).into(),
        event_at: event.at,
        since: event.at,
        call: event.what.call(),
        conference: event.what.conference().cloned(),
        url: ALL_HIDDEN.shown(url).into(),
        method,
        state: DeliveryState::Waiting,
        settled_at: None,
        attempts: 0,
        last: VecDeque::new(),
    }
}

impl Deliveries {
    pub(super) fn new(state_log: Option<Arc<StateLog>>) -> Self {
        let keep = state_log.as_ref().map_or(KEEP_DEFAULT, |it| it.keeps_for());
        Self { history: Mutex::default(), state_log, keep }
    }

    /// Takes the row of an earlier process. A callback that waited, and whose event is lost, is
    /// forgotten.
    pub(super) fn load(&self, key: RowKey, row: &[u8]) {
        let kept = KeyKind::Callback.key(key.id);
        let is_kept = self.state_log.as_ref().is_some_and(|it| it.has(kept));
        // The lower half of the id is the number of the event.
        let number = key.id as u64;
        match read_row(row) {
            Some((account, record)) if is_kept || record.settled_at.is_some() => {
                self.history.lock().change(&account, number, || record, |_| ());
            }
            Some(_) => self.write(&[Line::Gone(key)]),
            None => tracing::error!(number, "the history of a callback cannot be read"),
        }
    }

    /// Notes a change of the callback of the event that a key keeps. Results of requests are written to the
    /// state log; with a final one, the log lets go of the event.
    pub(super) fn note(
        &self,
        account: &AccountId,
        kept: RowKey,
        change: DeliveryChange<'_>,
        new: impl FnOnce() -> DeliveryRecord,
    ) {
        // The lower half of the id is the number of the event.
        let number = kept.id as u64;
        let now = wall_clock();
        let mut history = self.history.lock();
        let record = history.change(account, number, new, |it| apply(it, change, now));
        let (row, is_settled) = match change {
            DeliveryChange::Queued | DeliveryChange::Sent => return,
            DeliveryChange::Failed(_) => (write_row(account, record), false),
            DeliveryChange::Settled(..) => (write_row(account, record), true),
        };
        let removed = match history.is_full() {
            true => history.trim(self.oldest(now)),
            false => Vec::new(),
        };
        drop(history);
        let mut lines = vec![Line::Row { key: KeyKind::Delivery.key(kept.id), body: &row }];
        lines.extend(is_settled.then_some(Line::Gone(kept)));
        lines.extend(removed.iter().map(gone));
        self.write(&lines);
    }

    /// A page of an account's callbacks, the latest event first.
    pub(super) fn list(
        &self,
        account: &AccountId,
        filter: &DeliveryFilter,
        offset: usize,
        limit: usize,
    ) -> DeliveryPage {
        let removed = self.history.lock().trim(self.oldest(wall_clock()));
        self.write(&removed.iter().map(gone).collect::<Vec<_>>());
        let mut page = DeliveryPage::new(offset, limit);
        while !self.history.lock().read(account, filter, &mut page) {}
        page
    }

    /// The callback of an account's event; None if it is not known.
    pub(super) fn find(&self, account: &AccountId, number: u64) -> Option<DeliveryRecord> {
        self.history.lock().get(account, number).cloned()
    }

    /// Makes a settled callback wait again; false if it waits already.
    pub(super) fn repeat(
        &self,
        account: &AccountId,
        number: u64,
        new: impl FnOnce() -> DeliveryRecord,
    ) -> bool {
        let mut history = self.history.lock();
        let known = history.get(account, number);
        if known.is_some_and(|it| it.settled_at.is_none()) {
            return false;
        }

        history.change(account, number, new, |it| {
            (it.state, it.settled_at) = (DeliveryState::Waiting, None);
            (it.since, it.attempts) = (wall_clock(), 0);
        });
        true
    }

    fn oldest(&self, now: SystemTime) -> SystemTime {
        now.checked_sub(self.keep).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    fn write(&self, lines: &[Line<'_>]) {
        if let Some(log) = self.state_log.as_ref().filter(|_| !lines.is_empty()) {
            log.append(lines, |_| ());
        }
    }
}

fn gone<'a>((account, number): &(AccountId, u64)) -> Line<'a> {
    Line::Gone(KeyKind::Delivery.key(callback_key(account, *number).id))
}

fn apply(record: &mut DeliveryRecord, change: DeliveryChange<'_>, now: SystemTime) {
    match change {
        DeliveryChange::Queued => {
            (record.state, record.settled_at) = (DeliveryState::Waiting, None);
        }
        DeliveryChange::Sent => record.state = DeliveryState::InFlight,
        DeliveryChange::Failed(attempt) => {
            record.add(attempt);
            record.state = DeliveryState::Waiting;
        }
        DeliveryChange::Settled(state, attempt) => {
            attempt.into_iter().for_each(|it| record.add(it));
            (record.state, record.settled_at) = (state, Some(now));
        }
    }
}
