//! The OpenAPI document compared with the server: both have the same operations.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use conflow::api::{
    Settings,
    voice::{self, PlivoForm, VobizForm},
};
use http_body_util::BodyExt;
use serde_json::Value;

use super::engine::{TestEngine, TestEngineOptions};

/// The rows of the endpoint table that are not the voice API's, and the roots of all of them.
const SOURCES: [&str; 3] = [
    include_str!("../../../src/api/routes.rs"),
    include_str!("../../../src/api/ops.rs"),
    include_str!("../../../src/api/sim.rs"),
];

/// No path outside of the voice API's is longer; those are looked at beside their table.
const SEGMENTS_MAX: usize = 7;

async fn send(engine: &TestEngine, method: &str, path: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let (head, body) = engine.send(request).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn document(engine: &TestEngine) -> Value {
    let (status, headers, body) = send(engine, "GET", "/openapi.json").await;
    assert_eq!(
        (status, &headers["content-type"]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    serde_json::from_str(&body).unwrap()
}

/// Each path with its methods.
fn listed(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let methods = |it: &Value| it.as_object().unwrap().keys().map(|it| it.to_uppercase()).collect();
    let paths = document["paths"].as_object().unwrap();
    paths.iter().map(|(path, it)| (path.clone(), methods(it))).collect()
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let paths = document["paths"].as_object().unwrap();
    paths.values().flat_map(|methods| methods.as_object().unwrap().values())
}

/// Fills in ids that do not exist.
fn fill(path: &str) -> String {
    let parts = path.split('{').map(|it| it.split_once('}').map_or(it, |(_, rest)| rest));
    parts.collect::<Vec<_>>().join("1")
}

#[tokio::test(start_paused = true)]
async fn every_documented_path_exists_with_these_methods_and_no_others() {
    let engine = TestEngine::new(TestEngineOptions::default());
    for (path, methods) in listed(&document(&engine).await) {
        let path = fill(&path);
        for method in &methods {
            // With the account's credentials, as the transcripts send them.
            let line = path.replace("/v1/Account/1", "/v1/Account/MA1");
            let request = Request::builder().method(method.as_str()).uri(line);
            let request = request.header("x-auth-id", "MA1").header("x-auth-token", "one");
            let (head, body) = engine.send(request.body(Body::empty()).unwrap()).await.into_parts();
            let is_there = match head.status {
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNAUTHORIZED => false,
                StatusCode::NOT_FOUND => {
                    let body: Value =
                        serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
                    // What is missing has a name, unlike a path that is not there.
                    body.get("error").is_some_and(|it| it != "not found")
                }
                _ => true,
            };
            assert!(is_there, "{method} {path}: {}", head.status);
        }

        let (_, headers, _) = send(&engine, "OPTIONS", &path).await;
        let allow = headers["allow"].to_str().unwrap().split(", ").map(str::to_owned);
        let allowed: BTreeSet<_> = allow.filter(|it| it != "HEAD").collect();
        assert_eq!(allowed, methods, "{path}");
    }
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn every_path_is_documented() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let documented: Vec<_> =
        listed(&document(&engine).await).into_keys().map(|it| shape(&it)).collect();
    let is_word = |it: &&str| {
        !it.is_empty() && it.chars().all(|it| it.is_ascii_alphanumeric() || ".-_".contains(it))
    };
    let literals = SOURCES.map(|it| it.split("#[cfg(test)]").next().unwrap());
    let words = literals.iter().flat_map(|it| it.split('"').skip(1).step_by(2));
    let mut words: BTreeSet<_> = words.flat_map(|it| it.split('/')).filter(is_word).collect();
    words.insert("1");
    assert!(words.is_superset(&BTreeSet::from(["docs", "healthz", "Press", "sim"])), "{words:?}");

    // All that is as short as a probe, and all that goes on as something goes on that is there.
    let (mut paths, mut found) = (vec![Vec::new()], 0);
    while let Some(path) = paths.pop() {
        for word in &words {
            let longer = [path.as_slice(), &[*word]].concat();
            let text = format!("/{}", longer.join("/"));
            let (status, ..) = send(&engine, "OPTIONS", &text).await;
            let is_listed = documented.iter().any(|it| fits(it, &longer, true));
            if status != StatusCode::NOT_FOUND {
                assert!(is_listed, "{text} is there, and nobody is told");
                found += 1;
            }
            let leads_on = documented.iter().any(|it| fits(it, &longer, false));
            if longer.len() < SEGMENTS_MAX && (longer.len() < 2 || leads_on) {
                paths.push(longer);
            }
        }
    }
    assert!(10 < found, "{found}");
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn every_path_that_is_documented_has_a_label_in_metrics() {
    let engine = TestEngine::new(TestEngineOptions::default());
    for path in listed(&document(&engine).await).into_keys() {
        send(&engine, "GET", &fill(&path)).await;
    }
    let request = Request::get("/metrics").header("x-auth-id", "MA1").header("x-auth-token", "one");
    let body = engine.send(request.body(Body::empty()).unwrap()).await.into_body();
    let page = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    assert!(page.contains("/Call/{call_uuid}/Trace\""), "{page}");
    assert!(!page.contains("api=\"none\""), "a path has no label: {page}");
    engine.close().await;
}

fn shape(path: &str) -> Vec<String> {
    path.split('/').filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

/// Whether a path has this shape, or may be extended to it.
fn fits(shape: &[String], path: &[&str], is_whole: bool) -> bool {
    let is_long_enough =
        if is_whole { shape.len() == path.len() } else { path.len() < shape.len() };
    is_long_enough && shape.iter().zip(path).all(|(it, word)| it.starts_with('{') || it == word)
}

#[tokio::test(start_paused = true)]
async fn the_document_is_consistent() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let document = document(&engine).await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for operation in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} is there twice");
        assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{id}");
        let is_open = operation["security"].as_array().is_some_and(Vec::is_empty);
        assert_ne!(is_open, operation["responses"]["401"].is_object(), "{id}");
    }
    let mut references = 0;
    check_references(&document, &document, &mut references);
    assert!(100 < references, "{references}");
    engine.close().await;
}

fn check_references(document: &Value, value: &Value, count: &mut usize) {
    if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
        *count += 1;
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} names nothing");
    }
    match value {
        Value::Array(items) => items.iter().for_each(|it| check_references(document, it, count)),
        Value::Object(items) => items.values().for_each(|it| check_references(document, it, count)),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => (),
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_has_every_operation_and_loads_from_no_other_host() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let document = document(&engine).await;
    for path in ["/docs", "/docs/"] {
        let (status, headers, page) = send(&engine, "GET", path).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(
            headers["content-security-policy"],
            "default-src 'none'; style-src 'unsafe-inline'"
        );
        for operation in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
        }
        for word in ["src=", "<script", "<link", "@import", "url("] {
            assert!(!page.contains(word), "{word}");
        }
    }
    engine.close().await;
}

/// The text of a page, without its tags.
fn text(page: &str) -> String {
    let page = page.split_once("</style>").unwrap().1;
    let text = page.split('<').map(|it| it.split_once('>').map_or(it, |(_, text)| text));
    text.collect::<String>().replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">")
}

#[tokio::test(start_paused = true)]
async fn the_page_has_examples_with_this_servers_address_and_the_guides() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let page = async |host: &str| {
        let request = engine.request(&format!("GET /docs [none] [Host: {host}]"));
        let body = engine.send(request).await.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    };
    let whole = page("calls.example:81").await;
    let shown = text(&whole);
    let raw = shown.lines().find(|it| it.split('`').count() > 2);
    assert_eq!(raw, None, "Markdown is rendered");
    let operations = operations(&document(&engine).await).count();
    let lines = shown.lines().filter(|it| it.starts_with("curl ") || it.contains("Examplecurl "));
    assert!(operations <= lines.count(), "each operation has a line for curl");
    for wanted in [
        "curl -X POST \"http://calls.example:81/v1/Account/$ID/Conference/weekly/Member/10/Kick/\" -u",
        r#"-d '{"text":"Hello."}'"#,
        "\"message\":\"play queued into conference\"",
        "\"member_id\":\"10\"",
        "ConferenceAction",
        "X-Plivo-Signature-V3",
        "callbackOrder",
        "GroupV2",
        "groups.kick",
        "onKick",
    ] {
        assert!(shown.contains(wanted), "{wanted}");
    }
    for odd in ["<script>", "a\"b", ""] {
        let page = page(odd).await;
        assert!(
            page.contains("\"http://127.0.0.1:8080/")
                || page.contains("&quot;http://127.0.0.1:8080/")
        );
        assert!(!page.contains("<script") && !page.contains("this-server.invalid"), "{odd}");
    }
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_document_describes_this_server() {
    let check = async |plan: TestEngineOptions, path: &str, pointer: &str, expected: Value| {
        let engine = TestEngine::new(plan);
        let document = document(&engine).await;
        let found = document["paths"].get(path).and_then(|it| it.pointer(pointer));
        assert_eq!(found.cloned().unwrap_or_default(), expected, "{path} {pointer}");
        engine.close().await;
    };
    let of = |plivo, vobiz| TestEngineOptions {
        settings: Settings { voice: voice::Settings { plivo, vobiz }, ..Settings::default() },
        ..TestEngineOptions::default()
    };
    let kick = |root: &str| {
        format!(
            "{root}/Account/{{auth_id}}/Conference/{{conference_name}}/Member/{{member_id}}/Kick/"
        )
    };
    let (plivo, vobiz) = (kick("/v1"), kick("/api/v1"));
    let kind = |status: u16, rest: &str| {
        format!(
            "/post/responses/{status}/content/application~1json/schema{rest}/properties/member_id/type"
        )
    };
    let either = serde_json::json!(["string", "array"]);
    check(TestEngineOptions::default(), &plivo, &kind(202, "/oneOf/0"), either).await;
    let text = of(PlivoForm::String, VobizForm::Live);
    check(text, &plivo, &kind(202, "/oneOf/0"), "string".into()).await;
    check(of(PlivoForm::Array, VobizForm::Live), &plivo, &kind(202, "/oneOf/0"), "array".into())
        .await;
    check(TestEngineOptions::default(), &vobiz, &kind(200, "/anyOf/0"), "string".into()).await;
    check(of(PlivoForm::Array, VobizForm::Live), &vobiz, &kind(202, ""), "array".into()).await;
    let phones = "/sim/v1/Account/{auth_id}/Phone/";
    check(TestEngineOptions::default(), phones, "/post/operationId", "sim_dial".into()).await;
    check(
        TestEngineOptions { has_phones: false, ..TestEngineOptions::default() },
        phones,
        "",
        Value::Null,
    )
    .await;
}
