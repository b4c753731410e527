//! Storage that fails or is not there, seen from outside: nothing is acknowledged and then lost.

use std::{fs, net::TcpListener, path::Path, sync::mpsc, thread, time::Duration};

use conflow::cli::login::DEVELOPMENT_ACCOUNT as ID;
use rustix::{
    io::Errno,
    process::{Pid, Resource, Rlimit, prlimit},
};
use serde_json::Value;

use super::{
    faulty_disk::FaultyDisk,
    restarts::{cdr, events, join, receive},
};
use crate::{
    app::{Program, account, command, home, run, token},
    small_disk::SmallDisk,
};

/// From now on, the process can write files of this size at most. Larger writes fail as they do on a
/// full disk, and SIGXFSZ comes with the error.
fn limit_files(program: &Program, bytes: Option<u64>) {
    let pid = Pid::from_raw(program.pid().try_into().unwrap());
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

/// Asks until the answer has this status.
fn wait_for_status(program: &Program, token: &str, path: &str, status: u16) -> String {
    for _ in 0..1_000 {
        let (found, body) = program.ask(token, "GET", path, "");
        if found == status {
            return body;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{path} is not {status}")
}

/// The fault of issue 14, A6: the engine said 200, and after a restart the record, the ban and the
/// answer of the key were gone.
#[test]
fn while_the_store_cannot_write_requests_are_refused_and_records_wait() {
    let home = home();
    fs::write(home.path().join("flows/short.xml"), "<Response><Hangup/></Response>").unwrap();
    let mut program = Program::start(home.path(), "");
    let token = token(home.path());
    let ask = |program: &Program, method: &str, path: &str, headers: &str, body: &str| {
        program.ask_with(&token, method, path, headers, body)
    };
    let (phones, calls) =
        (format!("/sim/v1/Account/{ID}/Phone/"), format!("/api/v1/Account/{ID}/Call/"));
    let dial = |program: &Program, to: &str| {
        let body = format!("{{\"to\":\"{to}\",\"user\":\"anna\"}}");
        let (status, body) = ask(program, "POST", &phones, "", &body);
        assert_eq!(status, 201, "{body}");
        let phone: Value = serde_json::from_str(&body).unwrap();
        phone["call_uuid"].as_str().unwrap().to_owned()
    };
    dial(&program, "x");
    let second = dial(&program, "x");
    // Otherwise the first one would be alone.
    dial(&program, "x");
    (0..3).for_each(|_| drop(program.wait_for("entered")));
    let room = format!("/api/v1/Account/{ID}/Conference/weekly/");
    let kick = format!("{room}Member/1/Kick/");
    let call = r#"{"from":"1","to":"sim:x","answer_url":"flow:short"}"#;
    let key = "Idempotency-Key: k\r\n";

    limit_files(&program, Some(1_024));
    let refused = |(status, body): (u16, String)| {
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("storage cannot be written: nothing was changed"), "{body}");
    };
    refused(ask(&program, "POST", &calls, key, call));
    refused(ask(&program, "POST", &kick, "", "{\"ban_seconds\":60}"));
    let (status, body) = ask(&program, "GET", &room, "", "");
    assert!(status == 200 && body.contains("\"member_id\":\"1\""), "{body}");
    let person = format!("/groups/v1/Account/{ID}/Person/");
    refused(ask(&program, "POST", &person, "", "{\"username\":\"a\"}"));
    assert_eq!(program.ask("", "GET", "/readyz", ""), (503, "store: I/O error\n".to_owned()));
    let metrics = ask(&program, "GET", "/metrics", "", "").1;
    let failures = metrics
        .lines()
        .find(|it| it.starts_with("conflow_store_write_failures_total{store=\"db\"} "));
    assert!(failures.is_some_and(|it| !it.ends_with(" 0")), "{metrics}");
    // Calls may end meanwhile.
    assert_eq!(ask(&program, "DELETE", &format!("{phones}{second}/"), "", "").0, 204);

    limit_files(&program, None);
    wait_for_status(&program, &token, "/readyz", 200);
    let fired = ask(&program, "POST", &calls, key, call);
    assert!(fired.0 < 300, "{fired:?}");
    assert_eq!(ask(&program, "POST", &kick, "", "{\"ban_seconds\":60}").0, 200);
    program.signal("TERM");
    let (code, _, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(log.matches("the store cannot write (").count(), 1, "not every second: {log}");

    let program = Program::start(home.path(), "");
    wait_for_status(&program, &token, &format!("{calls}{second}/"), 200);
    assert_eq!(ask(&program, "POST", &calls, key, call), fired);
    assert!(ask(&program, "GET", &format!("{room}Ban/"), "", "").1.contains("user:anna"));
}

/// A disk in trouble, and how it shows.
struct Trouble<'a> {
    start: &'a dyn Fn() -> Program,
    begin: &'a dyn Fn(&Program),
    end: &'a dyn Fn(&Program),
    /// The log of events cannot be written, too.
    is_of_log: bool,
    ready: &'a str,
    refusal: &'a str,
}

/// Issue 14, A6, and issue 15, point 7: nothing is acknowledged and then lost. What is refused had no
/// effect, calls may end, and all is well by itself when the disk is.
fn check_trouble(home: &Path, trouble: &Trouble<'_>) {
    let tells = callbacks_of(home);
    let hear = |count: usize| -> Vec<(u64, String)> {
        let heard = (0..count).map(|_| tells.recv_timeout(Duration::from_secs(20)).unwrap());
        heard.map(|(id, kind)| (id.split_once('-').unwrap().1.parse().unwrap(), kind)).collect()
    };

    let mut program = (trouble.start)();
    let token = token(home);
    let (phones, calls) =
        (format!("/sim/v1/Account/{ID}/Phone/"), format!("/api/v1/Account/{ID}/Call/"));
    let room = format!("/api/v1/Account/{ID}/Conference/weekly/");
    let ban = (format!("{room}Member/1/Kick/"), "{\"ban_seconds\":60}");
    let call = (calls, r#"{"from":"1","to":"sim:x","answer_url":"flow:default"}"#);
    let key = "Idempotency-Key: k\r\n";
    let post = |program: &Program, headers: &str, (path, body): &(String, &str)| {
        program.ask_with(&token, "POST", path, headers, body)
    };
    let dialled = post(&program, "", &(phones.clone(), "{\"to\":\"x\",\"user\":\"anna\"}"));
    assert_eq!(dialled.0, 201, "{dialled:?}");
    program.wait_for("entered");
    let (second, _) = (join(&mut program, &token), join(&mut program, &token));
    let mut heard = hear(3);

    (trouble.begin)(&program);
    assert_eq!(program.ask(&token, "DELETE", &format!("{phones}{second}/"), "").0, 204);
    assert_eq!(wait_for_status(&program, "", "/readyz", 503), trouble.ready);
    let person = (format!("/groups/v1/Account/{ID}/Person/"), "{\"username\":\"a\"}");
    let (kick, dial) =
        ((format!("{room}Member/1/Kick/"), "{}"), (phones.clone(), "{\"to\":\"x\"}"));
    let refused = |headers: &str, request: &(String, &str)| {
        check_refusal(&post(&program, headers, request), trouble.refusal);
    };
    refused(key, &call);
    [&ban, &person].into_iter().for_each(|it| refused("", it));
    if trouble.is_of_log {
        [&kick, &dial, &call].into_iter().for_each(|it| refused("", it));
        // What could be lost is not told.
        assert!(tells.try_recv().is_err(), "the exit of the second member waits");
    }
    let (_, members) = program.ask(&token, "GET", &room, "");
    assert!(members.contains("\"member_id\":\"1\"") && !members.contains("\"member_id\":\"2\""));
    check_count(&program, &token, trouble.is_of_log);

    (trouble.end)(&program);
    wait_for_status(&program, "", "/readyz", 200);
    let fired = post(&program, key, &call);
    assert!(fired.0 < 300, "{fired:?}");
    assert_eq!(post(&program, "", &ban).0, 200);
    heard.extend(hear(2));
    let kinds: Vec<_> = heard.iter().map(|(_, kind)| kind.as_str()).collect();
    let (enter, exit) = ("ConferenceEnter", "ConferenceExit");
    assert_eq!(kinds, [enter, enter, enter, exit, exit]);
    assert!(heard.is_sorted_by(|one, next| one.0 < next.0), "in order: {heard:?}");
    let before = cdr(&program, &token, &second);
    let told = events(&program, &token, "?after=0", "CallStart");
    program.signal("KILL");
    program.end();

    let program = (trouble.start)();
    assert_eq!(post(&program, key, &call), fired);
    assert!(program.ask(&token, "GET", &format!("{room}Ban/"), "").1.contains("user:anna"));
    assert_eq!(cdr(&program, &token, &second), before);
    let again = events(&program, &token, "?after=0", "CallStart");
    assert_eq!(again, told, "the log has what was told");
    check_numbers(&program, &token);
}

/// Calls of the flow `x` enter a conference. Returns its callbacks: their ids and kinds.
fn callbacks_of(home: &Path) -> mpsc::Receiver<(String, String)> {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let flow = format!(
        "<Response><Conference stayAlone=\"true\" callbackUrl=\"http://{}/\">weekly</Conference>\
         </Response>",
        receiver.local_addr().unwrap()
    );
    fs::write(home.join("flows/x.xml"), flow).unwrap();
    let (told, tells) = mpsc::channel();
    thread::spawn(move || {
        while told.send(receive(&receiver, 1).remove(0)).is_ok() {
            // The test reads all that it wants.
        }
    });
    tells
}

/// The status and the body are those of a request that had no effect.
fn check_refusal((status, body): &(u16, String), refusal: &str) {
    assert!(*status == 503 && body.contains(refusal), "{status} {body}");
}

/// The failed writes are in the metrics.
fn check_count(program: &Program, token: &str, is_of_log: bool) {
    let metrics = program.ask(token, "GET", "/metrics", "").1;
    let store = if is_of_log { "log" } else { "db" };
    let name = format!("conflow_store_write_failures_total{{store=\"{store}\"}} ");
    let count = metrics.lines().find_map(|it| it.strip_prefix(&*name));
    assert!(count.is_some_and(|it| it != "0"), "{metrics}");
}

/// The numbers of the events have no gap.
fn check_numbers(program: &Program, token: &str) {
    let all = events(program, token, "?after=0", "ConferenceEnd");
    let numbers = all.iter().map(|(id, _)| id.split_once('-').unwrap().1.parse::<usize>().unwrap());
    assert!(numbers.eq(1..=all.len()), "no gap: {all:?}");
}

#[test]
fn io_errors_and_a_read_only_disk_lose_nothing_that_was_acknowledged() {
    let cases = [
        (Errno::IO, "conflow.db", "store: I/O error\n", "storage cannot be written"),
        (Errno::IO, "/state/", "store: I/O error\n", "storage cannot be written"),
        // SQLite has one error for both.
        (Errno::ROFS, "conflow.db", "store: I/O error\n", "storage cannot be written"),
        (Errno::ROFS, "/state/", "store: read-only\n", "storage is read-only"),
        (Errno::NOSPC, "/data/", "store: no space\n", "storage is full"),
    ];
    for (error, part, ready, refusal) in cases {
        let home = home();
        let disk = FaultyDisk::new(home.path());
        let trouble = Trouble {
            start: &|| disk.start(home.path()),
            begin: &|_| disk.fail(error, part),
            end: &|_| disk.mend(),
            is_of_log: part != "conflow.db",
            ready,
            refusal: &format!("{refusal}: nothing was changed"),
        };
        check_trouble(home.path(), &trouble);
    }
}

/// With a small file system, in a user namespace; where there are none, it says so.
#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let home = home();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    let Some(disk) = SmallDisk::mount(&data, 16) else { return };
    let trouble = Trouble {
        start: &|| {
            let serve = command(home.path(), "serve --http 127.0.0.1:0 --sip off");
            let program = Program::of(disk.command(home.path(), &serve));
            fs::copy(disk.inside.join("dev-token"), data.join("dev-token")).unwrap();
            program
        },
        begin: &|_| disk.fill(0),
        end: &|_| disk.empty(),
        // Its space is reserved.
        is_of_log: false,
        ready: "store: no space\n",
        refusal: "storage is full: nothing was changed",
    };
    check_trouble(home.path(), &trouble);
}

/// Survival design, section 9: nothing new begins if there is no space for the next segment of the log.
#[test]
fn without_space_for_the_next_events_no_call_begins() {
    let home = home();
    let disk = FaultyDisk::new(home.path());
    drop(disk.start(home.path()));
    let token = token(home.path());
    disk.fail(Errno::NOSPC, "next.draft");
    let mut program = disk.start(home.path());
    assert_eq!(wait_for_status(&program, "", "/readyz", 503), "store: no space\n");
    let refused = "storage is full: nothing was changed";
    for (path, body) in [
        (format!("/sim/v1/Account/{ID}/Phone/"), "{\"to\":\"x\"}"),
        (
            format!("/api/v1/Account/{ID}/Call/"),
            r#"{"from":"1","to":"sim:x","answer_url":"flow:default"}"#,
        ),
        (format!("/v1/Account/{ID}/Conference/weekly/Member/all/Kick/"), "{}"),
    ] {
        let (status, body) = program.ask(&token, "POST", &path, body);
        assert!(status == 503 && body.contains(refused), "{path}: {status} {body}");
    }
    let (status, _) = program.ask(&token, "GET", &format!("/v1/Account/{ID}/Conference/"), "");
    assert_eq!(status, 200, "who looks is answered");
    disk.mend();
    wait_for_status(&program, "", "/readyz", 200);
    program.join(&token);
    program.signal("TERM");
    let (code, _, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(
        log.matches("the next segment of the state log cannot be made (").count(),
        1,
        "{log}"
    );
    assert!(log.contains("the state log can be written again"), "{log}");
}

#[test]
fn rows_that_cannot_be_written_at_the_end_are_told_of() {
    let home = home();
    let mut program = Program::start(home.path(), "");
    let token = token(home.path());
    program.join(&token);
    limit_files(&program, Some(1_024));
    program.signal("TERM");
    let (code, _, log) = program.end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("cannot be written") || log.contains("rows of calls are lost"), "{log}");
}

/// A11: after a failed copy or a full disk the accounts, groups and bans would be gone silently.
#[test]
fn a_data_folder_whose_database_is_gone_is_not_taken_for_a_new_one() {
    let home = home();
    let data = home.path().join("data");
    account(home.path(), "add MA0000000000000000EE");
    for is_empty in [true, false] {
        for name in ["conflow.db", "conflow.db-wal", "conflow.db-shm"] {
            drop(fs::remove_file(data.join(name)));
        }
        if is_empty {
            fs::write(data.join("conflow.db"), "").unwrap();
        }
        for arguments in
            ["serve --http 127.0.0.1:0 --sip off", "account list", "user list --account MA1"]
        {
            let (code, _, log) = run(command(home.path(), arguments));
            assert_eq!(code, Some(1), "{arguments}: {log}");
            let expected = "the data folder has an account-key and no database: restore conflow.db";
            assert!(log.contains(expected) && log.contains("--new-store"), "{arguments}: {log}");
        }
    }
    let key = fs::read(data.join("account-key")).unwrap();
    let program = Program::start(home.path(), "--new-store");
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    assert_eq!(fs::read(data.join("account-key")).unwrap(), key);
    assert_eq!(account(home.path(), "list"), "");
}

/// A new key would make all tokens invalid.
#[test]
fn accounts_without_their_key_are_not_given_another_one() {
    let home = home();
    let first = account(home.path(), "add MA1");
    fs::remove_file(home.path().join("data/account-key")).unwrap();
    for arguments in ["serve --http 127.0.0.1:0 --sip off", "account list"] {
        let (code, _, log) = run(command(home.path(), arguments));
        assert_eq!(code, Some(1), "{arguments}: {log}");
        assert!(log.contains("accounts and no account-key"), "{arguments}: {log}");
        assert!(log.contains("conflow account reset-key"), "{arguments}: {log}");
        assert!(!home.path().join("data/account-key").exists());
    }
    let printed = account(home.path(), "reset-key");
    let second = printed.strip_prefix("MA1 full ").unwrap();
    assert_ne!(first, second);
    let program = Program::start(home.path(), "");
    let list =
        |token: &str| program.ask_as("MA1", token, "GET", "/api/v1/Account/MA1/Conference/", "").0;
    assert_eq!((list(second), list(&first)), (200, 401));
    // The folder is in use: the engine would not take note of the key.
    let (code, _, log) = run(command(home.path(), "account reset-key"));
    assert!(code == Some(1) && log.contains("in use by another conflow"), "{log}");
}

/// G1: a backup by itself is enough to start again.
#[test]
fn a_backup_is_restored_with_the_key_and_into_an_empty_folder_only() {
    let home = home();
    let token = account(home.path(), "add MA1");
    let run = |arguments: &str, expected: Option<i32>| {
        let (code, out, log) = run(command(home.path(), arguments));
        assert_eq!(code, expected, "{arguments}: {out}{log}");
        out + &log
    };
    assert!(run("store backup b.db", Some(0)).contains("account-key"));
    assert!(run("store check b.db", Some(0)).contains("no errors"));
    run("store restore b.db --data fresh", Some(0));
    let mode = |path: &str| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(home.path().join(path)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(["b.db", "fresh/account-key", "fresh/conflow.db"].map(mode), [0o600; 3]);
    assert!(!contains(&home.path().join("fresh/conflow.db"), "account_key"));
    let program = Program::start(home.path(), "--data fresh");
    let list = "/api/v1/Account/MA1/Conference/";
    assert_eq!(program.ask_as("MA1", &token, "GET", list, "").0, 200);
    assert!(run("store restore b.db --data fresh", Some(1)).contains("in use"));
    drop(program);
    assert!(run("store restore b.db --data fresh", Some(1)).contains("is there already"));
    fs::write(home.path().join("bad.db"), "no database").unwrap();
    run("store restore bad.db --data other", Some(1));
    assert!(!home.path().join("other/conflow.db").exists());
    // Interrupted between its two files, it can be repeated; another key is not overwritten.
    for name in ["conflow.db", "conflow.db-wal", "conflow.db-shm"] {
        drop(fs::remove_file(home.path().join("fresh").join(name)));
    }
    let restore = run("store restore b.db --data fresh", Some(1));
    assert!(restore.contains("has a state log already"), "{restore}");
    fs::remove_dir_all(home.path().join("fresh/state")).unwrap();
    run("store restore b.db --data fresh", Some(0));
    fs::create_dir(home.path().join("third")).unwrap();
    fs::write(home.path().join("third/account-key"), [1; 32]).unwrap();
    assert!(run("store restore b.db --data third", Some(1)).contains("another one"));
}

fn contains(path: &Path, words: &str) -> bool {
    let bytes = fs::read(path).unwrap();
    bytes.windows(words.len()).any(|it| it == words.as_bytes())
}

/// Every message has its cause once (A6: "No space left on device" was there twice).
#[test]
fn an_error_names_its_cause_once() {
    let home = home();
    fs::write(home.path().join("file"), "").unwrap();
    for arguments in ["serve --http 127.0.0.1:0 --data file/data", "serve --config none.toml"] {
        let (code, _, log) = run(command(home.path(), arguments));
        assert_eq!((code, log.matches("(os error").count()), (Some(1), 1), "{arguments}: {log}");
    }
}
