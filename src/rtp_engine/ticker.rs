//! Ticker: the thread that runs a mixer thread's ticks, every 20 ms.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant, SystemTime},
};

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use super::{engine_state::EngineState, mixer_thread::MixerThread, socket::UdpSocketPair};
use crate::media::TICK;

/// A mixer thread and its clock. Tests and benches call [`Ticker::tick`] themselves.
#[derive(Debug)]
pub struct Ticker {
    epoch: Epoch,
    mixer_thread: MixerThread<UdpSocketPair>,
}

/// The origin of ticks, shared by all threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch {
    start: Instant,
    /// `start` as an NTP timestamp.
    ntp: u64,
}

/// Schedule of the next tick. A late thread catches up without a burst: it ticks at twice the pace
/// until it is on time.
#[derive(Clone, Copy, Debug)]
struct TickPace {
    start: Instant,
    tick: u64,
    /// The next tick does not start before this.
    earliest: Instant,
}

/// A thread that is later than this skips the missed ticks: nobody would listen to them.
const LATE_MAX: Duration = Duration::from_secs(1);

/// Time between two looks at whether an engine that was handed over is closed.
const HANDED_OVER_POLL: Duration = Duration::from_millis(100);

/// Seconds from 1900, the origin of NTP, to 1970.
const NTP_UNIX: u64 = 2_208_988_800;

impl Ticker {
    pub(super) fn new(epoch: Epoch, mixer_thread: MixerThread<UdpSocketPair>) -> Self {
        Self { epoch, mixer_thread }
    }

    /// Runs one tick. Ticks are numbered from 1 on, alike for all tickers of an engine. The legs
    /// see the scheduled time, which is the start plus that many times 20 ms.
    pub fn tick(&mut self, tick: u64) {
        let now = scheduled(self.epoch.start, tick);
        self.mixer_thread.tick(tick, now, self.epoch.ntp(now));
    }

    /// Ticks until the engine is closed or handed over.
    pub(super) fn run(mut self, state: &EngineState) {
        raise_priority();
        let mut pace = TickPace::new(self.epoch.start, now());
        let is_closed = || state.is_closed.load(Ordering::Relaxed);
        while !is_closed() && state.handover.get().is_none() {
            thread::sleep(pace.due().saturating_duration_since(now()));
            let begun = now();
            pace.begin(begun);
            let ntp = self.epoch.ntp(begun);
            let tick = AssertUnwindSafe(|| self.mixer_thread.tick(pace.tick, begun, ntp));
            if catch_unwind(tick).is_err() {
                tracing::error!(
                    "the media engine panicked, which is a bug: all calls of one thread lose sound"
                );
                self.mixer_thread.fail();
            }
            let gauges = &self.mixer_thread.context.gauges;
            gauges.late.count(begun.saturating_duration_since(pace.scheduled()));
            gauges.done.count(now().saturating_duration_since(pace.scheduled()));
            pace.end(begun);
        }
        if let Some(gate) = state.handover.get() {
            self.mixer_thread.hand_over_to(gate);
            // Its legs last as long as the process: the end of one would be told.
            while !is_closed() {
                thread::sleep(HANDED_OVER_POLL);
            }
        }
    }
}

/// Gives this thread a real-time priority, the lowest one: delays are audible, and an ordinary thread waits
/// for others that it could not preempt (see "Mixer threads" in docs/performance.md). The system permits it
/// to root, with `CAP_SYS_NICE`, or by the limit `RTPRIO`.
fn raise_priority() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    let raised = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
    if let Err(error) = raised {
        tracing::debug!(
            ?error,
            "mixer threads have no real-time priority: grant CAP_SYS_NICE, or a limit RTPRIO of 1"
        );
    }
}

impl Epoch {
    pub(super) fn now() -> Self {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self { start: now(), ntp: ntp_of(since) + (NTP_UNIX << 32) }
    }

    fn ntp(self, now: Instant) -> u64 {
        self.ntp.wrapping_add(ntp_of(now.saturating_duration_since(self.start)))
    }

    pub(super) fn start(self) -> Instant {
        self.start
    }
}

fn ntp_of(since: Duration) -> u64 {
    (since.as_secs() << 32) + (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000
}

impl TickPace {
    fn new(start: Instant, now: Instant) -> Self {
        Self { start, tick: ticks(start, now) + 1, earliest: now }
    }

    fn scheduled(&self) -> Instant {
        scheduled(self.start, self.tick)
    }

    fn due(&self) -> Instant {
        self.scheduled().max(self.earliest)
    }

    fn begin(&mut self, now: Instant) {
        if LATE_MAX < now.saturating_duration_since(self.scheduled()) {
            self.tick = ticks(self.start, now);
        }
    }

    fn end(&mut self, begun: Instant) {
        self.tick += 1;
        self.earliest = begun + TICK / 2;
    }
}

fn scheduled(start: Instant, tick: u64) -> Instant {
    // A u64 holds 584 years of nanoseconds.
    start + Duration::from_nanos(TICK.as_nanos() as u64 * tick)
}

fn ticks(start: Instant, now: Instant) -> u64 {
    (now.saturating_duration_since(start).as_nanos() / TICK.as_nanos()) as u64
}

#[expect(clippy::disallowed_methods, reason = "this is the shell, and its thread has no tokio")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs ticks that take `took` ms each; checks each tick and the ms at which it begins.
    fn check(took: &[u64], expected: &[(u64, u64)]) {
        let start = now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = TickPace::new(start, start);
        let mut clock = start;
        let begun = took.iter().map(|ms| {
            clock = clock.max(pace.due());
            let begun = clock;
            pace.begin(begun);
            let tick = pace.tick;
            pace.end(begun);
            clock += Duration::from_millis(*ms);
            (tick, begun)
        });
        let expected: Vec<_> = expected.iter().map(|&(tick, ms)| (tick, at(ms))).collect();
        assert_eq!(begun.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn ticks_keep_to_an_absolute_schedule() {
        check(&[3, 19, 1], &[(1, 20), (2, 40), (3, 60)]);
    }

    #[test]
    fn a_late_thread_catches_up_at_twice_the_pace() {
        check(&[50, 1, 1, 1, 1, 1], &[(1, 20), (2, 70), (3, 80), (4, 90), (5, 100), (6, 120)]);
    }

    #[test]
    fn who_has_slept_for_long_does_not_make_up_for_it() {
        check(&[5_000, 1, 1], &[(1, 20), (251, 5_020), (252, 5_040)]);
    }

    #[test]
    fn ntp_counts_from_1900_in_fractions_of_a_second() {
        assert_eq!(ntp_of(Duration::from_millis(2_500)), (2 << 32) + (1 << 31));
        let epoch = Epoch::now();
        let later = epoch.ntp(epoch.start + Duration::from_secs(3));
        assert_eq!(later - epoch.ntp(epoch.start), 3 << 32);
        // 2024 had begun when this was written.
        assert!(3_913_056_000 < epoch.ntp >> 32, "{}", epoch.ntp >> 32);
    }
}
