//! RTP engine: the cost of a leg in a conference, from incoming to outgoing packet, compared with
//! the simplest code for it on the same sockets (P8) and with that of an encrypted leg; how late the
//! packets of a running engine are (P8), also while 500 rooms are recorded; and how soon a kick (P11)
//! and a word (P12) are heard.
//!
//! `raw` only receives, decodes, sums, subtracts, encodes and sends. `engine` is a tick of the RTP
//! engine, in rooms of ten where all talk.

#[path = "../measure/mod.rs"]
mod measure;
mod phones;
mod recording;

use std::{
    hint::black_box,
    net::UdpSocket,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use conflow::{
    base::ids::{CallId, RoomId},
    media::{AudioEngine, AudioOrder, SoundKind, TICK, legs::Legs},
    rtp::{
        g711::{FRAME, Law},
        packet::{HEADER, RtpStream},
        sdp::crypto::SrtpSuite,
    },
    rtp_engine::{RtpEngine, Settings, TickHistogram, Ticker},
};
use measure::{median, now, say, verdict};
use phones::{NoSounds, PACKET, Phone, Talking, dial, place, socket};

const ROOM: usize = 10;
const LEGS: [usize; 2] = [100, 1_000];
/// The load for one core in P8.
const LEGS_LATE: [usize; 3] = [100, 1_000, 2_000];
const RUN: Duration = Duration::from_secs(5);
/// The duration in P8.
const RUN_MOST: Duration = Duration::from_secs(60);

fn main() {
    let has = |word: &str| std::env::args().any(|it| it == word);
    if has("recording") {
        return recording::measure(has("short"));
    }
    memory();
    say("\none leg and tick, in ns         raw     engine     ratio");
    LEGS.into_iter().for_each(tick);
    say("\none leg and tick, in ns       plain  encrypted     ratio");
    [SrtpSuite::AesCm128HmacSha1Tag80, SrtpSuite::AeadAes128Gcm].into_iter().for_each(encrypted);
    say("");
    // The longest part. `cargo bench --bench rtp_engine -- short` skips it; with `recording` in place of
    // `short`, nothing but recordings is measured.
    if !has("short") {
        LEGS_LATE.into_iter().for_each(lateness);
    }
    recording::measure(has("short"));
    kicks();
    through();
}

/// Measures both in turn.
fn tick(n_legs: usize) {
    let (mut raw, mut bench) = (Raw::new(n_legs), EngineBench::new(n_legs));
    let (mut raws, mut engines) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        raws.push(nanos((0..TICKS).map(|_| raw.tick()).sum(), n_legs));
        engines.push(nanos((0..TICKS).map(|_| bench.tick()).sum(), n_legs));
    }
    let (raw, engine) = (median(raws), median(engines));
    let ratio = engine / raw;
    let met = verdict(ratio <= 2.0);
    say(&format!(
        "{n_legs:5} legs               {raw:9.0} {engine:9.0}    {ratio:6.2} ×   P8, at most 2 ×: {met}"
    ));
}

/// Measures plain and encrypted legs in turn.
fn encrypted(suite: SrtpSuite) {
    const N_LEGS: usize = 500;
    let mut benches = [EngineBench::new(N_LEGS), EngineBench::of(N_LEGS, Some(suite))];
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (bench, took) in benches.iter_mut().zip(&mut took) {
            took.push(nanos((0..TICKS).map(|_| bench.tick()).sum(), N_LEGS));
        }
    }
    let heard = benches.map(|it| it.phones.iter().map(|it| it.received).sum::<u64>());
    assert!(heard[0] * 9 / 10 < heard[1], "encrypted legs are heard as well: {heard:?}");
    let [plain, encrypted] = took.map(median);
    let ratio = encrypted / plain;
    let met = verdict(ratio <= 1.35);
    say(&format!(
        "{:24}{plain:10.0} {encrypted:10.0}    {ratio:6.2} ×   at most 1.35 ×: {met}",
        suite.name()
    ));
}

const ROUNDS: usize = 20;
const TICKS: u32 = 20;

/// The time of a leg and a tick.
fn nanos(took: Duration, n_legs: usize) -> f64 {
    took.as_secs_f64() * 1e9 / f64::from(TICKS) / n_legs as f64
}

/// The ceiling: no jitter buffer, source rules, gate or orders.
struct Raw {
    phones: Vec<Phone>,
    sockets: Vec<UdpSocket>,
    streams: Vec<RtpStream>,
    voices: Vec<[i16; FRAME]>,
}

impl Raw {
    fn new(n_legs: usize) -> Self {
        let mut phones: Vec<_> = (0..n_legs).map(Phone::new).collect();
        let sockets: Vec<_> = (0..n_legs).map(|_| socket()).collect();
        for (phone, socket) in phones.iter_mut().zip(&sockets) {
            phone.to = socket.local_addr().expect("it is bound");
        }
        let streams = (0..n_legs).map(|n| RtpStream::new(n as u32, 0, 0)).collect();
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

/// An engine whose ticks are timed.
struct EngineBench {
    phones: Vec<Phone>,
    ticker: Ticker,
    tick: u64,
    _plane: RtpEngine,
}

impl EngineBench {
    fn new(n_legs: usize) -> Self {
        Self::of(n_legs, None)
    }

    fn of(n_legs: usize, suite: Option<SrtpSuite>) -> Self {
        let settings = Settings { threads: 1, ..Settings::default() };
        let (engine, tickers) =
            RtpEngine::with_tickers(settings, Arc::new(NoSounds)).expect("it starts");
        let ticker = tickers.into_iter().next().expect("there is one thread");
        let phones = dial(&engine, n_legs, ROOM, suite);
        let mut bench = Self { phones, ticker, tick: 0, _plane: engine };
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

/// The resident memory of the process, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Measures an engine in real time, with all its phones on one thread.
fn lateness(n_legs: usize) {
    let is_most = n_legs == LEGS_LATE[LEGS_LATE.len() - 1];
    let run = if is_most { RUN_MOST } else { RUN };
    let settings = Settings { threads: 1, ..Settings::default() };
    let engine = RtpEngine::start(settings, Arc::new(NoSounds)).expect("it starts");
    let phones = dial(&engine, n_legs, ROOM, None);
    let talking = Talking::begin(phones);
    // The first ticks open the legs.
    thread::sleep(Duration::from_millis(500));
    let gauges = engine.gauges();
    [&gauges.late, &gauges.done].into_iter().for_each(TickHistogram::clear);
    let sent = gauges.sent.load(Ordering::Relaxed);
    let begun = now();
    thread::sleep(run);
    let due = begun.elapsed().as_secs_f64() / TICK.as_secs_f64() * n_legs as f64;
    let share = (gauges.sent.load(Ordering::Relaxed) - sent) as f64 / due * 100.0;
    talking.end();
    say(&format!("{n_legs} legs on one thread for {run:?}: {share:.2} % of the packets sent"));
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        let [late, done] =
            [&gauges.late, &gauges.done].map(|it| it.quantile(share).as_secs_f64() * 1_000.0);
        say(&format!(
            "  {name:5}: tick begun after {late:.1} ms, last packet out after {done:.1} ms"
        ));
    }
    if is_most {
        let late = gauges.late.quantile(0.999);
        let is_met = 99.95 <= share && late <= Duration::from_millis(5);
        let met = verdict(is_met);
        say(&format!("  P8, at least 99.95 % of the packets, p99.9 at most 5 ms late: {met}\n"));
    }
}

/// Repeatedly kicks one of a thousand legs, which then hears a beep (P11).
fn kicks() {
    const N_LEGS: usize = 1_000;
    const ROUNDS: u32 = 200;
    let settings = Settings { threads: 1, ..Settings::default() };
    let engine = RtpEngine::start(settings, Arc::new(NoSounds)).expect("it starts");
    let talking = Talking::begin(dial(&engine, N_LEGS, ROOM, None));
    let (call, room) = (CallId::of(1 << 64), RoomId::of(0));
    let mut phone = Phone::new(N_LEGS);
    phone.connect(&engine, call, None);
    let (mut ordered, mut first, mut leaks) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        engine.send(place(0, vec![call]));
        while phone.next().0 < LOUD {}
        thread::sleep(Duration::from_micros(u64::from(round) * 997 % 20_000));
        let begun = now();
        engine.send(AudioOrder::Remove { room, calls: vec![call] });
        ordered.push(begun.elapsed());
        phone.hear();
        let program = [SoundKind::Silence(TICK * 3).into(), SoundKind::Beep(1).into()].into();
        engine.send(AudioOrder::Play { call, number: round, program });
        // Three frames of silence come first, so that a frame of the room would be noticed.
        let mut n_silent = 0;
        let came = loop {
            let (level, at) = phone.next();
            if LOUD <= level {
                break at;
            }
            n_silent += 1;
        };
        leaks += u32::from(n_silent < 3);
        first.push(came.duration_since(begun).saturating_sub(TICK * 3));
        engine.send(AudioOrder::Stop { call });
    }
    talking.end();
    let [_, _, most] = print("kick of one in 1,000 legs, until the order returns", &mut ordered);
    let [_, p99, _] = print("  from order to first frame of the next element", &mut first);
    say(&format!("  kicks after which a frame of the room was heard: {leaks} of {ROUNDS}"));
    let met = verdict(leaks == 0 && most <= 20.0);
    say(&format!("  P11, last frame of the room within 20 ms, none after the answer: {met}"));
    say(&format!(
        "  P11, next element's first frame p99 at most 40 ms: {}\n",
        verdict(p99 <= 40.0)
    ));
}

/// Measures from an incoming packet to the outgoing packet with its sound (P12).
fn through() {
    const ROUNDS: u32 = 40;
    let settings = Settings { threads: 1, ..Settings::default() };
    let engine = RtpEngine::start(settings, Arc::new(NoSounds)).expect("it starts");
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let calls = [2, 3].map(|it| CallId::of(u128::from(it + 2 * round)));
        let [mut talker, mut listener] = [0, 1].map(Phone::new);
        talker.connect(&engine, calls[0], None);
        listener.connect(&engine, calls[1], None);
        engine.send(place(0, calls.to_vec()));
        // At any moment between two ticks.
        let mut due = now() + Duration::from_micros(u64::from(round) * 7_001 % 20_000);
        for _ in 0..15 {
            thread::sleep(due.saturating_duration_since(now()));
            talker.utter(Law::Mu.silence());
            due += TICK;
        }
        listener.hear();
        thread::sleep(due.saturating_duration_since(now()));
        let begun = now();
        let mut n_said = 0;
        let came = loop {
            if due <= now() {
                talker.utter(Law::Mu.byte(if n_said % 2 == 0 { 8_000 } else { -8_000 }));
                n_said += 1;
                due += TICK;
            }
            let mut buffer = [0; 400];
            if let Ok(len @ PACKET) = listener.socket.recv(&mut buffer)
                && LOUD <= Law::Mu.level(&buffer[HEADER + FRAME / 2..len])
            {
                break now();
            }
            thread::yield_now();
        };
        took.push(came.duration_since(begun));
        calls.into_iter().for_each(|call| _ = engine.close(call));
    }
    let [p50, p99, _] = print("packet in to packet out", &mut took);
    let met = verdict(p50 <= 50.0 && p99 <= 80.0);
    say(&format!("  P12, p50 at most 50 ms, p99 at most 80 ms: {met}"));
}

/// Noise and beeps are louder than this, silence is not.
const LOUD: u8 = 40;

/// Prints and returns the median, the 99th percentile and the maximum, in milliseconds.
fn print(what: &str, took: &mut [Duration]) -> [f64; 3] {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1_000.0;
    let figures = [at(50), at(99), at(100)];
    let [p50, p99, most] = figures;
    say(&format!("{what}: p50 {p50:.3} ms, p99 {p99:.3} ms, most {most:.3} ms"));
    figures
}

/// Measures a thousand legs that hear and are heard (P3).
fn memory() {
    const N_LEGS: usize = 1_000;
    let before = resident();
    let bench = EngineBench::new(N_LEGS);
    let kib = resident().saturating_sub(before) / N_LEGS;
    say(&format!("memory of a leg, its room and its phone: {kib} KiB"));
    drop(bench);
}
