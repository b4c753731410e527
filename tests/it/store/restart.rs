//! What is kept in rows, in every store: records of calls, answers to requests, member-id marks.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use conflow::{
    base::ids::{AccountId, CallId, Dialect, MemberId},
    call::{CallStatus, Details, Direction, Party, Session},
    cdr::{Filter, Record, Records, store::Ledger},
    media::{Ending, HangupCause, HangupSource, legs::LegSummary},
    store::{
        MemberIds, Repeat, Repeats, RequestKey, Stored,
        folder::DataFolder,
        idempotency::{Answers, KEPT_FOR},
        member_ids::Marks,
        rows::{Table, Write},
    },
};
use tempfile::tempdir;

use super::{Open, commit, each_store, rows, settle};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(seconds * 1_000_000 + 123_456)
}

fn account() -> AccountId {
    "MA1".parse().unwrap()
}

fn party(direction: Direction, parent: Option<CallId>) -> Arc<Party> {
    Arc::new(Party {
        from: "sip:a@b".into(),
        to: "49301234".into(),
        caller_name: "Ä \"B\"".into(),
        direction,
        dialect: Dialect::Plivo,
        trusted: None,
        session: Session::new(at(100), Details { parent, ..Details::default() }),
    })
}

fn record(n: u128, cause: HangupCause, source: HangupSource) -> Record {
    let direction = if n.is_multiple_of(2) { Direction::Inbound } else { Direction::Outbound };
    Record {
        account: account(),
        call: CallId::of(n),
        party: party(direction, n.is_multiple_of(3).then_some(CallId::of(77))),
        answered_at: n.is_multiple_of(2).then_some(at(110)),
        ended_at: at(120),
        ending: Ending { cause, source },
        sound: OnceLock::new(),
    }
}

fn all(ledger: &Ledger) -> Vec<Record> {
    let page = ledger.list(&account(), &Filter::default(), 0, 100);
    page.records.iter().map(|it| Record::clone(it)).collect()
}

#[test]
fn records_of_calls_are_the_same_after_a_restart() {
    let causes = [HangupCause::Canceled, HangupCause::Normal, HangupCause::RedirectXmlInvalid];
    each_store(|open| {
        let store = open();
        let ledger = Ledger::open(store.clone(), at(0)).unwrap();
        let sources = causes.iter().cycle().zip(HangupSource::ALL);
        for (n, (cause, source)) in (1..).zip(sources) {
            ledger.add(Arc::new(record(n, *cause, source)), None);
        }
        let sound = LegSummary { sent: 50, received: 49, lost: 1, jitter_us: 700 };
        ledger.sounded(CallId::of(2), sound);
        let before = all(&ledger);
        settle(&*store);
        drop((ledger, store));

        let again = Ledger::open(open(), at(130)).unwrap();
        assert_eq!(all(&again), before);
        assert_eq!(before.len(), HangupSource::ALL.len());
        let sounded = again.find(&account(), CallId::of(2)).unwrap();
        assert_eq!(sounded.sound.get(), Some(&sound));
    });
}

#[test]
fn a_call_that_was_up_when_the_process_died_gets_its_record_at_the_next_start_and_once() {
    each_store(|open| {
        let store = open();
        let ledger = Ledger::open(store.clone(), at(0)).unwrap();
        let inbound = party(Direction::Inbound, None);
        let drafts = [(1, 110), (2, 115), (4, 112)].map(|(n, answered_at)| {
            ledger.answered(&account(), CallId::of(n), &inbound, at(answered_at))
        });
        let over = record(4, HangupCause::Normal, HangupSource::Caller);
        ledger.add(Arc::new(over), drafts[2]);
        settle(&*store);
        drop((ledger, store));

        for _ in 0..2 {
            let store = open();
            let again = Ledger::open(store.clone(), at(500)).unwrap();
            settle(&*store);
            let latest: Vec<_> = all(&again).into_iter().map(|it| it.call).collect();
            assert_eq!(latest, [2, 1, 4].map(CallId::of));
            let crashed = again.find(&account(), CallId::of(1)).unwrap();
            assert_eq!(crashed.status(), CallStatus::Completed);
            assert_eq!(crashed.ending.cause.code(), 5_010);
            assert_eq!(crashed.ending.source.text(), "Plivo");
            // The end of call 4 is the last that is known.
            assert_eq!((crashed.answered_at, crashed.ended_at), (Some(at(110)), at(120)));
            assert!(rows(&*store, Table::Calls).is_empty());
        }
    });
}

/// As the first version wrote it: rows of today's engines must be readable to all later ones.
#[test]
fn the_form_of_a_record_is_that_of_the_first_version() {
    const ROW: &str = r#"{"call":{"call":"00000000-0000-0000-0000-000000000006","from":"sip:a@b","to":"49301234","caller_name":"Ä \"B\"","direction":"inbound","dialect":"plivo","began_at":100123456,"answered_at":110123456,"parent":"00000000-0000-0000-0000-00000000004d"},"ended_at":120123456,"cause":4000,"source":"Caller","sound":null}"#;
    each_store(|open| {
        let store = open();
        let mut put = Write::put(Table::Records, &account(), 1, &());
        put.body = Some(ROW.to_owned());
        commit(&*store, vec![put]).recv().unwrap().unwrap();
        let ledger = Ledger::open(store.clone(), at(130)).unwrap();
        let expected = record(6, HangupCause::Normal, HangupSource::Caller);
        assert_eq!(all(&ledger), std::slice::from_ref(&expected));
        ledger.add(Arc::new(Record { call: CallId::of(8), ..expected }), None);
        settle(&*store);
        assert_eq!(
            rows(&*store, Table::Records)[1],
            format!("MA1 2 0 {}", ROW.replace("006", "008"))
        );
    });
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
fn an_answered_request_is_answered_the_same_after_a_restart_for_a_day_by_the_clock_on_the_wall() {
    let now = now();
    let remarks = vec![("conflow-remark".to_owned(), "x: in vain".to_owned())];
    let answer = Arc::new(Stored { status: 202, body: "{\"ü\":1}".into(), headers: remarks });
    let none = Arc::new(Stored { status: 204, body: Vec::new(), headers: Vec::new() });
    let begin = |answers: &Answers, key, asked| answers.begin(now, &request(key), [asked; 32]);
    each_store(|open| {
        let store = open();
        let answers = Answers::open(store.clone(), now, at(0)).unwrap();
        assert_eq!(begin(&answers, "a", 1), Repeat::New);
        assert_eq!(begin(&answers, "b", 2), Repeat::New);
        assert_eq!(begin(&answers, "c", 3), Repeat::New);
        answers.done(now, &request("a"), answer.clone(), Box::new(drop));
        let hour = Duration::from_secs(3_600);
        answers.done(now + hour, &request("b"), none.clone(), Box::new(drop));
        settle(&*store);
        drop((answers, store));

        let day = KEPT_FOR.as_secs();
        let check = |seconds, expected: [Repeat; 3]| {
            let store = open();
            let answers = Answers::open(store.clone(), now, at(seconds)).unwrap();
            settle(&*store);
            let kept = rows(&*store, Table::Repeats).len();
            let found = [("a", 1), ("b", 2), ("c", 3)].map(|(key, it)| begin(&answers, key, it));
            assert_eq!(found, expected, "after {seconds} s");
            let answered = found.iter().filter(|it| **it != Repeat::New).count();
            assert_eq!(kept, answered, "rows after {seconds} s");
        };
        let (answered, empty) = (Repeat::Answered(answer.clone()), Repeat::Answered(none.clone()));
        // A clock that was set back makes nothing old.
        check(0, [answered.clone(), empty.clone(), Repeat::New]);
        check(day - 1, [answered, empty.clone(), Repeat::New]);
        check(day, [Repeat::New, empty, Repeat::New]);
        check(day + 3_600, [Repeat::New, Repeat::New, Repeat::New]);
    });
}

#[test]
fn after_a_restart_the_same_key_with_another_question_is_refused_and_a_day_ends_while_it_runs() {
    let now = now();
    each_store(|open| {
        let answers = Answers::open(open(), now, at(0)).unwrap();
        answers.begin(now, &request("a"), [1; 32]);
        let answer = Arc::new(Stored { status: 202, body: Vec::new(), headers: Vec::new() });
        answers.done(now, &request("a"), answer, Box::new(drop));
        settle(&*open());
        drop(answers);

        let store = open();
        let half = KEPT_FOR / 2;
        let answers = Answers::open(store.clone(), now, at(0) + half).unwrap();
        assert_eq!(answers.begin(now, &request("a"), [2; 32]), Repeat::Other);
        assert_eq!(answers.begin(now + half, &request("a"), [2; 32]), Repeat::New);
        settle(&*store);
        assert!(rows(&*store, Table::Repeats).is_empty());
    });
}

#[test]
fn no_member_id_comes_twice_in_any_store() {
    each_store(|open: Open<'_>| {
        let temp = tempdir().unwrap();
        let folder = DataFolder::hold(temp.path()).unwrap();
        let mut last = MemberId(0);
        for is_planned in [true, false, true, false] {
            let marks = Marks::open(&folder, open()).unwrap();
            let next = marks.next(&account());
            assert!(last < next, "{next} after {last}");
            last = next;
            if is_planned {
                marks.close().unwrap();
            }
        }
    });
}
