//! Voicemail of a baresip: its file as sox and ffprobe read it, its requests, and what the caller
//! hears.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use conflow::audio::tone::amplitude;
use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    baresip::{Baresip, samples},
    ear,
    program::{Conflow, beside_others, eventually},
    recorded::{file, read},
};

/// What the caller says.
const SAID: f64 = 500.0;

/// The tone of the beep.
const BEEP: f64 = 880.0;

/// The path and the fields of a request.
type ToldRequest = (String, BTreeMap<String, String>);

/// A web server that answers every request with nothing, and notes it.
struct Mailbox {
    address: SocketAddr,
    told: Arc<Mutex<Vec<ToldRequest>>>,
}

impl Mailbox {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, told) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
        let noted = Arc::clone(&told);
        thread::spawn(move || {
            for stream in listener.incoming() {
                noted.lock().extend(answer(stream.unwrap()));
            }
        });
        Self { address, told }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// The fields of the one request to a path, once it has come.
    #[track_caller]
    fn wait_for(&self, path: &str) -> BTreeMap<String, String> {
        eventually(path, || {
            let told = self.told.lock();
            let mut found = told.iter().filter(|it| it.0 == path).map(|it| it.1.clone());
            let first = found.next();
            assert_eq!(found.count(), 0, "{path} is told once");
            first
        })
    }

    fn paths(&self) -> Vec<String> {
        self.told.lock().iter().map(|it| it.0.clone()).collect()
    }
}

/// Returns the path and the fields of a request.
fn answer(mut stream: TcpStream) -> Option<ToldRequest> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        length = line.strip_prefix("content-length: ").map_or(length, |it| it.parse().unwrap());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    let fields = url::form_urlencoded::parse(&body).into_owned().collect();
    Some((first.split(' ').nth(1)?.trim_start_matches('/').to_owned(), fields))
}

#[test]
fn a_message_has_the_words_of_the_caller_and_not_the_beep() {
    let _share = beside_others();
    let mailbox = Mailbox::start();
    let (action, done) = (mailbox.url("action"), mailbox.url("file"));
    let flow = format!(
        "<Response><Record action=\"{action}\" redirect=\"false\" callbackUrl=\"{done}\" \
         finishOnKey=\"#\" fileFormat=\"wav\"/><Wait length=\"2\"/></Response>"
    );
    let conflow = Conflow::start(&[("mailbox", &flow)]);
    let mut anna = Baresip::call(conflow.sip, "mailbox", "anna", SAID);
    let (_, calls) = conflow.ask("GET", "api/v1", "Call/?status=live", "");
    let calls: Value = serde_json::from_str(&calls).unwrap();
    let call = calls["calls"][0].as_str().unwrap().to_owned();
    thread::sleep(Duration::from_secs(3));
    anna.tell("sndcode", "#");

    let (action, done) = (mailbox.wait_for("action"), mailbox.wait_for("file"));
    assert_eq!(mailbox.paths().len(), 2, "{:?}", mailbox.paths());
    let field = |fields: &BTreeMap<String, String>, name: &str| {
        fields.get(name).unwrap_or_else(|| panic!("no {name}: {fields:?}")).clone()
    };
    for fields in [&action, &done] {
        assert_eq!(field(fields, "CallUUID"), call);
        assert_eq!(field(fields, "CallStatus"), "in-progress");
        assert_eq!(field(fields, "Direction"), "inbound");
        assert!(field(fields, "From").contains("anna"));
        assert_eq!(field(fields, "RecordingEndReason"), "FinishedOnKey");
        assert_eq!(field(fields, "RecordFile"), field(fields, "RecordUrl"));
        let number = |name: &str| field(fields, name).parse::<u64>().unwrap();
        let ms = number("RecordingDurationMs");
        assert_eq!(number("RecordingDuration"), ms / 1_000);
        assert_eq!(number("RecordingEndMs"), number("RecordingStartMs") + ms);
    }
    assert_eq!((&*action["Digits"], done.get("Digits")), ("#", None));
    assert_eq!(done["Event"], "RecordStop");
    for name in ["RecordUrl", "RecordingID", "RecordingDurationMs", "RecordingStartMs"] {
        assert_eq!(action[name], done[name], "{name}");
    }
    let id = &action["RecordingID"];
    assert!(action["RecordUrl"].contains(&format!("/Recording/{id}.wav?exp=")), "{action:?}");

    // The file is as long as the callback says, and the caller's tone is in all of it.
    let took = Duration::from_millis(done["RecordingDurationMs"].parse().unwrap());
    let said = read(&file(&conflow.data(), id), 1, took).remove(0);
    assert!(
        (Duration::from_millis(2_300)..Duration::from_millis(3_200)).contains(&took),
        "{took:?}"
    );
    let inside = &said[samples(100)..said.len() - samples(300)];
    assert!(ear::hears("the file", inside, SAID));
    assert!(!ear::hears("the file", inside, BEEP), "the beep is not recorded");
    // The beep was heard, and nothing after it.
    anna.wait_for("CALL_CLOSED");
    let heard = anna.heard();
    let is_beep = |it: &[i16]| ear::TONE * 0.2 < amplitude(it, 8_000, BEEP);
    let beeps = heard.chunks_exact(samples(50)).filter(|it| is_beep(it)).count();
    assert!((2..=5).contains(&beeps), "a beep of 180 ms: {beeps} of 50 ms");
}

#[test]
fn a_message_ends_when_the_caller_falls_silent_or_hangs_up() {
    let _share = beside_others();
    let mailbox = Mailbox::start();
    let (action, done) = (mailbox.url("action"), mailbox.url("file"));
    let flow = format!(
        "<Response><Record action=\"{action}\" callbackUrl=\"{done}\" timeout=\"2\" \
         fileFormat=\"wav\"/></Response>"
    );
    let conflow = Conflow::start(&[("mailbox", &flow)]);
    let mut anna = Baresip::call(conflow.sip, "mailbox", "anna", SAID);
    // Longer than the silence that would end it.
    thread::sleep(Duration::from_secs(4));
    anna.tell("hangup", "");
    let (action, done) = (mailbox.wait_for("action"), mailbox.wait_for("file"));
    assert_eq!((&*action["RecordingEndReason"], &*action["CallStatus"]), ("HungUp", "completed"));
    assert_eq!((&*done["RecordingEndReason"], &*done["CallStatus"]), ("HungUp", "completed"));
    let ms: u64 = done["RecordingDurationMs"].parse().unwrap();
    assert!((3_200..4_500).contains(&ms), "{ms}");

    let mailbox = Mailbox::start();
    let url = mailbox.url("file");
    let flow = format!(
        "<Response><Record callbackUrl=\"{url}\" timeout=\"2\" fileFormat=\"wav\"/></Response>"
    );
    let conflow = Conflow::start(&[("mailbox", &flow)]);
    let mut bert = Baresip::call(conflow.sip, "mailbox", "bert", SAID);
    thread::sleep(Duration::from_secs(2));
    bert.tell("mute", "");
    let done = mailbox.wait_for("file");
    assert_eq!(done["RecordingEndReason"], "RecordingTimeout");
    // The silence counts from the end of the talk, which takes 600 ms to be noticed.
    let ms: u64 = done["RecordingDurationMs"].parse().unwrap();
    assert!((3_800..5_500).contains(&ms), "{ms}");
}
