//! Clients behind proxies, and web pages: limits by address, `Origin`, CORS.

use axum::{
    body::Body,
    http::{Request, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use conflow::api::{FailureLimits, Settings, Trust};

use super::{
    engine::{TestEngine, TestEngineOptions},
    groups::dialects::{TestGroups, UNLIMITED},
};

const PROXY: &str = "10.0.0.1";

fn trust(engine: &TestEngine, origins: &[&str]) {
    let origins = origins.iter().map(|&it| it.to_owned()).collect();
    let proxies = vec!["10.0.0.0/8".parse().unwrap()];
    engine.api.state().set_trust(Trust { proxies, origins });
}

/// The status of a request with these credentials, which a peer forwards.
async fn ask(engine: &TestEngine, peer: &str, forwarded: &str, token: &str) -> u16 {
    let request = Request::get("/v1/Account/MA1/Conference/")
        .header("X-Auth-ID", "MA1")
        .header("X-Auth-Token", token)
        .header("X-Forwarded-For", forwarded);
    let request = request.body(Body::empty()).unwrap();
    engine.api.answer(peer.parse().unwrap(), request).await.status().as_u16()
}

/// Issue 14, A1.
#[tokio::test(start_paused = true)]
async fn clients_behind_a_trusted_proxy_have_limits_of_their_own() {
    let one = super::failure::limited(1, 60);
    let failure_limits = FailureLimits { by_address: one, by_name: one };
    let settings = Settings { failure_limits, ..Settings::default() };
    let engine = TestEngine::new(TestEngineOptions { settings, ..Default::default() });
    trust(&engine, &[]);
    assert_eq!(ask(&engine, PROXY, "192.0.2.1", "no").await, 401);
    assert_eq!(ask(&engine, PROXY, "192.0.2.1", "no").await, 429);
    assert_eq!(ask(&engine, PROXY, "192.0.2.2", "no").await, 401);
    assert_eq!(ask(&engine, PROXY, "192.0.2.1", "one").await, 200);
    // A client's own header changes nothing, with and without a proxy.
    assert_eq!(ask(&engine, PROXY, "192.0.2.77, 192.0.2.1", "no").await, 429);
    assert_eq!(ask(&engine, "192.0.2.9", "192.0.2.77", "no").await, 401);
    assert_eq!(ask(&engine, "192.0.2.9", "192.0.2.78", "no").await, 429);
    engine.close().await;
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |it| it.to_str().unwrap())
}

async fn send(groups: &TestGroups, line: &str, origin: &str) -> Response<Body> {
    let line = line.replace("ORIGIN", &format!("[Host: here.example] [Origin: {origin}]"));
    groups.answer(&line).await
}

const APP: &str = "https://app.example";
const EVIL: &str = "https://evil.example";

/// The Fetch standard, section 3.2; issue 14, F7.
#[tokio::test(start_paused = true)]
async fn pages_of_listed_origins_may_use_every_dialect() {
    let groups = TestGroups::open(UNLIMITED).await;
    trust(&groups.engine, &["https://other.example", APP]);
    for path in [
        "/v1/Account/MA1/Conference/",
        "/api/v1/Account/MA1/Conference/",
        "/v1/Account/MA1/Events/",
        "/sim/v1/Account/MA1/Phone/",
        "/groups/v1/Account/MA1/Person/",
        "/Platform/GroupV2/1/Members/3/2/Kick/",
        "/api/v1/groups.kick",
        "/x/group/kick/1/2",
        "/v2/userGroup2",
        "/healthz",
        "/nothing",
    ] {
        let preflight = format!(
            "OPTIONS {path} ORIGIN [Access-Control-Request-Method: POST] \
             [Access-Control-Request-Headers: authorization,x-a]"
        );
        let response = send(&groups, &preflight, APP).await;
        let ok = if path.contains("groups.kick") { 200 } else { 204 };
        assert_eq!(response.status(), ok, "{path}");
        assert_eq!(header(&response, "access-control-allow-origin"), APP, "{path}");
        let headers = header(&response, "access-control-allow-headers");
        assert_eq!(
            (headers, header(&response, "access-control-max-age")),
            ("authorization,x-a", "600")
        );
        let methods = header(&response, "access-control-allow-methods");
        assert!(methods.contains("GET") || methods.contains("POST"), "{path}: {methods}");
        let is_kirimin = path.starts_with("/x/");
        let credentials = header(&response, "access-control-allow-credentials");
        assert_eq!(credentials, if is_kirimin { "true" } else { "" }, "{path}");
        let response = send(&groups, &preflight, EVIL).await;
        assert_eq!(header(&response, "access-control-allow-origin"), "", "{path}");
        assert_eq!(header(&response, "access-control-allow-methods"), "", "{path}");
        assert_eq!(header(&response, "vary"), "Origin", "{path}");
        // The answers themselves, successful or not.
        let get = format!("GET {path} ORIGIN [admin]");
        let response = send(&groups, &get, APP).await;
        assert_eq!(header(&response, "access-control-allow-origin"), APP, "{path}");
        assert_eq!(header(&response, "vary"), "Origin", "{path}");
        assert!(header(&response, "access-control-expose-headers").contains("Retry-After"));
        let response = send(&groups, &get, EVIL).await;
        assert_eq!(header(&response, "access-control-allow-origin"), "", "{path}");
    }
    groups.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn without_listed_origins_no_page_gets_a_permission() {
    let groups = TestGroups::open(UNLIMITED).await;
    let preflight = "ORIGIN [Access-Control-Request-Method: POST]";
    let check = async |path: &str, status: u16| {
        let response = send(&groups, &format!("OPTIONS {path} {preflight}"), APP).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(header(&response, "access-control-allow-origin"), "", "{path}");
        assert_eq!(header(&response, "vary"), "", "{path}");
    };
    check("/v1/Account/MA1/Conference/", 204).await;
    // As the real server: CORS is off, or the origin is not listed.
    check("/api/v1/groups.kick", 405).await;
    trust(&groups.engine, &["https://other.example"]);
    let line = format!("OPTIONS /api/v1/groups.kick {preflight}");
    assert_eq!(send(&groups, &line, APP).await.status(), 403);
    groups.engine.close().await;
}

/// RFC 6455, section 10.2; issue 14, A9.
#[tokio::test(start_paused = true)]
async fn a_cookie_is_good_for_our_own_and_for_listed_pages_only() {
    let groups = TestGroups::open(UNLIMITED).await;
    trust(&groups.engine, &[APP]);
    for (line, status) in [
        ("GET /x/auth/isUser ORIGIN [as 5]", 200),
        ("GET /x/auth/logout ORIGIN", 302),
        ("POST /x/auth/sign-in ORIGIN {\"mobile\":\"881\",\"password\":\"pw\"}", 200),
        ("POST /x/group/kick/6000001/99 ORIGIN [as 1] {}", 404),
        ("GET /invite/x ORIGIN [as 1]", 404),
        // The id is wrong.
        ("GET /socket?id=x ORIGIN [as 1]", 401),
        ("GET /?id=x ORIGIN [Upgrade: websocket]", 401),
    ] {
        for origin in [APP, "https://here.example", "http://here.example:80"] {
            assert_eq!(send(&groups, line, origin).await.status(), status, "{line} {origin}");
        }
        for origin in [EVIL, "null", "https://here.example:8443", "https://a.here.example"] {
            assert_eq!(send(&groups, line, origin).await.status(), 403, "{line} {origin}");
        }
        assert_eq!(groups.answer(&line.replace("ORIGIN ", "")).await.status(), status, "{line}");
    }
    // Elsewhere no credentials come by themselves.
    assert_eq!(send(&groups, "GET /api/v1/me ORIGIN [as 5]", EVIL).await.status(), 200);
    groups.engine.close().await;
}

/// A form of any page could act with the credentials that a browser remembers: OWASP ASVS 4.0.3,
/// 4.2.2.
#[tokio::test(start_paused = true)]
async fn a_page_of_another_origin_changes_nothing_with_remembered_credentials() {
    let engine = TestEngine::new(TestEngineOptions::default());
    trust(&engine, &[APP]);
    let ask = async |method: &str, origin: &str, basic: bool| {
        let request = Request::builder()
            .method(method)
            .uri("/v1/Account/MA1/Conference/weekly/Member/all/Kick/")
            .header("Host", "here.example")
            .header("Content-Type", "application/x-www-form-urlencoded");
        let request = match basic {
            true => request
                .header("Authorization", format!("Basic {}", BASE64_STANDARD.encode("MA1:one"))),
            false => request.header("X-Auth-ID", "MA1").header("X-Auth-Token", "one"),
        };
        let request = if origin.is_empty() { request } else { request.header("Origin", origin) };
        let request = request.body(Body::empty()).unwrap();
        engine.api.answer("192.0.2.1".parse().unwrap(), request).await.status().as_u16()
    };
    // There is no such conference: a client that may ask gets 404.
    for origin in ["", "https://here.example", APP] {
        assert_eq!(ask("POST", origin, true).await, 404, "{origin}");
    }
    assert_eq!(ask("POST", EVIL, true).await, 403);
    assert_eq!(ask("POST", "null", true).await, 403);
    assert_eq!(ask("GET", EVIL, true).await, 405);
    assert_eq!(ask("POST", EVIL, false).await, 404);
    engine.close().await;
}
