//! Failures: the errors that a request can end with, their statuses and headers.
//!
//! The body is written by the dialect that the request came by.

use std::{borrow::Cow, time::Duration};

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_RANGE, HeaderName, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{reply::json, streams::STREAMS_MAX};
use crate::{conference::Refusal, engine::registry::AskError, store::rows::WriteError};

/// The media types of bodies with parameters, as `Accept` lists them.
const BODY_TYPES: &str = "application/json, application/x-www-form-urlencoded, multipart/form-data";

/// The reason why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A conference refused the ask, or did not answer it.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The signature of a URL is not good, or not any more.
    #[error(
        "this URL is signed for another time or path: GET the recording for a new one, or send \
         credentials"
    )]
    BadSignature,
    /// A parameter or the body is invalid. The text names it and says what to give.
    #[error("{0}")]
    Bad(String),
    /// A bug in conflow: a panic.
    #[error("internal error: the request may have had its effect or not")]
    Internal,
    /// The range of a file begins after its end.
    #[error("the file has {length} bytes: ask for a range within them")]
    NoRange {
        /// The size of the file in bytes.
        length: u64,
    },
    /// The path names an account that these credentials do not belong to.
    #[error("account not found")]
    NoAccount,
    /// The request has no credentials.
    #[error(
        "credentials are missing: send them by HTTP Basic, or as X-Auth-ID and X-Auth-Token headers"
    )]
    NoCredentials,
    /// No endpoint has this path.
    #[error("not found")]
    NoRoute,
    /// The body is compressed, with this `Content-Encoding`.
    #[error("the body has Content-Encoding: {0}: send it as it is (identity)")]
    Coded(String),
    /// The body has a `Content-Type` that is neither JSON nor a form.
    #[error("the body must be JSON or a form: send it with Content-Type: {BODY_TYPES}")]
    MediaType,
    /// The endpoint is documented by the vendor and not implemented yet.
    #[error("{0}")]
    NotImplemented(&'static str),
    /// No recording can start now.
    #[error("no recording: {0}")]
    NoRecording(String),
    /// The `Idempotency-Key` was used for another request.
    #[error("this Idempotency-Key has been used for another request: make up a new one")]
    KeyReused,
    /// The request of this `Idempotency-Key` was under way when conflow ended.
    #[error(
        "the request with this Idempotency-Key was interrupted when conflow ended: look whether it had \
         its effect, and make up a new key to send it again"
    )]
    KeyInterrupted,
    /// The named object is in a state that does not allow the request.
    #[error("{0}")]
    Conflict(String),
    /// The named object does not exist.
    #[error("{0}")]
    NotFound(Cow<'static, str>),
    /// A web page of an origin that is not listed makes a change with credentials that its browser adds
    /// by itself.
    #[error(
        "a web page of another origin may not do this with HTTP Basic: list the origin in cors.origins, \
         or send X-Auth-ID and X-Auth-Token"
    )]
    ForeignPage,
    /// A page or a host name that is not the console's own asks for it, or with its session.
    #[error(
        "the console is open at {origins} and there only: name another origin in [console] origins \
         (https, unless it is this machine)"
    )]
    ForeignConsole {
        /// The origins of the console.
        origins: String,
    },
    /// The request shows a session of the console that has ended, or half of one.
    #[error("this session of the console has ended, or its token was removed: sign in again")]
    NoSession,
    /// The one-time link was used, is too old, or is opened on another machine.
    #[error(
        "this link works once, within 10 minutes, on the machine of the server: sign in with a token"
    )]
    UsedLink,
    /// The token is read-only.
    #[error("this token is read-only: it is good for GET; use a full token of the account")]
    ReadOnly,
    /// The account has exceeded its rate limit.
    #[error("too many requests: slow down")]
    TooFast {
        /// The time until the next request is allowed.
        wait: Duration,
    },
    /// The address has sent too many wrong credentials.
    #[error("too many requests with wrong credentials from this address: wait")]
    TooManyGuesses {
        /// The time until the next try is allowed.
        wait: Duration,
    },
    /// The account has its maximum of live calls.
    #[error("the account may have {max} calls at a time (calls_max): wait until one has ended")]
    TooManyCalls {
        /// The maximum, from the setting `calls_max`.
        max: u32,
    },
    /// The account has its maximum of open downloads.
    #[error("the account has {STREAMS_MAX} downloads under way: wait until one has ended")]
    TooManyDownloads,
    /// The account has its maximum of open event streams.
    #[error("the account has {STREAMS_MAX} event streams open: close one")]
    TooManyStreams,
    /// The body exceeds the largest size that is read.
    #[error("the body is larger than {max} bytes")]
    TooLarge {
        /// That size, in bytes.
        max: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not come within {} seconds", max.as_secs())]
    TooSlow {
        /// The time that a client has for a body.
        max: Duration,
    },
    /// A temporary state of the server, such as draining.
    #[error("{0}")]
    Unavailable(String),
    /// The account does not exist, or the token is not one of its tokens.
    #[error("wrong credentials")]
    WrongCredentials,
    /// The path exists for other methods.
    #[error("method not allowed: use {allow}")]
    WrongMethod {
        /// The methods, as the `Allow` header lists them.
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
            Self::Ask(AskError::Busy | AskError::NotStored(_))
            | Self::TooManyCalls { .. }
            | Self::TooManyDownloads
            | Self::TooManyStreams
            | Self::Unavailable(_) => Some((RETRY_AFTER, HeaderValue::from(BUSY_WAIT_SECONDS))),
            Self::NoRecording(_) => Some((RETRY_AFTER, HeaderValue::from(FULL_WAIT_SECONDS))),
            Self::TooFast { wait } | Self::TooManyGuesses { wait } => {
                Some((RETRY_AFTER, HeaderValue::from(rounded_up(*wait))))
            }
            // RFC 9110, 15.5.17.
            Self::NoRange { length } => {
                let value = HeaderValue::try_from(format!("bytes */{length}"));
                Some((CONTENT_RANGE, value.expect("digits are visible")))
            }
            // RFC 9110, 15.5.16: what would have been accepted.
            Self::Coded(_) => Some((ACCEPT_ENCODING, HeaderValue::from_static("identity"))),
            Self::MediaType => Some((ACCEPT, HeaderValue::from_static(BODY_TYPES))),
            Self::WrongMethod { allow } => Some((ALLOW, HeaderValue::from_static(allow))),
            Self::Ask(AskError::Gone | AskError::Late | AskError::Refused(_))
            | Self::Bad(_)
            | Self::BadSignature
            | Self::Internal
            | Self::NotFound(_)
            | Self::NoAccount
            | Self::NoCredentials
            | Self::NoRoute
            | Self::NotImplemented(_)
            | Self::KeyReused
            | Self::KeyInterrupted
            | Self::Conflict(_)
            | Self::ForeignConsole { .. }
            | Self::ForeignPage
            | Self::NoSession
            | Self::UsedLink
            | Self::ReadOnly
            | Self::TooLarge { .. }
            | Self::TooSlow { .. }
            | Self::WrongCredentials => None,
        }
    }

    /// The status, which is the same in all voice dialects.
    fn status(&self) -> StatusCode {
        match self {
            Self::Ask(AskError::Busy | AskError::NotStored(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Ask(
                AskError::Gone | AskError::Refused(Refusal::NoCallee | Refusal::NoMember),
            ) => StatusCode::NOT_FOUND,
            Self::Ask(AskError::Late) => StatusCode::GATEWAY_TIMEOUT,
            Self::Ask(AskError::Refused(Refusal::Fault)) => StatusCode::INTERNAL_SERVER_ERROR,
            // No 501: the vendors' SDKs send a request with a 5xx again, to the vendors' own hosts.
            Self::Ask(AskError::Refused(Refusal::NoElement { .. }))
            | Self::Bad(_)
            | Self::NotImplemented(_) => StatusCode::BAD_REQUEST,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound(_) | Self::NoAccount | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoCredentials | Self::NoSession | Self::UsedLink | Self::WrongCredentials => {
                StatusCode::UNAUTHORIZED
            }
            Self::MediaType | Self::Coded(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Ask(AskError::Refused(Refusal::TooManyBans { .. }))
            | Self::KeyReused
            | Self::KeyInterrupted
            | Self::Conflict(_) => StatusCode::CONFLICT,
            Self::NoRange { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::BadSignature
            | Self::ForeignConsole { .. }
            | Self::ForeignPage
            | Self::ReadOnly => StatusCode::FORBIDDEN,
            Self::TooFast { .. }
            | Self::TooManyCalls { .. }
            | Self::TooManyDownloads
            | Self::TooManyGuesses { .. }
            | Self::TooManyStreams => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::NoRecording(_) | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

/// A change that could not be written, and therefore did not happen.
impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Puts the failure into the extensions of an empty response. The dialect writes the body later.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}

/// Whole seconds for `Retry-After`: rounded down, it would be too early.
pub(super) fn rounded_up(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// A queue of asks takes milliseconds; a second is the shortest time that `Retry-After` can say.
const BUSY_WAIT_SECONDS: u64 = 1;

/// A recording ends, or somebody makes space: contract of recording, section 2.
const FULL_WAIT_SECONDS: u64 = 60;

/// The body of an error (contract 1.1, 1.2).
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody<'a> {
    api_id: Uuid,
    error: Cow<'a, str>,
}
