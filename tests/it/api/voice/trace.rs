//! What a call did, and why: `Call/{call_uuid}/Trace/`.

use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::api::engine::{Office, Plan};

const ANSWER: &str = r#"has /answer <Response><Speak>hi</Speak><Conference endConferenceOnExit="true">weekly</Conference><Speak>bye</Speak></Response>"#;

async fn office(lines: &[&str]) -> Office {
    let mut office = Office::new(Plan::default());
    for line in [ANSWER].iter().chain(lines) {
        office.line(line).await;
    }
    office
}

async fn answered(office: &Office, path: &str, token: &str) -> (u16, Value) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let request =
        Request::get(path).header("authorization", format!("Basic {}", STANDARD.encode(token)));
    let peer = std::net::Ipv4Addr::LOCALHOST.into();
    let answer = office.api.answer(peer, request.body(axum::body::Body::empty()).unwrap()).await;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn trace(office: &Office, call: usize) -> Value {
    let call = office.calls[call].0;
    let (status, body) =
        answered(office, &format!("/v1/Account/MA1/Call/{call}/Trace/"), "MA1:one").await;
    assert_eq!((status, &body["call_uuid"]), (200, &Value::from(call.to_string())));
    body
}

#[tokio::test(start_paused = true)]
async fn a_kick_that_ends_the_room_is_named_in_the_trace_of_all_who_leave() {
    let mut office = office(&["dial web", "wait 100", "dial web", "wait 1000"]).await;
    office.line(r#"POST P/Conference/weekly/Member/1/Kick/ {"reason":"enough"} => "#).await;
    office.line("wait 10000").await;

    let host = trace(&office, 0).await;
    let steps = host["steps"].as_array().unwrap();
    let ends: Vec<_> = steps.iter().map(|it| it["ended"].as_str().unwrap()).collect();
    assert_eq!(ends, ["done", "kicked", "End Of XML Instructions"]);
    let conference = &steps[1];
    assert_eq!((&conference["element"], &conference["line"]), (&"Conference".into(), &1.into()));
    assert_eq!((&conference["reason"], &conference["member_id"]), (&"enough".into(), &1.into()));
    let by = &conference["causes"][0];
    assert_eq!((&by["command"], &by["who"]), (&"Kick".into(), &"MA1".into()));
    assert!(by["api_id"].as_str().unwrap().len() == 36, "{by}");

    let guest = trace(&office, 1).await;
    let conference = &guest["steps"][1];
    assert_eq!(conference["ended"], "ended");
    let causes = conference["causes"].as_array().unwrap();
    assert_eq!(causes.len(), 2, "{guest}");
    assert_eq!(causes[1]["call_uuid"], host["call_uuid"]);
    assert_eq!((&causes[1]["cause"], &causes[1]["api_id"]), (&"kicked".into(), &by["api_id"]));
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_about_the_call_itself_is_named_too() {
    let mut office = office(&["dial web", "wait 1000"]).await;
    office.line(r#"POST V/Call/{1}/ {"aleg_url":"http://app.example/next"}"#).await;
    office.line("wait 10").await;
    let told = trace(&office, 0).await;
    let conference = &told["steps"][1];
    assert_eq!(
        (&conference["ended"], &conference["causes"][0]["command"]),
        (&"transferred".into(), &"Transfer".into())
    );
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_trace_is_the_accounts_own() {
    let office = office(&["dial web"]).await;
    let call = office.calls[0].0;
    let path = |root: &str, account: &str| format!("/{root}/Account/{account}/Call/{call}/Trace/");
    for (path, token, expected) in [
        (path("v1", "MA1"), "MA1:one", 200),
        (path("v1", "MA2"), "MA2:two", 404),
        (path("v1", "MA1"), "MA2:two", 404),
        ("/v1/Account/MA1/Call/nobody/Trace/".to_owned(), "MA1:one", 404),
    ] {
        let (status, body) = answered(&office, &path, token).await;
        assert_eq!(status, expected, "{path}: {body}");
    }
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_requests_have_asked_for_in_vain_is_in_the_traces_of_their_calls() {
    let made = r#"POST V/Call/ {"from":"1","to":"sim:a<sim:b","answer_url":"http://app.example/answer","machine_detection":"true"}"#;
    let mut office = office(&[made, "wait 1000"]).await;
    office.line(r#"POST V/Call/{1}/DTMF/ {"digits":"1","colour":"red"}"#).await;
    let machine = "machine_detection: not supported yet, so people and machines are called alike";
    let colour = "colour: no such parameter, so it is ignored";

    let told = [trace(&office, 0).await, trace(&office, 1).await];
    let remarks = told.each_ref().map(|it| it["remarks"].as_array().unwrap().clone());
    let texts = |n: usize| remarks[n].iter().map(|it| it["remark"].as_str().unwrap());
    assert_eq!(texts(0).collect::<Vec<_>>(), [machine, colour]);
    assert_eq!(texts(1).collect::<Vec<_>>(), [machine]);
    assert_eq!([&remarks[0][0]["at_ms"], &remarks[0][1]["at_ms"]], [0, 1000]);
    assert_eq!(remarks[0][0]["api_id"], remarks[1][0]["api_id"]);
    assert_ne!(remarks[0][0]["api_id"], remarks[0][1]["api_id"]);
    office.close().await;
}
