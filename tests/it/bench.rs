//! `conflow bench`: its measurements, the engine it starts, and its clean-up. No test asserts a
//! time.

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use quick_xml::{Reader, events::Event};
use serde_json::Value;

use super::app::{ID, Program, command, home, run, token};

#[test]
fn a_small_bench_checks_and_reports_each_measurement() {
    let scenarios = "kick-one kick-list kick-all idle mute join media get list mixed fetch \
                     callbacks events parse start soak";
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
    check("ceiling, measured again", 1);
    // Kicks of the warm-up are not counted: all but one of each room.
    check("kick one, rooms of 10", 10);
    check("kick lists of 10, rooms of 100", 1);
    check("kick all of 10", 10);
    check("kick all of 100", 1);
    check("idle: fill 10 rooms of 10", 100);
    check("mute and unmute, rooms of 10", 1);
    check("join, rooms of 10", 100);
    check("join with sounds, rooms of 10", 100);
    check("join with sounds, a room of 100", 100);
    check("get while the room fills", 0);
    // On a busy machine a packet may be late with any number of calls.
    check("media: calls in rooms of 10", 0);
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
    let kick = rows.iter().find(|row| row["what"] == "kick one, rooms of 10").unwrap();
    assert!(kick["others_share"].is_number() && kick["ceiling_spread"].is_number(), "{kick:#}");
    assert_eq!(kick["targets"][0]["unit"], "of the ceiling", "{kick:#}");
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
fn child_processes_of_a_bench_end_with_it() {
    let check = |line: &str, child: &str, signal: &str| {
        let home = home();
        let mut command = command(home.path(), &format!("bench {line} --seconds 600"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut bench = command.spawn().unwrap();
        let started = wait(|| children(&bench).into_iter().find(|it| runs(*it, child)));
        end(&mut bench, signal);
        wait(|| (!runs(started, child)).then_some(()));
    };
    check("idle --members 10 --rooms 1", "bench-engine", "KILL");
    check("idle --members 10 --rooms 1", "bench-engine", "INT");
    check("mute", "bench-ceiling", "KILL");
    check("mute", "bench-ceiling", "TERM");
}

/// Sends `signal` and checks that the bench does not report success.
fn end(bench: &mut Child, signal: &str) {
    let kill = format!("kill -{signal} {}", bench.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert!(!bench.wait().unwrap().success(), "{signal}");
}

/// The live child processes of `parent`.
fn children(parent: &Child) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
    let is_child = |it: &u32| {
        let stat = fs::read_to_string(format!("/proc/{it}/stat")).unwrap_or_default();
        // After the name in brackets: the state and the parent's process id (proc(5)).
        let fields = stat.rsplit(')').next().unwrap_or_default();
        fields.split_whitespace().nth(1).is_some_and(|it| it == parent.id().to_string())
    };
    processes.filter(is_child).collect()
}

/// Whether the process lives and has this argument. A zombie has no arguments.
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

/// A conflow with one caller in a room. A thread reads its log, or the pipe would fill up.
fn engine(home: &Path) -> (Program, String) {
    let mut program = Program::start(home, "");
    let token = token(home);
    program.join(&token);
    let mut log = File::from(program.log.get_ref().as_fd().try_clone_to_owned().unwrap());
    thread::spawn(move || io::copy(&mut log, &mut io::sink()));
    (program, token)
}

/// The names of its rooms, and the number of calls.
fn state_of(program: &Program, token: &str) -> (Vec<Value>, usize) {
    let get = |what: &str| {
        let (status, body) = program.ask(token, "GET", &format!("/v1/Account/{ID}/{what}"), "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let rooms = get("Conference/")["conferences"].as_array().unwrap().clone();
    (rooms, get("Call/?status=live")["calls"].as_array().unwrap().len())
}

#[test]
fn an_engine_of_others_is_measured_and_left_as_it_was() {
    let home = home();
    let (program, token) = engine(home.path());
    let before = state_of(&program, &token);
    assert_eq!(before, (vec!["weekly".into()], 1));

    let scenarios = "kick-one kick-list kick-all mute join get list mixed callbacks events \
                     idle start fetch soak";
    let flags = "--members 100 --rooms 5 --connections 4 --seconds 1 --json";
    let line = format!("bench {scenarios} {flags} --url http://{}", program.http);
    let (code, printed, log) = run(command(home.path(), &line));
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains(&token), "{log}");
    let report: Value = serde_json::from_str(&printed).unwrap();
    let row = |what: &str| {
        let row = report["rows"].as_array().unwrap().iter().find(|row| row["what"] == what);
        row.unwrap_or_else(|| panic!("{what} is not in {report:#}"))
    };
    assert_eq!(row("kick one, rooms of 10")["cpu_micros"], Value::Null);
    assert_eq!(row("kick all of 100")["operations"], 1);
    assert_eq!(row("join, rooms of 10")["operations"], 100);
    assert_eq!(row("events: from the kick to the notice")["operations"], 100);
    assert_eq!(row("callbacks: from the kick to the notice")["operations"], 100);
    assert_eq!(row("get, a room of 100")["rooms_of"], 100);
    let left_out: Vec<_> = report["left_out"].as_array().unwrap().iter().collect();
    let left_out: Vec<_> = left_out.iter().map(|it| it["scenario"].as_str().unwrap()).collect();
    assert_eq!(left_out, ["idle", "start", "fetch", "soak"], "{report:#}");
    assert_eq!(report["engine"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(state_of(&program, &token), before);
}

#[test]
fn an_interrupted_bench_removes_the_calls_it_made() {
    let home = home();
    let (program, token) = engine(home.path());
    let before = state_of(&program, &token);
    let line = format!("bench kick-all --url http://{}", program.http);
    let mut command = command(home.path(), &line);
    let mut bench = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait(|| (4 <= state_of(&program, &token).0.len()).then_some(()));
    end(&mut bench, "INT");
    assert_eq!(state_of(&program, &token), before);
}

#[test]
fn an_engine_that_cannot_be_measured_is_distinguished_from_one_that_can() {
    let home = home();
    let program = Program::start(home.path(), "--sim=false");
    let check = |arguments: &str, token: Option<&str>, code: i32, expected: &str| {
        let mut command = command(home.path(), &format!("bench kick-one {arguments}"));
        token.map(|it| command.env("CONFLOW_AUTH_TOKEN", it));
        let (found, _, log) = run(command);
        assert_eq!(found, Some(code), "{arguments}: {log}");
        assert!(log.contains(expected), "{arguments}: {log}");
    };
    let url = format!("--url http://{}", program.http);
    check(&url, None, 0, "kick-one is left out, since the engine has no simulated phones");
    check(&url, Some("guess"), 1, "the engine denies access to this account");
    check(&format!("{url} --account MA1"), None, 1, "the engine denies access to this account");
    check(&format!("{url} --token-file nowhere"), None, 1, "cannot read nowhere");
    check("--url https://here", None, 1, "--url https://here: give the engine's own address");
}

#[test]
fn several_reports_are_merged_and_drawn_as_one() {
    let home = home();
    let line = "bench parse --seconds 1 --runs 2 --plot pictures/all";
    let (code, table, log) = run(command(home.path(), line));
    assert_eq!(code, Some(0), "{log}");
    assert!(table.contains("; medians of 2 runs\n"), "{table}");
    let (code, printed, log) = run(command(home.path(), &format!("{line} --json")));
    assert_eq!(code, Some(0), "{log}");
    let report: Value = serde_json::from_str(&printed).unwrap();
    let rates = |rows: &Value| {
        let rate = |it: &Value| it["per_second"].as_f64().unwrap().to_string();
        rows.as_array().unwrap().iter().map(rate).collect::<Vec<_>>()
    };
    let (runs, medians) = (report["runs"].as_array().unwrap(), rates(&report["rows"]));
    assert_eq!((runs.len(), medians.len()), (2, 3), "{report:#}");
    for (n, median) in medians.iter().enumerate() {
        assert!(runs.iter().any(|run| rates(run)[n] == *median), "{n}: {report:#}");
    }

    let svg = fs::read_to_string(home.path().join("pictures/all/parse-latency.svg")).unwrap();
    let (mut reader, mut depth) = (Reader::from_str(&svg), 0);
    loop {
        let event = reader.read_event().unwrap();
        depth += i32::from(matches!(event, Event::Start(_)));
        depth -= i32::from(matches!(event, Event::End(_)));
        if matches!(event, Event::Eof) {
            break;
        }
    }
    assert_eq!(depth, 0, "{svg}");
    assert!(svg.contains("parse a flow of 1 KB"), "{svg}");
}

#[test]
fn a_bar_is_drawn_on_a_terminal_and_nowhere_else() {
    let home = home();
    let line = "bench parse --seconds 1";
    let (code, _, log) = run(command(home.path(), line));
    assert_eq!((code, log.as_str()), (Some(0), "parse: a flow of 1 KB\n"));
    // script(1) gives it a terminal.
    let program = env!("CARGO_BIN_EXE_conflow");
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &format!("{program} {line}"), "/dev/null"]).current_dir(home.path());
    let (code, printed, _) = run(terminal);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("0 of 1") && printed.contains("parse: a flow"), "{printed:?}");
}
