//! Restarts seen from outside: call detail records, stored responses, the store and its backups.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::app::{ID, Program, command, home, run, token};

/// A conflow with one member in its conference, and the call of that member.
pub(super) fn with_a_call(home: &Path) -> (Program, String, String) {
    let mut program = Program::start(home, "");
    let token = token(home);
    let call = join(&mut program, &token);
    (program, token, call)
}

pub(super) fn join(program: &mut Program, token: &str) -> String {
    let phones = format!("/sim/v1/Account/{ID}/Phone/");
    let (status, body) = program.ask(token, "POST", &phones, "{\"to\":\"x\"}");
    assert_eq!(status, 201, "{body}");
    program.wait_for("entered");
    let phone: Value = serde_json::from_str(&body).unwrap();
    phone["call_uuid"].as_str().unwrap().to_owned()
}

/// The CDR of a call, without the request id. It may appear moments after the end of the call.
pub(super) fn cdr(program: &Program, token: &str, call: &str) -> Value {
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

/// The end of a call is told before its record is in the database, which may be slow or full.
#[test]
fn a_kill_loses_no_cdr_that_is_not_in_the_database_yet() {
    let home = home();
    let (program, token, call) = with_a_call(home.path());
    let database = rusqlite::Connection::open(home.path().join("data/conflow.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let calls = format!("/api/v1/Account/{ID}/Call/");
    let end = format!("{calls}{call}/");
    assert_eq!(program.ask(&token, "DELETE", &end, "").0, 204);
    let before = cdr(&program, &token, &call);
    let list = |program: &Program| {
        let (status, body) = program.ask(&token, "GET", &calls, "");
        assert_eq!(status, 200, "{body}");
        let list: Value = serde_json::from_str(&body).unwrap();
        (list["meta"]["total_count"].clone(), list["objects"][0]["call_uuid"].clone())
    };
    let expected = (1.into(), call.as_str().into());
    assert_eq!(list(&program), expected);
    program.signal("KILL");
    program.end();
    let count = "SELECT count(*) FROM cdrs";
    let stored: u32 = database.query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(stored, 0);
    drop(database);

    for _ in 0..2 {
        let program = Program::start(home.path(), "");
        assert_eq!(cdr(&program, &token, &call), before);
        assert_eq!(list(&program), expected);
        program.signal("TERM");
        assert_eq!(program.end().0, Some(0));
    }
    let database = rusqlite::Connection::open(home.path().join("data/conflow.db")).unwrap();
    let stored: u32 = database.query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(stored, 1);
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
    check("store check", 0, "cdrs         1 rows");
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
    check(&put("repeats", "[]"), "the row MA1 7 1 of repeats makes no sense");
    check(&put("marks", "-1"), "the row MA1 7 1 of marks makes no sense");
    check("DROP TABLE bans", "cannot read bans: no such table");

    // Call detail records are not read at a start.
    let raw = rusqlite::Connection::open(home.path().join("data/conflow.db")).unwrap();
    raw.execute_batch(&put("cdrs (account, a, b, body)", "{\"call\":1}")).unwrap();
    drop(raw);
    let (code, out, log) = run(command(home.path(), "store check"));
    assert_eq!(code, Some(1), "{out}{log}");
    let expected = "the row MA1 7 1 of cdrs makes no sense";
    assert!(format!("{out}{log}").contains(expected), "{out}{log}");
    let program = Program::start(home.path(), "");
    let list = format!("/api/v1/Account/{ID}/Call/");
    assert_eq!(program.ask(&token(home.path()), "GET", &list, "").0, 200);
}

/// The trace of a call, once it has so many steps; without the request id.
fn trace(program: &Program, token: &str, call: &str, steps: usize) -> Value {
    for _ in 0..500 {
        let path = format!("/api/v1/Account/{ID}/Call/{call}/Trace/");
        let (status, body) = program.ask(token, "GET", &path, "");
        let mut trace: Value = serde_json::from_str(&body).unwrap_or_default();
        if status == 200 && steps <= trace["steps"].as_array().unwrap().len() {
            trace["api_id"] = Value::Null;
            return trace;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{call} has no trace")
}

#[test]
fn a_trace_is_found_after_a_restart_and_says_that_its_call_died_in_a_crash() {
    let home = home();
    let flow = "<Response>\n<Conference stayAlone=\"true\">weekly</Conference>\n</Response>";
    fs::write(home.path().join("flows/x.xml"), flow).unwrap();
    let (mut program, token, over) = with_a_call(home.path());
    let live = join(&mut program, &token);
    let end = format!("/api/v1/Account/{ID}/Call/{over}/");
    assert_eq!(program.ask(&token, "DELETE", &end, "").0, 204);
    let before = trace(&program, &token, &over, 1);
    assert_eq!(before["steps"][0]["ended"], "hung-up-by-api", "{before}");
    // Traces of live calls are written every second.
    wait_for_traces(home.path(), &[&over, &live]);
    program.signal("KILL");
    program.end();

    for _ in 0..2 {
        let program = Program::start(home.path(), "");
        assert_eq!(trace(&program, &token, &over, 1), before);
        let crashed = trace(&program, &token, &live, 1);
        assert_eq!(crashed["crashed"], true, "{crashed}");
        let step = &crashed["steps"][0];
        assert_eq!((&step["element"], &step["ended"]), (&"Conference".into(), &"crashed".into()));
        assert_eq!(step["source"], before["steps"][0]["source"], "{crashed}");
        assert_eq!(step["source"], flow.lines().nth(1).unwrap(), "{crashed}");
        let cdr = cdr(&program, &token, &live);
        let (length, bill) =
            (step["to_ms"].as_u64().unwrap(), cdr["bill_duration"].as_u64().unwrap());
        // One counts from the begin, the other from the answer.
        assert!(bill * 1_000 <= length && length < (bill + 2) * 1_000, "{crashed} {cdr}");
        let arguments = format!("trace {live} --url http://{}", program.http);
        let (code, out, log) = run(command(home.path(), &arguments));
        assert_eq!(code, Some(0), "{log}");
        assert!(out.contains("Conference weekly") && out.contains("a crash, or a kill"), "{out}");
        program.signal("TERM");
        assert_eq!(program.end().0, Some(0));
    }
}

/// Waits until the files of traces have an entry of each call, as the JSON of a conference.
fn wait_for_traces(home: &Path, calls: &[&str]) {
    let is_written = |call: &str| {
        let id: Vec<_> = call.split('-').collect();
        let id = u128::from_str_radix(&id.concat(), 16).unwrap().to_be_bytes();
        let files = fs::read_dir(home.join("data/traces")).unwrap();
        files.map(|it| fs::read(it.unwrap().path()).unwrap()).any(|bytes| {
            let mut found = bytes.windows(id.len()).enumerate().filter(|(_, it)| *it == id);
            found.any(|(at, _)| {
                let rest = String::from_utf8_lossy(&bytes[at + id.len()..]);
                rest.starts_with('{') && rest.contains("Conference")
            })
        })
    };
    for _ in 0..1_000 {
        if calls.iter().all(|it| is_written(it)) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("traces of {calls:?} are not written");
}

/// The events of an account from an id on, as lines of `id` and `event`, until one of this kind.
pub(super) fn events(
    program: &Program,
    token: &str,
    query: &str,
    until: &str,
) -> Vec<(String, String)> {
    let mut stream = TcpStream::connect(program.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!("X-Auth-ID: {ID}\r\nX-Auth-Token: {token}\r\n");
    let path = format!("/api/v1/Account/{ID}/Events/{query}");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\n{head}\r\n").unwrap();
    let (mut events, mut id) = (Vec::new(), String::new());
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if let Some(text) = line.strip_prefix("id: ") {
            id = text.to_owned();
        } else if let Some(kind) = line.strip_prefix("event: ") {
            events.push((id.clone(), kind.to_owned()));
            if kind == until {
                break;
            }
        }
    }
    events
}

/// Answers requests until `count` have come: the id of each event, and its kind.
pub(super) fn receive(listener: &TcpListener, count: usize) -> Vec<(String, String)> {
    let one = |_| {
        let (id, body) = receive_one(listener);
        let kind = body.split('&').find_map(|it| it.strip_prefix("Event=")).unwrap();
        (id, kind.to_owned())
    };
    (0..count).map(one).collect()
}

/// Answers one request: its event's id, if it has one, and its body.
pub(super) fn receive_one(listener: &TcpListener) -> (String, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let (name, value) = line.trim().split_once(": ").unwrap_or_default();
        match &*name.to_ascii_lowercase() {
            "x-conflow-event-id" => id = value.to_owned(),
            "content-length" => length = value.parse().unwrap(),
            _ if line.trim().is_empty() => break,
            _ => (),
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(answer.as_bytes()).unwrap();
    (id, String::from_utf8(body).unwrap())
}

/// The list of callbacks.
fn deliveries(program: &Program, token: &str, query: &str) -> Value {
    let path = format!("/api/v1/Account/{ID}/Delivery/{query}");
    let (status, body) = program.ask(token, "GET", &path, "");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The callbacks that have arrived, once there are so many.
fn arrived(program: &Program, token: &str, count: usize) -> Value {
    for _ in 0..500 {
        let arrived = deliveries(program, token, "?state=arrived");
        if arrived["meta"]["total_count"] == count {
            return arrived;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{count} callbacks have not arrived")
}

/// Issue 15, the core: a reader goes on without a gap, a receiver gets everything in order, and calls
/// that died are told of.
#[test]
fn a_kill_loses_no_event_and_no_callback() {
    let home = home();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    // It is dead until the second start.
    drop(receiver);
    let flow = format!(
        "<Response><Conference stayAlone=\"true\" callbackUrl=\"http://{address}/\">weekly\
         </Conference></Response>"
    );
    fs::write(home.path().join("flows/x.xml"), flow).unwrap();
    let (mut program, token, _) = with_a_call(home.path());
    join(&mut program, &token);
    let before = events(&program, &token, "?after=0", "ConferenceEnter");
    let (last, _) = before.last().unwrap().clone();
    program.signal("KILL");
    program.end();

    let receiver = TcpListener::bind(address).unwrap();
    let program = Program::start(home.path(), "");
    let told = receive(&receiver, 4);
    let kinds: Vec<_> = told.iter().map(|(_, kind)| &**kind).collect();
    assert_eq!(
        kinds,
        ["ConferenceEnter", "ConferenceEnter", "ConferenceExit", "ConferenceExit"],
        "{told:?}"
    );
    let all = events(&program, &token, "?after=0", "ConferenceEnd");
    let number = |id: &str| id.split_once('-').unwrap().1.parse::<u64>().unwrap();
    let numbers: Vec<_> = all.iter().map(|(id, _)| number(id)).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{all:?}");
    assert_eq!(all[..before.len()], before);
    assert!(told.iter().all(|it| all.contains(it)), "{told:?} of {all:?}");
    let rest = events(&program, &token, &format!("?after={last}"), "ConferenceEnd");
    assert_eq!(rest, all[before.len()..]);
    // The calls end after their room.
    let since = "?since=2000-01-01%2000:00:00";
    let hung_up = events(&program, &token, since, "Hangup");
    assert_eq!(hung_up[..all.len()], all);
    assert_eq!(hung_up.last().unwrap().1, "Hangup");

    // The attempts of the first process are known, too.
    let arrived = arrived(&program, &token, 4);
    let ids = arrived["objects"].as_array().unwrap().iter().rev().map(|it| &it["event_id"]);
    assert!(ids.eq(told.iter().map(|(id, _)| id)), "{arrived}");
    let first = &arrived["objects"][3];
    assert!(2 <= first["attempts"].as_u64().unwrap(), "{first}");
    assert!(!first["last_attempts"][0]["error"].is_null(), "{first}");

    // What has been told is not told again.
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    let program = Program::start(home.path(), "");
    let after = events(&program, &token, "?after=0", "Hangup");
    assert_eq!(after, hung_up);
    assert_eq!(deliveries(&program, &token, "?state=arrived")["objects"], arrived["objects"]);
    let path = format!("/api/v1/Account/{ID}/Delivery/{}/", told[0].0);
    let (status, body) = program.ask(&token, "POST", &path, "");
    assert_eq!(status, 202, "{body}");
    assert_eq!(receive(&receiver, 1), told[..1]);
    program.signal("TERM");
    let (code, _, log) = program.end();
    assert!(code == Some(0) && !log.contains("the last process has left"), "{log}");
}
