//! The event stream: resumption, filters, limits, and its end.

use axum::body::Body;
use conflow::api::STREAMS_MAX;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::api::engine::{StoredAccounts, TestEngine, TestEngineOptions, account};

/// An open stream.
struct Stream {
    body: Body,
    id_last: String,
}

impl Stream {
    async fn open(engine: &TestEngine, line: &str) -> Self {
        let response = engine.send(engine.request(&format!("GET {line}"))).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), id_last: String::new() }
    }

    /// The events of the next pieces until nothing arrives for a while; `end` if the stream has
    /// ended, `broken off` if it is cut off.
    async fn read(&mut self, fields: &[&str]) -> String {
        let mut lines = Vec::new();
        let wait = std::time::Duration::from_secs(1);
        while let Ok(frame) = tokio::time::timeout(wait, self.body.frame()).await {
            let Some(frame) = frame else {
                lines.push("end".to_owned());
                break;
            };
            let Ok(frame) = frame else {
                lines.push("broken off".to_owned());
                break;
            };
            let bytes = frame.into_data().unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            for event in text.split("\n\n").filter(|it| !it.is_empty() && !it.starts_with(':')) {
                lines.push(self.show(event, fields));
            }
        }
        lines.join(" | ")
    }

    fn show(&mut self, event: &str, fields: &[&str]) -> String {
        let part = |name: &str| event.lines().find_map(|it| it.strip_prefix(name));
        if let Some(id) = part("id: ") {
            self.id_last = id.to_owned();
        }
        let data: Value = serde_json::from_str(part("data: ").unwrap()).unwrap();
        let value = |name: &&str| {
            let value = &data[*name];
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        };
        let values: Vec<_> = fields.iter().map(value).collect();
        format!("{} {}", part("event: ").unwrap(), values.join(" ")).trim_end().to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_sees_all_events_from_its_start_and_misses_none_when_it_returns() {
    let mut engine = TestEngine::new(TestEngineOptions::default());
    engine.dial("daily").await;
    let mut all = Stream::open(&engine, "P/Events/").await;
    let mut weekly = Stream::open(&engine, "V/Events/?conference=weekly").await;
    engine.dial("weekly").await;
    let fields = ["ConferenceName", "ConferenceSequence", "ConferenceMemberID"];
    assert_eq!(
        all.read(&fields).await,
        "CallStart null null null | Answer null null null | ConferenceEnter weekly 1 2 \
         | ConferenceStart weekly 2 null | ConferenceFloor weekly 3 2"
    );
    let expected =
        "ConferenceEnter weekly 1 2 | ConferenceStart weekly 2 null | ConferenceFloor weekly 3 2";
    assert_eq!(weekly.read(&fields).await, expected);

    let (id, call) = (weekly.id_last.clone(), engine.request("GET P/Call/{2}/").uri().to_string());
    drop(weekly);
    engine.line("POST P/Conference/weekly/Member/2/Kick/").await;
    engine.line("wait 5000").await;
    let again = format!("P/Events/?conference=weekly [Last-Event-ID: {id}]");
    let mut weekly = Stream::open(&engine, &again).await;
    assert_eq!(
        weekly.read(&["ConferenceExitCause", "From", "ConferenceSequence"]).await,
        "ConferenceExit kicked 14155550100 4 | ConferenceEnd null null 5"
    );
    let call = call.rsplit('/').nth(1).unwrap();
    let mut of_call =
        Stream::open(&engine, &format!("P/Events/?call={call} [Last-Event-ID: {id}]")).await;
    assert_eq!(
        of_call.read(&["CallSequence", "HangupCauseCode"]).await,
        "ConferenceExit 5 null | Hangup 6 4010"
    );

    engine.api.close();
    assert!(all.read(&[]).await.ends_with("end"));
    assert_eq!(weekly.read(&[]).await, "end");
    engine.close().await;
}

/// Issue 14, A2.
#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_token_and_with_no_other() {
    let mut engine = TestEngine::new(TestEngineOptions::default());
    let store = StoredAccounts::new(&engine);
    let tokens = ["MA3", "MA4"].map(|id| (id, store.add(id)));
    let [gone, kept] = tokens.map(|(id, token)| {
        format!("/v1/Account/{id}/Events/ [X-Auth-ID: {id}] [X-Auth-Token: {token}]")
    });
    let mut gone = Stream::open(&engine, &gone).await;
    let mut kept = Stream::open(&engine, &kept).await;
    assert_eq!((gone.read(&[]).await, kept.read(&[]).await), Default::default());
    store.remove("MA3");
    assert_eq!((&*gone.read(&[]).await, &*kept.read(&[]).await), ("broken off", ""));
    drop(gone);
    // Its place is free.
    assert_eq!(engine.line("GET /metrics").await.matches("conflow_event_streams 1").count(), 1);
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_waiting_subscriber_is_woken_by_the_next_event() {
    let mut engine = TestEngine::new(TestEngineOptions::default());
    let mut more = engine.journal.subscribe(&account());
    assert!(!more.has_changed().unwrap());
    engine.dial("weekly").await;
    assert!(more.has_changed().unwrap());
    more.mark_unchanged();
    engine.dial("weekly").await;
    assert!(more.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_account_has_a_limit_of_open_streams() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let mut open = Vec::new();
    for _ in 0..STREAMS_MAX {
        open.push(Stream::open(&engine, "V/Events/").await);
    }
    // An open stream never ends, so do not wait for it.
    let refused = async |engine: &TestEngine| {
        let response = engine.send(engine.request("GET P/Events/")).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (429, &"1".parse().unwrap())
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let why = format!("the account has {STREAMS_MAX} event streams open: close one");
        assert!(String::from_utf8_lossy(&body).contains(&why), "{body:?}");
    };
    refused(&engine).await;
    let other = "/v1/Account/MA2/Events/ [X-Auth-ID: MA2] [X-Auth-Token: two]";
    drop(Stream::open(&engine, other).await);
    refused(&engine).await;
    drop(open.pop());
    open.push(Stream::open(&engine, "P/Events/").await);
    refused(&engine).await;
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_reported_and_invalid_parameters_are_refused() {
    let engine = TestEngine::new(TestEngineOptions::default());
    let mut lost = Stream::open(&engine, "P/Events/ [Last-Event-ID: 1-99]").await;
    assert_eq!(lost.read(&["missed"]).await, "gap null");
    let mut engine = engine;
    let line = engine.line("GET P/Events/ [Last-Event-ID: x]").await;
    assert!(line.contains("400") && line.contains("Last-Event-ID: not an event id"), "{line}");
    let line = engine.line("GET P/Events/?room=x").await;
    assert!(line.ends_with(
        r#"{"api_id":"*","error":"room: there are conference, call, since, after and follow"}"#
    ));
    let line = engine.line("GET /v1/Account/MA2/Events/").await;
    assert!(line.contains("404"), "{line}");
    assert!(engine.journal.live_calls(&account()).is_empty());
    engine.close().await;
}
