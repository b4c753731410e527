//! Servers that answer calls, each on its own thread: conflow's, and the simplest possible one.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use conflow::{
    accounts::Accounts,
    base::ids::{CallId, Dialect, RoomId},
    call::{applications::ApplicationRoutes, numbers::Numbers},
    cdr::store::CachedCdrStore,
    conference,
    documents::{DocumentFetch, DocumentStore, LocalFlow, OnDocument},
    engine::{
        ban_list::BanList,
        inbound::{self, Inbound},
        registry::{self, Registry, TokioSpawner},
    },
    flow::{DocumentError, Fetched, Flow},
    media::{
        Arrival, AudioEngine, AudioOrder, Ending, Exchange, HangupCause, HangupSource, LegEvent,
        NoFlow, Report, SignallingBackend, SignallingOrder,
        legs::{LegSession, LegSummary, Legs, NoPort},
        router::Router,
    },
    sip::{Settings, SipBackend, SipDriver, SipSecret, throttle::Rate},
    store::member_ids::VolatileMemberIds,
};
use socket2::SockRef;
use tokio::{runtime::Builder, sync::oneshot};

/// Receives the address as soon as calls are accepted.
pub(crate) type Ready = mpsc::Sender<SocketAddr>;

/// A running server.
pub(crate) struct Machine {
    /// The address that callers use.
    pub(crate) address: SocketAddr,
    times: PathBuf,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

const RECEIVE_BUFFER: usize = 4 << 20;

impl Machine {
    /// Starts a server on a thread with its own runtime.
    pub(crate) fn start<S: AsyncFnOnce(Ready) + Send + 'static>(serve: S) -> Self {
        let (ready, readied) = mpsc::channel();
        let (named, name) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let own = fs::read_link("/proc/thread-self").expect("this is Linux");
            named.send(PathBuf::from("/proc").join(own).join("schedstat")).expect("a listener");
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = serve(ready) => {}
                    _ = stopped => {}
                }
            });
            // Live calls must not be dropped; there are none by now.
            runtime.shutdown_background();
        });
        let (times, address) = (name.recv().expect("it runs"), readied.recv().expect("it runs"));
        Self { address, times, stop, thread }
    }

    /// The CPU time of its thread.
    pub(crate) fn cpu(&self) -> Duration {
        let text = fs::read_to_string(&self.times).expect("it runs");
        let nanos = text.split(' ').next().and_then(|it| it.parse().ok());
        Duration::from_nanos(nanos.expect("time on the processor, in nanoseconds"))
    }

    pub(crate) fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.thread.join().expect("it does not fail");
    }
}

/// The ceiling: no transactions, dialogs or timers; headers are echoed, the rest is fixed.
pub(crate) async fn echo(ready: Ready) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER).expect("it is a socket");
    socket.set_nonblocking(true).expect("it is a socket");
    let socket = tokio::net::UdpSocket::from_std(socket).expect("a runtime");
    let local = socket.local_addr().expect("it is bound");
    ready.send(local).expect("a listener");
    let mut buffer = [0; 4_096];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
        let text = std::str::from_utf8(&buffer[..len]).expect("text");
        if text.starts_with("ACK") {
            continue;
        }
        let (head, _) = text.split_once("\r\n\r\n").expect("a message");
        let mut reply = String::with_capacity(1_024);
        reply.push_str("SIP/2.0 200 OK\r\n");
        for line in head.lines().skip(1) {
            if ["Via", "From", "To", "Call-ID", "CSeq"].iter().any(|it| line.starts_with(it)) {
                reply.push_str(line);
                if line.starts_with("To") && !line.contains(";tag=") {
                    reply.push_str(";tag=t");
                }
                reply.push_str("\r\n");
            }
        }
        reply.push_str(&format!("Contact: <sip:{local}>\r\n"));
        let body = if text.starts_with("INVITE") { ANSWER } else { "" };
        reply.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        // A full buffer loses a message, as a network does.
        let _ = socket.try_send_to(reply.as_bytes(), from);
    }
}

/// The fixed answer of a server that does not read offers.
pub(crate) const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 20000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\na=sendrecv\r\n";

/// Our signalling, with an application that answers at once.
pub(crate) async fn signalling(ready: Ready) {
    let (sip, driver) = bind();
    ready.send(sip.addresses()[0]).expect("a listener");
    driver.run(Arc::new(PromptExchange(sip))).await;
}

/// Our signalling and the engine: each call runs a flow, which answers it and waits.
pub(crate) async fn engine(ready: Ready) {
    let (sip, driver) = bind();
    let room_last = AtomicU64::new(0);
    let mut router = Router::new();
    let exchange = router.add("sip", sip.clone(), Arc::new(Nowhere));
    let router = Arc::new(router);
    let links = registry::RegistryPorts {
        media: router.clone(),
        documents: Arc::new(FixedDocument::new()),
        ban_list: Arc::new(BanList::in_memory(
            tokio::time::Instant::now().into_std(),
            std::time::SystemTime::UNIX_EPOCH,
        )),
        member_ids: Arc::new(VolatileMemberIds::default()),
        room_id: Box::new(move || RoomId::of(room_last.fetch_add(1, Ordering::Relaxed).into())),
        // No flow dials.
        call_id: Box::new(|| CallId::of(0)),
        observer: Box::new(drop),
        spawner: Box::new(TokioSpawner),
    };
    let registry = Registry::new(conference::Settings::default(), links);
    let settings = inbound::Settings {
        numbers: Numbers::default(),
        applications: ApplicationRoutes::default(),
        accounts: Arc::new(Accounts::new([7; 32])),
        call_time_limit: Duration::from_secs(14_400),
    };
    let records = Arc::new(CachedCdrStore::default());
    let inbound: Arc<dyn Exchange> =
        Arc::new(Inbound::new(registry, Arc::new(FixedDocument::new()), records, settings));
    router.connect(Arc::downgrade(&inbound));
    ready.send(sip.addresses()[0]).expect("a listener");
    driver.run(exchange).await;
}

fn bind() -> (Arc<SipBackend>, SipDriver) {
    let settings = Settings {
        bind: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        loopback_account: Some("MA1".parse().expect("a name")),
        // One address makes all the calls.
        rate_trusted: Rate { per_second: 1_000_000, burst: 1_000_000 },
        ..Settings::default()
    };
    let (sip, driver) =
        SipBackend::bind(settings, Arc::new(Nowhere), SipSecret([7; 32])).expect("a port is free");
    (Arc::new(sip), driver)
}

/// Answers at once, and hangs up when the caller has hung up.
struct PromptExchange(Arc<SipBackend>);

impl PromptExchange {
    fn order(&self, order: SignallingOrder) {
        self.0.signal(order);
    }
}

impl Exchange for PromptExchange {
    fn arrive(&self, arrival: Arrival) -> Result<(), NoFlow> {
        self.order(SignallingOrder::Answer { call: arrival.call });
        Ok(())
    }

    fn report(&self, Report { call, event: heard }: Report) {
        if heard == LegEvent::HungUp {
            let ending = Ending { cause: HangupCause::Normal, source: HangupSource::Caller };
            self.order(SignallingOrder::End { call, ending });
        }
    }
}

/// A media backend without sound.
struct Nowhere;

impl AudioEngine for Nowhere {
    fn send(&self, _: AudioOrder) {}
}

impl Legs for Nowhere {
    fn open(&self, _: CallId, local: IpAddr) -> Result<SocketAddr, NoPort> {
        Ok(SocketAddr::new(local, 20_000))
    }

    fn agree(&self, _: CallId, _: LegSession) {}

    fn press(&self, _: CallId, _: char) {}

    fn end(&self, _: CallId) {}

    fn close(&self, _: CallId) -> LegSummary {
        LegSummary::default()
    }
}

/// The same flow for every call.
struct FixedDocument(Arc<Flow>);

impl FixedDocument {
    fn new() -> Self {
        let document = "<Response><Speak>hello</Speak><Wait length='3600'/></Response>";
        Self(Arc::new(Flow::parse(document, Dialect::Vobiz).expect("a flow")))
    }
}

impl DocumentStore for FixedDocument {
    fn fetch(&self, fetch: DocumentFetch, done: OnDocument) {
        done(fetch, Err(DocumentError::Unreachable("there is none".into())), None);
    }

    fn local(&self, _: &LocalFlow) -> Option<Fetched> {
        Some(Ok(self.0.clone()))
    }
}
