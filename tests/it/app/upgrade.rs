//! Upgrades of a running program: its callers hear on, and nobody notices but for a moment without sound.
//!
//! `LEGS=200 cargo test --release --test it upgrade -- --nocapture` prints the longest gap of 200 legs.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use conflow::rtp::packet::{Packet, RtpStream};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::{TempDir, tempdir_in};

use super::{FLOW, ID, Program, command, run, token};
use crate::phone::{OFFER, Phone, SDP, body, brief};

/// Longest wait for anything, even on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);

/// A folder with the flow `default`, and the program under a name of its own.
fn home() -> TempDir {
    let home = tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::create_dir(home.path().join("flows")).unwrap();
    fs::write(home.path().join("flows/default.xml"), FLOW).unwrap();
    fs::hard_link(env!("CARGO_BIN_EXE_conflow"), home.path().join("conflow")).unwrap();
    home
}

/// A command of that program.
fn own(home: &Path, arguments: &str) -> Command {
    let shared = command(home, "");
    let mut own = Command::new(home.join("conflow"));
    shared.get_envs().filter(|it| it.1.is_none()).for_each(|(name, _)| {
        own.env_remove(name);
    });
    own.args(arguments.split_whitespace()).current_dir(home);
    own
}

/// Starts `conflow supervise`; returns the address of SIP, too.
fn supervised(home: &Path) -> (Program, SocketAddr) {
    let arguments = "supervise --http 127.0.0.1:0 --sip 127.0.0.1:0 --drain 0";
    let program = Program::of(own(home, arguments));
    let line = program.read.lines().find(|it| it.contains("SIP on ")).unwrap();
    let (_, rest) = line.split_once("SIP on ").unwrap();
    let sip = rest.split(',').next().unwrap().parse().unwrap();
    (program, sip)
}

fn upgrade(home: &Path) -> (Option<i32>, String, String) {
    run(own(home, "upgrade"))
}

/// The number of the engine's process.
fn engine(home: &Path) -> i32 {
    let note = fs::read(home.join("data/engine.json")).unwrap();
    let note: Value = serde_json::from_slice(&note).unwrap();
    note["pid"].as_i64().unwrap().try_into().unwrap()
}

/// Callers who are up, who speak, and who note what they hear.
struct Callers {
    sip: UdpSocket,
    is_over: Arc<AtomicBool>,
    listening: JoinHandle<Vec<Vec<Heard>>>,
}

/// A packet, and when it came.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Instant,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Callers {
    fn call(server: SocketAddr, count: usize) -> Self {
        let sip = UdpSocket::bind("127.0.0.1:0").unwrap();
        sip.connect(server).unwrap();
        sip.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let address = sip.local_addr().unwrap().to_string();
        let mut lines = Vec::new();
        for n in 0..count {
            let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
            rtp.set_nonblocking(true).unwrap();
            let port = rtp.local_addr().unwrap().port().to_string();
            let mut phone = Phone::new(&format!("up{n}"), &address);
            let headers = format!("{}{SDP}", phone.contact.clone());
            let invite = phone.request("INVITE", &headers, &OFFER.replace("40000", &port));
            sip.send(invite.as_bytes()).unwrap();
            let answer = loop {
                let message = receive(&sip).unwrap();
                if brief(&message) == "200" {
                    break message;
                }
                assert!(brief(&message).starts_with('1'), "{message}");
            };
            phone.learn(&answer);
            sip.send(phone.ack().as_bytes()).unwrap();
            let media = body(&answer).lines().find_map(|it| it.strip_prefix("m=audio ")).unwrap();
            let port: u16 = media.split(' ').next().unwrap().parse().unwrap();
            rtp.connect((server.ip(), port)).unwrap();
            lines.push((rtp, RtpStream::new(u32::try_from(n).unwrap(), 1, 1)));
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let listening = thread::spawn(move || listen(lines, &over));
        Self { sip, is_over, listening }
    }

    /// What each has heard; they have got no message over SIP.
    fn end(self) -> Vec<Vec<Heard>> {
        self.is_over.store(true, Ordering::Relaxed);
        let heard = self.listening.join().unwrap();
        self.sip.set_nonblocking(true).unwrap();
        assert_eq!(receive(&self.sip), None, "no re-INVITE, nor anything else");
        heard
    }
}

fn receive(sip: &UdpSocket) -> Option<String> {
    let mut buffer = [0; 4_096];
    let len = sip.recv(&mut buffer).ok()?;
    Some(String::from_utf8(buffer[..len].to_vec()).unwrap())
}

fn listen(mut lines: Vec<(UdpSocket, RtpStream)>, is_over: &AtomicBool) -> Vec<Vec<Heard>> {
    let mut heard = vec![Vec::new(); lines.len()];
    let (mut buffer, mut out) = ([0; 2_048], [0; 200]);
    let mut says_at = now();
    while !is_over.load(Ordering::Relaxed) {
        let says = says_at <= now();
        says_at += if says { TICK } else { Duration::ZERO };
        for ((rtp, stream), heard) in lines.iter_mut().zip(&mut heard) {
            if says {
                let len = stream.write(0, &[255; 160], 160, &mut out).unwrap();
                // Nobody holds the socket of a port that is refused.
                rtp.send(&out[..len]).unwrap();
            }
            while let Ok(len) = rtp.recv(&mut buffer) {
                if let Ok(Packet { ssrc, sequence, timestamp, .. }) = Packet::parse(&buffer[..len])
                {
                    heard.push(Heard { at: now(), ssrc, sequence, timestamp });
                }
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    heard
}

/// Checks that a stream has no packet missing; returns its longest gap.
fn longest_gap(heard: &[Heard]) -> Duration {
    let mut longest = Duration::ZERO;
    for pair in heard.windows(2) {
        let [before, after] = pair else { unreachable!("a window of two") };
        assert_eq!(before.ssrc, after.ssrc);
        assert_eq!(before.sequence.wrapping_add(1), after.sequence, "no number is left out");
        let units = after.timestamp.wrapping_sub(before.timestamp);
        assert!(0 < units && units % 160 == 0, "{before:?} {after:?}");
        longest = longest.max(after.at - before.at);
    }
    longest
}

/// Prints what `--nocapture` shows.
#[expect(clippy::print_stdout, reason = "a figure for the reader")]
fn tell(what: &str) {
    print!("{what}");
}

/// A client that opens a connection every few milliseconds, and must get an answer on each.
struct Visitor {
    is_over: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    visiting: JoinHandle<BTreeSet<String>>,
}

impl Visitor {
    fn begin(http: SocketAddr) -> Self {
        let (is_over, answers) = (Arc::new(AtomicBool::new(false)), Arc::<AtomicU64>::default());
        let (over, count) = (Arc::clone(&is_over), Arc::clone(&answers));
        let visiting = thread::spawn(move || {
            let mut statuses = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                let mut stream = TcpStream::connect(http).expect("no connection is refused");
                let request = b"GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
                stream.write_all(request).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                statuses.insert(answer.lines().next().unwrap_or("nothing").to_owned());
                count.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(3));
            }
            statuses
        });
        Self { is_over, answers, visiting }
    }

    /// Waits for a few more answers, and returns the status lines.
    fn end(self) -> Vec<String> {
        let until = self.answers.load(Ordering::Relaxed) + 5;
        let began = now();
        while self.answers.load(Ordering::Relaxed) < until && !self.visiting.is_finished() {
            assert!(began.elapsed() < WAIT_MAX);
            thread::sleep(TICK);
        }
        self.is_over.store(true, Ordering::Relaxed);
        self.visiting.join().unwrap().into_iter().collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "packets come when they come")]
fn now() -> Instant {
    Instant::now()
}

fn members(program: &Program, token: &str) -> Vec<String> {
    let path = format!("/api/v1/Account/{ID}/Conference/weekly/");
    let (status, body) = program.ask(token, "GET", &path, "");
    let room: Value = serde_json::from_str(&body).unwrap_or_default();
    let members = room["members"].as_array().cloned().unwrap_or_default();
    assert!(status == 200 || status == 404, "{status} {body}");
    members.iter().map(|it| it["member_id"].as_str().unwrap().to_owned()).collect()
}

fn wait_members(program: &Program, token: &str, count: usize) -> Vec<String> {
    let began = now();
    loop {
        let members = members(program, token);
        if members.len() == count {
            return members;
        }
        assert!(began.elapsed() < WAIT_MAX, "{members:?}");
        thread::sleep(TICK);
    }
}

#[test]
fn callers_hear_on_after_an_upgrade_nobody_is_asked_and_no_connection_is_refused() {
    let legs = env::var("LEGS").map_or(12, |it| it.parse().unwrap());
    let home = home();
    let (program, sip) = supervised(home.path());
    program.discard_log();
    let token = token(home.path());
    let callers = Callers::call(sip, legs);
    let before = wait_members(&program, &token, legs);
    thread::sleep(Duration::from_secs(1));
    let visitor = Visitor::begin(program.http);
    for _ in 0..2 {
        let process = engine(home.path());
        let (code, out, error) = upgrade(home.path());
        assert_eq!(code, Some(0), "{out}{error}");
        assert!(out.contains(&format!("{legs} calls go on, after ")), "{out}");
        assert_ne!(engine(home.path()), process);
        tell(&out);
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(visitor.end(), ["HTTP/1.1 200 OK"]);
    assert_eq!(wait_members(&program, &token, legs), before);
    let kick = format!("/api/v1/Account/{ID}/Conference/weekly/Member/{}/Kick/", before[0]);
    assert_eq!(program.ask(&token, "POST", &kick, "").0, 200);
    assert_eq!(wait_members(&program, &token, legs - 1), before[1..]);
    let heard = callers.end();
    let longest = heard.iter().map(|it| longest_gap(it)).max().unwrap();
    tell(&format!("{legs} legs: the longest gap is {longest:?}\n"));
    program.signal("TERM");
    let began = now();
    let mut program = program;
    while program.child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < WAIT_MAX);
        thread::sleep(TICK);
    }
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_program_that_does_not_start_takes_the_place_of_none() {
    let home = home();
    let (program, sip) = supervised(home.path());
    program.discard_log();
    let token = token(home.path());
    let callers = Callers::call(sip, 2);
    let before = wait_members(&program, &token, 2);
    let script = |text: &str| {
        let (new, place) = (home.path().join("new"), home.path().join("conflow"));
        fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, place).unwrap();
    };
    let upgrade = || run(command(home.path(), "upgrade"));
    let process = engine(home.path());

    script("echo 'conflow: a flag is unknown' >&2; exit 2");
    let (code, out, error) = upgrade();
    assert_eq!(code, Some(1), "{out}{error}");
    assert!(
        error.contains("nothing was changed") && error.contains("a flag is unknown"),
        "{error}"
    );
    assert_eq!(engine(home.path()), process);

    // It accepts the settings, and does not start.
    script("case \"$*\" in *--print-config*) exit 0;; esac; exit 7");
    let (code, out, error) = upgrade();
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(out.contains("2 calls go on"), "{out}");
    assert_ne!(engine(home.path()), process);
    assert_eq!(wait_members(&program, &token, 2), before);
    thread::sleep(Duration::from_millis(200));
    let heard = callers.end();
    heard.iter().for_each(|it| _ = longest_gap(it));
}

#[test]
fn a_supervised_engine_is_started_again_after_a_crash_and_no_connection_is_refused() {
    let home = home();
    let (program, _) = supervised(home.path());
    program.discard_log();
    let process = engine(home.path());
    kill_process(Pid::from_raw(process).unwrap(), Signal::KILL).unwrap();
    let began = now();
    while engine(home.path()) == process {
        assert!(began.elapsed() < WAIT_MAX);
        TcpStream::connect(program.http).expect("no connection is refused");
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(program.ask("", "GET", "/healthz", "").0, 200);
}

#[test]
fn without_a_holder_there_is_no_upgrade() {
    let home = home();
    let program = Program::start(home.path(), "--sip off");
    let process = engine(home.path());
    let (code, out, error) = upgrade(home.path());
    assert_eq!(code, Some(1), "{out}{error}");
    assert!(error.contains("nothing holds the sockets"), "{error}");
    assert_eq!(engine(home.path()), process);
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    let (code, out, error) = upgrade(home.path());
    assert_eq!(code, Some(1), "{out}{error}");
    assert!(error.contains("no engine runs on the data folder data"), "{error}");
}
