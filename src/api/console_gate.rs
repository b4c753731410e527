//! Gate of the console: which requests come from its own page, and whose session they show.
//!
//! A cookie comes with every request to this host, whichever page or program makes it. So a session
//! counts only with its key in a header, which no other origin knows, and for which a browser would
//! ask a permission that is never given (CORS).

use std::sync::Arc;

use axum::{
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{ACCESS_CONTROL_REQUEST_HEADERS, COOKIE, HOST, ORIGIN, WWW_AUTHENTICATE},
    },
    response::Response,
};

use super::{
    AppState, context::RequestContext, dialect::ApiDialect, failure::Failure, principal::Principal,
};
use crate::{
    accounts::Role,
    base::ids::AccountId,
    console::{Console, origins::cookie_name, sessions::OpenSession},
};

/// The header with the key of a session.
const KEY: HeaderName = HeaderName::from_static("x-conflow-console");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The console of this server.
pub(super) fn console(state: &AppState) -> Result<&Console, Failure> {
    state.console.get().map(Arc::as_ref).ok_or(Failure::NoRoute)
}

/// Checks the `Host`, and returns the origin of the console that it is.
pub(super) fn host<'a>(console: &'a Console, context: &RequestContext) -> Result<&'a str, Failure> {
    let host = only(&context.headers, &HOST);
    let origin = host.and_then(|it| console.origins.of_host(it));
    origin.ok_or_else(|| Failure::ForeignConsole { origins: console.origins.list() })
}

/// Checks that a page of the console makes the request, or no page does.
pub(super) fn origin<'a>(
    console: &'a Console,
    context: &RequestContext,
) -> Result<&'a str, Failure> {
    let own = host(console, context)?;
    let headers = &context.headers;
    let is_own = !headers.contains_key(ORIGIN) || only(headers, &ORIGIN) == Some(own);
    let site = only(headers, &SEC_FETCH_SITE);
    let is_same = !headers.contains_key(SEC_FETCH_SITE) || site == Some("same-origin");
    match is_own && is_same {
        true => Ok(own),
        false => Err(Failure::ForeignConsole { origins: console.origins.list() }),
    }
}

/// The session of a request to the console or to the API.
pub(super) fn session(state: &AppState, context: &RequestContext) -> Result<OpenSession, Failure> {
    let console = console(state)?;
    let (cookie, key) = secrets(context, origin(console, context)?).ok_or(Failure::NoSession)?;
    console.sessions.find(context.now, cookie, key).ok_or(Failure::NoSession)
}

/// The cookie and the key of a request.
pub(super) fn secrets<'a>(context: &'a RequestContext, origin: &str) -> Option<(&'a str, &'a str)> {
    let key = only(&context.headers, &KEY)?;
    let cookies = context.headers.get_all(COOKIE).iter().filter_map(|it| it.to_str().ok());
    let mut pairs = cookies.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
    let (_, cookie) = pairs.find(|(name, _)| *name == cookie_name(origin))?;
    Some((cookie, key))
}

/// Checks for the session of a request to the API that has no credentials. The result is its account
/// and role.
pub(super) fn admit(
    state: &AppState,
    context: &RequestContext,
) -> Result<(AccountId, Role), Failure> {
    if !context.headers.contains_key(&KEY) || state.console.get().is_none() {
        return Err(Failure::NoCredentials);
    }
    let open = session(state, context)?;
    context.principal.set((&open).into());
    Ok((open.account, open.role))
}

/// Whether a request is one of the console, or the preflight of one. No other origin may make it,
/// whatever `cors.origins` says.
pub(super) fn is_of_console(context: &RequestContext) -> bool {
    let asks = |it: &HeaderValue| {
        let text = it.to_str().unwrap_or_default().to_ascii_lowercase();
        text.split(',').any(|it| it.trim() == KEY.as_str())
    };
    let asked = context.headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS);
    context.dialect == ApiDialect::Console
        || context.headers.contains_key(&KEY)
        || asked.iter().any(asks)
}

/// Takes the challenge from a refusal. A browser would show its own form, and would keep the
/// credentials.
pub(super) fn without_challenge(context: &RequestContext, mut refusal: Response) -> Response {
    if is_of_console(context) {
        refusal.headers_mut().remove(WWW_AUTHENTICATE);
    }
    refusal
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

impl From<&OpenSession> for Principal {
    fn from(open: &OpenSession) -> Self {
        Self {
            account: open.account.clone(),
            by: open.by.clone(),
            life: Some(open.life.clone()),
            session: Some(Arc::new(open.validity.clone())),
        }
    }
}
