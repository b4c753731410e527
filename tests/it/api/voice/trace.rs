//! Traces: the events of a call, and their causes (`Call/{call_uuid}/Trace/`).

use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::Value;

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
    assert_eq!(ends, ["done", "kicked", "End Of XML Instructions"]);
    let conference = &steps[1];
    assert_eq!((&conference["element"], &conference["line"]), (&"Conference".into(), &1.into()));
    assert_eq!((&conference["reason"], &conference["member_id"]), (&"enough".into(), &1.into()));
    assert_eq!(conference["source"], ANSWER[ANSWER.find('<').unwrap()..]);
    let by = &conference["causes"][0];
    assert_eq!((&by["command"], &by["who"]), (&"Kick".into(), &"MA1".into()));
    assert!(by["api_id"].as_str().unwrap().len() == 36, "{by}");

    let guest = trace(&engine, 1).await;
    let conference = &guest["steps"][1];
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
    let conference = &trace_body["steps"][1];
    assert_eq!(
        (&conference["ended"], &conference["causes"][0]["command"]),
        (&"transferred".into(), &"Transfer".into())
    );
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
