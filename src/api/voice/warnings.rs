//! What has no effect in a request that is good all the same: told to its sender in a header,
//! since the vendors' bodies are fixed, to the operator in the log, and in the traces of the calls
//! that it was about.

use std::sync::Arc;

use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};

use super::{ApiClient, params::RequestParams};
use crate::base::ids::{CallId, Dialect};

/// One of each for each warning; the second is the old name of the first.
const HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("conflow-warning"), HeaderName::from_static("conflow-remark")];

/// Whoever sends more parameters that nobody knows has read one of them.
const WARNINGS_MAX: usize = 10;

/// Of a name that nobody knows: the vendors' longest has 39.
const NAME_CHARS_MAX: usize = 64;

/// In the bodies of official clients, beside what is asked (contract 6).
const REDUNDANT: [&str; 5] =
    ["auth_id", "call_uuid", "conference_name", "member_id", "request_uuid"];

/// Plivo's asynchronous answers (contract 1.3).
const ASYNCHRONOUS: [&str; 2] = ["callback_url", "callback_method"];

/// What is to be told.
#[derive(Default)]
pub(super) struct Warnings(Vec<String>);

impl Warnings {
    /// Those about parameters that an endpoint does not know.
    pub(super) fn of(client: &ApiClient, params: &RequestParams, known: &[&str]) -> Self {
        let is_async = client.dialect == Dialect::Plivo;
        let is_known = |name: &str| {
            let is_callback = is_async && ASYNCHRONOUS.contains(&name);
            known.contains(&name) || REDUNDANT.contains(&name) || is_callback
        };
        let unknown = params.names().filter(|name| !is_known(name));
        Self(
            unknown
                .map(|it| format!("{}: no such parameter, so it is ignored", plain(it)))
                .collect(),
        )
    }

    /// About one that is known, and idle.
    pub(super) fn ignored(&mut self, name: &str, why: &str) {
        self.0.push(format!("{name}: {why}"));
    }

    /// Tells them in the traces of calls.
    pub(super) fn note_in_traces(self, client: &ApiClient, calls: &[CallId]) -> Self {
        for warning in self.0.iter().take(WARNINGS_MAX) {
            let warning: Arc<str> = warning.as_str().into();
            for call in calls {
                client.state.registry.note_warning(*call, client.api_id, warning.clone());
            }
        }
        self
    }

    /// Tells them with an answer.
    pub(super) fn add_to(self, client: &ApiClient, mut response: Response) -> Response {
        for warning in self.0.iter().take(WARNINGS_MAX) {
            tracing::info!(api_id = %client.api_id, "{warning}");
            if let Ok(value) = HeaderValue::from_str(warning) {
                for name in HEADERS {
                    response.headers_mut().append(name, value.clone());
                }
            }
        }
        response
    }
}

/// As a header can carry it.
fn plain(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).flat_map(char::escape_default).collect()
}
