//! Request contexts: a request without its body, with its ids and its principal. The steps before
//! the handler share it with the handler.
//!
//! Extractors read what they give from the handler's state. axum passes such things in the extensions
//! of a request, which cost a hash table and a box for each.

use std::{array, convert::Infallible, net::IpAddr, ops::Range, sync::Arc, time::Instant};

use axum::{
    body::Bytes,
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, Method, Uri, request::Parts},
};
use uuid::Uuid;

use super::{AppState, Links, dialect::ApiDialect, path, principal::PrincipalCell};
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
    /// The canonical path, if it is not the one that was sent.
    pub(super) canonical: Option<Arc<str>>,
    pub(super) headers: HeaderMap,
    /// The range of the account's id in the path; empty in other dialects.
    pub(super) auth_id: Range<usize>,
    /// Whether the path ends with `//`, as with an empty last name.
    pub(super) ends_nameless: bool,
    /// Where the canonical path has what it names.
    pub(super) names: NameRanges,
}

impl RequestContext {
    /// The account's id, still percent-encoded.
    pub(super) fn auth_id(&self) -> &str {
        &self.uri.path()[self.auth_id.clone()]
    }

    /// The canonical path.
    pub(super) fn path(&self) -> &str {
        self.canonical.as_deref().unwrap_or_else(|| self.uri.path())
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

/// The ranges of what a path names, except the account; empty ones at the end.
pub(super) type NameRanges = [Range<usize>; NAMES_MAX];

/// A path of the table names at most a group, a platform, a member and a rank.
const NAMES_MAX: usize = 4;

/// The state of a handler: everything that it can reach, and the request that it answers.
#[derive(Clone)]
pub(super) struct HandlerState {
    pub(super) links: Links,
    pub(super) context: Arc<RequestContext>,
    /// Empty in the dialects without accounts, which read it themselves.
    pub(super) body: Bytes,
    /// Set if the answer is written with the change.
    pub(super) keyed: Option<KeyedRequest>,
}

impl FromRef<HandlerState> for Links {
    fn from_ref(state: &HandlerState) -> Self {
        state.links.clone()
    }
}

impl FromRef<HandlerState> for Arc<AppState> {
    fn from_ref(state: &HandlerState) -> Self {
        state.links.app.clone()
    }
}

/// Extractor of the context.
pub(super) struct Context(pub(super) Arc<RequestContext>);

/// Extractor of the body.
pub(super) struct RequestBody(pub(super) Bytes);

/// The keys of a request whose answer is written with its change.
#[derive(Clone)]
pub(super) struct KeyedRequest {
    /// Its idempotency key, if it has one.
    pub(super) request: Option<Arc<RequestKey>>,
    /// The key of its answer in the state log.
    pub(super) answer: RowKey,
}

/// Extractor of what the path names, except the account: the parameters of its pattern, decoded.
pub(super) struct PathNames<const N: usize>(pub(super) [String; N]);

impl FromRequestParts<HandlerState> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &HandlerState) -> Result<Self, Infallible> {
        Ok(Self(state.context.clone()))
    }
}

impl FromRequestParts<HandlerState> for RequestBody {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &HandlerState) -> Result<Self, Infallible> {
        Ok(Self(state.body.clone()))
    }
}

impl<const N: usize> FromRequestParts<HandlerState> for PathNames<N> {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &HandlerState) -> Result<Self, Infallible> {
        let context = &state.context;
        let mut ranges = context.names.iter().filter(|it| !it.is_empty());
        Ok(Self(array::from_fn(|_| {
            let range = ranges.next().expect("a handler asks for what its pattern has");
            let name = path::decode(&context.path()[range.clone()]);
            name.expect("a canonical path is UTF-8").into_owned()
        })))
    }
}
