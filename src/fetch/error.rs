//! Why a request came to nothing.

use std::time::Duration;

use http::StatusCode;

use super::{
    guard::Refused,
    target::{BadUrl, RetryOn, Target},
};

/// A request that came to nothing. It says where and why, and never what was sent or received.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {why}")]
pub struct FetchError {
    at: String,
    why: Why,
}

impl FetchError {
    pub(super) fn new(at: &Target, why: Why) -> Self {
        Self { at: at.to_string(), why }
    }

    /// Whether the same request may well succeed later.
    pub fn is_temporary(&self) -> bool {
        match &self.why {
            Why::Broken(_) | Why::LateAnswer(_) | Why::LateTotal(_) => true,
            Why::LateConnect(_) | Why::Unconnected(_) => true,
            Why::Status(status) => {
                let is_passing = [408, 425, 429].contains(&status.as_u16());
                status.is_server_error() || is_passing
            }
            Why::Encoded | Why::Large(_) | Why::Redirect(_) | Why::Redirects | Why::Refused(_) => {
                false
            }
        }
    }

    /// Whether a policy has it tried again.
    pub fn is_in(&self, policy: RetryOn) -> bool {
        match &self.why {
            Why::LateConnect(_) | Why::Unconnected(_) => policy.connect,
            Why::Broken(_) | Why::LateAnswer(_) | Why::LateTotal(_) => policy.read,
            Why::Status(status) if status.is_client_error() => policy.client_error,
            Why::Status(status) if status.is_server_error() => policy.server_error,
            Why::Status(_) | Why::Encoded | Why::Large(_) => false,
            Why::Redirect(_) | Why::Redirects | Why::Refused(_) => false,
        }
    }

    /// What was answered, where something other than 2xx was.
    pub fn status(&self) -> Option<u16> {
        match &self.why {
            Why::Status(status) => Some(status.as_u16()),
            Why::Broken(_) | Why::Encoded | Why::Large(_) | Why::LateAnswer(_) => None,
            Why::LateConnect(_) | Why::LateTotal(_) | Why::Redirect(_) => None,
            Why::Redirects | Why::Refused(_) | Why::Unconnected(_) => None,
        }
    }

    /// The guard's no, where there was one.
    pub fn refused(&self) -> Option<Refused> {
        match &self.why {
            Why::Refused(refused) => Some(*refused),
            Why::Broken(_) | Why::Encoded | Why::Large(_) | Why::LateAnswer(_) => None,
            Why::LateConnect(_) | Why::LateTotal(_) | Why::Redirect(_) => None,
            Why::Redirects | Why::Status(_) | Why::Unconnected(_) => None,
        }
    }

    /// In a word, for metrics.
    pub fn label(&self) -> &'static str {
        match &self.why {
            Why::Broken(_) => "broken",
            Why::Encoded | Why::Large(_) => "unusable",
            Why::LateAnswer(_) | Why::LateConnect(_) | Why::LateTotal(_) => "late",
            Why::Redirect(_) | Why::Redirects => "redirect",
            Why::Refused(_) => "refused",
            Why::Status(status) if status.is_client_error() => "4xx",
            Why::Status(status) if status.is_server_error() => "5xx",
            Why::Status(_) => "status",
            Why::Unconnected(_) => "unconnected",
        }
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Why {
    #[error("the connection broke before the answer was complete ({0})")]
    Broken(String),
    #[error("the answer is compressed, which was not asked for: send it as it is")]
    Encoded,
    #[error("the answer is larger than {0} bytes: shorten it")]
    Large(usize),
    #[error("no complete answer within {} ms (rt)", .0.as_millis())]
    LateAnswer(Duration),
    #[error("no connection within {} ms (ct)", .0.as_millis())]
    LateConnect(Duration),
    #[error("not done within {} ms (tt)", .0.as_millis())]
    LateTotal(Duration),
    #[error("it redirects to where no request may go: {0}")]
    Redirect(BadUrl),
    #[error("it redirects more than {max} times: name the last URL", max = super::REDIRECTS_MAX)]
    Redirects,
    #[error("{0}")]
    Refused(Refused),
    #[error("it answered {0}, and only 2xx is good")]
    Status(StatusCode),
    #[error("{0}")]
    Unconnected(String),
}
