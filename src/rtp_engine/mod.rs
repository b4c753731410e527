//! RTP engine: carries the sound of real calls. It receives RTP, mixes rooms and sends RTP.
//!
//! A few threads ([`Settings::threads`]) own legs and rooms by value and tick every 20 ms, so a leg
//! needs no task, timer or lock. A leg outside of rooms is on any thread; a leg in a room is on the
//! room's thread. It is moved there by value.
//!
//! [`RtpEngine`] is an [`AudioEngine`] of the media port, and provides the sound of calls to the
//! signalling ([`Legs`]). An order is in effect when [`AudioEngine::send`] returns: a packet that
//! was being made has been sent, and later ones obey it, even within a tick (see `mailbox`). A
//! removed member hears no more of the room. The others hear no more of a member who is removed,
//! muted or made to wait, except for the 5 ms from the last sample to zero.
//!
//! `mixer_thread` is the part that decides: it has no clock and no socket of its own.

mod apply;
mod command;
mod demultiplexer;
mod engine_state;
mod gauges;
mod handover;
mod leg;
mod leg_counters;
mod leg_row;
mod loader;
mod mailbox;
mod mixer_thread;
mod recording_tap;
mod restore;
mod room;
mod row_writer;
mod secure_socket;
mod socket;
mod ticker;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::{
        Arc, OnceLock, Weak,
        atomic::Ordering,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self as std_thread, JoinHandle},
};

use uuid::Uuid;

use self::{
    command::Command,
    demultiplexer::Demultiplexer,
    engine_state::EngineState,
    gauges::GaugeGuard,
    leg::RtpLeg,
    leg_row::{LegRowLink, LegRowSink},
    loader::ProgramLoader,
    mailbox::WaitFor,
    mixer_thread::{MixerThread, ThreadLinks},
    socket::UdpSocketPair,
    ticker::Epoch,
};
pub use self::{
    engine_state::{GiveSockets, StoppedLegs},
    gauges::{PacketDrop, RtpGauges, TickHistogram},
    loader::{OnSoundLoaded, SoundLoader},
    ticker::Ticker,
};
use super::media::{
    AudioEngine, AudioOrder, Exchange, Report,
    legs::{LegSession, LegSummary, Legs, NoPort},
};
use crate::audio::tone::Tones;
use crate::base::ids::CallId;
use crate::rtp::g711;

/// Threads and ports of the engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Number of mixer threads; 0 means 1.
    pub threads: usize,
    /// Port range of RTP and RTCP. Each call uses an even port and the next one.
    pub rtp_ports: RangeInclusive<u16>,
}

impl Default for Settings {
    /// One thread for two cores, which leaves the other core to signalling; and ports for 8,000
    /// calls that are neither registered nor ephemeral on Linux.
    fn default() -> Self {
        let cores = std_thread::available_parallelism().map_or(1, usize::from);
        Self { threads: (cores / 2).max(1), rtp_ports: 16_384..=32_383 }
    }
}

/// The RTP engine of a process. Dropping it ends its threads, and with them all sound.
pub struct RtpEngine {
    core: Arc<EngineCore>,
    threads: Vec<JoinHandle<()>>,
    reports: Sender<Option<Report>>,
    rows: LegRowLink,
    /// The number of threads that tick.
    tickers: usize,
}

struct EngineCore {
    settings: Settings,
    demultiplexer: Demultiplexer<UdpSocketPair>,
    gauges: Arc<RtpGauges>,
    exchange: OnceLock<Weak<dyn Exchange>>,
    state: Arc<EngineState>,
}

impl RtpEngine {
    /// Starts the threads. `loader` provides sounds that are not built in.
    ///
    /// # Errors
    ///
    /// The system cannot start a thread.
    pub fn start(settings: Settings, loader: Arc<dyn SoundLoader>) -> io::Result<Self> {
        let (mut engine, tickers) = Self::with_tickers(settings, loader)?;
        engine.tickers = tickers.len();
        for (number, ticker) in tickers.into_iter().enumerate() {
            let state = Arc::clone(&engine.core.state);
            engine.spawn(format!("sound-{number}"), move || ticker.run(&state))?;
        }
        Ok(engine)
    }

    /// Creates an engine whose tickers the caller runs: for tests and benches.
    ///
    /// # Errors
    ///
    /// The system cannot start the thread that sends reports.
    pub fn with_tickers(
        settings: Settings,
        loader: Arc<dyn SoundLoader>,
    ) -> io::Result<(Self, Vec<Ticker>)> {
        let tones = Arc::new(Tones::new(g711::RATE));
        let (senders, mailboxes): (Vec<_>, Vec<_>) =
            (0..settings.threads.max(1)).map(|_| mailbox::mailbox()).unzip();
        let senders: Arc<[_]> = senders.into();
        let program_loader = ProgramLoader::new(loader, Arc::clone(&tones));
        let core = Arc::new(EngineCore {
            settings,
            demultiplexer: Demultiplexer::new(Arc::clone(&senders), program_loader),
            gauges: Arc::default(),
            exchange: OnceLock::new(),
            state: Arc::default(),
        });
        let (reports, received_reports) = mpsc::channel();
        let epoch = Epoch::now();
        let rows = LegRowLink::default();
        let ticker = |mailbox| {
            let links = ThreadLinks {
                threads: Arc::clone(&senders),
                reports: reports.clone(),
                rows: Arc::clone(&rows),
            };
            let (tones, gauges) = (Arc::clone(&tones), Arc::clone(&core.gauges));
            Ticker::new(epoch, MixerThread::new(epoch.start(), mailbox, links, tones, gauges))
        };
        let tickers = mailboxes.into_iter().map(ticker).collect();
        let (own, threads) = (Arc::clone(&core), Vec::new());
        let mut engine = Self { core: own, threads, reports, rows, tickers: 0 };
        engine
            .spawn("sound-reports".to_owned(), move || core.forward_reports(&received_reports))?;
        Ok((engine, tickers))
    }

    /// Sends reports of far ends to this exchange from now on. Must be called once.
    pub fn connect(&self, exchange: Weak<dyn Exchange>) {
        let is_first = self.core.exchange.set(exchange).is_ok();
        debug_assert!(is_first, "an engine is connected once");
    }

    /// Returns the engine's figures, which it updates as it runs.
    pub fn gauges(&self) -> &Arc<RtpGauges> {
        &self.core.gauges
    }

    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std_thread::Builder::new().name(name).spawn(run)?);
        Ok(())
    }
}

impl Drop for RtpEngine {
    fn drop(&mut self) {
        self.core.state.is_closed.store(true, Ordering::Relaxed);
        // The report thread has ended, or ends at this message.
        _ = self.reports.send(None);
        self.rows.get().into_iter().for_each(LegRowSink::close);
        let here = std_thread::current().id();
        for thread in self.threads.drain(..) {
            // The report thread may be the last owner of the engine.
            if thread.thread().id() != here {
                drop(thread.join());
            }
        }
    }
}

impl fmt::Debug for RtpEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpEngine").field("gauges", &self.core.gauges).finish_non_exhaustive()
    }
}

impl Legs for RtpEngine {
    fn open(&self, call: CallId, local: IpAddr) -> Result<SocketAddr, NoPort> {
        let core = &*self.core;
        let random = || Uuid::new_v4().as_u128();
        let (socket, address) =
            UdpSocketPair::bind(local, &core.settings.rtp_ports, random(), &core.gauges)?;
        let gauge_guard = GaugeGuard::new(&core.gauges, 1, |it| &it.legs);
        let mut leg = Box::new(RtpLeg::new(call, socket, random(), gauge_guard));
        if self.rows.get().is_some() {
            leg.keep_at(address);
        }
        core.demultiplexer.open(leg);
        Ok(address)
    }

    fn agree(&self, call: CallId, session: LegSession) {
        let command = Command::Agree(Arc::new(session));
        self.core.demultiplexer.send_to_leg(call, command, WaitFor::Nothing);
    }

    fn press(&self, call: CallId, key: char) {
        let wait_for = WaitFor::Nothing;
        self.core.demultiplexer.send_to_leg(call, Command::Press(key), wait_for);
    }

    fn end(&self, call: CallId) {
        self.core.demultiplexer.end(call);
    }

    fn close(&self, call: CallId) -> LegSummary {
        self.core.demultiplexer.close(call)
    }
}

impl AudioEngine for RtpEngine {
    fn send(&self, order: AudioOrder) {
        self.core.demultiplexer.send(order);
    }
}

impl EngineCore {
    /// Passes reports to the exchange until the channel ends.
    fn forward_reports(&self, received_reports: &Receiver<Option<Report>>) {
        for report in received_reports.iter().map_while(|it| it) {
            if let Some(exchange) = self.exchange.get().and_then(Weak::upgrade) {
                exchange.report(report);
            }
        }
    }
}
