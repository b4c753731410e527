//! Gauges of the RTP engine: current numbers of things, and the punctuality of the ticks.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Figures of an engine, for metrics. All may be read at any time, from any thread.
#[derive(Debug, Default)]
pub struct RtpGauges {
    /// Legs that are open: one for each call with sound.
    pub legs: AtomicUsize,
    /// UDP sockets that are bound: two for each leg.
    pub sockets: AtomicUsize,
    /// Rooms with at least one leg.
    pub rooms: AtomicUsize,
    /// Packets sent, of sound and of key presses.
    pub sent: AtomicU64,
    /// Packets that the system refused to send.
    pub unsent: AtomicU64,
    /// Packets received from the far ends.
    pub received: AtomicU64,
    /// Datagrams dropped, by their reason.
    dropped: [AtomicU64; PacketDrop::ALL.len()],
    /// Delay between the scheduled and the actual start of ticks.
    pub late: TickHistogram,
    /// Delay between the scheduled start of ticks and their last packet.
    pub done: TickHistogram,
}

/// The reason why a datagram is dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PacketDrop {
    /// No description has been exchanged yet.
    NoAgreement,
    /// It is neither RTP nor RTCP, or contradicts itself.
    Malformed,
    /// Its payload type has not been agreed on.
    PayloadType,
    /// It comes from somebody else.
    Stranger,
    /// Its sound is longer than 200 ms.
    TooLong,
    /// It came after its time.
    Late,
    /// A packet with its sequence number came before.
    Duplicate,
    /// Its numbers do not belong to the stream, and the next packet does not continue them.
    OtherStream,
    /// Its sound must be encrypted, and its tag is missing or wrong.
    Unauthentic,
}

impl PacketDrop {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 9] = [
        Self::NoAgreement,
        Self::Malformed,
        Self::PayloadType,
        Self::Stranger,
        Self::TooLong,
        Self::Late,
        Self::Duplicate,
        Self::OtherStream,
        Self::Unauthentic,
    ];

    /// The name in metrics and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoAgreement => "no_agreement",
            Self::Malformed => "malformed",
            Self::PayloadType => "payload_type",
            Self::Stranger => "stranger",
            Self::TooLong => "too_long",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::OtherStream => "other_stream",
            Self::Unauthentic => "unauthentic",
        }
    }

    /// Whether it is the network's doing: no peer is wrong, and the log says nothing.
    pub(super) fn is_usual(self) -> bool {
        matches!(self, Self::NoAgreement | Self::Late | Self::Duplicate | Self::OtherStream)
    }
}

impl RtpGauges {
    /// Counts a dropped datagram.
    pub(super) fn count_drop(&self, why: PacketDrop) {
        self.dropped[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many datagrams were dropped for this reason.
    pub fn dropped(&self, why: PacketDrop) -> u64 {
        self.dropped[why as usize].load(Ordering::Relaxed)
    }
}

/// Histogram of durations in steps of 100 µs.
pub struct TickHistogram([AtomicU64; STEPS]);

/// Durations above 25.5 ms share the last step: they are longer than a tick.
const STEPS: usize = 256;

const STEP: Duration = Duration::from_micros(100);

impl TickHistogram {
    /// Adds one duration to its step.
    pub fn count(&self, took: Duration) {
        let step = (took.as_micros() / STEP.as_micros()).min(STEPS as u128 - 1);
        self.0[step as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many durations were counted.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|it| it.load(Ordering::Relaxed)).sum()
    }

    /// Returns the duration that this share of all (0 to 1) did not exceed, rounded up to a step.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.total() as f64 * share).ceil() as u64;
        let mut sum = 0;
        let step = self.0.iter().position(|it| {
            sum += it.load(Ordering::Relaxed);
            wanted <= sum
        });
        STEP * (step.unwrap_or(STEPS - 1) as u32 + 1)
    }

    /// Removes all counted durations.
    pub fn clear(&self) {
        self.0.iter().for_each(|it| it.store(0, Ordering::Relaxed));
    }
}

impl Default for TickHistogram {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; STEPS])
    }
}

impl fmt::Debug for TickHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantiles = [0.5, 0.99, 0.999].map(|it| self.quantile(it));
        f.debug_tuple("TickHistogram").field(&self.total()).field(&quantiles).finish()
    }
}

/// Keeps something counted in a gauge until it is dropped.
#[derive(Debug)]
pub(super) struct GaugeGuard {
    gauges: Arc<RtpGauges>,
    gauge: fn(&RtpGauges) -> &AtomicUsize,
    n: usize,
}

impl GaugeGuard {
    pub(super) fn new(
        gauges: &Arc<RtpGauges>,
        n: usize,
        gauge: fn(&RtpGauges) -> &AtomicUsize,
    ) -> Self {
        gauge(gauges).fetch_add(n, Ordering::Relaxed);
        Self { gauges: Arc::clone(gauges), gauge, n }
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        (self.gauge)(&self.gauges).fetch_sub(self.n, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_rounded_up_to_a_step() {
        let histogram = TickHistogram::default();
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
        let gauges = Arc::new(RtpGauges::default());
        let counted = GaugeGuard::new(&gauges, 2, |it| &it.sockets);
        assert_eq!(gauges.sockets.load(Ordering::Relaxed), 2);
        drop(counted);
        assert_eq!(gauges.sockets.load(Ordering::Relaxed), 0);
    }
}
