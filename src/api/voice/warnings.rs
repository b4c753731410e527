//! What has no effect in a request that is good all the same: told to its sender in a header,
//! since the vendors' bodies are fixed, to the operator in the log, and in the traces of the calls
//! that it was about.

use std::sync::Arc;

use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};

use super::{Asker, params::Params};
use crate::base::ids::{CallId, Dialect};

/// One for each remark.
const HEADER: HeaderName = HeaderName::from_static("conflow-remark");

/// Whoever sends more parameters that nobody knows has read one of them.
const REMARKS_MAX: usize = 10;

/// Of a name that nobody knows: the vendors' longest has 39.
const NAME_CHARS_MAX: usize = 64;

/// In the bodies of official clients, beside what is asked (contract 6).
const REDUNDANT: [&str; 5] =
    ["auth_id", "call_uuid", "conference_name", "member_id", "request_uuid"];

/// Plivo's asynchronous answers (contract 1.3).
const ASYNCHRONOUS: [&str; 2] = ["callback_url", "callback_method"];

/// What is to be told.
#[derive(Default)]
pub(super) struct Remarks(Vec<String>);

impl Remarks {
    /// Those about parameters that an endpoint does not know.
    pub(super) fn of(asker: &Asker<'_>, params: &Params, known: &[&str]) -> Self {
        let is_async = asker.dialect == Dialect::Plivo;
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
    pub(super) fn idle(&mut self, name: &str, why: &str) {
        self.0.push(format!("{name}: {why}"));
    }

    /// Tells them in the traces of calls.
    pub(super) fn of_calls(self, asker: &Asker<'_>, calls: &[CallId]) -> Self {
        for remark in self.0.iter().take(REMARKS_MAX) {
            let remark: Arc<str> = remark.as_str().into();
            for call in calls {
                asker.desk.house.note_remark(*call, asker.api_id, remark.clone());
            }
        }
        self
    }

    /// Tells them with an answer.
    pub(super) fn tell(self, asker: &Asker<'_>, mut response: Response) -> Response {
        for remark in self.0.iter().take(REMARKS_MAX) {
            tracing::info!(api_id = %asker.api_id, "{remark}");
            if let Ok(value) = HeaderValue::from_str(remark) {
                response.headers_mut().append(HEADER, value);
            }
        }
        response
    }
}

/// As a header can carry it.
fn plain(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).flat_map(char::escape_default).collect()
}
