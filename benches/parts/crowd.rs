//! A kick through the whole API, done when it is answered, beside a bare axum route that answers
//! a JSON body: both in one process and without sockets (P1: at least half of it, over HTTP).

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    body::Body,
    http::{Request, StatusCode},
    routing::post,
};
use conflow::{
    accounts::Accounts,
    actor::{
        doors::Doors,
        house::{self, House, Tasks},
        journal::Journal,
        reception::{self, Reception},
    },
    api::{Api, Links, Settings},
    callback::callbacks,
    conference,
    delivery::Limits,
    fetch::{self, Client, Internet},
    flow::{Fetched, Flow, Missing},
    ids::{AccountId, Dialect, RoomId},
    library::{Done, Fetch, Library, LocalFlow},
    media::{
        Exchange,
        sim::{self, Dial, Sim},
    },
    numbers::Numbers,
    records::Records,
    store::{marks::Volatile, memory::Ledger, repeats::Answers},
};
use criterion::{Criterion, criterion_group, criterion_main};
use http_body_util::BodyExt;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

criterion_group!(benches, kick);
criterion_main!(benches);

const ROOMS: u64 = 1_000;
const MEMBERS: u64 = 10;
const ACCOUNT: &str = "MACONFLOWBENCH000000";
const TOKEN: &str = "a-token-of-at-least-sixteen-bytes";

fn kick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a request, without sockets");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let body = || Json(serde_json::json!({"message": "kicked", "member_id": "1", "api_id": "x"}));
    let app = Router::new().route("/kick", post(async move || body()));
    group.bench_function("bare axum JSON", |bencher| {
        bencher.iter_custom(|rounds| runtime.block_on(ask_bare(app.clone(), rounds)));
    });
    let mut crowd = Crowd::new(runtime);
    group.bench_function("kick one of ten", |bencher| {
        bencher.iter_custom(|rounds| crowd.kick(rounds));
    });
    group.finish();
    // Its calls are live, and a live call is not to be dropped.
    std::mem::forget(crowd);
}

#[expect(clippy::disallowed_methods, reason = "a bench has the real clock")]
fn now() -> Instant {
    Instant::now()
}

async fn ask_bare(app: Router, rounds: u64) -> Duration {
    let begin = now();
    for _ in 0..rounds {
        let request = Request::post("/kick").body(Body::from("{}")).expect("a request");
        let response = app.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await.expect("a body");
    }
    begin.elapsed()
}

/// An engine full of phones, and who of them is next to be kicked.
struct Crowd {
    runtime: Runtime,
    api: Api,
    sim: Arc<Sim>,
    _reception: Arc<Reception>,
    /// The members that have been dialled in, and those that have been kicked.
    dialled: u64,
    kicked: u64,
}

impl Crowd {
    fn new(runtime: Runtime) -> Self {
        let _guard = runtime.enter();
        let sim = Arc::new(Sim::new(sim::Settings::default()));
        let room_last = AtomicU64::new(0);
        let mut accounts = Accounts::new([7; 32]);
        accounts.add(&account(), TOKEN).expect("a token");
        let accounts = Arc::new(accounts);
        let client = Client::new(fetch::Settings::default(), Arc::new(Internet)).expect("good");
        let (callbacks, courier) = callbacks(client, Limits::default());
        tokio::spawn(courier.run(std::future::pending()));
        let records: Arc<dyn Records> = Arc::new(Ledger::default());
        let journal =
            Journal::new(UNIX_EPOCH, accounts.clone(), callbacks.clone(), records.clone());
        let journal = Arc::new(journal);
        let links = house::Links {
            media: sim.clone(),
            library: Arc::new(Shelf::default()),
            doors: Arc::new(Doors::in_memory(now(), UNIX_EPOCH)),
            member_ids: Arc::new(Volatile::default()),
            room_id: Box::new(move || RoomId::of(room_last.fetch_add(1, Ordering::Relaxed).into())),
            trace: Box::new({
                let journal = journal.clone();
                move |trace| journal.note(&trace)
            }),
            stage: Box::new(Tasks),
        };
        let house = House::new(conference::Settings::default(), links);
        let settings = reception::Settings {
            numbers: Numbers::default(),
            accounts: accounts.clone(),
            call_time_limit: Duration::from_secs(14_400),
        };
        let reception =
            Arc::new(Reception::new(house.clone(), Arc::new(Shelf::default()), records, settings));
        let exchange: Arc<dyn Exchange> = reception.clone();
        sim.connect(Arc::downgrade(&exchange));
        let phones = Some(sim.clone());
        let reception_ = reception.clone();
        let repeats = Arc::new(Answers::default());
        let links =
            Links { house, reception: reception_, journal, accounts, callbacks, repeats, phones };
        let api = Api::new(links, Settings { rate_limit: None, ..Settings::default() });
        drop(_guard);
        Self { runtime, api, sim, _reception: reception, dialled: 0, kicked: 0 }
    }

    /// Kicks so many, one of each room in turn; filling the rooms is not counted.
    fn kick(&mut self, rounds: u64) -> Duration {
        let mut left = rounds;
        let mut elapsed = Duration::ZERO;
        while 0 < left {
            self.fill();
            let some = left.min(self.dialled - self.kicked);
            elapsed += self.runtime.block_on(ask(&self.api, self.kicked, some));
            self.kicked += some;
            left -= some;
        }
        elapsed
    }

    /// Dials in as many as there are places, once all of those before have been kicked.
    fn fill(&mut self) {
        if self.kicked < self.dialled {
            return;
        }
        let _guard = self.runtime.enter();
        for n in 0..ROOMS * MEMBERS {
            let room = n % ROOMS;
            self.sim.dial(&account(), Dial::to(&format!("room-{room}"))).expect("a flow");
            self.dialled += 1;
        }
        self.runtime.block_on(tokio::time::sleep(Duration::from_millis(50)));
    }
}

async fn ask(api: &Api, kicked: u64, rounds: u64) -> Duration {
    let begin = now();
    for n in kicked..kicked + rounds {
        let (room, member) = (n % ROOMS, n + 1);
        let path =
            format!("/api/v1/Account/{ACCOUNT}/Conference/room-{room}/Member/{member}/Kick/");
        let request = Request::post(path)
            .header("x-auth-id", ACCOUNT)
            .header("x-auth-token", TOKEN)
            .header("content-type", "application/json")
            .body(Body::from("{}"))
            .expect("a request");
        let response = api.answer(IpAddr::V4(Ipv4Addr::LOCALHOST), request).await;
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(status, StatusCode::OK, "{room} {member} {body:?}");
    }
    begin.elapsed()
}

fn account() -> AccountId {
    ACCOUNT.parse().expect("a name")
}

/// A flow for each called name, with the room of that name.
#[derive(Default)]
struct Shelf(parking_lot::Mutex<BTreeMap<Arc<str>, Arc<Flow>>>);

impl Library for Shelf {
    fn fetch(&self, fetch: Fetch, done: Done) {
        done(fetch, Err(Missing::Unreachable("there is none".into())));
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
