//! Routers: one of axum's for each dialect, built from the endpoint table, and the steps that a
//! request passes on the way to its handler.
//!
//! Methods are told apart by the rows of the table and not by axum's `MethodRouter`: that one
//! answers HEAD wherever it answers GET, has an order of its own in `Allow`, and puts a
//! `Content-Length` on a 204, where no vendor has one.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::Method,
    response::{IntoResponse, Response},
};
use tower_service::Service;

use super::{
    Links, auth, body,
    context::{Context, RequestBody, RequestContext},
    dialect::ApiDialect,
    endpoint::Endpoint,
    failure::Failure,
    groups, reply,
    routes::{PATHS, PathRow},
    voice::deferred::DeferredRequest,
};

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

/// Answers the requests for all paths that name nothing.
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
        Ok(endpoint) => endpoint,
        Err(response) => return response,
    };
    let is_of_account = context.dialect.account_at().is_some();
    if !is_of_account {
        return (endpoint.handler)(request, links).await;
    }
    let (mut parts, body) = request.into_parts();
    let body = match body::read(body).await {
        Ok(body) => body,
        Err(failure) => return failure.into_response(),
    };
    if is_voice(context.dialect) {
        match DeferredRequest::wanted(&context, endpoint, &body) {
            Ok(None) => (),
            // In a box, as all that is rare: it is no part of what every request carries along.
            Ok(Some(deferral)) => {
                let request = DeferredRequest { links, context, endpoint, path, parts, body };
                return Box::pin(request.answer(deferral)).await;
            }
            Err(failure) => return failure.into_response(),
        }
    }
    parts.extensions.insert(RequestBody(body));
    (endpoint.handler)(Request::from_parts(parts, Body::empty()), links).await
}

/// What is decided without the body: is the dialect switched on, who asks, may they, how often, and
/// is the method good for the path.
fn enter(
    path: &'static PathRow,
    links: &Links,
    context: &RequestContext,
) -> Result<&'static Endpoint, Response> {
    if !links.has(path) {
        return Err(Failure::NoRoute.into_response());
    }
    if context.dialect.account_at().is_some() {
        if context.method == Method::OPTIONS {
            return Err(reply::options(path.allow));
        }
        admit(links, context).map_err(Failure::into_response)?;
    }
    path.endpoint(&context.method).ok_or_else(|| {
        let vendor = links.groups.as_ref().zip(groups::Vendor::of(context.dialect));
        match vendor {
            Some((api, vendor)) => api.wrong_method(vendor, path, context),
            None => Failure::WrongMethod { allow: path.allow }.into_response(),
        }
    })
}

fn admit(links: &Links, context: &RequestContext) -> Result<(), Failure> {
    let account = auth::admit(&links.app, context)?;
    match links.app.requests.as_ref().filter(|_| is_voice(context.dialect)) {
        Some(limit) => limit.take(context.now, &account).map_err(|wait| Failure::TooFast { wait }),
        None => Ok(()),
    }
}

fn is_voice(dialect: ApiDialect) -> bool {
    matches!(dialect, ApiDialect::Plivo | ApiDialect::Vobiz)
}
