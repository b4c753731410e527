//! The HTTP server over real sockets. Where the clock is paused, it advances to the next deadline
//! as soon as all tasks wait.

use std::{future::Future, mem, net::SocketAddr, sync::Arc, time::Duration};

use conflow::{
    api::{
        ANSWER_WAIT_MAX, BODY_BYTES_MAX, BODY_WAIT_MAX,
        server::{CONNECTIONS_MAX, HEAD_BYTES_MAX, HEAD_WAIT_MAX, serve_at_most},
    },
    tls::{HANDSHAKE_WAIT_MAX, ServerTls},
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::Instant,
};

use tokio_rustls::TlsConnector;

use super::engine::{TestEngine, TestEngineOptions};
use crate::authority::Authority;

const CREDENTIALS: &str = "host: a\r\nx-auth-id: MA1\r\nx-auth-token: one\r\n";

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(engine: &TestEngine) -> Self {
        Self::start_at_most(CONNECTIONS_MAX, engine).await
    }

    async fn start_at_most(connections_max: usize, engine: &TestEngine) -> Self {
        Self::start_with(connections_max, None, engine).await
    }

    async fn start_with(
        connections_max: usize,
        tls: Option<Arc<ServerTls>>,
        engine: &TestEngine,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { drop(stopped.await) };
        let api = engine.api.clone();
        let serving = serve_at_most(connections_max, listener, tls, api, stopped);
        let serving = tokio::spawn(serving);
        Self { address, stop, serving }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Receives one response and returns its status and body.
    async fn receive(&mut self) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(self.0.read_u8().await.unwrap());
        }
        let head = String::from_utf8(bytes).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |it| it.parse().unwrap())];
        self.0.read_exact(&mut body).await.unwrap();
        let status = head.split(' ').nth(1).unwrap();
        format!("{status} {}", String::from_utf8(body).unwrap())
    }

    /// Reads until the other end closes.
    async fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

fn starts(text: &str, expected: &str) {
    assert!(text.starts_with(expected), "{expected:?} expected: {text:?}");
}

#[tokio::test]
async fn a_connection_serves_many_requests_even_if_nothing_reads_their_bodies() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let server = Server::start(&engine).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.send("POST /v1/Account/MA1/Conference/weekly/Member/1/Kick/ HTTP/1.1\r\n").await;
        client.send(CREDENTIALS).await;
        client.send("content-length: 8\r\n\r\n").await;
        tokio::task::yield_now().await;
        client.send("{\"a\":1}\n").await;
        starts(&client.receive().await, "404 ");
    }
    client.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.receive().await, "200 ok\n");
    client.send("HEAD /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let head = client.rest().await;
    assert!(head.contains("content-length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    server.stop().await;
    engine.close().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let server = Server::start(&engine).await;
    let mut client = server.connect().await;
    client.send("POST /v1/Account/MA1/Conference/weekly/Member/1/Play/ HTTP/1.1\r\n").await;
    client.send(CREDENTIALS).await;
    client.send(&format!("content-length: {}\r\n\r\n", BODY_BYTES_MAX + 1)).await;
    starts(&client.receive().await, "413 {\"api_id\":");
    server.stop().await;
    engine.close().await;
}

#[tokio::test]
async fn a_body_without_a_length_is_cut_off_when_it_is_too_large() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let server = Server::start(&engine).await;
    let mut client = server.connect().await;
    client.send("POST /v1/Account/MA1/Conference/weekly/Member/1/Play/ HTTP/1.1\r\n").await;
    client.send(CREDENTIALS).await;
    let chunk = "x".repeat(BODY_BYTES_MAX + 1);
    client.send(&format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{chunk}", chunk.len())).await;
    starts(&client.receive().await, "413 {\"api_id\":");
    server.stop().await;
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_too_slow_is_not_awaited_for_ever() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let server = Server::start(&engine).await;
    let mut client = server.connect().await;
    client.send("POST /v1/Account/MA1/Conference/weekly/Member/1/Play/ HTTP/1.1\r\n").await;
    client.send(CREDENTIALS).await;
    client.send("content-length: 5\r\n\r\n{").await;
    let answer = after(BODY_WAIT_MAX, client.receive()).await;
    starts(&answer, "408 {\"api_id\":");

    for sent in ["", "GET /healthz HT"] {
        let mut client = server.connect().await;
        client.send(sent).await;
        after(HEAD_WAIT_MAX, client.rest()).await;
    }
    server.stop().await;
    engine.close().await;
}

/// Advances the paused clock to the next deadline, and no further.
async fn after<T>(wait: Duration, what: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let actual = what.await;
    let (waited, grace) = (start.elapsed(), Duration::from_millis(10));
    assert!(wait <= waited + grace && waited <= wait + grace, "{waited:?}, not {wait:?}");
    actual
}

/// Issue 14, A1: nobody without credentials keeps anybody with credentials out.
#[tokio::test]
async fn idle_connections_of_strangers_make_room() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let server = Server::start_at_most(4, &engine).await;
    let mut known = server.connect().await;
    let ask = format!("GET /v1/Account/MA1/Conference/ HTTP/1.1\r\n{CREDENTIALS}\r\n");
    known.send(&ask).await;
    starts(&known.receive().await, "200 ");
    let mut strangers = Vec::new();
    for n in 0..20 {
        let mut stranger = server.connect().await;
        if n % 2 == 0 {
            stranger.send("GET /v1/Account/MA1/Conference/ HTTP/1.1\r\nhost: a\r\n\r\n").await;
            starts(&stranger.receive().await, "401 ");
        }
        strangers.push(stranger);
    }
    let mut next = server.connect().await;
    next.send(&ask).await;
    starts(&next.receive().await, "200 ");
    known.send(&ask).await;
    starts(&known.receive().await, "200 ");
    assert_eq!(strangers.remove(0).rest().await, "");
    drop((known, next, strangers));
    server.stop().await;
    engine.close().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let server = Server::start(&engine).await;
    let mut client = server.connect().await;
    let name = "x".repeat(3 * HEAD_BYTES_MAX);
    client.send(&format!("GET /v1/Account/{name}/Conference/ HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    starts(&client.receive().await, "431 ");
    server.stop().await;
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_answers_pending_requests_and_closes_the_rest() {
    let mut engine =
        TestEngine::new(TestEngineOptions { is_stalled: true, ..TestEngineOptions::default() });
    engine.dial("weekly").await;
    let server = Server::start(&engine).await;
    let idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.send("POST /v1/Account/MA1/Conference/weekly/Member/1/Kick/ HTTP/1.1\r\n").await;
    busy.send(&format!("{CREDENTIALS}\r\n")).await;
    let address = server.address;
    // Both are accepted, and the request is in progress.
    tokio::time::sleep(Duration::from_millis(1)).await;

    after(ANSWER_WAIT_MAX, server.stop()).await;
    assert_eq!(idle.rest().await, "");
    starts(&busy.receive().await, "504 {\"api_id\":");
    assert_eq!(busy.rest().await, "");
    assert!(TcpStream::connect(address).await.is_err());
    mem::forget(engine);
}

#[tokio::test]
async fn https_answers_those_who_trust_its_certificate_and_drops_those_who_do_not_shake_hands() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let authority = Authority::new();
    let tls = ServerTls::open(authority.sign("127.0.0.1", 2_100), &["http/1.1"]).unwrap();
    let server = Server::start_with(2, Some(Arc::new(tls)), &engine).await;
    // Two strangers who say nothing take all places, and make room for who comes next.
    let silent = [server.connect().await, server.connect().await];
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = TlsConnector::from(authority.trusted());
    let mut stream = connector.connect(name, stream).await.unwrap();
    let request = "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(silent);

    let mut plain = server.connect().await;
    plain.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut bytes = Vec::new();
    let _ = plain.0.read_to_end(&mut bytes).await;
    assert!(!bytes.starts_with(b"HTTP"), "nothing is answered in the clear");
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_has_its_time_and_no_more() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let tls = ServerTls::open(Authority::new().sign("127.0.0.1", 2_100), &[]).unwrap();
    let server = Server::start_with(2, Some(Arc::new(tls)), &engine).await;
    let mut silent = server.connect().await;
    tokio::task::yield_now().await;
    tokio::time::pause();
    let begun = Instant::now();
    let _ = silent.0.read(&mut [0; 9]).await;
    let took = begun.elapsed();
    assert!(took <= HANDSHAKE_WAIT_MAX + Duration::from_secs(1), "{took:?}");
    tokio::time::resume();
    server.stop().await;
}
