//! `conflow bench`: that it measures, what it measures it with, and what it leaves behind. Nothing
//! here asserts a time.

use std::{
    fs,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{command, home};

#[test]
fn a_small_bench_checks_what_it_does_and_says_what_it_took() {
    let scenarios = "kick-one kick-list kick-all idle mute join get list mixed fetch callbacks \
                     events parse start soak";
    let flags = "--json --members 100 --rooms 10 --connections 4 --seconds 1";
    let (home, line) = (home(), format!("bench {scenarios} {flags}"));
    let done = command(home.path(), &line).output().unwrap();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{errors}");
    assert!(errors.contains("kick-one: 10 rooms of 10"), "{errors}");

    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let check = |what: &str, operations: u64| {
        let row = rows.iter().find(|row| row["what"] == what);
        let row = row.unwrap_or_else(|| panic!("{what} is not in {report:#}"));
        assert!(operations <= row["operations"].as_u64().unwrap(), "{row:#}");
    };
    check("ceiling: bare axum JSON POST", 1);
    // But for those that were looked at before the clock ran: all but one of each room.
    check("kick one, rooms of 10", 10);
    check("kick lists of 10, rooms of 100", 1);
    check("kick all of 10", 10);
    check("kick all of 100", 1);
    check("idle: fill 10 rooms of 10", 100);
    check("mute and unmute, rooms of 10", 1);
    check("join, rooms of 10", 100);
    check("get, a room of 100", 1);
    check("list of 10 rooms", 1);
    check("join, kick, mute, get; rooms of 100", 1);
    check("ceiling: bare GET of a flow of 1 KB", 1);
    check("fetch a flow, until its first element", 1);
    check("callbacks: phones come in", 100);
    check("callbacks: from the kick to the notice", 100);
    check("callbacks: from the event to the notice", 100);
    check("events: phones come in", 100);
    check("events: from the kick to the notice", 100);
    check("events: from the event to the notice", 100);
    check("soak: 10 rooms of 10", 1);
    check("parse a flow of 1 KB", 1);
    check("start", 10);
    assert_eq!(report["machine"]["conflow"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_bench_that_cannot_be_is_refused_before_anything_starts() {
    let home = home();
    for line in ["bench kick", "bench --connections 0", "bench --rate 0"] {
        let done = command(home.path(), line).output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{line}");
        assert!(done.stdout.is_empty(), "{line}");
    }
}

#[test]
fn what_a_bench_has_started_ends_with_it_however_it_ends() {
    let check = |line: &str, child: &str, signal: &str| {
        let home = home();
        let mut command = command(home.path(), &format!("bench {line} --seconds 600"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut bench = command.spawn().unwrap();
        let started = wait(|| children(&bench).into_iter().find(|it| runs(*it, child)));
        let signalled = std::process::Command::new("kill")
            .args([format!("-{signal}"), bench.id().to_string()])
            .status();
        assert!(signalled.unwrap().success(), "{line}");
        assert!(!bench.wait().unwrap().success(), "{line}");
        wait(|| (!runs(started, child)).then_some(()));
    };
    check("idle --members 10 --rooms 1", "bench-engine", "KILL");
    check("idle --members 10 --rooms 1", "bench-engine", "INT");
    check("mute", "bench-ceiling", "KILL");
    check("mute", "bench-ceiling", "TERM");
}

/// The processes that it has started, and that are there still.
fn children(parent: &Child) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
    let is_child = |it: &u32| {
        let stat = fs::read_to_string(format!("/proc/{it}/stat")).unwrap_or_default();
        // Behind the name, in brackets: its state, and whose child it is (proc(5)).
        let fields = stat.rsplit(')').next().unwrap_or_default();
        fields.split_whitespace().nth(1).is_some_and(|it| it == parent.id().to_string())
    };
    processes.filter(is_child).collect()
}

/// Whether a process is there and has this argument; one that has ended has none.
fn runs(process: u32, argument: &str) -> bool {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split(|it| *it == 0).any(|it| it == argument.as_bytes())
}

fn wait<T>(mut seen: impl FnMut() -> Option<T>) -> T {
    for _ in 0..3_000 {
        if let Some(seen) = seen() {
            return seen;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("not within a minute");
}
