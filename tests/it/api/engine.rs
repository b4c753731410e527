//! Test engine: a whole engine with its API, and transcripts of requests to it.
//!
//! A transcript has a line for each request and its response. The lines are sent, the actual
//! responses filled in, and the whole is compared, so that a failure shows all of it.

use std::{
    fmt::Write,
    io, mem,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    body::Body,
    http::{Request, Response, request},
};
use conflow::{
    accounts::{Accounts, file::AccountStore},
    api::{Api, ApiDependencies, Ops, Settings},
    base::ids::{AccountId, CallId, Dialect, RoomId},
    call::{
        AnswerUrls, Hook,
        applications::ApplicationRoutes,
        numbers::{FlowSource, NumberRoute, Numbers},
    },
    cdr::{CdrStore, store::CachedCdrStore},
    conference,
    descriptors::KernelDrops,
    documents::{self, DocumentFetch, DocumentStore, LocalFlow, OnDocument, web::WebDocuments},
    engine::{
        ban_list::BanList,
        inbound::{self, Inbound},
        journal::Journal,
        registry::{self, Registry, Spawner, TokioSpawner},
        spawner::Actor,
    },
    fetch::{self, BoxFuture, ByteStream, FetchClient, HttpNetwork, Internet},
    flow::{Cause, DocumentError, Fetched, Flow, RequestMethod},
    media::Exchange,
    provisioning::{EndpointEntry, ProvisioningTable, memory::MemoryProvisioning},
    recording::archive::RecordingArchive,
    sim_phones::{self, Dial, SimPhones},
    store::{idempotency::StoredResponses, rows::RowStore, rows_memory::MemoryRows},
    webhooks::{delivery::DeliveryLimits, dispatcher::webhook_dispatcher},
};
use http_body_util::BodyExt;
use serde_json::Value;

use super::receiver::Receiver;
use crate::{
    harness::{Counter, callee_ids},
    net::{Net, TestNetwork},
};

/// An engine with the accounts `MA1` and `MA2`, whose tokens are `one` and `two`.
pub(crate) struct TestEngine {
    pub(crate) api: Api,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) inbound: Arc<Inbound>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) receiver: Receiver,
    sim: Arc<SimPhones>,
    pub(crate) calls: Vec<CallId>,
}

/// Options of the engine.
pub(crate) struct TestEngineOptions {
    pub(crate) settings: Settings,
    pub(crate) rooms: conference::Settings,
    pub(crate) has_phones: bool,
    /// No room ever gets a turn.
    pub(crate) is_stalled: bool,
    /// 127.0.0.0/8 may be fetched from, over real sockets.
    pub(crate) has_loopback: bool,
    /// The store of bans and idempotency keys.
    pub(crate) rows: Arc<dyn RowStore>,
    /// The recordings; None: there are none.
    pub(crate) recordings: Option<Arc<RecordingArchive>>,
}

impl Default for TestEngineOptions {
    fn default() -> Self {
        let (settings, rooms) = (Settings::default(), conference::Settings::default());
        let rows = Arc::new(MemoryRows::default());
        Self {
            settings,
            rooms,
            has_phones: true,
            is_stalled: false,
            has_loopback: false,
            rows,
            recordings: None,
        }
    }
}

/// The key of the engine's accounts.
const KEY: [u8; 32] = [7; 32];

fn accounts() -> Arc<Accounts> {
    let mut accounts = Accounts::new(KEY);
    for (account, token) in [("MA1", "one"), ("MA2", "two")] {
        accounts.add(&account.parse().unwrap(), token).unwrap();
    }
    Arc::new(accounts)
}

/// Accounts of the data folder, which an engine follows at once.
pub(crate) struct StoredAccounts {
    store: AccountStore,
    accounts: Arc<Accounts>,
}

impl StoredAccounts {
    pub(crate) fn new(engine: &TestEngine) -> Self {
        let store = AccountStore::new(Arc::new(MemoryRows::default()), KEY);
        Self { store, accounts: engine.accounts.clone() }
    }

    /// Adds an account, and returns its token.
    pub(crate) fn add(&self, id: &str) -> String {
        let id = id.parse().unwrap();
        let token = self.store.add(&id, Dialect::Vobiz, UNIX_EPOCH).unwrap();
        self.follow();
        token
    }

    pub(crate) fn remove(&self, id: &str) {
        self.store.remove(&id.parse().unwrap()).unwrap();
        self.follow();
    }

    fn follow(&self) {
        assert_eq!(self.accounts.set_stored(&self.store.load().unwrap()), []);
    }
}

fn inbound_settings(accounts: Arc<Accounts>) -> inbound::Settings {
    let call_time_limit = Duration::from_secs(14_400);
    let applications = ApplicationRoutes::default();
    inbound::Settings { numbers: numbers(), applications, accounts, call_time_limit }
}

/// `MA1` has the endpoint `anna`, in the configuration file.
fn provisioning() -> MemoryProvisioning {
    let provisioning = MemoryProvisioning::default();
    let anna = || "anna".to_owned();
    let endpoint = EndpointEntry {
        id: anna(),
        user: anna(),
        alias: anna(),
        application: None,
        is_fixed: true,
    };
    let table = ProvisioningTable { endpoints: vec![endpoint], applications: Vec::new() };
    provisioning.set(account(), table);
    provisioning
}

impl TestEngine {
    pub(crate) fn new(options: TestEngineOptions) -> Self {
        let (sim, room_last) =
            (Arc::new(SimPhones::new(sim_phones::Settings::default())), AtomicU64::new(0));
        let (accounts, net) = (accounts(), Net::new());
        let receiver = Receiver::open(&net);
        let loopback = options.has_loopback.then(|| "127.0.0.0/8".parse().unwrap());
        let requests =
            fetch::Settings { allow: loopback.into_iter().collect(), ..Default::default() };
        let client = FetchClient::new(requests, Arc::new(MixedNetwork(TestNetwork(net)))).unwrap();
        let results = client.results().clone();
        let (callbacks, dispatcher) = webhook_dispatcher(client.clone(), DeliveryLimits::default());
        tokio::spawn(dispatcher.run(std::future::pending()));
        let records: Arc<dyn CdrStore> = Arc::new(CachedCdrStore::default());
        let journal =
            Journal::new(UNIX_EPOCH, None, accounts.clone(), callbacks.clone(), records.clone());
        let journal = Arc::new(journal);
        let now = tokio::time::Instant::now().into_std();
        let ban_list = BanList::open(options.rows.clone(), now, UNIX_EPOCH).unwrap();
        let links = registry::RegistryPorts {
            media: sim.clone(),
            documents: Arc::new(WebDocuments::new(
                Arc::new(ConferenceFlows),
                client,
                accounts.clone(),
            )),
            ban_list: Arc::new(ban_list),
            member_ids: Arc::new(Counter::default()),
            room_id: Box::new(move || {
                RoomId::of((room_last.fetch_add(1, Ordering::Relaxed) + 1).into())
            }),
            call_id: callee_ids(),
            observer: Box::new({
                let journal = journal.clone();
                move |trace| journal.note(&trace)
            }),
            spawner: if options.is_stalled { Box::new(Stalled) } else { Box::new(TokioSpawner) },
        };
        let registry = Registry::new(options.rooms, links);
        let settings = inbound_settings(accounts.clone());
        let inbound = Inbound::new(registry.clone(), Arc::new(ConferenceFlows), records, settings);
        let inbound = Arc::new(inbound);
        let exchange: Arc<dyn Exchange> = inbound.clone();
        sim.connect(Arc::downgrade(&exchange));

        let phones = options.has_phones.then(|| sim.clone());
        let (inbound_, journal_) = (inbound.clone(), journal.clone());
        let keys = StoredResponses::open(options.rows.clone(), now, UNIX_EPOCH).unwrap();
        let idempotency_keys = Arc::new(keys);
        let dependencies = ApiDependencies {
            registry,
            inbound: inbound_,
            journal: journal_,
            accounts: accounts.clone(),
            provisioning: Arc::new(provisioning()),
            recordings: options.recordings.unwrap_or_else(RecordingArchive::in_memory),
            callbacks,
            idempotency_keys,
            on_answered: Box::new(|entry| entry.log()),
            phones,
        };
        let api = Api::new(dependencies, options.settings).with_ops(ops(results, options.rows));
        Self { api, accounts, inbound, journal, receiver, sim, calls: Vec::new() }
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.api.state().registry
    }

    /// A phone of `MA1` dials in and reaches the conference of its flow.
    pub(crate) async fn dial(&mut self, to: &str) {
        let dial = Dial { from: Some("14155550100".into()), ..Dial::to(to) };
        let call = self.sim.dial(&account(), dial).unwrap();
        self.calls.push(call);
        settle().await;
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.api.answer(IpAddr::V4(Ipv4Addr::LOCALHOST), request).await
    }

    /// Ends all calls, because a live call must not be dropped.
    pub(crate) async fn close(self) {
        self.registry().close();
        while !self.registry().calls().is_empty() {
            settle().await;
            let calls = self.registry().calls();
            calls.iter().for_each(|call| self.registry().hang_up(*call, Cause::HungUpByApi));
        }
    }

    /// Replaces each call id in the text by its `{N}`.
    fn number(&self, text: &str) -> String {
        let calls = self.calls.iter().enumerate();
        calls.fold(text.to_owned(), |text, (n, call)| {
            text.replace(&call.to_string(), &format!("{{{}}}", n + 1))
        })
    }

    /// Parses the request in a line of a transcript.
    pub(crate) fn request(&self, line: &str) -> Request<Body> {
        let (method, rest) = line.split_once(' ').unwrap();
        read(method, rest, &self.calls)
    }

    /// Runs a line of a transcript and returns it with the actual outcome.
    pub(crate) async fn line(&mut self, line: &str) -> String {
        let asked = line.split(" => ").next().unwrap().trim_end();
        let (word, rest) = asked.split_once(' ').unwrap_or((asked, ""));
        match word {
            "" | "#" => asked.to_owned(),
            "has" => {
                let (path, document) = rest.split_once(' ').unwrap_or((rest, ""));
                self.receiver.has(path, document);
                asked.to_owned()
            }
            "told" => {
                settle().await;
                let (path, names) = rest.split_once(' ').unwrap();
                let received = self.receiver.received(path, &names.split(',').collect::<Vec<_>>());
                format!("{asked} => {}", self.number(&received))
            }
            "dial" => {
                self.dial(rest).await;
                asked.to_owned()
            }
            "heard" => {
                let call = self.calls[rest.parse::<usize>().unwrap() - 1];
                let heard = self.sim.details(&account(), call).unwrap().transcript();
                format!("{asked} => {heard}")
            }
            "wait" => {
                tokio::time::sleep(Duration::from_millis(rest.parse().unwrap())).await;
                asked.to_owned()
            }
            _ => {
                let response = self.send(self.request(asked)).await;
                let answer = show(response, &mut self.calls).await;
                format!("{asked} => {answer}")
            }
        }
    }
}

/// Runs a transcript in a new engine, and closes the engine.
pub(crate) async fn check(transcript: &str) {
    check_in(TestEngine::new(TestEngineOptions::default()), transcript).await;
}

/// Runs a transcript in an engine, and closes the engine.
///
/// | line | what it does |
/// |---|---|
/// | `dial NAME` | a phone dials in and enters the conference of that name |
/// | `wait MS` | time passes |
/// | `has PATH DOCUMENT` | what `http://app.example/PATH` serves from now on |
/// | `told PATH FIELD,FIELD => …` | these fields of the requests there since; `*` is the fields' names |
/// | `heard N => …` | what the phone that dialled as the Nth has heard |
/// | `METHOD PATH [Header: value] BODY => STATUS [Header: value] BODY` | a request of `MA1` |
///
/// In a path, a leading `P` stands for `/v1/Account/MA1`, `V` for `/api/v1/Account/MA1`, `S` for
/// `/sim/v1/Account/MA1`, and `{N}` for the id of the Nth call. `[none]` sends no credentials. In
/// responses, `*` stands for an id and `T` for a time; in bodies, `⏎` for CR LF.
pub(crate) async fn check_in(mut engine: TestEngine, transcript: &str) {
    let mut actual = String::new();
    let transcript: Vec<_> = transcript.lines().map(str::trim).collect();
    for line in &transcript {
        writeln!(actual, "{}", engine.line(line).await).unwrap();
    }
    engine.close().await;
    let expected = transcript.join("\n") + "\n";
    assert!(actual == expected, "expected:\n{expected}\nbrought:\n{actual}");
}

/// Any account's credentials open the metrics.
fn ops(results: Arc<fetch::ResultCounters>, rows: Arc<dyn RowStore>) -> Ops {
    Ops {
        token: None,
        is_open_to_accounts: true,
        counters: Arc::default(),
        results,
        phones: None,
        kernel_drops: KernelDrops::default(),
        rows,
        state_log: None,
        began_at: UNIX_EPOCH,
    }
}

/// The in-memory network, with real sockets for 127.0.0.0/8.
struct MixedNetwork(TestNetwork);

impl HttpNetwork for MixedNetwork {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.0.resolve(host)
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn ByteStream>>> {
        match address.ip().is_loopback() {
            true => Internet.connect(address),
            false => self.0.connect(address),
        }
    }
}

/// `web` requests `http://app.example/answer` and has a fallback; `gone` has none; `second`
/// requests another URL.
fn numbers() -> Numbers {
    let mut numbers = Numbers::default();
    let hook = |path: &str| Hook {
        url: format!("http://app.example/{path}").into(),
        method: RequestMethod::Post,
    };
    let rows = [
        ("web", "answer", Some(hook("spare"))),
        ("gone", "answer", None),
        ("second", "second", None),
    ];
    for (called, path, fallback) in rows {
        let source = FlowSource::Web(AnswerUrls { hook: hook(path), fallback });
        let hangup = Some(hook("hangup"));
        numbers.insert(called, NumberRoute { account: account(), source, hangup, dialect: None });
    }
    numbers
}

pub(crate) fn account() -> AccountId {
    "MA1".parse().unwrap()
}

/// Lets all other tasks run until they wait.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

const BASIC: &str = "Basic TUExOm9uZQ==";

fn read(method: &str, line: &str, calls: &[CallId]) -> Request<Body> {
    let (path, mut rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut request = Request::builder().method(method).uri(uri(path, calls));
    let mut has_credentials = false;
    while let Some((header, after)) = rest.strip_prefix('[').and_then(|it| it.split_once(']')) {
        rest = after.trim_start();
        has_credentials |= header == "none" || header.contains("Auth");
        if let Some((name, value)) = header.split_once(": ") {
            request = request.header(name, value);
        }
    }
    if !has_credentials {
        request = credentials(request, path);
    }
    request.body(rest.replace('⏎', "\r\n").into()).unwrap()
}

/// Credentials as the clients of each dialect send them.
fn credentials(request: request::Builder, path: &str) -> request::Builder {
    match path.starts_with('V') {
        true => request.header("X-Auth-ID", "MA1").header("X-Auth-Token", "one"),
        false => request.header("Authorization", BASIC),
    }
}

fn uri(path: &str, calls: &[CallId]) -> String {
    let roots = [("P", "/v1/"), ("V", "/api/v1/"), ("S", "/sim/v1/")];
    let found = roots.iter().find_map(|(name, root)| Some((root, path.strip_prefix(name)?)));
    let mut uri =
        found.map_or_else(|| path.to_owned(), |(root, rest)| format!("{root}Account/MA1{rest}"));
    for (n, call) in calls.iter().enumerate() {
        uri = uri.replace(&format!("{{{}}}", n + 1), &call.to_string());
    }
    uri
}

const HEADERS_SHOWN: &[&str] =
    &["accept", "accept-encoding", "allow", "conflow-warning", "retry-after", "www-authenticate"];

/// Shows a response. A call that it made gets the next number.
async fn show(response: Response<Body>, calls: &mut Vec<CallId>) -> String {
    let mut text = response.status().as_u16().to_string();
    let all = |name: &str| response.headers().get_all(name).iter().cloned().collect::<Vec<_>>();
    assert_eq!(all("conflow-remark"), all("conflow-warning"), "the old name is sent as well");
    for name in HEADERS_SHOWN {
        for value in response.headers().get_all(*name) {
            write!(text, " [{name}: {}]", value.to_str().unwrap()).unwrap();
        }
    }
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8_lossy(&body);
    if let Ok(Value::Object(made)) = serde_json::from_str(&body) {
        let ids = match made.get("request_uuid").filter(|_| made.contains_key("message")) {
            Some(Value::Array(ids)) => ids.clone(),
            Some(id) => vec![id.clone()],
            None => vec![],
        };
        calls.extend(ids.iter().map(|id| id.as_str().unwrap().parse::<CallId>().unwrap()));
    }
    let body = blank(&body);
    write!(text, " {}", body.trim_end()).unwrap();
    text.trim_end().to_owned()
}

/// Replaces each id, 36 hexadecimal digits and hyphens, by a star.
fn blank(text: &str) -> String {
    let is_id = |it: &str| it.len() == 36 && it.parse::<CallId>().is_ok();
    let is_time = |it: &str| it.len() == 19 && it.as_bytes()[10] == b' ' && it.contains(':');
    let whole = |it: &str| match it {
        it if is_id(it) => "*".to_owned(),
        it if is_time(it) => "T".to_owned(),
        it => {
            it.split('/').map(|it| if is_id(it) { "*" } else { it }).collect::<Vec<_>>().join("/")
        }
    };
    text.split('"').map(whole).collect::<Vec<_>>().join("\"")
}

/// Accepts rooms, and never runs them.
struct Stalled;

impl Spawner for Stalled {
    fn spawn_room(&self, actor: Box<dyn Actor>) {
        mem::forget(actor);
    }

    fn spawn_call_worker(&self, actor: Box<dyn Actor>) {
        TokioSpawner.spawn_call_worker(actor);
    }
}

/// A flow for each called name except `nobody`, with the conference of that name.
struct ConferenceFlows;

impl DocumentStore for ConferenceFlows {
    fn fetch(&self, fetch: DocumentFetch, done: OnDocument) {
        let (url, purpose) = (fetch.request.url.clone(), fetch.request.purpose.text());
        assert!(!url.starts_with("flow:"), "no flow here asks for another: {url}");
        let missing = DocumentError::NotUrl(url.clone());
        let record = documents::unsent(purpose, url, &missing);
        done(fetch, Err(missing), Some(record));
    }

    fn local(&self, flow: &LocalFlow) -> Option<Fetched> {
        let name = match &*flow.name {
            "nobody" | "default" => return None,
            "panic" => panic!("injected"),
            name => name,
        };
        let document = format!(
            "<Response>\
             <Conference>{name}</Conference>\
             <Speak>You have been disconnected from the conference</Speak>\
             </Response>"
        );
        Some(Ok(Arc::new(Flow::parse(&document, Dialect::Plivo).unwrap())))
    }
}
