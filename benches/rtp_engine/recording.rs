//! Recording of 500 rooms at once, with real RTP: how late ticks are with and without it in one run, and
//! the CPU time of a recorded leg beside that of an unrecorded one.

use std::{
    fs,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use conflow::{
    base::ids::{CallId, RecordingId, RoomId},
    flow::RecordingFormat,
    media::{AudioEngine, AudioOrder, RecordingChannels, RecordingSource, TICK},
    recording::{
        Recording, RecordingEnd, RecordingEndReason,
        port::{RecordingFiles, RecordingListener},
        writer::{RecordingWriter, WriterSettings},
    },
    rtp_engine::{RtpEngine, Settings},
};
use tempfile::tempdir;
use uuid::Uuid;

use crate::{
    measure::{median, now, say, verdict},
    phones::{NoSounds, Talking, dial},
};

/// As many as there may be on two cores, with `recordings.max` at its default.
const ROOMS: usize = 500;
const PER_ROOM: usize = 2;
/// Mixer threads: one for each core.
const THREADS: usize = 2;
const ROUNDS: usize = 5;
const RUN: Duration = Duration::from_secs(12);
const RUN_SHORT: Duration = Duration::from_secs(2);
/// Files are opened and the first blocks are on their way.
const SETTLE: Duration = Duration::from_millis(1_500);

/// Counts ends and what was lost.
#[derive(Default)]
struct EndCounter {
    ended: AtomicU64,
    lost_samples: AtomicU64,
}

impl RecordingListener for EndCounter {
    fn recorded(&self, _: RecordingId, end: RecordingEnd) {
        self.lost_samples.fetch_add(end.lost_samples, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a phase of the run has shown.
struct Phase {
    late_ms: f64,
    sent_share: f64,
    /// CPU time of a leg and a tick in nanoseconds: of the mixer threads, and of the writer.
    mixer_ns: f64,
    writer_ns: f64,
}

/// Measures in turn, so that a disturbance of the machine is in all.
pub(crate) fn measure(is_short: bool) {
    let (rooms, rounds, run) =
        if is_short { (ROOMS / 10, 1, RUN_SHORT) } else { (ROOMS, ROUNDS, RUN) };
    let folder = tempdir().expect("there is a place for files");
    let settings = WriterSettings {
        free_min_mb: 0,
        free_stop_mb: 0,
        ..WriterSettings::new(folder.path().to_owned())
    };
    let writer = RecordingWriter::start(settings).expect("it starts");
    let ends = Arc::new(EndCounter::default());
    let listener: Arc<dyn RecordingListener> = ends.clone();
    let listener: Weak<dyn RecordingListener> = Arc::downgrade(&listener);
    writer.connect(listener);
    let engine =
        RtpEngine::start(Settings { threads: THREADS, ..Settings::default() }, Arc::new(NoSounds));
    let engine = engine.expect("it starts");
    let n_legs = rooms * PER_ROOM;
    let talking = Talking::begin(dial(&engine, n_legs, PER_ROOM, None));
    thread::sleep(SETTLE);

    let [mut plain, mut of_rooms, mut of_calls] = [Vec::new(), Vec::new(), Vec::new()];
    let room = |n: usize| RecordingSource::Room(RoomId::of(n as u128));
    let call = |n: usize| RecordingSource::Call(CallId::of(n as u128 + 1));
    for _ in 0..rounds {
        plain.push(phase(&engine, n_legs, run));
        for (sources, phases) in [
            ((0..rooms).map(room).collect::<Vec<_>>(), &mut of_rooms),
            ((0..rooms).map(|n| call(n * PER_ROOM)).collect(), &mut of_calls),
        ] {
            let begun = begin(&engine, &writer, &sources);
            thread::sleep(SETTLE);
            phases.push(phase(&engine, n_legs, run));
            end(&engine, &writer, &sources, &begun, &ends);
            drop(fs::remove_dir_all(folder.path().join("1970")));
        }
    }
    talking.end();
    report(rooms, n_legs, &[&plain, &of_rooms, &of_calls]);
    let lost = ends.lost_samples.load(Ordering::Relaxed);
    say(&format!("  samples that the disk was too slow for: {lost}\n"));
}

fn report(rooms: usize, n_legs: usize, [plain, of_rooms, of_calls]: &[&[Phase]; 3]) {
    let figure = |phases: &[Phase], of: fn(&Phase) -> f64| median(phases.iter().map(of).collect());
    say(&format!(
        "{rooms} rooms with {n_legs} legs on {THREADS} threads    p99.9 late    sent    leg and tick: mixer   writer"
    ));
    for (name, phases) in [
        ("not recorded", plain),
        ("each room recorded", of_rooms),
        ("a call of each, stereo", of_calls),
    ] {
        let (late, sent) = (figure(phases, |it| it.late_ms), figure(phases, |it| it.sent_share));
        let (mixer, writer) = (figure(phases, |it| it.mixer_ns), figure(phases, |it| it.writer_ns));
        say(&format!("  {name:34} {late:8.1} ms {sent:8.2} % {mixer:19.0} ns {writer:5.0} ns"));
    }
    let late = [plain, of_rooms].map(|it| figure(it, |it| it.late_ms));
    let (ratio, met) = (late[1] / late[0], late[1] <= 5.0 && late[1] <= 1.2 * late[0]);
    say(&format!(
        "  p99.9 late with recordings: {:.1} ms, {ratio:.2} × that without (at most 5 ms and 1.2 ×): {}",
        late[1],
        verdict(met)
    ));
    // One leg in two is recorded.
    let all = |phases: &[Phase]| figure(phases, |it| it.mixer_ns + it.writer_ns);
    let unrecorded = all(plain);
    let recorded = unrecorded + (all(of_calls) - unrecorded) * PER_ROOM as f64;
    say(&format!(
        "  CPU time of a leg and tick: {unrecorded:.0} ns, recorded {recorded:.0} ns: {:.2} ×",
        recorded / unrecorded
    ));
}

/// Watches the engine for a while.
fn phase(engine: &RtpEngine, n_legs: usize, run: Duration) -> Phase {
    let gauges = engine.gauges();
    gauges.late.clear();
    let (sent, cpu, begun) = (gauges.sent.load(Ordering::Relaxed), cpu(), now());
    thread::sleep(run);
    let ticks = begun.elapsed().as_secs_f64() / TICK.as_secs_f64();
    let (sent, after) = (gauges.sent.load(Ordering::Relaxed) - sent, self::cpu());
    let due = ticks * n_legs as f64;
    let [mixer_ns, writer_ns] = [0, 1].map(|it| (after[it] - cpu[it]) * 1e9 / due);
    Phase {
        late_ms: gauges.late.quantile(0.999).as_secs_f64() * 1_000.0,
        sent_share: sent as f64 / due * 100.0,
        mixer_ns,
        writer_ns,
    }
}

fn begin(
    engine: &RtpEngine,
    writer: &RecordingWriter,
    sources: &[RecordingSource],
) -> Vec<RecordingId> {
    let begin = |source: &RecordingSource| {
        let channels = match source {
            RecordingSource::Room(_) => RecordingChannels::Mono,
            RecordingSource::Call(_) => RecordingChannels::Stereo,
        };
        let recording = recording(channels);
        let feed = writer.begin(&recording, now()).expect("there is space");
        engine.send(AudioOrder::Record { source: *source, feed });
        recording.id
    };
    sources.iter().map(begin).collect()
}

/// Ends recordings, and waits until their files are closed.
fn end(
    engine: &RtpEngine,
    writer: &RecordingWriter,
    sources: &[RecordingSource],
    begun: &[RecordingId],
    ends: &EndCounter,
) {
    let wanted = ends.ended.load(Ordering::Relaxed) + begun.len() as u64;
    for (source, recording) in sources.iter().zip(begun) {
        engine.send(AudioOrder::StopRecording { source: *source, recording: *recording });
        writer.end(*recording, now(), RecordingEndReason::Stopped);
    }
    while ends.ended.load(Ordering::Relaxed) < wanted {
        thread::sleep(TICK);
    }
}

fn recording(channels: RecordingChannels) -> Recording {
    Recording {
        id: RecordingId(Uuid::new_v4()),
        account: "MA1".parse().expect("an account"),
        call: CallId::of(1),
        from: "1".into(),
        to: "2".into(),
        conference: None,
        api_id: Uuid::nil(),
        channels,
        format: RecordingFormat::Wav,
        started_at: SystemTime::UNIX_EPOCH,
        callback: None,
        audience: None,
        end: None,
    }
}

/// Seconds of CPU time of the mixer threads, and of the writer.
fn cpu() -> [f64; 2] {
    let mut seconds = [0.0; 2];
    let tasks = fs::read_dir("/proc/self/task").expect("this is Linux");
    for task in tasks.flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let nanos: f64 = stat.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or_default();
        match name.trim() {
            "recordings" => seconds[1] += nanos / 1e9,
            name if name.starts_with("sound") => seconds[0] += nanos / 1e9,
            _ => (),
        }
    }
    seconds
}
