//! An engine full of simulated phones, used through its whole API without sockets.

use std::{
    collections::BTreeMap,
    mem,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    body::{Body, Bytes},
    http::{Method, Request, StatusCode},
};
use conflow::{
    accounts::Accounts,
    api::{Api, ApiDependencies, RateLimit, Settings},
    base::ids::{AccountId, CallId, Dialect, RoomId},
    call::{applications::ApplicationRoutes, numbers::Numbers},
    cdr::{CdrStore, store::CachedCdrStore},
    conference,
    documents::{DocumentFetch, DocumentStore, LocalFlow, OnDocument},
    engine::{
        ban_list::BanList,
        counters::CallCounters,
        inbound::{self, Inbound},
        journal::Journal,
        registry::{self, Registry, TokioSpawner},
    },
    fetch::{self, FetchClient, Internet},
    flow::{DocumentError, Fetched, Flow},
    log::LogSender,
    media::Exchange,
    provisioning::memory::MemoryProvisioning,
    recording::archive::RecordingArchive,
    sim_phones::{self, Dial, SimPhones},
    store::{idempotency::StoredResponses, member_ids::VolatileMemberIds},
    webhooks::{delivery::DeliveryLimits, dispatcher::webhook_dispatcher},
};
use http_body_util::BodyExt;
use tokio::runtime::Runtime;

use crate::measure::now;

const ACCOUNT: &str = "MACONFLOWBENCH000000";
const TOKEN: &str = "a-token-of-at-least-sixteen-bytes";

/// An engine, its phones, and the next member to be kicked.
pub(crate) struct LoadedEngine {
    runtime: Runtime,
    api: Api,
    sim: Arc<SimPhones>,
    _inbound: Arc<Inbound>,
    rooms: u64,
    members: u64,
    /// The members dialled in, and those kicked.
    dialled: u64,
    kicked: u64,
}

impl LoadedEngine {
    /// An engine with this many rooms and members per room, still empty. It writes to the log, if
    /// there is one.
    pub(crate) fn new(
        runtime: Runtime,
        rooms: u64,
        members: u64,
        notes: Option<LogSender>,
    ) -> Self {
        let guard = runtime.enter();
        let sim = Arc::new(SimPhones::new(sim_phones::Settings::default()));
        let mut accounts = Accounts::new([7; 32]);
        accounts.add(&account(), TOKEN).expect("a token");
        let accounts = Arc::new(accounts);
        let client =
            FetchClient::new(fetch::Settings::default(), Arc::new(Internet)).expect("good");
        let (callbacks, dispatcher) = webhook_dispatcher(client, DeliveryLimits::default());
        tokio::spawn(dispatcher.run(std::future::pending()));
        let records: Arc<dyn CdrStore> = Arc::new(CachedCdrStore::default());
        let journal =
            Journal::new(UNIX_EPOCH, None, accounts.clone(), callbacks.clone(), records.clone());
        let journal = Arc::new(journal);
        let registry = registry(&sim, journal.clone(), notes.clone());
        let settings = inbound::Settings {
            numbers: Numbers::default(),
            applications: ApplicationRoutes::default(),
            accounts: accounts.clone(),
            call_time_limit: Duration::from_secs(14_400),
        };
        let inbound = Arc::new(Inbound::new(
            registry.clone(),
            Arc::new(FlowPerRoom::default()),
            records,
            settings,
        ));
        let exchange: Arc<dyn Exchange> = inbound.clone();
        sim.connect(Arc::downgrade(&exchange));
        let links = ApiDependencies {
            registry,
            inbound: inbound.clone(),
            journal,
            accounts,
            provisioning: Arc::new(MemoryProvisioning::default()),
            recordings: RecordingArchive::in_memory(),
            callbacks,
            idempotency_keys: Arc::new(StoredResponses::default()),
            on_answered: Box::new(move |entry| {
                if let Some(notes) = &notes {
                    notes.audit(entry);
                }
            }),
            phones: Some(sim.clone()),
        };
        let limit = RateLimit { requests: NonZeroU32::MAX, period: Duration::from_secs(5) };
        let api = Api::new(links, Settings { rate_limit: Some(limit), ..Settings::default() });
        drop(guard);
        Self { runtime, api, sim, _inbound: inbound, rooms, members, dialled: 0, kicked: 0 }
    }

    /// Dials in phones for all places, after every earlier member has been kicked.
    pub(crate) fn fill(&mut self) {
        assert_eq!(self.left(), 0, "some members were not kicked");
        let guard = self.runtime.enter();
        for n in 0..self.rooms * self.members {
            let room = n % self.rooms;
            self.sim.dial(&account(), Dial::to(&format!("room-{room}"))).expect("a flow");
            self.dialled += 1;
        }
        drop(guard);
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(50)).await });
    }

    /// The number of members that can still be kicked.
    pub(crate) fn left(&self) -> u64 {
        self.dialled - self.kicked
    }

    /// Kicks `rounds` members, one of each room in turn.
    pub(crate) fn kick(&mut self, rounds: u64) {
        self.runtime.block_on(async {
            for n in self.kicked..self.kicked + rounds {
                let (room, member) = (n % self.rooms, n + 1);
                let path = format!("room-{room}/Member/{member}/Kick/");
                ask(&self.api, Method::POST, &path).await;
            }
        });
        self.kicked += rounds;
    }

    /// Requests the members of the first room.
    pub(crate) fn get(&self) -> Bytes {
        self.runtime.block_on(ask(&self.api, Method::GET, "room-0/"))
    }

    /// Forgets its live calls, because a live call must not be dropped.
    pub(crate) fn leave(self) {
        mem::forget(self);
    }
}

fn registry(
    sim: &Arc<SimPhones>,
    journal: Arc<Journal>,
    notes: Option<LogSender>,
) -> Arc<Registry> {
    let (counters, room_last) = (CallCounters::default(), AtomicU64::new(0));
    let links = registry::RegistryPorts {
        media: sim.clone(),
        documents: Arc::new(FlowPerRoom::default()),
        ban_list: Arc::new(BanList::in_memory(now(), UNIX_EPOCH)),
        member_ids: Arc::new(VolatileMemberIds::default()),
        room_id: Box::new(move || RoomId::of(room_last.fetch_add(1, Ordering::Relaxed).into())),
        // No flow dials.
        call_id: Box::new(|| CallId::of(0)),
        observer: Box::new(move |trace| {
            counters.note(&trace);
            journal.note(&trace);
            if let Some(notes) = &notes {
                trace.each(|it| notes.trace(it));
            }
        }),
        spawner: Box::new(TokioSpawner),
    };
    Registry::new(conference::Settings::default(), links)
}

async fn ask(api: &Api, method: Method, path: &str) -> Bytes {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1/Account/{ACCOUNT}/Conference/{path}"))
        .header("x-auth-id", ACCOUNT)
        .header("x-auth-token", TOKEN)
        .header("content-type", "application/json")
        .body(Body::from("{}"))
        .expect("a request");
    let response = api.answer(IpAddr::V4(Ipv4Addr::LOCALHOST), request).await;
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(status, StatusCode::OK, "{path} {body:?}");
    body
}

fn account() -> AccountId {
    ACCOUNT.parse().expect("a name")
}

/// For each called name, a flow with the room of that name.
#[derive(Default)]
struct FlowPerRoom(parking_lot::Mutex<BTreeMap<Arc<str>, Arc<Flow>>>);

impl DocumentStore for FlowPerRoom {
    fn fetch(&self, fetch: DocumentFetch, done: OnDocument) {
        done(fetch, Err(DocumentError::Unreachable("there is none".into())), None);
    }

    fn local(&self, flow: &LocalFlow) -> Option<Fetched> {
        let parse = || {
            let document = format!(
                "<Response><Conference stayAlone='true'>{}</Conference><Speak>goodbye</Speak>\
                 <Wait length='3600'/></Response>",
                flow.name
            );
            Arc::new(Flow::parse(&document, Dialect::Vobiz).expect("a flow"))
        };
        let mut flows = self.0.lock();
        Some(Ok(flows.entry(flow.name.clone()).or_insert_with(parse).clone()))
    }
}
