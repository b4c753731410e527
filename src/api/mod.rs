//! The REST edge: decodes, asks, encodes; decides nothing.
//!
//! A request is looked at in this order, and the first error answers it: does its path name
//! anything (404); has its address guessed too often (429); are its credentials good (401); is it
//! the sender's own account that it names (404); is its token good for more than looking (403); may
//! the account ask once more (429); is the method good for the path (405); can the body be read
//! (408, 413), and are the parameters in it right (415, 400). Only then is anything asked.

mod after_response;
mod audit;
mod auth;
mod body;
mod caps;
mod context;
mod dialect;
mod endpoint;
mod failure;
mod forms;
pub mod groups;
mod limit;
mod metrics;
mod openapi;
mod ops;
mod path;
mod reply;
mod router;
mod routes;
pub mod server;
mod sim;
mod streams;
mod traffic;
pub mod voice;

use std::{
    borrow::Cow,
    fmt,
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
};

use axum::{
    body::{Body, HttpBody},
    extract::FromRef,
    http::{
        HeaderName, HeaderValue, Method, Request, Uri, header::CONTENT_LENGTH, uri::PathAndQuery,
    },
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tokio::{
    sync::watch,
    time::{self, timeout},
};
use tower_service::Service;
use uuid::Uuid;

pub use self::{
    audit::AuditEntry,
    body::{BODY_BYTES_MAX, BODY_WAIT_MAX},
    caps::Caps,
    limit::RateLimit,
    metrics::Ops,
    streams::STREAMS_MAX,
};
use self::{
    audit::PrincipalCell,
    caps::CallCaps,
    context::{Context, RequestContext},
    dialect::ApiDialect,
    failure::Failure,
    limit::{PerAccount, PerAddress},
    openapi::OpenApiDocument,
    path::Path,
    router::Routers,
    routes::{PATHS, PathRow, UNKNOWN},
    streams::Streams,
    traffic::Traffic,
};
use crate::{
    accounts::Accounts,
    base::{
        ids::{Dialect, RoomKey},
        traceparent::Traceparent,
    },
    conference::{Ask, ConferenceAnswer},
    engine::{
        inbound::Inbound,
        journal::Journal,
        registry::{AskError, Registry},
    },
    sim_phones::SimPhones,
    store::IdempotencyStore,
    webhooks::dispatcher::WebhookQueue,
};

/// What the edge reaches.
pub struct ApiDependencies {
    /// The rooms.
    pub registry: Arc<Registry>,
    /// Knows whether calls are taken.
    pub inbound: Arc<Inbound>,
    /// Live calls, records, and events.
    pub journal: Arc<Journal>,
    /// Who may ask.
    pub accounts: Arc<Accounts>,
    /// Brings the answers of requests that did not wait.
    pub callbacks: WebhookQueue,
    /// Knows requests that come again.
    pub idempotency_keys: Arc<dyn IdempotencyStore>,
    /// Is told of each request that has been answered.
    pub on_answered: Box<dyn Fn(AuditEntry) + Send + Sync>,
    /// The simulated phones; None, and their paths name nothing.
    pub phones: Option<Arc<SimPhones>>,
}

/// How the edge behaves.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The forms of answers, where a vendor has more than one.
    pub voice: voice::Settings,
    /// For the voice API of each account; None in development.
    pub rate_limit: Option<RateLimit>,
    /// For wrong credentials from one address; None where all come through one proxy.
    pub failure_limit: Option<RateLimit>,
    /// On the calls that an account makes.
    pub caps: Caps,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            voice: voice::Settings::default(),
            rate_limit: Some(RateLimit::VENDORS),
            failure_limit: Some(RateLimit::FAILURES),
            caps: Caps::default(),
        }
    }
}

/// The whole of the REST API, as a server sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    links: Links,
    routers: Arc<Routers>,
}

/// What handlers reach: the state of the routers.
#[derive(Clone, Debug)]
struct Links {
    app: Arc<AppState>,
    groups: Option<Arc<groups::GroupsApi>>,
    traffic: Arc<Traffic>,
    ops: Option<Arc<Ops>>,
}

impl FromRef<Links> for Arc<AppState> {
    fn from_ref(links: &Links) -> Self {
        links.app.clone()
    }
}

impl Links {
    /// Whether there is anything at a path of the table: what is switched off has no paths.
    fn has(&self, path: &PathRow) -> bool {
        match path.dialect {
            Some(ApiDialect::Plivo | ApiDialect::Vobiz) => true,
            Some(ApiDialect::Ops) => {
                path.pattern != METRICS || self.ops.as_ref().is_some_and(|it| it.is_on())
            }
            Some(ApiDialect::Sim) => self.app.phones.is_some(),
            Some(
                ApiDialect::Groups
                | ApiDialect::Bungie
                | ApiDialect::RocketChat
                | ApiDialect::Kirimin
                | ApiDialect::Capillary,
            ) => self.groups.is_some(),
            None => false,
        }
    }
}

impl Api {
    /// Opens the API.
    pub fn new(dependencies: ApiDependencies, settings: Settings) -> Self {
        let app = Arc::new(AppState::new(dependencies, settings));
        Self::over(Links { app, groups: None, traffic: Arc::new(Traffic::new()), ops: None })
    }

    /// Adds the groups' dialects.
    pub fn with_groups(self, groups: groups::GroupsApi) -> Self {
        Self::over(Links { groups: Some(Arc::new(groups)), ..self.links })
    }

    /// Adds `/metrics`.
    pub fn with_ops(self, ops: Ops) -> Self {
        Self::over(Links { ops: Some(Arc::new(ops)), ..self.links })
    }

    fn over(links: Links) -> Self {
        let routers = Arc::new(Routers::new(&links));
        Self { links, routers }
    }

    /// The state that every dialect reaches.
    pub fn state(&self) -> &Arc<AppState> {
        &self.links.app
    }

    /// Ends the streams of events and the sockets, which would go on for ever.
    pub fn close(&self) {
        self.links.app.closing.send_replace(true);
        self.links.groups.as_ref().inspect(|it| it.close());
    }

    /// Answers a request from an address, and writes a line about it into the log. A panic is an
    /// answer like any other.
    pub async fn answer(&self, peer: IpAddr, request: Request<Body>) -> Response {
        let now = time::Instant::now();
        let Arrival { context, canonical, request, upgrade } = Arrival::of(peer, now, request);
        let mut router = self.routers.of(context.dialect);
        let groups = self.links.groups.as_ref().zip(groups::Vendor::of(context.dialect));
        let answer = match groups {
            Some((api, vendor)) => {
                let failures = self.links.app.failures.as_ref();
                // In a box: it is no part of what every request carries along.
                Box::pin(api.answer(vendor, router, &context, request, upgrade, failures)).await
            }
            None => {
                let answer = AssertUnwindSafe(router.call(request)).catch_unwind().await;
                answer.map_or_else(|_| Failure::Internal.into_response(), |Ok(answer)| answer)
            }
        };
        let response = write_failure(&context, answer);

        let (status, took) = (response.status().as_u16(), now.elapsed());
        let path_row = context.path_row.get().copied().unwrap_or(&PATHS[UNKNOWN]);
        self.links.traffic.count(path_row.number, &context.method, status, took);
        let entry = AuditEntry::new(&context, canonical, path_row, status, Some(took));
        (self.links.app.on_answered)(entry);
        match context.method == Method::HEAD {
            true => without_body(response),
            false => response,
        }
    }
}

/// A request as it goes to a router, and what is known of it.
struct Arrival {
    context: Arc<RequestContext>,
    /// The canonical path, if it is not the one that was sent.
    canonical: Option<String>,
    request: Request<Body>,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
}

impl Arrival {
    fn of(peer: IpAddr, now: time::Instant, request: Request<Body>) -> Self {
        let (mut head, body) = request.into_parts();
        let upgrade = head.extensions.remove();
        let (api_id, text) = (Uuid::new_v4(), head.uri.path());
        let given = head.headers.get(&TRACEPARENT).and_then(|it| it.to_str().ok());
        let trace = given.and_then(Traceparent::parse).unwrap_or_else(|| Traceparent::of(api_id));
        let (dialect, canonical, auth_id) = match Path::split(text) {
            Some(path) => {
                let dialect = ApiDialect::of(&path, &head.headers);
                let canonical = match dialect.canonical(&path) {
                    Cow::Borrowed(_) => None,
                    Cow::Owned(text) => Some(text),
                };
                let auth_id = dialect.account_at().map_or(0..0, |at| path.range(at));
                (dialect, canonical, auth_id)
            }
            None => (ApiDialect::of_nothing(text), None, 0..0),
        };
        let rewritten = canonical.as_ref().and_then(|it| PathAndQuery::try_from(it.as_str()).ok());

        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = rewritten.map_or_else(|| head.uri.clone(), Uri::from);
        let context = Arc::new(RequestContext {
            api_id,
            trace,
            principal: PrincipalCell::default(),
            now: now.into_std(),
            peer,
            dialect,
            method: head.method,
            ends_nameless: text.ends_with("//"),
            auth_id,
            uri: head.uri,
            headers: head.headers,
            path_row: OnceLock::new(),
        });
        request.extensions_mut().insert(Context(context.clone()));
        Self { context, canonical, request, upgrade }
    }
}

/// Replaces the empty response that a failure goes along with by the dialect's.
fn write_failure(context: &RequestContext, mut response: Response) -> Response {
    let Some(failure) = response.extensions_mut().remove::<Failure>() else { return response };
    match context.dialect.voice() {
        Dialect::Plivo => voice::plivo::refuse(&failure, context.api_id),
        Dialect::Vobiz => voice::vobiz::refuse(&failure, context.api_id),
    }
}

/// What every dialect can reach.
pub struct AppState {
    /// The rooms.
    pub registry: Arc<Registry>,
    inbound: Arc<Inbound>,
    journal: Arc<Journal>,
    accounts: Arc<Accounts>,
    phones: Option<Arc<SimPhones>>,
    callbacks: WebhookQueue,
    idempotency_keys: Arc<dyn IdempotencyStore>,
    on_answered: Box<dyn Fn(AuditEntry) + Send + Sync>,
    closing: watch::Sender<bool>,
    streams: Streams,
    voice: voice::Settings,
    call_caps: CallCaps,
    document: OpenApiDocument,
    requests: Option<PerAccount>,
    failures: Option<PerAddress>,
}

impl AppState {
    fn new(dependencies: ApiDependencies, settings: Settings) -> Self {
        let ApiDependencies {
            registry,
            inbound,
            journal,
            accounts,
            callbacks,
            idempotency_keys,
            on_answered,
            phones,
        } = dependencies;
        let Settings { voice, rate_limit, failure_limit, caps } = settings;
        let requests = rate_limit.map(PerAccount::new);
        let failures = failure_limit.map(PerAddress::new);
        let closing = watch::Sender::new(false);
        let document = document(voice, phones.is_some());
        Self {
            registry,
            inbound,
            journal,
            accounts,
            phones,
            callbacks,
            idempotency_keys,
            on_answered,
            closing,
            streams: Streams::default(),
            voice,
            call_caps: CallCaps::new(caps),
            document,
            requests,
            failures,
        }
    }

    /// Asks a conference, and waits for its answer, but not for ever.
    ///
    /// # Errors
    ///
    /// As [`AskError`] has it. After [`AskError::Late`] it may have happened or not.
    pub async fn ask(
        &self,
        api_id: Uuid,
        key: &RoomKey,
        ask: Ask,
    ) -> Result<ConferenceAnswer, AskError> {
        match timeout(ANSWER_WAIT_MAX, self.registry.ask_for(Some(api_id), key, ask)?).await {
            Ok(Ok(outcome)) => Ok(outcome?),
            // The room was over before it came to this.
            Ok(Err(_)) => Err(AskError::Gone),
            Err(_) => Err(AskError::Late),
        }
    }
}

/// The OpenAPI document: what a server with these settings does.
fn document(settings: voice::Settings, has_phones: bool) -> OpenApiDocument {
    let is_there = |path: &&PathRow| path.dialect != Some(ApiDialect::Sim) || has_phones;
    let paths = PATHS.iter().filter(is_there);
    let operations = paths.flat_map(|path| voice::openapi::describe(path, settings)).collect();
    let mut schemas = openapi::Schemas::default();
    schemas.put::<failure::ErrorBody<'_>>();
    voice::openapi::schemas(&mut schemas);
    if has_phones {
        openapi::sim::schemas(&mut schemas);
    }
    OpenApiDocument::new(operations, schemas)
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

/// Asks are local and quick; one this old has met a error, not a queue.
pub const ANSWER_WAIT_MAX: time::Duration = time::Duration::from_secs(5);

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

const METRICS: &str = "/metrics";

/// Asked every few seconds by whoever watches.
fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | METRICS)
}

/// What a GET would have brought, but for the body.
fn without_body(mut response: Response) -> Response {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
    response
}
