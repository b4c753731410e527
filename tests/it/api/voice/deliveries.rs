//! Deliveries: the list of callbacks, their attempts, and their repetition.

use serde_json::{Value, json};

use crate::api::engine::{TestEngine, TestEngineOptions};

/// The JSON of an answer, and its status.
async fn ask(engine: &TestEngine, line: &str) -> (u16, Value) {
    let response = engine.send(engine.request(line)).await;
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// The state, the number of attempts, and the statuses of the last ones, of each callback in a list.
async fn list(engine: &TestEngine, query: &str) -> (Vec<Value>, Value) {
    let (status, body) = ask(engine, &format!("GET V/Delivery/{query}")).await;
    assert_eq!(status, 200, "{body}");
    let show = |it: &Value| {
        let last = it["last_attempts"].as_array().unwrap();
        let last: Vec<_> = last.iter().map(|it| it["status"].clone()).collect();
        json!([it["event"], it["state"], it["attempts"], last])
    };
    (body["objects"].as_array().unwrap().iter().map(show).collect(), body["meta"].clone())
}

/// A call whose `hangup_url` answers with an error, and which has ended.
async fn with_a_failing_receiver() -> TestEngine {
    let mut engine = TestEngine::new(TestEngineOptions::default());
    for line in [
        "has /answer <Response><Speak>Hi</Speak></Response>",
        "has /hangup 503",
        "dial web",
        // Tries after 0, 1, 3, 8, 20, 45 and 90 seconds.
        "wait 120000",
    ] {
        engine.line(line).await;
    }
    engine
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_listed_with_its_last_attempts_until_it_arrives() {
    let mut engine = with_a_failing_receiver().await;
    let (listed, meta) = list(&engine, "").await;
    assert_eq!(listed, [json!(["Hangup", "waiting", 7, [503, 503, 503, 503, 503]])]);
    assert_eq!(meta["total_count"], 1);

    engine.line("has /hangup ok").await;
    engine.line("wait 60000").await;
    let (_, body) = ask(&engine, "GET P/Delivery/").await;
    let callback = &body["objects"][0];
    let id = callback["event_id"].as_str().unwrap().to_owned();
    let call = engine.calls[0].to_string();
    for (name, expected) in [
        ("state", json!("arrived")),
        ("attempts", json!(8)),
        ("reason", Value::Null),
        ("call_uuid", json!(call)),
        ("conference_name", Value::Null),
        ("method", json!("POST")),
        ("url", json!("http://app.example/hangup")),
        ("resource_uri", json!(format!("/v1/Account/MA1/Delivery/{id}/"))),
    ] {
        assert_eq!(callback[name], expected, "{name}: {callback}");
    }
    let last = &callback["last_attempts"];
    assert_eq!((&last[4]["status"], &last[4]["error"]), (&json!(200), &Value::Null));
    assert!(last[3]["error"].as_str().unwrap().contains("503"), "{last}");
    assert!(last[3]["milliseconds"].is_u64() && last[3]["time"].is_string(), "{last}");
    let (status, one) = ask(&engine, &format!("GET P/Delivery/{id}/")).await;
    assert_eq!((status, &one["last_attempts"]), (200, last));
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_list_has_filters_and_pages() {
    let mut engine = with_a_failing_receiver().await;
    engine.line("has /hangup ok").await;
    engine.line("dial web").await;
    engine.line("wait 20000").await;
    let waiting = json!(["Hangup", "waiting", 7, [503, 503, 503, 503, 503]]);
    let arrived = json!(["Hangup", "arrived", 1, [200]]);
    let calls: Vec<_> = engine.calls.iter().map(ToString::to_string).collect();
    for (query, expected) in [
        ("", vec![&arrived, &waiting]),
        ("?state=waiting", vec![&waiting]),
        ("?state=arrived", vec![&arrived]),
        ("?state=failed", vec![]),
        (&*format!("?call_uuid={}", calls[0]), vec![&waiting]),
        (&*format!("?call_uuid={}&state=arrived", calls[0]), vec![]),
        ("?event_time__gte=2000-01-01", vec![&arrived, &waiting]),
        ("?event_time__lt=2000-01-01", vec![]),
        ("?limit=1", vec![&arrived]),
        ("?limit=1&offset=1", vec![&waiting]),
    ] {
        let (listed, _) = list(&engine, query).await;
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    let (_, meta) = list(&engine, "?limit=1&state=arrived&offset=1").await;
    let previous = "/api/v1/Account/MA1/Delivery/?limit=1&offset=0&state=arrived";
    assert_eq!((&meta["previous"], &meta["total_count"]), (&json!(previous), &json!(1)));

    for (query, expected) in [
        ("?state=gone", "state: give waiting or in-flight or arrived or failed or dropped"),
        ("?call_uuid=x", "call_uuid: give a call_uuid"),
        ("?event_time=x", "event_time: give a time in UTC such as 2026-08-31 20:08:21"),
        ("?limit=21", "limit: give a whole number from 1 to 20"),
    ] {
        let (status, body) = ask(&engine, &format!("GET V/Delivery/{query}")).await;
        assert_eq!((status, &body["error"]), (400, &json!(expected)), "{query}");
    }
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_repeated_once_it_is_settled() {
    let mut engine = with_a_failing_receiver().await;
    let (_, body) = ask(&engine, "GET V/Delivery/").await;
    let id = body["objects"][0]["event_id"].as_str().unwrap().to_owned();
    let path = format!("V/Delivery/{id}/");
    let (status, body) = ask(&engine, &format!("POST {path}")).await;
    assert_eq!(status, 409, "{body}");
    engine.line("has /hangup ok").await;
    engine.line("wait 60000").await;
    let told = engine.line("told /hangup Event").await;
    assert_eq!(told.matches("Hangup").count(), 8, "{told}");

    let (status, body) = ask(&engine, &format!("POST {path}")).await;
    assert_eq!((status, &body["message"]), (202, &json!("callback queued")));
    assert_eq!(body["event_id"], json!(id));
    let told = engine.line("told /hangup Event,CallUUID").await;
    assert!(told.ends_with("=> Hangup {1}"), "{told}");
    let (listed, _) = list(&engine, "?state=arrived").await;
    assert_eq!(listed, [json!(["Hangup", "arrived", 1, [503, 503, 503, 200, 200]])]);

    // The first event of the call, which nobody wanted a callback of.
    let (epoch, _) = id.split_once('-').unwrap();
    for (line, expected) in [
        (format!("POST V/Delivery/{epoch}-1/"), 404),
        (format!("POST V/Delivery/{epoch}-99/"), 404),
        (format!("GET V/Delivery/{epoch}-1/"), 404),
        ("GET V/Delivery/17-3/".to_owned(), 404),
        ("POST V/Delivery/17-3/".to_owned(), 404),
        ("GET V/Delivery/x/".to_owned(), 404),
    ] {
        assert_eq!(ask(&engine, &line).await.0, expected, "{line}");
    }
    // Another account has no such event.
    let other = "[X-Auth-ID: MA2] [X-Auth-Token: two]";
    for method in ["GET", "POST"] {
        let line = format!("{method} /api/v1/Account/MA2/Delivery/{id}/ {other}");
        assert_eq!(ask(&engine, &line).await.0, 404, "{line}");
    }
    let (_, body) = ask(&engine, &format!("GET /api/v1/Account/MA2/Delivery/ {other}")).await;
    assert_eq!(body["objects"], json!([]));
    engine.close().await;
}

/// `follow=false`: the stream ends with the last event so far.
#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_follow_ends() {
    let mut engine = TestEngine::new(TestEngineOptions::default());
    engine.line("dial weekly").await;
    for (query, count) in
        [("after=0", 5), ("after=0&conference=weekly", 3), ("after=0&call={1}", 4)]
    {
        let line = format!("GET V/Events/?follow=false&{query}");
        let response = engine.send(engine.request(&line)).await;
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(text.matches("event: ").count(), count, "{query}: {text}");
    }
    let (status, body) = ask(&engine, "GET V/Events/?follow=no").await;
    assert_eq!((status, &body["error"]), (400, &json!("follow: give true or false")));
    engine.close().await;
}
