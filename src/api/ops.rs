//! For those who run the engine: is it up, and does it take calls. No credentials.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::Response,
};

use super::{
    AppState, Links,
    context::Context,
    endpoint::{Documented, Endpoint, handler},
    failure::Failure,
    openapi,
};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::reads("/healthz", handler!(healthz), Documented::Here(openapi::ops::healthz)),
    Endpoint::reads("/readyz", handler!(readyz), Documented::Here(openapi::ops::readyz)),
    Endpoint::reads("/metrics", handler!(metrics), Documented::Here(openapi::ops::metrics)),
    Endpoint::reads("/openapi.json", handler!(document), Documented::Here(openapi::ops::document)),
    Endpoint::reads("/docs", handler!(page), Documented::Here(openapi::ops::page)),
];

/// `GET /healthz`: the process answers.
async fn healthz() -> Response {
    text(StatusCode::OK, "ok\n")
}

/// `GET /readyz`: new calls are taken; 503 once the engine drains.
async fn readyz(State(state): State<Arc<AppState>>) -> Response {
    match state.inbound.is_open() {
        true => text(StatusCode::OK, "ready\n"),
        false => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

/// `GET /metrics`
async fn metrics(
    State(links): State<Links>,
    Context(context): Context,
) -> Result<Response, Failure> {
    let ops = links.ops.as_ref().ok_or(Failure::NoRoute)?;
    ops.answer(&links.app, &links.traffic, &context)
}

/// `GET /openapi.json`
async fn document(State(state): State<Arc<AppState>>) -> Response {
    state.document.show()
}

/// `GET /docs`
async fn page(State(state): State<Arc<AppState>>) -> Response {
    state.document.show_page()
}

fn text(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
