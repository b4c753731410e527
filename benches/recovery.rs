//! Calls that come back after kill -9: how long until they are heard and until all far ends have answered,
//! and what they take of memory; and how long the start takes with many live calls.
//!
//! `cargo bench --bench recovery` takes 2,000 calls over SIP with sound, in rooms of ten, and 10,000 of
//! simulated phones. `-- CALLS SIMULATED` takes other numbers. It prints, and compares nothing.

#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]
#![expect(clippy::print_stdout, reason = "it prints what it measures")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tempfile::{TempDir, tempdir};

const ID: &str = "MACONFLOWDEV00000000";
const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";
/// Members of a room.
const ROOM: usize = 10;
/// The longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// A running conflow.
struct Engine {
    child: Child,
    http: SocketAddr,
    sip: Option<SocketAddr>,
    /// From its start until it served.
    start: Duration,
    /// The lines of its log that tell of the last process.
    about: Arc<Mutex<Vec<String>>>,
}

impl Engine {
    fn start(home: &Path, sip: &str, flags: &[&str]) -> Self {
        let begin = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_conflow"))
            .args(["serve", "--http", "127.0.0.1:0", "--log-format", "pretty", "--sip", sip])
            .args(flags)
            .current_dir(home)
            .env("CONFLOW_AUTH_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut sip, about) = (None, Arc::<Mutex<Vec<_>>>::default());
        let http = loop {
            let line = log.next().expect("it serves").unwrap();
            if line.contains("the last process") {
                about.lock().push(line.clone());
            }
            sip = sip.or_else(|| address(&line, "SIP on "));
            if let Some(http) = address(&line, "serves http=") {
                break http;
            }
        };
        let start = begin.elapsed();
        thread::spawn(move || log.for_each(drop));
        Self { child, http, sip, start, about }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> u16 {
        let mut stream = TcpStream::connect(self.http).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\nX-Auth-ID: {ID}\r\n\
             X-Auth-Token: {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             \r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Its resident memory in kB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

fn address(line: &str, words: &str) -> Option<SocketAddr> {
    line.split_once(words)?.1.split([' ', ',']).next()?.parse().ok()
}

/// Many phones behind one socket for SIP and one for sound.
struct Phones {
    sip: UdpSocket,
    sound: UdpSocket,
    server: SocketAddr,
    /// Calls that are up; since the last kill, those whose question has been answered.
    up: Mutex<BTreeSet<String>>,
    checked: Mutex<BTreeSet<String>>,
    /// When each of the engine's ports was heard first since the last kill.
    heard: Mutex<BTreeMap<SocketAddr, Instant>>,
    is_over: AtomicBool,
}

impl Phones {
    fn new(server: SocketAddr) -> Arc<Self> {
        let bind = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            socket2::SockRef::from(&socket).set_recv_buffer_size(16 << 20).unwrap();
            socket
        };
        let phones = Arc::new(Self {
            sip: bind(),
            sound: bind(),
            server,
            up: Mutex::default(),
            checked: Mutex::default(),
            heard: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        for act in [Self::talk as fn(&Self), Self::hear] {
            let phones = phones.clone();
            thread::spawn(move || {
                while !phones.is_over.load(Relaxed) {
                    act(&phones);
                }
            });
        }
        phones
    }

    fn offer(&self) -> String {
        let port = self.sound.local_addr().unwrap().port();
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
        )
    }

    fn send(&self, head: &str, body: &str) {
        let length = body.len();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!("{head}{kind}Content-Length: {length}\r\n\r\n{body}");
        self.sip.send_to(text.as_bytes(), self.server).unwrap();
    }

    fn call(&self, n: usize) {
        let (us, to) = (self.sip.local_addr().unwrap(), format!("room-{}", n / ROOM));
        self.send(
            &format!(
                "INVITE sip:{to}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {us};rport;branch=z9hG4bKi{n}\r\n\
                 From: <sip:p{n}@{us}>;tag=f{n}\r\nTo: <sip:{to}@127.0.0.1>\r\nCall-ID: c{n}\r\n\
                 CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:p{n}@{us}>\r\n"
            ),
            &self.offer(),
        );
    }

    /// Handles one message of the engine.
    fn talk(&self) {
        let mut buffer = [0; 4_096];
        let Ok(len) = self.sip.recv(&mut buffer) else { return };
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        let line = |name: &str| {
            let all = text.split("\r\n").filter(|it| it.starts_with(name));
            all.map(|it| format!("{it}\r\n")).collect::<String>()
        };
        let us = self.sip.local_addr().unwrap();
        let id = line("Call-ID: ");
        if text.starts_with("SIP/2.0 200") && text.contains(" INVITE\r\n") {
            let (from, to) = (line("From: "), line("To: "));
            let uri = to.split(['<', '>']).nth(1).unwrap();
            let branch = id.trim().trim_start_matches("Call-ID: ");
            let ack = format!(
                "ACK {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {us};rport;branch=z9hG4bKa{branch}\r\n\
                 {from}{to}{id}CSeq: 1 ACK\r\nMax-Forwards: 70\r\n"
            );
            self.send(&ack, "");
            self.up.lock().insert(id);
        } else if text.starts_with("INVITE ") || text.starts_with("UPDATE ") {
            let head: String =
                ["Via: ", "From: ", "To: ", "Call-ID: ", "CSeq: "].map(line).concat();
            self.send(&format!("SIP/2.0 200 OK\r\n{head}Contact: <sip:p@{us}>\r\n"), &self.offer());
        } else if text.starts_with("ACK ") {
            self.checked.lock().insert(id);
        }
    }

    fn hear(&self) {
        let mut buffer = [0; 512];
        let Ok((_, from)) = self.sound.recv_from(&mut buffer) else { return };
        self.heard.lock().entry(from).or_insert_with(Instant::now);
    }

    fn forget(&self) {
        self.checked.lock().clear();
        self.heard.lock().clear();
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < WAIT_MAX, "{what} takes too long");
        thread::sleep(Duration::from_millis(2));
    }
}

fn ms(time: Duration) -> u128 {
    time.as_millis()
}

/// Calls over SIP with sound.
fn real(calls: usize) {
    let home = home(calls);
    let mut engine = Engine::start(home.path(), "127.0.0.1:0", &[]);
    let (empty, sip) = (engine.memory(), engine.sip.unwrap());
    let phones = Phones::new(sip);
    for n in 0..calls {
        phones.call(n);
        // Not more than it answers at once.
        wait_until("a call", || n < phones.up.lock().len() + 50);
    }
    wait_until("the sound of all calls", || phones.heard.lock().len() == calls);
    // The rows of their sound are written behind.
    thread::sleep(Duration::from_secs(1));
    let memory = (engine.memory() - empty) * 1_024 / calls as u64;
    println!("{calls} calls over SIP in rooms of {ROOM}: {memory} bytes of memory a call");
    for rate in ["10000", "200"] {
        engine.kill();
        // What it has sent arrives.
        thread::sleep(Duration::from_millis(300));
        phones.forget();
        let flags = ["--recovery-reinvites-per-second", rate];
        let begin = Instant::now();
        engine = Engine::start(home.path(), &sip.to_string(), &flags);
        wait_until("the sound of all calls", || phones.heard.lock().len() == calls);
        wait_until("the answers of all far ends", || phones.checked.lock().len() == calls);
        let checked = begin.elapsed();
        let heard = phones.heard.lock().values().map(|it| *it - begin).collect::<Vec<_>>();
        let (first, last) = (heard.iter().min().unwrap(), heard.iter().max().unwrap());
        println!(
            "killed and started, {rate} questions a second: serves after {} ms, the first call is heard after \
             {} ms and the last after {} ms, all far ends have answered after {} ms",
            ms(engine.start),
            ms(*first),
            ms(*last),
            ms(checked),
        );
        engine.about.lock().iter().for_each(|it| println!("  {it}"));
        let memory = (engine.memory() - empty) * 1_024 / calls as u64;
        println!("  {memory} bytes of memory a call");
    }
    phones.is_over.store(true, Relaxed);
    engine.kill();
}

/// A folder with a flow for each room.
fn home(calls: usize) -> TempDir {
    let home = tempdir().unwrap();
    fs::create_dir(home.path().join("flows")).unwrap();
    for room in 0..=calls / ROOM {
        let flow =
            format!("<Response><Conference stayAlone=\"true\">room-{room}</Conference></Response>");
        fs::write(home.path().join(format!("flows/room-{room}.xml")), flow).unwrap();
    }
    home
}

/// Live calls of simulated phones, whose rows are read at the start, and which end then.
fn simulated(calls: usize) {
    let (home, flags) = (home(calls), ["--recovery-simulated"]);
    let engine = Engine::start(home.path(), "off", &flags);
    let (empty, start) = (engine.memory(), engine.start);
    let path = format!("/sim/v1/Account/{ID}/Phone/");
    for n in 0..calls {
        let body = format!("{{\"to\":\"room-{}\"}}", n / ROOM);
        assert_eq!(engine.ask("POST", &path, &body), 201);
    }
    let memory = (engine.memory() - empty) * 1_024 / calls as u64;
    engine.kill();
    let engine = Engine::start(home.path(), "off", &flags);
    println!(
        "{calls} calls of simulated phones with rows: {memory} bytes of memory a call; killed and started: \
         serves after {} ms, without calls {} ms",
        ms(engine.start),
        ms(start),
    );
    engine.about.lock().iter().for_each(|it| println!("  {it}"));
    engine.kill();
}

fn main() {
    let numbers: Vec<usize> = env::args().filter_map(|it| it.parse().ok()).collect();
    real(numbers.first().copied().unwrap_or(2_000));
    simulated(numbers.get(1).copied().unwrap_or(10_000));
}
