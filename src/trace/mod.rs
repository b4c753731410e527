//! Traces: what each call did, step by step, and why; the answer to "why did my caller hear this?".
//!
//! Lines are noted as they happen, a few for each element, and made into [`TraceStep`]s when somebody
//! asks. A call that waits in a conference has two or three of them: 150 bytes with all that is
//! around them, and a microsecond or two of work. So traces are always kept.

mod lines;
mod step;

use serde::Serialize;

use crate::base::ids::{AccountId, CallId};

pub use self::lines::{
    ENDED_MAX, HEAD_MAX, Initiator, Leaving, RequestWarning, Requested, TAIL_MAX, TraceElement,
    TraceEvent, Traces,
};
pub use self::step::{CauseLink, TraceStep, TraceWarning};

/// A call's trace, as the API and the simulation have it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Trace {
    /// The elements that it has run.
    pub steps: Vec<TraceStep>,
    /// What requests about it have asked for in vain.
    #[serde(rename = "remarks", skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<TraceWarning>,
    /// So many lines are missing in the middle, because the call did too much.
    pub dropped: u32,
}

impl Traces {
    /// What an account's call has done so far; None of one that is not known, or not any more.
    pub fn show(&self, account: &AccountId, call: CallId) -> Option<Trace> {
        let lines = self.calls.get(call).filter(|it| it.account == *account)?;
        let warnings = lines.warnings();
        Some(Trace { steps: self.all_steps(call, lines), warnings, dropped: lines.dropped() })
    }
}

#[cfg(test)]
mod tests;
