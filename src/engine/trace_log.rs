//! The tracer: what a house tells of its calls, as traces keep it.

use std::time::Instant;

use parking_lot::Mutex;
use tokio::time;

use super::registry::Trace;
use crate::{
    base::ids::{AccountId, CallId},
    call::News,
    conference,
    trace::{self, Leaving, Remarked, Requested, Traces, What},
};

/// The traces of every call.
pub struct Tracer(Mutex<Traces>);

impl Tracer {
    /// No traces yet.
    pub fn new() -> Self {
        Self(Mutex::new(Traces::new(trace::ENDED_MAX)))
    }

    /// Takes in what a house tells.
    pub fn note(&self, told: &Trace) {
        let Some((call, line)) = line(told) else { return };
        let now = time::Instant::now().into_std();
        write(&mut self.0.lock(), now, call, line);
    }

    /// Whose a call is; None of one that is not known, or not any more.
    pub fn account_of(&self, call: CallId) -> Option<AccountId> {
        self.0.lock().account_of(call).cloned()
    }

    /// What an account's call has done; None of one that is not known, or not any more.
    pub fn show(&self, account: &AccountId, call: CallId) -> Option<trace::Trace> {
        self.0.lock().show(account, call)
    }
}

impl Default for Tracer {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").finish_non_exhaustive()
    }
}

/// Notes what a house tells, at a time that is an argument.
pub fn note(traces: &mut Traces, now: Instant, told: &Trace) {
    if let Some((call, line)) = line(told) {
        write(traces, now, call, line);
    }
}

/// What there is to be written down of a call.
enum Line {
    Begun(AccountId),
    What(What),
}

fn write(traces: &mut Traces, now: Instant, call: CallId, line: Line) {
    match line {
        Line::Begun(account) => traces.begin(now, call, account),
        Line::What(what) => traces.note(now, call, what),
    }
}

fn line(told: &Trace) -> Option<(CallId, Line)> {
    let (call, what) = match told {
        Trace::Began { call, element, .. } => (*call, (*element).into()),
        Trace::Call { account, call, news, .. } => match news {
            News::Begun => return Some((*call, Line::Begun(account.clone()))),
            News::Ended(ending) => (*call, What::Ended(*ending)),
            News::Answered | News::Rang => return None,
        },
        Trace::Fetching { call, url, purpose } => {
            (*call, What::Fetching { url: url.clone(), purpose: *purpose })
        }
        Trace::Left { call, exit, by, .. } => {
            let (cause, reason) = (exit.cause, exit.reason.clone());
            let leaving = Leaving { cause, reason, by: *by };
            (*call, What::Left(Box::new(leaving)))
        }
        Trace::Notice { room, notice } => match &notice.news {
            conference::News::Entered { who, .. } => {
                (who.call, What::Entered { room: room.clone(), member: who.member })
            }
            conference::News::DigitsMatched { .. } | conference::News::Exited { .. } => {
                return None;
            }
            conference::News::FloorTaken { .. } => return None,
            conference::News::Over | conference::News::Started => return None,
        },
        // It is on its way still.
        Trace::PassedOn { .. } => return None,
        Trace::Refused { call, cause } => (*call, What::Refused(*cause)),
        Trace::Remarked { call, api_id, remark } => {
            let remarked = Remarked { api_id: *api_id, remark: remark.clone() };
            (*call, What::Remarked(Box::new(remarked)))
        }
        Trace::Requested { call, api_id, command } => {
            let requested = Requested { api_id: *api_id, command };
            (*call, What::Requested(Box::new(requested)))
        }
    };
    Some((call, Line::What(what)))
}
