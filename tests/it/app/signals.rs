//! Signals and limits of the process: reload, signals that do no harm, file descriptors.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::app::{FLOW, Program, home};

const ID: &str = "MA00000000000000000A";
const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

fn configure(home: &Path, text: &str) {
    let account = format!("[[account]]\nid = \"{ID}\"\ntokens = [\"{TOKEN}\"]\n");
    fs::write(home.join("conflow.toml"), format!("{text}\n{account}")).unwrap();
}

fn configured(text: &str) -> (tempfile::TempDir, Program) {
    let home = home();
    fs::create_dir(home.path().join("flows").join(ID)).unwrap();
    fs::write(home.path().join("flows").join(ID).join("room.xml"), FLOW).unwrap();
    configure(home.path(), text);
    let program = Program::start(home.path(), "");
    (home, program)
}

fn dial(program: &Program, to: &str) -> (u16, String) {
    let path = format!("/sim/v1/Account/{ID}/Phone/");
    program.ask_as(ID, TOKEN, "POST", &path, &format!("{{\"to\":\"{to}\"}}"))
}

/// A12: SIGHUP ended the process and all calls.
#[test]
fn a_hangup_reloads_what_can_be_reloaded_and_ends_no_call() {
    const SIM: &str = "sim.on = true\nsip.bind = \"off\"";
    let (home, mut program) = configured(SIM);
    assert_eq!(dial(&program, "room").0, 201);
    program.wait_for("entered");
    assert_eq!(dial(&program, "15550001").0, 404);

    let number = format!("[[number]]\ncalled = \"15550001\"\naccount = \"{ID}\"\nflow = \"room\"");
    let text = format!("{SIM}\nhttp = \"127.0.0.1:1\"\ncalls_max = 2\n{number}");
    configure(home.path(), &text);
    program.signal("HUP");
    let line = program.wait_for("is reloaded");
    assert!(line.contains("changed: calls_max, number"), "{line}");
    // --http is a flag here, which stands above the file: nothing has changed.
    assert_eq!(dial(&program, "15550001").0, 201);
    program.wait_for("entered");
    let calls = format!("/api/v1/Account/{ID}/Call/");
    let call = r#"{"from":"1","to":"sim:x","answer_url":"flow:room"}"#;
    let (status, body) = program.ask_as(ID, TOKEN, "POST", &calls, call);
    assert!(status == 429 && body.contains("calls_max"), "{status} {body}");

    // An error changes nothing, not even what is right.
    configure(home.path(), &format!("{SIM}\ncalls_max = -1"));
    program.signal("HUP");
    let line = program.wait_for("the settings are unchanged");
    assert!(line.contains("ERROR") && line.contains("calls_max"), "{line}");
    assert_eq!(dial(&program, "15550001").0, 201, "the number is still there");
    program.wait_for("entered");

    configure(home.path(), &format!("{SIM}\nflows = \"elsewhere\"\ndrain = 1"));
    program.signal("HUP");
    let line = program.wait_for("is reloaded");
    assert!(line.contains("changed: calls_max, number"), "{line}");
    let line = program.wait_for("need a restart");
    assert!(line.contains("WARN") && line.contains("drain, flows"), "{line}");
    assert_eq!(dial(&program, "15550001").0, 404);
    let room = format!("/api/v1/Account/{ID}/Conference/weekly/");
    let (_, body) = program.ask_as(ID, TOKEN, "GET", &room, "");
    let room: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(room["members"].as_array().unwrap().len(), 3, "{room}");

    // Another token takes the place of the first one.
    let other = TOKEN.replace('0', "f");
    let account = format!("{SIM}\n[[account]]\nid = \"{ID}\"\ntokens = [\"{other}\"]\n");
    fs::write(home.path().join("conflow.toml"), account).unwrap();
    program.signal("HUP");
    program.wait_for("changed: account");
    let list = |token: &str| program.ask_as(ID, token, "GET", &calls, "").0;
    assert_eq!((list(TOKEN), list(&other)), (401, 200));

    // The log's level, too.
    configure(home.path(), &format!("{SIM}\n[log]\nlevel = \"error\""));
    program.signal("HUP");
    thread::sleep(Duration::from_millis(500));
    program.signal("TERM");
    let (code, _, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("SIGTERM: no new calls"), "{log}");
}

#[test]
fn other_signals_do_no_harm() {
    let home = home();
    let mut program = Program::start(home.path(), "");
    for name in ["PIPE", "USR1", "USR2", "XFSZ", "ALRM"] {
        program.signal(name);
    }
    // Without a file there is nothing to reload.
    program.signal("HUP");
    program.wait_for("there is no configuration file to reload");
    assert_eq!(program.ask("", "GET", "/healthz", "").0, 200);
    program.signal("INT");
    let (code, _, log) = program.end();
    assert!(code == Some(0) && log.contains("SIGINT: no new calls"), "{log}");
}

/// A7: with 64 descriptors and 70 idle connections, a flow that is there was "not found".
#[test]
fn connections_leave_descriptors_for_flows_and_calls() {
    let home = home();
    fs::write(home.path().join("flows/other.xml"), FLOW).unwrap();
    let mut program = Program::start_limited(home.path(), 64);
    program.wait_for("only 64 files may be open");
    let token = crate::app::token(home.path());
    let mut kept = TcpStream::connect(program.http).unwrap();
    let mut ask = |method: &str, path: &str, body: &str| {
        let length = body.len();
        write!(
            kept,
            "{method} {path} HTTP/1.1\r\nHost: here\r\nX-Auth-ID: {id}\r\nX-Auth-Token: {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}",
            id = crate::app::ID
        )
        .unwrap();
        let mut answer = [0; 4_096];
        let read = kept.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    };
    assert!(ask("GET", "/healthz", "").starts_with("HTTP/1.1 200"));
    let idle: Vec<_> = (0..70).map(|_| TcpStream::connect(program.http).unwrap()).collect();
    let line = program.wait_for("an HTTP connection is refused");
    assert!(line.contains("ERROR") && line.contains("limit=64"), "{line}");
    let phones = format!("/sim/v1/Account/{}/Phone/", crate::app::ID);
    let answer = ask("POST", &phones, "{\"to\":\"other\"}");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");

    // Without any descriptor left, a flow that was not read yet is not "not found" either.
    fs::write(home.path().join("flows/third.xml"), FLOW).unwrap();
    let pid = Pid::from_raw(program.pid().try_into().unwrap());
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(1), maximum: Some(64) }).unwrap();
    let answer = ask("POST", &phones, "{\"to\":\"third\"}");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("etry-after"), "{answer}");
    assert!(answer.contains("Too many open files"), "{answer}");
    drop(idle);
}
