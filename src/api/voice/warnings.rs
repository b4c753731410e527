//! Warnings about parameters that conflow ignores. They go into a response header, since the
//! vendors' bodies are fixed, into the log, and into the traces of the calls concerned.

use std::sync::Arc;

use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};

use super::{ApiClient, params::RequestParams};
use crate::base::ids::{CallId, Dialect};

/// The headers that carry a warning. The second is the old name, for clients that read it.
const HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("conflow-warning"), HeaderName::from_static("conflow-remark")];

/// The largest number of warnings in one response.
const WARNINGS_MAX: usize = 10;

/// The part of an unknown name that is shown. The vendors' longest name has 39 characters.
const NAME_CHARS_MAX: usize = 64;

/// Parameters that official clients repeat in their bodies (contract 6).
const REDUNDANT: [&str; 5] =
    ["auth_id", "call_uuid", "conference_name", "member_id", "request_uuid"];

/// The parameters of Plivo's asynchronous answers (contract 1.3).
const ASYNCHRONOUS: [&str; 2] = ["callback_url", "callback_method"];

/// The warnings of one request.
#[derive(Clone, Default)]
pub(super) struct Warnings(Vec<String>);

impl Warnings {
    /// Warns about parameters that an endpoint does not know.
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

    /// Warns about a known parameter that has no effect.
    pub(super) fn ignored(&mut self, name: &str, why: &str) {
        self.0.push(format!("{name}: {why}"));
    }

    /// Adds the warnings to the traces of calls.
    pub(super) fn note_in_traces(self, client: &ApiClient, calls: &[CallId]) -> Self {
        for warning in self.0.iter().take(WARNINGS_MAX) {
            let warning: Arc<str> = warning.as_str().into();
            for call in calls {
                client.state.registry.note_warning(*call, client.api_id, warning.clone());
            }
        }
        self
    }

    /// Adds the warnings to a response, and logs them.
    pub(super) fn add_to(self, client: &ApiClient, response: Response) -> Response {
        self.log(client);
        self.in_headers(response)
    }

    /// Logs the warnings.
    pub(super) fn log(&self, client: &ApiClient) {
        for warning in self.0.iter().take(WARNINGS_MAX) {
            tracing::info!(api_id = %client.api_id, "{warning}");
        }
    }

    /// Adds the warnings to a response.
    pub(super) fn in_headers(&self, mut response: Response) -> Response {
        for warning in self.0.iter().take(WARNINGS_MAX) {
            if let Ok(value) = HeaderValue::from_str(warning) {
                for name in HEADERS {
                    response.headers_mut().append(name, value.clone());
                }
            }
        }
        response
    }
}

/// A name in ASCII, as a header can carry it.
fn plain(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).flat_map(char::escape_default).collect()
}
