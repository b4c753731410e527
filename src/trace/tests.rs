//! Tests of traces: steps, causes, and the limits on their number.

use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::{
    base::ids::{Dialect, Incarnation, MemberId, RecordingId, RoomId},
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

/// Notes 60 elements of 70 ms each, then a conference, and its end at 6,000 ms.
fn note_a_life(mut note: impl FnMut(u32, TraceEvent), text: &WeakFlowText) {
    let began = |document, name, line| {
        let (verb, text) = (VerbKind::of(name).expect("a verb"), text.clone());
        TraceElement { document, verb, at: place(line, 1), text }.into()
    };
    for n in 0..60 {
        note(n * 70, began(1, "Wait", 2));
    }
    let (api_id, warning) = (Uuid::from_u128(9), "colour: no such parameter".into());
    note(4_200, TraceEvent::Warned(Box::new(RequestWarning { api_id, warning })));
    note(4_300, began(1, "Conference", 3));
    note(4_300, entered(1));
    note(6_000, left(Cause::Kicked, Some(request(7, "Kick"))));
    let ending = Ending { cause: HangupCause::EndOfXml, source: HangupSource::AnswerXml };
    note(6_000, TraceEvent::Ended(ending));
}

fn stored(account: &str, entries: &[Vec<u8>]) -> Option<Value> {
    let made = StoredTrace::of_entries(&account.parse().unwrap(), entries).unwrap()?;
    Some(serde_json::to_value(made).unwrap())
}

#[test]
fn a_trace_that_is_stored_in_parts_is_that_of_memory() {
    let text = "<Response>\n<Wait/>\n<Conference>x</Conference>\n</Response>";
    let flow = Flow::parse(text, Dialect::Vobiz).unwrap();
    let weak = WeakFlowText::of(&flow.source.text);
    let (account, call): (AccountId, _) = (OURS.parse().unwrap(), CallId::of(1));
    // The moments at which the call is stored while it is up.
    for moments in [&[][..], &[500, 1_300, 2_700, 4_250, 4_300, 5_900], &[0, 5_999], &[3_000]] {
        let (mut traces, start) = traces();
        let (mut entries, mut since) = (Vec::new(), 0);
        let at = |ms: u32| start + Duration::from_millis(ms.into());
        traces.begin(start, call, account.clone());
        let mut left = moments.iter().copied().peekable();
        note_a_life(
            |ms, what| {
                while let Some(moment) = left.next_if(|it| *it < ms) {
                    let (entry, next) = traces.snapshot(call, at(moment)).unwrap().entry(since);
                    entries.push(entry);
                    since = next.expect("the call is up");
                }
                traces.note(at(ms), call, what);
            },
            &weak,
        );
        let (entry, next) = traces.snapshot(call, at(6_000)).unwrap().entry(since);
        entries.push(entry);
        assert_eq!(next, None);
        let mut memory = traces.show(&account, call).unwrap();
        memory.add_sources();
        let memory = serde_json::to_value(memory).unwrap();
        assert_eq!(stored(OURS, &entries), Some(memory.clone()), "{moments:?}");
        assert_eq!(memory["steps"][60]["source"], "<Conference>x</Conference>");
        assert_eq!(stored("MA2", &entries), None);

        // A crash before the end: all is there until the last entry, and the last element has no end.
        entries.pop();
        if moments.last() == Some(&5_900) {
            let mut crashed = StoredTrace::of_entries(&account, &entries).unwrap().unwrap();
            assert!(!crashed.is_over && crashed.steps.len() == 61);
            crashed.end("crashed", Some(5_950));
            let last = &crashed.steps[60];
            assert_eq!((&last["to_ms"], &last["ended"]), (&5_950.into(), &"crashed".into()));
            assert_eq!(crashed.steps[..60], *memory["steps"].as_array().unwrap()[..60].to_vec());
        }
    }
}

#[test]
fn an_element_that_was_under_way_at_a_crash_is_one_step() {
    let account: AccountId = OURS.parse().unwrap();
    let call = CallId::of(1);
    let (mut traces, start) = traces();
    let at = |ms| start + Duration::from_millis(ms);
    traces.begin(start, call, account.clone());
    traces.note(at(0), call, began(1, "Speak", 2));
    traces.note(at(3_000), call, began(1, "Conference", 3));
    traces.note(at(3_000), call, entered(7));
    let (first, _) = traces.snapshot(call, at(6_000)).unwrap().entry(0);
    // The next process knows where the call is, and how old.
    let mut next = Traces::new(2);
    next.begin(start, call, account);
    next.note(at(9_000), call, began(1, "Conference", 3));
    next.note(at(12_000), call, left(Cause::Kicked, None));
    next.note(at(12_000), call, began(1, "Wait", 4));
    let (second, _) = next.snapshot(call, at(13_000)).unwrap().entry(8_500);
    let steps = &stored(OURS, &[first, second]).unwrap()["steps"];
    let brief = |it: &Value| {
        let text = |key: &str| it[key].to_string();
        [text("element"), text("from_ms"), text("to_ms"), text("ended"), text("member_id")]
            .join(" ")
    };
    let steps: Vec<_> = steps.as_array().unwrap().iter().map(brief).collect();
    let expected = [
        "\"Speak\" 0 3000 \"done\" null",
        "\"Conference\" 3000 12000 \"kicked\" 7",
        "\"Wait\" 12000 null null null",
    ];
    assert_eq!(steps, expected);
}

#[test]
fn a_stored_trace_has_no_more_steps_than_memory() {
    let (mut traces, start) = traces();
    let call = CallId::of(1);
    traces.begin(start, call, OURS.parse().unwrap());
    let (mut entries, mut since) = (Vec::new(), 0);
    for n in 1..=300_u32 {
        let at = start + Duration::from_millis(u64::from(n) * 500);
        traces.note(at, call, began(n, "Wait", n));
        let (entry, next) = traces.snapshot(call, at).unwrap().entry(since);
        since = next.unwrap();
        entries.push(entry);
    }
    let made = stored(OURS, &entries).unwrap();
    let steps = made["steps"].as_array().unwrap();
    assert_eq!((steps.len(), &made["dropped"]), (200, &100.into()));
    let lines = [99, 100, 199].map(|n| steps[n]["line"].as_u64().unwrap());
    assert_eq!(lines, [100, 201, 300]);
    // An entry has what is new.
    assert!(entries.iter().all(|it| it.len() < 2_000));
}

fn change(recording: u128, step: RecordingStep) -> RecordingNote {
    RecordingNote { recording: RecordingId::of(recording), step }
}

fn recording_begins(recording: u128) -> RecordingNote {
    change(recording, RecordingStep::Began { api_id: Uuid::from_u128(recording) })
}

#[test]
fn a_recording_of_a_call_is_a_step_that_no_element_ends() {
    let (mut traces, start) = traces();
    let at = |ms| start + Duration::from_millis(ms);
    traces.begin(start, CallId::of(1), OURS.parse().unwrap());
    let mut note = |ms, what| traces.note(at(ms), CallId::of(1), what);
    let recorded = |it| TraceEvent::Recording(Box::new(it));
    note(0, began(1, "Speak", 1));
    note(5, recorded(recording_begins(1)));
    note(10, began(1, "Wait", 2));
    note(20, recorded(recording_begins(2)));
    note(30, recorded(change(1, RecordingStep::Stopped("Stopped"))));
    note(35, recorded(change(3, RecordingStep::Stopped("Stopped"))));
    let ending = Ending { cause: HangupCause::EndOfXml, source: HangupSource::Caller };
    note(40, TraceEvent::Ended(ending));
    assert_eq!(
        brief(&traces, 1),
        [
            "0-10 Speak 1:3 done",
            "5-30 recording 0:0 Stopped",
            "10-40 Wait 2:3 End Of XML Instructions",
            // Its stop is noted after the end of the call, if at all.
            "20-40 recording 0:0 HungUp",
        ]
    );
}

#[test]
fn a_recording_of_a_room_is_in_the_traces_of_its_members_while_they_stay() {
    let (mut traces, start) = traces();
    let at = |ms| start + Duration::from_millis(ms);
    let room = RoomId::of(1);
    for call in 1..=3 {
        traces.begin(start, CallId::of(call), OURS.parse().unwrap());
    }
    traces.note_room(at(1), room, change(9, RecordingStep::Stopped("Stopped")));
    traces.note_room(at(10), room, recording_begins(1));
    for (call, ms) in [(1_u64, 0), (2, 20), (3, 60)] {
        traces.note(at(ms), CallId::of(call.into()), began(1, "Conference", 1));
        traces.note(at(ms), CallId::of(call.into()), entered(call));
    }
    let alone = RecordingStep::Interrupted(Interruption::Alone);
    traces.note_room(at(15), room, change(1, alone));
    traces.note_room(at(25), room, change(1, RecordingStep::Continued(Interruption::Alone)));
    traces.note(at(40), CallId::of(2), left(Cause::Kicked, None));
    traces.note_room(at(50), room, change(1, RecordingStep::Stopped("Stopped")));
    assert_eq!(brief(&traces, 1), ["0- Conference 1:3", "10-50 recording 0:0 Stopped"]);
    assert_eq!(brief(&traces, 2), ["20-40 Conference 1:3 kicked", "20-40 recording 0:0 left"]);
    assert_eq!(brief(&traces, 3), ["60- Conference 1:3"], "it was over");
    let trace = traces.show(&OURS.parse().unwrap(), CallId::of(2)).unwrap();
    let shown = trace.steps[1].recording.as_ref().unwrap();
    let parts = [TraceInterruption { why: Interruption::Alone, from_ms: 20, to_ms: Some(25) }];
    assert_eq!(shown.interruptions, parts);

    // Of ended ones, as many are kept as of ended calls.
    for n in 2..=3 {
        traces.note_room(at(70), room, recording_begins(n));
        traces.note_room(at(80), room, change(n, RecordingStep::Stopped("DiskFull")));
    }
    let kept =
        ["0- Conference 1:3", "70-80 recording 0:0 DiskFull", "70-80 recording 0:0 DiskFull"];
    assert_eq!(brief(&traces, 1), kept);
}

#[test]
fn a_crash_ends_the_element_and_the_recordings() {
    let step = |from: u32, to: Option<u32>| serde_json::json!({ "from_ms": from, "to_ms": to });
    let mut trace = StoredTrace {
        steps: vec![step(0, Some(1)), step(1, None), step(2, None)],
        ..StoredTrace::default()
    };
    trace.end("crashed", Some(7));
    let ends: Vec<_> = trace.steps.iter().map(|it| (&it["to_ms"], &it["ended"])).collect();
    let crashed = (&7.into(), &"crashed".into());
    assert_eq!(ends, [(&1.into(), &Value::Null), crashed, crashed]);
}
