//! Endpoints: one row of the endpoint table, with all that follows from it.

use std::{future::Future, pin::Pin};

use axum::{extract::Request, http::Method, response::Response};

use super::{
    Links,
    openapi::{DialectDescriber, Operation},
};

const GET: &Method = &Method::GET;
pub(super) const POST: &Method = &Method::POST;
pub(super) const DELETE: &Method = &Method::DELETE;

/// A method at a path.
///
/// From it follow matching, `Allow`, the label in metrics, the line in the audit, and the OpenAPI
/// document.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) method: &'static Method,
    /// Below the dialect's root; each segment begins with a slash.
    pub(super) pattern: &'static str,
    pub(super) handler: EndpointHandler,
    pub(super) action: Action,
    pub(super) operation: Documented,
    /// There is no answer later and none to a repeated request: the stream of events has no end,
    /// and the `callback_url` of a recording is about the recording.
    pub(super) answers_itself: bool,
}

/// Calls an axum handler, as [`handler!`] makes it.
pub(super) type EndpointHandler = fn(Request, Links) -> HandlerFuture;

pub(super) type HandlerFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Whether a request leaves a line in the audit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Action {
    /// It may change something: audited, whatever comes of it.
    Changes,
    /// It only looks: not audited.
    Reads,
}

/// The operation of the OpenAPI document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Documented {
    /// The dialect's own documents describe it.
    ByVendor,
    Here(fn() -> Operation),
    /// Once for each dialect of the voice API.
    Voice(fn(DialectDescriber) -> Operation),
}

impl Endpoint {
    pub(super) const fn reads(
        pattern: &'static str,
        handler: EndpointHandler,
        operation: Documented,
    ) -> Self {
        let (method, action) = (GET, Action::Reads);
        Self { method, pattern, handler, action, operation, answers_itself: false }
    }

    pub(super) const fn changes(
        method: &'static Method,
        pattern: &'static str,
        handler: EndpointHandler,
        operation: Documented,
    ) -> Self {
        let action = Action::Changes;
        Self { method, pattern, handler, action, operation, answers_itself: false }
    }

    pub(super) const fn answers_itself(self) -> Self {
        Self { answers_itself: true, ..self }
    }
}

/// An [`EndpointHandler`] out of a handler of axum's.
macro_rules! handler {
    ($handler:expr) => {
        |request, links| axum::handler::Handler::call($handler, request, links)
    };
}
pub(super) use handler;
