//! Console endpoints: its files, and signing in and out. Everything else that the page does is the
//! public API, with a session in place of a token (`console_gate`).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{
            ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
            CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, SET_COOKIE, VARY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::Response,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    Api, AppState, auth, body, console_gate as gate,
    context::{Context, PathNames, RequestContext},
    endpoint::{DELETE, Documented::ByVendor, Endpoint, POST, handler},
    failure::Failure,
    reply,
};
use crate::{
    accounts::Role,
    base::{
        ids::{AccountId, Dialect},
        utc,
    },
    console::{
        Console,
        files::{ConsoleFile, INDEX},
        origins,
        sessions::{NoRandomness, OpenSession, SESSION_MAX, SessionSecrets},
    },
    engine::inbound::wall_clock,
};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::reads("", handler!(page), ByVendor),
    Endpoint::reads("/session", handler!(show), ByVendor),
    Endpoint::changes(POST, "/session", handler!(sign_in), ByVendor),
    Endpoint::changes(DELETE, "/session", handler!(sign_out), ByVendor),
    Endpoint::reads("/{file}", handler!(file), ByVendor),
];

/// What the page and its worker may do: run the files of this server, ask this server, and nothing
/// else. No other page may frame it. Texts are no code, wherever they come from (Trusted Types).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    media-src blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types conflow";

/// Headers of each file.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "microphone=(self)"),
];

impl Api {
    /// Adds the console. An API has one at most.
    #[must_use]
    pub fn with_console(self, console: Arc<Console>) -> Self {
        // A second one is ignored.
        drop(self.links.app.console.set(console));
        self
    }
}

impl AppState {
    /// A one-time code that signs in to the console by this token; None without a console.
    pub fn console_code(&self, account: &AccountId, token: &str) -> Option<String> {
        let shown = self.accounts.verify(account.as_str(), token)?;
        let now = Instant::now().into_std();
        self.console.get()?.sessions.issue_code(now, &shown).ok()
    }
}

/// `GET /console/`: the page. It has no data, so a link from another page may lead here.
async fn page(
    State(state): State<Arc<AppState>>,
    Context(context): Context,
) -> Result<Response, Failure> {
    gate::host(gate::console(&state)?, &context)?;
    let page = ConsoleFile::find(INDEX).ok_or(Failure::NoRoute)?;
    let mut response = show_file(page, &context);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `GET /console/{file}`: what the page loads.
async fn file(
    State(state): State<Arc<AppState>>,
    Context(context): Context,
    PathNames([name]): PathNames<1>,
) -> Result<Response, Failure> {
    gate::origin(gate::console(&state)?, &context)?;
    let file = ConsoleFile::find(&name).filter(|it| it.name != INDEX).ok_or(Failure::NoRoute)?;
    let known = context.headers.get(IF_NONE_MATCH).is_some_and(|it| it == file.etag.as_str());
    let mut response = match known {
        true => reply::empty(StatusCode::NOT_MODIFIED),
        false => show_file(file, &context),
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_str(&file.etag).expect("digits in quotes"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn show_file(file: &'static ConsoleFile, context: &RequestContext) -> Response {
    let accepted = context.headers.get_all(ACCEPT_ENCODING).iter();
    let is_gzip = |it: &HeaderValue| {
        let mut codings = it.to_str().unwrap_or_default().split(',');
        codings.any(|it| matches!(it.trim(), "gzip" | "*"))
    };
    let takes_gzip = accepted.into_iter().any(is_gzip);
    let bytes = if takes_gzip { file.gzip } else { file.plain };
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if takes_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// The body of `POST /console/session`: a token, or the code of a one-time link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, untagged)]
enum SignInParams {
    Code { code: String },
    Token { auth_id: String, auth_token: String },
}

/// Who has signed in, and what the page needs to know of the server.
#[derive(Serialize)]
struct SessionBody<'a> {
    account: &'a AccountId,
    role: &'static str,
    /// Only when the session is opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    expires_at: String,
    dialect: Dialect,
    version: &'static str,
    development: bool,
    simulated_phones: bool,
}

/// `POST /console/session`
async fn sign_in(
    State(state): State<Arc<AppState>>,
    Context(context): Context,
    body: Body,
) -> Result<Response, Failure> {
    let console = gate::console(&state)?;
    let origin = gate::origin(console, &context)?;
    let body = body::read(&context.headers, body).await?;
    let params = serde_json::from_slice(&body);
    let params = params.map_err(|_| {
        let forms = r#"{"auth_id":"…","auth_token":"…"} or {"code":"…"}"#;
        Failure::Bad(format!("the body: give {forms}"))
    })?;
    let opened = match &params {
        SignInParams::Token { auth_id, auth_token } => {
            let shown = state.accounts.verify(auth_id, auth_token).ok_or_else(|| {
                auth::guessed(&state, &context, Some(auth_id), Failure::WrongCredentials)
            })?;
            Some(console.sessions.open(context.now, &shown)?)
        }
        // The link is on a screen of this machine.
        SignInParams::Code { code } if context.peer.is_loopback() => {
            console.sessions.redeem(context.now, code)?
        }
        SignInParams::Code { .. } => None,
    };
    let (secrets, open) =
        opened.ok_or_else(|| auth::guessed(&state, &context, None, Failure::UsedLink))?;
    context.principal.set((&open).into());
    let SessionSecrets { cookie, key } = &secrets;
    let mut response = show_session(&state, console, &open, Some(key));
    let cookie = origins::set_cookie(origin, cookie, SESSION_MAX.as_secs());
    let cookie = HeaderValue::try_from(cookie).expect("digits and words");
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

/// `GET /console/session`
async fn show(
    State(state): State<Arc<AppState>>,
    Context(context): Context,
) -> Result<Response, Failure> {
    let open = gate::session(&state, &context)?;
    Ok(show_session(&state, gate::console(&state)?, &open, None))
}

/// `DELETE /console/session`: the session and its streams end.
async fn sign_out(
    State(state): State<Arc<AppState>>,
    Context(context): Context,
) -> Result<Response, Failure> {
    let console = gate::console(&state)?;
    let origin = gate::origin(console, &context)?;
    let open = gate::session(&state, &context)?;
    context.principal.set((&open).into());
    if let Some((cookie, key)) = gate::secrets(&context, origin) {
        console.sessions.close(cookie, key);
    }
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    let cookie = HeaderValue::try_from(origins::set_cookie(origin, "", 0)).expect("words");
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

fn show_session(
    state: &AppState,
    console: &Console,
    open: &OpenSession,
    key: Option<&str>,
) -> Response {
    let body = SessionBody {
        account: &open.account,
        role: match open.role {
            Role::Full => "full",
            Role::ReadOnly => "read-only",
        },
        key,
        expires_at: utc::seconds(wall_clock() + open.left),
        dialect: state.accounts.dialect(&open.account),
        version: env!("CARGO_PKG_VERSION"),
        development: console.is_development,
        simulated_phones: state.phones.is_some(),
    };
    let mut response = reply::json(StatusCode::OK, &body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Self {
        Self::Unavailable(error.to_string())
    }
}
