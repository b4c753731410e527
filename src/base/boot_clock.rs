//! Boot clock: times that a later process understands.
//!
//! An [`Instant`] has a meaning in its process only. The kernel's monotonic clock, which it reads, goes
//! on until the machine is switched off, so rows have its nanoseconds.

use std::time::{Duration, Instant};

/// One reading of both clocks, which all others follow from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BootClock {
    start: Instant,
    start_nanos: u64,
}

impl BootClock {
    /// A clock that has shown `start` when the kernel's monotonic clock showed `start_nanos`.
    pub fn new(start: Instant, start_nanos: u64) -> Self {
        Self { start, start_nanos }
    }

    /// Nanoseconds since the machine's start; 0 if the time is before it.
    pub fn nanos(self, at: Instant) -> u64 {
        let nanos = |it: Duration| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX);
        match at.checked_duration_since(self.start) {
            Some(since) => self.start_nanos.saturating_add(nanos(since)),
            None => self.start_nanos.saturating_sub(nanos(self.start - at)),
        }
    }

    /// The time of so many nanoseconds since the machine's start. One that the process cannot name, which
    /// no row has, is the clock's own start.
    pub fn instant(self, nanos: u64) -> Instant {
        let time = match nanos.checked_sub(self.start_nanos) {
            Some(since) => self.start.checked_add(Duration::from_nanos(since)),
            None => self.start.checked_sub(Duration::from_nanos(self.start_nanos - nanos)),
        };
        time.unwrap_or(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it stands for the start of a process")]
    fn a_later_process_reads_the_times_of_an_earlier_one() {
        let first = BootClock::new(Instant::now(), 5_000_000_000);
        let later = BootClock::new(first.instant(8_000_000_000), 8_000_000_000);
        for nanos in [0, 1, 4_999_999_999, 5_000_000_000, 7_500_000_000, 90_000_000_000] {
            assert_eq!(first.nanos(first.instant(nanos)), nanos);
            assert_eq!(later.instant(first.nanos(first.instant(nanos))), later.instant(nanos));
        }
    }
}
