//! Test harness: an engine without threads, which ticks on demand, and phones in memory.

use std::{
    collections::VecDeque,
    f64::consts::TAU,
    fmt,
    net::SocketAddr,
    os::fd::BorrowedFd,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver},
    },
};

use super::{super::super::mailbox, *};
use crate::{
    audio::dtmf::{self, KeyPress},
    base::ids::Incarnation,
    media::{TICK, legs::LegSession},
    rtp::{
        g711::{FRAME, Law},
        packet, rtcp,
        sdp::{Agreed, Payload},
    },
    rtp_engine::{
        loader::{OnSoundLoaded, ProgramLoader, SoundLoader},
        socket::SocketKind,
    },
};

pub(super) const ROOM: RoomId = RoomId::of(5 << 64);

const FAR: &str = "192.0.2.1:4000";
const EVENTS: u8 = 101;

pub(super) struct EngineHarness {
    pub(super) mixer_threads: Vec<MixerThread<FakeSocket>>,
    pub(super) senders: Arc<[MailboxSender<MailboxMessage<FakeSocket>>]>,
    pub(super) demultiplexer: Demultiplexer<FakeSocket>,
    pub(super) gauges: Arc<RtpGauges>,
    pub(super) start: Instant,
    pub(super) tick: u64,
    loader: Arc<HeldLoader>,
    phones: Vec<Phone>,
    received_reports: Receiver<Option<Report>>,
    reports: Mutex<Vec<Report>>,
}

struct Phone {
    call: CallId,
    line: FakeSocket,
    /// Frequency of a tone; None is silence.
    voice: Option<f64>,
    /// The phone sends no packets.
    is_silent: bool,
    stream: packet::RtpStream,
    at: u32,
    keys: VecDeque<char>,
    press: Option<(KeyPress, u32)>,
}

/// The socket of a leg, with both its ends.
#[derive(Clone, Default)]
pub(super) struct FakeSocket(Arc<Mutex<FakeSocketState>>);

#[derive(Default)]
struct FakeSocketState {
    incoming: VecDeque<(SocketKind, Vec<u8>, SocketAddr)>,
    sent: Vec<(SocketKind, Vec<u8>)>,
    on_send: Option<Box<dyn FnOnce() + Send>>,
}

/// A packet that a phone received.
pub(super) struct Packet {
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) ssrc: u32,
    payload_type: u8,
    pub(super) payload: Vec<u8>,
}

impl RtpSocket for FakeSocket {
    fn receive(&mut self, port: SocketKind, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let incoming = &mut self.0.lock().unwrap().incoming;
        let at = incoming.iter().position(|it| it.0 == port)?;
        let (_, datagram, from) = incoming.remove(at)?;
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Some((datagram.len(), from))
    }

    fn send(&mut self, port: SocketKind, datagram: &[u8], _: SocketAddr) -> bool {
        let mut ends = self.0.lock().unwrap();
        ends.sent.push((port, datagram.to_vec()));
        let act = ends.on_send.take();
        drop(ends);
        act.into_iter().for_each(|act| act());
        true
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }
}

impl fmt::Debug for FakeSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

/// A loader that completes when the test says so.
#[derive(Default)]
struct HeldLoader(Mutex<Vec<(String, OnSoundLoaded)>>);

impl SoundLoader for HeldLoader {
    fn load(&self, _: CallId, what: &SoundKind, done: OnSoundLoaded) {
        let name = match what {
            SoundKind::Url(url) => url,
            SoundKind::Speech { language, .. } => language,
            SoundKind::Beep(_) | SoundKind::Silence(_) => panic!("{what:?} is built in"),
        };
        self.0.lock().unwrap().push((name.to_string(), done));
    }
}

impl EngineHarness {
    #[expect(clippy::disallowed_methods, reason = "an origin, from which the tests count")]
    pub(super) fn new(threads: usize) -> Self {
        let (tones, gauges) = (Arc::new(Tones::new(8_000)), Arc::new(RtpGauges::default()));
        let (senders, mailboxes): (Vec<_>, Vec<_>) =
            (0..threads).map(|_| mailbox::mailbox()).unzip();
        let (senders, start): (Arc<[_]>, _) = (senders.into(), Instant::now());
        let (sender, received_reports) = mpsc::channel();
        let mixer_thread = |mailbox| {
            let links = ThreadLinks {
                threads: Arc::clone(&senders),
                reports: sender.clone(),
                rows: Arc::default(),
            };
            MixerThread::new(start, mailbox, links, Arc::clone(&tones), Arc::clone(&gauges))
        };
        let loader = Arc::new(HeldLoader::default());
        Self {
            mixer_threads: mailboxes.into_iter().map(mixer_thread).collect(),
            demultiplexer: Demultiplexer::new(
                Arc::clone(&senders),
                ProgramLoader::new(loader.clone(), Arc::clone(&tones)),
            ),
            senders,
            gauges,
            start,
            tick: 0,
            loader,
            phones: Vec::new(),
            received_reports,
            reports: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.start + TICK * u32::try_from(self.tick).unwrap()
    }

    /// Runs `n` ticks on all threads.
    pub(super) fn ticks(&mut self, n: usize) {
        for _ in 0..n {
            self.tick += 1;
            self.phones.iter_mut().for_each(Phone::tick);
            let now = self.now();
            for mixer_thread in &mut self.mixer_threads {
                mixer_thread.tick(self.tick, now, self.tick << 32);
            }
        }
    }

    pub(super) fn send(&self, order: AudioOrder) {
        self.demultiplexer.send(order);
    }

    pub(super) fn end(&self, call: CallId) {
        self.demultiplexer.end(call);
    }

    /// Opens a phone without an agreement.
    pub(super) fn ring(&mut self) -> CallId {
        let call = CallId::of(self.phones.len() as u128 + 1);
        let line = FakeSocket::default();
        let gauge_guard = GaugeGuard::new(&self.gauges, 1, |it| &it.legs);
        let random = 0x9e37_79b9_7f4a_7c15_u128 * call.0.as_u128();
        self.demultiplexer.open(Box::new(RtpLeg::new(call, line.clone(), random, gauge_guard)));
        let stream = packet::RtpStream::new(random as u32 ^ 7, 65_530, u32::MAX - 800);
        self.phones.push(Phone {
            call,
            line,
            voice: None,
            is_silent: false,
            stream,
            at: 0,
            keys: VecDeque::new(),
            press: None,
        });
        call
    }

    /// Opens a phone and answers it.
    pub(super) fn dial(&mut self, voice: Option<f64>) -> CallId {
        let call = self.ring();
        self.voice(call, voice);
        self.agree(call, MediaDirection::SendRecv, false);
        // Its first packet goes out in the next tick.
        let (now, tick) = (self.now(), self.tick);
        self.mixer_threads.iter_mut().for_each(|it| it.tick(tick, now, tick << 32));
        call
    }

    pub(super) fn agree(&self, call: CallId, direction: MediaDirection, held: bool) {
        self.agree_on(call, Agreed { direction, held, ..agreed() });
    }

    pub(super) fn agree_without_events(&self, call: CallId) {
        self.agree_on(call, Agreed { events: None, ..agreed() });
    }

    pub(super) fn agree_on(&self, call: CallId, agreed: Agreed) {
        let session = LegSession { agreed, source: far().ip(), is_early: false };
        self.demultiplexer.send_to_leg(call, Command::Agree(Arc::new(session)), WaitFor::Nothing);
    }

    pub(super) fn voice(&mut self, call: CallId, voice: Option<f64>) {
        self.phone_mut(call).voice = voice;
    }

    /// Stops the phone from sending.
    pub(super) fn silence(&mut self, call: CallId) {
        self.phone_mut(call).is_silent = true;
    }

    pub(super) fn press(&mut self, call: CallId, key: char) {
        self.phone_mut(call).keys.push_back(key);
    }

    /// Sends a packet from another address.
    pub(super) fn say_from(&self, from: &str, call: CallId, tone: f64) {
        let payload = sound(Some(tone), 0);
        let packet = packet::Packet {
            marker: false,
            payload_type: 0,
            sequence: self.tick as u16,
            timestamp: self.tick as u32 * 160,
            ssrc: 666,
            payload: &payload,
        };
        let mut out = [0; 200];
        let len = packet.write(&mut out).unwrap();
        self.phone(call).line.put(SocketKind::Rtp, &out[..len], from.parse().unwrap());
    }

    /// Presses a key by INFO.
    pub(super) fn press_by_info(&self, call: CallId, key: char) {
        self.demultiplexer.send_to_leg(call, Command::Press(key), WaitFor::Nothing);
    }

    /// Sends a datagram from the far end that is not a packet.
    pub(super) fn receive_raw(&self, call: CallId, datagram: &[u8]) {
        self.phone(call).line.put(SocketKind::Rtp, datagram, far());
    }

    pub(super) fn report_from(&self, call: CallId) {
        let (mut out, stream) = ([0; rtcp::REPORT_MAX], packet::RtpStream::new(1, 2, 3));
        let mut reception = packet::ReceptionStats::default();
        let mut control = rtcp::RtcpSession::new("phone");
        let len = control.compose(1, &stream, &mut reception, false, &mut out).unwrap();
        let from = SocketAddr::new(far().ip(), far().port() + 1);
        self.phone(call).line.put(SocketKind::Rtcp, &out[..len], from);
    }

    /// Runs `act` when this call's next packet is sent, before any other packet.
    pub(super) fn on_send(&self, call: CallId, act: impl FnOnce() + Send + 'static) {
        self.phone(call).line.0.lock().unwrap().on_send = Some(Box::new(act));
    }

    /// Completes the loading of a sound.
    pub(super) fn load(&self, name: &str, loaded: Result<Arc<[i16]>, String>) {
        let mut loading = self.loader.0.lock().unwrap();
        let at = loading.iter().position(|it| it.0 == name).expect("it was asked for");
        (loading.remove(at).1)(loaded);
    }

    /// Returns all packets that a phone received.
    pub(super) fn sent(&self, call: CallId) -> Vec<Packet> {
        let ends = self.phone(call).line.0.lock().unwrap();
        let packets = ends.sent.iter().filter(|it| it.0 == SocketKind::Rtp);
        packets.map(|it| Packet::from(packet::Packet::parse(&it.1).unwrap())).collect()
    }

    pub(super) fn reports_sent(&self, call: CallId) -> Vec<Vec<u8>> {
        let ends = self.phone(call).line.0.lock().unwrap();
        ends.sent.iter().filter(|it| it.0 == SocketKind::Rtcp).map(|it| it.1.clone()).collect()
    }

    /// Returns the sound of the last `ticks` packets that a phone received.
    pub(super) fn heard(&self, call: CallId, ticks: usize) -> Vec<i16> {
        let sent = self.sent(call);
        let sound = sent[sent.len() - ticks..].iter().flat_map(|packet| {
            assert_eq!(packet.payload.len(), FRAME);
            packet.payload.iter().map(|it| Law::Mu.sample(*it))
        });
        sound.collect()
    }

    pub(super) fn keys_sent(&self, call: CallId) -> String {
        let mut receiver = dtmf::DtmfReceiver::default();
        let ends = self.phone(call).line.0.lock().unwrap();
        let packets = ends.sent.iter().filter(|it| it.0 == SocketKind::Rtp);
        let packets = packets.map(|it| packet::Packet::parse(&it.1).unwrap());
        packets
            .filter(|it| it.payload_type == EVENTS)
            .filter_map(|it| receiver.receive(&it))
            .collect()
    }

    /// Returns the reports on a call since the last time.
    pub(super) fn reports(&self, call: CallId) -> Vec<LegEvent> {
        let mut reports = self.reports.lock().unwrap();
        reports.extend(self.received_reports.try_iter().flatten());
        reports.extract_if(.., |it| it.call == call).map(|it| it.event).collect()
    }

    pub(super) fn counts(&self) -> [usize; 2] {
        [&self.gauges.legs, &self.gauges.rooms].map(|it| it.load(Ordering::Relaxed))
    }

    /// Checks that no phone received a packet out of order or time.
    #[track_caller]
    pub(super) fn check_streams(&self) {
        for phone in &self.phones {
            let sent = self.sent(phone.call);
            for (one, next) in sent.iter().zip(&sent[1..]) {
                assert_eq!(one.ssrc, next.ssrc);
                assert_eq!(one.sequence.wrapping_add(1), next.sequence);
                let units = next.timestamp.wrapping_sub(one.timestamp);
                let is_sound = one.payload_type == 0 && next.payload_type == 0;
                assert!(!is_sound || units % 160 == 0 && units != 0, "{units}");
            }
        }
    }

    fn phone(&self, call: CallId) -> &Phone {
        self.phones.iter().find(|it| it.call == call).unwrap()
    }

    fn phone_mut(&mut self, call: CallId) -> &mut Phone {
        self.phones.iter_mut().find(|it| it.call == call).unwrap()
    }
}

impl Phone {
    fn tick(&mut self) {
        if self.is_silent {
            return;
        }
        let mut out = [0; 200];
        if self.press.is_none() {
            let key = self.keys.pop_front();
            self.press = key.and_then(|key| Some((KeyPress::new(key, 3, 160)?, 8)));
        }
        if let Some((press, ticks)) = &mut self.press {
            if let Some(it) = press.tick() {
                let payload = it.event.bytes();
                let len = self.stream.write_aged(it.age, it.marker, EVENTS, &payload, &mut out);
                self.line.put(SocketKind::Rtp, &out[..len.unwrap()], far());
            }
            self.stream.skip(160);
            *ticks -= 1;
            self.press.take_if(|it| it.1 == 0);
            return;
        }
        let payload = sound(self.voice, self.at);
        self.at += 160;
        let len = self.stream.write(0, &payload, 160, &mut out).unwrap();
        self.line.put(SocketKind::Rtp, &out[..len], far());
    }
}

impl FakeSocket {
    fn put(&self, port: SocketKind, datagram: &[u8], from: SocketAddr) {
        self.0.lock().unwrap().incoming.push_back((port, datagram.to_vec(), from));
    }
}

impl From<packet::Packet<'_>> for Packet {
    fn from(it: packet::Packet<'_>) -> Self {
        Self {
            sequence: it.sequence,
            timestamp: it.timestamp,
            ssrc: it.ssrc,
            payload_type: it.payload_type,
            payload: it.payload.to_vec(),
        }
    }
}

fn sound(tone: Option<f64>, at: u32) -> [u8; FRAME] {
    let amplitude = tone.map_or(0.0, |_| 6_000.0);
    std::array::from_fn(|n| {
        let time = f64::from(at + n as u32) / 8_000.0;
        Law::Mu.byte((amplitude * (TAU * tone.unwrap_or(0.0) * time).sin()) as i16)
    })
}

fn far() -> SocketAddr {
    FAR.parse().unwrap()
}

pub(super) fn agreed() -> Agreed {
    Agreed {
        remote: Some(far()),
        remote_rtcp: Some(SocketAddr::new(far().ip(), far().port() + 1)),
        named: Some(far().ip()),
        rtcp_mux: false,
        law: Law::Mu,
        payload_type: 0,
        packet_ms: 20,
        events: Some(EVENTS),
        accepts: vec![(0, Payload::Sound(Law::Mu)), (EVENTS, Payload::Events)],
        direction: MediaDirection::SendRecv,
        held: false,
        srtp: None,
    }
}

pub(super) fn place(room: RoomId, calls: &[CallId], hears: MemberAudio) -> AudioOrder {
    let room = Incarnation::of(room, "weekly");
    AudioOrder::Place { room, calls: calls.to_vec(), hears }
}

pub(super) fn remove(room: RoomId, calls: &[CallId]) -> AudioOrder {
    AudioOrder::Remove { room, calls: calls.to_vec() }
}

pub(super) fn wait() -> MemberAudio {
    MemberAudio::Wait(None)
}

/// 180 ms at 880 Hz.
pub(super) fn beep() -> Program {
    [SoundKind::Beep(1).into()].into()
}
