//! Recovery seen from outside: what a start does with the calls of a process that was killed.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::Path,
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{
    ID, Program, command, home,
    restarts::{cdr, join},
    run, token,
};
use crate::phone::{OFFER, Phone, SDP, brief, header};

/// Longer than any reply takes, even on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A phone over UDP; it says and hears nothing.
struct Caller {
    socket: UdpSocket,
    /// Where its sound would be.
    _sound: UdpSocket,
    offer: String,
    phone: Phone,
}

impl Caller {
    fn new(sip: SocketAddr, to: &'static str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
        socket.connect(sip).unwrap();
        let address = socket.local_addr().unwrap();
        let mut phone = Phone::new(&format!("p{}", address.port()), &address.to_string());
        phone.to = to;
        let sound = UdpSocket::bind("127.0.0.1:0").unwrap();
        let offer = OFFER.replace("40000", &sound.local_addr().unwrap().port().to_string());
        Self { socket, _sound: sound, offer, phone }
    }

    fn send(&self, text: &str) {
        self.socket.send(text.as_bytes()).unwrap();
    }

    /// Sends the INVITE of a call.
    fn call(&mut self) {
        let headers = format!("{}{SDP}", self.phone.contact.clone());
        let invite = self.phone.request("INVITE", &headers, &self.offer.clone());
        self.send(&invite);
    }

    /// Waits for a message; others are passed over.
    fn wait_for(&self, expected: &str) -> String {
        loop {
            let mut buffer = [0; 8_192];
            let len = self.socket.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
            if brief(&text) == expected {
                return text;
            }
        }
    }

    /// Calls until the call is up.
    fn be_up(&mut self) {
        self.call();
        let ok = self.wait_for("200");
        self.phone.learn(&ok);
        let ack = self.phone.ack();
        self.send(&ack);
    }

    /// Answers a request of the engine.
    fn reply(&self, request: &str, code: u16) {
        let copy = |name: &str| {
            crate::phone::headers(request, name).map(|it| format!("{name}: {it}\r\n")).collect()
        };
        let copied: Vec<String> = ["Via", "From", "To", "Call-ID", "CSeq"].map(copy).to_vec();
        let contact = &self.phone.contact;
        let (head, offer) = (copied.concat(), &self.offer);
        let length = offer.len();
        self.send(&format!(
            "SIP/2.0 {code} x\r\n{head}{contact}{SDP}Content-Length: {length}\r\n\r\n{offer}"
        ));
    }
}

/// A program with SIP at this address, and the address that it has got.
fn start(home: &Path, sip: &str, arguments: &str) -> (Program, SocketAddr) {
    let serve = format!("serve --http 127.0.0.1:0 --sip {sip} {arguments}");
    let child = Program::of(command(home, &serve));
    let line = child.read.lines().find(|it| it.contains("SIP on ")).map(str::to_owned).unwrap();
    let address = line.split("SIP on ").nth(1).unwrap().split([',', ' ']).next().unwrap();
    let address = address.parse().unwrap();
    child.discard_log();
    (child, address)
}

/// Kills a program, and starts it again at the same address of SIP.
fn kill_and_start(home: &Path, program: Program, sip: SocketAddr, arguments: &str) -> Program {
    program.signal("KILL");
    program.end();
    start(home, &sip.to_string(), arguments).0
}

/// The members of the conference: their ids, and whether they are muted.
fn members(program: &Program, home: &Path) -> Vec<(String, bool)> {
    let path = format!("/api/v1/Account/{ID}/Conference/weekly/");
    let (status, body) = program.ask(&token(home), "GET", &path, "");
    if status == 404 {
        return Vec::new();
    }
    let room: Value = serde_json::from_str(&body).unwrap();
    let member =
        |it: &Value| (it["member_id"].as_str().unwrap().to_owned(), it["muted"].as_bool().unwrap());
    room["members"].as_array().unwrap().iter().map(member).collect()
}

#[test]
fn answered_calls_come_back_and_those_that_ring_are_refused() {
    let home = home();
    fs::write(home.path().join("flows/ring.xml"), "<Response><Wait length=\"60\"/></Response>")
        .unwrap();
    let (program, sip) = start(home.path(), "127.0.0.1:0", "--recovery-reinvites-per-second 1000");
    let mut callers: Vec<_> = (0..3).map(|_| Caller::new(sip, "weekly")).collect();
    callers.iter_mut().for_each(Caller::be_up);
    let mut ringing = Caller::new(sip, "ring");
    ringing.call();
    ringing.wait_for("180");
    let token = token(home.path());
    let mute = format!("/api/v1/Account/{ID}/Conference/weekly/Member/2/Mute/");
    assert_eq!(program.ask(&token, "POST", &mute, "{}").0, 200);
    let before = members(&program, home.path());
    assert_eq!(before.iter().map(|it| it.1).collect::<Vec<_>>(), [false, true, false]);

    // The rows of their sound are written a moment after it has begun.
    for _ in 0..200 {
        if count_rows(home.path(), "sound of calls") == 3 {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let mut program = program;
    for life in 1..=2 {
        program = kill_and_start(home.path(), program, sip, "");
        assert_eq!(members(&program, home.path()), before, "life {life}");
        for caller in &callers {
            let check = caller.wait_for("INVITE");
            assert_eq!(header(&check, "CSeq"), Some(&*format!("{life} INVITE")));
            caller.reply(&check, 200);
            caller.wait_for("ACK");
        }
    }
    let refused = ringing.wait_for("503");
    assert_eq!(header(&refused, "Retry-After"), Some("5"));
}

#[test]
fn without_a_restore_the_far_ends_are_told_that_their_calls_are_over() {
    let home = home();
    let (program, sip) = start(home.path(), "127.0.0.1:0", "");
    let mut callers: Vec<_> = (0..3).map(|_| Caller::new(sip, "weekly")).collect();
    callers.iter_mut().for_each(Caller::be_up);
    let program = kill_and_start(home.path(), program, sip, "--no-restore");
    assert_eq!(members(&program, home.path()), []);
    for caller in &callers {
        let bye = caller.wait_for("BYE");
        caller.reply(&bye, 200);
    }
    // What remains is of no use to the next start.
    let program = kill_and_start(home.path(), program, sip, "");
    assert_eq!(members(&program, home.path()), []);
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}

/// How many rows of a kind there are.
fn count_rows(home: &Path, kind: &str) -> u64 {
    let (code, report, log) = run(command(home, "store state --format json"));
    assert_eq!(code, Some(0), "{log}");
    let report: Value = serde_json::from_str(&report).unwrap();
    report["log"]["rows"][kind].as_u64().unwrap_or(0)
}

/// How many calls have rows that a start would restore.
fn restorable(home: &Path) -> u64 {
    count_rows(home, "calls that can be restored")
}

/// Whether a file of the state log has these words.
fn is_in_state_log(home: &Path, words: &str) -> bool {
    let files = fs::read_dir(home.join("data/state")).unwrap();
    files.map(|it| fs::read(it.unwrap().path()).unwrap()).any(|bytes| {
        let words = words.as_bytes();
        bytes.windows(words.len()).any(|it| it == words)
    })
}

const FLOW: &str =
    "<Response><Conference>weekly</Conference><Speak>violet-giraffe</Speak></Response>";

#[test]
fn rows_of_calls_are_sealed_and_with_another_key_the_calls_end_and_the_rest_starts() {
    let home = home();
    fs::write(home.path().join("flows/default.xml"), FLOW).unwrap();
    let arguments = "--sip off --recovery-simulated";
    let mut program = Program::start(home.path(), arguments);
    let token = token(home.path());
    let call = join(&mut program, &token);
    program.signal("KILL");
    program.end();
    assert_eq!(restorable(home.path()), 1);
    assert!(!is_in_state_log(home.path(), "violet-giraffe"), "the document is in the log");

    let key = home.path().join("data/account-key");
    fs::write(&key, [7; 32]).unwrap();
    let mut program = Program::start(home.path(), arguments);
    assert_eq!(program.ask(&token, "GET", "/readyz", "").0, 200);
    assert_eq!(cdr(&program, &token, &call)["hangup_cause_code"], 5010);
    join(&mut program, &token);
    program.signal("KILL");
    let (_, _, log) = program.end();
    assert!(log.contains("sealed with another account-key"), "{log}");

    // With its key, it ends as well: phones that are simulated end with their process.
    let mut program = Program::start(home.path(), arguments);
    assert_eq!(restorable(home.path()), 0);
    program.signal("TERM");
    program.wait_for("conflow has ended");
    let (_, _, log) = program.end();
    assert!(!log.contains("another account-key"), "{log}");
    assert!(log.contains("the last process has left calls that have ended"), "{log}");
}

#[test]
fn simulated_phones_have_rows_only_if_they_are_asked_for() {
    for (arguments, rows) in [("--sip off", 0), ("--sip off --recovery-simulated", 2)] {
        let home = home();
        let mut program = Program::start(home.path(), arguments);
        let token = token(home.path());
        join(&mut program, &token);
        join(&mut program, &token);
        program.signal("KILL");
        program.end();
        assert_eq!(restorable(home.path()), rows, "{arguments}");
    }
}
