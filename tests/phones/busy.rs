//! A busy server that is killed again and again: 50 calls of sipp and three baresips, one of them over TLS
//! with encrypted sound, under kicks, mutes and joins. `ROUNDS=20 cargo test --test phones busy` kills it
//! so many times.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{self, BufRead, BufReader, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::{
    authority::Authority,
    baresip::{Baresip, samples},
    ear::loudness,
    encrypted::phone,
    meeting::{ALL, MEETING, Meeting, TONES},
    program::{self, Conflow, ID, TOKEN, alone, eventually, write_out},
    sipp::{SCENARIOS, free_port},
};

/// A caller who is kicked comes back at once, as another member.
const CROWD: &str = "<Response><Conference stayAlone=\"true\">crowd</Conference>\
    <Redirect>flow:crowd</Redirect></Response>";

/// Calls of sipp in the crowd.
const CALLERS: usize = 50;

/// Threads that kick and mute.
const CLIENTS: usize = 3;

/// How long they do so before each kill.
const BUSY_FOR: Duration = Duration::from_millis(1_500);

const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// What the threads share.
struct Shared {
    http: Mutex<SocketAddr>,
    is_busy: AtomicBool,
    is_over: AtomicBool,
    /// Whether each member is muted, of those whose last request was answered.
    muted: Mutex<BTreeMap<String, bool>>,
    kicks: AtomicUsize,
    events: Mutex<Vec<(u64, String, Value)>>,
}

impl Shared {
    /// Sends a request about the crowd; None if the server is not there.
    fn ask(&self, method: &str, path: &str) -> Option<(u16, Value)> {
        let http = *self.http.lock();
        let answer = program::send(http, TOKEN, (method, "api/v1", path), "").ok()?;
        Some((answer.0, serde_json::from_str(&answer.1).unwrap_or_default()))
    }

    /// Kicks and mutes members of the crowd, until the end.
    fn disturb(&self, client: usize) {
        for n in client.. {
            if self.is_over.load(Relaxed) {
                return;
            }
            thread::sleep(Duration::from_millis(4));
            if !self.is_busy.load(Relaxed) {
                continue;
            }
            let Some((200, room)) = self.ask("GET", "Conference/crowd/") else { continue };
            // No two clients change the same member.
            let ids = room["members"].as_array().unwrap().iter();
            let ids = ids.map(|it| it["member_id"].as_str().unwrap().to_owned());
            let own = |it: &String| it.parse::<usize>().unwrap() % CLIENTS == client;
            let ids: Vec<_> = ids.filter(own).collect();
            let Some(id) = ids.get(n % ids.len().max(1)) else { continue };
            let (method, action, muted) = match n % 4 {
                0 => ("POST", "Kick", None),
                1 => ("DELETE", "Mute", Some(false)),
                _ => ("POST", "Mute", Some(true)),
            };
            self.muted.lock().remove(id);
            let path = format!("Conference/crowd/Member/{id}/{action}/");
            let Some((200..300, _)) = self.ask(method, &path) else { continue };
            match muted {
                Some(muted) => drop(self.muted.lock().insert(id.clone(), muted)),
                None => drop(self.kicks.fetch_add(1, Relaxed)),
            }
        }
    }

    /// Reads the stream of events, and comes back with the last id.
    fn read(&self) {
        while !self.is_over.load(Relaxed) {
            drop(self.read_once());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn read_once(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(*self.http.lock())?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        let last = self
            .events
            .lock()
            .last()
            .map_or(String::new(), |(n, epoch, _)| format!("Last-Event-ID: {epoch}-{n}\r\n"));
        write!(
            stream,
            "GET /api/v1/Account/{ID}/Events/?after=0 HTTP/1.1\r\nHost: here\r\nX-Auth-ID: {ID}\r\n\
             X-Auth-Token: {TOKEN}\r\n{last}\r\n"
        )?;
        let mut id = String::new();
        for line in BufReader::new(stream).lines() {
            let line = line?;
            if let Some(text) = line.strip_prefix("id: ") {
                text.clone_into(&mut id);
            } else if let Some(text) = line.strip_prefix("data: ")
                && let Some((epoch, number)) = id.split_once('-')
            {
                let data = serde_json::from_str(text).unwrap();
                let event = (number.parse().unwrap(), epoch.to_owned(), data);
                self.events.lock().push(event);
            }
            assert!(!line.starts_with("event: gap"), "the reader has a gap");
        }
        Ok(())
    }

    /// The members of the crowd as the events say, after a number of them without a gap.
    fn told(&self) -> BTreeSet<String> {
        let (mut members, mut last) = (BTreeSet::new(), 0);
        for (number, _, data) in &*self.events.lock() {
            assert_eq!(*number, last + 1, "a gap or a repeat");
            last = *number;
            if data["ConferenceName"] != "crowd" {
                continue;
            }
            let member = || data["ConferenceMemberID"].as_str().unwrap().to_owned();
            match data["Event"].as_str() {
                Some("ConferenceEnter") => drop(members.insert(member())),
                Some("ConferenceExit") => drop(members.remove(&member())),
                Some(_) | None => {}
            }
        }
        members
    }
}

/// The calls of sipp, which stay until the end.
struct Crowd {
    child: Child,
    home: TempDir,
}

impl Crowd {
    fn call(server: SocketAddr) -> Self {
        let home = tempdir().unwrap();
        let [port, media] = [(); 2].map(|()| free_port(server.ip()).to_string());
        let calls = CALLERS.to_string();
        let child = Command::new("sipp")
            .args(["-sf", &format!("{SCENARIOS}/stays/caller.xml"), "-s", "crowd"])
            .args(["-m", &calls, "-l", &calls, "-r", "25", "-nostdin", "-rtp_echo"])
            .args(["-i", &server.ip().to_string(), "-p", &port, "-mp", &media])
            .args(["-trace_err", "-error_file", "errors.log", &server.to_string()])
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sipp is installed (sip-tester)");
        Self { child, home }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            let errors = std::fs::read_to_string(self.home.path().join("errors.log"));
            write_out(&format!("--- errors of sipp:\n{}\n", errors.unwrap_or_default()));
        }
    }
}

/// The crowd's members, and whether each is muted.
fn roster(conflow: &Conflow) -> BTreeMap<String, bool> {
    let (status, body) = conflow.ask("GET", "api/v1", "Conference/crowd/", "");
    let room: Value = serde_json::from_str(&body).unwrap_or_default();
    if status != 200 {
        return BTreeMap::new();
    }
    let member =
        |it: &Value| (it["member_id"].as_str().unwrap().to_owned(), it["muted"].as_bool().unwrap());
    room["members"].as_array().unwrap().iter().map(member).collect()
}

/// Three baresips in a meeting; carl is over TLS, and his sound is encrypted.
fn meeting(conflow: Conflow, authority: &Authority) -> Meeting {
    let [anna, bert] = [0, 1].map(|n| {
        let (user, tone) = TONES[n];
        Baresip::call(conflow.sip, "meeting", user, tone)
    });
    let mut carl = phone(&conflow, authority, TONES[2], ";mediaenc=srtp-mand");
    carl.wait_for("{0/TLS/v4} 200 OK");
    carl.dial(conflow.sip, "meeting");
    let ids = conflow.wait_members("meeting", TONES.map(|it| it.0));
    Meeting { phones: [anna, bert, carl], ids, conflow }
}

/// A server whose phones may come over TLS, at an address that it has again after a restart.
fn start(authority: &Authority) -> Conflow {
    let files = authority.sign(&HOST.to_string(), 2_100);
    let port = free_port(IpAddr::V4(HOST));
    let config = format!(
        "[sip]\nopen = true\ntls = \"{HOST}:{port}\"\ntls_cert = {:?}\ntls_key = {:?}\n\
         [[endpoint]]\nuser = \"carl\"\npassword = \"hush\"\naccount = \"{ID}\"\nsrtp = \"require\"\n",
        files.certificate, files.key
    );
    let config = format!("rate_limit = 0\n{config}");
    Conflow::configured(&[("meeting", MEETING), ("crowd", CROWD)], &config)
}

/// Kills the server while it is busy; all that was there is there again.
fn survive(round: usize, meeting: &mut Meeting, shared: &Shared, muted: &[[bool; 3]; 3]) {
    shared.is_busy.store(true, Relaxed);
    thread::sleep(BUSY_FOR);
    let killed = Instant::now();
    meeting.conflow.kill_and_restart();
    // Nobody asks any more, so that the state stands still.
    shared.is_busy.store(false, Relaxed);
    *shared.http.lock() = meeting.conflow.http;
    let ids = meeting.conflow.wait_members("meeting", TONES.map(|it| it.0));
    assert_eq!(ids, meeting.ids, "round {round}");
    let members = eventually("the crowd", || {
        let members = roster(&meeting.conflow);
        (members.len() == CALLERS).then_some(members)
    });
    let took = killed.elapsed();
    eventually("the events", || {
        (shared.told().into_iter().eq(members.keys().cloned())).then_some(())
    });
    let flags = shared.muted.lock().clone();
    let is_wrong = |(id, muted): &(&String, &bool)| members.get(*id).is_some_and(|it| it != *muted);
    let wrong: Vec<_> = flags.iter().filter(is_wrong).collect();
    assert!(wrong.is_empty(), "round {round}: {wrong:?} of {}", flags.len());
    meeting.check(&format!("round {round}"), muted);
    write_out(&format!(
        "round {round}: {CALLERS} and 3 members are back {} ms after the kill, {} flags and {} events \
         later than {} kicks\n",
        took.as_millis(),
        flags.len(),
        shared.events.lock().len(),
        shared.kicks.load(Relaxed),
    ));
}

#[test]
fn all_calls_of_a_busy_server_are_back_after_each_kill() {
    let _machine = alone();
    let rounds = env::var("ROUNDS").map_or(2, |it| it.parse().unwrap());
    let authority = Authority::new();
    let mut meeting = meeting(start(&authority), &authority);
    let crowd = Crowd::call(meeting.conflow.sip);
    eventually("the crowd", || (roster(&meeting.conflow).len() == CALLERS).then_some(()));
    meeting.order("POST", 1, "Mute");
    let muted = [[false, false, true], [true, false, true], [true, false, false]];
    meeting.check("before", &muted);

    let shared = Arc::new(Shared {
        http: Mutex::new(meeting.conflow.http),
        is_busy: AtomicBool::new(true),
        is_over: AtomicBool::new(false),
        muted: Mutex::default(),
        kicks: AtomicUsize::new(0),
        events: Mutex::default(),
    });
    let run = |act: fn(&Shared, usize), n| {
        let shared = shared.clone();
        thread::spawn(move || act(&shared, n))
    };
    let reader = run(|shared, _| shared.read(), 0);
    let clients: Vec<JoinHandle<()>> = (0..CLIENTS).map(|n| run(Shared::disturb, n)).collect();
    for round in 1..=rounds {
        survive(round, &mut meeting, &shared, &muted);
    }
    shared.is_over.store(true, Relaxed);
    clients.into_iter().chain([reader]).for_each(|it| it.join().unwrap());
    meeting.order("DELETE", 1, "Mute");
    meeting.check("nobody is muted", &ALL);
    // Carl's connection has ended with the first kill, and he registers again within a minute, so that the BYE
    // may not reach him. He hears what follows nevertheless.
    for n in [0, 2] {
        let it = &meeting.phones[n];
        let from = it.received();
        meeting.order("POST", n, "Kick");
        let heard = it.listen(from + samples(400), 2_000);
        assert!(0.02 < loudness(&heard), "{}: the goodbye: {}", it.user, loudness(&heard));
    }
    meeting.phones[0].wait_for("CALL_CLOSED");
    drop(crowd);
}
