//! Token bucket: limits how often something may happen. Time is an argument.

use std::time::{Duration, Instant};

/// How fast a bucket refills, and how much it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BucketRate {
    /// The time in which one token comes back.
    pub interval: Duration,
    /// The time in which an empty bucket fills up: `interval` for each token that it holds, or a bit
    /// more, since an interval is rounded down to whole nanoseconds.
    pub fill: Duration,
}

/// A bucket, full at first. Its state is the time at which it will be full again.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenBucket {
    /// None while the bucket is full.
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// Takes `count` tokens, or none.
    ///
    /// # Errors
    ///
    /// The time until the bucket has `count` tokens.
    pub fn take(&mut self, now: Instant, rate: BucketRate, count: u32) -> Result<(), Duration> {
        self.full_at = Some(self.after(now, rate, count)?);
        Ok(())
    }

    /// Whether the bucket has a token.
    ///
    /// # Errors
    ///
    /// How long it is until there is one.
    pub fn check(&self, now: Instant, rate: BucketRate) -> Result<(), Duration> {
        self.after(now, rate, 1).map(drop)
    }

    /// Whether it may be forgotten: a new one is full as well.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }

    /// The time at which it is full; None if it was never touched. The later, the emptier it is.
    pub fn full_at(&self) -> Option<Instant> {
        self.full_at
    }

    /// When it would be full again.
    fn after(&self, now: Instant, rate: BucketRate, count: u32) -> Result<Instant, Duration> {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + rate.interval * count;
        let wait = full_at.saturating_duration_since(now + rate.fill);
        match wait.is_zero() {
            true => Ok(full_at),
            false => Err(wait),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use super::*;

    const RATE: BucketRate =
        BucketRate { interval: Duration::from_secs(1), fill: Duration::from_secs(3) };

    fn wait(ms: u64) -> Result<(), Duration> {
        Err(Duration::from_millis(ms))
    }

    #[test]
    fn a_bucket_gives_all_at_once_and_then_one_at_a_time() {
        let (start, mut bucket) = (Instant::now(), TokenBucket::default());
        let mut take = |ms| bucket.take(start + Duration::from_millis(ms), RATE, 1);
        assert_eq!([take(0), take(0), take(0)], [Ok(()); 3]);
        assert_eq!([take(0), take(400), take(1_000)], [wait(1_000), wait(600), Ok(())]);
        assert_eq!([take(1_000), take(60_000), take(60_000)], [wait(1_000), Ok(()), Ok(())]);
        assert_eq!([take(60_000), take(60_000)], [Ok(()), wait(1_000)]);
    }

    #[test]
    fn tokens_are_taken_together_or_not_at_all() {
        let (now, mut bucket) = (Instant::now(), TokenBucket::default());
        assert_eq!(
            [2, 3, 2, 1].map(|count| bucket.take(now, RATE, count)),
            [Ok(()), wait(2_000), wait(1_000), Ok(())]
        );
        assert_eq!(bucket.take(now, RATE, 1), wait(1_000));
    }

    #[test]
    fn a_check_takes_nothing_and_a_full_bucket_is_like_a_new_one() {
        let (start, mut bucket) = (Instant::now(), TokenBucket::default());
        assert_eq!([bucket.check(start, RATE), bucket.check(start, RATE)], [Ok(()); 2]);
        assert!(bucket.is_full(start));
        bucket.take(start, RATE, 3).unwrap();
        assert_eq!(bucket.check(start, RATE), wait(1_000));
        assert!(!bucket.is_full(start + Duration::from_millis(2_999)));
        assert!(bucket.is_full(start + Duration::from_secs(3)));
    }
}
