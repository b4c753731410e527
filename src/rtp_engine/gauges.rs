//! What is counted: what there is at the moment, and how well the ticks keep time.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Figures of a plane, for metrics. All may be read at any time.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Calls whose sound is open.
    pub legs: AtomicUsize,
    /// Sockets that are bound: two for each leg.
    pub sockets: AtomicUsize,
    /// Rooms that are mixed.
    pub rooms: AtomicUsize,
    /// Packets sent, of sound and of key presses.
    pub sent: AtomicU64,
    /// Packets that the system would not send.
    pub unsent: AtomicU64,
    /// Packets received that were the far end's.
    pub received: AtomicU64,
    /// Datagrams dropped: from strangers, of payload types not agreed on, or malformed.
    pub dropped: AtomicU64,
    /// How late ticks begin.
    pub late: Histogram,
    /// How late they are over: the last packet of a tick is out.
    pub done: Histogram,
}

/// How often something took how long, in steps of 100 µs.
pub struct Histogram([AtomicU64; STEPS]);

/// Beyond 25.5 ms it is all the same: the next tick is due.
const STEPS: usize = 256;

const STEP: Duration = Duration::from_micros(100);

impl Histogram {
    /// Counts one.
    pub fn count(&self, took: Duration) {
        let step = (took.as_micros() / STEP.as_micros()).min(STEPS as u128 - 1);
        self.0[step as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|it| it.load(Ordering::Relaxed)).sum()
    }

    /// What at least this share of all, from 0 to 1, did not exceed, rounded up to a step.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.total() as f64 * share).ceil() as u64;
        let mut sum = 0;
        let step = self.0.iter().position(|it| {
            sum += it.load(Ordering::Relaxed);
            wanted <= sum
        });
        STEP * (step.unwrap_or(STEPS - 1) as u32 + 1)
    }

    /// Begins anew.
    pub fn clear(&self) {
        self.0.iter().for_each(|it| it.store(0, Ordering::Relaxed));
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; STEPS])
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantiles = [0.5, 0.99, 0.999].map(|it| self.quantile(it));
        f.debug_tuple("Histogram").field(&self.total()).field(&quantiles).finish()
    }
}

/// Counts something for as long as it is there.
#[derive(Debug)]
pub(super) struct Counted {
    gauges: Arc<Gauges>,
    gauge: fn(&Gauges) -> &AtomicUsize,
    n: usize,
}

impl Counted {
    pub(super) fn new(gauges: &Arc<Gauges>, n: usize, gauge: fn(&Gauges) -> &AtomicUsize) -> Self {
        gauge(gauges).fetch_add(n, Ordering::Relaxed);
        Self { gauges: Arc::clone(gauges), gauge, n }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.gauge)(&self.gauges).fetch_sub(self.n, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_rounded_up_to_a_step() {
        let histogram = Histogram::default();
        assert_eq!(histogram.total(), 0);
        for us in [0, 99, 100, 250] {
            histogram.count(Duration::from_micros(us));
        }
        histogram.count(Duration::from_secs(9));
        let quantiles = [0.4, 0.6, 0.8, 1.0].map(|it| histogram.quantile(it).as_micros());
        assert_eq!(quantiles, [100, 200, 300, 25_600]);
    }

    #[test]
    fn what_is_gone_is_not_counted() {
        let gauges = Arc::new(Gauges::default());
        let counted = Counted::new(&gauges, 2, |it| &it.sockets);
        assert_eq!(gauges.sockets.load(Ordering::Relaxed), 2);
        drop(counted);
        assert_eq!(gauges.sockets.load(Ordering::Relaxed), 0);
    }
}
