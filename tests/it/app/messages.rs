//! Messages: what the program tells its operators and clients when something fails.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    thread,
    time::Duration,
};

use super::*;

/// A web server that answers everything with 500; its address.
fn failing_receiver() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 8_192];
            drop(stream.read(&mut request));
            let answer = "HTTP/1.1 500 x\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndown";
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    address
}

fn metric(program: &Program, token: &str, name: &str) -> u64 {
    let page = program.ask(token, "GET", "/metrics", "").1;
    let line = page.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

/// The fault of issue 14, E3: two tries of a callback were answered with 500, and no line of the log
/// above DEBUG said so. Right: WARN at the first failure of a URL, and when a callback is given up.
#[test]
fn a_callback_that_fails_is_a_warning_at_first_and_when_it_is_given_up() {
    let home = home();
    let url = format!("http://{}/cb", failing_receiver());
    let flow =
        format!("<Response><Conference callbackUrl=\"{url}#rc=1\">weekly</Conference></Response>");
    fs::write(home.path().join("flows/default.xml"), flow).unwrap();
    let mut program = Program::start(home.path(), "");
    let token = token(home.path());
    program.join(&token);
    let check = |line: &str, attempt: &str| {
        for part in [" WARN ", &url, "status=500", attempt] {
            assert!(line.contains(part), "{part:?} is not in {line}");
        }
    };
    let first = program.wait_for("a callback has failed and is tried again");
    check(&first, "attempt=1");
    assert!(first.contains("next_try_seconds="), "{first}");
    check(&program.wait_for("a callback is given up"), "attempts=2");
    assert_eq!(metric(&program, &token, "conflow_callbacks_failed_total"), 2);
    let dropped = "conflow_callbacks_dropped_total{why=\"exhausted\"}";
    assert_eq!(metric(&program, &token, dropped), 1);
}

/// The fault of issue 14, E6: "Call fired" for a call that no phone could ever get; it waited in the
/// queue, and a drain waited for it.
#[test]
fn a_call_to_a_simulated_phone_is_refused_at_once_if_there_are_none() {
    let home = home();
    let program = Program::start(home.path(), "--sim=false --sip 127.0.0.1:0");
    let token = token(home.path());
    let calls = format!("/api/v1/Account/{ID}/Call/");
    let call = r#"{"from":"1","to":"sim:a","answer_url":"flow:default"}"#;
    let (status, body) = program.ask(&token, "POST", &calls, call);
    assert!(status == 400 && body.contains("simulated phones are off (sim.on)"), "{status} {body}");
    let (_, queued) = program.ask(&token, "GET", &format!("{calls}?status=queued"), "");
    let queued: Value = serde_json::from_str(&queued).unwrap();
    assert_eq!(queued["calls"].as_array().map(Vec::len), Some(0), "{queued}");
}

/// The kernel drops datagrams while nobody reads them: `conflow_sip_dropped_total` cannot know.
#[test]
fn datagrams_that_the_kernel_drops_are_in_the_metrics() {
    let home = home();
    let program = Program::start(home.path(), "--sip 127.0.0.1:0");
    let token = token(home.path());
    let sip = program.read.lines().find_map(|it| it.split_once("SIP on ")).unwrap().1;
    let sip: SocketAddr = sip.split(',').next().unwrap().parse().unwrap();
    let name = "conflow_udp_kernel_dropped_total{socket=\"sip\"}";
    assert_eq!(metric(&program, &token, name), 0);
    program.signal("STOP");
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    // The buffer has 4 MiB, of which the kernel may grant twice as much.
    for _ in 0..20_000 {
        drop(sender.send_to(&[b'\r'; 1_000], sip));
    }
    program.signal("CONT");
    assert!(0 < metric(&program, &token, name));
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}
