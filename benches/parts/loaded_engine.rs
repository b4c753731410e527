//! An engine full of simulated phones, asked through its whole API, without sockets.

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
    api::{Api, Links, RateLimit, Settings},
    base::ids::{AccountId, Dialect, RoomId},
    call::numbers::Numbers,
    cdr::{Records, store::Ledger},
    conference,
    documents::{Done, Fetch, Library, LocalFlow},
    engine::{
        ban_list::Doors,
        counters::Tally,
        inbound::{self, Reception},
        journal::Journal,
        registry::{self, House, Tasks},
    },
    fetch::{self, Client, Internet},
    flow::{Fetched, Flow, Missing},
    log::Notes,
    media::Exchange,
    sim_phones::{self, Dial, Sim},
    store::{idempotency::Answers, member_ids::Volatile},
    webhooks::{delivery::Limits, dispatcher::callbacks},
};
use http_body_util::BodyExt;
use tokio::runtime::Runtime;

use crate::measure::now;

const ACCOUNT: &str = "MACONFLOWBENCH000000";
const TOKEN: &str = "a-token-of-at-least-sixteen-bytes";

/// An engine, its phones, and who of them is next to be kicked.
pub(crate) struct Crowd {
    runtime: Runtime,
    api: Api,
    sim: Arc<Sim>,
    _reception: Arc<Reception>,
    rooms: u64,
    members: u64,
    /// The members that have been dialled in, and those that have been kicked.
    dialled: u64,
    kicked: u64,
}

impl Crowd {
    /// So many rooms for so many members each; nobody is there yet. What happens goes into a log,
    /// if there is one.
    pub(crate) fn new(runtime: Runtime, rooms: u64, members: u64, notes: Option<Notes>) -> Self {
        let guard = runtime.enter();
        let sim = Arc::new(Sim::new(sim_phones::Settings::default()));
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
        let house = house(&sim, journal.clone(), notes.clone());
        let settings = inbound::Settings {
            numbers: Numbers::default(),
            accounts: accounts.clone(),
            call_time_limit: Duration::from_secs(14_400),
        };
        let reception =
            Arc::new(Reception::new(house.clone(), Arc::new(Shelf::default()), records, settings));
        let exchange: Arc<dyn Exchange> = reception.clone();
        sim.connect(Arc::downgrade(&exchange));
        let links = Links {
            house,
            reception: reception.clone(),
            journal,
            accounts,
            callbacks,
            repeats: Arc::new(Answers::default()),
            told: Box::new(move |deed| {
                if let Some(notes) = &notes {
                    notes.deed(deed);
                }
            }),
            phones: Some(sim.clone()),
        };
        let limit = RateLimit { requests: NonZeroU32::MAX, period: Duration::from_secs(5) };
        let api = Api::new(links, Settings { rate_limit: Some(limit), ..Settings::default() });
        drop(guard);
        Self { runtime, api, sim, _reception: reception, rooms, members, dialled: 0, kicked: 0 }
    }

    /// Dials in as many as there are places, once all of those before have been kicked.
    pub(crate) fn fill(&mut self) {
        assert_eq!(self.left(), 0, "there is no place");
        let guard = self.runtime.enter();
        for n in 0..self.rooms * self.members {
            let room = n % self.rooms;
            self.sim.dial(&account(), Dial::to(&format!("room-{room}"))).expect("a flow");
            self.dialled += 1;
        }
        drop(guard);
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(50)).await });
    }

    /// How many are there to be kicked.
    pub(crate) fn left(&self) -> u64 {
        self.dialled - self.kicked
    }

    /// Kicks so many, one of each room in turn.
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

    /// Asks who is in the first room.
    pub(crate) fn get(&self) -> Bytes {
        self.runtime.block_on(ask(&self.api, Method::GET, "room-0/"))
    }

    /// Its calls are live, and a live call is not to be dropped.
    pub(crate) fn leave(self) {
        mem::forget(self);
    }
}

fn house(sim: &Arc<Sim>, journal: Arc<Journal>, notes: Option<Notes>) -> Arc<House> {
    let (tally, room_last) = (Tally::default(), AtomicU64::new(0));
    let links = registry::Links {
        media: sim.clone(),
        library: Arc::new(Shelf::default()),
        doors: Arc::new(Doors::in_memory(now(), UNIX_EPOCH)),
        member_ids: Arc::new(Volatile::default()),
        room_id: Box::new(move || RoomId::of(room_last.fetch_add(1, Ordering::Relaxed).into())),
        trace: Box::new(move |trace| {
            tally.note(&trace);
            journal.note(&trace);
            if let Some(notes) = &notes {
                notes.trace(trace);
            }
        }),
        stage: Box::new(Tasks),
    };
    House::new(conference::Settings::default(), links)
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
