//! A kick through the whole API, synchronous, compared with a bare axum route that answers with a
//! JSON body: both in one process and without sockets (P1: at least half as fast, over HTTP).

use std::time::Duration;

use axum::{
    Json, Router,
    body::Body,
    http::{Request, StatusCode},
    routing::post,
};
use criterion::Criterion;
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::{
    loaded_engine::LoadedEngine,
    measure::{now, say},
    runtime,
    took::Took,
};

const ROOMS: u64 = 1_000;
const MEMBERS: u64 = 10;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a request, without sockets");
    let [mut bare, mut kicked] = [Took::default(), Took::default()];
    let runtime = runtime();
    let body = || Json(serde_json::json!({"message": "kicked", "member_id": "1", "api_id": "x"}));
    let app = Router::new().route("/kick", post(async move || body()));
    group.bench_function("ceiling: bare axum JSON", |bencher| {
        bare.time(bencher, |rounds| runtime.block_on(ask_bare(app.clone(), rounds)));
    });
    let mut loaded_engine = LoadedEngine::new(runtime, ROOMS, MEMBERS, None);
    group.bench_function("kick one of ten", |bencher| {
        kicked.time(bencher, |rounds| kick(&mut loaded_engine, rounds));
    });
    if let (Some(bare), Some(kicked)) = (bare.median(), kicked.median()) {
        let ratio = kicked / bare;
        say(&format!("a kick costs {ratio:.1} × a bare axum JSON, both without sockets"));
    }
    group.finish();
    loaded_engine.leave();
}

async fn ask_bare(app: Router, rounds: u64) -> Duration {
    let begin = now();
    for _ in 0..rounds {
        let request = Request::post("/kick").body(Body::from("{}")).expect("a request");
        let response = app.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await.expect("a body");
    }
    begin.elapsed()
}

/// Kicks `rounds` members. Filling the rooms is not measured.
fn kick(loaded_engine: &mut LoadedEngine, rounds: u64) -> Duration {
    let (mut left, mut took) = (rounds, Duration::ZERO);
    while 0 < left {
        if loaded_engine.left() == 0 {
            loaded_engine.fill();
        }
        let some = left.min(loaded_engine.left());
        let begin = now();
        loaded_engine.kick(some);
        took += begin.elapsed();
        left -= some;
    }
    took
}
