//! Bridges of `<Dial>`: a caller and a callee, both with sound.
//!
//! Until the callee is in the mix, the caller hears a beep without a pause; then silence, since the
//! callee sends nothing for a while; then the callee's noise.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use conflow::{
    media::TICK,
    rtp::{
        g711::{FRAME, Law},
        packet::{HEADER, RtpStream},
    },
};

use crate::{
    measure::now,
    phone::{self, Phone, brief},
    program::Program,
    rate::{answer, description, reply, socket},
};

const FLOW: &str =
    "<Response><Dial dialMusic=\"sound:beep\"><Number>4989123456</Number></Dial></Response>";
const PACKET: usize = HEADER + FRAME;
/// Beeps and noise are louder than this, silence is not.
const LOUD: u8 = 40;
/// The beep has softer packets where it begins again, but not as many in a row.
const QUIET_PACKETS: usize = 5;
/// The callee rings this long, and is silent this long after its answer.
const RINGING: Duration = Duration::from_millis(300);
const SILENT: Duration = Duration::from_millis(300);
/// A bridge takes about a second; one that takes longer is stuck.
const BRIDGE_MAX: Duration = Duration::from_secs(20);
/// For the bridges that are measured nothing of the others' start should be left.
const SETTLING: Duration = Duration::from_secs(2);

/// Connects so many bridges, and beside them one after another that is measured. Returns how long
/// each callee took into the caller's mix, and its sound to the caller.
pub(crate) fn measure(bridges: usize, rounds: u32) -> (Vec<Duration>, Vec<Duration>) {
    let mut bench = BridgeBench::start();
    let mut ends = Vec::new();
    for _ in 0..bridges {
        let bridge = bench.ring(Duration::ZERO);
        bench.answer(&bridge);
        let (caller, callee) = bench.connect(bridge);
        ends.extend([caller, callee]);
    }
    let talking = Talking::begin(ends);
    thread::sleep(SETTLING);
    let measured = (0..rounds).map(|round| bench.round(round)).unzip();
    talking.end();
    measured
}

/// A phone's sound.
struct SoundEnd {
    socket: UdpSocket,
    stream: RtpStream,
    to: SocketAddr,
}

impl SoundEnd {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        socket.set_nonblocking(true).expect("it is a socket");
        let own = socket.local_addr().expect("it is bound");
        Self { socket, stream: RtpStream::new(own.port().into(), 0, 0), to: own }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().expect("it is bound").port()
    }

    /// Sends 20 ms of noise.
    fn say(&mut self) {
        let (mut payload, mut out) = ([0; FRAME], [0; PACKET]);
        for (n, byte) in payload.iter_mut().enumerate() {
            *byte = Law::Mu.byte(if n % 2 == 0 { 8_000 } else { -8_000 });
        }
        self.stream.write(0, &payload, FRAME as u32, &mut out).expect("there is room");
        self.socket.send_to(&out, self.to).expect("loopback takes it");
    }

    /// The level of the next packet, if one has arrived.
    fn next(&self) -> Option<u8> {
        let mut buffer = [0; 400];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(len @ PACKET) => return Some(Law::Mu.level(&buffer[HEADER + FRAME / 2..len])),
                // RTCP has other lengths.
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

/// A call that rings at its callee.
struct RingingBridge {
    sip: Phone,
    /// The INVITE at the callee.
    invite: String,
    caller: SoundEnd,
    callee: SoundEnd,
}

struct BridgeBench {
    /// It runs for as long.
    _program: Program,
    callers: UdpSocket,
    callees: UdpSocket,
    count: u32,
}

impl BridgeBench {
    fn start() -> Self {
        let (callers, callees) = (socket(), socket());
        let program = Program::start(callees.local_addr().expect("it is bound"), FLOW);
        callers.connect(program.sip).expect("loopback");
        callees.connect(program.sip).expect("loopback");
        for it in [&callers, &callees] {
            it.set_nonblocking(true).expect("it is a socket");
        }
        Self { _program: program, callers, callees, count: 0 }
    }

    /// A call that has rung at its callee for a while.
    fn ring(&mut self, time: Duration) -> RingingBridge {
        self.count += 1;
        let address = self.callers.local_addr().expect("it is bound").to_string();
        let mut sip = Phone::new(&format!("bench{}", self.count), &address);
        (sip.to, sip.from) = ("out", "anna");
        let (caller, mut callee) = (SoundEnd::new(), SoundEnd::new());
        let head = format!("{}{}", sip.contact, phone::SDP);
        let invite = sip.request("INVITE", &head, &description(caller.port()));
        self.callers.send(invite.as_bytes()).expect("loopback takes it");
        let invite = wait_for(&self.callees, "INVITE");
        callee.to = sound_address(&invite);
        let ringing = reply(&invite, "180 Ringing", "");
        self.callees.send(ringing.as_bytes()).expect("loopback takes it");
        thread::sleep(time);
        while caller.next().is_some() {}
        RingingBridge { sip, invite, caller, callee }
    }

    /// The callee answers. Returns when.
    fn answer(&self, bridge: &RingingBridge) -> Instant {
        let address = self.callees.local_addr().expect("it is bound");
        let answer = answer(&bridge.invite, address, bridge.callee.port());
        self.callees.send(answer.as_bytes()).expect("loopback takes it");
        now()
    }

    /// Waits for the ACK of the callee and the answer to the caller.
    fn connect(&self, bridge: RingingBridge) -> (SoundEnd, SoundEnd) {
        let RingingBridge { mut sip, mut caller, callee, .. } = bridge;
        wait_for(&self.callees, "ACK");
        caller.to = self.answered(&mut sip);
        (caller, callee)
    }

    /// Acknowledges the 200 that the caller gets. Returns where its sound goes to.
    fn answered(&self, sip: &mut Phone) -> SocketAddr {
        let answer = wait_for(&self.callers, "200");
        sip.learn(&answer);
        self.callers.send(sip.ack().as_bytes()).expect("loopback takes it");
        sound_address(&answer)
    }

    /// Measures one bridge.
    fn round(&mut self, round: u32) -> (Duration, Duration) {
        // At any moment between two ticks.
        let bridge = self.ring(RINGING + Duration::from_micros(u64::from(round) * 997 % 20_000));
        let answered = self.answer(&bridge);
        let quiet_at = until_quiet(&bridge.caller, answered);
        thread::sleep((answered + SILENT).saturating_duration_since(now()));
        wait_for(&self.callees, "ACK");
        let RingingBridge { mut sip, caller, mut callee, .. } = bridge;
        self.answered(&mut sip);
        while caller.next().is_some() {}

        let (said, mut due) = (now(), now());
        let heard_at = loop {
            if due <= now() {
                callee.say();
                due += TICK;
            }
            if caller.next().is_some_and(|it| LOUD <= it) {
                break now();
            }
            assert!(said.elapsed() < BRIDGE_MAX, "the callee is not heard");
            thread::yield_now();
        };

        let bye = sip.request("BYE", "", "");
        self.callers.send(bye.as_bytes()).expect("loopback takes it");
        let bye = wait_for(&self.callees, "BYE");
        self.callees.send(reply(&bye, "200 OK", "").as_bytes()).expect("loopback takes it");
        wait_for(&self.callers, "200");
        (quiet_at - answered, heard_at - said)
    }
}

/// Waits for the first of several quiet packets, and returns when it came.
fn until_quiet(caller: &SoundEnd, since: Instant) -> Instant {
    let (mut first, mut count) = (since, 0);
    loop {
        match caller.next() {
            Some(level) if level < LOUD => {
                if count == 0 {
                    first = now();
                }
                count += 1;
            }
            Some(_) => count = 0,
            None => thread::yield_now(),
        }
        if count == QUIET_PACKETS {
            return first;
        }
        assert!(since.elapsed() < BRIDGE_MAX, "the music goes on");
    }
}

/// Waits for a message of this kind, `BYE` or `200`; others are skipped.
fn wait_for(socket: &UdpSocket, kind: &str) -> String {
    let (begun, mut bytes) = (now(), [0; 4_096]);
    loop {
        if let Ok(len) = socket.recv(&mut bytes) {
            let message = String::from_utf8_lossy(&bytes[..len]);
            if brief(&message) == kind {
                return message.into_owned();
            }
            continue;
        }
        assert!(begun.elapsed() < BRIDGE_MAX, "no {kind} has come");
        thread::yield_now();
    }
}

/// Where the sender of this message expects sound.
fn sound_address(message: &str) -> SocketAddr {
    let line = phone::body(message).lines().find_map(|it| it.strip_prefix("m=audio "));
    let port = line.and_then(|it| it.split(' ').next()?.parse().ok()).expect("a description");
    ([127, 0, 0, 1], port).into()
}

/// Talking phones on their own thread.
struct Talking {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Talking {
    fn begin(mut ends: Vec<SoundEnd>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let talk = move || {
            let mut due = now();
            while !until.load(Ordering::Relaxed) {
                for end in &mut ends {
                    end.say();
                    while end.next().is_some() {}
                }
                due += TICK;
                thread::sleep(due.saturating_duration_since(now()));
            }
        };
        Self { is_over, thread: thread::spawn(talk) }
    }

    fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("phones do not fail");
    }
}
