//! The counters: what a registry tells, counted. It takes no lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::registry::Observed;
use crate::{
    call::{self, CallDirection},
    conference::ConferenceEvent,
    flow::Cause,
};

/// Totals that rise; what there is now is the difference of two.
#[derive(Debug, Default)]
pub struct CallCounters {
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

impl CallCounters {
    /// Counts what has happened.
    pub fn note(&self, trace: &Observed) {
        match trace {
            Observed::Call { party, event, .. } => match (event, party.direction) {
                (call::CallEvent::Begun, CallDirection::Inbound) => increment(&self.inbound),
                (call::CallEvent::Begun, CallDirection::Outbound) => increment(&self.outbound),
                (call::CallEvent::Ended(_), _) => increment(&self.ended),
                (call::CallEvent::Answered | call::CallEvent::Rang, _) => (),
            },
            Observed::Notice { notice, .. } => match &notice.event {
                ConferenceEvent::Entered { .. } => increment(&self.entered),
                ConferenceEvent::Exited { cause, .. } => increment(of(&self.exited, *cause)),
                ConferenceEvent::Started => increment(&self.started),
                ConferenceEvent::Over => increment(&self.over),
                ConferenceEvent::DigitsMatched { .. } | ConferenceEvent::FloorTaken { .. } => (),
            },
            Observed::Refused { cause, .. } => increment(of(&self.refused, *cause)),
            Observed::Began { .. } | Observed::Left { .. } | Observed::Requeued { .. } => (),
            Observed::Fetching { .. } | Observed::Warned { .. } | Observed::Requested { .. } => (),
        }
    }

    /// Calls that have begun in a direction.
    pub fn calls(&self, direction: CallDirection) -> u64 {
        match direction {
            CallDirection::Inbound => self.inbound.load(Relaxed),
            CallDirection::Outbound => self.outbound.load(Relaxed),
        }
    }

    /// Calls that are up.
    pub fn calls_now(&self) -> u64 {
        let ended = self.ended.load(Relaxed);
        let begun = self.calls(CallDirection::Inbound) + self.calls(CallDirection::Outbound);
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

fn increment(total: &AtomicU64) {
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
        let (counters, call) = (CallCounters::default(), CallId::of(1));
        for (n, cause) in Cause::ALL.iter().enumerate() {
            (0..=n).for_each(|_| counters.note(&Observed::Refused { call, cause: *cause }));
        }
        for (n, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!((counters.refused(*cause), counters.exited(*cause)), (n as u64 + 1, 0));
        }
    }
}
