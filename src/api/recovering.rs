//! Recovering: what the server answers while the calls of the last process are restored.

use std::sync::atomic::Ordering::SeqCst;

use axum::{
    body::Body,
    http::{
        HeaderValue, Response, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
};

use super::AppState;

impl AppState {
    /// Whether requests are refused, since calls of the last process are being restored.
    pub fn set_recovering(&self, on: bool) {
        self.is_recovering.store(on, SeqCst);
    }

    /// The refusal of a request for this path while calls are being restored.
    pub(super) fn recovering(&self, path: &str) -> Option<Response<Body>> {
        let path = path.trim_end_matches('/');
        if !self.is_recovering.load(SeqCst) || path == "/healthz" {
            return None;
        }
        let text = match path {
            "/readyz" => "recovering\n",
            _ => "conflow restores the calls of the last process: try again in a second\n",
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        Some(response)
    }
}
