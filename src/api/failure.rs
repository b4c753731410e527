//! Why a request is not answered as it was meant, and what is answered instead.

use std::{borrow::Cow, time::Duration};

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{ALLOW, HeaderName, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    body::{BODY_BYTES_MAX, BODY_WAIT_MAX},
    reply::json,
    streams::STREAMS_MAX,
};
use crate::{conference::Refusal, engine::registry::AskError};

/// Why a request is not answered as it was meant.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A conference gave no answer, or said no.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// A parameter, or the body, is not as it must be.
    #[error("{0}")]
    Bad(String),
    /// A bug of ours.
    #[error("internal error: the request may have had its effect or not")]
    Internal,
    /// It belongs to nobody who has these credentials.
    #[error("account not found")]
    NoAccount,
    /// No credentials.
    #[error(
        "credentials are missing: send them by HTTP Basic, or as X-Auth-ID and X-Auth-Token headers"
    )]
    NoCredentials,
    /// The path names nothing.
    #[error("not found")]
    NoRoute,
    /// A body of another type.
    #[error("the body must be JSON: send it with Content-Type: application/json")]
    NotJson,
    /// Not there (yet).
    #[error("{0}")]
    NotImplemented(&'static str),
    /// The same key, and another request.
    #[error("this Idempotency-Key has been used for another request: make up a new one")]
    KeyReused,
    /// What is named is no longer in a state for this.
    #[error("{0}")]
    Conflict(String),
    /// What is named is not there.
    #[error("{0}")]
    NotFound(Cow<'static, str>),
    /// The token is for looking only.
    #[error("this token is read-only: it is good for GET; use a full token of the account")]
    ReadOnly,
    /// More than this limit allows.
    #[error("too many requests: slow down")]
    TooFast {
        /// When there is room again.
        wait: Duration,
    },
    /// The address has failed too often.
    #[error("too many requests with wrong credentials from this address: wait")]
    TooManyGuesses {
        /// When it may try again.
        wait: Duration,
    },
    /// The account has as many calls as it may have.
    #[error("the account may have {max} calls at a time (calls_max): wait until one has ended")]
    TooManyCalls {
        /// So many.
        max: u32,
    },
    /// The account has as many event streams as it may have.
    #[error("the account has {STREAMS_MAX} event streams open: close one")]
    TooManyStreams,
    /// The body is too large.
    #[error("the body is larger than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// The body did not come.
    #[error("the body did not come within {} seconds", BODY_WAIT_MAX.as_secs())]
    TooSlow,
    /// For now.
    #[error("{0}")]
    Unavailable(String),
    /// Such an account does not exist, or the token is not its own.
    #[error("wrong credentials")]
    WrongCredentials,
    /// The path is good for other methods.
    #[error("method not allowed: use {allow}")]
    WrongMethod {
        /// Those.
        allow: &'static str,
    },
}

impl Failure {
    /// The error as the dialects write it where they agree (contracts 1.1 and 1.2).
    pub(super) fn answer(&self, api_id: Uuid) -> Response {
        let error = self.to_string().into();
        let mut response = json(self.status(), &ErrorBody { api_id, error });
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Ask(AskError::Busy)
            | Self::TooManyCalls { .. }
            | Self::TooManyStreams
            | Self::Unavailable(_) => Some((RETRY_AFTER, HeaderValue::from(BUSY_WAIT_SECONDS))),
            Self::TooFast { wait } | Self::TooManyGuesses { wait } => {
                // A part of a second would be a second too early.
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Some((RETRY_AFTER, HeaderValue::from(seconds)))
            }
            Self::WrongMethod { allow } => Some((ALLOW, HeaderValue::from_static(allow))),
            Self::Ask(AskError::Gone | AskError::Late | AskError::Refused(_))
            | Self::Bad(_)
            | Self::Internal
            | Self::NotFound(_)
            | Self::NoAccount
            | Self::NoCredentials
            | Self::NoRoute
            | Self::NotImplemented(_)
            | Self::NotJson
            | Self::KeyReused
            | Self::Conflict(_)
            | Self::ReadOnly
            | Self::TooLarge
            | Self::TooSlow
            | Self::WrongCredentials => None,
        }
    }

    /// Where a dialect has no reason to differ.
    fn status(&self) -> StatusCode {
        match self {
            Self::Ask(AskError::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Ask(AskError::Gone | AskError::Refused(Refusal::NoMember)) => {
                StatusCode::NOT_FOUND
            }
            Self::Ask(AskError::Late) => StatusCode::GATEWAY_TIMEOUT,
            Self::Ask(AskError::Refused(Refusal::Fault)) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Ask(AskError::Refused(Refusal::NoElement { .. })) | Self::Bad(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound(_) | Self::NoAccount | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoCredentials | Self::WrongCredentials => StatusCode::UNAUTHORIZED,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Ask(AskError::Refused(Refusal::TooManyBans { .. }))
            | Self::KeyReused
            | Self::Conflict(_) => StatusCode::CONFLICT,
            Self::ReadOnly => StatusCode::FORBIDDEN,
            Self::TooFast { .. }
            | Self::TooManyCalls { .. }
            | Self::TooManyGuesses { .. }
            | Self::TooManyStreams => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

/// The failure goes along with an empty response: the dialect that a request has come by writes
/// the body.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}

/// A queue of asks is worked off within milliseconds; this is the shortest that can be said.
const BUSY_WAIT_SECONDS: u64 = 1;

/// The body of an error (contract 1.1, 1.2).
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody<'a> {
    api_id: Uuid,
    error: Cow<'a, str>,
}
