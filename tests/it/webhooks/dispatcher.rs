//! The webhook dispatcher over HTTP, on an in-memory network and a paused clock.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::Request as Incoming,
    http::{HeaderMap, Method as Verb, StatusCode, Uri},
    routing::any,
};
use conflow::{
    base::ids::{CallId, Dialect, RoomId},
    fetch::{
        FetchClient, Settings, TargetUrl,
        signature::{FormField, Signer},
    },
    flow::RequestMethod,
    webhooks::{
        delivery::{DeliveryLimits, QueueKey, QueueOwner},
        dispatcher::{GRACE, Webhook, WebhookFields, WebhookQueue, webhook_dispatcher},
    },
};
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::net::{Net, TestNetwork};

const FIRST: &str = "93.184.215.14:80";
const SECOND: &str = "93.184.215.15:80";

/// A running dispatcher, and two names in its network.
struct TestDispatcher {
    net: Arc<Net>,
    callbacks: WebhookQueue,
    close: oneshot::Sender<()>,
    dispatcher: JoinHandle<()>,
}

impl TestDispatcher {
    fn new() -> Self {
        let net = Net::new();
        net.name("first.example", &[&["93.184.215.14"]]);
        net.name("second.example", &[&["93.184.215.15"]]);
        let client =
            FetchClient::new(Settings::default(), Arc::new(TestNetwork(Arc::clone(&net)))).unwrap();
        let (callbacks, dispatcher) = webhook_dispatcher(client, DeliveryLimits::default());
        let (close, closed) = oneshot::channel();
        let dispatcher = tokio::spawn(dispatcher.run(async { drop(closed.await) }));
        Self { net, callbacks, close, dispatcher }
    }

    fn send(&self, url: &str, sequence: u64) {
        let target = Arc::new(TargetUrl::parse(url).unwrap());
        let fields: Vec<FormField> = vec![("ConferenceSequence".into(), sequence.to_string())];
        self.callbacks.send(Webhook {
            account: "MA1".parse().unwrap(),
            queue: QueueKey {
                owner: QueueOwner::Room(RoomId::of(1)),
                url: url.into(),
                by_call: None,
            },
            sequence,
            target,
            method: RequestMethod::Post,
            dialect: Dialect::Vobiz,
            signer: None,
            fields: Arc::new(fields),
        });
    }

    /// Waits until everything sent is delivered or dropped.
    async fn settle(&self) {
        let counters = self.callbacks.counters();
        // The queue is emptied first; each look at the counters lets time pass.
        sleep(Duration::from_millis(1)).await;
        while counters.queued.load(Relaxed) != 0 {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The counts of delivered, failed tries, exhausted, refused, full, closed.
    fn counts(&self) -> [u64; 6] {
        let it = self.callbacks.counters();
        let dropped = [&it.dropped_exhausted, &it.dropped_refused, &it.dropped_full];
        let [exhausted, refused, full] = dropped.map(|it| it.load(Relaxed));
        let closed = it.dropped_closed.load(Relaxed);
        [it.delivered.load(Relaxed), it.failed.load(Relaxed), exhausted, refused, full, closed]
    }
}

/// The numbers that a receiver was sent, and when.
type Heard = Arc<Mutex<Vec<(u64, Instant)>>>;

/// Notes each number and takes this long to answer.
fn receiver(heard: &Heard, takes: Duration) -> Router {
    let heard = Arc::clone(heard);
    Router::new().fallback(any(async move |body: Bytes| {
        let number = std::str::from_utf8(&body).unwrap().rsplit('=').next().unwrap();
        heard.lock().push((number.parse().unwrap(), Instant::now()));
        sleep(takes).await;
    }))
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_killed_and_restarted_gets_every_notice_in_order_and_delays_no_other() {
    const NOTICES: u64 = 1_000;
    const TAKES: Duration = Duration::from_millis(5);
    let webhooks = TestDispatcher::new();
    let (first, second) = (Heard::default(), Heard::default());
    webhooks.net.serve(FIRST, receiver(&first, TAKES));
    webhooks.net.serve(SECOND, receiver(&second, TAKES));
    for sequence in 1..=NOTICES {
        webhooks.send("http://first.example/cb", sequence);
        webhooks.send("http://second.example/cb", sequence);
    }
    let start = Instant::now();

    // It dies in the middle of a request, more than once.
    for _ in 0..3 {
        sleep(Duration::from_millis(1_001)).await;
        webhooks.net.kill(FIRST);
        sleep(Duration::from_secs(7)).await;
        webhooks.net.serve(FIRST, receiver(&first, TAKES));
    }
    webhooks.settle().await;

    let mut numbers: Vec<_> = first.lock().iter().map(|(number, _)| *number).collect();
    let heard_count = numbers.len() as u64;
    numbers.dedup();
    assert_eq!(numbers, (1..=NOTICES).collect::<Vec<_>>());
    // Requests cut off by its death are sent again: at least once, not exactly once.
    assert!((NOTICES + 1..=NOTICES + 3).contains(&heard_count), "{heard_count}");
    for (index, (number, at)) in second.lock().iter().enumerate() {
        assert_eq!(*number, index as u64 + 1);
        assert!(*at - start <= TAKES * (index as u32 + 1), "number {number} was delayed");
    }
    let [delivered, failed, dropped @ ..] = webhooks.counts();
    assert_eq!((delivered, dropped), (2 * NOTICES, [0; 4]));
    assert!(3 <= failed);
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_a_signed_request_with_its_fields() {
    let check = async |method, dialect, verb: Verb, agent: &str, uri: &str, body: &str| {
        let webhooks = TestDispatcher::new();
        let seen = Arc::<Mutex<Vec<(Verb, Uri, HeaderMap, Bytes)>>>::default();
        let notes = Arc::clone(&seen);
        let router = Router::new().fallback(any(async move |request: Incoming| {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1_000).await.unwrap();
            notes.lock().push((head.method, head.uri, head.headers, body));
        }));
        webhooks.net.serve(FIRST, router);
        let tokens = vec!["TOKEN".to_owned()];
        let fields: Vec<FormField> =
            vec![("From".into(), "+1".to_owned()), ("A".into(), "ü".into())];
        webhooks.callbacks.send(Webhook {
            account: "MA1".parse().unwrap(),
            queue: QueueKey {
                owner: QueueOwner::Call(CallId::of(1)),
                url: "http://first.example/cb?x=1#rc=0".into(),
                by_call: None,
            },
            sequence: 1,
            target: Arc::new(TargetUrl::parse("http://first.example/cb?x=1#rc=0").unwrap()),
            method,
            dialect,
            signer: Some(Arc::new(Signer { dialect, tokens, parent_token: None })),
            fields: Arc::new(fields),
        });
        webhooks.settle().await;

        let seen = seen.lock();
        let [(seen_verb, seen_uri, headers, seen_body)] = &**seen else { panic!("{seen:?}") };
        assert_eq!((seen_verb, seen_uri.to_string().as_str()), (&verb, uri));
        assert_eq!(
            (headers["user-agent"].to_str().unwrap(), &**seen_body),
            (agent, body.as_bytes())
        );
        let signature = match dialect {
            Dialect::Plivo => "x-plivo-signature-v3",
            Dialect::Vobiz => "x-vobiz-signature-v3",
        };
        assert_eq!(headers[signature].len(), 44);
    };

    let form = "From=%2B1&A=%C3%BC";
    let agent = concat!("conflow/", env!("CARGO_PKG_VERSION"));
    check(RequestMethod::Post, Dialect::Plivo, Verb::POST, agent, "/cb?x=1", form).await;
    check(RequestMethod::Get, Dialect::Plivo, Verb::GET, agent, &format!("/cb?x=1&{form}"), "")
        .await;
    check(RequestMethod::Post, Dialect::Vobiz, Verb::POST, "Vobiz", "/cb?x=1", form).await;
}

#[tokio::test(start_paused = true)]
async fn the_fragment_and_the_kind_of_failure_decide_the_number_of_tries() {
    /// The counts of delivered, failed tries, exhausted, refused.
    async fn check(url: &str, status: u16, expected: [u64; 4], seconds: u64) {
        let webhooks = TestDispatcher::new();
        let status = StatusCode::from_u16(status).unwrap();
        webhooks.net.serve(FIRST, Router::new().fallback(any(async move || status)));
        let start = Instant::now();
        webhooks.send(url, 1);
        webhooks.settle().await;
        let [delivered, failed, exhausted, refused, ..] = webhooks.counts();
        assert_eq!([delivered, failed, exhausted, refused], expected, "{url} {status}");
        assert_eq!(start.elapsed().as_secs(), seconds, "{url} {status}");
    }

    let url = "http://first.example/cb";
    check(url, 200, [1, 0, 0, 0], 0).await;
    check(url, 204, [1, 0, 0, 0], 0).await;
    check(url, 500, [0, 155, 1, 0], 86_400).await;
    check(url, 404, [0, 155, 1, 0], 86_400).await;
    check(&format!("{url}#rc=0"), 500, [0, 1, 1, 0], 0).await;
    check(&format!("{url}#rc=2"), 500, [0, 3, 1, 0], 3).await;
    // A fragment with time-outs only does not change the number of tries.
    check(&format!("{url}#ct=100&rt=100"), 500, [0, 155, 1, 0], 86_400).await;
    check(&format!("{url}#rp=ct,rt"), 500, [0, 1, 0, 1], 0).await;
    check(&format!("{url}#rp=5xx"), 500, [0, 155, 1, 0], 86_400).await;
    check(&format!("{url}#rp=5xx"), 404, [0, 1, 0, 1], 0).await;
    // A closed port, an unknown name, and two that the guard refuses.
    check("http://first.example:81/#rc=1", 200, [0, 2, 1, 0], 1).await;
    check("http://nobody.example/#rc=1", 200, [0, 2, 1, 0], 1).await;
    check("http://10.0.0.1/", 200, [0, 1, 0, 1], 0).await;
    check("http://[::ffff:127.0.0.1]/", 200, [0, 1, 0, 1], 0).await;
}

#[tokio::test(start_paused = true)]
async fn one_try_waits_ten_seconds_unless_the_fragment_says_otherwise() {
    let check = async |fragment: &str, millis: u64| {
        let webhooks = TestDispatcher::new();
        let never = async || std::future::pending::<()>().await;
        // Time spent before a redirect counts too.
        let slow = async || {
            sleep(Duration::from_secs(9)).await;
            (StatusCode::FOUND, [("location", "/never")])
        };
        let router = Router::new().fallback(any(never)).route("/slow", any(slow));
        webhooks.net.serve(FIRST, router);
        let start = Instant::now();
        webhooks.send(&format!("http://first.example/{fragment}"), 1);
        while webhooks.callbacks.counters().failed.load(Relaxed) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let waited = start.elapsed().as_millis() as u64;
        assert!((millis..millis + 10).contains(&waited), "{fragment} {waited}");
    };

    check("#rc=0", 10_000).await;
    check("slow#rc=0", 12_000).await;
    check("#rc=0&rt=300", 300).await;
    check("#rc=0&rt=40000", 40_000).await;
    check("#rc=0&rt=40000&tt=2000", 2_000).await;
}

#[tokio::test(start_paused = true)]
async fn at_the_close_callbacks_are_delivered_within_the_grace_and_the_rest_given_up() {
    let webhooks = TestDispatcher::new();
    let heard = Heard::default();
    webhooks.net.serve(FIRST, receiver(&heard, Duration::from_millis(100)));
    (1..=5).for_each(|sequence| webhooks.send("http://first.example/cb", sequence));
    (1..=3).for_each(|sequence| webhooks.send("http://second.example/cb", sequence));
    sleep(Duration::from_millis(50)).await;
    let start = Instant::now();
    webhooks.close.send(()).unwrap();
    timeout(Duration::from_secs(60), webhooks.dispatcher).await.unwrap().unwrap();
    assert_eq!(start.elapsed().as_secs(), GRACE.as_secs());
    assert_eq!(heard.lock().len(), 5);

    let webhooks = TestDispatcher {
        dispatcher: tokio::spawn(async {}),
        close: oneshot::channel().0,
        ..webhooks
    };
    let [delivered, _, exhausted, refused, full, closed] = webhooks.counts();
    assert_eq!([delivered, exhausted, refused, full, closed], [5, 0, 0, 0, 3]);
    // A callback after the close is counted too.
    webhooks.send("http://first.example/cb", 6);
    assert_eq!(webhooks.counts()[5], 4);
    assert_eq!(webhooks.callbacks.counters().queued.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dispatcher_with_nothing_to_send_closes_at_once() {
    let start = Instant::now();
    let webhooks = TestDispatcher::new();
    drop(webhooks.callbacks);
    webhooks.dispatcher.await.unwrap();
    let webhooks = TestDispatcher::new();
    webhooks.close.send(()).unwrap();
    webhooks.dispatcher.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_callback_is_a_failure_of_that_one() {
    #[derive(Debug)]
    struct Bug;

    impl WebhookFields for Bug {
        fn fields(&self) -> Vec<FormField> {
            std::panic::resume_unwind(Box::new("a bug"))
        }
    }

    let webhooks = TestDispatcher::new();
    let heard = Heard::default();
    webhooks.net.serve(FIRST, receiver(&heard, Duration::ZERO));
    let url = "http://first.example/cb#rc=1";
    webhooks.callbacks.send(Webhook {
        account: "MA1".parse().unwrap(),
        queue: QueueKey { owner: QueueOwner::Room(RoomId::of(1)), url: url.into(), by_call: None },
        sequence: 1,
        target: Arc::new(TargetUrl::parse(url).unwrap()),
        method: RequestMethod::Post,
        dialect: Dialect::Plivo,
        signer: None,
        fields: Arc::new(Bug),
    });
    webhooks.send(url, 2);
    webhooks.settle().await;
    let [delivered, _, exhausted, ..] = webhooks.counts();
    assert_eq!((delivered, exhausted), (1, 1));
    assert_eq!(heard.lock()[0].0, 2);
}

#[tokio::test(start_paused = true)]
async fn lag_is_measured() {
    let webhooks = TestDispatcher::new();
    let counters = Arc::clone(webhooks.callbacks.counters());
    let figures = || {
        [&counters.queued, &counters.in_flight, &counters.oldest_millis].map(|it| it.load(Relaxed))
    };
    (1..=3).for_each(|sequence| webhooks.send("http://first.example/cb", sequence));
    sleep(Duration::from_secs(32)).await;
    let [queued, flying, oldest] = figures();
    assert_eq!((queued, flying), (3, 0));
    assert!((25_000..=32_000).contains(&oldest), "{oldest}");
    webhooks.net.serve(FIRST, receiver(&Heard::default(), Duration::ZERO));
    sleep(Duration::from_secs(20)).await;
    assert_eq!(figures(), [0, 0, 0]);
    assert!(30_000 <= counters.lag_millis.load(Relaxed));
}

#[tokio::test(start_paused = true)]
async fn by_call_sixteen_are_in_flight_and_each_call_keeps_its_order() {
    let webhooks = TestDispatcher::new();
    let heard = Heard::default();
    webhooks.net.serve(FIRST, receiver(&heard, Duration::from_secs(1)));
    let url = "http://first.example/cb";
    for n in 0..64 {
        let call = CallId::of(n / 2);
        let fields: Vec<FormField> = vec![("n".into(), n.to_string())];
        webhooks.callbacks.send(Webhook {
            account: "MA1".parse().unwrap(),
            queue: QueueKey {
                owner: QueueOwner::Room(RoomId::of(1)),
                url: url.into(),
                by_call: Some(call),
            },
            sequence: n as u64,
            target: Arc::new(TargetUrl::parse(url).unwrap()),
            method: RequestMethod::Post,
            dialect: Dialect::Plivo,
            signer: None,
            fields: Arc::new(fields),
        });
    }
    webhooks.settle().await;
    let mut rounds = BTreeMap::<_, Vec<u64>>::new();
    heard.lock().iter().for_each(|(n, at)| rounds.entry(*at).or_default().push(*n));
    let sizes: Vec<_> = rounds.values().map(Vec::len).collect();
    assert_eq!(sizes, [16, 16, 16, 16]);
    let order = |n| heard.lock().iter().position(|(it, _)| *it == n).unwrap();
    assert!((0..32).all(|call| order(call * 2) < order(call * 2 + 1)));
}
