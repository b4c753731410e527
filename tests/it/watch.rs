//! `conflow watch --once`: one screen about a running server.

use std::{fs, path::Path};

use crate::app::*;

const READER: &str = "MAREADER000000000000";

/// Returns the exit code, stdout and stderr.
fn watch(program: &Program, home: &Path, arguments: &str) -> (Option<i32>, String, String) {
    run(command(home, &format!("watch --once --url http://{} {arguments}", program.http)))
}

#[test]
fn the_screen_shows_who_is_in_which_room_and_what_they_hear() {
    let home = home();
    // Without beeps, members hear the room at once.
    let flow = FLOW.replace("<Conference>", "<Conference enterSound=\"\" exitSound=\"\">");
    fs::write(home.path().join("flows/default.xml"), flow).unwrap();
    let mut program = Program::start(home.path(), "");
    let (code, printed, log) = watch(&program, home.path(), "");
    assert_eq!((code, log.as_str()), (Some(0), ""));
    assert!(printed.contains("0 rooms") && printed.contains("nobody is in a room"), "{printed}");

    let token = token(home.path());
    assert_eq!([(); 3].map(|()| program.join(&token)), [1, 2, 3]);
    let member = format!("/v1/Account/{ID}/Conference/weekly/Member");
    assert_eq!(program.ask(&token, "POST", &format!("{member}/2/Mute/"), "").0, 202);
    assert_eq!(program.ask(&token, "POST", &format!("{member}/1/Kick/"), "").0, 202);
    let (code, printed, log) = watch(&program, home.path(), "--room weekly");
    assert_eq!((code, log.as_str()), (Some(0), ""));
    let rows = |words: &[&str]| {
        printed.lines().filter(|row| words.iter().all(|it| row.contains(it))).count()
    };
    assert_eq!(rows(&["> weekly", " 2 "]), 1, "{printed}");
    assert_eq!(rows(&["  2 1555", "muted", "the room"]), 1, "{printed}");
    assert_eq!(rows(&["  3 1555", "the room"]), 1, "{printed}");
    assert_eq!(rows(&[" s  the room weekly"]), 1, "the timeline of the first: {printed}");
    assert!(!printed.contains(&token) && !printed.contains('\u{1b}'), "{printed}");
}

#[test]
fn a_read_only_token_is_enough_and_a_wrong_one_is_not() {
    let home = home();
    account(home.path(), &format!("add {READER}"));
    let token = account(home.path(), &format!("add {READER} --read-only"));
    let program = Program::start(home.path(), "");
    let as_reader = |token: &str| {
        let arguments = format!("watch --once --url http://{} --account {READER}", program.http);
        let mut command = command(home.path(), &arguments);
        command.env("CONFLOW_AUTH_TOKEN", token);
        run(command)
    };
    let (code, printed, log) = as_reader(&token);
    assert_eq!((code, log.as_str()), (Some(0), ""));
    assert!(printed.starts_with(&format!("conflow  {READER} at http://127.0.0.1:")), "{printed}");
    let (code, printed, log) = as_reader("guess");
    assert_eq!((code, printed.as_str()), (Some(1), ""));
    assert!(log.contains("denies access to this account") && !log.contains("guess"), "{log}");
}

#[test]
fn missing_arguments_are_reported() {
    let home = home();
    let check = |arguments: &str, expected: &str| {
        let (code, printed, log) = run(command(home.path(), &format!("watch {arguments}")));
        assert_eq!((code, printed.as_str()), (Some(1), ""), "{arguments}: {log}");
        assert!(log.contains(expected), "{arguments}: {log}");
    };
    check("--once", "cannot read data/dev-token");
    fs::create_dir(home.path().join("data")).unwrap();
    fs::write(home.path().join("data/dev-token"), "none\n").unwrap();
    check("", "use --once to print one screen");
    check("--once --url ftp://here", "--url ftp://here: give one such as http://127.0.0.1:8080");
    // Nothing listens at this address.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    check(&format!("--once --url http://{address}"), "does not take a connection");
}
