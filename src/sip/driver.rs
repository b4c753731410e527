//! The loop around the machine: sockets, orders and the clock on one side, sound and the engine on
//! the other.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    time::{Instant as Clock, sleep_until},
};

use super::{
    agent::{Agent, Gauges},
    effect::{Command, Effect},
    ids::Secret,
    settings::Settings,
    wire::{Incoming, Listener, Losses, Wire},
};
use crate::media::{Backend, Exchange, Order, legs::Legs};

/// Real phones: signalling by SIP, sound by the plane within.
pub struct Sip {
    orders: mpsc::UnboundedSender<Word>,
    plane: Arc<dyn Backend>,
    wire: Arc<Wire>,
    gauges: Arc<Mutex<Gauges>>,
    addresses: Vec<SocketAddr>,
}

/// What [`Sip`] needs to run: a future that ends by [`Sip::stop`].
pub struct Driver {
    agent: Agent,
    orders: mpsc::UnboundedReceiver<Word>,
    inbox: mpsc::Receiver<Incoming>,
    wire: Arc<Wire>,
    listeners: Vec<Listener>,
    legs: Arc<dyn Legs>,
    gauges: Arc<Mutex<Gauges>>,
    effects: VecDeque<Effect>,
}

/// What a [`Sip`] tells its driver.
enum Word {
    Command(Command),
    Stop,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for SIP on {address}: {source}")]
pub struct BindError {
    /// Which.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

impl BindError {
    /// Another program has it.
    pub fn is_busy(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }
}

/// Messages between the sockets and the machine. Beyond, datagrams are dropped: they come again.
const INBOX_MAX: usize = 8_192;

/// So many messages are handled before the clock is looked at again.
const BATCH_MAX: usize = 64;

impl Sip {
    /// Binds the sockets. Nothing is taken in before [`Driver::run`]. Must be called within a tokio
    /// runtime; `key` must be random, and new for each process.
    ///
    /// # Errors
    ///
    /// An address cannot be bound.
    pub fn bind(
        settings: Settings,
        legs: Arc<dyn Legs>,
        plane: Arc<dyn Backend>,
        key: Secret,
    ) -> Result<(Self, Driver), BindError> {
        let settings = Arc::new(settings);
        for warning in settings.warnings() {
            tracing::warn!("{warning}");
        }
        let bind = |&address: &SocketAddr| {
            Listener::bind(address).map_err(|source| BindError { address, source })
        };
        let listeners = settings.bind.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let addresses: Vec<_> = listeners.iter().map(|it| it.address).collect();
        for address in &addresses {
            tracing::info!("SIP on {address}, UDP and TCP");
        }
        let (sender, orders) = mpsc::unbounded_channel();
        let (incoming, inbox) = mpsc::channel(INBOX_MAX);
        let wire = Arc::new(Wire::new(settings.clone(), incoming, &listeners));
        let gauges = Arc::new(Mutex::new(Gauges::default()));
        let agent = Agent::new(Clock::now().into_std(), settings, key);
        let driver = Driver {
            agent,
            orders,
            inbox,
            wire: wire.clone(),
            listeners,
            legs,
            gauges: gauges.clone(),
            effects: VecDeque::new(),
        };
        Ok((Self { orders: sender, plane, wire, gauges, addresses }, driver))
    }

    /// Where it listens, over UDP and TCP each.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// From now on, new calls and OPTIONS are answered 503; calls that are up go on.
    pub fn drain(&self) {
        self.command(Command::Drain);
    }

    /// How much is held.
    pub fn gauges(&self) -> Gauges {
        *self.gauges.lock()
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.wire.streams.lock().len()
    }

    /// What has been turned away.
    pub fn losses(&self) -> &Losses {
        &self.wire.losses
    }

    /// Ends the driver: what was said before is still sent, and then nothing more. Calls should
    /// have ended before.
    pub fn stop(&self) {
        self.say(Word::Stop);
    }

    fn command(&self, command: Command) {
        self.say(Word::Command(command));
    }

    fn say(&self, word: Word) {
        // Once the driver has ended there are no calls.
        let _ = self.orders.send(word);
    }
}

impl Backend for Sip {
    fn send(&self, order: Order) {
        match order {
            Order::Answer { call } => {
                self.plane.send(order);
                self.command(Command::Answer(call));
            }
            Order::EarlyMedia { call } => {
                self.plane.send(order);
                self.command(Command::EarlyMedia(call));
            }
            Order::End { call, ending } => {
                self.plane.send(order);
                self.command(Command::End(call, ending));
            }
            // Nobody is called from here yet: `can_dial` says so before it comes to this.
            Order::Dial { .. } => (),
            Order::Play { .. }
            | Order::PlayOver { .. }
            | Order::StopOver { .. }
            | Order::Prepare { .. }
            | Order::Stop { .. }
            | Order::SendDigits { .. }
            | Order::Place { .. }
            | Order::Remove { .. }
            | Order::Mute { .. }
            | Order::Deafen { .. }
            | Order::Announce { .. }
            | Order::Hush { .. }
            | Order::RelayDigit { .. } => self.plane.send(order),
        }
    }
}

impl Driver {
    /// Takes calls in and carries them, until it is told to stop or the last [`Sip`] is
    /// dropped.
    pub async fn run(mut self, exchange: Arc<dyn Exchange>) {
        let mut readers = self.wire.listen(std::mem::take(&mut self.listeners));
        let far_off = std::time::Duration::from_secs(3_600);
        loop {
            let deadline = self.agent.deadline();
            let at = deadline.map_or_else(|| Clock::now() + far_off, Clock::from_std);
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(Word::Command(order)) => self.turn(order, &*exchange),
                    Some(Word::Stop) | None => break,
                },
                () = sleep_until(at) => self.turn(Command::Tick, &*exchange),
                // The wire holds a sender, so this does not end before the orders do.
                Some(incoming) = self.inbox.recv() => self.take(incoming, &*exchange),
            }
            for _ in 1..BATCH_MAX {
                let Ok(incoming) = self.inbox.try_recv() else { break };
                self.take(incoming, &*exchange);
            }
            *self.gauges.lock() = self.agent.gauges();
        }
        readers.shutdown().await;
        self.wire.streams.lock().clear();
    }

    fn take(&mut self, Incoming { hop, message }: Incoming, exchange: &dyn Exchange) {
        self.turn(Command::Received { hop, message }, exchange);
    }

    /// One command, and all that follows from it.
    fn turn(&mut self, command: Command, exchange: &dyn Exchange) {
        let now = Clock::now().into_std();
        self.agent.handle(now, command, &mut self.effects);
        while let Some(effect) = self.effects.pop_front() {
            if let Some(command) = self.perform(effect, exchange) {
                self.agent.handle(now, command, &mut self.effects);
            }
        }
    }

    fn perform(&self, effect: Effect, exchange: &dyn Exchange) -> Option<Command> {
        match effect {
            Effect::Send { hop, bytes } => self.wire.send(&hop, bytes),
            Effect::Open { call, local } => {
                return Some(Command::Opened { call, port: self.legs.open(call, local) });
            }
            Effect::Agree { call, session } => self.legs.agree(call, session),
            Effect::Close { call } => {
                exchange.sounded(call, self.legs.close(call));
            }
            Effect::Report(report) => exchange.report(report),
            Effect::Arrive(arrival) => {
                let call = arrival.call;
                let arrived = exchange.arrive(arrival);
                if let Err(no_flow) = &arrived {
                    tracing::info!(%call, %no_flow, "call refused");
                }
                return Some(Command::Arrived { call, has_flow: arrived.is_ok() });
            }
        }
        None
    }
}
