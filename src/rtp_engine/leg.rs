//! RTP leg: the media state of one call, from received packets to sent ones.

mod rows;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    gauges::{GaugeGuard, PacketDrop, RtpGauges},
    leg_counters::LegCounters,
    leg_row::KeptLeg,
    loader::{LegPrograms, LegSounds},
    recording_tap::{LegRecordings, RecordingTap},
    secure_socket::SecureSocket,
    socket::{RtpSocket, SocketKind},
};
use crate::{
    audio::{
        dtmf,
        gate::Gate,
        jitter::{self, Jitter, Pulled, Pushed},
        mix::{LegMix, Slot},
        playout::{self, DtmfMode, OutgoingAudio, Playout},
        tone::Tones,
    },
    base::ids::{CallId, RecordingId, RoomId},
    media::{LegEvent, RecordingFeed, legs::LegSession},
    rtp::{
        g711::{self, FRAME, Law},
        latching::{PacketOrigin, RtpSource},
        packet::{self, ReceptionStats, RtpStream},
        rtcp::{self, RtcpSession},
        sdp::{MediaDirection, Payload},
        srtp,
    },
};

/// One leg. A mixer thread owns it, and passes it on when its room is on another thread.
#[derive(Debug)]
pub(super) struct RtpLeg<W> {
    pub(super) call: CallId,
    pub(super) playout: Playout,
    pub(super) programs: LegPrograms,
    pub(super) room_slot: Option<RoomSlot>,
    /// The room in which it is muted, now or once it arrives.
    pub(super) muted_in: Option<RoomId>,
    /// The thread that it moves to when this tick is over.
    pub(super) moves_to: Option<usize>,
    /// The last tick in which it was sent something.
    pub(super) last_tick: u64,
    socket: SecureSocket<W>,
    session: Option<Arc<LegSession>>,
    source: Option<RtpSource>,
    stream: RtpStream,
    reception: ReceptionStats,
    /// Arrival minus timestamp of the last packet of sound, in timestamp units. Packets are read
    /// once a tick, so jitter is measured in steps of 20 ms.
    transit: Option<u32>,
    rtcp: RtcpSession,
    /// The tick of the next RTCP report.
    report_at: u64,
    jitter: Jitter,
    dtmf: dtmf::DtmfReceiver,
    keys: dtmf::KeyFilter,
    /// Reasons of drops that the log has told of this call, one bit each.
    told: u16,
    /// Talk detection while the leg is in no room.
    gate: Gate,
    is_lost: bool,
    /// None while nobody records it.
    recordings: Option<Box<LegRecordings>>,
    counters: Arc<LegCounters>,
    kept: Option<KeptLeg>,
    _gauge_guard: GaugeGuard,
}

/// A leg's position in its room.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoomSlot {
    /// The room's index in its mixer thread.
    pub(super) room: usize,
    pub(super) slot: Slot,
}

/// State that all legs of a thread share during a tick.
#[derive(Debug)]
pub(super) struct TickContext {
    pub(super) now: Instant,
    /// Number of the tick.
    pub(super) tick: u64,
    /// `now` as an NTP timestamp.
    pub(super) ntp: u64,
    pub(super) tones: Arc<Tones>,
    pub(super) gauges: Arc<RtpGauges>,
    /// Events of the leg being processed: what the far end did, and completed orders.
    pub(super) heard: Vec<LegEvent>,
    finished: Vec<u32>,
    samples: [i16; FRAME],
    encoded: [u8; FRAME],
    packet: [u8; PACKET_MAX],
    datagram: [u8; DATAGRAM_MAX],
}

/// Longest packet that we send: a frame, or a report, encrypted.
const PACKET_MAX: usize = rtcp::REPORT_MAX + srtp::OVERHEAD_MAX;

/// Longest datagram that we read: the longest packet of sound, its header with an extension, and a
/// byte that shows that it was longer.
const DATAGRAM_MAX: usize = jitter::PACKET_MAX + 449;

/// Limit of datagrams per leg and tick. The rest waits for the next tick, then the system drops.
const DATAGRAMS_MAX: usize = 32;

/// A far end that sends neither sound nor reports for this long is gone.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// Ticks between reads of RTCP: 80 ms. Reports come every five seconds.
const CONTROL_TICKS: u64 = 4;

/// Ticks between our reports: 4 to 6 s at random (RFC 3550, 6.2: about five).
const REPORT_TICKS: u64 = 200;
const REPORT_SPREAD: u64 = 100;

/// Timestamp units per tick.
const UNITS: u32 = FRAME as u32;

/// Timestamp units per millisecond; each is a byte.
const UNITS_PER_MS: usize = g711::RATE as usize / 1_000;

impl<W: RtpSocket> RtpLeg<W> {
    /// Creates a leg without an agreement. `random` seeds its stream numbers and its CNAME.
    pub(super) fn new(call: CallId, socket: W, random: u128, gauge_guard: GaugeGuard) -> Self {
        let settings = playout::Settings { rate: g711::RATE, dtmf_mode: DtmfMode::Tones };
        // RFC 7022: a unique name that reveals nothing.
        let cname = format!("{:024x}", random >> 32);
        // RFC 3711, 3.3.1: in the lower half, so that losses at the start cannot hide a roll-over.
        let sequence = (random >> 32) as u16 & 0x7FFF;
        let (ssrc, timestamp) = (random as u32, (random >> 48) as u32);
        Self {
            call,
            playout: Playout::new(settings),
            programs: LegPrograms::default(),
            room_slot: None,
            muted_in: None,
            moves_to: None,
            last_tick: 0,
            socket: SecureSocket::new(socket),
            session: None,
            source: None,
            stream: RtpStream::new(ssrc, sequence, timestamp),
            reception: ReceptionStats::default(),
            transit: None,
            rtcp: RtcpSession::new(&cname),
            report_at: 0,
            jitter: Jitter::default(),
            dtmf: dtmf::DtmfReceiver::default(),
            keys: dtmf::KeyFilter::default(),
            told: 0,
            gate: Gate::default(),
            is_lost: false,
            recordings: None,
            counters: Arc::default(),
            kept: None,
            _gauge_guard: gauge_guard,
        }
    }

    pub(super) fn counters(&self) -> Arc<LegCounters> {
        Arc::clone(&self.counters)
    }

    /// Applies an SDP exchange, the first or a later one. Sound flows from the next tick on.
    pub(super) fn agree(&mut self, now: Instant, session: Arc<LegSession>) {
        let agreed = &session.agreed;
        let keys = if agreed.events.is_some() { DtmfMode::Events } else { DtmfMode::Tones };
        self.playout.set_dtmf_mode(keys);
        self.socket.agree(now, agreed.srtp.as_ref());
        // A refresh that changes nothing leaves the learnt address locked.
        let is_new = self.session.as_ref() != Some(&session);
        if let Some(remote) = agreed.remote.filter(|_| is_new) {
            let hosts = [agreed.named.unwrap_or_else(|| remote.ip()), session.source];
            match &mut self.source {
                Some(source) => source.renew(now, remote, hosts),
                None => self.source = Some(RtpSource::new(now, remote, hosts)),
            }
        }
        self.session = Some(session);
    }

    pub(super) fn is_held(&self) -> bool {
        self.session.as_ref().is_some_and(|it| it.agreed.held)
    }

    /// Puts the leg into a room or out of one. Talk detection starts over.
    pub(super) fn move_to(&mut self, seat: Option<RoomSlot>) {
        self.room_slot = seat;
        self.gate = Gate::default();
    }

    /// Records the leg from the current tick on.
    pub(super) fn record(&mut self, feed: RecordingFeed, context: &TickContext) {
        let tap = RecordingTap::new(feed, context.tick, context.now);
        self.recordings.get_or_insert_with(|| Box::new(LegRecordings::new())).start(tap);
    }

    /// Ends a recording of the leg.
    pub(super) fn stop_recording(&mut self, recording: RecordingId) {
        self.recordings.take_if(|it| it.stop(recording));
    }

    /// Reads the datagrams that came since the last tick.
    pub(super) fn receive(&mut self, context: &mut TickContext) {
        for _ in 0..DATAGRAMS_MAX {
            let (now, datagram) = (context.now, &mut context.datagram);
            let received = self.socket.receive(now, SocketKind::Rtp, datagram);
            let Some((opened, from)) = received else { break };
            let received = opened.and_then(|len| match packet::is_rtcp(&context.datagram[..len]) {
                true => self.receive_control(len, from, context),
                false => self.receive_packet(len, from, context),
            });
            match received {
                Ok(()) => _ = context.gauges.received.fetch_add(1, Ordering::Relaxed),
                Err(why) => self.dropped(why, opened.unwrap_or_default(), from, context),
            }
        }

        if (context.tick ^ u64::from(self.stream.ssrc())).is_multiple_of(CONTROL_TICKS) {
            for _ in 0..DATAGRAMS_MAX {
                let (now, datagram) = (context.now, &mut context.datagram);
                let received = self.socket.receive(now, SocketKind::Rtcp, datagram);
                let Some((opened, from)) = received else { break };
                if let Err(why) = opened.and_then(|len| self.receive_control(len, from, context)) {
                    self.dropped(why, opened.unwrap_or_default(), from, context);
                }
            }
            self.check_media_lost(context);
        }
    }

    /// Returns the far end's frame of this tick. None if it sent nothing, or holds us: then nothing
    /// that it sends counts.
    pub(super) fn listen(&mut self, context: &mut TickContext) -> Option<(Law, &[u8; FRAME])> {
        let is_held = self.is_held();
        let frame = match self.jitter.pull() {
            Pulled::Frame(law, frame) | Pulled::Concealed(law, frame) if !is_held => {
                Some((law, frame))
            }
            Pulled::Frame(..) | Pulled::Concealed(..) | Pulled::Nothing => None,
        };
        if let Some(recordings) = &mut self.recordings {
            let is_muted = self.muted_in.is_some();
            let said = frame.filter(|_| !is_muted);
            recordings.begin(
                context.tick,
                said.map(|(law, it)| move |to: &mut [i16]| law.decode(it, to)),
            );
        }
        if self.room_slot.is_none() {
            let level = frame.map_or(0, |(law, frame)| law.level(frame));
            context.heard.extend(self.gate.tick(level).map(LegEvent::Talk));
        }
        frame
    }

    /// Whether sound can flow: its destination has been agreed on.
    pub(super) fn is_agreed(&self) -> bool {
        self.session.is_some() && self.source.is_some()
    }

    /// Sends the leg the frame of this tick.
    pub(super) fn play_out(&mut self, mut leg_mix: Option<LegMix<'_>>, context: &mut TickContext) {
        let (Some(session), Some(source)) = (&self.session, &self.source) else { return };
        let agreed = &session.agreed;
        let missed = (context.tick - self.last_tick).saturating_sub(1);
        self.last_tick = context.tick;
        if 0 < missed {
            self.stream.skip(UNITS.wrapping_mul(missed as u32));
        }

        let mut sounds = LegSounds { tones: &context.tones, programs: &self.programs };
        let samples = &mut context.samples;
        let outgoing =
            self.playout.tick(leg_mix.as_mut(), &mut sounds, samples, &mut context.finished);
        context.heard.extend(context.finished.drain(..).map(LegEvent::Finished));
        let sends = matches!(agreed.direction, MediaDirection::SendRecv | MediaDirection::SendOnly);
        if !sends || agreed.remote.is_none() {
            self.stream.skip(UNITS);
            return;
        }

        let law = agreed.law;
        let payload = match (outgoing, leg_mix) {
            (OutgoingAudio::Event(update), _) => {
                let payload = update.event.bytes();
                if let Some(events) = agreed.events {
                    let (age, marker, packet) = (update.age, update.marker, &mut context.packet);
                    let len = self.stream.write_aged(age, marker, events, &payload, packet);
                    let packet = (&mut context.packet[..], len);
                    send(&mut self.socket, packet, source.destination(), &context.gauges);
                }
                self.stream.skip(UNITS);
                return;
            }
            (OutgoingAudio::Room, Some(mut ear)) => {
                if let Some(recordings) = &mut self.recordings {
                    recordings.hear(ear.samples());
                }
                ear.encode(law)
            }
            (OutgoingAudio::Samples, _) => {
                if let Some(recordings) = &mut self.recordings {
                    recordings.hear(&context.samples);
                }
                law.encode(&context.samples, &mut context.encoded);
                &context.encoded[..]
            }
            (OutgoingAudio::Silence | OutgoingAudio::Room, _) => {
                context.encoded.fill(law.silence());
                &context.encoded[..]
            }
        };
        // The far end may want shorter packets than a frame.
        for part in payload.chunks(UNITS_PER_MS * usize::from(agreed.packet_ms.max(1))) {
            let (units, packet) = (part.len() as u32, &mut context.packet);
            let len = self.stream.write(agreed.payload_type, part, units, packet);
            let packet = (&mut context.packet[..], len);
            send(&mut self.socket, packet, source.destination(), &context.gauges);
        }
        self.counters.publish(&self.stream, &self.reception);
    }

    /// Sends an RTCP report if it is due.
    pub(super) fn report(&mut self, context: &mut TickContext) {
        if context.tick < self.report_at {
            return;
        }
        if self.report_at != 0 {
            self.send_report(false, context);
        }
        // Any number that differs between legs and between reports.
        let chance = u64::from(self.stream.ssrc() ^ self.stream.timestamp()) % REPORT_SPREAD;
        self.report_at = context.tick + REPORT_TICKS + chance;
    }

    /// Sends the final report, with a BYE.
    pub(super) fn end(&mut self, context: &mut TickContext) {
        if self.is_agreed() {
            self.send_report(true, context);
        }
        self.counters.publish(&self.stream, &self.reception);
    }

    fn send_report(&mut self, bye: bool, context: &mut TickContext) {
        let Some((port, to)) = self.control_destination() else { return };
        let (stream, reception) = (&self.stream, &mut self.reception);
        let len = self.rtcp.compose(context.ntp, stream, reception, bye, &mut context.packet);
        if let Some(len) = len {
            // A lost report does not matter; the next one replaces it.
            self.socket.send(port, &mut context.packet, len, to);
        }
    }

    fn control_destination(&self) -> Option<(SocketKind, SocketAddr)> {
        let agreed = &self.session.as_ref()?.agreed;
        let destination = self.source.as_ref()?.destination();
        if agreed.rtcp_mux {
            return Some((SocketKind::Rtp, destination));
        }
        let beside = SocketAddr::new(destination.ip(), destination.port().checked_add(1)?);
        let is_found = agreed.remote != Some(destination);
        Some((SocketKind::Rtcp, if is_found { beside } else { agreed.remote_rtcp? }))
    }

    fn receive_packet(
        &mut self,
        len: usize,
        from: SocketAddr,
        context: &mut TickContext,
    ) -> Result<(), PacketDrop> {
        let (Some(session), Some(source)) = (&self.session, &mut self.source) else {
            return Err(PacketDrop::NoAgreement);
        };
        let packet = packet::Packet::parse(&context.datagram[..len]);
        let packet = packet.map_err(|_| PacketDrop::Malformed)?;
        let payload = session.agreed.payload(packet.payload_type);
        let payload = payload.ok_or(PacketDrop::PayloadType)?;
        if source.receive(context.now, from, &packet) == PacketOrigin::Stranger {
            return Err(PacketDrop::Stranger);
        }

        let arrival = (context.tick as u32).wrapping_mul(UNITS);
        match payload {
            Payload::Sound(law) => {
                self.transit = Some(arrival.wrapping_sub(packet.timestamp));
                self.reception.count(&packet, arrival);
                match self.jitter.push(&packet, law) {
                    Pushed::Kept | Pushed::Empty => Ok(()),
                    Pushed::TooLong => Err(PacketDrop::TooLong),
                    Pushed::Late => Err(PacketDrop::Late),
                    Pushed::Duplicate => Err(PacketDrop::Duplicate),
                    Pushed::OtherStream => Err(PacketDrop::OtherStream),
                }
            }
            Payload::Events => {
                // All packets of an event carry the time of its start: that is no jitter.
                if let Some(transit) = self.transit {
                    self.reception.count(&packet, packet.timestamp.wrapping_add(transit));
                }
                let key = self.dtmf.receive(&packet);
                context.heard.extend(key.and_then(|it| {
                    self.keys
                        .admits(context.now, it, dtmf::KeyWay::Events)
                        .then_some(LegEvent::Digit(it))
                }));
                Ok(())
            }
        }
    }

    /// Takes a key that the signalling brings. None if it has come as an event, too.
    pub(super) fn press(&mut self, now: Instant, key: char) -> Option<LegEvent> {
        self.keys.admits(now, key, dtmf::KeyWay::Info).then_some(LegEvent::Digit(key))
    }

    fn receive_control(
        &mut self,
        len: usize,
        from: SocketAddr,
        context: &TickContext,
    ) -> Result<(), PacketDrop> {
        let source = self.source.as_mut().ok_or(PacketDrop::NoAgreement)?;
        // The address is checked first: reports from unknown sources are not read.
        if source.receive_rtcp(context.now, from) == PacketOrigin::Stranger {
            return Err(PacketDrop::Stranger);
        }
        let received = self.rtcp.receive(context.ntp, self.stream.ssrc(), &context.datagram[..len]);
        received.map(|_| ()).map_err(|_| PacketDrop::Malformed)
    }

    /// Counts a dropped datagram. The log tells of each reason once in a call.
    fn dropped(&mut self, why: PacketDrop, len: usize, from: SocketAddr, context: &TickContext) {
        context.gauges.count_drop(why);
        let bit = 1 << why as u8;
        if why.is_usual() || self.told & bit != 0 {
            return;
        }
        self.told |= bit;
        let (call, name) = (self.call, why.name());
        match why == PacketDrop::TooLong {
            true => tracing::warn!(%call, %from, why = name, bytes = len, "sound is dropped"),
            false => tracing::info!(%call, %from, why = name, bytes = len, "sound is dropped"),
        }
    }

    /// Reports, once, that the far end has been silent for too long.
    fn check_media_lost(&mut self, context: &mut TickContext) {
        let (Some(session), Some(source)) = (&self.session, &self.source) else { return };
        let hears =
            matches!(session.agreed.direction, MediaDirection::SendRecv | MediaDirection::RecvOnly);
        let silence = source.silence(context.now);
        let may_be_silent = session.agreed.held || session.is_early;
        if hears && !may_be_silent && LOST_AFTER <= silence && !self.is_lost {
            self.is_lost = true;
            context.heard.push(LegEvent::MediaLost);
        }
    }
}

fn send(
    socket: &mut SecureSocket<impl RtpSocket>,
    (packet, len): (&mut [u8], Option<usize>),
    to: SocketAddr,
    gauges: &RtpGauges,
) {
    let is_sent = len.is_some_and(|len| socket.send(SocketKind::Rtp, packet, len, to));
    let gauge = if is_sent { &gauges.sent } else { &gauges.unsent };
    gauge.fetch_add(1, Ordering::Relaxed);
}

impl TickContext {
    pub(super) fn new(now: Instant, tones: Arc<Tones>, gauges: Arc<RtpGauges>) -> Self {
        Self {
            now,
            tick: 0,
            ntp: 0,
            tones,
            gauges,
            heard: Vec::new(),
            finished: Vec::new(),
            samples: [0; FRAME],
            encoded: [0; FRAME],
            packet: [0; PACKET_MAX],
            datagram: [0; DATAGRAM_MAX],
        }
    }
}
