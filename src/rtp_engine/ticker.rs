//! The shell of a shard: a thread that wakes up every 20 ms.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use super::{mixer_thread::Shard, socket::Udp};
use crate::media::TICK;

/// The work of one thread.
#[derive(Debug)]
pub struct Ticker {
    epoch: Epoch,
    shard: Shard<Udp>,
}

/// What ticks are counted from, the same for all threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch {
    start: Instant,
    /// The same moment, as NTP has it.
    ntp: u64,
}

/// When the next tick is due. A thread that comes late makes up for it without a burst: its ticks
/// follow each other at twice the pace until it is back in time.
#[derive(Clone, Copy, Debug)]
struct Pace {
    start: Instant,
    /// The next tick.
    tick: u64,
    /// Not before this moment.
    earliest: Instant,
}

/// Who has slept for longer than this does not make up for it: nobody would listen.
const LATE_MAX: Duration = Duration::from_secs(1);

/// Before all that has no such wish, behind the system's own.
const NICE: i32 = -10;

/// Seconds from 1900, where NTP begins, to 1970.
const NTP_UNIX: u64 = 2_208_988_800;

impl Ticker {
    pub(super) fn new(epoch: Epoch, shard: Shard<Udp>) -> Self {
        Self { epoch, shard }
    }

    /// One tick, now. They are numbered from 1 on, alike for all tickers of a plane; to the legs
    /// it is exactly so many times 20 ms after the beginning.
    pub fn tick(&mut self, tick: u64) {
        let now = scheduled(self.epoch.start, tick);
        self.shard.tick(tick, now, self.epoch.ntp(now));
    }

    /// Ticks until it is told to end.
    pub(super) fn run(mut self, is_closed: &AtomicBool) {
        rise();
        let mut pace = Pace::new(self.epoch.start, now());
        while !is_closed.load(Ordering::Relaxed) {
            thread::sleep(pace.due().saturating_duration_since(now()));
            let begun = now();
            pace.begin(begun);
            let ntp = self.epoch.ntp(begun);
            let tick = AssertUnwindSafe(|| self.shard.tick(pace.tick, begun, ntp));
            if catch_unwind(tick).is_err() {
                tracing::error!("a fault in the media plane: all calls of a thread are lost");
                self.shard.fail();
            }
            let gauges = &self.shard.bench.gauges;
            gauges.late.count(begun.saturating_duration_since(pace.scheduled()));
            gauges.done.count(now().saturating_duration_since(pace.scheduled()));
            pace.end(begun);
        }
    }
}

/// Puts this thread before others that want its core: what is late here is heard. The system
/// allows it to root, or with `CAP_SYS_NICE`; without, a busy machine is heard.
fn rise() {
    // On Linux "this process" is this thread.
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::setpriority_process(None, NICE)
    {
        tracing::debug!(%error, "the media plane has no priority over other threads");
    }
}

impl Epoch {
    /// It begins now.
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

impl Pace {
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
    // In nanoseconds u64 is 584 years.
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

    /// Ticks that take so many ms, as (tick, ms at which it begins).
    fn check(took: &[u64], expected: &[(u64, u64)]) {
        let start = now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(start, start);
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
