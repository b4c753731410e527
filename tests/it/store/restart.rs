//! Stored rows in every store: call detail records, idempotency keys, member id blocks.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use conflow::{
    base::ids::{AccountId, CallId, Dialect, MemberId, RoomId},
    call::{CallDirection, CallSession, CallStatus, Party, SessionDetails},
    cdr::{Cdr, CdrFilter, CdrStore, store::CachedCdrStore},
    media::{Ending, HangupCause, HangupSource, legs::LegSummary},
    store::{
        IdempotencyStore, KeyStatus, MemberIdSource, RequestKey, StoredResponse,
        folder::DataFolder,
        idempotency::{KEPT_FOR, StoredResponses},
        member_ids::MemberIdBlocks,
        rows::{RowStore, Table},
    },
};
use tempfile::tempdir;

use super::{Open, each_store, rows, settle, sqlite};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(seconds * 1_000_000 + 123_456)
}

fn account() -> AccountId {
    "MA1".parse().unwrap()
}

fn party(direction: CallDirection, parent: Option<CallId>) -> Arc<Party> {
    Arc::new(Party {
        from: "sip:a@b".into(),
        to: "49301234".into(),
        caller_name: "Ä \"B\"".into(),
        direction,
        dialect: Dialect::Plivo,
        trusted: None,
        session: CallSession::new(at(100), SessionDetails { parent, ..SessionDetails::default() }),
    })
}

fn cdr(n: u128, cause: HangupCause, source: HangupSource) -> Cdr {
    let direction =
        if n.is_multiple_of(2) { CallDirection::Inbound } else { CallDirection::Outbound };
    Cdr {
        account: account(),
        call: CallId::of(n),
        party: party(direction, n.is_multiple_of(3).then_some(CallId::of(77))),
        answered_at: n.is_multiple_of(2).then_some(at(110)),
        ended_at: at(120),
        ending: Ending { cause, source },
        detail: (cause == HangupCause::AnswerUrlUnreachable).then(|| "POST http://a/: 404".into()),
        conference: n.is_multiple_of(2).then_some(RoomId::of(n)),
        leg_summary: OnceLock::new(),
    }
}

fn all(cdrs: &CachedCdrStore) -> Vec<Cdr> {
    let page = cdrs.list(&account(), &CdrFilter::default(), 0, 100).unwrap();
    page.cdrs.iter().map(|it| Cdr::clone(it)).collect()
}

/// A store and the CDRs in it.
fn open_cdrs(path: &Path) -> (Arc<dyn RowStore>, CachedCdrStore) {
    let store = sqlite(path);
    let cdrs = CachedCdrStore::open(store.clone(), path, Duration::MAX).unwrap();
    (store, cdrs)
}

#[test]
fn cdrs_are_the_same_after_a_restart() {
    let causes = [HangupCause::Canceled, HangupCause::Normal, HangupCause::RedirectXmlInvalid];
    let temp = tempdir().unwrap();
    let path = temp.path().join("s.db");
    let (store, cdrs) = open_cdrs(&path);
    let sources = causes.iter().cycle().zip(HangupSource::ALL);
    for (n, (cause, source)) in (1..).zip(sources) {
        cdrs.add(Arc::new(cdr(n, *cause, source)), None);
    }
    let sound = LegSummary { sent: 50, received: 49, lost: 1, jitter_us: 700 };
    cdrs.add_leg_summary(CallId::of(2), sound);
    let before = all(&cdrs);
    settle(&*store);
    drop((cdrs, store));

    let (_, again) = open_cdrs(&path);
    assert_eq!(all(&again), before);
    assert_eq!(before.len(), HangupSource::ALL.len());
    let cdr = again.find(&account(), CallId::of(2)).unwrap().unwrap();
    assert_eq!(cdr.leg_summary.get(), Some(&sound));
}

/// A store of the version before CDRs had indexes, with these rows of CDRs and of calls.
fn old_store(path: &Path, records: &[(&str, u64, &str)], calls: &[(&str, u64, &str)]) {
    let old = rusqlite::Connection::open(path).unwrap();
    for migration in [
        include_str!("../../../src/store/migrations/0001_groups.sql"),
        include_str!("../../../src/store/migrations/0002_accounts.sql"),
        include_str!("../../../src/store/migrations/0003_records.sql"),
        include_str!("../../../src/store/migrations/0004_room_bans.sql"),
    ] {
        old.execute_batch(migration).unwrap();
    }
    old.pragma_update(None, "user_version", 4).unwrap();
    for (table, rows) in [("records", records), ("calls", calls)] {
        for (account, number, body) in rows {
            let insert = format!("INSERT INTO {table} VALUES (?, ?, 0, ?)");
            old.execute(&insert, (account, i64::try_from(*number).unwrap(), body)).unwrap();
        }
    }
}

/// The row format of the first version: later versions must read today's rows.
const ROW: &str = r#"{"call":{"call":"00000000-0000-0000-0000-000000000006","from":"sip:a@b","to":"49301234","caller_name":"Ä \"B\"","direction":"inbound","dialect":"plivo","began_at":100123456,"answered_at":110123456,"parent":"00000000-0000-0000-0000-00000000004d"},"ended_at":120123456,"cause":4000,"source":"Caller","sound":null}"#;

#[test]
fn the_format_of_a_cdr_row_is_that_of_the_first_version() {
    let temp = tempdir().unwrap();
    let (store, cdrs) = open_cdrs(&temp.path().join("s.db"));
    let expected = cdr(6, HangupCause::Normal, HangupSource::Caller);
    cdrs.add(Arc::new(Cdr { conference: None, ..expected }), None);
    settle(&*store);
    assert_eq!(rows(&*store, Table::Cdrs), [format!("MA1 120123456 6 {ROW}")]);
}

#[test]
fn cdrs_of_an_old_store_are_there_after_its_migration() {
    let temp = tempdir().unwrap();
    let path = temp.path().join("s.db");
    let later = ROW.replace("006", "008").replace("\"ended_at\":120", "\"ended_at\":121");
    let other = ROW.replace("006", "00a");
    old_store(&path, &[("MA1", 1, &later), ("MA1", 2, ROW), ("MA2", 3, &other)], &[]);
    for _ in 0..2 {
        let (store, cdrs) = open_cdrs(&path);
        let six = cdr(6, HangupCause::Normal, HangupSource::Caller);
        let six = Cdr { conference: None, ..six };
        let eight = Cdr { call: CallId::of(8), ended_at: at(121), ..six.clone() };
        assert_eq!(all(&cdrs), [eight, six]);
        assert_eq!(rows(&*store, Table::Cdrs).len(), 3);
        let inbound = CdrFilter { direction: Some(CallDirection::Inbound), ..CdrFilter::default() };
        assert_eq!(cdrs.list(&account(), &inbound, 1, 20).unwrap().total, 2);
    }
}

#[test]
fn calls_that_were_up_when_an_old_version_was_killed_end_at_the_migration() {
    let temp = tempdir().unwrap();
    let path = temp.path().join("s.db");
    let call = |n: u64, answered_at: &str| {
        let body: serde_json::Value = serde_json::from_str(ROW).unwrap();
        let body = body["call"].to_string().replace("006", &format!("00{n}"));
        body.replace("110123456", answered_at)
    };
    let (one, two, six) = (call(1, "110123456"), call(2, "125123456"), call(6, "null"));
    let two = two.replace("\"plivo\"", "\"vobiz\"");
    old_store(&path, &[("MA1", 1, ROW)], &[("MA1", 2, &one), ("MA1", 3, &two), ("MA1", 4, &six)]);
    for _ in 0..2 {
        let (_, cdrs) = open_cdrs(&path);
        let latest: Vec<_> = all(&cdrs).into_iter().map(|it| it.call).collect();
        // Call 6 has a record already.
        assert_eq!(latest, [2, 1, 6].map(CallId::of));
        let crashed = |n| cdrs.find(&account(), CallId::of(n)).unwrap().unwrap();
        assert_eq!(crashed(1).status(), CallStatus::Completed);
        assert_eq!(crashed(1).ending.cause.code(), 5_010);
        let sources = [1, 2].map(|n| crashed(n).ending.source.text());
        assert_eq!(sources, ["Plivo", "Vobiz"]);
        // The answer of call 2 is the last moment known before the crash.
        assert_eq!((crashed(1).answered_at, crashed(1).ended_at), (Some(at(110)), at(125)));
    }
}

fn request(key: &str) -> RequestKey {
    let (method, path) = ("POST".to_owned(), "/v1/x/".to_owned());
    RequestKey { account: account(), method, path, key: key.to_owned() }
}

#[expect(clippy::disallowed_methods, reason = "any moment will do")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn an_answered_request_gets_the_same_answer_after_a_restart_for_a_day_of_wall_clock_time() {
    let now = now();
    let warnings = vec![("conflow-remark".to_owned(), "x: in vain".to_owned())];
    let answer =
        Arc::new(StoredResponse { status: 202, body: "{\"ü\":1}".into(), headers: warnings });
    let none = Arc::new(StoredResponse { status: 204, body: Vec::new(), headers: Vec::new() });
    let begin =
        |answers: &StoredResponses, key, asked| answers.begin(now, &request(key), [asked; 32]);
    each_store(|open| {
        let store = open();
        let answers = StoredResponses::open(store.clone(), now, at(0)).unwrap();
        assert_eq!(begin(&answers, "a", 1), KeyStatus::New);
        assert_eq!(begin(&answers, "b", 2), KeyStatus::New);
        assert_eq!(begin(&answers, "c", 3), KeyStatus::New);
        answers.done(now, &request("a"), answer.clone(), Box::new(drop));
        let hour = Duration::from_secs(3_600);
        answers.done(now + hour, &request("b"), none.clone(), Box::new(drop));
        settle(&*store);
        drop((answers, store));

        let day = KEPT_FOR.as_secs();
        let check = |seconds, expected: [KeyStatus; 3]| {
            let store = open();
            let answers = StoredResponses::open(store.clone(), now, at(seconds)).unwrap();
            settle(&*store);
            let kept = rows(&*store, Table::IdempotencyKeys).len();
            let found = [("a", 1), ("b", 2), ("c", 3)].map(|(key, it)| begin(&answers, key, it));
            assert_eq!(found, expected, "after {seconds} s");
            let answered = found.iter().filter(|it| **it != KeyStatus::New).count();
            assert_eq!(kept, answered, "rows after {seconds} s");
        };
        let (answered, empty) =
            (KeyStatus::Answered(answer.clone()), KeyStatus::Answered(none.clone()));
        // A clock that was set back expires nothing.
        check(0, [answered.clone(), empty.clone(), KeyStatus::New]);
        check(day - 1, [answered, empty.clone(), KeyStatus::New]);
        check(day, [KeyStatus::New, empty, KeyStatus::New]);
        check(day + 3_600, [KeyStatus::New, KeyStatus::New, KeyStatus::New]);
    });
}

#[test]
fn after_a_restart_a_key_with_another_request_is_refused_and_a_day_ends_at_run_time() {
    let now = now();
    each_store(|open| {
        let answers = StoredResponses::open(open(), now, at(0)).unwrap();
        answers.begin(now, &request("a"), [1; 32]);
        let answer =
            Arc::new(StoredResponse { status: 202, body: Vec::new(), headers: Vec::new() });
        answers.done(now, &request("a"), answer, Box::new(drop));
        settle(&*open());
        drop(answers);

        let store = open();
        let half = KEPT_FOR / 2;
        let answers = StoredResponses::open(store.clone(), now, at(0) + half).unwrap();
        assert_eq!(answers.begin(now, &request("a"), [2; 32]), KeyStatus::Mismatch);
        assert_eq!(answers.begin(now + half, &request("a"), [2; 32]), KeyStatus::New);
        settle(&*store);
        assert!(rows(&*store, Table::IdempotencyKeys).is_empty());
    });
}

#[test]
fn no_member_id_is_issued_twice_in_any_store() {
    each_store(|open: Open<'_>| {
        let temp = tempdir().unwrap();
        let folder = DataFolder::hold(temp.path()).unwrap();
        let mut last = MemberId(0);
        for is_planned in [true, false, true, false] {
            let ids = MemberIdBlocks::open(&folder, open()).unwrap();
            let next = ids.next(&account()).unwrap();
            assert!(last < next, "{next} after {last}");
            last = next;
            if is_planned {
                ids.close().unwrap();
            }
        }
    });
}
