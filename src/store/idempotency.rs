//! Idempotency keys: responses kept for a day, in memory, and in rows if they must survive.
//!
//! A key is stored before its request is carried out, so that a full disk refuses the request, and
//! the response after it. A request that was being answered when the process died is in the store
//! without a response: nobody knows what it did, so it is never carried out again. The oldest
//! response is removed when there are too many.

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

/// Some tens of megabytes; the oldest response is removed first.
const ANSWERS_MAX: usize = 100_000;

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

    /// Removes responses that are too old, and the oldest of those that are too many.
    fn expire(&mut self, now: Instant) -> Vec<RowWrite> {
        let mut writes = Vec::new();
        while let Some((until, ..)) = self.answered.front()
            && (*until <= now || ANSWERS_MAX <= self.answered.len())
            && let Some((_, number, request)) = self.answered.pop_front()
        {
            writes.push(RowWrite::delete(Table::IdempotencyKeys, &request.account, number));
            self.entries.remove(&request);
        }
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
mod tests {
    use super::*;
    use crate::store::{rows::WriteError, rows_memory::MemoryRows};

    fn request(account: &str) -> RequestKey {
        RequestKey {
            account: account.parse().unwrap(),
            method: "POST".to_owned(),
            path: "/v1/".to_owned(),
            key: "k".to_owned(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_request_is_answered_once_and_then_from_memory_for_a_day() {
        let (answers, now) = (StoredResponses::default(), now());
        let (one, two) = (request("MA1"), request("MA2"));
        let answer =
            Arc::new(StoredResponse { status: 202, body: b"{}".to_vec(), headers: Vec::new() });
        assert_eq!(answers.begin(now, &one, [1; 32]), KeyStatus::New);
        assert_eq!(answers.begin(now, &one, [1; 32]), KeyStatus::Busy);
        assert_eq!(answers.begin(now, &one, [2; 32]), KeyStatus::Mismatch);
        assert_eq!(answers.begin(now, &two, [2; 32]), KeyStatus::New);
        answers.done(now, &one, answer.clone(), Box::new(drop));
        answers.forget(&two);
        assert_eq!(answers.begin(now, &one, [1; 32]), KeyStatus::Answered(answer));
        assert_eq!(answers.begin(now, &one, [2; 32]), KeyStatus::Mismatch);
        assert_eq!(answers.begin(now, &two, [3; 32]), KeyStatus::New);
        assert_eq!(answers.begin(now + KEPT_FOR, &one, [2; 32]), KeyStatus::New);
    }

    /// A store that completes commits when the test says so.
    #[derive(Default)]
    struct DelayedRows {
        memory: MemoryRows,
        waiting: Mutex<Vec<OnCommit>>,
    }

    impl RowStore for DelayedRows {
        fn load(&self, table: Table) -> Result<Vec<StoredRow>, RowStoreError> {
            self.memory.load(table)
        }

        fn commit(&self, writes: Vec<RowWrite>, done: OnCommit) {
            self.memory.commit(writes, Box::new(drop));
            self.waiting.lock().push(done);
        }
    }

    /// A key is reserved before the request has its effect: after a crash in between nobody knows
    /// what it did, and a second call would be the harm that the key is there to prevent.
    #[test]
    fn a_request_that_a_crash_interrupted_is_never_carried_out_again() {
        let (rows, now) = (Arc::new(MemoryRows::default()), now());
        let open = || StoredResponses::open(rows.clone(), now, SystemTime::UNIX_EPOCH).unwrap();
        let (one, two) = (request("MA1"), request("MA2"));
        let answers = open();
        for request in [&one, &two] {
            assert_eq!(answers.begin(now, request, [1; 32]), KeyStatus::New);
            answers.reserve(now, request, Box::new(|it| it.unwrap()));
        }
        answers.forget(&two);
        let answers = open();
        assert_eq!(answers.begin(now, &one, [1; 32]), KeyStatus::Unknown);
        assert_eq!(answers.begin(now, &one, [2; 32]), KeyStatus::Mismatch);
        assert_eq!(answers.begin(now, &two, [1; 32]), KeyStatus::New);
        assert_eq!(answers.begin(now + KEPT_FOR, &one, [1; 32]), KeyStatus::New);
    }

    #[test]
    fn a_key_that_cannot_be_stored_is_free_again() {
        let (rows, now, request) = (Arc::new(DelayedRows::default()), now(), request("MA1"));
        let answers = StoredResponses::open(rows.clone(), now, SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(answers.begin(now, &request, [1; 32]), KeyStatus::New);
        answers.reserve(now, &request, Box::new(|it| assert!(it.is_err())));
        assert_eq!(answers.begin(now, &request, [1; 32]), KeyStatus::Busy);
        let done = rows.waiting.lock().pop().expect("a write waits");
        done(Err(WriteError::Full));
        assert_eq!(answers.begin(now, &request, [1; 32]), KeyStatus::New);
    }

    #[test]
    fn nobody_has_an_answer_before_it_is_durable_and_one_that_cannot_be_is_still_given() {
        for written in [Ok(()), Err(WriteError::Full)] {
            let rows = Arc::new(DelayedRows::default());
            let now = now();
            let answers = StoredResponses::open(rows.clone(), now, SystemTime::UNIX_EPOCH).unwrap();
            rows.waiting.lock().clear();
            let (request, reported) = (request("MA1"), Arc::new(Mutex::new(None)));
            let answer =
                Arc::new(StoredResponse { status: 202, body: b"{}".to_vec(), headers: Vec::new() });
            assert_eq!(answers.begin(now, &request, [1; 32]), KeyStatus::New);
            let reported_ = reported.clone();
            let on_stored: OnCommit = Box::new(move |it| *reported_.lock() = Some(it));
            answers.done(now, &request, answer.clone(), on_stored);
            assert_eq!(answers.begin(now, &request, [1; 32]), KeyStatus::Busy);
            assert_eq!(*reported.lock(), None);
            let done = rows.waiting.lock().pop().unwrap();
            done(written.clone());
            assert_eq!(*reported.lock(), Some(written.clone()));
            assert_eq!(rows.waiting.lock().len(), usize::from(written.is_err()), "written later");
            assert_eq!(answers.begin(now, &request, [1; 32]), KeyStatus::Answered(answer));
        }
    }
}
