//! The media plane: carries the sound of real calls. RTP comes in, rooms are mixed, RTP goes out.
//!
//! A few threads ([`Settings::threads`]), each of which owns legs and rooms by value and ticks
//! every 20 ms: no task, no timer and no lock for a leg. A leg lives on any thread while it is
//! alone, and on the thread of its room while it is in one: it is moved there by value.
//!
//! [`Plane`] takes the sound orders of the [`Backend`] port, and is the sound of calls to the
//! signalling ([`Legs`]). An order is in effect when [`Backend::send`] returns: a packet that was
//! being made is out by then, and each that is begun later obeys it, even in the midst of a tick
//! (see `desk`). Who is removed hears no more of the room; who is removed, muted, or made to wait
//! is in no more packets to the others, but for the 5 ms that lead from a sample to zero.
//!
//! The part that decides is a shard (`shard`): it has no clock and no socket of its own.

mod apply;
mod command;
mod demultiplexer;
mod gauges;
mod leg;
mod loader;
mod mailbox;
mod mixer_thread;
mod room;
mod socket;
mod ticker;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self as std_thread, JoinHandle},
};

use uuid::Uuid;

use self::{
    command::Deed,
    demultiplexer::Switchboard,
    gauges::Counted,
    leg::Leg,
    loader::Studio,
    mailbox::Concern,
    mixer_thread::{Links, Shard},
    socket::Udp,
    ticker::Epoch,
};
pub use self::{
    gauges::{Gauges, Histogram},
    loader::{Done, Loader},
    ticker::Ticker,
};
use super::media::{
    Backend, Exchange, Order, Report,
    legs::{LegSummary, Legs, NoPort, Session},
};
use crate::audio::tone::Tones;
use crate::base::ids::CallId;
use crate::rtp::g711;

/// How the plane is laid out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that tick; at least 1.
    pub threads: usize,
    /// Ports for RTP and RTCP: an even one and the next for each call.
    pub rtp_ports: RangeInclusive<u16>,
}

impl Default for Settings {
    /// A thread for two cores, so that signalling has the other; and ports that are neither
    /// registered nor ephemeral on Linux, for 8,000 calls.
    fn default() -> Self {
        let cores = std_thread::available_parallelism().map_or(1, usize::from);
        Self { threads: (cores / 2).max(1), rtp_ports: 16_384..=32_383 }
    }
}

/// The media plane of a process.
///
/// Dropping it ends its threads, and with them all sound.
pub struct Plane {
    core: Arc<Core>,
    threads: Vec<JoinHandle<()>>,
    reports: Sender<Option<Report>>,
}

struct Core {
    settings: Settings,
    switchboard: Switchboard<Udp>,
    gauges: Arc<Gauges>,
    exchange: OnceLock<Weak<dyn Exchange>>,
    is_closed: Arc<AtomicBool>,
}

impl Plane {
    /// Starts the threads. Other sounds than our own come from `loader`.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(settings: Settings, loader: Arc<dyn Loader>) -> io::Result<Self> {
        let (mut plane, tickers) = Self::with_tickers(settings, loader)?;
        for (number, ticker) in tickers.into_iter().enumerate() {
            let is_closed = Arc::clone(&plane.core.is_closed);
            plane.spawn(format!("sound-{number}"), move || ticker.run(&is_closed))?;
        }
        Ok(plane)
    }

    /// A plane whose threads are the caller's affair: for tests and benches.
    ///
    /// # Errors
    ///
    /// The system gives no thread for the reports.
    pub fn with_tickers(
        settings: Settings,
        loader: Arc<dyn Loader>,
    ) -> io::Result<(Self, Vec<Ticker>)> {
        let tones = Arc::new(Tones::new(g711::RATE));
        let (posts, desks): (Vec<_>, Vec<_>) =
            (0..settings.threads.max(1)).map(|_| mailbox::desk()).unzip();
        let posts: Arc<[_]> = posts.into();
        let studio = Studio::new(loader, Arc::clone(&tones));
        let core = Arc::new(Core {
            settings,
            switchboard: Switchboard::new(Arc::clone(&posts), studio),
            gauges: Arc::default(),
            exchange: OnceLock::new(),
            is_closed: Arc::default(),
        });
        let (reports, told) = mpsc::channel();
        let epoch = Epoch::now();
        let ticker = |desk| {
            let links = Links { threads: Arc::clone(&posts), reports: reports.clone() };
            let (tones, gauges) = (Arc::clone(&tones), Arc::clone(&core.gauges));
            Ticker::new(epoch, Shard::new(epoch.start(), desk, links, tones, gauges))
        };
        let tickers = desks.into_iter().map(ticker).collect();
        let mut plane = Self { core: Arc::clone(&core), threads: Vec::new(), reports };
        plane.spawn("sound-reports".to_owned(), move || core.tell(&told))?;
        Ok((plane, tickers))
    }

    /// What far ends do is reported to this exchange from now on. Once.
    pub fn connect(&self, exchange: Weak<dyn Exchange>) {
        let is_first = self.core.exchange.set(exchange).is_ok();
        debug_assert!(is_first, "a plane is connected once");
    }

    /// What there is, and how it goes.
    pub fn gauges(&self) -> &Arc<Gauges> {
        &self.core.gauges
    }

    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std_thread::Builder::new().name(name).spawn(run)?);
        Ok(())
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.core.is_closed.store(true, Ordering::Relaxed);
        // The thread that reports has ended by itself, or ends by this.
        _ = self.reports.send(None);
        let here = std_thread::current().id();
        for thread in self.threads.drain(..) {
            // The one that reports may be the last to have held the plane.
            if thread.thread().id() != here {
                drop(thread.join());
            }
        }
    }
}

impl fmt::Debug for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plane").field("gauges", &self.core.gauges).finish_non_exhaustive()
    }
}

impl Legs for Plane {
    fn open(&self, call: CallId, local: IpAddr) -> Result<SocketAddr, NoPort> {
        let core = &*self.core;
        let random = || Uuid::new_v4().as_u128();
        let (wire, address) = Udp::bind(local, &core.settings.rtp_ports, random(), &core.gauges)?;
        let counted = Counted::new(&core.gauges, 1, |it| &it.legs);
        core.switchboard.open(Box::new(Leg::new(call, wire, random(), counted)));
        Ok(address)
    }

    fn agree(&self, call: CallId, session: Session) {
        let deed = Deed::Agree(Arc::new(session));
        self.core.switchboard.one(call, deed, Concern::Nothing);
    }

    fn close(&self, call: CallId) -> LegSummary {
        self.core.switchboard.close(call)
    }
}

impl Backend for Plane {
    fn send(&self, order: Order) {
        // Where all calls are simulated, this costs nothing.
        if self.core.gauges.legs.load(Ordering::Relaxed) != 0 {
            self.core.switchboard.send(order);
        }
    }
}

impl Core {
    /// Tells the exchange, until there is nothing more to tell.
    fn tell(&self, told: &Receiver<Option<Report>>) {
        for report in told.iter().map_while(|it| it) {
            if let Some(exchange) = self.exchange.get().and_then(Weak::upgrade) {
                exchange.report(report);
            }
        }
    }
}
