//! Trunk usage: the calls, calls per second and minutes of each trunk, and the calls that wait for it
//! (contract of calling out, section 3).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::trunk::OutboundTrunk;
use crate::base::{
    ids::{AccountId, CallId},
    token_bucket::{BucketRate, TokenBucket},
};

/// What all trunks are used for.
#[derive(Debug, Default)]
pub struct TrunkUsage {
    rows: BTreeMap<Arc<str>, TrunkRow>,
    calls: BTreeMap<CallId, UsedTrunk>,
    /// Whether a call has left a trunk since this was last asked.
    is_freed: bool,
    /// The answered calls that have ended since this was last asked.
    talked: Vec<TalkedTime>,
}

/// The answered time of a call through a trunk that has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TalkedTime {
    /// The name of the trunk that has carried it.
    pub trunk: Arc<str>,
    /// The account that has made the call.
    pub account: AccountId,
    /// The time from the answer to the end.
    pub time: Duration,
}

/// Answered time of calls of an earlier process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EarlierTime {
    /// The sum of the calls.
    pub talked: TalkedTime,
    /// How long ago they have begun; after 24 hours, they count no more.
    pub ago: Duration,
}

#[derive(Debug, Default)]
struct TrunkRow {
    live: u32,
    bucket: TokenBucket,
    /// Answered time of ended calls, by account, in spans of an hour: the sum, and until when it counts.
    ended: BTreeMap<AccountId, VecDeque<(Instant, Duration)>>,
    /// The calls that wait, and until when.
    waiting: VecDeque<(CallId, Instant)>,
}

/// The trunk that a call has been sent through.
#[derive(Debug)]
pub(super) struct UsedTrunk {
    pub(super) trunk: Arc<str>,
    pub(super) account: AccountId,
    pub(super) answered_at: Option<Instant>,
}

/// A limit of a trunk that is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TrunkLimit {
    /// `calls_max`; a call must end first.
    Calls,
    /// `calls_per_second`, for this long.
    Rate(Duration),
    /// `minutes_per_day`; waiting does not help.
    Minutes,
}

/// Minutes are counted over the last 24 hours, so that no clock of days is needed.
const DAY: Duration = Duration::from_secs(86_400);

/// Ended calls are summed up by the hour.
const SPAN: Duration = Duration::from_secs(3_600);

impl TrunkUsage {
    /// Counts a call that begins to use a trunk. It must use no other.
    ///
    /// # Errors
    ///
    /// A limit of the trunk is reached, and nothing is counted.
    pub fn take(
        &mut self,
        now: Instant,
        call: CallId,
        (name, trunk): (&Arc<str>, &OutboundTrunk),
        account: &AccountId,
    ) -> Result<(), TrunkLimit> {
        let minutes = trunk.minutes_per_day.map(|it| Duration::from_secs(60) * it);
        if minutes.is_some_and(|it| it <= self.used(now, name, account)) {
            return Err(TrunkLimit::Minutes);
        }
        let row = self.rows.entry(name.clone()).or_default();
        if trunk.calls_max <= row.live {
            return Err(TrunkLimit::Calls);
        }
        row.bucket.take(now, rate(trunk), 1).map_err(TrunkLimit::Rate)?;
        row.live += 1;
        let (trunk, account) = (name.clone(), account.clone());
        let before = self.calls.insert(call, UsedTrunk { trunk, account, answered_at: None });
        debug_assert!(before.is_none(), "a call uses one trunk at a time");
        Ok(())
    }

    /// Notes that a call has been answered: its minutes count.
    pub fn answered(&mut self, now: Instant, call: CallId) {
        if let Some(used) = self.calls.get_mut(&call) {
            used.answered_at = Some(now);
        }
    }

    /// Returns the trunk that a call uses.
    pub(super) fn of_call(&self, call: CallId) -> Option<&UsedTrunk> {
        self.calls.get(&call)
    }

    /// Counts a call that uses a trunk since before this process began. No limit ends it.
    pub(super) fn restore(&mut self, call: CallId, used: UsedTrunk) {
        self.rows.entry(used.trunk.clone()).or_default().live += 1;
        self.calls.insert(call, used);
    }

    /// Counts calls of an earlier process, the oldest first.
    pub fn recall(&mut self, now: Instant, earlier: Vec<EarlierTime>) {
        for EarlierTime { talked: TalkedTime { trunk, account, time }, ago } in earlier {
            let until = now + DAY.saturating_sub(ago);
            let spans = self.rows.entry(trunk).or_default().ended.entry(account).or_default();
            spans.push_back((until, time));
        }
    }

    /// Notes that a call is over; its trunk may still have to confirm that.
    pub fn hung_up(&mut self, now: Instant, call: CallId) {
        let Some(used) = self.calls.get_mut(&call) else { return };
        let Some(answered_at) = used.answered_at.take() else { return };
        let Some(row) = self.rows.get_mut(&used.trunk) else { return };
        let time = now.saturating_duration_since(answered_at);
        let spans = row.ended.entry(used.account.clone()).or_default();
        spans.retain(|(until, _)| now < *until);
        match spans.back_mut().filter(|(until, _)| now + DAY < *until + SPAN) {
            Some((_, sum)) => *sum += time,
            None => spans.push_back((now + DAY, time)),
        }
        let (trunk, account) = (used.trunk.clone(), used.account.clone());
        self.talked.push(TalkedTime { trunk, account, time });
    }

    /// Returns the answered calls that have ended since the last time that this was asked.
    pub fn take_talked(&mut self) -> Vec<TalkedTime> {
        std::mem::take(&mut self.talked)
    }

    /// Notes that a call does not use its trunk any more, if it did.
    pub fn release(&mut self, now: Instant, call: CallId) {
        self.hung_up(now, call);
        let Some(used) = self.calls.remove(&call) else { return };
        let Some(row) = self.rows.get_mut(&used.trunk) else { return };
        row.live -= 1;
        self.is_freed = true;
    }

    /// The answered time of an account through a trunk in the last 24 hours.
    fn used(&self, now: Instant, name: &Arc<str>, account: &AccountId) -> Duration {
        let ended = self.rows.get(name).and_then(|it| it.ended.get(account));
        let ended = ended.into_iter().flatten().filter(|(until, _)| now < *until);
        let is_own = |it: &&UsedTrunk| it.trunk == *name && it.account == *account;
        let live = self.calls.values().filter(is_own).filter_map(|it| it.answered_at);
        let live = live.map(|at| now.saturating_duration_since(at));
        ended.map(|(_, time)| *time).chain(live).sum()
    }

    /// Lets a call wait for a trunk; it may wait for others, too.
    pub fn wait(&mut self, call: CallId, name: &Arc<str>, until: Instant) {
        self.rows.entry(name.clone()).or_default().waiting.push_back((call, until));
    }

    /// Takes a call off the list of those that wait for a trunk.
    pub fn stop_waiting(&mut self, call: CallId, name: &Arc<str>) {
        let Some(row) = self.rows.get_mut(name) else { return };
        match row.waiting.front() {
            // As a rule.
            Some((first, _)) if *first == call => drop(row.waiting.pop_front()),
            Some(_) | None => row.waiting.retain(|(it, _)| *it != call),
        }
    }

    /// Whether calls wait for a trunk, so that new ones wait behind them.
    pub fn has_waiting(&self, name: &Arc<str>) -> bool {
        self.rows.get(name).is_some_and(|it| !it.waiting.is_empty())
    }

    /// Returns the trunks that calls wait for.
    pub fn awaited(&self) -> Vec<Arc<str>> {
        let awaited = self.rows.iter().filter(|(_, row)| !row.waiting.is_empty());
        awaited.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the call that has waited longest for a trunk, and until when it waits.
    pub fn first_waiting(&self, name: &Arc<str>) -> Option<(CallId, Instant)> {
        self.rows.get(name)?.waiting.front().copied()
    }

    /// Whether a call may use a trunk now.
    ///
    /// # Errors
    ///
    /// The limit that is reached, minutes aside.
    pub fn check(
        &self,
        now: Instant,
        name: &Arc<str>,
        trunk: &OutboundTrunk,
    ) -> Result<(), TrunkLimit> {
        let Some(row) = self.rows.get(name) else { return Ok(()) };
        match trunk.calls_max <= row.live {
            true => Err(TrunkLimit::Calls),
            false => row.bucket.check(now, rate(trunk)).map_err(TrunkLimit::Rate),
        }
    }

    /// Whether a call has left a trunk since the last time that this was asked.
    pub fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.is_freed)
    }
}

fn rate(trunk: &OutboundTrunk) -> BucketRate {
    let second = Duration::from_secs(1);
    BucketRate { interval: second / trunk.calls_per_second.max(1), fill: second }
}
