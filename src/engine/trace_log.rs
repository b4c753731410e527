//! Trace log: turns the events of the registry into the lines of call traces.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;
use tokio::time;

use super::registry::Observed;
use crate::{
    base::ids::{AccountId, CallId},
    call::CallEvent,
    conference::{self, CalleeInfo, DialStep},
    trace::{
        self, CalleeNote, FetchRecord, Leaving, RequestWarning, Requested, TraceEvent, Traces,
    },
};

/// The traces of every call.
pub struct TraceLog(Mutex<Traces>);

impl TraceLog {
    /// An empty log that keeps [`trace::ENDED_MAX`] ended calls.
    pub fn new() -> Self {
        Self(Mutex::new(Traces::new(trace::ENDED_MAX)))
    }

    /// Takes an event of the registry, at the current time.
    pub fn note(&self, observed: &Observed) {
        let Some((call, line)) = trace_input(observed) else { return };
        let now = time::Instant::now().into_std();
        add_input(&mut self.0.lock(), now, call, line);
    }

    /// The account of a call; None if the call is unknown or its trace was dropped.
    pub fn account_of(&self, call: CallId) -> Option<AccountId> {
        self.0.lock().account_of(call).cloned()
    }

    /// The last document that a call needed and did not get; None if there is none.
    pub fn missing_document(&self, call: CallId) -> Option<Arc<FetchRecord>> {
        self.0.lock().missing_document(call)
    }

    /// The trace of an account's call; None if it is unknown or was dropped.
    pub fn show(&self, account: &AccountId, call: CallId) -> Option<trace::Trace> {
        let trace = self.0.lock().show(account, call);
        trace.map(|mut trace| {
            trace.add_sources();
            trace
        })
    }
}

impl Default for TraceLog {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for TraceLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").finish_non_exhaustive()
    }
}

/// Adds an event of the registry to `traces`, at a given time: for tests and the simulation.
pub fn note(traces: &mut Traces, now: Instant, observed: &Observed) {
    if let Some((call, line)) = trace_input(observed) {
        add_input(traces, now, call, line);
    }
}

enum TraceInput {
    Begun(AccountId),
    What(TraceEvent),
}

fn add_input(traces: &mut Traces, now: Instant, call: CallId, line: TraceInput) {
    match line {
        TraceInput::Begun(account) => traces.begin(now, call, account),
        TraceInput::What(what) => traces.note(now, call, what),
    }
}

fn trace_input(observed: &Observed) -> Option<(CallId, TraceInput)> {
    let (call, what) = match observed {
        Observed::Began { call, element, .. } => (*call, element.clone().into()),
        Observed::Call { account, call, event, .. } => match event {
            CallEvent::Begun => return Some((*call, TraceInput::Begun(account.clone()))),
            CallEvent::Ended(ending) => (*call, TraceEvent::Ended(*ending)),
            CallEvent::Answered | CallEvent::Rang => return None,
        },
        Observed::Attempted { call, attempt } => (*call, TraceEvent::Attempted(attempt.clone())),
        Observed::Dialled { call, event, .. } => {
            let CalleeInfo { call: callee, party } = &event.callee;
            let (what, is_over) = match &event.step {
                DialStep::Answered => ("answered", false),
                DialStep::Connected => ("connected", false),
                DialStep::Digits { .. } => return None,
                DialStep::Ended { ending, .. } => (ending.cause.name(), true),
            };
            let note = CalleeNote { call: *callee, to: party.to.clone(), what, is_over };
            (*call, TraceEvent::Callee(Box::new(note)))
        }
        Observed::Fetching { call, url, purpose } => {
            (*call, TraceEvent::Fetching { url: url.clone(), purpose: *purpose })
        }
        Observed::Fetched { call, record } => (*call, TraceEvent::Fetched(record.clone())),
        Observed::PassedOver { call, passed_over, .. } => {
            (*call, TraceEvent::PassedOver(passed_over.clone()))
        }
        Observed::Left { call, exit, by, .. } => {
            let (cause, reason) = (exit.cause, exit.reason.clone());
            let leaving = Leaving { cause, reason, by: *by };
            (*call, TraceEvent::Left(Box::new(leaving)))
        }
        Observed::Notice { room, notice } => match &notice.event {
            conference::ConferenceEvent::Entered { who, .. } => {
                (who.call, TraceEvent::Entered { room: room.clone(), member: who.member })
            }
            conference::ConferenceEvent::DigitsMatched { .. }
            | conference::ConferenceEvent::Exited { .. } => {
                return None;
            }
            conference::ConferenceEvent::FloorTaken { .. } => return None,
            conference::ConferenceEvent::Over | conference::ConferenceEvent::Started => {
                return None;
            }
        },
        // The call has not arrived yet.
        Observed::Requeued { .. } => return None,
        Observed::Refused { call, cause } => (*call, TraceEvent::Refused(*cause)),
        // Its events come one by one.
        Observed::Turn(_) => return None,
        Observed::Warned { call, api_id, warning } => {
            let warned = RequestWarning { api_id: *api_id, warning: warning.clone() };
            (*call, TraceEvent::Warned(Box::new(warned)))
        }
        Observed::Requested { call, api_id, command } => {
            let requested = Requested { api_id: *api_id, command };
            (*call, TraceEvent::Requested(Box::new(requested)))
        }
    };
    Some((call, TraceInput::What(what)))
}
