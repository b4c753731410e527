//! `traceparent`: accepted from requests, and sent with callbacks.

use std::collections::BTreeSet;

use super::engine::{TestEngine, TestEngineOptions, check};

#[tokio::test(start_paused = true)]
async fn consequences_of_a_request_belong_to_its_trace_and_an_invalid_traceparent_is_ignored() {
    check(
        r##"
        has /answer <Response><Conference callbackUrl="http://app.example/cb" stayAlone="true">weekly</Conference></Response>
        POST P/Call/ [traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01] {"from":"1","to":"sim:alice","answer_url":"http://app.example/answer","ring_url":"http://app.example/ring","hangup_url":"http://app.example/hangup"} => 201 {"message":"call fired","request_uuid":"*","api_id":"*"}
        wait 3000
        told /ring trace => 4bf92f3577b34da6a3ce929d0e0e4736
        told /answer trace => 4bf92f3577b34da6a3ce929d0e0e4736
        told /cb trace => 4bf92f3577b34da6a3ce929d0e0e4736
        POST P/Conference/weekly/Member/1/Mute/ [traceparent: 00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-00f067aa0ba902b7-00] {"callback_url":"http://app.example/later"} => 202 {"message":"async api spawned","api_id":"*"}
        told /later trace => aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        DELETE P/Call/{1}/ => 204
        told /hangup trace => 4bf92f3577b34da6a3ce929d0e0e4736
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_incoming_call_has_its_own_trace_and_every_request_a_span() {
    let mut engine = TestEngine::new(TestEngineOptions::default());
    for line in [
        r#"has /answer <Response><Redirect>http://app.example/next</Redirect></Response>"#,
        "has /next <Response><Wait length=\"60\"/></Response>",
        "dial web",
    ] {
        engine.line(line).await;
    }
    let mut spans = BTreeSet::new();
    for path in ["/answer", "/next"] {
        let received = engine.line(&format!("told {path} traceparent")).await;
        let header = received.rsplit(' ').next().unwrap();
        let parts: Vec<_> = header.split('-').collect();
        let [version, trace, span, flags] = parts[..] else { panic!("{received}") };
        assert_eq!((version, trace, flags), ("00", &*engine.calls[0].0.simple().to_string(), "01"));
        assert!(spans.insert(span.to_owned()), "{received}");
    }
    engine.close().await;
}
