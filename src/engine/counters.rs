//! The tally: what a house tells, counted. It takes no lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::registry::Trace;
use crate::{
    call::{self, Direction},
    conference::News,
    flow::Cause,
};

/// Totals that rise; what there is now is the difference of two.
#[derive(Debug, Default)]
pub struct Tally {
    inbound: AtomicU64,
    outbound: AtomicU64,
    ended: AtomicU64,
    entered: AtomicU64,
    exited: ByCause,
    refused: ByCause,
    started: AtomicU64,
    over: AtomicU64,
}

/// One for each of [`Cause::ALL`].
type ByCause = [AtomicU64; Cause::ALL.len()];

impl Tally {
    /// Counts what has happened.
    pub fn note(&self, trace: &Trace) {
        match trace {
            Trace::Call { party, news, .. } => match (news, party.direction) {
                (call::News::Begun, Direction::Inbound) => one_more(&self.inbound),
                (call::News::Begun, Direction::Outbound) => one_more(&self.outbound),
                (call::News::Ended(_), _) => one_more(&self.ended),
                (call::News::Answered | call::News::Rang, _) => (),
            },
            Trace::Notice { notice, .. } => match &notice.news {
                News::Entered { .. } => one_more(&self.entered),
                News::Exited { cause, .. } => one_more(of(&self.exited, *cause)),
                News::Started => one_more(&self.started),
                News::Over => one_more(&self.over),
                News::DigitsMatched { .. } | News::FloorTaken { .. } => (),
            },
            Trace::Refused { cause, .. } => one_more(of(&self.refused, *cause)),
            Trace::Began { .. } | Trace::Left { .. } | Trace::PassedOn { .. } => (),
            Trace::Fetching { .. } | Trace::Remarked { .. } | Trace::Requested { .. } => (),
        }
    }

    /// Calls that have begun in a direction.
    pub fn calls(&self, direction: Direction) -> u64 {
        match direction {
            Direction::Inbound => self.inbound.load(Relaxed),
            Direction::Outbound => self.outbound.load(Relaxed),
        }
    }

    /// Calls that are up.
    pub fn calls_now(&self) -> u64 {
        let ended = self.ended.load(Relaxed);
        let begun = self.calls(Direction::Inbound) + self.calls(Direction::Outbound);
        begun.saturating_sub(ended)
    }

    /// Entries of members.
    pub fn entered(&self) -> u64 {
        self.entered.load(Relaxed)
    }

    /// Exits of members by a cause.
    pub fn exited(&self, cause: Cause) -> u64 {
        of(&self.exited, cause).load(Relaxed)
    }

    /// Members that are in a conference.
    pub fn members_now(&self) -> u64 {
        let exited: u64 = Cause::ALL.iter().map(|it| self.exited(*it)).sum();
        self.entered().saturating_sub(exited)
    }

    /// Calls that were not let in by a cause.
    pub fn refused(&self, cause: Cause) -> u64 {
        of(&self.refused, cause).load(Relaxed)
    }

    /// Conferences that have started.
    pub fn conferences(&self) -> u64 {
        self.started.load(Relaxed)
    }

    /// Conferences that are on.
    pub fn conferences_now(&self) -> u64 {
        let over = self.over.load(Relaxed);
        self.conferences().saturating_sub(over)
    }
}

fn one_more(total: &AtomicU64) {
    total.fetch_add(1, Relaxed);
}

fn of(totals: &ByCause, cause: Cause) -> &AtomicU64 {
    let place = Cause::ALL.iter().position(|it| *it == cause);
    &totals[place.expect("all of them are there")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::CallId;

    #[test]
    fn each_cause_is_counted_for_itself() {
        let (tally, call) = (Tally::default(), CallId::of(1));
        for (n, cause) in Cause::ALL.iter().enumerate() {
            (0..=n).for_each(|_| tally.note(&Trace::Refused { call, cause: *cause }));
        }
        for (n, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!((tally.refused(*cause), tally.exited(*cause)), (n as u64 + 1, 0));
        }
    }
}
