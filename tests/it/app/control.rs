//! Commands that list conferences and calls of a running engine, and act on them.

use serde_json::Value;

use super::{command, home, restarts::with_a_call, run};

#[test]
fn rooms_and_members_are_listed_and_acted_on() {
    let home = home();
    let (program, token, call) = with_a_call(home.path());
    let server = format!("--url http://{}", program.http);
    let print = |line: &str| {
        let (code, out, log) = run(command(home.path(), &format!("{line} {server}")));
        assert_eq!(code, Some(0), "{line}: {out}{log}");
        out
    };
    let rooms = print("rooms");
    let lines: Vec<_> = rooms.lines().collect();
    assert_eq!(lines.len(), 2, "{rooms}");
    assert!(lines[0].starts_with("CONFERENCE  MEMBERS  SECONDS"), "{rooms}");
    assert!(lines[1].starts_with("weekly      1        "), "{rooms}");
    let room: Value = serde_json::from_str(&print("rooms --json")).unwrap();
    assert_eq!(room["conference_name"], "weekly");
    let members = print("members weekly");
    assert!(members.contains("\n1 ") && members.contains(&call), "{members}");
    let calls = print("calls");
    assert!(calls.contains(&call) && calls.contains(" inbound "), "{calls}");

    let is = |name: &str| {
        let member: Value = serde_json::from_str(&print("members weekly --json")).unwrap();
        member[name] == true
    };
    for (name, command) in [("muted", "mute"), ("deaf", "deaf")] {
        let set = print(&format!("{command} weekly 1"));
        assert!(set.contains(": 1") && is(name), "{set}");
        let unset = print(&format!("{command} weekly all --off"));
        assert!(unset.contains("no longer") && !is(name), "{unset}");
    }
    assert_eq!(print("hold weekly 1"), "on hold: 1\n");
    assert_eq!(print("hold weekly 1 --off"), "no longer on hold: 1\n");
    assert!(print("say weekly all hello").contains("speak"), "it says what was done");
    let dry = print("kick weekly 1 --dry-run");
    assert_eq!(dry, "member 1: kicked, then Wait at 1:42\n");
    assert!(print("rooms").contains("weekly"), "nobody was kicked");
    assert_eq!(print("kick weekly 1 --reason late"), "kicked: 1\n");
    assert_eq!(print("rooms").lines().count(), 1, "the conference has ended");
    let (status, trace) =
        program.ask(&token, "GET", &format!("/v1/Account/{}/Call/{call}/Trace/", super::ID), "");
    assert!(status == 200 && trace.contains("\"late\""), "{trace}");
    assert_eq!(print(&format!("hangup {call}")), format!("hung up: {call}\n"));
    let fired = print("call sim:anna --from 14155550100 --answer-url flow:default");
    assert!(fired.starts_with("Call fired: "), "{fired}");
}

#[test]
fn what_cannot_be_done_is_said() {
    let home = home();
    let (program, _, call) = with_a_call(home.path());
    let server = format!("--url http://{}", program.http);
    let fails = |line: &str, expected: &str| {
        let (code, out, log) = run(command(home.path(), &format!("{line} {server}")));
        assert!(code == Some(1) && log.contains(expected), "{line}: {out}{log}");
    };
    fails("members none", "conference not found");
    fails("kick weekly 9", "member not found");
    fails("kick weekly 1 --then nowhere", "nowhere");
    fails(&format!("hangup {}", call.replace(|c: char| c.is_ascii_digit(), "0")), "call not found");
    fails("rooms --account MA2", "--token-file");
    let (code, script, _) = run(command(home.path(), "completions bash"));
    assert!(code == Some(0) && script.contains("--dry-run"), "{script}");
}
