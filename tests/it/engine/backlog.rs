//! The backlog: callbacks of an earlier process, read from the state log bit by bit.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::{Router, body::Bytes, http::StatusCode, routing::any};
use conflow::{
    accounts::Accounts,
    base::ids::{AccountId, CallId, Dialect},
    call::{CallDirection, CallEvent, CallSession, Hook, Party, SessionDetails},
    cdr::store::CachedCdrStore,
    engine::{inbound::wall_clock, journal::Journal, registry::Observed},
    fetch::{FetchClient, Settings},
    flow::{Cause, RequestMethod},
    state_log::{EventLine, Line, Opened, RowKey, StateLog, StateLogSettings},
    webhooks::{
        delivery::DeliveryLimits,
        dispatcher::{Dispatcher, WebhookQueue, webhook_dispatcher},
        history::DeliveryFilter,
    },
};
use parking_lot::Mutex;
use tempfile::tempdir;
use tokio::time::sleep;

use crate::net::{Net, TestNetwork};

fn account() -> AccountId {
    "MA1".parse().unwrap()
}

fn open(folder: &Path) -> Opened {
    let settings = StateLogSettings {
        folder: folder.to_owned(),
        segment_bytes: 1 << 20,
        bytes_max: 1 << 30,
        keep_micros: 86_400_000_000,
        held_max: 10,
    };
    StateLog::open(settings, 7, 1).unwrap()
}

fn journal(log: &Arc<StateLog>, queue: WebhookQueue) -> Journal {
    let mut accounts = Accounts::new([7; 32]);
    accounts.add(&account(), "one").unwrap();
    let cdrs = Arc::new(CachedCdrStore::default());
    Journal::new(UNIX_EPOCH, Some(log.clone()), Arc::new(accounts), queue, cdrs)
}

/// `http://live.example` and `http://dead.example`, which answers 503 until it is alive.
#[derive(Default)]
struct Receivers {
    is_alive: AtomicBool,
    /// The events that each call was told of, in order.
    told: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Receivers {
    fn serve(self: &Arc<Self>, net: &Net) {
        for (host, address) in [("live", "93.184.215.14"), ("dead", "93.184.215.15")] {
            net.name(&format!("{host}.example"), &[&[address]]);
            let receivers = self.clone();
            let answer = any(async move |body: Bytes| {
                if host == "dead" && !receivers.is_alive.load(Ordering::SeqCst) {
                    return StatusCode::SERVICE_UNAVAILABLE;
                }
                let form: BTreeMap<_, _> =
                    url::form_urlencoded::parse(&body).into_owned().collect();
                let mut told = receivers.told.lock();
                told.entry(form["CallUUID"].clone()).or_default().push(form["Event"].clone());
                StatusCode::OK
            });
            net.serve(&format!("{address}:80"), Router::new().fallback(answer));
        }
    }

    fn count(&self) -> usize {
        self.told.lock().values().map(Vec::len).sum()
    }
}

fn queue(net: &Arc<Net>) -> (WebhookQueue, Dispatcher) {
    let client = FetchClient::new(Settings::default(), Arc::new(TestNetwork(net.clone()))).unwrap();
    webhook_dispatcher(client, DeliveryLimits::default())
}

/// Two callbacks of a call: that it rings, and that it is over.
fn call(journal: &Journal, id: u128, host: &str) {
    let url = format!("http://{host}.example/").into();
    let hook = Some(Hook { url, method: RequestMethod::Post });
    let details = SessionDetails { ring: hook.clone(), hangup: hook, ..SessionDetails::default() };
    let party = Arc::new(Party {
        from: "1".into(),
        to: "2".into(),
        caller_name: "".into(),
        direction: CallDirection::Outbound,
        dialect: Dialect::Plivo,
        trusted: None,
        session: CallSession::new(wall_clock(), details),
    });
    let ended = CallEvent::Ended(Cause::Crashed.ending(Dialect::Plivo).unwrap());
    for event in [CallEvent::Begun, CallEvent::Rang, ended] {
        let (account, call, party) = (account(), CallId::of(id), party.clone());
        journal.note(&Observed::Call { account, call, party, event });
    }
}

/// Issue 15: nothing of a backlog is dropped, and a dead receiver delays no other one.
#[tokio::test(start_paused = true)]
async fn a_backlog_is_read_bit_by_bit_and_nothing_is_lost() {
    const LIVE: usize = 700;
    const DEAD: usize = 300;
    let (temp, net, receivers) = (tempdir().unwrap(), Net::new(), Arc::<Receivers>::default());
    receivers.serve(&net);
    {
        // It sends nothing before it dies.
        let log = Arc::new(open(temp.path()).log);
        let (queue, _dispatcher) = queue(&net);
        let journal = journal(&log, queue);
        for id in 1..=LIVE.max(DEAD) {
            if id <= DEAD {
                call(&journal, id as u128, "dead");
            }
            call(&journal, (1_000 + id) as u128, "live");
        }
    }

    let opened = open(temp.path());
    let log = Arc::new(opened.log);
    assert_eq!(log.keys(RowKey::LATER).len(), 2 * (LIVE + DEAD));
    let (queue, dispatcher) = queue(&net);
    let counters = queue.counters().clone();
    let journal = Arc::new(journal(&log, queue));
    tokio::spawn(dispatcher.run(std::future::pending()));
    let resumed = journal.resume(opened.rows, opened.last_sign);
    assert_eq!((resumed.calls, resumed.callbacks), (0, 2 * (LIVE + DEAD)));
    let reading = journal.clone();
    tokio::spawn(async move { reading.send_backlog().await });

    for _ in 0..100 {
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(receivers.count(), 2 * LIVE);
    let unread = counters.unread.load(Ordering::Relaxed) as usize;
    assert_eq!(unread, 2 * DEAD - 256, "the others wait on disk");
    let waiting = DeliveryFilter { state: Some("waiting"), ..DeliveryFilter::default() };
    assert_eq!(journal.deliveries(&account(), &waiting, 0, 1).total, 256);

    receivers.is_alive.store(true, Ordering::SeqCst);
    for _ in 0..2_000 {
        sleep(Duration::from_secs(1)).await;
        if receivers.count() == 2 * (LIVE + DEAD) {
            break;
        }
    }
    assert_eq!(receivers.told.lock().len(), LIVE + DEAD);
    for (call, told) in &*receivers.told.lock() {
        assert_eq!(told, &["Ring", "Hangup"], "{call}");
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counters.unread.load(Ordering::Relaxed), 0);
    assert_eq!(log.keys(RowKey::LATER), []);
}

/// Logs of November 2026 had another kind of key for callbacks.
#[tokio::test(start_paused = true)]
async fn the_callbacks_of_an_older_log_wait_on() {
    const BEFORE: u8 = 5;
    let (temp, net) = (tempdir().unwrap(), Net::new());
    {
        let log = Arc::new(open(temp.path()).log);
        let (queue, _dispatcher) = queue(&net);
        call(&journal(&log, queue), 1, "live");
        for key in log.keys(RowKey::LATER) {
            let row = log.row(key).unwrap().unwrap();
            let (account, number, at) = row.event.unwrap();
            let keys = [Some(RowKey { kind: BEFORE, ..key }), None, None, None];
            let event = EventLine { account: &account, number, at, keys, body: &row.body };
            log.append(&[Line::Copied(event), Line::Gone(key)], |_| ());
        }
    }
    let Opened { log, rows, last_sign, .. } = open(temp.path());
    let log = Arc::new(log);
    let (queue, _dispatcher) = queue(&net);
    assert_eq!(journal(&log, queue).resume(rows, last_sign).callbacks, 2);
    assert_eq!(log.keys(BEFORE), []);
}
