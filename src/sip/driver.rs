//! SIP driver: connects the agent to the sockets, the clock, the RTP engine and the call engine.

mod handover;
mod restore;

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant as Clock, sleep_until},
};

use super::{
    agent::{Agent, BoundPhone, SipGauges},
    effect::{Command, Effect},
    ids::SipSecret,
    note::Losses,
    resolve::NameQuery,
    resolver::NameResolver,
    settings::{Settings, SipPeers},
    sockets::{Incoming, Listener, SipSockets, TlsListener},
    trunk_usage::{EarlierTime, TalkedTime},
    upkeep::TrunkStatus,
};
use crate::{
    base::{
        boot_clock::BootClock,
        ids::{AccountId, CallId},
    },
    holder::HeldSockets,
    media::{
        BackendRows, CannotDial, Exchange, NoFlow, SignallingBackend, SignallingOrder, legs::Legs,
    },
    tls::ServerTls,
};

/// Signalling backend of real phones. An RTP engine carries their sound.
pub struct SipBackend {
    orders: mpsc::UnboundedSender<DriverCommand>,
    legs: Arc<dyn Legs>,
    sockets: Arc<SipSockets>,
    gauges: Arc<Mutex<SipGauges>>,
    trunks: Arc<Mutex<Vec<TrunkStatus>>>,
    addresses: Vec<SocketAddr>,
    tls: Option<SocketAddr>,
    keeps_rows: Arc<AtomicBool>,
}

/// The task of a [`SipBackend`]: a future that ends after [`SipBackend::stop`].
pub struct SipDriver {
    agent: Agent,
    orders: mpsc::UnboundedReceiver<DriverCommand>,
    inbox: mpsc::Receiver<Incoming>,
    sockets: Arc<SipSockets>,
    listeners: Vec<Listener>,
    secure: Option<TlsListener>,
    legs: Arc<dyn Legs>,
    gauges: Arc<Mutex<SipGauges>>,
    trunks: Arc<Mutex<Vec<TrunkStatus>>>,
    effects: VecDeque<Effect>,
    resolver: Arc<NameResolver>,
    /// Questions about names, each of which ends with its answer.
    questions: JoinSet<Command>,
    keeps_minutes: KeepsMinutes,
    /// None: calls end with the process.
    rows: Option<(Arc<dyn BackendRows>, BootClock)>,
    keeps_rows: Arc<AtomicBool>,
    /// The earlier process has handed its calls over: their far ends are there.
    is_handed_over: bool,
}

/// Notes for later processes how long an answered call through a trunk was.
pub type KeepsMinutes = Box<dyn Fn(TalkedTime) + Send>;

enum DriverCommand {
    Command(Box<Command>),
    Phones(Vec<String>, OnBoundPhones),
    Stop,
    HandOver,
}

/// Callback with the newest phone of each user.
pub type OnBoundPhones = Box<dyn FnOnce(Vec<Option<BoundPhone>>) + Send>;

/// An address on which SIP cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for SIP on {address}: {source}")]
pub struct BindError {
    /// The address from `[sip] bind`.
    pub address: SocketAddr,
    /// The error of the system.
    pub source: io::Error,
}

impl BindError {
    /// Whether another program uses the address.
    pub fn is_busy(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }
}

/// Capacity of the queue of received messages. When it is full, datagrams are dropped; senders
/// repeat them.
const INBOX_MAX: usize = 8_192;

/// Limit of questions about names at once; beyond it, they are answered with no address. A question
/// takes [`QUERY_WAIT_MAX`](super::resolver::QUERY_WAIT_MAX) at most, and usually no time: answers are
/// cached.
const QUESTIONS_MAX: usize = 256;

/// Time for trunks to confirm, at the end, that we are no longer registered.
const UNREGISTER_WAIT_MAX: Duration = Duration::from_millis(900);

/// Messages handled before the clock is read again.
const BATCH_MAX: usize = 64;

impl SipBackend {
    /// [`SipBackend::bind_with`], without TLS.
    ///
    /// # Errors
    ///
    /// An address cannot be bound.
    pub fn bind(
        settings: Settings,
        legs: Arc<dyn Legs>,
        key: SipSecret,
    ) -> Result<(Self, SipDriver), BindError> {
        Self::bind_with(Settings { tls: None, ..settings }, None, legs, key)
    }

    /// [`SipBackend::bind_held`], without a holder.
    ///
    /// # Errors
    ///
    /// An address cannot be bound.
    pub fn bind_with(
        settings: Settings,
        tls: Option<Arc<ServerTls>>,
        legs: Arc<dyn Legs>,
        key: SipSecret,
    ) -> Result<(Self, SipDriver), BindError> {
        Self::bind_held((settings, tls), legs, key, &HeldSockets::default())
    }

    /// Binds the sockets, but for those that a holder has kept; messages are read from
    /// [`SipDriver::run`] on. Must be called within a tokio runtime. `tls` is for [`Settings::tls`]. `key`
    /// must be random, and new for each process.
    ///
    /// # Errors
    ///
    /// An address cannot be bound.
    pub fn bind_held(
        (mut settings, tls): (Settings, Option<Arc<ServerTls>>),
        legs: Arc<dyn Legs>,
        key: SipSecret,
        held: &HeldSockets,
    ) -> Result<(Self, SipDriver), BindError> {
        for warning in settings.warnings() {
            tracing::warn!("{warning}");
        }
        let bind = |&address: &SocketAddr| {
            Listener::bind(address, held).map_err(|source| BindError { address, source })
        };
        let listeners = settings.bind.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let addresses: Vec<_> = listeners.iter().map(|it| it.address).collect();
        for address in &addresses {
            tracing::info!("SIP on {address}, UDP and TCP");
        }
        settings.bind.clone_from(&addresses);
        let secure = settings.tls.zip(tls).map(|(address, tls)| {
            TlsListener::bind(address, tls, held).map_err(|source| BindError { address, source })
        });
        let secure = secure.transpose()?;
        let tls = secure.as_ref().map(|it| it.address);
        settings.tls = tls;
        let settings = Arc::new(settings);
        if let Some(address) = tls {
            tracing::info!("SIP over TLS on {address}");
        }
        let (sender, orders) = mpsc::unbounded_channel();
        let (incoming, inbox) = mpsc::channel(INBOX_MAX);
        let resolver = Arc::new(NameResolver::new(&settings.nameservers, &settings.bind));
        let sockets = Arc::new(SipSockets::new(settings.clone(), incoming, &listeners));
        let gauges = Arc::new(Mutex::new(SipGauges::default()));
        let trunks = Arc::default();
        let agent = Agent::new(Clock::now().into_std(), settings, key);
        let driver = SipDriver {
            agent,
            orders,
            inbox,
            sockets: sockets.clone(),
            listeners,
            secure,
            legs: legs.clone(),
            gauges: gauges.clone(),
            trunks: Arc::clone(&trunks),
            effects: VecDeque::new(),
            resolver,
            questions: JoinSet::new(),
            keeps_minutes: Box::new(drop),
            rows: None,
            keeps_rows: Arc::default(),
            is_handed_over: false,
        };
        let keeps_rows = driver.keeps_rows.clone();
        let backend =
            Self { orders: sender, legs, sockets, gauges, trunks, addresses, tls, keeps_rows };
        Ok((backend, driver))
    }

    /// Returns the bound addresses, each for both UDP and TCP.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the bound address for TLS, if there is one.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls
    }

    /// Refuses new calls and OPTIONS with 503 from now on. Established calls continue.
    pub fn drain(&self) {
        self.command(Command::Drain);
    }

    /// Replaces those who may call. Established calls continue.
    pub fn configure(&self, peers: SipPeers) {
        let mut settings = self.sockets.settings.write();
        Arc::make_mut(&mut settings).set_peers(peers.clone());
        drop(settings);
        self.command(Command::Configure(peers));
    }

    /// Finds out which users are registered, in their order. `done` is called by the driver, which it
    /// must not keep; it is dropped after [`Self::stop`].
    pub fn phones(&self, users: Vec<String>, done: OnBoundPhones) {
        self.send_to_driver(DriverCommand::Phones(users, done));
    }

    /// Returns the agent's figures, as of its last batch of messages.
    pub fn gauges(&self) -> SipGauges {
        *self.gauges.lock()
    }

    /// Returns what is known of the trunks through which calls leave, as of the last batch of messages.
    pub fn trunks(&self) -> Vec<TrunkStatus> {
        self.trunks.lock().clone()
    }

    /// Returns the number of open connections, TCP and TLS.
    pub fn streams(&self) -> usize {
        self.sockets.streams.lock().len()
    }

    /// Returns the counters of dropped messages.
    pub fn losses(&self) -> &Losses {
        &self.sockets.losses
    }

    /// Ends the driver after the commands given so far, and once trunks have confirmed that we are no
    /// longer registered, or after a moment. Calls should have ended before.
    pub fn stop(&self) {
        self.send_to_driver(DriverCommand::Stop);
    }

    fn command(&self, command: Command) {
        self.send_to_driver(DriverCommand::Command(Box::new(command)));
    }

    fn send_to_driver(&self, command: DriverCommand) {
        // Without a driver there are no calls.
        let _ = self.orders.send(command);
    }
}

impl SignallingBackend for SipBackend {
    fn signal(&self, order: SignallingOrder) {
        match order {
            SignallingOrder::Answer { call } => self.command(Command::Answer(call)),
            SignallingOrder::EarlyMedia { call } => self.command(Command::EarlyMedia(call)),
            SignallingOrder::End { call, ending } => {
                // The driver closes the leg a moment later.
                self.legs.end(call);
                self.command(Command::End(call, ending));
            }
            SignallingOrder::Dial { call, account, dialling } => {
                self.command(Command::Dial { call, account, dialling });
            }
        }
    }

    /// True for all its calls if rows are kept, also before the answer: of a call that has not been
    /// answered there is no row of its dialog, so that a later process ends it.
    fn restores(&self, _call: CallId) -> bool {
        self.keeps_rows.load(Ordering::Relaxed)
    }

    /// Whether the phone is registered shows when it is called.
    fn can_dial(&self, account: &AccountId, to: &str) -> Result<(), CannotDial> {
        self.sockets.settings.read().route(account, to).map(drop)
    }
}

impl SipDriver {
    /// Counts the minutes of earlier processes, and has those of this one noted.
    pub fn with_minutes(mut self, earlier: Vec<EarlierTime>, keep: KeepsMinutes) -> Self {
        self.agent.recall_minutes(Clock::now().into_std(), earlier);
        self.keeps_minutes = keep;
        self
    }

    /// Handles calls until [`SipBackend::stop`], or until the last [`SipBackend`] is dropped.
    pub async fn run(mut self, exchange: Arc<dyn Exchange>) {
        let mut readers =
            self.sockets.listen(std::mem::take(&mut self.listeners), self.secure.take());
        let far_off = Duration::from_secs(3_600);
        let mut stops_at = None;
        self.agent.check_restored(Clock::now().into_std());
        self.perform_all(&*exchange);
        while stops_at.is_none_or(|it| Clock::now() < it && self.agent.is_unregistering()) {
            let deadline = self.agent.deadline();
            let at = deadline.map_or_else(|| Clock::now() + far_off, Clock::from_std);
            let at = stops_at.map_or(at, |it| at.min(it));
            tokio::select! {
                biased;
                order = self.orders.recv(), if stops_at.is_none() => match order {
                    Some(DriverCommand::Command(order)) => self.handle(*order, &*exchange),
                    Some(DriverCommand::Phones(users, done)) => {
                        done(self.agent.phones(Clock::now().into_std(), &users));
                    }
                    Some(DriverCommand::Stop) => {
                        self.handle(Command::Drain, &*exchange);
                        stops_at = Some(Clock::now() + UNREGISTER_WAIT_MAX);
                    }
                    Some(DriverCommand::HandOver) => return self.hand_over(readers, &*exchange).await,
                    None => break,
                },
                Some(Ok(answer)) = self.questions.join_next() => self.handle(answer, &*exchange),
                () = sleep_until(at) => self.handle(Command::Tick, &*exchange),
                // The sockets hold a sender, so the inbox does not close before the orders do.
                Some(incoming) = self.inbox.recv() => self.take(incoming, &*exchange),
            }
            for _ in 1..BATCH_MAX {
                let Ok(incoming) = self.inbox.try_recv() else { break };
                self.take(incoming, &*exchange);
            }
            *self.gauges.lock() = self.agent.gauges();
            if let Some(trunks) = self.agent.trunk_changes() {
                *self.trunks.lock() = trunks;
            }
        }
        readers.shutdown().await;
        self.sockets.streams.lock().clear();
    }

    fn take(&mut self, incoming: Incoming, exchange: &dyn Exchange) {
        let command = match incoming {
            Incoming::Message { hop, message } => Command::Received { hop, message: *message },
            Incoming::Closed { link } => Command::Closed { link },
        };
        self.handle(command, exchange);
    }

    /// Handles one command and performs all its effects.
    fn handle(&mut self, command: Command, exchange: &dyn Exchange) {
        let now = Clock::now().into_std();
        self.agent.handle(now, command, &mut self.effects);
        self.keep_rows();
        self.perform_all(exchange);
    }

    /// Performs all effects, and handles what follows from them. Rows are written before the effects
    /// of a command, and nothing waits for the others.
    fn perform_all(&mut self, exchange: &dyn Exchange) {
        while let Some(effect) = self.effects.pop_front() {
            if let Some(command) = self.perform(effect, exchange) {
                self.agent.handle(Clock::now().into_std(), command, &mut self.effects);
                self.keep_rows();
            }
        }
    }

    /// Asks for the addresses of a host. Returns the answer if it is known at once.
    fn resolve(&mut self, id: u64, query: NameQuery) -> Option<Command> {
        if let Some(address) = query.literal() {
            return Some(Command::Resolved { id, addresses: vec![address] });
        }
        if QUESTIONS_MAX <= self.questions.len() {
            tracing::warn!(host = %query.host, "too many names are being resolved");
            return Some(Command::Resolved { id, addresses: Vec::new() });
        }
        let resolver = self.resolver.clone();
        self.questions.spawn(async move {
            Command::Resolved { id, addresses: resolver.resolve(&query).await }
        });
        None
    }

    fn perform(&mut self, effect: Effect, exchange: &dyn Exchange) -> Option<Command> {
        match effect {
            Effect::Send { hop, bytes } => self.sockets.send(&hop, bytes),
            Effect::Resolve { id, query } => return self.resolve(id, query),
            Effect::Route { id, to, tls } => {
                return Some(Command::Routed { id, hop: self.sockets.way_to(to, tls) });
            }
            Effect::Open { call, local } => {
                return Some(Command::Opened { call, port: self.legs.open(call, local) });
            }
            Effect::Agree { call, session } => self.legs.agree(call, session),
            Effect::Note(note) => self.sockets.note(&note),
            Effect::Press { call, key } => self.legs.press(call, key),
            Effect::Talked(talked) => (self.keeps_minutes)(talked),
            Effect::Close { call } => {
                exchange.media_ended(call, self.legs.close(call));
            }
            Effect::Report(report) => exchange.report(report),
            Effect::Attempted(call, attempt) => exchange.attempted(call, attempt),
            Effect::Arrive(arrival) => {
                let call = arrival.call;
                let arrived = exchange.arrive(arrival);
                if let Err(no_flow) = &arrived {
                    tracing::info!(%call, %no_flow, "call refused");
                }
                let status = match arrived {
                    Ok(()) => 180,
                    Err(NoFlow { is_temporary: true, .. }) => 503,
                    Err(_) => 404,
                };
                return Some(Command::Arrived { call, status });
            }
        }
        None
    }
}
