//! Stored traces: what the archive keeps of a call, and the trace that its entries make.
//!
//! A live call gets an entry from time to time, with what is new, so that a crash leaves a trace. The
//! source lines are in it, since documents are gone later.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    HEAD_MAX, TAIL_MAX, Trace,
    lines::{CallTrace, Traces},
};
use crate::{
    base::ids::{AccountId, CallId},
    flow::FlowText,
};

/// A part of a trace, to be stored.
#[derive(Serialize)]
struct TraceEntry<'a> {
    account: &'a AccountId,
    /// What ended before this many milliseconds is in earlier entries.
    since_ms: u32,
    is_over: bool,
    #[serde(flatten)]
    trace: &'a Trace,
}

/// An entry as it is read.
#[derive(Deserialize)]
struct StoredEntry {
    account: AccountId,
    since_ms: u64,
    is_over: bool,
    steps: Vec<Value>,
    #[serde(default)]
    remarks: Vec<Value>,
    dropped: usize,
}

/// A trace from the disk, as the API shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StoredTrace {
    /// As those of a [`Trace`].
    pub steps: Vec<Value>,
    /// The ignored parameters of requests about the call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Value>,
    /// The number of steps or lines that are missing in the middle.
    pub dropped: usize,
    /// Whether the call was up when the process ended, and its trace ends there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub crashed: bool,
    /// Whether the call's end is in the trace.
    #[serde(skip)]
    pub is_over: bool,
}

/// A trace from memory or from the disk.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ShownTrace {
    /// Of a live call, or of one that ended not long ago.
    InMemory(Trace),
    /// Of an earlier call, or of another process.
    Stored(StoredTrace),
}

/// The trace of a call at a moment, to be stored.
#[derive(Debug)]
pub struct TraceSnapshot {
    account: AccountId,
    trace: Trace,
    /// Milliseconds since the call began.
    age_ms: u32,
    is_over: bool,
}

/// Steps of this age may still change: threads note what happens a little later.
const UNSETTLED_MS: u32 = 1_000;

impl Traces {
    /// The trace of a call; None if it was dropped. `age` is that of a live call.
    pub fn snapshot(&self, call: CallId, now: std::time::Instant) -> Option<TraceSnapshot> {
        let lines = self.calls.get(call)?;
        let trace = self.show(&lines.account, call)?;
        let age_ms = super::lines::millis(now.saturating_duration_since(lines.began));
        let is_over = lines.is_over();
        Some(TraceSnapshot { account: lines.account.clone(), trace, age_ms, is_over })
    }

    /// The documents of a call that are still in memory.
    pub fn documents(&self, call: CallId) -> Vec<Arc<FlowText>> {
        let mut texts: Vec<Arc<FlowText>> = Vec::new();
        for text in self.calls.get(call).into_iter().flat_map(CallTrace::texts) {
            if !texts.iter().any(|it| Arc::ptr_eq(it, &text)) {
                texts.push(text);
            }
        }
        texts
    }
}

impl TraceSnapshot {
    /// Whether the call has ended.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// The entry of what is new since `since_ms`, and the value for the next entry of a live call;
    /// None of a call that is over.
    pub fn entry(mut self, since_ms: u32) -> (Vec<u8>, Option<u32>) {
        self.trace.steps.retain(|it| it.to_ms.is_none_or(|to| since_ms <= to));
        self.trace.warnings.retain(|it| since_ms <= it.at_ms);
        self.trace.add_sources();
        let Self { account, trace, age_ms, is_over } = &self;
        let entry = TraceEntry { account, since_ms, is_over: *is_over, trace };
        let body = serde_json::to_vec(&entry).expect("names and numbers are JSON");
        (body, (!is_over).then(|| age_ms.saturating_sub(UNSETTLED_MS)))
    }
}

/// The step as a later entry has it, with what only an earlier entry says of it: an element that was under
/// way when a process died goes on in the next one.
fn with_beginning(mut step: Value, open: &mut Vec<Value>) -> Value {
    let is_same = |it: &Value| {
        let same = ["document", "element", "line", "column"].iter().all(|key| it[key] == step[key]);
        same && step["line"].is_u64() && it["from_ms"].as_u64() <= step["from_ms"].as_u64()
    };
    let Some(at) = open.iter().position(is_same) else { return step };
    let (Value::Object(begun), Some(fields)) = (open.swap_remove(at), step.as_object_mut()) else {
        return step;
    };
    for (name, value) in begun {
        if name == "from_ms" || fields.get(&name).is_none() {
            fields.insert(name, value);
        }
    }
    step
}

impl StoredTrace {
    /// The trace that entries make, in their order; None if there are none of this account.
    ///
    /// # Errors
    ///
    /// One is not of this format.
    pub fn of_entries(
        account: &AccountId,
        entries: &[Vec<u8>],
    ) -> Result<Option<Self>, serde_json::Error> {
        let (mut made, mut is_theirs) = (Self::default(), false);
        for entry in entries {
            let entry: StoredEntry = serde_json::from_slice(entry)?;
            if entry.account != *account {
                continue;
            }
            is_theirs = true;
            let is_earlier = |it: &Value| it.as_u64().is_some_and(|it| it < entry.since_ms);
            let mut open = made.steps.clone();
            open.retain(|it| it["to_ms"].is_null());
            made.steps.retain(|it| is_earlier(&it["to_ms"]));
            made.remarks.retain(|it| is_earlier(&it["at_ms"]));
            let new = entry.steps.into_iter().map(|step| with_beginning(step, &mut open));
            made.steps.extend(new);
            made.remarks.extend(entry.remarks);
            // What was dropped from memory later is in earlier entries.
            made.dropped = if entry.since_ms == 0 { entry.dropped } else { 0 };
            made.is_over = entry.is_over;
        }
        made.cap();
        Ok(is_theirs.then_some(made))
    }

    /// Ends a trace that has no end, since the process ended first. `ended_ms` counts from the begin
    /// of the call; None if it is unknown.
    pub fn end(&mut self, reason: &str, ended_ms: Option<u128>) {
        self.is_over = true;
        // An element, and recordings.
        for open in self.steps.iter_mut().filter(|it| it["to_ms"].is_null()) {
            open["to_ms"] = ended_ms.and_then(|it| u64::try_from(it).ok()).into();
            open["ended"] = reason.into();
        }
    }

    /// Drops what is in the middle, as memory does.
    fn cap(&mut self) {
        let more = self.steps.len().saturating_sub(HEAD_MAX + TAIL_MAX);
        if 0 < more {
            self.steps.drain(HEAD_MAX..HEAD_MAX + more);
            self.dropped += more;
        }
    }
}
