//! For those who run the engine: is it up, and does it take calls. No credentials.

use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE},
    response::Response,
};

use super::{AppState, failure::Failure, reply};

/// `GET /healthz`: the process answers.
pub(super) fn healthz(method: &Method) -> Result<Response, Failure> {
    reply::get(method)?;
    Ok(text(StatusCode::OK, "ok\n"))
}

/// `GET /readyz`: new calls are taken; 503 once the engine drains.
pub(super) fn readyz(state: &AppState, method: &Method) -> Result<Response, Failure> {
    reply::get(method)?;
    Ok(match state.inbound.is_open() {
        true => text(StatusCode::OK, "ready\n"),
        false => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    })
}

fn text(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
