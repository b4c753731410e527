//! Answered requests: for a day, or until there are too many; in memory, and in rows if they are
//! to outlive it.
//!
//! A request that was being answered when the process died has left nothing, and may come again.

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
    Repeat, Repeats, RequestKey, Stored,
    rows::{Committed, Row, Rows, RowsError, Table, Write},
};

/// A client that tries again does so within a day (guarantee 6).
pub const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// Some tens of megabytes; the oldest gives way.
const ANSWERS_MAX: usize = 100_000;

/// The requests that have been answered, and those that are being answered.
#[derive(Debug, Default)]
pub struct Answers {
    sheets: Arc<Mutex<Sheets>>,
    /// None: they last as long as the process.
    disk: Option<Disk>,
}

#[derive(Debug, Default)]
struct Sheets {
    sheets: BTreeMap<RequestKey, Sheet>,
    /// The oldest answer first: until when it is kept, and its row.
    answered: VecDeque<(Instant, u64, RequestKey)>,
    /// Rows are numbered as they come.
    last: u64,
}

#[derive(Debug)]
struct Sheet {
    asked: [u8; 32],
    answer: Option<Arc<Stored>>,
}

struct Disk {
    rows: Arc<dyn Rows>,
    /// One moment by both clocks. From one process to the next, only that on the wall goes on.
    opened: (Instant, SystemTime),
}

/// What a row says.
#[derive(Deserialize, Serialize)]
struct AnswerRow {
    method: String,
    path: String,
    key: String,
    /// In hexadecimal digits.
    asked: String,
    status: u16,
    body: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    /// Milliseconds since 1970.
    answered_at: u64,
}

impl Answers {
    /// Those that outlive the process; `now` and `wall` are the same moment.
    ///
    /// # Errors
    ///
    /// The rows cannot be read, or one makes no sense.
    pub fn open(rows: Arc<dyn Rows>, now: Instant, wall: SystemTime) -> Result<Self, RowsError> {
        let (mut sheets, mut writes) = (Sheets::default(), Vec::new());
        let mut found = rows.load(Table::Repeats)?;
        found.sort_unstable_by_key(|it| it.a);
        for row in found {
            let (request, sheet, answered_at) = read(&row)?;
            sheets.last = row.a;
            // One from the future is as old as this moment: clocks are set back.
            let age = wall.duration_since(answered_at).unwrap_or_default();
            match KEPT_FOR.checked_sub(age).filter(|left| !left.is_zero()) {
                Some(left) => {
                    sheets.sheets.insert(request.clone(), sheet);
                    sheets.answered.push_back((now + left, row.a, request));
                }
                None => writes.push(Write::delete(Table::Repeats, &row.account, row.a)),
            }
        }
        rows.commit(writes, Box::new(drop));
        let disk = Some(Disk { rows, opened: (now, wall) });
        Ok(Self { sheets: Arc::new(Mutex::new(sheets)), disk })
    }
}

/// Whether a row of [`Table::Repeats`] can be read.
///
/// # Errors
///
/// It makes no sense.
pub fn check(row: &Row) -> Result<(), RowsError> {
    read(row).map(drop)
}

impl Repeats for Answers {
    fn begin(&self, now: Instant, request: &RequestKey, asked: [u8; 32]) -> Repeat {
        let sheets = &mut *self.sheets.lock();
        let writes = sheets.let_go(now);
        if let Some(disk) = &self.disk
            && !writes.is_empty()
        {
            disk.rows.commit(writes, Box::new(drop));
        }
        match sheets.sheets.get(request) {
            Some(sheet) if sheet.asked != asked => Repeat::Other,
            Some(Sheet { answer: Some(answer), .. }) => Repeat::Answered(answer.clone()),
            Some(Sheet { answer: None, .. }) => Repeat::Busy,
            None => {
                sheets.sheets.insert(request.clone(), Sheet { asked, answer: None });
                Repeat::New
            }
        }
    }

    fn done(&self, now: Instant, request: &RequestKey, answer: Arc<Stored>, kept: Committed) {
        let mut sheets = self.sheets.lock();
        sheets.last += 1;
        let number = sheets.last;
        let asked = sheets.sheets.get(request).map(|it| it.asked);
        drop(sheets);
        let Some(asked) = asked else { return kept(Ok(())) };
        let write = self.disk.as_ref().map(|disk| {
            let row = disk.row(now, request, asked, &answer);
            Write::put(Table::Repeats, &request.account, number, &row)
        });
        let (sheets, request) = (self.sheets.clone(), request.clone());
        let told: Committed = Box::new(move |written| {
            // One that cannot be written is good for as long as the process.
            sheets.lock().answer(now, number, request, answer);
            kept(written);
        });
        match (&self.disk, write) {
            (Some(disk), Some(write)) => disk.rows.commit(vec![write], told),
            (None, _) | (_, None) => told(Ok(())),
        }
    }

    fn forget(&self, request: &RequestKey) {
        self.sheets.lock().sheets.remove(request);
    }
}

impl Sheets {
    fn answer(&mut self, now: Instant, number: u64, request: RequestKey, answer: Arc<Stored>) {
        if let Some(sheet) = self.sheets.get_mut(&request) {
            sheet.answer = Some(answer);
            self.answered.push_back((now + KEPT_FOR, number, request));
        }
    }

    /// Lets go of what is too old, and of what is too much.
    fn let_go(&mut self, now: Instant) -> Vec<Write> {
        let mut writes = Vec::new();
        while let Some((until, ..)) = self.answered.front()
            && (*until <= now || ANSWERS_MAX <= self.answered.len())
            && let Some((_, number, request)) = self.answered.pop_front()
        {
            writes.push(Write::delete(Table::Repeats, &request.account, number));
            self.sheets.remove(&request);
        }
        writes
    }
}

impl Disk {
    fn row(&self, now: Instant, request: &RequestKey, asked: [u8; 32], it: &Stored) -> AnswerRow {
        let (opened, wall) = self.opened;
        let wall = wall + now.saturating_duration_since(opened);
        let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        AnswerRow {
            method: request.method.clone(),
            path: request.path.clone(),
            key: request.key.clone(),
            asked: Hash::from(asked).to_hex().to_string(),
            status: it.status,
            // Our answers are JSON, and that is UTF-8.
            body: String::from_utf8_lossy(&it.body).into_owned(),
            headers: it.headers.clone(),
            answered_at: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

fn read(row: &Row) -> Result<(RequestKey, Sheet, SystemTime), RowsError> {
    let found: AnswerRow = row.parse(Table::Repeats)?;
    let AnswerRow { method, path, key, asked, status, body, headers, answered_at } = found;
    let asked = Hash::from_hex(asked).map_err(|error| row.fault(Table::Repeats, &error))?;
    let answer = Some(Arc::new(Stored { status, body: body.into_bytes(), headers }));
    let request = RequestKey { account: row.account.clone(), method, path, key };
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(answered_at));
    let at = at.ok_or_else(|| row.fault(Table::Repeats, &"no such time"))?;
    Ok((request, Sheet { asked: *asked.as_bytes(), answer }, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows_memory::Memory;

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
        let (answers, now) = (Answers::default(), now());
        let (one, two) = (request("MA1"), request("MA2"));
        let answer = Arc::new(Stored { status: 202, body: b"{}".to_vec(), headers: Vec::new() });
        assert_eq!(answers.begin(now, &one, [1; 32]), Repeat::New);
        assert_eq!(answers.begin(now, &one, [1; 32]), Repeat::Busy);
        assert_eq!(answers.begin(now, &one, [2; 32]), Repeat::Other);
        assert_eq!(answers.begin(now, &two, [2; 32]), Repeat::New);
        answers.done(now, &one, answer.clone(), Box::new(drop));
        answers.forget(&two);
        assert_eq!(answers.begin(now, &one, [1; 32]), Repeat::Answered(answer));
        assert_eq!(answers.begin(now, &one, [2; 32]), Repeat::Other);
        assert_eq!(answers.begin(now, &two, [3; 32]), Repeat::New);
        assert_eq!(answers.begin(now + KEPT_FOR, &one, [2; 32]), Repeat::New);
    }

    /// A store that tells how commits went when it is told to.
    #[derive(Default)]
    struct Slow {
        memory: Memory,
        waiting: Mutex<Vec<Committed>>,
    }

    impl Rows for Slow {
        fn load(&self, table: Table) -> Result<Vec<Row>, RowsError> {
            self.memory.load(table)
        }

        fn commit(&self, writes: Vec<Write>, done: Committed) {
            self.memory.commit(writes, Box::new(drop));
            self.waiting.lock().push(done);
        }
    }

    #[test]
    fn nobody_has_an_answer_before_it_is_durable_and_one_that_cannot_be_is_still_given() {
        for written in [Ok(()), Err(RowsError("the disk is full".to_owned()))] {
            let rows = Arc::new(Slow::default());
            let now = now();
            let answers = Answers::open(rows.clone(), now, SystemTime::UNIX_EPOCH).unwrap();
            rows.waiting.lock().clear();
            let (request, told) = (request("MA1"), Arc::new(Mutex::new(None)));
            let answer =
                Arc::new(Stored { status: 202, body: b"{}".to_vec(), headers: Vec::new() });
            assert_eq!(answers.begin(now, &request, [1; 32]), Repeat::New);
            let told_ = told.clone();
            let kept: Committed = Box::new(move |it| *told_.lock() = Some(it));
            answers.done(now, &request, answer.clone(), kept);
            assert_eq!(answers.begin(now, &request, [1; 32]), Repeat::Busy);
            assert_eq!(*told.lock(), None);
            let done = rows.waiting.lock().pop().unwrap();
            done(written.clone());
            assert_eq!(*told.lock(), Some(written));
            assert_eq!(answers.begin(now, &request, [1; 32]), Repeat::Answered(answer));
        }
    }
}
