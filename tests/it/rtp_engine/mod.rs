//! The RTP engine over real sockets: test phones on loopback, in step with its ticks.

mod recordings;
mod ticks;

use std::{
    f64::consts::TAU,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{self, Receiver, Sender},
    },
    time::{Duration, Instant},
};

use conflow::{
    audio::tone::amplitude,
    base::ids::{CallId, Incarnation, RoomId},
    media::{
        AnnouncementAddress, AnnouncementKind, Arrival, AudioEngine, AudioOrder, Exchange,
        LegEvent, MemberAudio, NoFlow, Report, SoundKind,
        legs::{LegSession, Legs, NoPort},
    },
    rtp::{
        g711::{FRAME, Law},
        packet::{HEADER, Packet, RtpStream},
        sdp::{
            Agreed, MediaDirection, Payload,
            crypto::{SrtpKey, SrtpKeys, SrtpSuite},
        },
        srtp::{OVERHEAD_MAX, SrtpSession},
    },
    rtp_engine::{OnSoundLoaded, PacketDrop, RtpEngine, Settings, SoundLoader, Ticker},
};

use crate::allocations::{Allocations, counted};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ROOM: RoomId = RoomId::of(7);
const TONES: [f64; 3] = [700.0, 1_100.0, 1_900.0];

/// A phone with its own tone.
struct Phone {
    call: CallId,
    socket: UdpSocket,
    to: SocketAddr,
    tone: f64,
    at: u32,
    stream: RtpStream,
    /// The heads of all received packets.
    heads: Vec<Head>,
    heard: Vec<i16>,
    srtp: Option<SrtpSession>,
}

/// The RTP numbers of a packet.
#[derive(Clone, Copy)]
struct Head {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Phone {
    /// Dials in and is answered.
    fn dial(engine: &RtpEngine, local: IpAddr, n: u128, tone: f64) -> Self {
        Self::dial_with(engine, local, n, tone, None)
    }

    fn dial_with(
        engine: &RtpEngine,
        local: IpAddr,
        n: u128,
        tone: f64,
        keys: Option<SrtpKeys>,
    ) -> Self {
        let call = CallId::of(n);
        let to = engine.open(call, local).unwrap();
        let socket = UdpSocket::bind((local, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut session = session(socket.local_addr().unwrap());
        session.agreed.srtp.clone_from(&keys);
        engine.agree(call, session);
        let stream = RtpStream::new(n as u32, 0, 0);
        let srtp = keys.map(|SrtpKeys { ours: theirs, theirs: ours }| {
            let mut srtp = SrtpSession::default();
            srtp.agree(now(), Some(&SrtpKeys { ours, theirs }));
            srtp
        });
        Self { call, socket, to, tone, at: 0, stream, heads: Vec::new(), heard: Vec::new(), srtp }
    }

    /// Sends the next 20 ms of its tone.
    fn say(&mut self) {
        let payload: [u8; FRAME] = std::array::from_fn(|n| {
            let time = f64::from(self.at + n as u32) / 8_000.0;
            Law::Mu.byte((6_000.0 * (TAU * self.tone * time).sin()) as i16)
        });
        self.at += FRAME as u32;
        let mut out = [0; HEADER + FRAME + OVERHEAD_MAX];
        let mut len = self.stream.write(0, &payload, FRAME as u32, &mut out).unwrap();
        if let Some(srtp) = &mut self.srtp {
            len = srtp.protect(&mut out, len).unwrap();
        }
        self.socket.send_to(&out[..len], self.to).unwrap();
    }

    /// Takes everything that has arrived.
    fn hear(&mut self) {
        let mut buffer = [0; 400];
        while let Ok(mut len) = self.socket.recv(&mut buffer) {
            if let Some(srtp) = &mut self.srtp {
                len = srtp.open(now(), false, &mut buffer[..len]).unwrap();
            }
            let packet = Packet::parse(&buffer[..len]).unwrap();
            let Packet { ssrc, sequence, timestamp, .. } = packet;
            self.heads.push(Head { ssrc, sequence, timestamp });
            self.heard.extend(packet.payload.iter().map(|it| Law::Mu.sample(*it)));
        }
    }

    /// Waits for a packet without a limit.
    fn wait(&mut self) {
        let before = self.heads.len();
        while self.heads.len() == before {
            self.hear();
            std::thread::yield_now();
        }
    }

    /// Which of the tones are in the last `packets` packets.
    fn hears(&self, packets: usize) -> [bool; 3] {
        let heard = &self.heard[self.heard.len() - packets * FRAME..];
        TONES.map(|tone| 0.02 < amplitude(heard, 8_000, tone))
    }

    #[track_caller]
    fn check_stream(&self) {
        for (one, next) in self.heads.iter().zip(&self.heads[1..]) {
            assert_eq!(one.ssrc, next.ssrc);
            assert_eq!(one.sequence.wrapping_add(1), next.sequence);
            assert_eq!(one.timestamp.wrapping_add(FRAME as u32), next.timestamp);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a phone has its own clock")]
fn now() -> Instant {
    Instant::now()
}

fn session(remote: SocketAddr) -> LegSession {
    let agreed = Agreed {
        remote: Some(remote),
        remote_rtcp: None,
        named: None,
        rtcp_mux: false,
        law: Law::Mu,
        payload_type: 0,
        packet_ms: 20,
        events: Some(101),
        accepts: vec![(0, Payload::Sound(Law::Mu)), (101, Payload::Events)],
        direction: MediaDirection::SendRecv,
        held: false,
        srtp: None,
    };
    LegSession { agreed, source: remote.ip(), is_early: false }
}

/// Loads no sound.
struct NoSounds;

impl SoundLoader for NoSounds {
    fn load(&self, _: CallId, what: &SoundKind, done: OnSoundLoaded) {
        done(Err(format!("{what:?} does not exist")));
    }
}

/// Forwards reports to a channel.
struct ReportChannel(Sender<Report>);

impl Exchange for ReportChannel {
    fn arrive(&self, arrival: Arrival) -> Result<(), NoFlow> {
        Err(NoFlow { to: arrival.to, hint: String::new(), is_temporary: false })
    }

    fn report(&self, report: Report) {
        self.0.send(report).unwrap();
    }
}

fn report_channel(engine: &RtpEngine) -> (Arc<ReportChannel>, Receiver<Report>) {
    let (sender, reports) = mpsc::channel();
    let report_channel = Arc::new(ReportChannel(sender));
    let exchange: Arc<dyn Exchange> = report_channel.clone();
    engine.connect(Arc::downgrade(&exchange));
    (report_channel, reports)
}

fn settings(threads: usize) -> Settings {
    Settings { threads, ..Settings::default() }
}

fn place(room: RoomId, calls: &[CallId]) -> AudioOrder {
    let room = Incarnation::of(room, "weekly");
    AudioOrder::Place { room, calls: calls.to_vec(), hears: MemberAudio::Room }
}

fn remove(call: CallId) -> AudioOrder {
    AudioOrder::Remove { room: ROOM, calls: vec![call] }
}

/// An engine that ticks on request.
struct SocketHarness {
    engine: RtpEngine,
    tickers: Vec<Ticker>,
    tick: u64,
}

impl SocketHarness {
    fn new(settings: Settings) -> Self {
        let (engine, tickers) = RtpEngine::with_tickers(settings, Arc::new(NoSounds)).unwrap();
        let mut harness = Self { engine, tickers, tick: 0 };
        harness.ticks(1, &mut []);
        harness
    }

    fn ticks(&mut self, n: usize, phones: &mut [Phone]) {
        for _ in 0..n {
            self.tick += 1;
            phones.iter_mut().for_each(Phone::say);
            self.tickers.iter_mut().for_each(|it| it.tick(self.tick));
            phones.iter_mut().for_each(Phone::hear);
        }
    }

    fn three(&mut self, local: IpAddr) -> Vec<Phone> {
        let dial = |(n, tone)| Phone::dial(&self.engine, local, n, tone);
        let mut phones: Vec<_> = (1..).zip(TONES).map(dial).collect();
        let calls: Vec<_> = phones.iter().map(|it| it.call).collect();
        self.engine.send(place(ROOM, &calls));
        self.ticks(40, &mut phones);
        phones
    }
}

#[test]
fn three_phones_hear_each_other_and_not_themselves() {
    for (threads, local) in [(1, V4), (2, V4), (1, IpAddr::V6(Ipv6Addr::LOCALHOST))] {
        let mut harness = SocketHarness::new(settings(threads));
        let phones = harness.three(local);
        let hears: Vec<_> = phones.iter().map(|it| it.hears(20)).collect();
        assert_eq!(
            hears,
            [[false, true, true], [true, false, true], [true, true, false]],
            "{threads} threads, {local}"
        );
        phones.iter().for_each(Phone::check_stream);
    }
}

#[test]
fn an_encrypted_leg_is_heard_and_what_is_not_authentic_neither_is_heard_nor_moves_its_address() {
    for suite in [SrtpSuite::AesCm128HmacSha1Tag80, SrtpSuite::AeadAes128Gcm] {
        let mut harness = SocketHarness::new(settings(1));
        let key = |byte| SrtpKey::new(suite, &vec![byte; suite.key_bytes() + suite.salt_bytes()]);
        let keys = SrtpKeys { ours: key(1).unwrap(), theirs: key(2).unwrap() };
        let secure = Phone::dial_with(&harness.engine, V4, 1, TONES[0], Some(keys));
        let mut phones = [secure, Phone::dial(&harness.engine, V4, 2, TONES[1])];
        harness.engine.send(place(ROOM, &phones.each_ref().map(|it| it.call)));
        harness.ticks(40, &mut phones);
        let hears = [[false, true, false], [true, false, false]];
        assert_eq!(phones.each_ref().map(|it| it.hears(20)), hears, "{suite:?}");

        // In the clear, this would continue the stream from another port.
        let stranger = UdpSocket::bind((V4, 0)).unwrap();
        let before = phones[0].heads.len();
        for n in 0..10 {
            let mut stream = RtpStream::new(1, 41 + n, (41 + u32::from(n)) * FRAME as u32);
            let mut forged = [0; HEADER + FRAME];
            stream.write(0, &[0; FRAME], FRAME as u32, &mut forged).unwrap();
            stranger.send_to(&forged, phones[0].to).unwrap();
            harness.ticks(1, &mut phones);
        }
        assert_eq!(harness.engine.gauges().dropped(PacketDrop::Unauthentic), 10, "{suite:?}");
        assert_eq!(phones[0].heads.len(), before + 10, "{suite:?}");
        assert_eq!(phones.each_ref().map(|it| it.hears(8)), hears, "{suite:?}");
        phones.iter().for_each(Phone::check_stream);
    }
}

#[test]
fn no_packet_after_a_kick_has_the_rooms_sound_in_it() {
    let engine = RtpEngine::start(settings(1), Arc::new(NoSounds)).unwrap();
    let dial = |(n, tone)| Phone::dial(&engine, V4, n, tone);
    let mut phones: Vec<_> = (1..).zip(TONES).map(dial).collect();
    let [a, b, c] = [0, 1, 2].map(|it| phones[it].call);
    for round in 0..10 {
        engine.send(place(ROOM, &[a, b, c]));
        // On a busy machine some packets arrive too late, and concealment is silence.
        let hears = (0..1_000).any(|tick| {
            phones[0].wait();
            phones.iter_mut().for_each(Phone::say);
            10 <= tick && phones[0].hears(2) == [false, true, true]
        });
        assert!(hears, "round {round}");

        // Somewhere within a tick, or between two.
        (0..round * 997).for_each(|_| std::hint::spin_loop());
        engine.send(remove(a));
        phones[0].hear();
        let before = phones[0].heard.len();
        for _ in 0..3 {
            phones[0].wait();
            phones.iter_mut().for_each(Phone::say);
        }
        // Each packet may begin with a fade to zero; the first may consist of it.
        let after = &phones[0].heard[before + 40..];
        assert!(after.iter().all(|it| it.unsigned_abs() <= 8), "round {round}: {after:?}");
    }
    phones.iter_mut().for_each(Phone::hear);
    phones[0].check_stream();
}

#[test]
fn a_sound_over_a_call_is_mixed_with_its_room_or_replaces_it_for_that_call_only() {
    let mut harness = SocketHarness::new(settings(2));
    let mut phones = harness.three(V4);
    let (call, kind) = (phones[0].call, AnnouncementKind::Play);
    let over = |mixes| {
        let program = [SoundKind::Url("sound:ring".into()).into()].into();
        AudioOrder::PlayOver { call, kind, mixes, length: None, program }
    };
    let mut check = |order, room, ring| {
        harness.engine.send(order);
        // Packets of the current tick, and those in transit.
        harness.ticks(4, &mut phones);
        harness.ticks(15, &mut phones);
        let rings = |phone: &Phone| {
            let heard = &phone.heard[phone.heard.len() - 15 * FRAME..];
            0.02 < amplitude(heard, 8_000, RINGING)
        };
        assert_eq!(phones[0].hears(15), room);
        assert_eq!([0, 1].map(|it| rings(&phones[it])), [ring, false]);
        phones[0].check_stream();
    };
    check(over(true), [false, true, true], true);
    check(over(false), [false, false, false], true);
    check(over(true), [false, true, true], true);
    check(AudioOrder::StopOver { call, kind }, [false, true, true], false);
}

/// The frequency of `sound:ring` in Hz.
const RINGING: f64 = 425.0;

#[test]
fn reports_reach_the_exchange() {
    let engine = RtpEngine::start(settings(2), Arc::new(NoSounds)).unwrap();
    let (_ear, reports) = report_channel(&engine);
    let phone = Phone::dial(&engine, V4, 1, 700.0);
    let call = phone.call;
    engine.send(AudioOrder::Play { call, number: 5, program: [SoundKind::Beep(1).into()].into() });
    engine.send(place(ROOM, &[call]));
    engine.send(remove(call));
    engine.send(AudioOrder::Play { call, number: 6, program: [SoundKind::Beep(1).into()].into() });
    let report = reports.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(report, Report { call, event: LegEvent::Finished(6) });
    engine.end(call);
}

#[test]
fn packets_of_strangers_are_not_heard() {
    let mut harness = SocketHarness::new(settings(1));
    let mut phones = harness.three(V4);
    let stranger = UdpSocket::bind("127.0.0.2:0").unwrap();
    phones[2].tone = 0.0;
    harness.ticks(40, &mut phones);
    let mut stream = RtpStream::new(666, 0, 0);
    for _ in 0..20 {
        let (payload, mut out) = ([0x80; FRAME], [0; HEADER + FRAME]);
        stream.write(0, &payload, FRAME as u32, &mut out).unwrap();
        stranger.send_to(&out, phones[2].to).unwrap();
        stranger.send_to(b"OPTIONS sip:x SIP/2.0\r\n\r\n", phones[2].to).unwrap();
        harness.ticks(1, &mut phones);
    }
    assert_eq!(phones[1].hears(20), [true, false, false]);
    let dropped = |why| harness.engine.gauges().dropped(why);
    assert_eq!([PacketDrop::Stranger, PacketDrop::Malformed].map(dropped), [20, 20]);
    assert!(stranger.set_nonblocking(true).is_ok() && stranger.recv(&mut [0; 9]).is_err());
}

#[test]
fn a_phone_behind_nat_is_heard_and_hears() {
    let mut harness = SocketHarness::new(settings(1));
    let mut phones = harness.three(V4);
    let mut agreed = session("127.0.0.9:9".parse().unwrap());
    agreed.source = V4;
    harness.engine.agree(phones[0].call, agreed);
    harness.ticks(20, &mut phones);
    assert_eq!(phones[0].hears(10), [false, true, true]);
    assert_eq!(phones[1].hears(10), [true, false, true]);
}

#[test]
fn everything_is_freed_when_hundreds_of_legs_have_come_and_gone() {
    let mut harness = SocketHarness::new(settings(2));
    let calls: Vec<_> = (1..=300).map(CallId::of).collect();
    for call in &calls {
        let to = harness.engine.open(*call, V4).unwrap();
        assert!(to.port().is_multiple_of(2));
        harness.engine.agree(*call, session("127.0.0.1:9".parse().unwrap()));
    }
    for (n, some) in calls.chunks(30).enumerate() {
        harness.engine.send(place(RoomId::of(n as u128), some));
    }
    harness.ticks(5, &mut []);
    let counts = |harness: &SocketHarness| {
        let gauges = harness.engine.gauges();
        [&gauges.legs, &gauges.sockets, &gauges.rooms].map(|it| it.load(Ordering::Relaxed))
    };
    assert_eq!(counts(&harness), [300, 600, 10]);
    for call in &calls {
        harness.engine.end(*call);
        assert!(0 < harness.engine.close(*call).sent);
    }
    harness.ticks(3, &mut []);
    assert_eq!(counts(&harness), [0, 0, 0]);
}

#[test]
fn a_range_of_ports_runs_out_and_is_free_again_after_the_calls() {
    // Between the default range and the ports that the system assigns.
    let is_free = |port: &u16| [0, 1].iter().all(|it| UdpSocket::bind((V4, port + it)).is_ok());
    let free = (32_400..32_700).step_by(2).find(is_free).unwrap();
    let rtp_ports = free..=free + 1;
    let mut harness = SocketHarness::new(Settings { threads: 1, rtp_ports });
    let open = |harness: &SocketHarness, n| harness.engine.open(CallId::of(n), V4);
    assert_eq!(open(&harness, 1), Ok(SocketAddr::new(V4, free)));
    assert_eq!(open(&harness, 2), Err(NoPort));
    harness.engine.close(CallId::of(1));
    harness.ticks(1, &mut []);
    assert_eq!(open(&harness, 3), Ok(SocketAddr::new(V4, free)));
}

#[test]
fn a_tick_allocates_nothing() {
    let mut harness = SocketHarness::new(settings(1));
    let mut phones = harness.three(V4);
    // One leg is played an endless sound, the others hear each other.
    let program = [conflow::media::Sound { what: SoundKind::Url("sound:hold".into()), times: 0 }];
    let (calls, program) = (vec![phones[2].call], program.into());
    let address = Arc::new(AnnouncementAddress { kind: AnnouncementKind::Play, members: None });
    harness.engine.send(AudioOrder::Announce { room: ROOM, calls, address, program });
    harness.ticks(400, &mut phones);
    for _ in 0..400 {
        harness.tick += 1;
        phones.iter_mut().for_each(Phone::say);
        let ((), taken) = counted(|| harness.tickers[0].tick(harness.tick));
        assert_eq!(taken, Allocations::default(), "tick {}", harness.tick);
        phones.iter_mut().for_each(Phone::hear);
    }
}
