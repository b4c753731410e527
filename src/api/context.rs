//! Request contexts: what is known of a request beside its body, shared by the steps that it
//! passes and by its handler.

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

use super::{audit::PrincipalCell, dialect::ApiDialect, routes::PathRow};
use crate::base::traceparent::Traceparent;

/// A request, but for its body.
pub(super) struct RequestContext {
    /// Names the request, in its answer and in the log.
    pub(super) api_id: Uuid,
    /// The trace that it belongs to (W3C Trace Context).
    pub(super) trace: Traceparent,
    /// Set by the step that authenticates.
    pub(super) principal: PrincipalCell,
    pub(super) now: Instant,
    pub(super) peer: IpAddr,
    pub(super) dialect: ApiDialect,
    pub(super) method: Method,
    /// As it was sent.
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// Where the path names the account.
    pub(super) auth_id: Range<usize>,
    /// The path ends as one does whose last name is empty.
    pub(super) ends_nameless: bool,
    /// Set by the router; unset where the path names nothing.
    pub(super) path_row: OnceLock<&'static PathRow>,
}

impl RequestContext {
    /// As it stands in the path.
    pub(super) fn auth_id(&self) -> &str {
        &self.uri.path()[self.auth_id.clone()]
    }

    pub(super) fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }
}

/// The context, as handlers take it.
#[derive(Clone)]
pub(super) struct Context(pub(super) Arc<RequestContext>);

/// The body of a request, once it has been read.
#[derive(Clone)]
pub(super) struct RequestBody(pub(super) Bytes);

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
