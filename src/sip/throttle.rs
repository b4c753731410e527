//! Rate limits: a token bucket for each source, checked before anything is parsed.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// The rate limit of one kind of source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// Messages per second in the long run.
    pub per_second: u32,
    /// Messages that may come at once.
    pub burst: u32,
}

/// The token buckets of all sources.
#[derive(Debug)]
pub struct Throttle {
    buckets: BTreeMap<IpAddr, ThrottleBucket>,
    sources_max: usize,
    swept_at: Option<Instant>,
}

/// A token bucket; the time at which it is full again is all its state.
#[derive(Debug)]
struct ThrottleBucket {
    full_at: Instant,
}

/// Interval between sweeps of a full table, so that forged sources cannot cost us time.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Limit of buckets, 40 bytes each, so that forged sources cannot fill the memory.
pub const SOURCES_MAX: usize = 65_536;

impl Throttle {
    /// Creates an empty table that holds up to `sources_max` sources.
    pub fn new(sources_max: usize) -> Self {
        Self { buckets: BTreeMap::new(), sources_max, swept_at: None }
    }

    /// Counts one message of a source. Returns false if the source is above its limit.
    pub fn admit(&mut self, now: Instant, source: IpAddr, rate: Rate) -> bool {
        let source = widen(source);
        let cost = Duration::from_secs(1) / rate.per_second.max(1);
        if let Some(bucket) = self.buckets.get_mut(&source) {
            let full_at = bucket.full_at.max(now) + cost;
            if full_at > now + cost * rate.burst.max(1) {
                return false;
            }
            bucket.full_at = full_at;
            return true;
        }

        let may_sweep = self.swept_at.is_none_or(|at| now >= at + SWEEP_EVERY);
        if self.buckets.len() >= self.sources_max && may_sweep {
            self.swept_at = Some(now);
            self.buckets.retain(|_, bucket| bucket.full_at > now);
        }
        if self.buckets.len() >= self.sources_max {
            return false;
        }
        self.buckets.insert(source, ThrottleBucket { full_at: now + cost });
        true
    }
}

/// A host with IPv6 can send from a whole /64, so the /64 is the source.
fn widen(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            IpAddr::from(segments)
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may ask what time it is")]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    #[test]
    fn a_source_may_send_a_burst_and_then_its_rate() {
        let (mut throttle, now) = (Throttle::new(8), Instant::now());
        let source = "192.0.2.1".parse().unwrap();
        let mut admits =
            |at_ms: u64| throttle.admit(now + Duration::from_millis(at_ms), source, RATE);
        assert_eq!([0, 0, 0, 0].map(&mut admits), [true, true, true, false]);
        assert_eq!(
            [100, 100, 500, 500, 500, 500].map(&mut admits),
            [true, false, true, true, true, false]
        );
    }

    #[test]
    fn one_source_does_not_starve_another() {
        let (mut throttle, now) = (Throttle::new(8), Instant::now());
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|it| it.parse().unwrap());
        while throttle.admit(now, a, RATE) {}
        assert!(throttle.admit(now, b, RATE));
        let [c, d] = ["2001:db8::1", "2001:db8::2"].map(|it| it.parse().unwrap());
        while throttle.admit(now, c, RATE) {}
        assert!(!throttle.admit(now, d, RATE), "the same /64");
    }

    #[test]
    fn the_table_of_sources_is_bounded_and_forgets() {
        let (mut throttle, now) = (Throttle::new(2), Instant::now());
        let source = |n: u8| IpAddr::from([192, 0, 2, n]);
        assert!(throttle.admit(now, source(1), RATE));
        assert!(throttle.admit(now, source(2), RATE));
        assert!(!throttle.admit(now, source(3), RATE));
        assert!(throttle.admit(now + Duration::from_secs(1), source(3), RATE));
    }
}
