//! A kick through the whole API, done when it is answered, beside a bare axum route that answers
//! a JSON body: both in one process and without sockets (P1: at least half of it, over HTTP).

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
    loaded_engine::Crowd,
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
    let mut crowd = Crowd::new(runtime, ROOMS, MEMBERS, None);
    group.bench_function("kick one of ten", |bencher| {
        kicked.time(bencher, |rounds| kick(&mut crowd, rounds));
    });
    if let (Some(bare), Some(kicked)) = (bare.median(), kicked.median()) {
        let ratio = kicked / bare;
        say(&format!("a kick costs {ratio:.1} × a bare axum JSON, both without sockets"));
    }
    group.finish();
    crowd.leave();
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

/// Filling the rooms is not counted.
fn kick(crowd: &mut Crowd, rounds: u64) -> Duration {
    let (mut left, mut took) = (rounds, Duration::ZERO);
    while 0 < left {
        if crowd.left() == 0 {
            crowd.fill();
        }
        let some = left.min(crowd.left());
        let begin = now();
        crowd.kick(some);
        took += begin.elapsed();
        left -= some;
    }
    took
}
