//! The router, with a third backend beside simulated phones and SIP over the RTP engine.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use conflow::{
    base::ids::{AccountId, CallId, Incarnation, RoomId},
    media::{
        Arrival, AudioEngine, AudioOrder, CannotDial, DialFailure, DialFailureSource, Dialling,
        Ending, Exchange, HangupCause, HangupSource, LegEvent, MemberAudio, NoFlow, Report,
        SignallingBackend, SignallingOrder, Sound, SoundKind, legs::Legs, router::Router,
    },
    rtp_engine::{self, OnSoundLoaded, RtpEngine, SoundLoader},
    sim_phones::{self, Dial, SimPhones},
    sip::{self, SipBackend, SipSecret},
};
use parking_lot::Mutex;
use tokio::time::sleep;

/// The third backend: calls come from a list, and it logs the orders that it gets.
#[derive(Default)]
struct LogPhones {
    log: Mutex<Vec<String>>,
}

impl LogPhones {
    /// A call comes in.
    fn ring(exchange: &dyn Exchange, call: CallId, to: &str) -> Result<(), NoFlow> {
        let (to, empty): (Arc<str>, Arc<str>) = (to.into(), "".into());
        let (account, from, caller_name) = (Some(account()), empty.clone(), empty);
        let headers = Vec::new();
        let (trusted, is_private, diversion) = (None, false, None);
        let arrival = Arrival {
            call,
            account,
            from,
            to,
            caller_name,
            headers,
            trusted,
            is_private,
            diversion,
        };
        exchange.arrive(arrival)
    }

    /// The orders since this was called last.
    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock())
    }
}

impl SignallingBackend for LogPhones {
    fn signal(&self, order: SignallingOrder) {
        let name = format!("{order:?}").split(' ').next().unwrap().to_owned();
        self.log.lock().push(format!("{name} {}", order.call().0.as_u128()));
    }

    fn can_dial(&self, _: &AccountId, to: &str) -> Result<(), CannotDial> {
        let (cause, is_foreign) = (HangupCause::DestinationOut, to.starts_with("sim:"));
        let hint = || "it has a log: address".to_owned();
        let error = || CannotDial { to: to.into(), hint: hint(), cause, is_foreign };
        to.strip_prefix("log:").map(drop).ok_or_else(error)
    }
}

impl AudioEngine for LogPhones {
    fn send(&self, order: AudioOrder) {
        let name = format!("{order:?}").split(' ').next().unwrap().to_owned();
        let calls: Vec<_> = order.calls().iter().map(|it| it.0.as_u128()).collect();
        self.log.lock().push(format!("{name} {calls:?}"));
    }
}

/// Three backends, one router, and an engine that only listens.
struct RouterHarness {
    router: Arc<Router>,
    sim: Arc<SimPhones>,
    rtp_engine: Arc<RtpEngine>,
    log_phones: Arc<LogPhones>,
    engine: Arc<ListeningEngine>,
    exchanges: [Arc<dyn Exchange>; 3],
}

/// Answers each call from within its arrival, as a flow does.
#[derive(Default)]
struct ListeningEngine {
    router: OnceLock<Weak<Router>>,
    reports: Mutex<Vec<(CallId, LegEvent)>>,
}

impl Exchange for ListeningEngine {
    fn arrive(&self, arrival: Arrival) -> Result<(), NoFlow> {
        if &*arrival.to == "nobody" {
            return Err(NoFlow { to: arrival.to, hint: String::new(), is_temporary: false });
        }
        let router = self.router.get().and_then(Weak::upgrade).unwrap();
        router.signal(SignallingOrder::Answer { call: arrival.call });
        Ok(())
    }

    fn report(&self, report: Report) {
        self.reports.lock().push((report.call, report.event));
    }
}

struct NoSounds;

impl SoundLoader for NoSounds {
    fn load(&self, _: CallId, _: &SoundKind, done: OnSoundLoaded) {
        done(Err("there are no sounds".to_owned()));
    }
}

impl RouterHarness {
    fn new() -> Self {
        let sim = Arc::new(SimPhones::new(sim_phones::Settings::default()));
        let (rtp_engine, _) =
            RtpEngine::with_tickers(rtp_engine::Settings::default(), Arc::new(NoSounds)).unwrap();
        let rtp_engine = Arc::new(rtp_engine);
        let bind = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        let settings = sip::Settings { bind, ..sip::Settings::default() };
        let (sip, _) = SipBackend::bind(settings, rtp_engine.clone(), SipSecret([3; 32])).unwrap();
        let log_phones = Arc::new(LogPhones::default());

        let mut router = Router::new();
        let exchanges = [
            router.add("sim", sim.clone(), sim.clone()),
            router.add("sip", Arc::new(sip), rtp_engine.clone()),
            router.add("log", log_phones.clone(), log_phones.clone()),
        ];
        let router = Arc::new(router);
        let engine = Arc::new(ListeningEngine::default());
        engine.router.set(Arc::downgrade(&router)).unwrap();
        let as_exchange: Arc<dyn Exchange> = engine.clone();
        router.connect(Arc::downgrade(&as_exchange));
        sim.connect(Arc::downgrade(&exchanges[0]));
        Self { router, sim, rtp_engine, log_phones, engine, exchanges }
    }

    /// One call on each backend: simulated, real, logged.
    fn calls(&self) -> [CallId; 3] {
        let simulated = self.sim.dial(&account(), Dial::to("weekly")).unwrap();
        let (real, logged) = (CallId::of(2), CallId::of(3));
        self.rtp_engine.open(real, IpAddr::from(Ipv4Addr::LOCALHOST)).unwrap();
        LogPhones::ring(&*self.exchanges[1], real, "weekly").unwrap();
        LogPhones::ring(&*self.exchanges[2], logged, "weekly").unwrap();
        [simulated, real, logged]
    }

    /// What a simulated phone has heard.
    fn heard(&self, call: CallId) -> String {
        self.sim.details(&account(), call).unwrap().transcript()
    }

    /// The reports since this was called last.
    async fn reports(&self) -> Vec<(CallId, LegEvent)> {
        sleep(Duration::from_millis(1)).await;
        std::mem::take(&mut self.engine.reports.lock())
    }
}

#[tokio::test(start_paused = true)]
async fn each_order_reaches_the_one_backend_that_has_the_call() {
    let harness = RouterHarness::new();
    let [simulated, _, logged] = harness.calls();
    assert_eq!(harness.log_phones.log(), ["Answer 3"]);

    harness.router.send(play(logged));
    assert_eq!(harness.log_phones.log(), ["Play [3]"]);
    assert_eq!(harness.heard(simulated), "0- silence");
    harness.router.send(play(simulated));
    assert_eq!(harness.log_phones.log(), [""; 0]);
    assert_eq!(harness.heard(simulated), "0- beep", "and nothing twice");
    for call in [simulated, CallId::of(2), logged] {
        harness.router.signal(end(call));
    }
    assert_eq!(harness.log_phones.log(), ["End 3"]);
    assert_eq!(harness.reports().await, []);
}

#[tokio::test(start_paused = true)]
async fn an_order_for_many_calls_reaches_each_backend_with_its_own() {
    let harness = RouterHarness::new();
    let [simulated, real, logged] = harness.calls();
    let more = CallId::of(4);
    LogPhones::ring(&*harness.exchanges[2], more, "weekly").unwrap();
    harness.log_phones.log();

    harness.router.send(place(vec![logged, simulated, real, more]));
    assert_eq!(harness.log_phones.log(), ["Place [3, 4]"]);
    assert_eq!(harness.heard(simulated), "0- room weekly");

    let orders = harness.router.split(remove(vec![simulated, more, real, logged]));
    let calls: Vec<_> = orders.iter().map(|it| it.calls().to_vec()).collect();
    assert_eq!(calls, [vec![simulated], vec![more, logged], vec![real]]);
    for order in &orders {
        assert_eq!(harness.router.send_part(order, 0), order.calls().len());
    }
    assert_eq!(harness.log_phones.log(), ["Remove [4, 3]"]);
    assert_eq!(harness.heard(simulated), "0- silence");
    assert_eq!(harness.reports().await, []);
}

#[tokio::test(start_paused = true)]
async fn an_order_for_an_unknown_call_is_reported_as_failed() {
    let harness = RouterHarness::new();
    let [simulated, _, logged] = harness.calls();
    let (unknown, lost) = (CallId::of(77), (CallId::of(77), LegEvent::MediaLost));
    harness.log_phones.log();

    harness.router.send(play(unknown));
    harness.router.signal(SignallingOrder::Answer { call: unknown });
    assert_eq!(*harness.engine.reports.lock(), [], "not from within the order");
    assert_eq!(harness.reports().await, [lost, lost]);
    harness.router.send(place(vec![simulated, unknown, logged]));
    assert_eq!(harness.router.split(remove(vec![unknown, unknown])), []);
    assert_eq!(harness.reports().await, [lost, lost, lost]);
    assert_eq!(harness.log_phones.log(), ["Place [3]"]);
    assert_eq!(harness.heard(simulated), "1- room weekly");

    // A call that the engine has not taken is unknown, and so is one that has ended.
    LogPhones::ring(&*harness.exchanges[2], unknown, "nobody").unwrap_err();
    harness.router.send(play(unknown));
    harness.router.signal(end(logged));
    harness.router.signal(end(logged));
    harness.router.send(play(logged));
    assert_eq!(harness.reports().await, [lost, (logged, LegEvent::MediaLost)]);
    assert_eq!(harness.log_phones.log(), ["End 3"]);
}

#[tokio::test(start_paused = true)]
async fn an_address_is_dialled_by_the_first_backend_that_can() {
    let harness = RouterHarness::new();
    let dial = |n, to: &str| SignallingOrder::Dial {
        call: CallId::of(n),
        account: account(),
        dialling: Arc::new(Dialling {
            from: "1".into(),
            to: to.into(),
            caller_name: "".into(),
            headers: Vec::new(),
            ..Dialling::default()
        }),
    };
    let can_dial = |to| harness.router.can_dial(&account(), to);
    assert_eq!(can_dial("log:anna"), Ok(()));
    harness.router.signal(dial(5, "log:anna"));
    harness.router.send(play(CallId::of(5)));
    assert_eq!(harness.log_phones.log(), ["Dial 5", "Play [5]"]);
    harness.router.signal(dial(6, "sim:bert"));
    assert_eq!(harness.heard(CallId::of(6)), "");
    assert_eq!(harness.log_phones.log(), [""; 0]);

    let error = can_dial("sip:carl@example.org").unwrap_err();
    assert!(
        error.to_string().contains("example.org is not this server"),
        "the one that knows: {error}"
    );
    let error = can_dial("sim:").unwrap_err();
    assert!(error.to_string().contains("give the phone a name"), "{error}");
    harness.reports().await;
    harness.router.signal(dial(7, "sip:carl@example.org"));
    let (cause, source) = (HangupCause::DestinationOut, DialFailureSource::Platform);
    let failed = LegEvent::Failed(DialFailure::new(cause, source));
    assert_eq!(harness.reports().await, [(CallId::of(7), failed)]);
    // The engine then ends it, which is no failure.
    harness.router.signal(end(CallId::of(7)));
    assert_eq!(harness.reports().await, []);
}

#[tokio::test(start_paused = true)]
async fn backends_over_one_engine_share_its_orders() {
    let engine = Arc::new(LogPhones::default());
    let mut router = Router::new();
    let exchanges = [
        router.add("one", Arc::new(LogPhones::default()), engine.clone()),
        router.add("other", Arc::new(LogPhones::default()), engine.clone()),
    ];
    let router = Arc::new(router);
    let listening = ListeningEngine::default();
    listening.router.set(Arc::downgrade(&router)).unwrap();
    let listening: Arc<dyn Exchange> = Arc::new(listening);
    router.connect(Arc::downgrade(&listening));
    LogPhones::ring(&*exchanges[0], CallId::of(1), "weekly").unwrap();
    LogPhones::ring(&*exchanges[1], CallId::of(2), "weekly").unwrap();
    router.send(place(vec![CallId::of(1), CallId::of(2)]));
    assert_eq!(engine.log(), ["Place [1, 2]"]);
    // Once the engine is gone, calls are refused.
    drop(listening);
    assert!(LogPhones::ring(&*exchanges[0], CallId::of(3), "weekly").is_err());
}

fn account() -> AccountId {
    "MA1".parse().unwrap()
}

fn play(call: CallId) -> AudioOrder {
    let program = [Sound::from(SoundKind::Beep(1))].into();
    AudioOrder::Play { call, number: 1, program }
}

fn place(calls: Vec<CallId>) -> AudioOrder {
    let room = Incarnation::of(RoomId::of(1), "weekly");
    AudioOrder::Place { room, calls, hears: MemberAudio::Room }
}

fn remove(calls: Vec<CallId>) -> AudioOrder {
    AudioOrder::Remove { room: RoomId::of(1), calls }
}

fn end(call: CallId) -> SignallingOrder {
    let ending = Ending { cause: HangupCause::Normal, source: HangupSource::Caller };
    SignallingOrder::End { call, ending }
}
