//! Answers while the calls of the last process are restored.

use super::engine::{TestEngine, TestEngineOptions, check_in};

#[tokio::test(start_paused = true)]
async fn until_the_calls_are_back_nothing_is_served_but_that_the_process_lives() {
    let mut engine = TestEngine::new(TestEngineOptions::default());
    engine.dial("weekly").await;
    engine.api.state().set_recovering(true);
    for (line, expected) in [
        ("GET /healthz [none]", "200 ok"),
        ("GET /healthz/ [none]", "200 ok"),
        ("GET /readyz [none]", "503 recovering"),
        ("GET /readyz/ [none]", "503 recovering"),
        (
            "GET P/Conference/",
            "503 conflow restores the calls of the last process: try again in a second",
        ),
        ("POST S/Phone/ {\"to\":\"weekly\"}", "503 conflow restores the calls"),
    ] {
        let response = engine.send(engine.request(line)).await;
        let retry_after = response.headers().get("retry-after").cloned();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1_000).await.unwrap();
        let found = format!("{status} {}", String::from_utf8_lossy(&body));
        assert!(found.starts_with(expected), "{line}: {found}");
        assert_eq!(retry_after.is_some_and(|it| it == "1"), status == 503, "{line}");
    }
    engine.api.state().set_recovering(false);
    check_in(
        engine,
        r##"
        GET /readyz [none] => 200 ready
        GET P/Conference/ => 200 {"api_id":"*","conferences":["weekly"]}
        "##,
    )
    .await;
}
