//! Why a request is not answered as it was meant, and what is answered instead.

use std::{borrow::Cow, time::Duration};

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{ALLOW, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    body::{BODY_BYTES_MAX, BODY_WAIT_MAX},
    reply::json,
    streams::STREAMS_MAX,
    voice::{plivo, vobiz},
};
use crate::{base::ids::Dialect, engine::registry::AskError};

/// Why a request is not answered as it was meant.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A conference gave no answer, or said no.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// A parameter, or the body, is not as it must be.
    #[error("{0}")]
    Bad(String),
    /// A bug of ours.
    #[error("internal error: the request may have had its effect or not")]
    Fault,
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
    OtherRepeat,
    /// What is named is no longer in a state for this.
    #[error("{0}")]
    Over(String),
    /// What is named is not there.
    #[error("{0}")]
    Missing(Cow<'static, str>),
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
    /// As the dialect has it.
    pub(super) fn answer(&self, dialect: Dialect, api_id: Uuid) -> Response {
        let mut response = self.body(dialect, api_id);
        if let Some((name, value)) = self.header(dialect) {
            response.headers_mut().insert(name, value);
        }
        response
    }

    fn body(&self, dialect: Dialect, api_id: Uuid) -> Response {
        match (self, dialect) {
            (Self::Ask(error), Dialect::Plivo) => {
                let (status, error) = plivo::refused(error);
                json(status, &Wrong { api_id, error: error.into() })
            }
            (Self::Ask(error), Dialect::Vobiz) => {
                let (status, error) = vobiz::refused(error);
                json(status, &Wrong { api_id, error: error.into() })
            }
            (Self::NoRoute, Dialect::Vobiz) => json(StatusCode::NOT_FOUND, &vobiz::NO_ROUTE),
            (failure, Dialect::Plivo | Dialect::Vobiz) => {
                json(failure.status(), &Wrong { api_id, error: failure.to_string().into() })
            }
        }
    }

    fn header(&self, dialect: Dialect) -> Option<(HeaderName, HeaderValue)> {
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
            Self::NoCredentials | Self::WrongCredentials => {
                let challenge = HeaderValue::from_static("Basic realm=\"conflow\"");
                (dialect == Dialect::Plivo).then_some((WWW_AUTHENTICATE, challenge))
            }
            Self::WrongMethod { allow } => Some((ALLOW, HeaderValue::from_static(allow))),
            Self::Ask(AskError::Gone | AskError::Late | AskError::Refused(_))
            | Self::Bad(_)
            | Self::Fault
            | Self::Missing(_)
            | Self::NoAccount
            | Self::NoRoute
            | Self::NotImplemented(_)
            | Self::NotJson
            | Self::OtherRepeat
            | Self::Over(_)
            | Self::ReadOnly
            | Self::TooLarge
            | Self::TooSlow => None,
        }
    }

    /// Where a dialect has no reason to differ.
    fn status(&self) -> StatusCode {
        match self {
            Self::Ask(error) => plivo::refused(error).0,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Fault => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Missing(_) | Self::NoAccount | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoCredentials | Self::WrongCredentials => StatusCode::UNAUTHORIZED,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::OtherRepeat | Self::Over(_) => StatusCode::CONFLICT,
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

/// A queue of asks is worked off within milliseconds; this is the shortest that can be said.
const BUSY_WAIT_SECONDS: u64 = 1;

/// The body of an error (contract 1.1, 1.2).
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct Wrong<'a> {
    api_id: Uuid,
    error: Cow<'a, str>,
}
