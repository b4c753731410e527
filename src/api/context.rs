//! Request contexts: a request without its body, with its ids and its principal. The steps before
//! the handler share it with the handler.

use std::{
    convert::Infallible,
    net::IpAddr,
    ops::Range,
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{
    body::Bytes,
    extract::FromRequestParts,
    http::{HeaderMap, Method, Uri, request::Parts},
};
use uuid::Uuid;

use super::{dialect::ApiDialect, path_row::PathRow, principal::PrincipalCell};
use crate::{base::traceparent::Traceparent, state_log::RowKey, store::RequestKey};

/// A request without its body.
pub(super) struct RequestContext {
    /// The id of the request in its response and in the log.
    pub(super) api_id: Uuid,
    /// The W3C Trace Context of the request; made from `api_id` if it had none.
    pub(super) trace: Traceparent,
    /// Set once, by the step that authenticates.
    pub(super) principal: PrincipalCell,
    pub(super) now: Instant,
    /// The address of the client, behind trusted proxies.
    pub(super) peer: IpAddr,
    pub(super) origin: RequestOrigin,
    pub(super) dialect: ApiDialect,
    pub(super) method: Method,
    /// The URI as the client sent it, not canonical.
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// The range of the account's id in the path; empty in other dialects.
    pub(super) auth_id: Range<usize>,
    /// Whether the path ends with `//`, as with an empty last name.
    pub(super) ends_nameless: bool,
    /// Set by the router; unset if no endpoint has the path.
    pub(super) path_row: OnceLock<&'static PathRow>,
}

impl RequestContext {
    /// The account's id, still percent-encoded.
    pub(super) fn auth_id(&self) -> &str {
        &self.uri.path()[self.auth_id.clone()]
    }

    pub(super) fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }
}

/// Where a request comes from, by its `Origin`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RequestOrigin {
    /// No page, or one that this server is the origin of.
    Own,
    /// A page of a listed origin.
    Listed,
    /// A page of any other origin.
    Foreign,
}

/// Extractor of the context, for handlers.
#[derive(Clone)]
pub(super) struct Context(pub(super) Arc<RequestContext>);

/// Extractor of the body, which is read before a handler runs.
#[derive(Clone)]
pub(super) struct RequestBody(pub(super) Bytes);

/// A request whose answer is written with its change. Other requests have no such extension.
#[derive(Clone)]
pub(super) struct KeyedRequest {
    /// Its idempotency key, if it has one.
    pub(super) request: Option<Arc<RequestKey>>,
    /// The key of its answer in the state log.
    pub(super) answer: RowKey,
}

impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().expect("every request has one").clone())
    }
}

impl<S: Sync> FromRequestParts<S> for RequestBody {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.remove::<Self>().expect("the body is read before a handler is called"))
    }
}
