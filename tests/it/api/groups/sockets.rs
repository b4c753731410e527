//! Kirimin's sockets over a real server: recipients, order and end.

use std::net::SocketAddr;

use conflow::api::{groups::Settings, server::serve};
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

use super::dialects::{TestGroups, UNLIMITED};

/// Test groups with a real server.
struct SocketServer {
    groups: TestGroups,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

type Socket = WebSocketStream<TcpStream>;

impl SocketServer {
    async fn open(settings: Settings) -> Self {
        let groups = TestGroups::open(settings).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let serving = tokio::spawn(serve(listener, None, groups.engine.api.clone(), stopped));
        Self { groups, address, stop, serving }
    }

    /// A new socket id for a person.
    async fn mint(&self, person: u64) -> String {
        let response = self.groups.answer(&format!("GET /x/auth/isUser [as {person}]")).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        body["data"]["socket"]["id"].as_str().unwrap().to_owned()
    }

    fn cookie(&self, person: u64) -> String {
        let (_, words) =
            self.groups.placeholders.iter().find(|it| it.0 == format!("[as {person}]")).unwrap();
        words.split("Cookie: ").nth(1).unwrap().trim_end_matches(']').to_owned()
    }

    async fn connect(&self, path: &str, cookie: Option<String>) -> Result<Socket, u16> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        if let Some(cookie) = cookie {
            request.headers_mut().insert("cookie", cookie.parse().unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn socket(&self, person: u64) -> Socket {
        let path = format!("/socket?id={}", self.mint(person).await);
        self.connect(&path, Some(self.cookie(person))).await.unwrap()
    }

    /// Sends a line through the server, and returns the status.
    async fn send(&self, person: u64, line: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let cookie = self.cookie(person);
        let head = format!(
            "{line} HTTP/1.1\r\nhost: a\r\ncookie: {cookie}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    async fn close(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
        self.groups.engine.close().await;
    }
}

/// The next text message.
async fn hear(socket: &mut Socket) -> Value {
    loop {
        let message = socket.next().await.unwrap().unwrap();
        match message.to_text() {
            Ok(text) if message.is_text() => return serde_json::from_str(text).unwrap(),
            _ => assert!(message.is_ping(), "{message:?}"),
        }
    }
}

/// Whether nothing more arrives until the close, except pings on a slow machine.
async fn is_closed(socket: &mut Socket) -> bool {
    loop {
        match socket.next().await {
            Some(Ok(Message::Ping(_))) => (),
            end => return matches!(end, Some(Ok(Message::Close(Some(_))))),
        }
    }
}

/// The code with which a socket is closed within a second; None if it is not.
async fn end_of(socket: &mut Socket) -> Option<u16> {
    let end = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Ping(_))) => (),
                Some(Ok(Message::Close(Some(close)))) => return close.code.into(),
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(1), end).await.ok()
}

/// A signal of group 6000001, numbered after its creation and four entries.
fn signal(sequence: u64, from: &str, kind: &str) -> Value {
    let key = format!("{:016x}{sequence:016x}", 6_000_001);
    json!({ "key": key, "from": from, "type": kind, "groupid": "6000001" })
}

#[tokio::test]
async fn all_members_and_the_owner_hear_of_a_kick_and_so_does_its_target() {
    let server = SocketServer::open(UNLIMITED).await;
    let [mut owner, mut admin, mut target, mut stranger] = [
        server.socket(1).await,
        server.socket(3).await,
        server.socket(5).await,
        server.socket(7).await,
    ];
    assert_eq!(server.send(1, "POST /x/group/kick/6000001/5").await, 200);
    assert_eq!(hear(&mut owner).await, signal(6, "5", "memberleave"));
    assert_eq!(hear(&mut admin).await, signal(6, "5", "memberleave"));
    assert_eq!(hear(&mut target).await, signal(6, "1", "memberkick"));

    // A kick in another dialect is signalled too, and the removed person hears no more.
    let kick = r#"POST /api/v1/groups.kick [as 3] {"roomId":"6000001","userId":"6"}"#;
    assert_eq!(server.groups.answer(kick).await.status(), 200);
    assert_eq!(hear(&mut owner).await, signal(7, "6", "memberleave"));
    let join = r#"POST /x/group/join/6000001 [as 7] {"link":"open-sesame"}"#;
    assert_eq!(server.groups.answer(join).await.status(), 200);
    assert_eq!(hear(&mut admin).await, signal(7, "6", "memberleave"));
    let come = hear(&mut admin).await;
    assert_eq!((&come["type"], &come["user"]["id"]), (&json!("memberjoin"), &json!("7")));
    // The owner leaves, and the group ends for all.
    assert_eq!(server.send(1, "POST /x/group/leave/6000001").await, 200);
    assert_eq!(hear(&mut stranger).await["type"], "memberkick");
    assert_eq!(hear(&mut admin).await["type"], "memberkick");
    server.close().await;
    // The server stops: every socket is closed, and the target has heard nothing more.
    assert!(is_closed(&mut target).await);
}

#[tokio::test]
async fn signals_wait_for_their_own_answer_and_for_no_other() {
    let server = SocketServer::open(UNLIMITED).await;
    let mut owner = server.socket(1).await;
    let held = server.groups.answer("POST /x/group/kick/6000001/5 [as 1] {}").await;
    assert_eq!(held.status(), 200);
    drop(server.groups.answer("POST /x/group/kick/6000001/6 [as 1] {}").await);
    assert_eq!(hear(&mut owner).await, signal(7, "6", "memberleave"));
    drop(held);
    assert_eq!(hear(&mut owner).await, signal(6, "5", "memberleave"));
    server.close().await;
}

#[tokio::test]
async fn in_the_order_of_the_original_server_signals_come_first_and_none_to_the_owner() {
    let server = SocketServer::open(Settings { is_kirimin_server: true, ..UNLIMITED }).await;
    let [mut owner, mut admin, mut target] =
        [server.socket(1).await, server.socket(3).await, server.socket(5).await];
    let held = server.groups.answer("POST /x/group/kick/6000001/5 [as 1] {}").await;
    assert_eq!(hear(&mut target).await, signal(6, "1", "memberkick"));
    assert_eq!(hear(&mut admin).await, signal(6, "5", "memberleave"));
    drop(held);
    let join = r#"POST /x/group/join/6000001 [as 7] {"link":"open-sesame"}"#;
    drop(server.groups.answer(join).await);
    assert_eq!(hear(&mut owner).await["type"], "memberjoin");
    server.close().await;
}

#[tokio::test]
async fn answer_and_signals_come_when_the_call_has_left() {
    for is_kirimin_server in [false, true] {
        let mut server = SocketServer::open(Settings { is_kirimin_server, ..UNLIMITED }).await;
        let room = r#"has /answer <Response><Conference group="6000001" stayAlone="true">weekly</Conference></Response>"#;
        let phone = r#"POST S/Phone/ {"to":"web","user":"user5"} => 201 {"call_uuid":"*"}"#;
        server.groups.play(&[room, phone]).await;
        let status = async || {
            let request = server.groups.engine.request("GET V/Conference/weekly/");
            server.groups.engine.send(request).await.status().as_u16()
        };
        while status().await != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let [mut admin, mut target] = [server.socket(3).await, server.socket(5).await];
        let answered = async {
            let kicked = server.send(1, "POST /x/group/kick/6000001/5").await;
            (kicked, status().await)
        };
        let heard = async {
            let signals = tokio::join!(
                async { (hear(&mut admin).await["type"].clone(), status().await) },
                async { (hear(&mut target).await["type"].clone(), status().await) },
            );
            assert_eq!(signals, ((json!("memberleave"), 404), (json!("memberkick"), 404)));
        };
        let (answered, ()) = tokio::join!(answered, heard);
        assert_eq!(answered, (200, 404), "the room is empty");
        server.close().await;
    }
}

#[tokio::test]
async fn a_socket_needs_its_id_and_its_session() {
    let server = SocketServer::open(UNLIMITED).await;
    let id = server.mint(5).await;
    let status = async |path: String, cookie| server.connect(&path, cookie).await.err();
    assert_eq!(status("/socket?id=guess".to_owned(), Some(server.cookie(5))).await, Some(401));
    assert_eq!(status("/socket".to_owned(), Some(server.cookie(5))).await, Some(401));
    assert_eq!(status(format!("/socket?id={id}"), None).await, Some(401));
    assert_eq!(status(format!("/socket?id={id}"), Some(server.cookie(6))).await, Some(401));
    assert_eq!(status(format!("/?id={id}"), Some(server.cookie(6))).await, Some(401));
    assert_eq!(status("/?id=".to_owned(), None).await, Some(401));
    // The bare form, as documented.
    let mut first = server.connect(&format!("/?id={id}"), None).await.unwrap();
    let mut second = server.socket(5).await;
    assert_eq!(hear(&mut first).await, json!({ "type": "newLoggedIn", "uid": "5" }));
    assert!(is_closed(&mut first).await);
    assert_eq!(status(format!("/socket?id={id}"), Some(server.cookie(5))).await, Some(401));
    assert_eq!(server.send(1, "POST /x/group/kick/6000001/5").await, 200);
    assert_eq!(hear(&mut second).await["type"], "memberkick");
    let plain =
        server.groups.answer(&format!("GET /socket?id={} [as 5]", server.mint(5).await)).await;
    assert_eq!(plain.status(), 400, "no handshake");
    server.close().await;
}

/// Issue 14, A2: close code 1008 (RFC 6455, section 7.4.1: a policy is violated).
#[tokio::test]
async fn a_socket_ends_with_its_session_however_that_ends() {
    let server = SocketServer::open(UNLIMITED).await;
    let ends = [
        (5, "GET /api/v1/me [as 5]", false),
        (5, "POST /groups/v1/Account/MA1/Person/5/Password/ [admin] {\"password\":\"new\"}", true),
        (6, "DELETE /groups/v1/Account/MA1/Person/6/Token/ [admin]", true),
        (7, "GET /x/auth/logout [as 7]", true),
        (3, "POST /api/v1/logout [as 3]", true),
    ];
    for (person, line, is_end) in ends {
        let mut socket = server.socket(person).await;
        let id = server.mint(8).await;
        let mut other = server.connect(&format!("/?id={id}"), None).await.unwrap();
        let bare = match is_end {
            true => Some(server.mint(person).await),
            false => None,
        };
        if let Some(id) = &bare {
            assert_eq!(hear(&mut socket).await["type"], "newLoggedIn");
            let path = format!("/?id={id}");
            socket = server.connect(&path, None).await.unwrap();
        }
        let status = server.groups.answer(line).await.status().as_u16();
        assert!(status < 400, "{line}: {status}");
        assert_eq!(end_of(&mut socket).await, is_end.then_some(1008), "{line}");
        assert_eq!(end_of(&mut other).await, None, "{line}");
        if let Some(id) = bare {
            let path = format!("/?id={id}");
            assert_eq!(server.connect(&path, None).await.err(), Some(401), "{line}");
        }
    }
    server.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_answers_no_ping_ends_and_so_does_one_that_sends_too_much() {
    let server = SocketServer::open(UNLIMITED).await;
    let id = server.mint(5).await;
    let mut dumb = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "GET /?id={id} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    dumb.write_all(head.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    dumb.read_to_end(&mut all).await.unwrap();
    let text = String::from_utf8_lossy(&all);
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    assert!(text.contains("sec-websocket-accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI="), "{text}");
    assert!(all.ends_with(&[0x89, 0]), "one ping, and then the end: {all:?}");

    let mut loud = server.socket(3).await;
    loud.send(Message::text("x".repeat(5_000))).await.unwrap();
    let end = loop {
        match loud.next().await {
            Some(Ok(Message::Ping(_))) => (),
            end => break end,
        }
    };
    assert!(!matches!(end, Some(Ok(Message::Text(_)))), "{end:?}");
    server.close().await;
}
