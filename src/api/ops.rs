//! Operations endpoints: health, readiness, metrics and the OpenAPI document.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{
        HeaderValue, StatusCode,
        header::{ACCEPT, CONTENT_TYPE, LOCATION},
    },
    response::Response,
};

use super::{
    AppState, Links,
    context::{Context, RequestContext},
    endpoint::{Documented, Endpoint, handler},
    failure::Failure,
    openapi,
};
use crate::store::rows::WriteError;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::reads("/", handler!(root), Documented::Here(openapi::ops::root)),
    Endpoint::reads("/healthz", handler!(healthz), Documented::Here(openapi::ops::healthz)),
    Endpoint::reads("/readyz", handler!(readyz), Documented::Here(openapi::ops::readyz)),
    Endpoint::reads("/metrics", handler!(metrics), Documented::Here(openapi::ops::metrics)),
    Endpoint::reads("/openapi.json", handler!(document), Documented::Here(openapi::ops::document)),
    Endpoint::reads("/docs", handler!(page), Documented::Here(openapi::ops::page)),
];

/// `GET /`: leads a browser on to the console, if there is one, and others to the documentation.
async fn root(State(state): State<Arc<AppState>>, Context(context): Context) -> Response {
    let accepted = context.headers.get(ACCEPT).and_then(|it| it.to_str().ok());
    let is_browser = accepted.is_some_and(|it| it.contains("text/html"));
    if is_browser && state.console.get().is_some() {
        let mut response = text(StatusCode::SEE_OTHER, "the console is at /console/\n");
        response.headers_mut().insert(LOCATION, HeaderValue::from_static("/console/"));
        return response;
    }
    let mut response = text(StatusCode::FOUND, "the documentation is at /docs\n");
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/docs"));
    response
}

/// `GET /healthz`: 200 as long as the process answers.
async fn healthz() -> Response {
    text(StatusCode::OK, "ok\n")
}

/// `GET /readyz`: 200 while new calls are accepted and the store can write, 503 otherwise.
async fn readyz(State(links): State<Links>) -> Response {
    let ops = links.ops.as_ref();
    let error = ops.and_then(|it| it.rows.health().error);
    let error = error.or_else(|| ops?.trouble_of_log());
    let not_ready = match (links.app.inbound.is_open(), error) {
        (true, None) => return text(StatusCode::OK, "ready\n"),
        (false, _) => "draining\n",
        (true, Some(WriteError::Full)) => "store: no space\n",
        (true, Some(WriteError::ReadOnly)) => "store: read-only\n",
        (true, Some(WriteError::Io)) => "store: I/O error\n",
        (true, Some(WriteError::Ended)) => "store: ended\n",
    };
    text(StatusCode::SERVICE_UNAVAILABLE, not_ready)
}

/// `GET /metrics`: figures in the text format of Prometheus.
async fn metrics(
    State(links): State<Links>,
    Context(context): Context,
) -> Result<Response, Failure> {
    let ops = links.ops.as_ref().ok_or(Failure::NoRoute)?;
    ops.answer(&links.app, &links.traffic, &context)
}

/// `GET /openapi.json`: the OpenAPI document as JSON.
async fn document(State(state): State<Arc<AppState>>) -> Response {
    state.document().show()
}

/// `GET /docs`: the OpenAPI document as a web page.
async fn page(State(state): State<Arc<AppState>>, Context(context): Context) -> Response {
    state.document().show_page(&server_url(&context))
}

/// The URL by which the client has reached this server.
fn server_url(context: &RequestContext) -> String {
    let header = |name| context.headers.get(name).and_then(|it: &HeaderValue| it.to_str().ok());
    let is_plain = |it: &&str| {
        !it.is_empty() && it.chars().all(|it| it.is_ascii_alphanumeric() || "-.:[]_".contains(it))
    };
    let host = header("host").filter(is_plain).unwrap_or("127.0.0.1:8080");
    let scheme = if header("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    format!("{scheme}://{host}")
}

fn text(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
