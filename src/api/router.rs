//! Router: the steps from a request to its handler.
//!
//! The rows of the table choose the endpoint by method, not axum's `MethodRouter`: that one answers
//! HEAD wherever it answers GET, has its own order in `Allow`, and puts a `Content-Length` on a 204,
//! where no vendor has one.

use std::{mem, ops::ControlFlow, sync::Arc};

use axum::{
    body::{Bytes, HttpBody},
    extract::Request,
    http::{Method, header::AUTHORIZATION},
    response::{IntoResponse, Response},
};

use super::{
    Links, auth, body,
    context::{HandlerState, RequestContext, RequestOrigin},
    dialect::ApiDialect,
    endpoint::{AuditRule, Endpoint},
    failure::Failure,
    groups,
    path_row::{PathRow, UNKNOWN, is_read},
    reply,
    voice::deferred::DeferredRequest,
};
use crate::store::rows::WriteError;

/// Answers a request by the row of its path. The steps are in the order in which their errors count.
pub(super) async fn serve(
    path: &'static PathRow,
    links: &Links,
    context: &Arc<RequestContext>,
    mut request: Request,
) -> Response {
    let endpoint = match enter(path, links, context) {
        ControlFlow::Continue(endpoint) => endpoint,
        ControlFlow::Break(response) => return response,
    };
    let (links, context) = (links.clone(), context.clone());
    let is_of_account = context.dialect.account_at().is_some();
    if !is_of_account {
        return handle(
            endpoint,
            request,
            HandlerState { links, context, body: Bytes::new(), keyed: None },
        )
        .await;
    }
    let body = match body::read(&context.headers, mem::take(request.body_mut())).await {
        Ok(body) => body::without_form(&context.headers, body).await,
        Err(failure) => Err(failure),
    };
    let body = match body {
        Ok(body) => body,
        Err(failure) => return failure.into_response(),
    };
    let state = HandlerState { links, context, body, keyed: None };
    if is_voice(state.context.dialect) {
        match DeferredRequest::wanted(&state.context, endpoint, &state.body) {
            Ok(None) => (),
            // Boxed, since it is rare: its size must not be part of every request.
            Ok(Some(deferral)) => {
                return Box::pin(DeferredRequest { endpoint, path, state }.answer(deferral)).await;
            }
            Err(failure) => return failure.into_response(),
        }
    }
    handle(endpoint, request, state).await
}

async fn handle(endpoint: &Endpoint, request: Request, state: HandlerState) -> Response {
    let response = (endpoint.handler)(request, state).await;
    let is_whole = response.body().size_hint().exact().is_some();
    debug_assert!(is_whole || endpoint.is_stream, "{} streams", endpoint.pattern);
    response
}

/// The checks that need no body: dialect switched on, path, credentials, rate limit, method.
fn enter(
    path: &'static PathRow,
    links: &Links,
    context: &RequestContext,
) -> ControlFlow<Response, &'static Endpoint> {
    let vendor = links.groups.as_ref().zip(groups::Vendor::of(context.dialect));
    if path.number == UNKNOWN || !links.has(path) {
        return ControlFlow::Break(match vendor {
            Some((api, vendor)) => api.not_found(vendor, context),
            None => Failure::NoRoute.into_response(),
        });
    }
    if context.dialect.account_at().is_some() {
        if context.method == Method::OPTIONS {
            return ControlFlow::Break(reply::options(path.allow));
        }
        // A request of the last process was let in when it came.
        let is_new = context.principal.get().is_none();
        if is_new && let Err(failure) = admit(path, links, context) {
            return ControlFlow::Break(failure.into_response());
        }
    }
    if let Some(endpoint) = path.endpoint(&context.method) {
        return match trouble(endpoint, links, context.dialect) {
            None => ControlFlow::Continue(endpoint),
            Some(error) => ControlFlow::Break(Failure::from(error).into_response()),
        };
    }
    ControlFlow::Break(match vendor {
        Some((api, vendor)) => api.wrong_method(vendor, path, context),
        // Without the method, nothing says that the name has slashes: the path is unknown.
        None if path.is_longer(context.uri.path()) => Failure::NoRoute.into_response(),
        None => Failure::WrongMethod { allow: path.allow }.into_response(),
    })
}

fn admit(path: &PathRow, links: &Links, context: &RequestContext) -> Result<(), Failure> {
    let account = match path.takes_signature() {
        true => auth::admit_signed(&links.app, context)?,
        false => auth::admit(&links.app, context)?,
    };
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
/// phones do is no change of a client, groups have a store of their own, and whatever frees space is
/// wanted most while there is none.
fn trouble(endpoint: &Endpoint, links: &Links, dialect: ApiDialect) -> Option<WriteError> {
    match (endpoint.audit, is_voice(dialect) && endpoint.needs_log) {
        (AuditRule::Audited, true) => links.ops.as_ref()?.trouble_of_log(),
        (AuditRule::Audited, false) | (AuditRule::AuditedRead | AuditRule::NotAudited, _) => None,
    }
}

fn is_voice(dialect: ApiDialect) -> bool {
    matches!(dialect, ApiDialect::Plivo | ApiDialect::Vobiz)
}
