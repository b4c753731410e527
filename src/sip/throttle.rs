//! Rate limits: a token bucket for each source, checked before anything is parsed.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::base::{
    network::limited_source,
    token_bucket::{BucketRate, TokenBucket},
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
    buckets: BTreeMap<IpAddr, TokenBucket>,
    sources_max: usize,
    swept_at: Option<Instant>,
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
        let (source, rate) = (limited_source(source), rate.of_bucket());
        if let Some(bucket) = self.buckets.get_mut(&source) {
            return bucket.take(now, rate, 1).is_ok();
        }

        let may_sweep = self.swept_at.is_none_or(|at| now >= at + SWEEP_EVERY);
        if self.buckets.len() >= self.sources_max && may_sweep {
            self.swept_at = Some(now);
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.buckets.len() >= self.sources_max {
            return false;
        }
        let mut bucket = TokenBucket::default();
        let is_admitted = bucket.take(now, rate, 1).is_ok();
        self.buckets.insert(source, bucket);
        is_admitted
    }
}

/// Wrong passwords of each endpoint from each address (OWASP ASVS 4.0.3, 2.2.1). Above the limit a
/// password is not compared, so a right one looks like a wrong one.
#[derive(Debug, Default)]
pub struct Guesses(BTreeMap<(IpAddr, Arc<str>), TokenBucket>);

/// Wrong passwords at once; one more is allowed every six minutes. A phone that is set up wrong is
/// noticed before.
pub const GUESSES_MAX: u32 = 10;

const GUESS_EVERY: Duration = Duration::from_secs(360);

/// Pairs of an address and an endpoint. A guess needs a nonce that was sent to its address, so
/// addresses cannot be forged.
const GUESSERS_MAX: usize = 10_000;

impl Guesses {
    const RATE: BucketRate =
        BucketRate { interval: GUESS_EVERY, fill: Duration::from_secs(360 * GUESSES_MAX as u64) };

    /// Whether the address may try another password of the endpoint.
    pub fn may_try(&self, now: Instant, source: IpAddr, user: &Arc<str>) -> bool {
        let bucket = self.0.get(&(limited_source(source), user.clone()));
        bucket.is_none_or(|it| it.check(now, Self::RATE).is_ok())
    }

    /// Counts a wrong password.
    pub fn failed(&mut self, now: Instant, source: IpAddr, user: &Arc<str>) {
        if GUESSERS_MAX <= self.0.len() {
            self.0.retain(|_, bucket| !bucket.is_full(now));
        }
        let key = (limited_source(source), user.clone());
        if self.0.len() < GUESSERS_MAX || self.0.contains_key(&key) {
            // It is refused already.
            let _ = self.0.entry(key).or_default().take(now, Self::RATE, 1);
        }
    }
}

impl Rate {
    fn of_bucket(self) -> BucketRate {
        let interval = Duration::from_secs(1) / self.per_second.max(1);
        BucketRate { interval, fill: interval * self.burst.max(1) }
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
