//! Kill -9 under load: clients make calls and kick, receivers and a reader of the event stream follow,
//! and the process is killed again and again. Three times here; by hand, as often as one likes:
//! `KILLS=20 SECONDS=10 cargo test --release --test it kills`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;

use crate::app::{ID, Program, home, send_to, token};

/// Clients, each with a room of its own.
const CLIENTS: usize = 8;
/// Kicks that all of them try to make in a second.
const KICKS_PER_SECOND: u64 = 500;
/// Time until everything has been told, at most.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What all threads know.
struct Shared {
    http: Mutex<SocketAddr>,
    headers: String,
    is_over: AtomicBool,
    is_read: AtomicBool,
    kicks: AtomicUsize,
    /// Requests that were sent again with their key.
    repeated: AtomicUsize,
    /// Repeated requests whose outcome the answer does not tell.
    unknown: AtomicUsize,
    /// Calls of which a client was told.
    answered: Mutex<Vec<String>>,
}

/// Sleeps while a condition does not hold.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = now();
    while !holds() {
        assert!(begin.elapsed() < WAIT_MAX, "{what} did not happen");
        thread::sleep(Duration::from_millis(20));
    }
}

impl Shared {
    fn new(http: SocketAddr, token: &str) -> Self {
        Self {
            http: Mutex::new(http),
            headers: format!("X-Auth-ID: {ID}\r\nX-Auth-Token: {token}\r\n"),
            is_over: AtomicBool::new(false),
            is_read: AtomicBool::new(false),
            kicks: AtomicUsize::new(0),
            repeated: AtomicUsize::new(0),
            unknown: AtomicUsize::new(0),
            answered: Mutex::default(),
        }
    }

    /// Sends a request with its key until it is answered.
    fn ask(&self, method: &str, path: &str, key: &str, body: &str) -> (u16, String) {
        let headers = format!("{}Idempotency-Key: {key}\r\n", self.headers);
        let begin = now();
        loop {
            let http = *self.http.lock();
            let answer = send_to(http, &headers, method, path, body);
            if let Ok((status, body)) = &answer
                && *status < 500
            {
                self.unknown.fetch_add(usize::from(*status == 409), Relaxed);
                return (*status, body.clone());
            }
            self.repeated.fetch_add(1, Relaxed);
            assert!(begin.elapsed() < WAIT_MAX, "{method} {path}, key {key}: {answer:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Calls join a room and are kicked, until the end.
    fn make_calls(&self, client: usize, receiver: SocketAddr) {
        let account = format!("/api/v1/Account/{ID}");
        let kick = format!("{account}/Conference/room-{client}/Member/all/Kick/");
        let every = Duration::from_micros(1_000_000 * CLIENTS as u64 / KICKS_PER_SECOND);
        for n in 0.. {
            let begin = now();
            if self.is_over.load(Relaxed) {
                return;
            }
            let body = format!(
                "{{\"from\":\"1\",\"to\":\"sim:{client}-{n}?ring_ms=0&delay_ms=0\",\"answer_url\":\"flow:room-{client}\",\
                 \"hangup_url\":\"http://{receiver}/\"}}"
            );
            let key = format!("call-{client}-{n}");
            let (status, body) = self.ask("POST", &format!("{account}/Call/"), &key, &body);
            if status == 409 {
                continue;
            }
            assert!([200, 201].contains(&status), "{status} {body}");
            let made: Value = serde_json::from_str(&body).unwrap();
            self.answered.lock().push(made["request_uuid"].as_str().unwrap().to_owned());
            // A kill may have ended the call before.
            for attempt in 0..50 {
                let key = format!("kick-{client}-{n}-{attempt}");
                if self.ask("POST", &kick, &key, "{}").0 == 200 {
                    self.kicks.fetch_add(1, Relaxed);
                    break;
                }
                thread::sleep(Duration::from_millis(4));
            }
            thread::sleep(every.saturating_sub(begin.elapsed()));
        }
    }
}

/// Reads the event stream, and comes back after each kill with the last id. Returns all events, and
/// how often it came.
struct Reader {
    shared: Arc<Shared>,
    events: Arc<Mutex<Vec<ReadEvent>>>,
    connections: usize,
}

/// An event of the stream.
#[derive(Clone, Debug)]
struct ReadEvent {
    id: String,
    kind: String,
    data: Value,
}

impl Reader {
    fn run(mut self) -> usize {
        while !self.shared.is_read.load(Relaxed) {
            let http = *self.shared.http.lock();
            // The connection breaks off with the process.
            if self.read(http).is_err() {
                thread::sleep(Duration::from_millis(5));
            }
        }
        self.connections
    }

    fn read(&mut self, http: SocketAddr) -> io::Result<()> {
        let mut stream = TcpStream::connect(http)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let last = self.events.lock().last().map(|it| format!("Last-Event-ID: {}\r\n", it.id));
        let (last, headers) = (last.unwrap_or_default(), &self.shared.headers);
        let path = format!("/api/v1/Account/{ID}/Events/?after=0");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\n{headers}{last}\r\n")?;
        self.connections += 1;
        let (mut id, mut kind) = (String::new(), String::new());
        for line in BufReader::new(stream).lines() {
            let line = line?;
            if let Some(text) = line.strip_prefix("id: ") {
                text.clone_into(&mut id);
            } else if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut kind);
            } else if let Some(text) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(text).unwrap();
                self.events.lock().push(ReadEvent { id: id.clone(), kind: kind.clone(), data });
            }
        }
        Ok(())
    }
}

/// The callbacks that a receiver got, each with the event's id and the queue that it came in.
type Received = Arc<Mutex<Vec<(String, String)>>>;

/// Answers callbacks at an address until the end.
fn receive(listener: TcpListener, received: &Received) {
    let received = received.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let received = received.clone();
            thread::spawn(move || while answer(stream.as_ref().unwrap(), &received).is_ok() {});
        }
    });
}

fn answer(mut stream: &TcpStream, received: &Received) -> io::Result<()> {
    // Responses are read before the next request is written, so nothing is lost in the buffer.
    let mut reader = BufReader::new(stream);
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (name, value) = line.trim().split_once(": ").unwrap_or_default();
        match &*name.to_ascii_lowercase() {
            "x-conflow-event-id" => value.clone_into(&mut id),
            "content-length" => length = value.parse().unwrap(),
            _ if line.trim().is_empty() => break,
            _ => (),
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    let field = |name: &str| body.split('&').find_map(|it| it.strip_prefix(name));
    let queue = field("ConferenceUUID=").or_else(|| field("CallUUID=")).unwrap().to_owned();
    received.lock().push((id, queue));
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
}

fn number(variable: &str, usual: u64) -> u64 {
    env::var(variable).map_or(usual, |it| it.parse().unwrap())
}

/// Writes a flow for each client; the callbacks of every second one go to the other receiver.
fn write_flows(home: &Path, receivers: [SocketAddr; 2]) {
    for client in 0..CLIENTS {
        let receiver = receivers[client % 2];
        let flow = format!(
            "<Response><Conference stayAlone=\"true\" callbackUrl=\"http://{receiver}/\">\
             room-{client}</Conference></Response>"
        );
        fs::write(home.join(format!("flows/room-{client}.xml")), flow).unwrap();
    }
}

#[test]
fn kills_under_load_lose_nothing_that_was_told() {
    let (kills, span) = (number("KILLS", 3), Duration::from_secs(number("SECONDS", 1)));
    let home = home();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [&listener, &dead].map(|it| it.local_addr().unwrap());
    // It is dead until the last kill.
    drop(dead);
    let received = [Received::default(), Received::default()];
    receive(listener, &received[0]);
    write_flows(home.path(), addresses);

    let mut program = Program::start(home.path(), "");
    program.discard_log();
    let token = token(home.path());
    let shared = Arc::new(Shared::new(program.http, &token));
    let events = Arc::new(Mutex::new(Vec::new()));
    let reader = Reader { shared: shared.clone(), events: events.clone(), connections: 0 };
    let reader = thread::spawn(move || reader.run());
    let client = |n| {
        let shared = shared.clone();
        thread::spawn(move || shared.make_calls(n, addresses[0]))
    };
    let clients: Vec<JoinHandle<()>> = (0..CLIENTS).map(client).collect();

    let begin = now();
    for kill in 1..=kills {
        thread::sleep(span);
        program.signal("KILL");
        program.end();
        if kill == kills {
            receive(TcpListener::bind(addresses[1]).unwrap(), &received[1]);
        }
        program = Program::start(home.path(), "");
        program.discard_log();
        *shared.http.lock() = program.http;
    }
    thread::sleep(span);
    let seconds = begin.elapsed().as_secs_f64();
    shared.is_over.store(true, Relaxed);
    clients.into_iter().for_each(|it| it.join().unwrap());
    end_calls(&program, &token, &events);
    let events = events.lock().clone();
    let expected = callbacks_of(&events);
    wait_until("every callback", || ids(&received).len() == expected.len());
    shared.is_read.store(true, Relaxed);
    program.signal("KILL");
    program.end();
    let connections = reader.join().unwrap();

    check_events(&events, &shared.answered.lock());
    assert_eq!(ids(&received), expected, "callbacks and events differ");
    let repeats = received.iter().map(|it| repeats(&it.lock(), kills)).sum::<usize>();
    let rate = shared.kicks.load(Relaxed) as f64 / seconds;
    let line = format!(
        "kills: {kills} under {rate:.0} kicks a second; {} events, 0 gaps for a reader who came \
         {connections} times; {} callbacks in order, {repeats} of them twice (at most one per queue \
         and kill), 0 missing, {} of hang-ups; {}\n",
        events.len(),
        expected.len(),
        count_of(&events, "Hangup"),
        about_keys(&events, &shared),
    );
    io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Ends all rooms until every call of the stream has ended.
fn end_calls(program: &Program, token: &str, events: &Mutex<Vec<ReadEvent>>) {
    wait_until("the end of every call", || {
        // Some calls may still be on their way into a room.
        let all = format!("/api/v1/Account/{ID}/Conference/");
        program.ask(token, "DELETE", &all, "");
        let events = events.lock();
        let [begun, ended] = ["CallStart", "Hangup"].map(|it| count_of(&events, it));
        0 < begun && begun == ended
    });
}

/// The ids of the events that receivers have been told of.
fn ids(received: &[Received; 2]) -> BTreeSet<String> {
    received.iter().flat_map(|it| it.lock().clone()).map(|(id, _)| id).collect()
}

/// How the idempotency keys fared.
fn about_keys(events: &[ReadEvent], shared: &Shared) -> String {
    let mut targets = BTreeMap::<_, usize>::new();
    let starts = events.iter().filter(|it| it.kind == "CallStart");
    starts.for_each(|it| *targets.entry(it.data["To"].to_string()).or_default() += 1);
    let twice = targets.values().filter(|it| 1 < **it).count();
    let (repeated, unknown) = (shared.repeated.load(Relaxed), shared.unknown.load(Relaxed));
    format!(
        "{repeated} requests sent again, {twice} keys acted twice, {unknown} answered that the \
         outcome is unknown"
    )
}

fn count_of(events: &[ReadEvent], kind: &str) -> usize {
    events.iter().filter(|it| it.kind == kind).count()
}

/// The ids of the events that a receiver is told of.
fn callbacks_of(events: &[ReadEvent]) -> BTreeSet<String> {
    let told = ["ConferenceEnter", "ConferenceExit", "Hangup"];
    events.iter().filter(|it| told.contains(&&*it.kind)).map(|it| it.id.clone()).collect()
}

/// Checks that the numbers have no gap, and that each call has one begin and one end.
fn check_events(events: &[ReadEvent], answered: &[String]) {
    let number = |it: &ReadEvent| it.id.split_once('-').unwrap().1.parse::<u64>().unwrap();
    let numbers = events.iter().map(number);
    assert!(numbers.eq(1..=events.len() as u64), "gaps or repeats");
    let calls = |kind: &str| -> Vec<_> {
        let events = events.iter().filter(|it| it.kind == kind);
        events.map(|it| it.data["CallUUID"].as_str().unwrap().to_owned()).collect()
    };
    let (begun, ended) = (calls("CallStart"), calls("Hangup"));
    let (set, ends): (BTreeSet<_>, BTreeSet<_>) = (begun.iter().collect(), ended.iter().collect());
    assert_eq!((begun.len(), ended.len()), (set.len(), set.len()), "a call has two begins or ends");
    assert_eq!(set, ends, "a call has no end");
    let lost: Vec<_> = answered.iter().filter(|it| !set.contains(it)).collect();
    assert!(lost.is_empty(), "calls that clients know: {lost:?}");
    assert_eq!(calls("ConferenceEnter").len(), calls("ConferenceExit").len(), "exits");
}

/// The callbacks that a receiver got twice: at most one for each queue and kill. Checks the order.
fn repeats(received: &[(String, String)], kills: u64) -> usize {
    let number = |id: &str| id.split_once('-').unwrap().1.parse::<u64>().unwrap();
    let mut queues = BTreeMap::<&str, Vec<u64>>::new();
    received.iter().for_each(|(id, queue)| queues.entry(queue).or_default().push(number(id)));
    let mut repeats = 0;
    for (queue, numbers) in queues {
        assert!(numbers.is_sorted(), "queue {queue}: {numbers:?}");
        let again = numbers.windows(2).filter(|it| it[0] == it[1]).count();
        assert!(again as u64 <= kills, "queue {queue}: {numbers:?}");
        repeats += again;
    }
    repeats
}

#[expect(clippy::disallowed_methods, reason = "a process has the real clock")]
fn now() -> Instant {
    Instant::now()
}
