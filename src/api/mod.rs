//! The REST edge: decodes, asks, encodes; decides nothing.
//!
//! A request is looked at in this order, and the first fault answers it: does its path name
//! anything (404); has its address guessed too often (429); are its credentials good (401); is it
//! the sender's own account that it names (404); is its token good for more than looking (403); may
//! the account ask once more (429); is the method good for the path (405); can the body be read
//! (408, 413), and are the parameters in it right (415, 400). Only then is anything asked.

mod after_response;
mod audit;
mod auth;
mod body;
mod caps;
mod failure;
pub mod groups;
mod limit;
mod metrics;
mod openapi;
mod ops;
mod path;
mod reply;
mod routes;
pub mod server;
mod sim;
mod streams;
mod traffic;
pub mod voice;

use std::{fmt, net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header::CONTENT_LENGTH},
    response::Response,
};
use futures_util::FutureExt;
use tokio::{
    sync::watch,
    time::{self, timeout},
};
use uuid::Uuid;

pub use self::{
    audit::Deed,
    body::{BODY_BYTES_MAX, BODY_WAIT_MAX},
    caps::Caps,
    limit::RateLimit,
    metrics::Ops,
    streams::STREAMS_MAX,
};
use self::{
    audit::Trail,
    caps::Calling,
    failure::Failure,
    limit::{PerAccount, PerAddress},
    openapi::Document,
    path::Path,
    streams::Streams,
    traffic::Traffic,
};
use crate::{
    accounts::Accounts,
    base::{
        ids::{Dialect, RoomKey},
        traceparent::Traceparent,
    },
    conference::{Answer, Ask},
    engine::{
        inbound::Reception,
        journal::Journal,
        registry::{AskError, House},
    },
    sim_phones::Sim,
    store::Repeats,
    webhooks::dispatcher::Callbacks,
};

/// What the edge reaches.
pub struct Links {
    /// The rooms.
    pub house: Arc<House>,
    /// Knows whether calls are taken.
    pub reception: Arc<Reception>,
    /// Live calls, records, and events.
    pub journal: Arc<Journal>,
    /// Who may ask.
    pub accounts: Arc<Accounts>,
    /// Brings the answers of requests that did not wait.
    pub callbacks: Callbacks,
    /// Knows requests that come again.
    pub repeats: Arc<dyn Repeats>,
    /// Is told of each request that has been answered.
    pub told: Box<dyn Fn(Deed) + Send + Sync>,
    /// The simulated phones; None, and their paths name nothing.
    pub phones: Option<Arc<Sim>>,
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
    desk: Arc<Desk>,
    groups: Option<Arc<groups::Hall>>,
    traffic: Arc<Traffic>,
    ops: Option<Arc<Ops>>,
}

impl Api {
    /// Opens the API.
    pub fn new(links: Links, settings: Settings) -> Self {
        let (desk, traffic) = (Arc::new(Desk::new(links, settings)), Arc::new(Traffic::new()));
        Self { desk, groups: None, traffic, ops: None }
    }

    /// The same, with the groups' dialects beside the voice API.
    pub fn with_groups(self, groups: groups::Hall) -> Self {
        Self { groups: Some(Arc::new(groups)), ..self }
    }

    /// The same, with `/metrics`.
    pub fn with_ops(self, ops: Ops) -> Self {
        Self { ops: Some(Arc::new(ops)), ..self }
    }

    /// What every dialect can reach.
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Ends what would go on for ever: the streams of events, and the sockets.
    pub fn close(&self) {
        self.desk.closing.send_replace(true);
        self.groups.as_ref().inspect(|it| it.close());
    }

    /// Answers a request from an address, and writes a line about it into the log. A panic is an
    /// answer like any other.
    pub async fn answer(&self, peer: IpAddr, request: Request<Body>) -> Response {
        let (api_id, now) = (Uuid::new_v4(), time::Instant::now());
        let (mut head, body) = request.into_parts();
        let upgrade = head.extensions.remove();
        let (method, path) = (&head.method, head.uri.path());
        let (headers, query) = (&head.headers, head.uri.query().unwrap_or_default());
        let split = Path::split(path);
        let (route, trail) = (routes::find(split.as_ref()), Trail::default());
        let given = headers.get(&TRACEPARENT).and_then(|it| it.to_str().ok());
        let trace = given.and_then(Traceparent::parse).unwrap_or_else(|| Traceparent::of(api_id));
        let visit = Visit {
            api_id,
            trace,
            trail: &trail,
            now: now.into_std(),
            peer,
            method,
            path,
            query,
            headers,
            body,
        };

        let ops = self.ops.as_ref().filter(|_| path == METRICS);
        let groups = self.groups.as_ref().zip(groups::Vendor::of(split.as_ref(), headers));
        let answer = match groups {
            Some((hall, vendor)) => {
                let failures = self.desk.failures.as_ref();
                // In a box: it is no part of what every request carries along.
                Ok(Ok(Box::pin(hall.answer(vendor, visit, upgrade, failures)).await))
            }
            None if let Some(ops) = ops => Ok(ops.answer(&self.desk, &self.traffic, &visit)),
            None => AssertUnwindSafe(self.serve(split.as_ref(), visit)).catch_unwind().await,
        };
        let response = answer
            .unwrap_or(Err(Failure::Fault))
            .unwrap_or_else(|failure| failure.answer(dialect_of(path), api_id));

        let (status, took) = (response.status().as_u16(), now.elapsed());
        self.traffic.count(route, method, status, took);
        let (is_head, path, method) = (*method == Method::HEAD, path.to_owned(), head.method);
        let (took, who) = (Some(took), trail.who().cloned());
        let deed = Deed { api_id, trace, peer, method, path, route, status, took, who };
        (self.desk.told)(deed);
        match is_head {
            true => without_body(response),
            false => response,
        }
    }

    async fn serve(&self, path: Option<&Path<'_>>, visit: Visit<'_>) -> Result<Response, Failure> {
        let path = path.ok_or(Failure::NoRoute)?;
        match self.groups.as_ref().zip(groups::admin::site(path)) {
            Some((hall, site)) => {
                Box::pin(groups::admin::answer(&self.desk, hall, site, visit)).await
            }
            None => self.desk.answer(path, visit).await,
        }
    }
}

/// What every dialect can reach.
pub struct Desk {
    /// The rooms.
    pub house: Arc<House>,
    reception: Arc<Reception>,
    journal: Arc<Journal>,
    accounts: Arc<Accounts>,
    phones: Option<Arc<Sim>>,
    callbacks: Callbacks,
    repeats: Arc<dyn Repeats>,
    told: Box<dyn Fn(Deed) + Send + Sync>,
    closing: watch::Sender<bool>,
    streams: Streams,
    voice: voice::Settings,
    calling: Calling,
    document: Document,
    requests: Option<PerAccount>,
    failures: Option<PerAddress>,
}

impl Desk {
    fn new(links: Links, settings: Settings) -> Self {
        let Links { house, reception, journal, accounts, callbacks, repeats, told, phones } = links;
        let Settings { voice, rate_limit, failure_limit, caps } = settings;
        let requests = rate_limit.map(PerAccount::new);
        let failures = failure_limit.map(PerAddress::new);
        let closing = watch::Sender::new(false);
        let document = Document::new(voice, phones.is_some());
        Self {
            house,
            reception,
            journal,
            accounts,
            phones,
            callbacks,
            repeats,
            told,
            closing,
            streams: Streams::default(),
            voice,
            calling: Calling::new(caps),
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
    pub async fn ask(&self, api_id: Uuid, key: &RoomKey, ask: Ask) -> Result<Answer, AskError> {
        match timeout(ANSWER_WAIT_MAX, self.house.ask_for(Some(api_id), key, ask)?).await {
            Ok(Ok(outcome)) => Ok(outcome?),
            // The room was over before it came to this.
            Ok(Err(_)) => Err(AskError::Gone),
            Err(_) => Err(AskError::Late),
        }
    }

    async fn answer(
        self: &Arc<Self>,
        path: &Path<'_>,
        visit: Visit<'_>,
    ) -> Result<Response, Failure> {
        let ends_nameless = path.ends_nameless;
        match *path.segments() {
            ["v1", "Account", auth_id, ref below @ ..] => {
                let site = voice::Site { dialect: Dialect::Plivo, auth_id, below, ends_nameless };
                voice::answer(self, &site, visit).await
            }
            ["api", "v1", "Account", auth_id, ref below @ ..] => {
                let site = voice::Site { dialect: Dialect::Vobiz, auth_id, below, ends_nameless };
                voice::answer(self, &site, visit).await
            }
            ["sim", "v1", "Account", auth_id, "Phone", ref below @ ..] => {
                let phones = self.phones.as_ref().ok_or(Failure::NoRoute)?;
                sim::answer(self, phones, auth_id, below, visit).await
            }
            ["healthz"] => ops::healthz(visit.method),
            ["openapi.json"] => self.document.show(visit.method),
            ["docs"] => self.document.show_page(visit.method),
            ["readyz"] => ops::readyz(self, visit.method),
            _ => Err(Failure::NoRoute),
        }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

/// A request, but for its path.
struct Visit<'a> {
    /// Names the request, in its answer and in the log.
    api_id: Uuid,
    /// What it belongs to.
    trace: Traceparent,
    /// Is told who asks.
    trail: &'a Trail,
    now: Instant,
    peer: IpAddr,
    method: &'a Method,
    path: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
    body: Body,
}

/// Asks are local and quick; one this old has met a fault, not a queue.
pub const ANSWER_WAIT_MAX: time::Duration = time::Duration::from_secs(5);

/// In whose form an error is written where no endpoint has been found.
fn dialect_of(path: &str) -> Dialect {
    let first = path.split('/').find(|segment| !segment.is_empty());
    match first == Some("api") {
        true => Dialect::Vobiz,
        false => Dialect::Plivo,
    }
}

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
