//! Scenario media: G.711 calls in rooms, more and more, until one of their packets is late.
//!
//! The media engine runs in this process, on one thread. The far ends send and receive every 20 ms
//! over loopback, on another thread.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::sleep;

use super::{Bench, clock::now, process::cpu_of_thread, report::ReportRow};
use crate::{
    base::ids::{CallId, ConferenceName, Incarnation, RoomId, RoomKey},
    media::{
        AudioEngine, AudioOrder, MemberAudio, SoundKind, TICK,
        legs::{LegSession, Legs},
    },
    rtp::{
        g711::{FRAME, Law},
        packet::{HEADER, RtpStream},
        sdp::{Agreed, MediaDirection, Payload},
    },
    rtp_engine::{OnSoundLoaded, RtpEngine, Settings, SoundLoader, TickHistogram},
};

const ROOMS_OF: [usize; 3] = [3, 10, 100];
/// Numbers of calls, until there are too many.
const CALLS: [usize; 12] =
    [100, 250, 500, 1_000, 1_500, 2_000, 2_500, 3_000, 4_000, 5_000, 6_000, 7_500];
/// P8: calls on one thread.
const CALLS_MIN: f64 = 2_000.0;
/// From here on the next packet is due.
const LATE: Duration = TICK;
/// The first ticks open the legs.
const SETTLING: Duration = Duration::from_millis(500);
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// P8: calls until a packet is late by 20 ms, and the processor time of each.
pub(super) async fn media(bench: &mut Bench) -> Result<()> {
    allow_many_files();
    let most = bench.flags.members.map_or(usize::MAX, |it| it as usize);
    for of in ROOMS_OF.into_iter().filter(|it| *it <= most) {
        let (mut kept, mut late) = (None, None);
        for calls in CALLS.into_iter().map(|it| it.min(most)) {
            bench.say(&format!("media: {calls} calls in rooms of {of}"));
            let run = MediaRun::measure(calls, of, bench.seconds()).await?;
            if LATE <= run.latest {
                late = Some(run);
                break;
            }
            kept = Some(run);
            if calls == most {
                break;
            }
        }
        let calls = kept.as_ref().map_or(0, |it| it.calls);
        let name = format!("media: calls in rooms of {of}");
        let mut row = ReportRow::count(&name, calls, bench.seconds()).rooms_of(of);
        if let Some(MediaRun { latest, cpu_share, .. }) = kept {
            let each = cpu_share * 100.0 / calls as f64;
            row = row.note(format!("{each:.3} % of a core per call"));
            row = row.note(format!("the latest packet by {} ms", latest.as_millis()));
        }
        bench.report.add(match late {
            Some(MediaRun { calls: more, latest, .. }) => row
                .note(format!("of {more} calls one was late by {} ms", latest.as_millis()))
                .at_least(calls as f64, "calls on one thread", CALLS_MIN),
            None => row.note("no packet was late, and there may be more calls".to_owned()),
        });
    }
    Ok(())
}

/// Calls take three sockets each. Without the permission, opening them fails, and says so.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

struct MediaRun {
    calls: usize,
    /// How late the latest packet was sent.
    latest: Duration,
    /// Processor time of the engine's thread, as a share of a core.
    cpu_share: f64,
}

impl MediaRun {
    async fn measure(calls: usize, of: usize, time: Duration) -> Result<Self> {
        let settings = Settings { threads: 1, ..Settings::default() };
        let engine = RtpEngine::start(settings, Arc::new(NoSounds))?;
        let ends = FarEnds::begin(dial(&engine, calls, of)?);
        sleep(SETTLING).await;
        let gauges = engine.gauges();
        [&gauges.late, &gauges.done].into_iter().for_each(TickHistogram::clear);
        let (cpu, begin) = (cpu_of_thread("sound-0"), now());
        sleep(time).await;
        let cpu_share = (cpu_of_thread("sound-0").saturating_sub(cpu)).as_secs_f64()
            / begin.elapsed().as_secs_f64();
        let latest = gauges.done.quantile(1.0);
        drop(ends);
        Ok(Self { calls, latest, cpu_share })
    }
}

/// Opens calls and places them in rooms.
fn dial(engine: &RtpEngine, calls: usize, of: usize) -> Result<Vec<FarEnd>> {
    let ends: Result<Vec<_>> = (1..=calls).map(|n| FarEnd::dial(engine, n as u128)).collect();
    let ends = ends?;
    let name: ConferenceName = "bench".parse().expect("a name");
    for (n, room) in ends.chunks(of).enumerate() {
        let key = RoomKey { account: "MABENCH".parse().expect("a name"), name: name.clone() };
        let room_id = RoomId(CallId::of((n as u128) << 64).0);
        let calls = room.iter().map(|it| it.call).collect();
        let room = Arc::new(Incarnation { key, id: room_id });
        engine.send(AudioOrder::Place { room, calls, hears: MemberAudio::Room });
    }
    Ok(ends)
}

/// The far end of a call: it talks without a pause.
struct FarEnd {
    call: CallId,
    socket: UdpSocket,
    to: SocketAddr,
    stream: RtpStream,
}

impl FarEnd {
    fn dial(engine: &RtpEngine, n: u128) -> Result<Self> {
        let call = CallId::of(n);
        let to = engine.open(call, LOCAL).with_context(|| format!("call {n}"))?;
        let socket = UdpSocket::bind((LOCAL, 0)).with_context(|| format!("call {n}"))?;
        socket.set_nonblocking(true)?;
        let agreed = Agreed {
            remote: Some(socket.local_addr()?),
            named: Some(LOCAL),
            remote_rtcp: None,
            rtcp_mux: true,
            law: Law::Mu,
            payload_type: 0,
            packet_ms: 20,
            events: None,
            accepts: vec![(0, Payload::Sound(Law::Mu))],
            direction: MediaDirection::SendRecv,
            held: false,
            srtp: None,
        };
        engine.agree(call, LegSession { agreed, source: LOCAL, is_early: false });
        Ok(Self { call, socket, to, stream: RtpStream::new(n as u32, 0, 0) })
    }

    /// Sends 20 ms of a loud square wave, and takes what has arrived.
    fn tick(&mut self) {
        let wave = |n| Law::Mu.byte(if n % 16 < 8 { 4_096 } else { -4_096 });
        let (payload, mut out): ([u8; FRAME], _) = (std::array::from_fn(wave), [0; HEADER + FRAME]);
        if let Some(len) = self.stream.write(0, &payload, FRAME as u32, &mut out) {
            // A full buffer loses a packet, as a network does.
            drop(self.socket.send_to(&out[..len], self.to));
        }
        while self.socket.recv(&mut [0; 400]).is_ok() {}
    }
}

/// All far ends, on a thread that ends when this is dropped.
struct FarEnds {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FarEnds {
    fn begin(mut ends: Vec<FarEnd>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let talk = move || {
            let mut due = now();
            while !until.load(Ordering::Relaxed) {
                ends.iter_mut().for_each(FarEnd::tick);
                due += TICK;
                thread::sleep(due.saturating_duration_since(now()));
            }
        };
        Self { is_over, thread: Some(thread::spawn(talk)) }
    }
}

impl Drop for FarEnds {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

struct NoSounds;

impl SoundLoader for NoSounds {
    fn load(&self, _: CallId, _: &SoundKind, done: OnSoundLoaded) {
        done(Err("a bench has no sounds".to_owned()));
    }
}
