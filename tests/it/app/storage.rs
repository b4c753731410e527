//! Storage that fails or is not there, seen from outside: nothing is acknowledged and then lost.

use std::{fs, path::Path, thread, time::Duration};

use conflow::cli::login::DEVELOPMENT_ACCOUNT as ID;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::app::{Program, account, command, home, run, token};

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
    dial(&program, "x");
    program.wait_for("entered");
    program.wait_for("entered");
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
    // Calls are served meanwhile.
    let short = dial(&program, "short");
    dial(&program, "x");
    program.wait_for("entered");

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
    wait_for_status(&program, &token, &format!("{calls}{short}/"), 200);
    assert_eq!(ask(&program, "POST", &calls, key, call), fired);
    assert!(ask(&program, "GET", &format!("{room}Ban/"), "", "").1.contains("user:anna"));
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
