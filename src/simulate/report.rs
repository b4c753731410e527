//! Simulation report: what each caller heard and ran, and what else happened.

use std::sync::Arc;

use serde::Serialize;

pub use super::note::Note;
use super::{Script, world::SimulatedWorld};
use crate::{
    base::ids::{AccountId, CallId},
    sim_phones::TimelineEntry,
    trace::TraceStep,
};

/// Report of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SimulationReport {
    /// One entry for each caller, in the order of the events file.
    pub callers: Vec<CallerReport>,
    /// Other events, in the order in which they happened.
    pub log: Vec<Note>,
}

/// Report of one caller. All times are milliseconds of the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallerReport {
    /// Name of the caller in the events file.
    pub name: Arc<str>,
    /// Id of the call, counted from 1.
    pub call_uuid: CallId,
    /// Number of the caller.
    pub from: Arc<str>,
    /// Number that was called.
    pub to: Arc<str>,
    /// Whether they did not call, but were called into a conference.
    #[serde(rename = "dialled", skip_serializing_if = "std::ops::Not::not")]
    pub is_dialled: bool,
    /// When the caller called, or was called.
    pub began_ms: u64,
    /// When the call ended.
    pub ended_ms: u64,
    /// Cause of the hang-up; None if the call did not end.
    pub hangup_cause_name: Option<&'static str>,
    /// Originator of the hang-up; None if the call did not end.
    pub hangup_source: Option<&'static str>,
    /// Sounds that the caller heard, with their times.
    pub timeline: Vec<TimelineEntry>,
    /// Elements that the call ran, and why each ended.
    pub steps: Vec<TraceStep>,
}

impl SimulationReport {
    /// Describes how the caller's call went: the elements that it ran, and how it ended. Leaves out
    /// times, and causes of exits that made no difference to the next element.
    pub fn ending(&self, caller: usize) -> String {
        let it = &self.callers[caller];
        let step = |step: &TraceStep| {
            let url = step.url.as_ref().map_or_else(String::new, |url| format!("{url} "));
            format!("{url}{} {}:{}", step.element, step.line, step.column)
        };
        let elements = it.steps.iter().filter(|it| it.recording.is_none());
        let mut path: Vec<_> = elements.map(step).collect();
        let (cause, source) = (it.hangup_cause_name, it.hangup_source);
        path.push(format!("{} ({})", cause.unwrap_or("no call"), source.unwrap_or("nobody")));
        path.join(" → ")
    }
}

pub(super) fn report(
    script: &Script,
    world: &SimulatedWorld,
    account: &AccountId,
) -> SimulationReport {
    let (mut phones, seen) = (world.phones.lock(), world.seen.lock());
    let now = world.clock.now();
    let caller = |(n, caller): (usize, &super::ScriptCaller)| {
        let phone = phones.details(now, account, id(n)).ok()?;
        let began_ms = script.began_ms(n);
        let shift = u32::try_from(began_ms).unwrap_or(u32::MAX);
        let mut timeline = phone.timeline;
        for entry in &mut timeline {
            entry.from_ms += shift;
            entry.to_ms = entry.to_ms.map(|to| to + shift);
        }
        let mut steps = seen.traces.show(account, id(n)).map_or_else(Vec::new, |it| it.steps);
        for step in &mut steps {
            if let (None, Some(flow)) =
                (&step.url, caller.flow.as_ref().filter(|_| step.document == 1))
            {
                step.url = Some(format!("flow:{flow}").into());
            }
            step.shift(shift);
        }
        Some(CallerReport {
            name: caller.name.clone(),
            call_uuid: phone.call_uuid,
            from: phone.from,
            to: caller.to.clone().filter(|_| caller.is_dialled).unwrap_or(phone.to),
            is_dialled: caller.is_dialled,
            began_ms,
            ended_ms: seen.ends.get(&id(n)).copied().unwrap_or(began_ms),
            hangup_cause_name: phone.hangup_cause_name,
            hangup_source: phone.hangup_source,
            timeline,
            steps,
        })
    };
    let callers = script.callers.iter().enumerate().filter_map(caller).collect();
    SimulationReport { callers, log: seen.notes.clone() }
}

impl Script {
    /// When the caller with this index calls, or is called.
    pub(super) fn began_ms(&self, n: usize) -> u64 {
        let begins = |it: &super::ScriptAction| match it {
            super::ScriptAction::Call(who) => *who == n,
            super::ScriptAction::Dial(it) => it.callees.contains(&n),
            super::ScriptAction::Ask { .. }
            | super::ScriptAction::Cut(_)
            | super::ScriptAction::End(_)
            | super::ScriptAction::Phone(..)
            | super::ScriptAction::Record(_)
            | super::ScriptAction::Transfer(..) => false,
        };
        let call = self.events.iter().find(|it| begins(&it.action));
        call.map(|it| it.at_ms).unwrap_or_default()
    }
}

/// The call of the nth caller.
pub(super) fn id(caller: usize) -> CallId {
    CallId::of(caller as u128 + 1)
}
