//! Tests of idempotency keys.

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

/// Its repeats would be carried out twice.
#[test]
fn an_account_with_many_keys_takes_no_answer_of_another() {
    let (answers, now) = (StoredResponses::default(), now());
    let answer = StoredResponse { status: 200, body: Vec::new(), headers: Vec::new() };
    let answer = Arc::new(answer);
    let ask = |account: &str, key: usize| {
        let request = RequestKey { key: key.to_string(), ..request(account) };
        let status = answers.begin(now, &request, [1; 32]);
        if status == KeyStatus::New {
            answers.done(now, &request, answer.clone(), Box::new(drop));
        }
        status
    };
    let is_new = |account, key| ask(account, key) == KeyStatus::New;
    assert!((0..10).all(|key| is_new("MA1", key)));
    assert!((0..2 * ANSWERS_MAX).all(|key| is_new("MA2", key)));
    assert!(answers.state.lock().answered.len() <= ANSWERS_MAX);
    assert!((0..10).all(|key| !is_new("MA1", key)), "they are the oldest, and few");
    assert!(!is_new("MA2", 2 * ANSWERS_MAX - 1) && is_new("MA2", 0));
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

/// The log has the answer of a request that had its effect; a request without one has had none,
/// unless the power failed.
#[test]
fn the_state_log_settles_what_a_crash_interrupted() {
    for is_complete in [true, false] {
        let (rows, now) = (Arc::new(MemoryRows::default()), now());
        let open = || StoredResponses::open(rows.clone(), now, SystemTime::UNIX_EPOCH).unwrap();
        let all = ["MA1", "MA2", "MA3"].map(request);
        let answers = open();
        for request in &all {
            assert_eq!(answers.begin(now, request, [1; 32]), KeyStatus::New);
            answers.reserve(now, request, Box::new(|it| it.unwrap()));
        }
        let answer = StoredResponse {
            status: 200,
            body: b"{}".to_vec(),
            headers: vec![("a".to_owned(), "b".to_owned())],
        };
        answers.done(now, &all[2], Arc::new(answer.clone()), Box::new(drop));
        let found = StoredResponse::from_bytes(&answer.to_bytes()).unwrap();
        let log = [(all[0].id(), found)].into();
        open().settle(now, &log, is_complete, Box::new(|it| it.unwrap()));
        // It is in the store now.
        let answers = open();
        let status = all.each_ref().map(|it| answers.begin(now, it, [1; 32]));
        let unanswered = if is_complete { KeyStatus::New } else { KeyStatus::Unknown };
        let answered = KeyStatus::Answered(Arc::new(answer));
        assert_eq!(status, [answered.clone(), unanswered, answered]);
        assert_eq!(answers.begin(now, &all[0], [2; 32]), KeyStatus::Mismatch);
    }
}

#[test]
fn an_answer_can_be_written_in_the_transaction_of_its_change() {
    let (rows, now, request) = (Arc::new(MemoryRows::default()), now(), request("MA1"));
    let open = || StoredResponses::open(rows.clone(), now, SystemTime::UNIX_EPOCH).unwrap();
    let answers = open();
    let answer = StoredResponse { status: 204, body: Vec::new(), headers: Vec::new() };
    assert_eq!(answers.write_of(now, &request, &answer), None);
    assert_eq!(answers.begin(now, &request, [1; 32]), KeyStatus::New);
    answers.reserve(now, &request, Box::new(|it| it.unwrap()));
    let write = answers.write_of(now, &request, &answer).expect("it is being carried out");
    rows.commit(vec![write], Box::new(|it| it.unwrap()));
    let status = open().begin(now, &request, [1; 32]);
    assert_eq!(status, KeyStatus::Answered(Arc::new(answer)));
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
