//! The tracer: what a house tells of its calls, as traces keep it.

use std::time::Instant;

use parking_lot::Mutex;
use tokio::time;

use super::house::Trace;
use crate::{
    call::News,
    conference,
    ids::{AccountId, CallId},
    trace::{self, Leaving, Traces, What},
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
        note(&mut self.0.lock(), time::Instant::now().into_std(), told);
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
    let (call, what) = match told {
        Trace::Began { call, element, .. } => (*call, What::Began(*element)),
        Trace::Call { account, call, news, .. } => match news {
            News::Begun => return traces.begin(now, *call, account.clone()),
            News::Answered => (*call, What::Answered),
            News::Ended(ending) => (*call, What::Ended(*ending)),
            News::Rang => return,
        },
        Trace::Fetching { call, url, purpose } => {
            (*call, What::Fetching { url: url.clone(), purpose: *purpose })
        }
        Trace::Left { call, exit, by, .. } => {
            let (cause, reason) = (exit.cause, exit.reason.clone());
            let leaving = Leaving { cause, reason, by: *by };
            (*call, What::Left(Box::new(leaving)))
        }
        Trace::Notice { key, notice } => match &notice.news {
            conference::News::Entered { who, .. } => {
                (who.call, What::Entered { conference: key.name.clone(), member: who.member })
            }
            conference::News::DigitsMatched { .. } | conference::News::Exited { .. } => return,
            conference::News::FloorTaken { .. } => return,
            conference::News::Over | conference::News::Started => return,
        },
        // It is on its way still.
        Trace::PassedOn { .. } => return,
        Trace::Refused { call, cause } => (*call, What::Refused(*cause)),
        Trace::Remarked { call, api_id, remark } => {
            (*call, What::Remarked { api_id: *api_id, remark: remark.clone() })
        }
        Trace::Requested { call, api_id, command } => {
            (*call, What::Requested { api_id: *api_id, command })
        }
    };
    traces.note(now, call, what);
}
