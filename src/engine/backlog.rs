//! Backlog: the callbacks that earlier processes have left, read from the state log bit by bit.
//!
//! There may be a million of them, and only the keys are in memory. A receiver that does not respond
//! delays no other one: when many callbacks to one URL are queued, its later ones are put aside until
//! some of them are settled. The order of the callbacks to one URL is kept.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{select, sync::mpsc, task::spawn_blocking, time::sleep};

use super::{
    callbacks::{BacklogSlot, Callbacks, EarlierCallback, EventCallback, Released},
    event_store::time,
};
use crate::{
    base::ids::AccountId,
    events::{AccountEvent, log::Event, row},
    state_log::{Line, RowKey, StateLog},
};

/// Callbacks to one URL that are queued at a time: enough for its receiver to be busy.
const URL_QUEUED_MAX: usize = 256;
/// Callbacks of one account that are queued at a time, so that others have room.
const ACCOUNT_QUEUED_MAX: usize = 10_000;
/// Callbacks that are read at once: some milliseconds.
const SLICE: usize = 1_024;
/// Time between two slices, and between two looks for room.
const SLICE_EVERY: Duration = Duration::from_millis(20);
/// Time between two looks for room, if no callback is settled.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Callbacks that are not queued yet.
pub(super) struct Backlog {
    callbacks: Arc<Callbacks>,
    log: Arc<StateLog>,
    /// By the upper half of the ids of their keys, and in turn.
    accounts: BTreeMap<u64, AccountBacklog>,
    release: mpsc::UnboundedSender<Released>,
    released: mpsc::UnboundedReceiver<Released>,
}

/// The callbacks of one account.
#[derive(Default)]
struct AccountBacklog {
    /// In the order of their events.
    unread: VecDeque<RowKey>,
    /// Those that were read too early, by their URL.
    aside: BTreeMap<Arc<str>, VecDeque<RowKey>>,
    /// URLs of `aside` that have room again.
    ready: VecDeque<Arc<str>>,
    /// The number of queued ones, by their URL.
    queued: BTreeMap<Arc<str>, usize>,
    queued_total: usize,
}

impl Backlog {
    /// The callbacks of these keys.
    pub(super) fn new(callbacks: Arc<Callbacks>, log: Arc<StateLog>, keys: Vec<RowKey>) -> Self {
        let mut accounts = BTreeMap::<_, AccountBacklog>::new();
        for key in keys {
            accounts.entry((key.id >> 64) as u64).or_default().unread.push_back(key);
        }
        let (release, released) = mpsc::unbounded_channel();
        Self { callbacks, log, accounts, release, released }
    }

    /// Queues all callbacks, as there is room for them.
    pub(super) async fn run(mut self) {
        while !self.is_done() {
            let filled = spawn_blocking(move || {
                let count = self.fill();
                (self, count)
            });
            let count;
            (self, count) = match filled.await {
                Ok(filled) => filled,
                Err(error) => {
                    return tracing::error!(%error, "the backlog of callbacks: this is a bug");
                }
            };
            if 0 < count {
                sleep(SLICE_EVERY).await;
                continue;
            }
            select! {
                Some(released) = self.released.recv() => self.note_released(released),
                () = sleep(LOOK_EVERY) => (),
            }
        }
    }

    /// Queues a slice of callbacks, and returns how many were read. It reads files.
    pub(super) fn fill(&mut self) -> usize {
        while let Ok(released) = self.released.try_recv() {
            self.note_released(released);
        }
        let mut count = 0;
        if self.callbacks.queue.has_room() {
            let mut is_more = true;
            while is_more && count < SLICE {
                is_more = false;
                for account in self.accounts.keys().copied().collect::<Vec<_>>() {
                    if self.queue_next(account) {
                        (is_more, count) = (true, count + 1);
                    }
                }
            }
        }
        let left = self.accounts.values().map(AccountBacklog::len).sum::<usize>();
        self.callbacks.queue.counters().unread.store(left as u64, Relaxed);
        count
    }

    fn is_done(&self) -> bool {
        self.accounts.values().all(|it| it.len() == 0)
    }

    fn note_released(&mut self, (account, url): Released) {
        if let Some(account) = self.accounts.get_mut(&account) {
            account.note_released(url);
        }
    }

    /// Reads the next callback of an account and queues it, or puts it aside. False: there is none,
    /// or no room.
    fn queue_next(&mut self, id: u64) -> bool {
        let Some(account) = self.accounts.get_mut(&id) else { return false };
        let Some((key, is_first)) = account.next() else { return false };
        let Some((owner, event)) = read(&self.log, key) else { return true };
        let Some(callback) = EventCallback::of(&event.what) else {
            // A later version may have asked for it.
            self.log.append(&[Line::Gone(key)], |_| ());
            return true;
        };
        let url = callback.url().clone();
        if !is_first && account.is_full(&url) {
            account.aside.entry(url).or_default().push_back(key);
            return true;
        }

        account.queued_total += 1;
        *account.queued.entry(url.clone()).or_default() += 1;
        let slot = BacklogSlot { account: id, url, release: self.release.clone() };
        let known = self.callbacks.deliveries.find(&owner, event.number);
        let (since, attempts) = known.map_or((event.at, 0), |it| (it.since, it.attempts));
        let earlier = EarlierCallback { since, attempts, _slot: slot };
        self.callbacks.send(&owner, callback, key, event, Some(earlier));
        true
    }
}

impl AccountBacklog {
    /// The next key; whether it is the first of those to its URL.
    fn next(&mut self) -> Option<(RowKey, bool)> {
        if let Some(url) = self.ready.pop_front()
            && let Some(keys) = self.aside.get_mut(&url)
        {
            let key = keys.pop_front();
            if keys.is_empty() {
                self.aside.remove(&url);
            }
            return key.map(|it| (it, true));
        }
        match self.queued_total < ACCOUNT_QUEUED_MAX {
            true => self.unread.pop_front().map(|it| (it, false)),
            false => None,
        }
    }

    /// Whether a callback to a URL must wait.
    fn is_full(&self, url: &Arc<str>) -> bool {
        let is_behind = self.aside.contains_key(url);
        is_behind || self.queued.get(url).is_some_and(|it| URL_QUEUED_MAX <= *it)
    }

    fn note_released(&mut self, url: Arc<str>) {
        self.queued_total -= 1;
        if let Some(count) = self.queued.get_mut(&url) {
            *count -= 1;
            if *count == 0 {
                self.queued.remove(&url);
            }
        }
        if self.aside.contains_key(&url) {
            self.ready.push_back(url);
        }
    }

    fn len(&self) -> usize {
        self.unread.len() + self.aside.values().map(VecDeque::len).sum::<usize>()
    }
}

/// The event of a key, and its account; None, with a log line, if it cannot be read.
fn read(log: &StateLog, key: RowKey) -> Option<(AccountId, Arc<Event<AccountEvent>>)> {
    let row = match log.row(key) {
        Ok(row) => row?,
        Err(error) => {
            tracing::error!("a callback of an earlier process is lost: {error}");
            return None;
        }
    };
    let (account, number, at) = row.event?;
    let account: AccountId = account.parse().ok()?;
    match row::read(&account, &row.body) {
        Ok(what) => Some((account, Arc::new(Event { number, at: time(at), what }))),
        Err(error) => {
            tracing::error!(%account, number, "a callback of an earlier process is not sent: {error}");
            None
        }
    }
}
