//! Traces: the events of a call, and their causes (`Call/{call_uuid}/Trace/`).

use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::api::engine::{TestEngine, TestEngineOptions};

const ANSWER: &str = r#"has /answer <Response><Speak>hi</Speak><Conference endConferenceOnExit="true">weekly</Conference><Speak>bye</Speak></Response>"#;

async fn engine(lines: &[&str]) -> TestEngine {
    let mut engine = TestEngine::new(TestEngineOptions::default());
    for line in [ANSWER].iter().chain(lines) {
        engine.line(line).await;
    }
    engine
}

async fn answered(engine: &TestEngine, path: &str, token: &str) -> (u16, Value) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let request =
        Request::get(path).header("authorization", format!("Basic {}", STANDARD.encode(token)));
    let peer = std::net::Ipv4Addr::LOCALHOST.into();
    let answer = engine.api.answer(peer, request.body(axum::body::Body::empty()).unwrap()).await;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn trace(engine: &TestEngine, call: usize) -> Value {
    let call = engine.calls[call].0;
    let (status, body) =
        answered(engine, &format!("/v1/Account/MA1/Call/{call}/Trace/"), "MA1:one").await;
    assert_eq!((status, &body["call_uuid"]), (200, &Value::from(call.to_string())));
    body
}

#[tokio::test(start_paused = true)]
async fn a_kick_that_ends_the_room_is_named_in_the_trace_of_all_who_leave() {
    let mut engine = engine(&["dial web", "wait 100", "dial web", "wait 1000"]).await;
    engine.line(r#"POST P/Conference/weekly/Member/1/Kick/ {"reason":"enough"} => "#).await;
    engine.line("wait 10000").await;

    let host = trace(&engine, 0).await;
    let steps = host["steps"].as_array().unwrap();
    let ends: Vec<_> = steps.iter().map(|it| it["ended"].as_str().unwrap()).collect();
    assert_eq!(ends, ["done", "done", "kicked", "End Of XML Instructions"]);
    let conference = &steps[2];
    assert!(conference["conference_uuid"].as_str().unwrap().len() == 36, "{conference}");
    assert_eq!((&conference["element"], &conference["line"]), (&"Conference".into(), &1.into()));
    assert_eq!((&conference["reason"], &conference["member_id"]), (&"enough".into(), &1.into()));
    assert_eq!(conference["source"], ANSWER[ANSWER.find('<').unwrap()..]);
    let by = &conference["causes"][0];
    assert_eq!((&by["command"], &by["who"]), (&"Kick".into(), &"MA1".into()));
    assert!(by["api_id"].as_str().unwrap().len() == 36, "{by}");

    let guest = trace(&engine, 1).await;
    let conference = &guest["steps"][2];
    assert_eq!(conference["ended"], "ended");
    let causes = conference["causes"].as_array().unwrap();
    assert_eq!(causes.len(), 2, "{guest}");
    assert_eq!(causes[1]["call_uuid"], host["call_uuid"]);
    assert_eq!((&causes[1]["cause"], &causes[1]["api_id"]), (&"kicked".into(), &by["api_id"]));
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_about_the_call_itself_is_named_too() {
    let mut engine = engine(&["dial web", "wait 1000"]).await;
    engine.line(r#"POST V/Call/{1}/ {"aleg_url":"http://app.example/next"}"#).await;
    engine.line("wait 10").await;
    let trace_body = trace(&engine, 0).await;
    let conference = &trace_body["steps"][2];
    assert_eq!(
        (&conference["ended"], &conference["causes"][0]["command"]),
        (&"transferred".into(), &"Transfer".into())
    );
    engine.close().await;
}

/// Issue 14, E1: the first question of an integrator.
#[tokio::test(start_paused = true)]
async fn a_document_that_fails_is_a_step_that_says_why() {
    let check = async |document: &str, next: &str, expected: &[Value], detail: &str| {
        let mut engine = TestEngine::new(TestEngineOptions::default());
        engine.line(&format!("has /answer {document}")).await;
        engine.line(&format!("has /next {next}")).await;
        engine.line("dial gone").await;
        engine.line("wait 3000").await;
        let body = trace(&engine, 0).await;
        let is_fetch = |it: &&Value| it["element"] == "fetch";
        let of_interest = |it: &Value| {
            let names =
                ["purpose", "method", "url", "status", "bytes", "ended", "error", "excerpt"];
            let shown = names.map(|name| it[name].clone());
            Value::from(shown.into_iter().filter(|it| !it.is_null()).collect::<Vec<_>>())
        };
        let steps = body["steps"].as_array().unwrap().iter().filter(is_fetch);
        assert_eq!(steps.map(of_interest).collect::<Vec<_>>(), expected, "{body}");
        let told = engine.line("told /hangup HangupCauseDetail => ").await;
        assert!(told.contains(detail), "{told}");
        engine.close().await;
    };
    let (answer, next) = ("http://app.example/answer", "http://app.example/next");
    let status = "it answered 404 Not Found, and only 2xx is good";
    let failed = json!(["answer", "POST", answer, 404, 0, "failed", status]);
    check(
        "404",
        "",
        &[failed],
        &format!("POST {answer}: 404, text/plain; charset=utf-8, 0 bytes, 0 ms: {status}"),
    )
    .await;

    let text = "1:1: text outside of <Response>: move it into an element, or leave it out";
    let failed = json!(["answer", "POST", answer, 200, 7, "failed", text, "no such"]);
    check("no such", "", &[failed], "7 bytes, 0 ms: 1:1: text outside").await;

    let flow = |text: &str| format!("<Response>{text}</Response>");
    let redirect = flow(&format!("<Redirect>{next}?room=1#rt=900</Redirect>"));
    let (bytes, url) = (redirect.len(), format!("{next}?room=1"));
    let done = json!(["answer", "POST", answer, 200, bytes, "done"]);
    let failed = json!(["redirect", "POST", url, 404, 0, "failed", status]);
    check(&redirect, "404", &[done, failed], &format!("POST {url}: 404")).await;

    // An address that is none is no request, and is told all the same.
    let redirect = flow("<Redirect>www.example.com</Redirect>");
    let done = json!(["answer", "POST", answer, 200, redirect.len(), "done"]);
    let error = "it is not a URL that conflow can fetch: write http://, https:// or flow:NAME";
    let failed = json!(["redirect", "www.example.com", "failed", error]);
    check(&redirect, "", &[done, failed], "www.example.com: 0 ms: it is not a URL").await;

    // The response to private keys may repeat them.
    let input = flow(&format!("<GetDigits action=\"{next}\" log=\"false\" numDigits=\"1\"/>"));
    let mut engine = TestEngine::new(TestEngineOptions::default());
    engine.line(&format!("has /answer {input}")).await;
    engine.line("has /next you typed 1").await;
    engine.line("dial web").await;
    engine.line(r#"POST S/Phone/{1}/Press/ {"digits":"1"}"#).await;
    engine.line("wait 1000").await;
    let body = trace(&engine, 0).await;
    // … and so may its error, which quotes it.
    let text = body.to_string();
    assert!(text.contains("failed") && !text.contains("text outside"), "{text}");
    assert!(!text.contains("you typed"), "{text}");
    engine.close().await;
}

/// Issue 14, E2: a `<Message>` is accepted, and does nothing.
#[tokio::test(start_paused = true)]
async fn what_is_not_run_is_passed_over_in_the_trace() {
    let mut engine = TestEngine::new(TestEngineOptions::default());
    let flow =
        r#"<Message src="1" dst="2">Hi</Message><Speak/><Conference sendDigits="1">a</Conference>"#;
    engine.line(&format!("has /answer <Response>{flow}</Response>")).await;
    engine.line("dial web").await;
    engine.line("wait 1000").await;
    let body = trace(&engine, 0).await;
    let steps = body["steps"].as_array().unwrap()[1..].iter();
    let ends: Vec<_> =
        steps.map(|it| json!([it["element"], it["ended"], it["passed_over"]])).collect();
    let expected = [
        json!(["Message", "passed over", "<Message> is not run yet and is skipped"]),
        json!(["Speak", "passed over", "<Speak> is skipped: it has no text"]),
        json!([
            "Conference",
            null,
            "sendDigits is accepted, and has no effect yet: no vendor documents it"
        ]),
    ];
    assert_eq!(ends, expected);
    engine.close().await;
}

/// Issue 14, E5: billing joins records of calls with those of conferences.
#[tokio::test(start_paused = true)]
async fn a_record_has_the_last_conference_of_its_call() {
    let mut engine = engine(&["dial web", "wait 1000"]).await;
    let body = trace(&engine, 0).await;
    let room = body["steps"][2]["conference_uuid"].clone();
    engine.line(r#"POST P/Conference/weekly/Member/all/Kick/ {} => "#).await;
    engine.line("wait 10000").await;
    let path = format!("/v1/Account/MA1/Call/{}/", engine.calls[0].0);
    let (status, record) = answered(&engine, &path, "MA1:one").await;
    assert_eq!((status, &record["conference_uuid"]), (200, &room));
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_trace_is_visible_to_its_account_only() {
    let engine = engine(&["dial web"]).await;
    let call = engine.calls[0].0;
    let path = |root: &str, account: &str| format!("/{root}/Account/{account}/Call/{call}/Trace/");
    for (path, token, expected) in [
        (path("v1", "MA1"), "MA1:one", 200),
        (path("v1", "MA2"), "MA2:two", 404),
        (path("v1", "MA1"), "MA2:two", 404),
        ("/v1/Account/MA1/Call/nobody/Trace/".to_owned(), "MA1:one", 404),
    ] {
        let (status, body) = answered(&engine, &path, token).await;
        assert_eq!(status, expected, "{path}: {body}");
    }
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn ignored_parameters_are_in_the_traces_of_their_calls() {
    let made = r#"POST V/Call/ {"from":"1","to":"sim:a<sim:b","answer_url":"http://app.example/answer","machine_detection":"true"}"#;
    let mut engine = engine(&[made, "wait 1000"]).await;
    engine.line(r#"POST V/Call/{1}/DTMF/ {"digits":"1","colour":"red"}"#).await;
    let machine = "machine_detection: not supported yet, so people and machines are called alike";
    let colour = "colour: no such parameter, so it is ignored";

    let bodies = [trace(&engine, 0).await, trace(&engine, 1).await];
    let warnings = bodies.each_ref().map(|it| it["remarks"].as_array().unwrap().clone());
    let texts = |n: usize| warnings[n].iter().map(|it| it["remark"].as_str().unwrap());
    assert_eq!(texts(0).collect::<Vec<_>>(), [machine, colour]);
    assert_eq!(texts(1).collect::<Vec<_>>(), [machine]);
    assert_eq!([&warnings[0][0]["at_ms"], &warnings[0][1]["at_ms"]], [0, 1000]);
    assert_eq!(warnings[0][0]["api_id"], warnings[1][0]["api_id"]);
    assert_ne!(warnings[0][0]["api_id"], warnings[0][1]["api_id"]);
    engine.close().await;
}
