//! A leg in a conference, packet in to packet out, beside the plainest that could do it on the
//! same sockets (P8); and how late the packets of a running plane are.
//!
//! Time per element is time per leg and tick. `raw` receives, decodes, sums, subtracts, encodes and
//! sends, and nothing else; `plane` is a tick of the media plane, in rooms of ten where all talk.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use conflow::{
    ids::{CallId, RoomId},
    media::{
        Backend, Hears, Order, What,
        g711::{FRAME, Law},
        plane::{Done, Histogram, Loader, Plane, Settings, Ticker},
        rtp::{HEADER, Stream},
        sdp::{Agreed, Direction, Payload},
        sip::legs::{Legs, Session},
    },
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ROOM: usize = 10;
const LEGS: [usize; 2] = [100, 1_000];
/// What one core is to carry (P8).
const LEGS_LATE: [usize; 3] = [100, 1_000, 2_000];
const RUN: Duration = Duration::from_secs(5);

criterion_group!(benches, tick);

fn main() {
    benches();
    LEGS_LATE.into_iter().for_each(lateness);
}

fn tick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("leg and tick");
    group.sample_size(20);
    for n_legs in LEGS {
        group.throughput(Throughput::Elements(n_legs as u64));
        let mut raw = Raw::new(n_legs);
        group.bench_function(BenchmarkId::new("raw", n_legs), |bencher| {
            bencher.iter_custom(|n| (0..n).map(|_| raw.tick()).sum());
        });
        drop(raw);
        let mut bench = Bench::new(n_legs);
        group.bench_function(BenchmarkId::new("plane", n_legs), |bencher| {
            bencher.iter_custom(|n| (0..n).map(|_| bench.tick()).sum());
        });
    }
    group.finish();
}

#[expect(clippy::disallowed_methods, reason = "a bench has the real clock")]
fn now() -> Instant {
    Instant::now()
}

/// The far end of a leg: it says noise, and takes what it is sent.
struct Phone {
    socket: UdpSocket,
    stream: Stream,
    to: SocketAddr,
    noise: u32,
    received: u64,
}

impl Phone {
    fn new(n: usize) -> Self {
        let socket = socket();
        let to = socket.local_addr().expect("it is bound");
        Self { socket, stream: Stream::new(n as u32, 0, 0), to, noise: n as u32 | 1, received: 0 }
    }

    fn say(&mut self) {
        let (mut payload, mut out) = ([0; FRAME], [0; HEADER + FRAME]);
        for byte in &mut payload {
            self.noise ^= self.noise << 13;
            self.noise ^= self.noise >> 17;
            self.noise ^= self.noise << 5;
            *byte = Law::Mu.byte((self.noise % 8_192) as i16 - 4_096);
        }
        self.stream.write(0, &payload, FRAME as u32, &mut out).expect("there is room");
        self.socket.send_to(&out, self.to).expect("loopback takes it");
    }

    fn hear(&mut self) {
        let mut buffer = [0; 400];
        while self.socket.recv(&mut buffer).is_ok() {
            self.received += 1;
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((LOCAL, 0)).expect("a port is free");
    socket.set_nonblocking(true).expect("it is a socket");
    socket
}

/// The ceiling: no jitter buffer, no source rules, no gate, no orders.
struct Raw {
    phones: Vec<Phone>,
    sockets: Vec<UdpSocket>,
    streams: Vec<Stream>,
    voices: Vec<[i16; FRAME]>,
}

impl Raw {
    fn new(n_legs: usize) -> Self {
        let mut phones: Vec<_> = (0..n_legs).map(Phone::new).collect();
        let sockets: Vec<_> = (0..n_legs).map(|_| socket()).collect();
        for (phone, socket) in phones.iter_mut().zip(&sockets) {
            phone.to = socket.local_addr().expect("it is bound");
        }
        let streams = (0..n_legs).map(|n| Stream::new(n as u32, 0, 0)).collect();
        Self { phones, sockets, streams, voices: vec![[0; FRAME]; n_legs] }
    }

    fn tick(&mut self) -> Duration {
        self.phones.iter_mut().for_each(Phone::say);
        let begun = now();
        for (room, sockets) in self.sockets.chunks(ROOM).enumerate() {
            let (mut sums, mut froms) = ([0_i32; FRAME], [None; ROOM]);
            let voices = &mut self.voices[room * ROOM..][..sockets.len()];
            for ((socket, voice), from) in sockets.iter().zip(&mut *voices).zip(&mut froms) {
                let mut datagram = [0; 1_500];
                let (len, it) = socket.recv_from(&mut datagram).expect("it was said");
                *from = Some(it);
                Law::Mu.decode(&datagram[HEADER..len], voice);
                sums.iter_mut().zip(&*voice).for_each(|(sum, it)| *sum += i32::from(*it));
            }
            let streams = &mut self.streams[room * ROOM..];
            for (((socket, voice), from), stream) in
                sockets.iter().zip(voices).zip(froms).zip(streams)
            {
                let mut ear = [0_i16; FRAME];
                for ((ear, sum), own) in ear.iter_mut().zip(&sums).zip(&*voice) {
                    let rest = sum - i32::from(*own);
                    *ear = rest.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
                }
                let (mut payload, mut out) = ([0; FRAME], [0; HEADER + FRAME]);
                Law::Mu.encode(&ear, &mut payload);
                stream.write(0, &payload, FRAME as u32, &mut out).expect("there is room");
                let to = from.expect("it was heard");
                socket.send_to(black_box(&out), to).expect("loopback takes it");
            }
        }
        let took = begun.elapsed();
        self.phones.iter_mut().for_each(Phone::hear);
        took
    }
}

/// Knows no sound.
struct Mute;

impl Loader for Mute {
    fn load(&self, _: CallId, what: &What, done: Done) {
        done(Err(format!("{what:?} is not to be had")));
    }
}

/// A plane whose ticks are timed.
struct Bench {
    phones: Vec<Phone>,
    ticker: Ticker,
    tick: u64,
    _plane: Plane,
}

impl Bench {
    fn new(n_legs: usize) -> Self {
        let settings = Settings { threads: 1, ..Settings::default() };
        let (plane, tickers) = Plane::with_tickers(settings, Arc::new(Mute)).expect("it starts");
        let ticker = tickers.into_iter().next().expect("there is one thread");
        let phones = dial(&plane, n_legs);
        let mut bench = Self { phones, ticker, tick: 0, _plane: plane };
        // Until the streams run and all have faded in.
        (0..20).for_each(|_| _ = bench.tick());
        bench
    }

    fn tick(&mut self) -> Duration {
        self.phones.iter_mut().for_each(Phone::say);
        self.tick += 1;
        let begun = now();
        self.ticker.tick(self.tick);
        let took = begun.elapsed();
        self.phones.iter_mut().for_each(Phone::hear);
        took
    }
}

/// Phones in rooms of ten.
fn dial(plane: &Plane, n_legs: usize) -> Vec<Phone> {
    let mut phones: Vec<_> = (0..n_legs).map(Phone::new).collect();
    for (room, phones) in phones.chunks_mut(ROOM).enumerate() {
        let mut calls = Vec::new();
        for (n, phone) in phones.iter_mut().enumerate() {
            let call = CallId::of((room * ROOM + n + 1) as u128);
            let remote = phone.to;
            phone.to = plane.open(call, LOCAL).expect("a port is free");
            let agreed = Agreed {
                remote: Some(remote),
                remote_rtcp: None,
                rtcp_mux: true,
                law: Law::Mu,
                payload_type: 0,
                events: None,
                accepts: vec![(0, Payload::Sound(Law::Mu))],
                direction: Direction::SendRecv,
                held: false,
            };
            plane.agree(call, Session { agreed, source: LOCAL });
            calls.push(call);
        }
        let (room, name) = (RoomId::of(room as u128), "weekly".parse().expect("a name"));
        plane.send(Order::Place { room, name, calls, hears: Hears::Room });
    }
    phones
}

/// What the process has in memory, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// A plane in real time, with all its phones on a thread of their own.
#[expect(clippy::print_stdout, reason = "a bench prints what it measures")]
fn lateness(n_legs: usize) {
    let settings = Settings { threads: 1, ..Settings::default() };
    let plane = Plane::start(settings, Arc::new(Mute)).expect("it starts");
    let before = resident();
    let mut phones = dial(&plane, n_legs);
    let is_over = Arc::new(AtomicBool::new(false));
    let talk = {
        let is_over = Arc::clone(&is_over);
        move || {
            let mut due = now();
            while !is_over.load(Ordering::Relaxed) {
                phones.iter_mut().for_each(Phone::say);
                phones.iter_mut().for_each(Phone::hear);
                due += Duration::from_millis(20);
                thread::sleep(due.saturating_duration_since(now()));
            }
        }
    };
    let talking = thread::spawn(talk);
    // The first ticks open the legs.
    thread::sleep(Duration::from_millis(500));
    let gauges = plane.gauges();
    [&gauges.late, &gauges.done].into_iter().for_each(Histogram::clear);
    let sent = gauges.sent.load(Ordering::Relaxed);
    thread::sleep(RUN);
    let (ticks, sent) = (gauges.done.total(), gauges.sent.load(Ordering::Relaxed) - sent);
    is_over.store(true, Ordering::Relaxed);
    talking.join().expect("phones do not fail");
    let kib = resident().saturating_sub(before) / n_legs;
    let ms =
        |share| [&gauges.late, &gauges.done].map(|it| it.quantile(share).as_secs_f64() * 1_000.0);
    let expected = RUN.as_millis() as u64 / 20;
    println!(
        "{n_legs} legs for {RUN:?}: {ticks} of {expected} ticks, {sent} packets sent; \
         {kib} KiB for a leg and its phone"
    );
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        let [late, done] = ms(share);
        println!("  {name:>5}: tick begun after {late:.1} ms, last packet out after {done:.1} ms");
    }
}
