//! The REST edge: decodes requests, asks the engine, encodes answers. It decides nothing.
//!
//! One endpoint table (`routes`) says which endpoints there are. A request's path is made canonical
//! (`path`), and the table has its row. The checks (`router`) run in this order, and the first failure
//! is the answer:
//!
//! 1. 404: the path exists.
//! 2. 401: the credentials are good. (429 if they are not, and too many from there were not.)
//! 3. 404: the path names the account of the credentials.
//! 4. 403: the token is not read-only, or the method is.
//! 5. 429: the account is within its rate limit.
//! 6. 405: the path has the method.
//! 7. 408, 413: the body arrives in time and is not too large.
//! 8. 415, 400: the parameters are good.
//!
//! Only then is anything asked. Every request is counted, logged and, if it may change something,
//! audited. The vendors' groups dialects have an order of their own, as their servers do.

mod after_response;
mod audit;
mod auth;
mod body;
mod call_limits;
mod console;
mod console_gate;
mod context;
mod dialect;
mod endpoint;
mod failure;
mod forms;
pub mod groups;
mod metrics;
mod openapi;
mod ops;
mod path;
mod path_row;
mod principal;
mod rate_limit;
mod recovering;
mod reply;
mod router;
mod routes;
pub mod server;
mod sim;
mod strangers;
mod streams;
mod traffic;
mod trust;
pub mod voice;

use std::{
    borrow::Cow,
    fmt,
    net::IpAddr,
    ops::Deref,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

use axum::{
    body::Body,
    http::{HeaderName, Method, Request},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use parking_lot::RwLock;
use tokio::{
    sync::watch,
    time::{self, timeout},
};
use uuid::Uuid;

pub use self::{
    audit::AuditEntry,
    body::{BODY_BYTES_MAX, BODY_WAIT_MAX},
    call_limits::Caps,
    metrics::Ops,
    rate_limit::{FailureLimits, RateLimit},
    streams::STREAMS_MAX,
    trust::Trust,
};
use self::{
    call_limits::CallCaps,
    context::RequestContext,
    dialect::ApiDialect,
    failure::Failure,
    openapi::OpenApiDocument,
    path::Path,
    path_row::PathRow,
    principal::PrincipalCell,
    rate_limit::{Failures, PerAccount},
    routes::PATHS,
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
    console::Console,
    engine::{
        inbound::Inbound,
        journal::Journal,
        recorder::AskedBy,
        registry::{AskError, Registry},
    },
    provisioning::Provisioning,
    recording::archive::RecordingArchive,
    sim_phones::SimPhones,
    store::IdempotencyStore,
    webhooks::dispatcher::WebhookQueue,
};

/// The parts of the engine that the edge uses.
pub struct ApiDependencies {
    /// All live calls and rooms.
    pub registry: Arc<Registry>,
    /// Makes calls, and says whether new ones are accepted.
    pub inbound: Arc<Inbound>,
    /// Live calls, call detail records and events.
    pub journal: Arc<Journal>,
    /// The accounts and their tokens.
    pub accounts: Arc<Accounts>,
    /// The endpoints and applications of accounts, and their changes.
    pub provisioning: Arc<dyn Provisioning>,
    /// The recordings, with their files.
    pub recordings: Arc<RecordingArchive>,
    /// Delivers the answers of deferred requests.
    pub callbacks: WebhookQueue,
    /// Stored answers of repeated requests.
    pub idempotency_keys: Arc<dyn IdempotencyStore>,
    /// Called for each answered request.
    pub on_answered: Box<dyn Fn(AuditEntry) + Send + Sync>,
    /// The simulated phones; None: their paths do not exist.
    pub phones: Option<Arc<SimPhones>>,
}

/// Settings of the edge.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The forms of the voice answers.
    pub voice: voice::Settings,
    /// The rate limit of each account in the voice API; None: no limit, as in development.
    pub rate_limit: Option<RateLimit>,
    /// The limits of wrong credentials.
    pub failure_limits: FailureLimits,
    /// The limits on the calls that an account makes.
    pub caps: Caps,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            voice: voice::Settings::default(),
            rate_limit: Some(RateLimit::DEFAULT),
            failure_limits: FailureLimits::default(),
            caps: Caps::default(),
        }
    }
}

/// The REST API with all its dialects. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    links: Links,
}

/// Everything that a handler can reach. Cheap to clone.
#[derive(Clone, Debug)]
struct Links(Arc<ApiParts>);

/// The parts of the API.
#[derive(Clone, Debug)]
struct ApiParts {
    app: Arc<AppState>,
    groups: Option<Arc<groups::GroupsApi>>,
    traffic: Arc<Traffic>,
    ops: Option<Arc<Ops>>,
}

impl Deref for Links {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.0
    }
}

impl Links {
    /// Whether a path of the table exists on this server: a part that is switched off has no paths.
    fn has(&self, path: &PathRow) -> bool {
        match path.dialect {
            Some(ApiDialect::Plivo | ApiDialect::Vobiz) => true,
            Some(ApiDialect::Ops) => {
                path.pattern != METRICS || self.ops.as_ref().is_some_and(|it| it.is_on())
            }
            Some(ApiDialect::Sim) => self.app.phones.is_some(),
            Some(ApiDialect::Console) => self.app.console.get().is_some(),
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
    /// An API without the groups and without `/metrics`.
    pub fn new(dependencies: ApiDependencies, settings: Settings) -> Self {
        let app = Arc::new(AppState::new(dependencies, settings));
        Self::over(ApiParts { app, groups: None, traffic: Arc::new(Traffic::new()), ops: None })
    }

    /// Adds the groups' dialects.
    pub fn with_groups(self, groups: groups::GroupsApi) -> Self {
        let ApiParts { app, traffic, ops, .. } = self.links.0.as_ref().clone();
        let groups = Some(Arc::new(groups.connect(app.clone())));
        Self::over(ApiParts { app, groups, traffic, ops })
    }

    /// Adds the endpoint `/metrics`.
    pub fn with_ops(self, ops: Ops) -> Self {
        Self::over(ApiParts { ops: Some(Arc::new(ops)), ..self.links.0.as_ref().clone() })
    }

    fn over(parts: ApiParts) -> Self {
        Self { links: Links(Arc::new(parts)) }
    }

    /// The state that every dialect reaches.
    pub fn state(&self) -> &Arc<AppState> {
        &self.links.app
    }

    /// Ends the event streams and the sockets, which have no end of their own.
    pub fn close(&self) {
        self.links.app.closing.send_replace(true);
        self.links.groups.as_ref().inspect(|it| it.close());
    }

    /// Answers a request from an address, counts it, and writes its log lines. A panic in a handler
    /// is answered as an internal error.
    pub async fn answer(&self, peer: IpAddr, request: Request<Body>) -> Response {
        self.answer_known(peer, request).await.0
    }

    /// Like [`Self::answer`]; says whether the client has shown good credentials.
    async fn answer_known(&self, peer: IpAddr, request: Request<Body>) -> (Response, bool) {
        if let Some(refusal) = self.links.app.recovering(request.uri().path()) {
            return (refusal, false);
        }
        let now = time::Instant::now();
        let trust = self.links.app.trust.read().clone();
        let RoutedRequest { context, path_row, body, upgrade } =
            RoutedRequest::of(&trust, peer, now, Uuid::new_v4(), request);
        let groups = self.links.groups.as_ref().zip(groups::Vendor::of(context.dialect));
        let answer = match groups {
            Some((api, vendor)) => {
                // Boxed: its size must not be part of every request.
                let serve = |request| router::serve(path_row, &self.links, &context, request);
                Box::pin(api.answer(vendor, &context, body, upgrade, serve)).await
            }
            None => {
                let answer = router::serve(path_row, &self.links, &context, Request::new(body));
                let answer = AssertUnwindSafe(answer).catch_unwind().await;
                answer.unwrap_or_else(|_| Failure::Internal.into_response())
            }
        };
        let mut response = write_failure(&context, answer);
        trust.share(&context, path_row.allow, &mut response);

        let (status, took) = (response.status().as_u16(), now.elapsed());
        self.links.traffic.count(path_row.number, &context.method, status, took);
        (self.links.app.on_answered)(AuditEntry::new(&context, path_row, status, Some(took)));
        let is_known = context.principal.is_known();
        match context.method == Method::HEAD {
            true => (reply::without_body(response), is_known),
            false => (response, is_known),
        }
    }
}

impl Api {
    /// Carries out a request whose answer nobody waits for.
    fn carry_out(&self, request: RoutedRequest) {
        let links = self.links.clone();
        drop(tokio::spawn(async move {
            let RoutedRequest { context, path_row, body, .. } = request;
            router::serve(path_row, &links, &context, Request::new(body)).await
        }));
    }
}

/// A request whose row is found.
struct RoutedRequest {
    context: Arc<RequestContext>,
    path_row: &'static PathRow,
    body: Body,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
}

impl RoutedRequest {
    fn of(
        trust: &Trust,
        peer: IpAddr,
        now: time::Instant,
        api_id: Uuid,
        request: Request<Body>,
    ) -> Self {
        let (mut head, body) = request.into_parts();
        let upgrade = head.extensions.remove();
        let text = head.uri.path();
        let given = head.headers.get(&TRACEPARENT).and_then(|it| it.to_str().ok());
        let trace = given.and_then(Traceparent::parse).unwrap_or_else(|| Traceparent::of(api_id));
        let (dialect, canonical, auth_id) = match Path::split(text) {
            Some(path) => {
                let dialect = ApiDialect::of(&path, &head.headers);
                let canonical = match dialect.canonical(&path, &head.method) {
                    Cow::Borrowed(_) => None,
                    Cow::Owned(text) => Some(Arc::from(text)),
                };
                let auth_id = dialect.account_at().map_or(0..0, |at| path.range(at));
                (dialect, canonical, auth_id)
            }
            None => (ApiDialect::of_nothing(text), None, 0..0),
        };
        let (path_row, names) = routes::find(dialect, canonical.as_deref().unwrap_or(text));
        let context = Arc::new(RequestContext {
            api_id,
            trace,
            principal: PrincipalCell::default(),
            now: now.into_std(),
            peer: trust.client(peer, &head.headers),
            origin: trust.origin(&head.headers),
            dialect,
            method: head.method,
            ends_nameless: text.ends_with("//"),
            auth_id,
            canonical,
            uri: head.uri,
            headers: head.headers,
            names,
        });
        Self { context, path_row, body, upgrade }
    }
}

/// Replaces an empty response that carries a failure by the dialect's error.
fn write_failure(context: &RequestContext, mut response: Response) -> Response {
    let Some(failure) = response.extensions_mut().remove::<Failure>() else { return response };
    let refusal = match context.dialect.voice() {
        Dialect::Plivo => voice::plivo::refuse(&failure, context.api_id),
        Dialect::Vobiz => voice::vobiz::refuse(&failure, context.api_id),
    };
    console_gate::without_challenge(context, refusal)
}

/// The state that every dialect reaches.
pub struct AppState {
    /// All live calls and rooms, for tests and the drain.
    pub registry: Arc<Registry>,
    inbound: Arc<Inbound>,
    journal: Arc<Journal>,
    accounts: Arc<Accounts>,
    provisioning: Arc<dyn Provisioning>,
    phones: Option<Arc<SimPhones>>,
    recordings: Arc<RecordingArchive>,
    callbacks: WebhookQueue,
    idempotency_keys: Arc<dyn IdempotencyStore>,
    on_answered: Box<dyn Fn(AuditEntry) + Send + Sync>,
    closing: watch::Sender<bool>,
    streams: Streams,
    downloads: Streams,
    voice: voice::Settings,
    call_caps: CallCaps,
    /// Made when it is asked for: a start has no time for it.
    document: OnceLock<OpenApiDocument>,
    requests: RwLock<Option<PerAccount>>,
    failures: Failures,
    trust: RwLock<Arc<Trust>>,
    console: OnceLock<Arc<Console>>,
    is_recovering: AtomicBool,
}

impl AppState {
    fn new(dependencies: ApiDependencies, settings: Settings) -> Self {
        let ApiDependencies {
            registry,
            inbound,
            journal,
            accounts,
            provisioning,
            recordings,
            callbacks,
            idempotency_keys,
            on_answered,
            phones,
        } = dependencies;
        let Settings { voice, rate_limit, failure_limits, caps } = settings;
        let requests = RwLock::new(rate_limit.map(PerAccount::new));
        let failures = Failures::new(failure_limits);
        let closing = watch::Sender::new(false);
        Self {
            registry,
            inbound,
            journal,
            accounts,
            provisioning,
            phones,
            recordings,
            callbacks,
            idempotency_keys,
            on_answered,
            closing,
            streams: Streams::default(),
            downloads: Streams::default(),
            voice,
            call_caps: CallCaps::new(caps),
            document: OnceLock::new(),
            requests,
            failures,
            trust: RwLock::default(),
            console: OnceLock::new(),
            is_recovering: AtomicBool::new(false),
        }
    }

    fn document(&self) -> &OpenApiDocument {
        self.document.get_or_init(|| document(self.voice, self.phones.is_some()))
    }

    /// Replaces what the edge trusts, from the next request on.
    pub fn set_trust(&self, trust: Trust) {
        *self.trust.write() = Arc::new(trust);
    }

    /// Replaces the limits of every account. Counts begin again.
    pub fn set_limits(&self, rate_limit: Option<RateLimit>, caps: Caps) {
        *self.requests.write() = rate_limit.map(PerAccount::new);
        self.call_caps.set(caps);
    }

    /// Asks a conference and waits for its answer, up to [`ANSWER_WAIT_MAX`].
    ///
    /// # Errors
    ///
    /// See [`AskError`]. After [`AskError::Late`] the ask may have had its effect or not.
    pub async fn ask(
        &self,
        by: AskedBy,
        key: &RoomKey,
        ask: Ask,
    ) -> Result<ConferenceAnswer, AskError> {
        let answer = self.registry.ask_and_wait(by, key, ask);
        timeout(ANSWER_WAIT_MAX, answer).await.unwrap_or(Err(AskError::Late))
    }
}

/// The OpenAPI document of a server with these settings.
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

/// Asks are local and take microseconds. One that takes this long has met an error, not a queue.
pub const ANSWER_WAIT_MAX: time::Duration = time::Duration::from_secs(5);

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

const METRICS: &str = "/metrics";

/// Probes come every few seconds, so their log lines are at the level debug.
fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | METRICS)
}
