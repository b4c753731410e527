//! Rate limits: requests of an account, and failed authentications.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
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
    /// For each account: ten times Plivo's limit, which is 300 in 5 seconds (contract 7).
    pub const DEFAULT: Self = Self::of(3_000, Duration::from_secs(5));

    pub(super) const fn of(requests: u32, period: Duration) -> Self {
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

/// Limits of failed authentications. Credentials are verified first: only a request that fails meets
/// a limit, so nobody is kept out by the failures of others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FailureLimits {
    /// Failures of one address, whatever it names. A whole office behind one address stays far below
    /// it, and ten guesses a second are no threat to a token.
    pub by_address: RateLimit,
    /// Failures of one address with the same name of an account, person or till.
    pub by_name: RateLimit,
}

impl Default for FailureLimits {
    fn default() -> Self {
        let period = Duration::from_secs(60);
        Self { by_address: RateLimit::of(600, period), by_name: RateLimit::of(60, period) }
    }
}

/// Counts of failed authentications.
pub(super) struct Failures {
    by_address: FailureCounts,
    by_name: FailureCounts,
}

impl Failures {
    pub(super) fn new(limits: FailureLimits) -> Self {
        let FailureLimits { by_address, by_name } = limits;
        Self { by_address: FailureCounts::new(by_address), by_name: FailureCounts::new(by_name) }
    }

    /// Counts a failure; `name` is what the request named, if that is not a secret. The error is the
    /// time until the address may fail again.
    pub(super) fn failed(
        &self,
        now: Instant,
        peer: IpAddr,
        name: Option<&str>,
    ) -> Result<(), Duration> {
        let by_name = name.map(|it| self.by_name.failed(now, Some(peer), it));
        let by_address = self.by_address.failed(now, Some(peer), "");
        let waits = [by_address.err(), by_name.and_then(Result::err)];
        waits.into_iter().flatten().max().map_or(Ok(()), Err)
    }

    /// Whether an address has failed too often.
    pub(super) fn is_over(&self, now: Instant, peer: IpAddr) -> bool {
        self.by_address.check(now, Some(peer), "").is_err()
    }
}

/// Failures by address and name. None as address stands for all addresses.
pub(super) struct FailureCounts {
    limit: RateLimit,
    /// Names are of any length, so their hashes are kept. Its keys are random: nobody can choose
    /// names that have one hash.
    hasher: RandomState,
    buckets: Mutex<BTreeMap<FailureKey, TokenBucket>>,
}

type FailureKey = (IpAddr, u64);

/// Some megabytes. When there are more, the half with the fewest failures is dropped: those who make
/// up names and addresses lose their own counts first.
const FAILURES_MAX: usize = 50_000;

impl FailureCounts {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, hasher: RandomState::new(), buckets: Mutex::default() }
    }

    /// Whether one more failure is allowed. The error is the time until it is.
    pub(super) fn check(
        &self,
        now: Instant,
        peer: Option<IpAddr>,
        name: &str,
    ) -> Result<(), Duration> {
        let bucket = self.buckets.lock().get(&self.key(peer, name)).copied().unwrap_or_default();
        bucket.check(now, self.limit.of_bucket())
    }

    /// Counts a failure. The error is the time until the next is allowed.
    pub(super) fn failed(
        &self,
        now: Instant,
        peer: Option<IpAddr>,
        name: &str,
    ) -> Result<(), Duration> {
        let key = self.key(peer, name);
        let mut buckets = self.buckets.lock();
        if FAILURES_MAX <= buckets.len() && !buckets.contains_key(&key) {
            shrink(&mut buckets, now);
        }
        buckets.entry(key).or_default().take(now, self.limit.of_bucket(), 1)
    }

    /// Forgets the failures with a name, from one address or (None) from all of them.
    pub(super) fn forgive(&self, peer: Option<IpAddr>, name: &str) {
        let key = self.key(peer, name);
        let mut buckets = self.buckets.lock();
        match peer {
            Some(_) => drop(buckets.remove(&key)),
            None => buckets.retain(|(_, name), _| *name != key.1),
        }
    }

    fn key(&self, peer: Option<IpAddr>, name: &str) -> FailureKey {
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), limited_source);
        (peer, self.hasher.hash_one(name))
    }
}

fn shrink(buckets: &mut BTreeMap<FailureKey, TokenBucket>, now: Instant) {
    buckets.retain(|_, it| !it.is_full(now));
    if FAILURES_MAX <= buckets.len() {
        let mut levels: Vec<_> = buckets.values().map(TokenBucket::full_at).collect();
        let middle = levels.len() / 2;
        let (_, median, _) = levels.select_nth_unstable(middle);
        let median = *median;
        // Equal ones are dropped, too: there may be nothing but them.
        buckets.retain(|_, it| median < it.full_at());
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
        let (start, counts) = (now(), FailureCounts::new(LIMIT));
        let [bad, near, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:1::1"].map(|it| it.parse().unwrap());
        let check = |after, peer, name| counts.check(start + after, Some(peer), name);
        assert!(check(Duration::ZERO, bad, "a").is_ok());
        (0..3).for_each(|_| counts.failed(start, Some(bad), "a").unwrap());
        let wait = Duration::from_secs(1);
        assert_eq!(check(Duration::ZERO, bad, "a"), Err(wait));
        assert_eq!(counts.failed(start, Some(bad), "a"), Err(wait));
        assert!(check(Duration::ZERO, near, "a").is_err(), "it is in the same network");
        assert!(check(Duration::ZERO, other, "a").is_ok());
        assert!(check(Duration::ZERO, bad, "b").is_ok());
        assert!(check(wait, bad, "a").is_ok());
        counts.failed(start, Some(other), "a").unwrap();
        counts.forgive(None, "a");
        assert!(check(Duration::ZERO, bad, "a").is_ok());
        assert!(counts.buckets.lock().is_empty());
    }

    #[test]
    fn failures_are_limited_by_name_and_by_address() {
        let limits = FailureLimits { by_name: RateLimit::of(1, LIMIT.period), by_address: LIMIT };
        let (start, failures) = (now(), Failures::new(limits));
        let [peer, other]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|it| it.parse().unwrap());
        let failed = |peer, name| failures.failed(start, peer, name);
        assert_eq!(failed(peer, Some("MA1")), Ok(()));
        assert_eq!(failed(peer, Some("MA1")), Err(Duration::from_secs(3)));
        assert_eq!(failed(peer, Some("MA2")), Ok(()));
        assert!(failures.is_over(start, peer) && !failures.is_over(start, other));
        assert_eq!(failed(peer, None), Err(Duration::from_secs(1)));
        assert_eq!(failed(other, Some("MA1")), Ok(()));
    }

    #[test]
    fn failures_take_no_more_room_than_they_may_and_the_worst_are_remembered() {
        let (start, counts) = (now(), FailureCounts::new(LIMIT));
        let bad = Some("192.0.2.1".parse().unwrap());
        (0..3).for_each(|_| counts.failed(start, bad, "").unwrap());
        let peer = |n: usize| Some(IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()));
        for n in 0..2 * FAILURES_MAX {
            counts.failed(start, peer(n), "").unwrap();
            assert!(counts.buckets.lock().len() <= FAILURES_MAX);
        }
        assert!(counts.check(start, bad, "").is_err());
    }
}
