//! A thousand notices to a receiver that is killed and restarted in between.
//!
//! The receivers are real web servers on this machine, each on a runtime that can be stopped at
//! once. The test checks which notices arrived in which order, and never how long that took.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::Request,
};
use conflow::api::Api;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};
use url::form_urlencoded;

use super::engine::{TestEngine, TestEngineOptions};

/// Members of each conference who enter and leave, beside the one who stays.
const MEMBERS: usize = 500;
/// Members who are in the conference at a time.
const ROUND: usize = 50;
/// The entry of the member who stays is a notice too.
const NOTICES: usize = 2 * MEMBERS + 1;
/// The receiver dies when it has received this notice, before it answers.
const DEATH: usize = 300;
/// The reader of the stream disconnects after this many events, repeatedly.
const PATIENCE: usize = 70;
/// Longer than anything here takes.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// A notice: the number in the conference, the event, the member.
type Notice = (u64, String, String);

/// A receiver: its address, and the notices of all its lives.
struct Receiver {
    address: SocketAddr,
    runtime: Option<Runtime>,
    received: Arc<Mutex<Vec<Notice>>>,
}

impl Receiver {
    /// Opens it at an address that no other test uses.
    fn open(host: &str) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let mut receiver = Self { address, runtime: None, received: Arc::default() };
        receiver.serve(listener, None);
        receiver
    }

    /// Sends on `dies` after this many notices, and answers none from then on.
    fn serve(&mut self, listener: TcpListener, dies: Option<(usize, mpsc::UnboundedSender<()>)>) {
        listener.set_nonblocking(true).unwrap();
        let received = Arc::clone(&self.received);
        let answer = move |body: Bytes| {
            let is_dying = {
                let mut received = received.lock();
                received.push(notice(&body));
                dies.as_ref()
                    .filter(|(at, _)| *at <= received.len())
                    .map(|(_, dying)| dying.clone())
            };
            async move {
                if let Some(dying) = is_dying {
                    _ = dying.send(());
                    std::future::pending::<()>().await;
                }
            }
        };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let router = Router::new().fallback(answer);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await
        });
        self.runtime = Some(runtime);
    }

    /// Breaks all connections at once; no request is answered any more.
    fn kill(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// Its sockets may take a moment to close.
    async fn restart(&mut self, dies: Option<(usize, mpsc::UnboundedSender<()>)>) {
        let listener = async {
            loop {
                match TcpListener::bind(self.address) {
                    Ok(listener) => return listener,
                    Err(_) => sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let listener = timeout(WAIT_MAX, listener).await.unwrap();
        self.serve(listener, dies);
    }

    fn received(&self) -> Vec<Notice> {
        self.received.lock().clone()
    }

    async fn wait_for(&self, what: &str, is_there: impl Fn(&[Notice]) -> bool) {
        let there = async {
            while !is_there(&self.received.lock()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(WAIT_MAX, there).await.is_ok(), "{what}: {:?}", self.received().last());
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

fn notice(body: &[u8]) -> Notice {
    let value = |wanted: &str| {
        let mut fields = form_urlencoded::parse(body);
        fields.find(|(name, _)| name == wanted).unwrap().1.into_owned()
    };
    let sequence = value("ConferenceSequence").parse().unwrap();
    (sequence, value("Event"), value("ConferenceMemberID"))
}

/// Starts a reader of the stream.
async fn reader(api: Api, conference: &'static str) -> JoinHandle<(usize, Vec<Notice>)> {
    let (begun, has_begun) = oneshot::channel();
    let reader = tokio::spawn(read(api, conference, begun));
    has_begun.await.unwrap();
    reader
}

/// Reads the events of a conference, disconnects repeatedly and resumes. Returns the number of
/// connections, and all entries and exits.
async fn read(api: Api, conference: &str, begun: oneshot::Sender<()>) -> (usize, Vec<Notice>) {
    let mut begun = Some(begun);
    let (mut last, mut connections, mut notices) = (None::<String>, 0, Vec::new());
    while notices.len() < NOTICES {
        connections += 1;
        let mut request = Request::get(format!("/v1/Account/MA1/Events/?conference={conference}"))
            .header("Authorization", "Basic TUExOm9uZQ==");
        if let Some(id) = &last {
            request = request.header("Last-Event-ID", id);
        }
        let response = api.answer([127, 0, 0, 1].into(), request.body(Body::empty()).unwrap());
        let mut body = response.await.into_body();
        // Events from now on are in the stream.
        if let Some(begun) = begun.take() {
            begun.send(()).unwrap();
        }
        let (mut text, mut seen) = (String::new(), 0);
        while seen < PATIENCE && notices.len() < NOTICES {
            let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
            text += str::from_utf8(&frame).unwrap();
            while let Some((event, rest)) = text.split_once("\n\n") {
                let part = |name: &str| event.lines().find_map(|it| it.strip_prefix(name));
                // A reader that disconnects within a piece has not read the rest of it.
                if let (Some(id), true) = (part("id: "), seen < PATIENCE) {
                    (last, seen) = (Some(id.to_owned()), seen + 1);
                    notices.extend(coming_or_going(part("data: ").unwrap()));
                }
                text = rest.to_owned();
            }
        }
    }
    (connections, notices)
}

fn coming_or_going(data: &str) -> Option<Notice> {
    let data: Value = serde_json::from_str(data).unwrap();
    let text =
        |name: &str| data[name].as_str().map_or_else(|| data[name].to_string(), str::to_owned);
    let event = text("Event");
    let is_one = ["ConferenceEnter", "ConferenceExit"].contains(&event.as_str());
    is_one.then(|| (text("ConferenceSequence").parse().unwrap(), event, text("ConferenceMemberID")))
}

/// The member ids of a conference.
async fn members(engine: &mut TestEngine, conference: &str) -> Vec<u64> {
    let shown = engine.line(&format!("GET P/Conference/{conference}/")).await;
    let Some((_, body)) = shown.split_once(" => 200 ") else { return Vec::new() };
    let body: Value = serde_json::from_str(body).unwrap();
    let id = |it: &Value| it["member_id"].as_str().unwrap().parse().unwrap();
    body["members"].as_array().unwrap().iter().map(id).collect()
}

/// Calls the number until `count` members are in.
async fn fill(engine: &mut TestEngine, number: &str, conference: &str, count: usize) -> Vec<u64> {
    let mut there = members(engine, conference).await;
    for _ in there.len()..count {
        engine.line(&format!("dial {number}")).await;
    }
    while there.len() < count {
        sleep(Duration::from_millis(1)).await;
        there = members(engine, conference).await;
    }
    there
}

fn conference_told_to(address: &str, name: &str) -> String {
    let options = format!("callbackUrl=\"http://{address}/\" stayAlone=\"true\"");
    format!("<Response><Conference {options}>{name}</Conference></Response>")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_killed_and_restarted_gets_every_notice_in_order_and_delays_no_other() {
    let (mut first, second) = (Receiver::open("127.0.77.1"), Receiver::open("127.0.77.2"));
    first.kill();
    let (dying, mut death) = mpsc::unbounded_channel();
    first.restart(Some((DEATH, dying))).await;

    let mut engine =
        TestEngine::new(TestEngineOptions { has_loopback: true, ..TestEngineOptions::default() });
    let rooms = [("web", "weekly", &first), ("second", "daily", &second)];
    for ((_, name, receiver), path) in rooms.iter().zip(["/answer", "/second"]) {
        engine.receiver.has(path, &conference_told_to(&receiver.address.to_string(), name));
    }
    let rooms = rooms.map(|(number, name, _)| (number, name));
    let reader = reader(engine.api.clone(), "weekly").await;
    let mut hosts = Vec::new();
    for (number, name) in rooms {
        hosts.extend(fill(&mut engine, number, name, 1).await);
    }
    let killed = tokio::spawn(async move {
        death.recv().await.unwrap();
        first.kill();
        first
    });
    for _ in 0..MEMBERS / ROUND {
        for (number, name) in rooms {
            let mut guests = fill(&mut engine, number, name, ROUND + 1).await;
            guests.retain(|it| !hosts.contains(it));
            let list = guests.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
            engine.line(&format!("POST P/Conference/{name}/Member/{list}/Kick/")).await;
        }
    }

    // The first stays dead until the second has received all of its own.
    second.wait_for("the second", |received| received.len() == NOTICES).await;
    let mut first = timeout(WAIT_MAX, killed).await.unwrap().unwrap();
    let before = first.received();
    assert_eq!(before.len(), DEATH, "a dead receiver gets nothing");
    first.restart(None).await;
    let (connections, read) = timeout(WAIT_MAX, reader).await.unwrap().unwrap();
    let last = read.last().unwrap().clone();
    first.wait_for("the first", |received| received.last() == Some(&last)).await;

    let mut received = first.received();
    let again = received.len() - NOTICES;
    assert_eq!(received[DEATH], received[DEATH - 1], "the unanswered notice is sent again first");
    received.dedup();
    assert_eq!(received.len(), NOTICES);
    assert!(received.is_sorted_by(|one, next| one.0 < next.0), "in order");
    assert_eq!(received, read, "the receiver and the reader of the stream differ");
    let comings = received.iter().filter(|it| it.1 == "ConferenceEnter").count();
    assert_eq!(comings, MEMBERS + 1);
    assert!(second.received().is_sorted_by(|one, next| one.0 < next.0));
    writeln!(
        std::io::stdout(),
        "killed after {DEATH} of {NOTICES} notices, restarted when the other receiver had its \
         {NOTICES}: got {} different ones in order, {again} of them twice; the stream's reader came \
         {connections} times and missed {}",
        received.len(),
        NOTICES - read.len()
    )
    .unwrap();
    engine.close().await;
}
