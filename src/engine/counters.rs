//! Counters: figures about calls and rooms, counted from the registry's events without a lock.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{
    registry::Observed,
    restore::{RestorePlan, Restored},
};
use crate::{
    call::{self, CallDirection},
    conference::ConferenceEvent,
    flow::Cause,
};

/// Totals that only rise. The current number of calls or rooms is the difference of two.
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
    /// Of the last process: restored, their callers had left, and ended as crashed.
    recovered: [AtomicU64; 3],
    recovery_micros: AtomicU64,
}

/// One total for each of [`Cause::ALL`].
type ByCause = [AtomicU64; Cause::ALL.len()];

impl CallCounters {
    /// Counts an event of the registry.
    pub fn note(&self, trace: &Observed) {
        match trace {
            Observed::Turn(turn) => turn.events.iter().for_each(|it| self.note(it)),
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
            Observed::Dialled { .. } | Observed::Recording { .. } => (),
            Observed::Began { .. } | Observed::Left { .. } | Observed::Requeued { .. } => (),
            Observed::Attempted { .. } | Observed::RecordingChanged { .. } => (),
            Observed::Resumed { .. } => (),
            Observed::Fetched { .. } | Observed::PassedOver { .. } => (),
            Observed::Fetching { .. } | Observed::Warned { .. } | Observed::Requested { .. } => (),
        }
    }

    /// Counts what a start has done with the calls of the last process. Restored ones count as begun.
    pub fn recovered(&self, restored: Restored, crashed: usize, took: Duration) {
        let Restored { calls, left, rooms: _ } = restored;
        for (total, count) in self.recovered.iter().zip([calls, left, crashed]) {
            total.fetch_add(count as u64, Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.recovery_micros.store(micros, Relaxed);
    }

    /// Counts calls and rooms that go on from the last process.
    pub fn restoring(&self, plan: &RestorePlan) {
        for call in plan.each_call() {
            match call.party.direction {
                CallDirection::Inbound => increment(&self.inbound),
                CallDirection::Outbound => increment(&self.outbound),
            }
        }
        for (members, is_live) in plan.each_room() {
            self.entered.fetch_add(members as u64, Relaxed);
            self.started.fetch_add(u64::from(is_live), Relaxed);
        }
    }

    /// Calls of the last process by what has become of them, with a name for each.
    pub fn recovered_calls(&self) -> [(&'static str, u64); 3] {
        let names = ["restored", "caller-left", "crashed"];
        std::array::from_fn(|at| (names[at], self.recovered[at].load(Relaxed)))
    }

    /// How long the start has taken to restore the calls of the last process.
    pub fn recovery(&self) -> Duration {
        Duration::from_micros(self.recovery_micros.load(Relaxed))
    }

    /// Calls of a direction that have begun, ended ones included.
    pub fn calls(&self, direction: CallDirection) -> u64 {
        match direction {
            CallDirection::Inbound => self.inbound.load(Relaxed),
            CallDirection::Outbound => self.outbound.load(Relaxed),
        }
    }

    /// Calls that are up now.
    pub fn calls_now(&self) -> u64 {
        let ended = self.ended.load(Relaxed);
        let begun = self.calls(CallDirection::Inbound) + self.calls(CallDirection::Outbound);
        begun.saturating_sub(ended)
    }

    /// Entries into conferences; a call that enters twice counts twice.
    pub fn entered(&self) -> u64 {
        self.entered.load(Relaxed)
    }

    /// Exits from conferences by a cause.
    pub fn exited(&self, cause: Cause) -> u64 {
        of(&self.exited, cause).load(Relaxed)
    }

    /// Members that are in a conference now.
    pub fn members_now(&self) -> u64 {
        let exited: u64 = Cause::ALL.iter().map(|it| self.exited(*it)).sum();
        self.entered().saturating_sub(exited)
    }

    /// Joins that were refused by a cause.
    pub fn refused(&self, cause: Cause) -> u64 {
        of(&self.refused, cause).load(Relaxed)
    }

    /// Conferences that have started, ended ones included.
    pub fn conferences(&self) -> u64 {
        self.started.load(Relaxed)
    }

    /// Conferences that have started and are not over.
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
    &totals[place.expect("`Cause::ALL` has every cause")]
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
