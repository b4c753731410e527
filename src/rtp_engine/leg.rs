//! One leg: a far end's packets come in, and what it hears goes out.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    gauges::{Counted, Gauges},
    loader::{Scores, Shelf},
    socket::{Port, Wire},
};
use crate::{
    audio::{
        dtmf,
        gate::Gate,
        jitter::{Jitter, Pulled},
        mix::{Ear, Slot},
        playout::{self, Keys, Outgoing, Playout},
        tone::Tones,
    },
    base::ids::{CallId, RoomId},
    media::{
        Heard,
        legs::{LegSummary, Session},
    },
    rtp::{
        g711::{self, FRAME, Law},
        latching::{Source, Verdict},
        packet::{self, Reception, Stream},
        rtcp::{self, Control},
        sdp::{Direction, Payload},
    },
};

/// One leg. A tick thread owns it, and hands it on when its room lives elsewhere.
#[derive(Debug)]
pub(super) struct Leg<W> {
    pub(super) call: CallId,
    pub(super) playout: Playout,
    pub(super) scores: Scores,
    /// Its place in a room.
    pub(super) seat: Option<Seat>,
    /// Muted in this room, where it is or will be.
    pub(super) muted_in: Option<RoomId>,
    /// The thread that it goes to when this tick is over.
    pub(super) leaves_for: Option<usize>,
    /// The last tick that was played out to it.
    pub(super) served: u64,
    wire: W,
    session: Option<Arc<Session>>,
    source: Option<Source>,
    stream: Stream,
    reception: Reception,
    /// Of the last packet of sound: its arrival less its timestamp, in ticks' units. Packets are
    /// read once a tick, so jitter is measured in steps of 20 ms.
    transit: Option<u32>,
    control: Control,
    /// The tick of the next report.
    report_at: u64,
    jitter: Jitter,
    keys: dtmf::Receiver,
    /// Tells its talking while it is in no room.
    gate: Gate,
    is_lost: bool,
    tally: Arc<Tally>,
    _counted: Counted,
}

/// Where a leg is in its room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    /// Its index in the shard.
    pub(super) room: usize,
    pub(super) slot: Slot,
}

/// A leg's figures, for those who do not own it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sent: AtomicU64,
    received: AtomicU64,
    lost: AtomicU64,
    jitter_us: AtomicU32,
}

/// What all legs of a thread share in a tick.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) now: Instant,
    /// Which tick it is.
    pub(super) tick: u64,
    /// The same moment as an NTP timestamp.
    pub(super) ntp: u64,
    pub(super) tones: Arc<Tones>,
    pub(super) gauges: Arc<Gauges>,
    /// What the far ends did, and orders that are over.
    pub(super) heard: Vec<Heard>,
    over: Vec<u32>,
    samples: [i16; FRAME],
    wire: [u8; FRAME],
    packet: [u8; PACKET_MAX],
    datagram: [u8; DATAGRAM_MAX],
}

/// The longest packet that is sent: a frame, or a report.
const PACKET_MAX: usize = rtcp::REPORT_MAX;

/// The longest datagram that is read: beyond a network's usual frame nothing can be sound.
const DATAGRAM_MAX: usize = 1_500;

/// More in one tick is a flood; what is left over waits for the next, and then the system drops.
const DATAGRAMS_MAX: usize = 32;

/// Whoever neither speaks nor reports for so long is gone.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// Reports of far ends are read every so many ticks: 80 ms. They come every five seconds.
const CONTROL_TICKS: u64 = 4;

/// A report goes out after 4 to 6 s (RFC 3550, 6.2: five, by a factor of chance).
const REPORT_TICKS: u64 = 200;
const REPORT_SPREAD: u64 = 100;

/// Timestamp units of a tick.
const UNITS: u32 = FRAME as u32;

impl<W: Wire> Leg<W> {
    /// A leg that has agreed on nothing yet. `random` is any number.
    pub(super) fn new(call: CallId, wire: W, random: u128, counted: Counted) -> Self {
        let settings = playout::Settings { rate: g711::RATE, keys: Keys::Tones };
        // RFC 7022: a name that tells nothing, and is the leg's own.
        let cname = format!("{:024x}", random >> 32);
        let (ssrc, sequence, timestamp) =
            (random as u32, (random >> 32) as u16, (random >> 48) as u32);
        Self {
            call,
            playout: Playout::new(settings),
            scores: Scores::default(),
            seat: None,
            muted_in: None,
            leaves_for: None,
            served: 0,
            wire,
            session: None,
            source: None,
            stream: Stream::new(ssrc, sequence, timestamp),
            reception: Reception::default(),
            transit: None,
            control: Control::new(&cname),
            report_at: 0,
            jitter: Jitter::default(),
            keys: dtmf::Receiver::default(),
            gate: Gate::default(),
            is_lost: false,
            tally: Arc::default(),
            _counted: counted,
        }
    }

    pub(super) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// SDP has been exchanged, first or anew: from the next tick on sound flows.
    pub(super) fn agree(&mut self, now: Instant, session: Arc<Session>) {
        let agreed = &session.agreed;
        let keys = if agreed.events.is_some() { Keys::Events } else { Keys::Tones };
        self.playout.set_keys(keys);
        if let Some(remote) = agreed.remote {
            match &mut self.source {
                Some(source) => source.renew(now, remote, session.source),
                None => self.source = Some(Source::new(now, remote, session.source)),
            }
        }
        self.session = Some(session);
    }

    /// Whether the far end holds us.
    pub(super) fn is_held(&self) -> bool {
        self.session.as_ref().is_some_and(|it| it.agreed.held)
    }

    /// Another room, or none, is another sound to talk into.
    pub(super) fn move_to(&mut self, seat: Option<Seat>) {
        self.seat = seat;
        self.gate = Gate::default();
    }

    /// Reads what has come since the last tick.
    pub(super) fn receive(&mut self, bench: &mut Bench) {
        for _ in 0..DATAGRAMS_MAX {
            let Some((len, from)) = self.wire.receive(Port::Rtp, &mut bench.datagram) else {
                break;
            };
            let is_ours = match packet::is_rtcp(&bench.datagram[..len]) {
                true => self.receive_control(len, from, bench),
                false => self.receive_packet(len, from, bench),
            };
            let gauge = if is_ours { &bench.gauges.received } else { &bench.gauges.dropped };
            gauge.fetch_add(1, Ordering::Relaxed);
        }

        if (bench.tick ^ u64::from(self.stream.ssrc())).is_multiple_of(CONTROL_TICKS) {
            for _ in 0..DATAGRAMS_MAX {
                let received = self.wire.receive(Port::Rtcp, &mut bench.datagram);
                let Some((len, from)) = received else { break };
                if !self.receive_control(len, from, bench) {
                    bench.gauges.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.watch(bench);
        }
    }

    /// What the far end says in this tick. None: nothing. A far end that holds us says nothing to
    /// us, whatever it sends.
    pub(super) fn listen(&mut self, bench: &mut Bench) -> Option<(Law, &[u8; FRAME])> {
        let is_held = self.is_held();
        let frame = match self.jitter.pull() {
            Pulled::Frame(law, frame) | Pulled::Concealed(law, frame) if !is_held => {
                Some((law, frame))
            }
            Pulled::Frame(..) | Pulled::Concealed(..) | Pulled::Nothing => None,
        };
        if self.seat.is_none() {
            let level = frame.map_or(0, |(law, frame)| law.level(frame));
            bench.heard.extend(self.gate.tick(level).map(Heard::Talk));
        }
        frame
    }

    /// Whether sound flows: it has been agreed where to.
    pub(super) fn is_agreed(&self) -> bool {
        self.session.is_some() && self.source.is_some()
    }

    /// Sends what it hears in this tick.
    pub(super) fn play_out(&mut self, mut ear: Option<Ear<'_>>, bench: &mut Bench) {
        let (Some(session), Some(source)) = (&self.session, &self.source) else { return };
        let agreed = &session.agreed;
        let missed = (bench.tick - self.served).saturating_sub(1);
        self.served = bench.tick;
        if 0 < missed {
            self.stream.skip(UNITS.wrapping_mul(missed as u32));
        }

        let mut shelf = Shelf { tones: &bench.tones, scores: &self.scores };
        let samples = &mut bench.samples;
        let outgoing = self.playout.tick(ear.as_mut(), &mut shelf, samples, &mut bench.over);
        bench.heard.extend(bench.over.drain(..).map(Heard::Over));
        let sends = matches!(agreed.direction, Direction::SendRecv | Direction::SendOnly);
        if !sends || agreed.remote.is_none() {
            self.stream.skip(UNITS);
            return;
        }

        let law = agreed.law;
        let payload = match (outgoing, ear) {
            (Outgoing::Event(update), _) => {
                let payload = update.event.bytes();
                if let Some(events) = agreed.events {
                    let (age, marker, packet) = (update.age, update.marker, &mut bench.packet);
                    let len = self.stream.write_aged(age, marker, events, &payload, packet);
                    send(&mut self.wire, Port::Rtp, len, source.destination(), bench);
                }
                self.stream.skip(UNITS);
                return;
            }
            (Outgoing::Room, Some(ear)) => ear.wire(law),
            (Outgoing::Samples, _) => {
                law.encode(&bench.samples, &mut bench.wire);
                &bench.wire[..]
            }
            (Outgoing::Silence | Outgoing::Room, _) => {
                bench.wire.fill(law.silence());
                &bench.wire[..]
            }
        };
        let len = self.stream.write(agreed.payload_type, payload, UNITS, &mut bench.packet);
        send(&mut self.wire, Port::Rtp, len, source.destination(), bench);
        self.tally.publish(&self.stream, &self.reception);
    }

    /// Sends a report, if it is time.
    pub(super) fn report(&mut self, bench: &mut Bench) {
        if bench.tick < self.report_at {
            return;
        }
        if self.report_at != 0 {
            self.send_report(false, bench);
        }
        // Any number will do that is another one for each leg and each time.
        let chance = u64::from(self.stream.ssrc() ^ self.stream.timestamp()) % REPORT_SPREAD;
        self.report_at = bench.tick + REPORT_TICKS + chance;
    }

    /// Says goodbye to the far end's receiver.
    pub(super) fn end(&mut self, bench: &mut Bench) {
        if self.is_agreed() {
            self.send_report(true, bench);
        }
        self.tally.publish(&self.stream, &self.reception);
    }

    fn send_report(&mut self, bye: bool, bench: &mut Bench) {
        let Some((port, to)) = self.control_destination() else { return };
        let (stream, reception) = (&self.stream, &mut self.reception);
        let len = self.control.compose(bench.ntp, stream, reception, bye, &mut bench.packet);
        if let Some(len) = len {
            // Nobody waits for a report; the next one is as good.
            self.wire.send(port, &bench.packet[..len], to);
        }
    }

    fn control_destination(&self) -> Option<(Port, SocketAddr)> {
        let agreed = &self.session.as_ref()?.agreed;
        let destination = self.source.as_ref()?.destination();
        if agreed.rtcp_mux {
            return Some((Port::Rtp, destination));
        }
        let beside = SocketAddr::new(destination.ip(), destination.port().checked_add(1)?);
        let is_found = agreed.remote != Some(destination);
        Some((Port::Rtcp, if is_found { beside } else { agreed.remote_rtcp? }))
    }

    fn receive_packet(&mut self, len: usize, from: SocketAddr, bench: &mut Bench) -> bool {
        let (Some(session), Some(source)) = (&self.session, &mut self.source) else { return false };
        let Ok(packet) = packet::Packet::parse(&bench.datagram[..len]) else { return false };
        let Some(payload) = session.agreed.payload(packet.payload_type) else { return false };
        if source.receive(bench.now, from, packet.payload_type) == Verdict::Stranger {
            return false;
        }

        let arrival = (bench.tick as u32).wrapping_mul(UNITS);
        match payload {
            Payload::Sound(law) => {
                self.transit = Some(arrival.wrapping_sub(packet.timestamp));
                self.reception.count(&packet, arrival);
                self.jitter.push(&packet, law);
            }
            Payload::Events => {
                // All packets of an event have its beginning for a timestamp: that is no jitter.
                if let Some(transit) = self.transit {
                    self.reception.count(&packet, packet.timestamp.wrapping_add(transit));
                }
                bench.heard.extend(self.keys.receive(&packet).map(Heard::Digit));
            }
        }
        true
    }

    fn receive_control(&mut self, len: usize, from: SocketAddr, bench: &Bench) -> bool {
        let Some(source) = &mut self.source else { return false };
        let (ntp, datagram) = (bench.ntp, &bench.datagram[..len]);
        // The address first: a stranger's report is not read.
        source.receive_rtcp(bench.now, from) != Verdict::Stranger
            && self.control.receive(ntp, self.stream.ssrc(), datagram).is_ok()
    }

    /// Tells, once, that the far end has been silent for too long.
    fn watch(&mut self, bench: &mut Bench) {
        let (Some(session), Some(source)) = (&self.session, &self.source) else { return };
        let hears = matches!(session.agreed.direction, Direction::SendRecv | Direction::RecvOnly);
        let silence = source.silence(bench.now);
        if hears && !session.agreed.held && LOST_AFTER <= silence && !self.is_lost {
            self.is_lost = true;
            bench.heard.push(Heard::Lost);
        }
    }
}

fn send(wire: &mut impl Wire, port: Port, len: Option<usize>, to: SocketAddr, bench: &Bench) {
    let is_sent = len.is_some_and(|len| wire.send(port, &bench.packet[..len], to));
    let gauge = if is_sent { &bench.gauges.sent } else { &bench.gauges.unsent };
    gauge.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    /// As of now.
    pub(super) fn summary(&self) -> LegSummary {
        LegSummary {
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            jitter_us: self.jitter_us.load(Ordering::Relaxed),
        }
    }

    fn publish(&self, stream: &Stream, reception: &Reception) {
        let quality = reception.quality();
        let jitter_us = u64::from(quality.jitter_max) * 1_000_000 / u64::from(g711::RATE);
        self.sent.store(stream.packets().into(), Ordering::Relaxed);
        self.received.store(quality.received, Ordering::Relaxed);
        self.lost.store(quality.lost, Ordering::Relaxed);
        self.jitter_us.store(jitter_us as u32, Ordering::Relaxed);
    }
}

impl Bench {
    pub(super) fn new(now: Instant, tones: Arc<Tones>, gauges: Arc<Gauges>) -> Self {
        Self {
            now,
            tick: 0,
            ntp: 0,
            tones,
            gauges,
            heard: Vec::new(),
            over: Vec::new(),
            samples: [0; FRAME],
            wire: [0; FRAME],
            packet: [0; PACKET_MAX],
            datagram: [0; DATAGRAM_MAX],
        }
    }
}
