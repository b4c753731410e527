//! Phones of the benches: the far ends of legs, on loopback.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use conflow::{
    base::ids::{CallId, Incarnation, RoomId},
    media::{
        AudioEngine, AudioOrder, MemberAudio, SoundKind, TICK,
        legs::{LegSession, Legs},
    },
    rtp::{
        g711::{FRAME, Law},
        packet::{HEADER, RtpStream},
        sdp::{
            Agreed, MediaDirection, Payload,
            crypto::{SrtpKey, SrtpKeys, SrtpSuite},
        },
        srtp::{OVERHEAD_MAX, SrtpSession},
    },
    rtp_engine::{OnSoundLoaded, RtpEngine, SoundLoader},
};

use crate::measure::now;

pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const PACKET: usize = HEADER + FRAME;

/// The far end of a leg: it sends noise, and receives.
pub(crate) struct Phone {
    pub(crate) socket: UdpSocket,
    stream: RtpStream,
    pub(crate) to: SocketAddr,
    noise: u32,
    pub(crate) received: u64,
    /// None if its sound is not encrypted.
    srtp: Option<SrtpSession>,
}

impl Phone {
    pub(crate) fn new(n: usize) -> Self {
        let socket = socket();
        let to = socket.local_addr().expect("it is bound");
        Self {
            socket,
            stream: RtpStream::new(n as u32, 0, 0),
            to,
            noise: n as u32 | 1,
            received: 0,
            srtp: None,
        }
    }

    pub(crate) fn connect(&mut self, engine: &RtpEngine, call: CallId, suite: Option<SrtpSuite>) {
        let keys = suite.map(|suite| [1, 2].map(|it| key(suite, it)));
        self.srtp = keys.clone().map(|[ours, theirs]| {
            let mut session = SrtpSession::default();
            session.agree(now(), Some(&SrtpKeys { ours, theirs }));
            session
        });
        let agreed = Agreed {
            remote: Some(self.to),
            remote_rtcp: None,
            named: None,
            rtcp_mux: true,
            law: Law::Mu,
            payload_type: 0,
            packet_ms: 20,
            events: None,
            accepts: vec![(0, Payload::Sound(Law::Mu))],
            direction: MediaDirection::SendRecv,
            held: false,
            srtp: keys.map(|[theirs, ours]| SrtpKeys { ours, theirs }),
        };
        self.to = engine.open(call, LOCAL).expect("a port is free");
        engine.agree(call, LegSession { agreed, source: LOCAL, is_early: false });
    }

    /// Sends 20 ms of this byte.
    pub(crate) fn utter(&mut self, byte: u8) {
        let mut out = [0; HEADER + FRAME];
        self.stream.write(0, &[byte; FRAME], FRAME as u32, &mut out).expect("there is room");
        self.socket.send_to(&out, self.to).expect("loopback takes it");
    }

    /// The level of the next packet, and its time of arrival. The level is that of the end of the
    /// frame, which no fade changes.
    pub(crate) fn next(&self) -> (u8, Instant) {
        let mut buffer = [0; 400];
        loop {
            // RTCP reports arrive here too, with other lengths.
            if let Ok(len @ PACKET) = self.socket.recv(&mut buffer) {
                return (Law::Mu.level(&buffer[HEADER + FRAME / 2..len]), now());
            }
            thread::yield_now();
        }
    }

    pub(crate) fn say(&mut self) {
        let (mut payload, mut out) = ([0; FRAME], [0; PACKET + OVERHEAD_MAX]);
        for byte in &mut payload {
            self.noise ^= self.noise << 13;
            self.noise ^= self.noise >> 17;
            self.noise ^= self.noise << 5;
            *byte = Law::Mu.byte((self.noise % 8_192) as i16 - 4_096);
        }
        let len = self.stream.write(0, &payload, FRAME as u32, &mut out).expect("there is room");
        let sealed = self.srtp.as_mut().map(|it| it.protect(&mut out, len).expect("a packet"));
        let out = &out[..sealed.unwrap_or(len)];
        self.socket.send_to(out, self.to).expect("loopback takes it");
    }

    pub(crate) fn hear(&mut self) {
        let mut buffer = [0; 400];
        while self.socket.recv(&mut buffer).is_ok() {
            self.received += 1;
        }
    }
}

fn key(suite: SrtpSuite, byte: u8) -> SrtpKey {
    let bytes = vec![byte; suite.key_bytes() + suite.salt_bytes()];
    SrtpKey::new(suite, &bytes).expect("its length is that of the suite")
}

pub(crate) fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((LOCAL, 0)).expect("a port is free");
    socket.set_nonblocking(true).expect("it is a socket");
    socket
}

/// Loads no sound.
pub(crate) struct NoSounds;

impl SoundLoader for NoSounds {
    fn load(&self, _: CallId, what: &SoundKind, done: OnSoundLoaded) {
        done(Err(format!("{what:?} does not exist")));
    }
}

/// Phones in rooms of so many.
pub(crate) fn dial(
    engine: &RtpEngine,
    n_legs: usize,
    per_room: usize,
    suite: Option<SrtpSuite>,
) -> Vec<Phone> {
    let mut phones: Vec<_> = (0..n_legs).map(Phone::new).collect();
    for (room, phones) in phones.chunks_mut(per_room).enumerate() {
        let mut calls = Vec::new();
        for (n, phone) in phones.iter_mut().enumerate() {
            let call = CallId::of((room * per_room + n + 1) as u128);
            phone.connect(engine, call, suite);
            calls.push(call);
        }
        engine.send(place(room, calls));
    }
    phones
}

pub(crate) fn place(room: usize, calls: Vec<CallId>) -> AudioOrder {
    let room = Incarnation::of(RoomId::of(room as u128), "weekly");
    AudioOrder::Place { room, calls, hears: MemberAudio::Room }
}

/// Talking phones on their own thread.
pub(crate) struct Talking {
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Talking {
    pub(crate) fn begin(mut phones: Vec<Phone>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let talk = move || {
            let mut due = now();
            while !until.load(Ordering::Relaxed) {
                phones.iter_mut().for_each(Phone::say);
                phones.iter_mut().for_each(Phone::hear);
                due += TICK;
                thread::sleep(due.saturating_duration_since(now()));
            }
        };
        Self { is_over, thread: thread::spawn(talk) }
    }

    pub(crate) fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("phones do not fail");
    }
}
