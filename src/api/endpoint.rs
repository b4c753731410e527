//! Endpoints: the rows of the endpoint table.

use std::{future::Future, pin::Pin};

use axum::{extract::Request, http::Method, response::Response};

use super::{
    context::HandlerState,
    openapi::{DialectDescriber, Operation},
};

const GET: &Method = &Method::GET;
pub(super) const POST: &Method = &Method::POST;
pub(super) const DELETE: &Method = &Method::DELETE;

/// A method at a path. Matching, `Allow`, the metrics label, the audit line and the OpenAPI document
/// all follow from this row.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) method: &'static Method,
    /// The path below the dialect's root; each segment begins with a slash.
    pub(super) pattern: &'static str,
    pub(super) handler: EndpointHandler,
    pub(super) audit: AuditRule,
    pub(super) operation: Documented,
    /// The endpoint does not take `callback_url` as the receiver of its answer: the stream of events has
    /// no end, the `callback_url` of a recording or of a member is about that, and a password must not
    /// be kept until its answer is sent.
    pub(super) answers_itself: bool,
    /// The response outlives its request, and ends with the credential that opened it.
    pub(super) is_stream: bool,
    /// A signature in the query is as good as credentials.
    pub(super) takes_signature: bool,
    /// False for a change that is carried out although the log of events cannot be written, since the
    /// log has nothing of it.
    pub(super) needs_log: bool,
}

/// Calls an axum handler, as [`handler!`] makes it.
pub(super) type EndpointHandler = fn(Request, HandlerState) -> HandlerFuture;

pub(super) type HandlerFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Whether a request leaves a line in the audit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AuditRule {
    /// The endpoint may change something: one audit line, also for a failure.
    Audited,
    /// The endpoint only reads, and what it reads is worth an audit line.
    AuditedRead,
    /// The endpoint only reads: no audit line.
    NotAudited,
}

/// The operation of the OpenAPI document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Documented {
    /// The dialect's own documents describe it.
    ByVendor,
    Here(fn() -> Operation),
    /// Described once for each dialect of the voice API.
    Voice(fn(DialectDescriber) -> Operation),
}

impl Endpoint {
    pub(super) const fn reads(
        pattern: &'static str,
        handler: EndpointHandler,
        operation: Documented,
    ) -> Self {
        Self::new(GET, pattern, handler, AuditRule::NotAudited, operation)
    }

    pub(super) const fn changes(
        method: &'static Method,
        pattern: &'static str,
        handler: EndpointHandler,
        operation: Documented,
    ) -> Self {
        Self::new(method, pattern, handler, AuditRule::Audited, operation)
    }

    const fn new(
        method: &'static Method,
        pattern: &'static str,
        handler: EndpointHandler,
        audit: AuditRule,
        operation: Documented,
    ) -> Self {
        Self {
            method,
            pattern,
            handler,
            audit,
            operation,
            answers_itself: false,
            is_stream: false,
            takes_signature: false,
            needs_log: true,
        }
    }

    /// A file, which a signed URL opens, and which is worth an audit line.
    pub(super) const fn downloads(self) -> Self {
        let audit = AuditRule::AuditedRead;
        Self { audit, answers_itself: true, is_stream: true, takes_signature: true, ..self }
    }

    pub(super) const fn without_log(self) -> Self {
        Self { needs_log: false, ..self }
    }

    pub(super) const fn streams(self) -> Self {
        Self { is_stream: true, ..self }
    }

    pub(super) const fn answers_itself(self) -> Self {
        Self { answers_itself: true, ..self }
    }
}

/// Makes an [`EndpointHandler`] of an axum handler.
macro_rules! handler {
    ($handler:expr) => {
        |request, state| axum::handler::Handler::call($handler, request, state)
    };
}
pub(super) use handler;
