//! Privacy: what must not be kept is in nothing that the engine writes or shows.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{ID, Program, command, home, restarts::cdr, token};

/// What callers type while `log="false"`: each must arrive, and be nowhere else.
const TYPED: [&str; 4] = ["908172635445", "817263544590", "726354459081", "635445908172"];
/// What an element with `log="false"` says.
const SPOKEN: &str = "violet-giraffe";
/// The value of a query parameter that `log.hide` names.
const TOKEN: &str = "crimson-falcon";

/// The same in the URL of a callback, which the state log needs to send it.
const CALLBACK_TOKEN: &str = "amber-otter";

/// An application that repeats what it was sent wherever it can: in a document, in an error, and in
/// a document that is invalid. Its requests come by the channel.
fn application() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let start = head.len();
                reader.read_line(&mut head).unwrap();
                let line = head[start..].to_ascii_lowercase();
                let value = line.strip_prefix("content-length: ");
                length = value.map_or(length, |it| it.trim().parse().unwrap());
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let request = head + &String::from_utf8(body).unwrap();
            let typed =
                request.split(['&', '?', ' ', '\n']).find_map(|it| it.strip_prefix("Digits="));
            let typed = typed.unwrap_or("none");
            let (status, answer) = match request.split(['/', '?']).nth(1).unwrap() {
                "repeats" => (
                    200,
                    format!(
                        "<Response><Speak>You typed {typed}, in short ${{digits:-nothing}}</Speak>\
                         <Wait length=\"0\" d{typed}=\"x\"/><GetInput log=\"false\" inputType=\"dtmf\" \
                         numDigits=\"12\" action=\"http://{address}/fails?token={TOKEN}\" \
                         method=\"GET\"/></Response>"
                    ),
                ),
                "joins" => (
                    200,
                    format!(
                        "<Response><Conference callbackUrl=\"http://{address}/told?token=\
                         {CALLBACK_TOKEN}\">vault</Conference></Response>"
                    ),
                ),
                "told" => (200, String::new()),
                "fails" => (500, format!("<p>{typed} is wrong</p>")),
                "invalid" => (200, format!("<Response><D{typed}/></Response>")),
                other => panic!("{other}"),
            };
            sender.send(request).unwrap();
            let length = answer.len();
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n");
            let head = format!("{head}Content-Type: text/xml\r\nConnection: close\r\n\r\n");
            stream.write_all((head + &answer).as_bytes()).unwrap();
        }
    });
    (address, requests)
}

/// A phone calls the flow `pin`, and types when the flow asks.
fn call_and_type(program: &mut Program, token: &str, to: &str, typed: &[&str]) -> String {
    let phones = format!("/sim/v1/Account/{ID}/Phone/");
    let (status, body) = program.ask(token, "POST", &phones, &format!("{{\"to\":\"{to}\"}}"));
    assert_eq!(status, 201, "{body}");
    let phone: Value = serde_json::from_str(&body).unwrap();
    let call = phone["call_uuid"].as_str().unwrap().to_owned();
    for keys in typed {
        while !program.wait_for("an element begins").contains("Get") {}
        let path = format!("{phones}{call}/Press/");
        let (status, body) =
            program.ask(token, "POST", &path, &format!("{{\"digits\":\"{keys}\"}}"));
        assert_eq!(status, 202, "{body}");
    }
    call
}

/// The events of the account, until so many calls have ended.
fn hang_ups(program: &Program, token: &str, mut count: usize) -> String {
    let mut stream = TcpStream::connect(program.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!("Host: here\r\nX-Auth-ID: {ID}\r\nX-Auth-Token: {token}\r\n");
    write!(stream, "GET /api/v1/Account/{ID}/Events/?after=0 HTTP/1.1\r\n{head}\r\n").unwrap();
    let mut text = String::new();
    for line in BufReader::new(stream).lines().map(Result::unwrap) {
        text += &line;
        let is_end = line.starts_with("data: ") && line.contains("\"Hangup\"");
        count -= usize::from(is_end);
        if count == 0 {
            break;
        }
    }
    text
}

/// What `conflow` prints with these arguments, of a running engine.
fn printed(home: &Path, program: &Program, token: &str, arguments: &str) -> String {
    let mut command = command(home, &format!("{arguments} --url http://{}", program.http));
    command.env("CONFLOW_AUTH_TOKEN", token);
    let (code, printed, log) = super::run(command);
    assert_eq!(code, Some(0), "{arguments}: {log}");
    printed
}

/// Every file of a folder that has these words.
fn files_with(folder: &Path, words: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, words));
        } else if fs::read(&path).unwrap().windows(words.len()).any(|it| it == words.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// What the API and the commands print of these calls.
fn told_of(home: &Path, program: &Program, token: &str, calls: &[String]) -> String {
    let mut shown = String::new();
    for call in calls {
        shown += &cdr(program, token, call).to_string();
        let path = format!("/api/v1/Account/{ID}/Call/{call}/Trace/");
        let (status, trace) = program.ask(token, "GET", &path, "");
        assert!(status == 200 && trace.contains("\"GetDigits\""), "{trace}");
        shown += &(trace + &printed(home, program, token, &format!("trace {call}")));
    }
    shown += &program.ask(token, "GET", "/metrics", "").1;
    let deliveries = program.ask(token, "GET", &format!("/api/v1/Account/{ID}/Delivery/"), "").1;
    assert!(deliveries.contains("/told?token=***"), "{deliveries}");
    shown += &deliveries;
    for (arguments, expected) in [
        ("callbacks", "/told?token=***"),
        ("events", "ConferenceExit"),
        ("events --format json", "ConferenceExit"),
    ] {
        let printed = printed(home, program, token, arguments);
        assert!(printed.contains(expected), "{arguments}: {printed}");
        shown += &printed;
    }
    let stored = program.ask(token, "GET", &format!("/api/v1/Account/{ID}/Call/"), "").1;
    shown += &stored;
    shown
}

/// Waits for the traces: those of calls that have ended are written some hundred milliseconds later.
fn await_traces(home: &Path) {
    let traces = home.join("data/traces");
    let has = |words| !files_with(&traces, words).is_empty();
    let is_written = (0..1_000).any(|_| {
        thread::sleep(Duration::from_millis(10));
        has("hides why") && has("Conference")
    });
    assert!(is_written, "traces are on the disk");
}

/// Checks that no secret is in the log, in what was shown, or in a file of the data folder.
fn find_none(home: &Path, log: &str, shown: &str) {
    let data = home.join("data");
    assert!(!files_with(&data.join("state"), "vault").is_empty(), "there are events");
    for secret in TYPED.into_iter().chain([SPOKEN, TOKEN, CALLBACK_TOKEN]) {
        for (name, text) in [("log", log), ("API", shown)] {
            let at = text.find(secret).unwrap_or(text.len());
            let around = text.get(at.saturating_sub(300)..at + 20).unwrap_or_default();
            assert!(!text.contains(secret), "{secret} is in the {name}: {around}");
        }
        let mut files = files_with(&data, secret);
        if secret == CALLBACK_TOKEN {
            files.retain(|it| !it.ends_with(".log") || !it.contains("/state/"));
        }
        assert_eq!(files, [""; 0], "{secret}");
    }
}

/// Issue 15, point 6. `docs/privacy.md` says what is where.
#[test]
fn what_a_caller_types_in_private_is_kept_nowhere() {
    let home = home();
    let (address, requests) = application();
    for (name, path) in [("pin", "repeats"), ("other", "invalid"), ("room", "joins")] {
        let flow = format!(
            "<Response><GetDigits log=\"false\" numDigits=\"12\" timeout=\"30\" \
             action=\"http://{address}/{path}?token={TOKEN}\"><Speak>{SPOKEN}</Speak></GetDigits>\
             </Response>"
        );
        fs::write(home.path().join(format!("flows/{name}.xml")), flow).unwrap();
    }
    let mut program = Program::start(home.path(), "--log-level trace --sip off");
    let token = token(home.path());
    let calls = [
        call_and_type(&mut program, &token, "pin", &TYPED[..2]),
        call_and_type(&mut program, &token, "other", &TYPED[2..3]),
        call_and_type(&mut program, &token, "room", &TYPED[3..]),
    ];
    program.wait_for("entered");
    // The screen of a simulated phone shows what it hears.
    let watched = printed(home.path(), &program, &token, "watch --once --room vault");
    assert!(watched.contains("vault") && watched.contains("room"), "{watched}");
    let mut shown = watched.replace(SPOKEN, "what the phone heard");
    let in_room = format!("/api/v1/Account/{ID}/Call/{}/", calls[2]);
    assert_eq!(program.ask(&token, "DELETE", &in_room, "").0, 204);
    shown += &hang_ups(&program, &token, calls.len());
    // Of its entry and of its exit.
    let told = |it: &[String]| it.iter().filter(|it| it.starts_with("POST /told?")).count();
    let (received, mut requests) = (requests, Vec::new());
    while told(&requests) < 2 {
        requests.push(received.recv_timeout(Duration::from_secs(30)).unwrap());
    }
    for typed in TYPED {
        let typed = format!("Digits={typed}");
        assert!(requests.iter().any(|it| it.contains(&typed)), "it must arrive: {requests:?}");
    }

    shown += &told_of(home.path(), &program, &token, &calls);
    await_traces(home.path());
    program.signal("KILL");
    let (_, _, log) = program.end();
    assert!(log.contains("token=***") && log.contains("/fails"), "{log}");
    assert!(shown.contains("log=\\\"false\\\" hides why"), "the author learns that much: {shown}");
    find_none(home.path(), &log, &shown);
}
