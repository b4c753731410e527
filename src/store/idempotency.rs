//! Idempotency keys: responses kept for a day, in memory, and in rows if they must survive.
//!
//! A key is stored before its request is carried out, so that a full disk refuses the request, and
//! the response after it. A request that was being answered when the process died is in the store
//! without a response. The state log knows what it did ([`StoredResponses::settle`]), unless the
//! power failed: then nobody knows, and it is never carried out again. When there are too many, the
//! oldest responses of the account that has the most are removed.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use blake3::Hash;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    IdempotencyStore, KeyStatus, RequestKey, StoredResponse,
    rows::{OnCommit, RowStore, RowStoreError, RowWrite, StoredRow, Table},
};

/// A client that tries again does so within a day (guarantee 6).
pub const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// Some tens of megabytes, of all accounts. An account that has fewer than its share loses none.
const ANSWERS_MAX: usize = 100_000;
/// Responses that are removed at once, since each time costs a look at all of them.
const TRIMMED: usize = 256;

/// Requests that have been answered, and those that are being answered.
#[derive(Debug, Default)]
pub struct StoredResponses {
    state: Arc<Mutex<IdempotencyState>>,
    /// None: they last as long as the process.
    disk: Option<IdempotencyDisk>,
}

#[derive(Debug, Default)]
struct IdempotencyState {
    entries: BTreeMap<RequestKey, IdempotencyEntry>,
    /// Expiry, row number and key of each response, oldest first.
    answered: VecDeque<(Instant, u64, RequestKey)>,
    /// Number of the newest row.
    last: u64,
}

#[derive(Debug)]
struct IdempotencyEntry {
    request_hash: [u8; 32],
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    /// Being carried out. Its row has this number; None: there is none yet.
    Running(Option<u64>),
    Answered(Arc<StoredResponse>),
    /// It was being carried out when the last process ended.
    Unknown,
}

struct IdempotencyDisk {
    rows: Arc<dyn RowStore>,
    /// One moment by both clocks. Only the wall clock continues in the next process.
    opened: (Instant, SystemTime),
}

/// JSON of a row.
#[derive(Deserialize, Serialize)]
struct AnswerRow {
    method: String,
    path: String,
    key: String,
    /// Hash of the request, in hexadecimal digits.
    asked: String,
    /// [`NO_STATUS`] until the request is answered.
    status: u16,
    body: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    /// In milliseconds since 1970; the begin of a request that is not answered.
    answered_at: u64,
}

/// Status in the row of a request that is being carried out.
const NO_STATUS: u16 = 0;

impl StoredResponses {
    /// Opens a store that outlives the process; `now` and `wall` are one moment.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the rows cannot be read, or one is invalid.
    pub fn open(
        rows: Arc<dyn RowStore>,
        now: Instant,
        wall: SystemTime,
    ) -> Result<Self, RowStoreError> {
        let (mut state, mut writes) = (IdempotencyState::default(), Vec::new());
        let mut found = rows.load(Table::IdempotencyKeys)?;
        found.sort_unstable_by_key(|it| it.a);
        for row in found {
            let (request, entry, answered_at) = read(&row)?;
            state.last = row.a;
            // The wall clock may have been set back: a response from the future counts as made now.
            let age = wall.duration_since(answered_at).unwrap_or_default();
            match KEPT_FOR.checked_sub(age).filter(|left| !left.is_zero()) {
                Some(left) => {
                    state.entries.insert(request.clone(), entry);
                    state.answered.push_back((now + left, row.a, request));
                }
                None => writes.push(RowWrite::delete(Table::IdempotencyKeys, &row.account, row.a)),
            }
        }
        if !writes.is_empty() {
            rows.commit_soon(writes, Box::new(drop));
        }
        let disk = Some(IdempotencyDisk { rows, opened: (now, wall) });
        Ok(Self { state: Arc::new(Mutex::new(state)), disk })
    }

    /// Settles the requests that were being carried out when the last process ended. `answers`: those
    /// of the requests that have had their effect, by [`RequestKey::id`]. `is_complete`: any other one
    /// has had none, so its key is free; otherwise nobody knows. `on_stored` is called when the
    /// answers are durable.
    pub fn settle(
        &self,
        now: Instant,
        answers: &BTreeMap<u128, StoredResponse>,
        is_complete: bool,
        on_stored: OnCommit,
    ) {
        let Some(disk) = &self.disk else { return on_stored(Ok(())) };
        let (mut state, mut writes) = (self.state.lock(), Vec::new());
        let IdempotencyState { entries, answered, .. } = &mut *state;
        answered.retain(|(_, number, request)| {
            let Some(entry) = entries.get_mut(request) else { return true };
            if !matches!(entry.progress, Progress::Unknown) {
                return true;
            }
            match answers.get(&request.id()) {
                Some(answer) => {
                    writes.push(disk.row(now, *number, request, entry.request_hash, answer));
                    entry.progress = Progress::Answered(Arc::new(answer.clone()));
                    true
                }
                None if is_complete => {
                    let account = &request.account;
                    writes.push(RowWrite::delete(Table::IdempotencyKeys, account, *number));
                    entries.remove(request);
                    false
                }
                None => true,
            }
        });
        drop(state);
        match writes.is_empty() {
            true => on_stored(Ok(())),
            false => disk.rows.commit(writes, on_stored),
        }
    }
}

/// Checks that a row of [`Table::IdempotencyKeys`] can be read.
///
/// # Errors
///
/// [`RowStoreError`]: the row is invalid.
pub fn check(row: &StoredRow) -> Result<(), RowStoreError> {
    read(row).map(drop)
}

impl IdempotencyStore for StoredResponses {
    fn begin(&self, now: Instant, request: &RequestKey, request_hash: [u8; 32]) -> KeyStatus {
        let state = &mut *self.state.lock();
        let writes = state.expire(now);
        if let Some(disk) = &self.disk
            && !writes.is_empty()
        {
            disk.rows.commit_soon(writes, Box::new(drop));
        }
        let Some(IdempotencyEntry { request_hash: known, progress }) = state.entries.get(request)
        else {
            let entry = IdempotencyEntry { request_hash, progress: Progress::Running(None) };
            state.entries.insert(request.clone(), entry);
            return KeyStatus::New;
        };
        match progress {
            _ if *known != request_hash => KeyStatus::Mismatch,
            Progress::Answered(answer) => KeyStatus::Answered(answer.clone()),
            Progress::Running(_) => KeyStatus::Busy,
            Progress::Unknown => KeyStatus::Unknown,
        }
    }

    fn reserve(&self, now: Instant, request: &RequestKey, on_stored: OnCommit) {
        let Some(disk) = &self.disk else { return on_stored(Ok(())) };
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        let Some(entry) = state.entries.get_mut(request) else { return on_stored(Ok(())) };
        entry.progress = Progress::Running(Some(number));
        let nothing = StoredResponse { status: NO_STATUS, body: Vec::new(), headers: Vec::new() };
        let write = disk.row(now, number, request, entry.request_hash, &nothing);
        drop(state);
        let (state, request) = (self.state.clone(), request.clone());
        let on_written: OnCommit = Box::new(move |written| {
            if written.is_err() {
                state.lock().entries.remove(&request);
            }
            on_stored(written);
        });
        disk.rows.commit(vec![write], on_written);
    }

    fn done(
        &self,
        now: Instant,
        request: &RequestKey,
        answer: Arc<StoredResponse>,
        on_stored: OnCommit,
    ) {
        let mut state = self.state.lock();
        let Some(IdempotencyEntry { request_hash, progress: Progress::Running(row) }) =
            state.entries.get(request)
        else {
            drop(state);
            return on_stored(Ok(()));
        };
        let (request_hash, row) = (*request_hash, *row);
        let number = row.unwrap_or_else(|| {
            state.last += 1;
            state.last
        });
        drop(state);
        let (state, request_) = (self.state.clone(), request.clone());
        let answer_ = answer.clone();
        let settle = move || state.lock().answer(now, number, request_, answer_);
        let Some(disk) = &self.disk else {
            settle();
            return on_stored(Ok(()));
        };
        let write = disk.row(now, number, request, request_hash, &answer);
        let (rows, again) = (disk.rows.clone(), write.clone());
        let on_written: OnCommit = Box::new(move |written| {
            if written.is_err() {
                // The request had its effect, so its response is written as soon as that is possible.
                rows.commit_soon(vec![again], Box::new(drop));
            }
            settle();
            on_stored(written);
        });
        disk.rows.commit(vec![write], on_written);
    }

    fn write_of(
        &self,
        now: Instant,
        request: &RequestKey,
        answer: &StoredResponse,
    ) -> Option<RowWrite> {
        let disk = self.disk.as_ref()?;
        let state = self.state.lock();
        let IdempotencyEntry { request_hash, progress } = state.entries.get(request)?;
        let Progress::Running(Some(number)) = progress else { return None };
        Some(disk.row(now, *number, request, *request_hash, answer))
    }

    fn forget(&self, request: &RequestKey) {
        let forgotten = self.state.lock().entries.remove(request);
        if let (Some(disk), Some(IdempotencyEntry { progress: Progress::Running(Some(row)), .. })) =
            (&self.disk, forgotten)
        {
            let write = RowWrite::delete(Table::IdempotencyKeys, &request.account, row);
            disk.rows.commit_soon(vec![write], Box::new(drop));
        }
    }
}

impl IdempotencyState {
    fn answer(
        &mut self,
        now: Instant,
        number: u64,
        request: RequestKey,
        answer: Arc<StoredResponse>,
    ) {
        if let Some(entry) = self.entries.get_mut(&request) {
            entry.progress = Progress::Answered(answer);
            self.answered.push_back((now + KEPT_FOR, number, request));
        }
    }

    /// Removes responses that are too old, and if there are too many the oldest of the account that
    /// has the most.
    fn expire(&mut self, now: Instant) -> Vec<RowWrite> {
        let mut writes = Vec::new();
        while let Some((until, ..)) = self.answered.front()
            && *until <= now
            && let Some((_, number, request)) = self.answered.pop_front()
        {
            writes.push(RowWrite::delete(Table::IdempotencyKeys, &request.account, number));
            self.entries.remove(&request);
        }
        if self.answered.len() < ANSWERS_MAX {
            return writes;
        }
        let mut counts = BTreeMap::<_, usize>::new();
        for (.., request) in &self.answered {
            *counts.entry(&request.account).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let Some((account, count)) = most.map(|(account, count)| (account.clone(), count)) else {
            return writes;
        };
        let (entries, mut left) = (&mut self.entries, TRIMMED.min(count));
        self.answered.retain(|(_, number, request)| {
            if left == 0 || request.account != account {
                return true;
            }
            left -= 1;
            writes.push(RowWrite::delete(Table::IdempotencyKeys, &request.account, *number));
            entries.remove(request);
            false
        });
        writes
    }
}

impl IdempotencyDisk {
    fn row(
        &self,
        now: Instant,
        number: u64,
        request: &RequestKey,
        request_hash: [u8; 32],
        it: &StoredResponse,
    ) -> RowWrite {
        let (opened, wall) = self.opened;
        let wall = wall + now.saturating_duration_since(opened);
        let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let row = AnswerRow {
            method: request.method.clone(),
            path: request.path.clone(),
            key: request.key.clone(),
            asked: Hash::from(request_hash).to_hex().to_string(),
            status: it.status,
            // Responses are JSON, which is UTF-8.
            body: String::from_utf8_lossy(&it.body).into_owned(),
            headers: it.headers.clone(),
            answered_at: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        };
        RowWrite::put(Table::IdempotencyKeys, &request.account, number, &row)
    }
}

impl fmt::Debug for IdempotencyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyDisk").finish_non_exhaustive()
    }
}

fn read(row: &StoredRow) -> Result<(RequestKey, IdempotencyEntry, SystemTime), RowStoreError> {
    let found: AnswerRow = row.parse(Table::IdempotencyKeys)?;
    let AnswerRow { method, path, key, asked, status, body, headers, answered_at } = found;
    let asked =
        Hash::from_hex(asked).map_err(|error| row.invalid(Table::IdempotencyKeys, &error))?;
    let answer = || Arc::new(StoredResponse { status, body: body.into_bytes(), headers });
    let progress =
        if status == NO_STATUS { Progress::Unknown } else { Progress::Answered(answer()) };
    let request = RequestKey { account: row.account.clone(), method, path, key };
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(answered_at));
    let at = at.ok_or_else(|| row.invalid(Table::IdempotencyKeys, &"no such time"))?;
    Ok((request, IdempotencyEntry { request_hash: *asked.as_bytes(), progress }, at))
}

#[cfg(test)]
mod tests;
