//! Restarts seen from outside: call detail records, stored responses, the store and its backups.

use std::{fs, path::Path, thread, time::Duration};

use serde_json::Value;

use crate::app::{ID, Program, command, home, run, token};

/// A conflow with one member in its conference, and the call of that member.
fn with_a_call(home: &Path) -> (Program, String, String) {
    let mut program = Program::start(home, "");
    let token = token(home);
    let call = join(&mut program, &token);
    (program, token, call)
}

fn join(program: &mut Program, token: &str) -> String {
    let phones = format!("/sim/v1/Account/{ID}/Phone/");
    let (status, body) = program.ask(token, "POST", &phones, "{\"to\":\"x\"}");
    assert_eq!(status, 201, "{body}");
    program.wait_for("entered");
    let phone: Value = serde_json::from_str(&body).unwrap();
    phone["call_uuid"].as_str().unwrap().to_owned()
}

/// The CDR of a call, without the request id. It may appear moments after the end of the call.
fn cdr(program: &Program, token: &str, call: &str) -> Value {
    for _ in 0..500 {
        let path = format!("/api/v1/Account/{ID}/Call/{call}/");
        let (status, body) = program.ask(token, "GET", &path, "");
        let mut cdr: Value = serde_json::from_str(&body).unwrap_or_default();
        if status == 200 && !cdr["end_time"].is_null() {
            cdr["api_id"] = Value::Null;
            return cdr;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{call} has no cdr")
}

#[test]
fn a_kill_loses_no_cdr_and_no_answer() {
    let home = home();
    let (mut program, token, first) = with_a_call(home.path());
    let second = join(&mut program, &token);
    // Otherwise the second member would be alone.
    join(&mut program, &token);
    let calls = format!("/api/v1/Account/{ID}/Call/");
    let ask = |program: &Program, method, path: &str, key: &str| {
        program.ask_with(&token, method, path, &format!("Idempotency-Key: {key}\r\n"), "")
    };
    let end = format!("{calls}{first}/");
    assert_eq!(ask(&program, "DELETE", &end, "a").0, 204);
    let before = cdr(&program, &token, &first);
    // This response shows that the kick is durable, and with it everything before.
    let kick = format!("/api/v1/Account/{ID}/Conference/weekly/Member/2/Kick/");
    let (status, kicked) = ask(&program, "POST", &kick, "b");
    assert_eq!(status, 200, "{kicked}");
    program.signal("KILL");
    program.end();

    let program = Program::start(home.path(), "");
    assert_eq!(cdr(&program, &token, &first), before);
    assert_eq!(ask(&program, "DELETE", &end, "a").0, 204);
    assert_eq!(ask(&program, "POST", &kick, "b"), (200, kicked));
    assert_eq!(ask(&program, "POST", &kick, "c").0, 404);
    let crashed = cdr(&program, &token, &second);
    assert_eq!(crashed["hangup_cause_code"], 5_010, "{crashed}");
    assert_eq!(crashed["hangup_cause_name"], "Internal Error", "{crashed}");
    assert!(!crashed["answer_time"].is_null(), "{crashed}");
}

#[test]
fn a_store_is_checked_and_backed_up_while_an_engine_runs_and_an_engine_goes_on_with_the_backup() {
    let home = home();
    let (program, token, call) = with_a_call(home.path());
    let path = format!("/api/v1/Account/{ID}/Call/{call}/");
    let ended = program.ask_with(&token, "DELETE", &path, "Idempotency-Key: a\r\n", "");
    assert_eq!(ended.0, 204);
    let before = cdr(&program, &token, &call);
    program.ask_with(&token, "DELETE", &path, "Idempotency-Key: b\r\n", "");
    let check = |arguments: &str, code: i32, expected: &str| {
        let (found, out, log) = run(command(home.path(), arguments));
        assert_eq!(found, Some(code), "{arguments}: {out}{log}");
        assert!(format!("{out}{log}").contains(expected), "{arguments}: {out}{log}");
    };
    check("store check", 0, "no errors");
    check("store check", 0, "records      1 rows");
    check("store backup b.db", 0, "b.db: ");
    check("store backup b.db", 1, "there is a file of that name already");
    check("store backup no/b.db", 1, "cannot write the backup no/b.db");
    check("store check b.db", 0, "repeats      2 rows");
    check("store check --data none", 1, "none/conflow.db: there is no such file");
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));

    fs::create_dir(home.path().join("other")).unwrap();
    fs::copy(home.path().join("b.db"), home.path().join("other/conflow.db")).unwrap();
    fs::copy(home.path().join("data/dev-token"), home.path().join("other/dev-token")).unwrap();
    let program = Program::start(home.path(), "--data other");
    assert_eq!(cdr(&program, &token, &call), before);
}

#[test]
fn a_damaged_store_and_a_later_version_are_reported() {
    let home = home();
    let program = Program::start(home.path(), "");
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    let check = |change: &str, expected: &str| {
        let copy = home.path().join("copy");
        drop(fs::remove_dir_all(&copy));
        fs::create_dir(&copy).unwrap();
        let backup = run(command(home.path(), "store backup copy/conflow.db"));
        assert_eq!(backup.0, Some(0), "{backup:?}");
        let raw = rusqlite::Connection::open(copy.join("conflow.db")).unwrap();
        raw.execute_batch(change).unwrap();
        drop(raw);
        for arguments in ["store check --data copy", "serve --http 127.0.0.1:0 --data copy"] {
            let (code, out, log) = run(command(home.path(), arguments));
            assert_eq!(code, Some(1), "{arguments}: {out}{log}");
            assert!(format!("{out}{log}").contains(expected), "{arguments}: {out}{log}");
        }
    };
    let put =
        |table: &str, body: &str| format!("INSERT INTO {table} VALUES ('MA1', 7, 1, '{body}')");
    check("PRAGMA user_version = 99", "it has version 99, and this conflow knows ");
    for table in ["people", "groups", "members", "bans", "tokens", "passwords"] {
        check(&put(table, "{}"), "missing field");
    }
    check(&put("applications", "\"x\""), "the row MA1 7 1 of applications makes no sense");
    check(&put("records", "{"), "the row MA1 7 1 of records makes no sense: EOF");
    check(&put("calls", "{\"call\":1}"), "the row MA1 7 1 of calls makes no sense");
    check(&put("repeats", "[]"), "the row MA1 7 1 of repeats makes no sense");
    check(&put("marks", "-1"), "the row MA1 7 1 of marks makes no sense");
    check("DROP TABLE bans", "cannot read bans: no such table");
}
