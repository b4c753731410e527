//! Tests of traces: steps, causes, and the limits on their number.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::*;
use crate::{
    base::ids::{Dialect, Incarnation, MemberId, RoomId},
    flow::{Cause, Flow, Purpose, TextPosition, WeakFlowText, verbs::VerbKind},
    media::{Ending, HangupCause, HangupSource},
};

const OURS: &str = "MA1";

fn place(line: u32, column: u32) -> TextPosition {
    TextPosition { line, column }
}

fn began(document: u32, name: &'static str, line: u32) -> TraceEvent {
    let verb = VerbKind::of(name).expect("a verb");
    let text = WeakFlowText::default();
    TraceElement { document, verb, at: place(line, 3), text }.into()
}

fn left(cause: Cause, by: Option<Initiator>) -> TraceEvent {
    TraceEvent::Left(Box::new(Leaving { cause, reason: None, by }))
}

fn entered(member: u64) -> TraceEvent {
    TraceEvent::Entered { room: Incarnation::of(RoomId::of(1), "weekly"), member: MemberId(member) }
}

fn request(n: u128, command: &'static str) -> Initiator {
    Initiator::Request { api_id: Uuid::from_u128(n), command }
}

fn requested(n: u128, command: &'static str) -> TraceEvent {
    TraceEvent::Requested(Box::new(Requested { api_id: Uuid::from_u128(n), command }))
}

/// Empty traces that keep two ended calls, and the time at which all calls begin.
#[expect(clippy::disallowed_methods, reason = "any start time does")]
fn traces() -> (Traces, Instant) {
    (Traces::new(2), Instant::now())
}

/// The steps as text: `0-50 Speak 1:3 done`, and `kicked 2:3 Kick` for each link.
fn brief(traces: &Traces, call: u128) -> Vec<String> {
    let trace = traces.show(&OURS.parse().unwrap(), CallId::of(call)).unwrap();
    let brief = |it: &TraceStep| {
        let to = it.to_ms.map_or_else(String::new, |to| to.to_string());
        let url = it.url.as_ref().map_or_else(String::new, |url| format!("{url} "));
        let mut text = format!("{}-{to} {url}{} {}:{}", it.from_ms, it.element, it.line, it.column);
        text += &it.ended.map_or_else(String::new, |why| format!(" {why}"));
        for link in &it.causes {
            let by = link.command.unwrap_or("itself");
            text += &format!(", {} {}:{} {by}", link.cause, link.line, link.column);
        }
        text
    };
    trace.steps.iter().map(brief).collect()
}

#[test]
fn a_step_has_the_cause_of_its_end_and_the_initiator() {
    let (mut traces, start) = traces();
    let (host, guest) = (CallId::of(1), CallId::of(2));
    let mut note = |ms, call, what| traces.note(start + Duration::from_millis(ms), call, what);
    note(0, guest, TraceEvent::Refused(Cause::Full));
    let account: AccountId = OURS.parse().unwrap();
    traces.begin(start, host, account.clone());
    traces.begin(start, guest, account);
    let mut note = |ms, call, what| traces.note(start + Duration::from_millis(ms), call, what);
    for (call, member) in [(host, 1), (guest, 2)] {
        note(0, call, began(1, "Speak", 2));
        note(50, call, began(1, "Conference", 3));
        note(50, call, entered(member));
    }
    note(90, host, left(Cause::Kicked, Some(request(7, "Kick"))));
    note(90, guest, left(Cause::Ended, Some(Initiator::Call(host))));
    note(90, guest, began(1, "Redirect", 4));
    note(90, guest, TraceEvent::Fetching { url: "flow:b".into(), purpose: Purpose::Redirect });
    note(95, guest, began(2, "Wait", 1));
    note(99, guest, requested(8, "Transfer"));
    note(99, guest, TraceEvent::Fetching { url: "flow:c".into(), purpose: Purpose::Transfer });
    note(99, guest, began(3, "Wait", 1));

    let expected = ["0-50 Speak 2:3 done", "50-90 Conference 3:3 kicked, kicked 3:3 Kick"];
    assert_eq!(brief(&traces, 1), expected);
    let expected = [
        "0-50 Speak 2:3 done",
        "50-90 Conference 3:3 ended, ended 3:3 itself, kicked 3:3 Kick",
        "90-90 Redirect 4:3 asked",
        "95-99 flow:b Wait 1:3 transferred, transferred 1:3 Transfer",
        "99- flow:c Wait 1:3",
    ];
    assert_eq!(brief(&traces, 2), expected);
}

#[test]
fn a_step_quotes_its_document_and_keeps_none_in_memory() {
    let (mut traces, start) = traces();
    let (call, account) = (CallId::of(1), OURS.parse().unwrap());
    let flow = Flow::parse("<Response>\n  <Wait/>\n</Response>", Dialect::Vobiz).unwrap();
    traces.begin(start, call, OURS.parse().unwrap());
    let verb = VerbKind::Wait;
    let text = WeakFlowText::of(&flow.source.text);
    traces.note(start, call, TraceElement { document: 1, verb, at: place(2, 3), text }.into());
    let quoted = || {
        let mut trace = traces.show(&account, call).unwrap();
        trace.add_sources();
        trace.steps[0].source.clone()
    };
    assert_eq!(quoted().as_deref(), Some("<Wait/>"));
    drop(flow);
    assert_eq!(quoted(), None);
}

#[test]
fn a_trace_is_the_accounts_own_and_the_oldest_go_first() {
    let (mut traces, start) = traces();
    let account: AccountId = OURS.parse().unwrap();
    let ending = Ending { cause: HangupCause::EndOfXml, source: HangupSource::Caller };
    for n in 1..=4 {
        traces.begin(start, CallId::of(n), account.clone());
        traces.note(start, CallId::of(n), began(1, "Wait", 1));
        if n < 4 {
            traces.note(start, CallId::of(n), TraceEvent::Ended(ending));
        }
    }
    let is_there =
        |account: &str, n| traces.show(&account.parse().unwrap(), CallId::of(n)).is_some();
    assert_eq!([1, 2, 3, 4].map(|n| is_there(OURS, n)), [false, true, true, true]);
    assert_eq!([1, 2, 3, 4].map(|n| is_there("MA2", n)), [false; 4]);
}

#[test]
fn a_long_trace_keeps_its_beginning_and_its_end() {
    let (mut traces, start) = traces();
    traces.begin(start, CallId::of(1), OURS.parse().unwrap());
    for n in 1..=300 {
        traces.note(start, CallId::of(1), began(n, "Wait", n));
    }
    let trace = traces.show(&OURS.parse().unwrap(), CallId::of(1)).unwrap();
    assert_eq!((trace.steps.len(), trace.dropped), (200, 100));
    assert_eq!((trace.steps[99].line, trace.steps[100].line), (100, 201));
    assert_eq!(trace.steps[199].line, 300);
}
