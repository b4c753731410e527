//! Web console: its files, its sessions, and who may use them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, Response},
};
use conflow::{
    accounts::Role,
    api::Trust,
    console::{Console, origins::ConsoleOrigins, sessions::ConsoleSessions},
};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::Instant;

use super::engine::{TestEngine, TestEngineOptions};

const HOST: &str = "127.0.0.1:8080";
const ROOMS: &str = "/v1/Account/MA1/Conference/";

/// An engine with a console at port 8080 of this machine.
struct TestConsole {
    engine: TestEngine,
    console: Arc<Console>,
}

/// What a browser has of a session.
struct Session {
    cookie: String,
    key: String,
}

type Headers<'a> = &'a [(&'a str, &'a str)];

impl TestConsole {
    fn open() -> Self {
        let engine = TestEngine::new(TestEngineOptions::default());
        let http: SocketAddr = HOST.parse().unwrap();
        let console = Arc::new(Console {
            origins: ConsoleOrigins::new(Vec::new(), http, false),
            sessions: ConsoleSessions::default(),
            is_development: true,
        });
        drop(engine.api.clone().with_console(console.clone()));
        Self { engine, console }
    }

    async fn ask(&self, line: &str, headers: Headers<'_>, body: &str) -> Response<Body> {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if headers.iter().all(|(name, _)| *name != "Host") {
            request = request.header("Host", HOST);
        }
        let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        self.engine.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn status(&self, line: &str, headers: Headers<'_>) -> u16 {
        self.ask(line, headers, "").await.status().as_u16()
    }

    /// Signs in by the token of `MA1`.
    async fn sign_in(&self, body: &str) -> Session {
        let response = self.ask("POST /console/session", &[], body).await;
        assert_eq!(response.status(), 200);
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let body = json(response).await;
        Session { cookie, key: body["key"].as_str().unwrap().to_owned() }
    }
}

impl Session {
    fn headers<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = [("Cookie", &*self.cookie), ("X-Conflow-Console", &*self.key)];
        own.into_iter().chain(more.iter().copied()).collect()
    }
}

async fn json(response: Response<Body>) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

const TOKEN: &str = r#"{"auth_id":"MA1","auth_token":"one"}"#;

#[tokio::test(start_paused = true)]
async fn a_session_is_as_good_as_its_token_for_its_own_account() {
    let it = TestConsole::open();
    let session = it.sign_in(TOKEN).await;
    let own = session.headers(&[]);
    assert_eq!(it.status(&format!("GET {ROOMS}"), &own).await, 200);
    assert_eq!(it.status("GET /sim/v1/Account/MA1/Phone/x/", &own).await, 404);
    assert_eq!(it.status("GET /v1/Account/MA2/Conference/", &own).await, 404);
    let shown = json(it.ask("GET /console/session", &own, "").await).await;
    assert_eq!((&shown["account"], &shown["role"]), (&"MA1".into(), &"full".into()));
    assert!(shown.get("key").is_none(), "it is shown once");
    // Credentials count, not the cookie beside them.
    let both = session.headers(&[("X-Auth-ID", "MA1"), ("X-Auth-Token", "wrong")]);
    assert_eq!(it.status(&format!("GET {ROOMS}"), &both).await, 401);

    assert_eq!(it.status("DELETE /console/session", &own).await, 204);
    let ended = it.ask(&format!("GET {ROOMS}"), &own, "").await;
    assert_eq!(ended.status(), 401);
    assert!(!ended.headers().contains_key("www-authenticate"), "a browser would ask by itself");
    it.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn half_a_session_and_other_origins_are_refused() {
    let it = TestConsole::open();
    let session = it.sign_in(TOKEN).await;
    // A page that may use the API from elsewhere may not use the console's session.
    let trust = Trust { proxies: Vec::new(), origins: vec!["https://app.example".to_owned()] };
    it.engine.api.state().set_trust(trust);
    let rooms = format!("GET {ROOMS}");
    assert_eq!(it.status(&rooms, &[("Cookie", &session.cookie)]).await, 401);
    assert_eq!(it.status(&rooms, &[("X-Conflow-Console", &session.key)]).await, 401);
    let key = [("X-Conflow-Console", &*session.key)];
    assert_eq!(it.status(&rooms, &session.headers(&key)).await, 401);
    let same = [("Origin", "http://127.0.0.1:8080"), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(it.status(&rooms, &session.headers(&same)).await, 200);
    for foreign in [
        ("Host", "evil.example"),
        ("Host", "127.0.0.1:8081"),
        ("Origin", "http://localhost:8080"),
        ("Origin", "https://app.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Site", "none"),
    ] {
        let headers = session.headers(std::slice::from_ref(&foreign));
        for line in [&*rooms, "POST /console/session", "DELETE /console/session"] {
            let response = it.ask(line, &headers, TOKEN).await;
            assert_eq!(response.status(), 403, "{line} {foreign:?}");
            assert!(!response.headers().contains_key("access-control-allow-origin"));
        }
    }
    let preflight = [
        ("Origin", "https://app.example"),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "x-auth-id, X-Conflow-Console"),
    ];
    let answer = it.ask(&format!("OPTIONS {ROOMS}"), &preflight, "").await;
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    it.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_link_signs_in_once_on_this_machine() {
    let it = TestConsole::open();
    let token = it.engine.accounts.verify("MA1", "one").unwrap();
    let now = Instant::now().into_std();
    let code = it.console.sessions.issue_code(now, &token).unwrap();
    let body = format!(r#"{{"code":"{code}"}}"#);
    let elsewhere = Request::post("/console/session").header("Host", HOST);
    let elsewhere = elsewhere.body(Body::from(body.clone())).unwrap();
    let answer = it.engine.api.answer("192.0.2.1".parse().unwrap(), elsewhere).await;
    assert_eq!(answer.status(), 401);
    let session = it.sign_in(&body).await;
    assert_eq!(it.status(&format!("GET {ROOMS}"), &session.headers(&[])).await, 200);
    let again = it.ask("POST /console/session", &[], &body).await;
    assert_eq!(again.status(), 401);
    assert!(json(again).await["error"].as_str().unwrap().starts_with("this link works once"));
    for bad in ["", "{}", r#"{"auth_id":"MA1"}"#, r#"{"code":1}"#] {
        assert_eq!(it.ask("POST /console/session", &[], bad).await.status(), 400, "{bad}");
    }
    it.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_read_only_session_reads() {
    let it = TestConsole::open();
    let mut configured = it.engine.accounts.empty();
    configured.add(&"MA1".parse().unwrap(), "one").unwrap();
    configured.add_as(&"MA1".parse().unwrap(), "reader", Role::ReadOnly).unwrap();
    it.engine.accounts.set_configured(configured);
    let session = it.sign_in(r#"{"auth_id":"MA1","auth_token":"reader"}"#).await;
    let own = session.headers(&[]);
    let shown = json(it.ask("GET /console/session", &own, "").await).await;
    assert_eq!(shown["role"], "read-only");
    assert_eq!(it.status(&format!("GET {ROOMS}"), &own).await, 200);
    assert_eq!(it.status(&format!("POST {ROOMS}x/Member/all/Kick/?dry_run=true"), &own).await, 403);
    assert_eq!(it.status("POST /sim/v1/Account/MA1/Phone/", &own).await, 403);
    it.engine.close().await;
}

/// Issue 14, A2, for sessions.
#[tokio::test(start_paused = true)]
async fn streams_end_with_the_token_of_their_session_and_with_the_session() {
    let it = TestConsole::open();
    let events = "GET /v1/Account/MA1/Events/";
    let (first, second) = (it.sign_in(TOKEN).await, it.sign_in(TOKEN).await);
    let mut streams = Vec::new();
    for session in [&first, &second] {
        let mut body = it.ask(events, &session.headers(&[]), "").await.into_body();
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().now_or_never().is_none(), "it is open");
        streams.push(body);
    }
    assert_eq!(it.status("DELETE /console/session", &first.headers(&[])).await, 204);
    assert!(streams[0].frame().await.unwrap().is_err(), "it breaks off");
    assert!(streams[1].frame().now_or_never().is_none(), "the other session goes on");
    let mut configured = it.engine.accounts.empty();
    configured.add(&"MA1".parse().unwrap(), "another").unwrap();
    it.engine.accounts.set_configured(configured);
    assert!(streams[1].frame().await.unwrap().is_err());
    assert_eq!(it.status(events, &second.headers(&[])).await, 401);

    let third = it.sign_in(r#"{"auth_id":"MA1","auth_token":"another"}"#).await;
    let mut body = it.ask(events, &third.headers(&[]), "").await.into_body();
    let begin = Instant::now();
    while body.frame().await.unwrap().is_ok() {}
    assert_eq!(begin.elapsed(), Duration::from_secs(12 * 3_600), "a session lasts half a day");
    it.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn files_are_compressed_and_named_by_their_contents() {
    let it = TestConsole::open();
    let page = it.ask("GET /console", &[("Sec-Fetch-Site", "cross-site")], "").await;
    assert_eq!(
        (page.status().as_u16(), &page.headers()["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    let script = it.ask("GET /console/app.js", &[("Accept-Encoding", "br, gzip")], "").await;
    assert_eq!(script.headers()["content-encoding"], "gzip");
    let policy = script.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    let etag = script.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(it.status("GET /console/app.js", &[("If-None-Match", &etag)]).await, 304);
    let plain = it.ask("GET /console/app.js", &[], "").await;
    assert!(!plain.headers().contains_key("content-encoding"));
    assert_eq!(it.status("GET /console/app.js", &[("Sec-Fetch-Site", "cross-site")]).await, 403);
    assert_eq!(it.status("GET /console/nothing.js", &[]).await, 404);
    let root = it.ask("GET /", &[("Accept", "text/html,*/*")], "").await;
    assert_eq!(
        (root.status().as_u16(), &root.headers()["location"]),
        (303, &"/console/".parse().unwrap())
    );
    assert_eq!(it.ask("GET /", &[], "").await.headers()["location"], "/docs");
    it.engine.close().await;

    // A server without a console has none of its paths.
    let engine = TestEngine::new(TestEngineOptions::default());
    for path in ["/console/", "/console/app.js", "/console/session"] {
        let request = Request::get(path).header("Host", HOST).body(Body::empty()).unwrap();
        assert_eq!(engine.send(request).await.status(), 404, "{path}");
    }
    engine.close().await;
}
