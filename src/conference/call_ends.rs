//! Call ends: when the time of the members' calls is up.
//!
//! A room does not keep the end of each call twice. It knows those of the next minute, and looks at
//! all members at most once a minute for those of the minute after.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::base::ids::MemberId;

/// The time from one look at all members to the next.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// The ends of the members' calls, as far as they are needed.
#[derive(Debug)]
pub(super) struct CallEnds {
    /// Those before `known_until`. Members who have left may still be in it.
    soon: BTreeSet<(Instant, MemberId)>,
    known_until: Instant,
    /// No other call ends before this time.
    others_at: Option<Instant>,
}

impl CallEnds {
    /// Those of a room without members.
    pub(super) fn new(now: Instant) -> Self {
        Self { soon: BTreeSet::new(), known_until: now + LOOK_INTERVAL, others_at: None }
    }

    pub(super) fn add(&mut self, at: Instant, member: MemberId) {
        if at < self.known_until {
            self.soon.insert((at, member));
        } else {
            self.others_at = Some(self.others_at.map_or(at, |it| it.min(at)));
        }
    }

    /// No member's call ends before this time.
    pub(super) fn first(&self) -> Option<Instant> {
        let soon = self.soon.first().map(|(at, _)| *at);
        soon.into_iter().chain(self.others_at).min()
    }

    /// The members whose calls end by now, in the order of their ends; some may have left. `members`
    /// are the ends of all.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        members: impl Iterator<Item = (Instant, MemberId)>,
    ) -> Vec<MemberId> {
        if self.others_at.is_some_and(|at| at <= now) {
            (self.known_until, self.others_at) = (now + LOOK_INTERVAL, None);
            members.for_each(|(at, member)| self.add(at, member));
        }
        let mut due = Vec::new();
        while let Some((_, member)) = self.soon.first().filter(|(at, _)| *at <= now) {
            due.push(*member);
            self.soon.pop_first();
        }
        due
    }

    pub(super) fn clear(&mut self) {
        self.soon.clear();
        self.others_at = None;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a place to start; any will do")]
    fn each_end_is_in_time_and_a_minute_of_them_takes_one_look_at_all() {
        let start = Instant::now();
        let end = |n: u64| start + Duration::from_secs(3_600) + Duration::from_millis(100 * n);
        let members: Vec<_> = (0..1_200).map(|n| (end(n), MemberId(n))).collect();
        let (mut ends, looked_at) = (CallEnds::new(start), Cell::new(0));
        members.iter().for_each(|(at, member)| ends.add(*at, *member));
        ends.add(start + Duration::from_secs(5), MemberId(9_999));
        let mut ended = Vec::new();
        while let Some(at) = ends.first() {
            let left = members.iter().skip(ended.len().saturating_sub(1)).copied();
            let left = left.inspect(|_| looked_at.set(looked_at.get() + 1));
            ended.extend(ends.take_due(at, left).into_iter().map(|it| (at, it)));
        }
        let first = (start + Duration::from_secs(5), MemberId(9_999));
        assert_eq!(ended, [&[first], &members[..]].concat());
        assert!(looked_at.get() <= 3 * members.len(), "{} looks", looked_at.get());
    }
}
