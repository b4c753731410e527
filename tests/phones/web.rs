//! Sounds and sound documents from a web server, heard by a phone.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;

use crate::{
    ear::{self, hears},
    leg::{Leg, LegOptions},
    program::{Conflow, beside_others, eventually},
};

const PLAYED: f64 = 500.0;
const WAITING: f64 = 700.0;
const ENTERED: f64 = 1_100.0;
const LEFT: f64 = 1_500.0;
const ANNOUNCED: f64 = 1_900.0;

/// A web server with tones and sound documents. It runs as long as the tests.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that has disconnected gets no response.
                _ = answer(address, stream.unwrap(), &log);
            }
        });
        Self { address, asked }
    }

    /// The requests without headers, such as `GET /500.wav`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }

    fn count(&self, request: &str) -> usize {
        self.asked().iter().filter(|it| it.as_str() == request).count()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

fn answer(
    address: SocketAddr,
    mut stream: TcpStream,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let (mut text, mut bytes) = (String::new(), [0; 4_096]);
    while !is_whole(&text) {
        let len = stream.read(&mut bytes)?;
        if len == 0 {
            return Ok(());
        }
        text += &String::from_utf8_lossy(&bytes[..len]);
    }
    let request = text.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
    log.lock().push(request.to_owned());
    let (_, path) = request.split_once(" /").unwrap();
    let tone =
        |seconds| path.split(['.', '?']).next()?.parse().ok().map(|it| ear::tone(it, seconds));
    let play = |tone: f64| format!("<Play>http://{address}/{tone}.wav</Play>");
    let (status, body) = match path {
        "wait.xml" => ("200 OK", sound_document(&play(WAITING))),
        "enter.xml" => ("200 OK", sound_document(&play(ENTERED))),
        "exit.xml" => ("200 OK", sound_document(&play(LEFT))),
        _ => match tone(2) {
            Some(tone) => ("200 OK", ear::wav(tone)),
            None => ("404 Not Found", Vec::new()),
        },
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&body)
}

/// A sound document that also has elements which are not played.
fn sound_document(play: &str) -> Vec<u8> {
    format!("<Response><Hangup/>{play}<Wait length=\"1\"/><DTMF>1</DTMF></Response>").into_bytes()
}

/// Whether the head and its whole body have arrived.
fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let lines = head.lines().map(str::to_ascii_lowercase);
    let length = lines.filter_map(|it| it.strip_prefix("content-length: ")?.parse().ok()).next();
    length.unwrap_or(0) <= body.len()
}

/// Waits until a tone is heard for a second without a break.
#[track_caller]
pub(crate) fn wait_for_tone(leg: &Leg, tone: f64) {
    eventually(&format!("{tone} Hz for {}", leg.user), || {
        let heard: Vec<i16> = leg.sounds().into_iter().flat_map(|it| it.samples).collect();
        ear::has_tone(&heard, tone).then_some(())
    });
}

#[test]
fn a_web_sound_is_played_and_fetched_once_and_a_missing_one_is_skipped() {
    let _share = beside_others();
    let server = Server::start();
    let (tone, missing) = (server.url("500.wav?key=hush"), server.url("missing.wav"));
    let flow = format!(
        "<Response><Play>{missing}</Play><Play>{tone}</Play><Play>{missing}</Play></Response>"
    );
    let conflow = Conflow::start(&[("play", &flow)]);
    for user in ["anna", "bert"] {
        let leg = Leg::call(conflow.sip, "play", user, LegOptions::default());
        leg.wait_for("BYE");
        let heard: Vec<i16> = leg.sounds().into_iter().flat_map(|it| it.samples).collect();
        let windows = heard.chunks_exact(800);
        let on = |it: &[i16]| 0.5 * ear::TONE < conflow::audio::tone::amplitude(it, 8_000, PLAYED);
        let on = windows.filter(|it| on(it)).count();
        assert!((18..=21).contains(&on), "{user} hears two seconds of it: {on}");
    }
    assert_eq!(server.count("GET /500.wav?key=hush"), 1, "{:?}", server.asked());
    let log = conflow.log();
    let warnings = log.lines().filter(|it| it.contains("a document or sound is not available"));
    let missing = |it: &&str| it.contains("missing.wav") && it.contains("status=404");
    assert_eq!(warnings.filter(missing).count(), 4, "{log}");
    assert!(!log.contains("hush"), "{log}");
}

#[test]
fn sound_documents_are_requested_by_post_and_heard_at_their_moments() {
    let _share = beside_others();
    let server = Server::start();
    let [wait, enter, exit] = ["wait.xml", "enter.xml", "exit.xml"].map(|it| server.url(it));
    let flow = format!(
        "<Response><Conference stayAlone=\"true\" waitSound=\"{wait}\" enterSound=\"{enter}\" exitSound=\"{exit}\">\
         room</Conference></Response>"
    );
    let conflow = Conflow::start(&[("room", &flow)]);
    let anna = Leg::call(conflow.sip, "room", "anna", LegOptions::default());
    wait_for_tone(&anna, WAITING);
    assert_eq!(server.count("POST /wait.xml"), 1);
    // In a loop: two seconds of sound, and one of silence.
    let heard = anna.hear(6_000);
    let on = |it: &&[i16]| 0.5 * ear::TONE < conflow::audio::tone::amplitude(it, 8_000, WAITING);
    let on = heard.chunks_exact(800).filter(on).count();
    assert!((38..=42).contains(&on), "two thirds of the time: {on} of 60");

    let mut bert = Leg::call(conflow.sip, "room", "bert", LegOptions::default());
    wait_for_tone(&anna, ENTERED);
    wait_for_tone(&bert, ENTERED);
    let [anna_id, _] = conflow.wait_members("room", ["anna", "bert"]);
    anna.hear(2_000);
    let body = format!("{{\"url\":\"{}\"}}", server.url("1900.wav"));
    let path = format!("Conference/room/Member/{anna_id}/Play/");
    let (status, answer) = conflow.ask("POST", "api/v1", &path, &body);
    assert_eq!(status, 200, "{answer}");
    wait_for_tone(&anna, ANNOUNCED);
    let heard: Vec<i16> = bert.sounds().into_iter().flat_map(|it| it.samples).collect();
    assert!(!hears("bert", &heard[heard.len() - 8_000..], ANNOUNCED));

    bert.hang_up();
    wait_for_tone(&anna, LEFT);
    let idle = "is skipped: a sound document plays its Play, Speak and Wait only";
    for document in
        ["wait.xml:1:11: <Hangup>", "enter.xml:1:11: <Hangup>", "exit.xml:1:11: <Hangup>"]
    {
        conflow.wait_for(&format!("{document} {idle}"));
    }
    conflow.wait_for(&format!("<DTMF> {idle}"));
}
