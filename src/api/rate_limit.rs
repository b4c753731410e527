//! Rate limits: requests of an account, and failed authentications of an address.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};

use crate::base::{
    ids::AccountId,
    network::limited_source,
    token_bucket::{BucketRate, TokenBucket},
};

/// A number of requests at once, and as many again over each period.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateLimit {
    /// The size of a burst, and the number of requests per period.
    pub requests: NonZeroU32,
    /// The time in which an empty bucket is refilled.
    pub period: Duration,
}

impl RateLimit {
    /// The vendors' limit: 300 requests in 5 seconds for each account (contract 7).
    pub const VENDORS: Self = Self::of(300, Duration::from_secs(5));

    /// Failed authentications of one address. A whole office behind one address stays far below
    /// it, and ten guesses a second are no threat to a token.
    pub const FAILURES: Self = Self::of(600, Duration::from_secs(60));

    const fn of(requests: u32, period: Duration) -> Self {
        Self { requests: NonZeroU32::new(requests).expect("not zero"), period }
    }

    fn of_bucket(self) -> BucketRate {
        BucketRate { interval: self.period / self.requests.get(), fill: self.period }
    }
}

/// The rate limit of each account.
pub(super) struct PerAccount {
    pub(super) limit: RateLimit,
    /// One for each account that has sent a request, so their number is bounded.
    buckets: RwLock<HashMap<AccountId, Mutex<TokenBucket>>>,
}

impl PerAccount {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, buckets: RwLock::default() }
    }

    /// Counts a request. The error is the time until the next is allowed.
    pub(super) fn take(&self, now: Instant, account: &AccountId) -> Result<(), Duration> {
        self.take_all(now, account, 1)
    }

    /// Counts all of `count` requests, or none.
    pub(super) fn take_all(
        &self,
        now: Instant,
        account: &AccountId,
        count: u32,
    ) -> Result<(), Duration> {
        if let Some(bucket) = self.buckets.read().get(account) {
            return bucket.lock().take(now, self.limit.of_bucket(), count);
        }
        let mut buckets = self.buckets.write();
        buckets.entry(account.clone()).or_default().lock().take(now, self.limit.of_bucket(), count)
    }
}

/// The limit of failed authentications of each address.
pub(super) struct PerAddress {
    limit: RateLimit,
    buckets: Mutex<BTreeMap<IpAddr, TokenBucket>>,
    /// False until the first failure: until then, nobody takes the lock.
    is_used: AtomicBool,
}

/// Some hundred kilobytes. Beyond that all buckets are dropped: this limit cannot stop an attacker
/// who has more addresses.
const ADDRESSES_MAX: usize = 10_000;

impl PerAddress {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, buckets: Mutex::default(), is_used: AtomicBool::new(false) }
    }

    /// Whether an address may try. The error is the time until it may.
    pub(super) fn check(&self, now: Instant, peer: IpAddr) -> Result<(), Duration> {
        if !self.is_used.load(Ordering::Relaxed) {
            return Ok(());
        }
        let bucket = self.buckets.lock().get(&limited_source(peer)).copied().unwrap_or_default();
        bucket.check(now, self.limit.of_bucket())
    }

    /// Counts a failed authentication.
    pub(super) fn failed(&self, now: Instant, peer: IpAddr) {
        self.is_used.store(true, Ordering::Relaxed);
        let mut buckets = self.buckets.lock();
        let peer = limited_source(peer);
        if ADDRESSES_MAX <= buckets.len() && !buckets.contains_key(&peer) {
            buckets.clear();
        }
        // The request is refused already.
        let _ = buckets.entry(peer).or_default().take(now, self.limit.of_bucket(), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit::of(3, Duration::from_secs(3));

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn accounts_have_buckets_of_their_own() {
        let ids: [AccountId; 2] = ["MA1", "MA2"].map(|id| id.parse().unwrap());
        let (start, limits) = (now(), PerAccount::new(LIMIT));
        (0..3).for_each(|_| limits.take(start, &ids[0]).unwrap());
        assert!(limits.take(start, &ids[0]).is_err());
        assert!(limits.take(start, &ids[1]).is_ok());
    }

    #[test]
    fn all_are_counted_or_none() {
        let account: AccountId = "MA1".parse().unwrap();
        let (start, limits) = (now(), PerAccount::new(LIMIT));
        limits.take_all(start, &account, 2).unwrap();
        limits.take_all(start, &account, 2).unwrap_err();
        limits.take_all(start, &account, 1).unwrap();
        limits.take(start, &account).unwrap_err();
    }

    #[test]
    fn an_address_that_has_failed_too_often_waits() {
        let (start, limits) = (now(), PerAddress::new(LIMIT));
        let [bad, near, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:1::1"].map(|it| it.parse().unwrap());
        assert!(limits.check(start, bad).is_ok());
        (0..3).for_each(|_| limits.failed(start, bad));
        assert_eq!(limits.check(start, bad), Err(Duration::from_secs(1)));
        assert!(limits.check(start, near).is_err(), "it is in the same network");
        assert!(limits.check(start, other).is_ok());
        assert!(limits.check(start + Duration::from_secs(1), bad).is_ok());
    }

    #[test]
    fn failures_take_no_more_room_than_they_may() {
        let (start, limits) = (now(), PerAddress::new(LIMIT));
        let peer = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        (0..ADDRESSES_MAX).for_each(|n| limits.failed(start, peer(n)));
        assert_eq!(limits.buckets.lock().len(), ADDRESSES_MAX);
        limits.failed(start, peer(0));
        assert_eq!(limits.buckets.lock().len(), ADDRESSES_MAX);
        limits.failed(start, peer(ADDRESSES_MAX));
        assert_eq!(limits.buckets.lock().len(), 1);
    }
}
