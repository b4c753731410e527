//! Fetch errors: why a request failed.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::{
    guard::RefusedAddress,
    target::{BadUrl, RetryOn, TargetUrl},
};

/// A failed request. The text has the URL and the reason, and nothing that was sent or received.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {failure}")]
pub struct FetchError {
    at: String,
    failure: FetchFailure,
    received: Option<Box<FailedResponse>>,
}

/// What had come of a response that is an error. It may hold secrets of the receiver.
#[derive(Debug)]
pub struct FailedResponse {
    /// Any status: 200 too, if the body is the trouble.
    pub status: u16,
    /// Value of `content-type`, if it is text.
    pub content_type: Option<String>,
    /// What was read of the body: the first kilobytes.
    pub body: Bytes,
}

impl FetchError {
    pub(super) fn new(at: &TargetUrl, failure: FetchFailure) -> Self {
        Self { at: at.to_string(), failure, received: None }
    }

    pub(super) fn after(self, received: FailedResponse) -> Self {
        Self { received: Some(Box::new(received)), ..self }
    }

    /// What had come of the response, if one came.
    pub fn received(&self) -> Option<&FailedResponse> {
        self.received.as_deref()
    }

    /// The reason, with the URL only if a redirect led to another than `asked`.
    pub fn reason(&self, asked: &TargetUrl) -> String {
        match self.at == asked.to_string() {
            true => self.failure.to_string(),
            false => format!("after a redirect to {}: {}", self.at, self.failure),
        }
    }

    /// Whether the request may well succeed later.
    pub fn is_temporary(&self) -> bool {
        match &self.failure {
            FetchFailure::Broken(_) | FetchFailure::LateAnswer(_) | FetchFailure::LateTotal(_) => {
                true
            }
            FetchFailure::LateConnect(_) | FetchFailure::Unconnected(_) => true,
            FetchFailure::Status(status) => {
                let is_passing = [408, 425, 429].contains(&status.as_u16());
                status.is_server_error() || is_passing
            }
            FetchFailure::Encoded
            | FetchFailure::TooLarge(_)
            | FetchFailure::BadRedirect(_)
            | FetchFailure::TooManyRedirects
            | FetchFailure::Refused(_) => false,
        }
    }

    /// Whether a retry policy covers the error.
    pub fn is_retried_by(&self, policy: RetryOn) -> bool {
        match &self.failure {
            FetchFailure::LateConnect(_) | FetchFailure::Unconnected(_) => policy.connect,
            FetchFailure::Broken(_) | FetchFailure::LateAnswer(_) | FetchFailure::LateTotal(_) => {
                policy.read
            }
            FetchFailure::Status(status) if status.is_client_error() => policy.client_error,
            FetchFailure::Status(status) if status.is_server_error() => policy.server_error,
            FetchFailure::Status(_) | FetchFailure::Encoded | FetchFailure::TooLarge(_) => false,
            FetchFailure::BadRedirect(_)
            | FetchFailure::TooManyRedirects
            | FetchFailure::Refused(_) => false,
        }
    }

    /// Status of the response, if there was one without success.
    pub fn status(&self) -> Option<u16> {
        match &self.failure {
            FetchFailure::Status(status) => Some(status.as_u16()),
            FetchFailure::Broken(_)
            | FetchFailure::Encoded
            | FetchFailure::TooLarge(_)
            | FetchFailure::LateAnswer(_) => None,
            FetchFailure::LateConnect(_)
            | FetchFailure::LateTotal(_)
            | FetchFailure::BadRedirect(_) => None,
            FetchFailure::TooManyRedirects
            | FetchFailure::Refused(_)
            | FetchFailure::Unconnected(_) => None,
        }
    }

    /// The guard's refusal, if there was one.
    pub fn refused(&self) -> Option<RefusedAddress> {
        match &self.failure {
            FetchFailure::Refused(refused) => Some(*refused),
            FetchFailure::Broken(_)
            | FetchFailure::Encoded
            | FetchFailure::TooLarge(_)
            | FetchFailure::LateAnswer(_) => None,
            FetchFailure::LateConnect(_)
            | FetchFailure::LateTotal(_)
            | FetchFailure::BadRedirect(_) => None,
            FetchFailure::TooManyRedirects
            | FetchFailure::Status(_)
            | FetchFailure::Unconnected(_) => None,
        }
    }

    /// Label for metrics, one word.
    pub fn label(&self) -> &'static str {
        match &self.failure {
            FetchFailure::Broken(_) => "broken",
            FetchFailure::Encoded | FetchFailure::TooLarge(_) => "unusable",
            FetchFailure::LateAnswer(_)
            | FetchFailure::LateConnect(_)
            | FetchFailure::LateTotal(_) => "late",
            FetchFailure::BadRedirect(_) | FetchFailure::TooManyRedirects => "redirect",
            FetchFailure::Refused(_) => "refused",
            FetchFailure::Status(status) if status.is_client_error() => "4xx",
            FetchFailure::Status(status) if status.is_server_error() => "5xx",
            FetchFailure::Status(_) => "status",
            FetchFailure::Unconnected(_) => "unconnected",
        }
    }
}

/// Reason of a failed request.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchFailure {
    #[error("the connection broke before the answer was complete ({0})")]
    Broken(String),
    #[error("the answer is compressed, which was not asked for: send it as it is")]
    Encoded,
    #[error("the answer is larger than {0} bytes: shorten it")]
    TooLarge(usize),
    #[error("no complete answer within {} ms (rt)", .0.as_millis())]
    LateAnswer(Duration),
    #[error("no connection within {} ms (ct)", .0.as_millis())]
    LateConnect(Duration),
    #[error("not done within {} ms (tt)", .0.as_millis())]
    LateTotal(Duration),
    #[error("it redirects to where no request may go: {0}")]
    BadRedirect(BadUrl),
    #[error("it redirects more than {max} times: name the last URL", max = super::REDIRECTS_MAX)]
    TooManyRedirects,
    #[error("{0}")]
    Refused(RefusedAddress),
    #[error("it answered {0}, and only 2xx is good")]
    Status(StatusCode),
    #[error("{0}")]
    Unconnected(String),
}

/// Redirects that are followed.
pub const REDIRECTS_MAX: usize = 3;
