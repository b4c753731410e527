//! Routers: one axum router for each dialect, built from the endpoint table, and the steps before a
//! handler.
//!
//! The rows of the table choose the endpoint by method, not axum's `MethodRouter`: that one answers
//! HEAD wherever it answers GET, has its own order in `Allow`, and puts a `Content-Length` on a 204,
//! where no vendor has one. The metrics label is the row's pattern, which is what axum's
//! `MatchedPath` would say, without a second copy in each request.

use std::{
    convert::Infallible,
    future::{Future, ready},
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::Request,
    http::{Method, header::AUTHORIZATION},
    response::{IntoResponse, Response},
};
use tower_service::Service;

use super::{
    Links, auth, body,
    context::{Context, RequestBody, RequestContext, RequestOrigin},
    dialect::ApiDialect,
    endpoint::{AuditRule, Endpoint},
    failure::Failure,
    groups,
    path_row::{PathRow, is_read},
    reply,
    routes::PATHS,
    voice::deferred::DeferredRequest,
};
use crate::store::rows::WriteError;

/// The routers, in the order of [`ApiDialect::ALL`].
#[derive(Clone, Debug)]
pub(super) struct Routers(Vec<Router>);

impl Routers {
    pub(super) fn new(links: &Links) -> Self {
        Self(ApiDialect::ALL.iter().map(|it| router(*it, links)).collect())
    }

    pub(super) fn of(&self, dialect: ApiDialect) -> Router {
        self.0[dialect as usize].clone()
    }
}

fn router(dialect: ApiDialect, links: &Links) -> Router {
    let paths = PATHS.iter().filter(|it| it.dialect == Some(dialect));
    let router = paths.fold(Router::new(), |router, path| {
        router.route_service(&path.route(), PathService { path, links: links.clone() })
    });
    router.fallback_service(NotFound(links.clone()))
}

/// Answers the requests for one path.
#[derive(Clone)]
struct PathService {
    path: &'static PathRow,
    links: Links,
}

type ServiceFuture = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl Service<Request> for PathService {
    type Response = Response;
    type Error = Infallible;
    type Future = ServiceFuture;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> ServiceFuture {
        let (path, links) = (self.path, self.links.clone());
        Box::pin(async move { Ok(serve(path, links, request).await) })
    }
}

/// Answers the requests for unknown paths.
#[derive(Clone)]
struct NotFound(Links);

impl Service<Request> for NotFound {
    type Response = Response;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let context = context(&request);
        let vendor = self.0.groups.as_ref().zip(groups::Vendor::of(context.dialect));
        ready(Ok(match vendor {
            Some((api, vendor)) => api.not_found(vendor, &context),
            None => Failure::NoRoute.into_response(),
        }))
    }
}

fn context(request: &Request) -> Arc<RequestContext> {
    request.extensions().get::<Context>().expect("every request has one").0.clone()
}

/// The steps, in the order in which their errors count.
async fn serve(path: &'static PathRow, links: Links, request: Request) -> Response {
    let context = context(&request);
    // The router matches a request once.
    let _ = context.path_row.set(path);
    let endpoint = match enter(path, &links, &context) {
        ControlFlow::Continue(endpoint) => endpoint,
        ControlFlow::Break(response) => return response,
    };
    let is_of_account = context.dialect.account_at().is_some();
    if !is_of_account {
        return handle(endpoint, request, links).await;
    }
    let (mut parts, body) = request.into_parts();
    let body = match body::read(&context.headers, body).await {
        Ok(body) => body::without_form(&context.headers, body).await,
        Err(failure) => Err(failure),
    };
    let body = match body {
        Ok(body) => body,
        Err(failure) => return failure.into_response(),
    };
    if is_voice(context.dialect) {
        match DeferredRequest::wanted(&context, endpoint, &body) {
            Ok(None) => (),
            // Boxed, since it is rare: its size must not be part of every request.
            Ok(Some(deferral)) => {
                let request = DeferredRequest { links, context, endpoint, path, parts, body };
                return Box::pin(request.answer(deferral)).await;
            }
            Err(failure) => return failure.into_response(),
        }
    }
    parts.extensions.insert(RequestBody(body));
    handle(endpoint, Request::from_parts(parts, Body::empty()), links).await
}

async fn handle(endpoint: &Endpoint, request: Request, links: Links) -> Response {
    let response = (endpoint.handler)(request, links).await;
    let is_whole = response.body().size_hint().exact().is_some();
    debug_assert!(is_whole || endpoint.is_stream, "{} streams", endpoint.pattern);
    response
}

/// The checks that need no body: dialect switched on, credentials, rate limit, method.
fn enter(
    path: &'static PathRow,
    links: &Links,
    context: &RequestContext,
) -> ControlFlow<Response, &'static Endpoint> {
    if !links.has(path) {
        return ControlFlow::Break(Failure::NoRoute.into_response());
    }
    if context.dialect.account_at().is_some() {
        if context.method == Method::OPTIONS {
            return ControlFlow::Break(reply::options(path.allow));
        }
        // A request of the last process was let in when it came.
        let is_new = context.principal.get().is_none();
        if is_new && let Err(failure) = admit(links, context) {
            return ControlFlow::Break(failure.into_response());
        }
    }
    if let Some(endpoint) = path.endpoint(&context.method) {
        return match trouble(endpoint, links, context.dialect) {
            None => ControlFlow::Continue(endpoint),
            Some(error) => ControlFlow::Break(Failure::from(error).into_response()),
        };
    }
    let vendor = links.groups.as_ref().zip(groups::Vendor::of(context.dialect));
    ControlFlow::Break(match vendor {
        Some((api, vendor)) => api.wrong_method(vendor, path, context),
        // Without the method, nothing says that the name has slashes: the path is unknown.
        None if path.is_longer(context.uri.path()) => Failure::NoRoute.into_response(),
        None => Failure::WrongMethod { allow: path.allow }.into_response(),
    })
}

fn admit(links: &Links, context: &RequestContext) -> Result<(), Failure> {
    let account = auth::admit(&links.app, context)?;
    // A browser sends remembered Basic credentials with forms of any page, unasked (CSRF; OWASP ASVS
    // 4.0.3, 4.2.2).
    let is_unasked = context.origin == RequestOrigin::Foreign && !is_read(&context.method);
    if is_unasked && context.headers.contains_key(AUTHORIZATION) {
        return Err(Failure::ForeignPage);
    }
    match links.app.requests.read().as_ref().filter(|_| is_voice(context.dialect)) {
        Some(limit) => limit.take(context.now, &account).map_err(|wait| Failure::TooFast { wait }),
        None => Ok(()),
    }
}

/// Whether a change could not be kept, because the log of events cannot be written. What simulated
/// phones do is no change of a client, and groups have a store of their own.
fn trouble(endpoint: &Endpoint, links: &Links, dialect: ApiDialect) -> Option<WriteError> {
    match (endpoint.audit, is_voice(dialect)) {
        (AuditRule::Audited, true) => links.ops.as_ref()?.trouble_of_log(),
        (AuditRule::Audited, false) | (AuditRule::NotAudited, _) => None,
    }
}

fn is_voice(dialect: ApiDialect) -> bool {
    matches!(dialect, ApiDialect::Plivo | ApiDialect::Vobiz)
}
