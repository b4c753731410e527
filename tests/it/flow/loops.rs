//! Redirect loops: documents that lead from one to the next without end.

use std::time::Duration;

use conflow::flow::FlowEvent;

use crate::flow::run::{FlowRunner, V, fetched};

#[test]
fn documents_without_a_sound_are_a_loop() {
    let redirect = || fetched(V, "<Redirect>flow:a</Redirect>");
    let run = |seconds: f64, between: &str| {
        let mut runner = FlowRunner::new(V);
        for n in 1..=40 {
            let elements = format!("{between}<Redirect>flow:a</Redirect>");
            let effects = runner.happens(fetched(V, &elements));
            if effects.last().unwrap() == "end 2060 Error" {
                return Some(n);
            }
            runner.event(&format!("+{seconds}"));
        }
        None
    };
    assert_eq!(run(0.0, ""), Some(20));
    assert_eq!(run(0.5, ""), Some(20));
    assert_eq!(run(0.53, ""), None);
    assert_eq!(run(0.0, "<Hangup schedule='9'/><DTMF>1</DTMF>"), Some(20));

    let mut runner = FlowRunner::new(V);
    (0..19).for_each(|_| drop(runner.happens(redirect())));
    runner.happens(fetched(V, "<Play>sound:beep</Play><Redirect>flow:a</Redirect>"));
    assert_eq!(runner.happens(FlowEvent::Over), ["begin 1", "fetch flow:a redirect"]);
    assert_eq!(runner.happens(redirect())[1..], ["fetch flow:a redirect"]);
}

/// 19 silent documents, then one with an element before its redirect.
#[track_caller]
fn check_loop(element: &str, events: &[&str], expected: &str) {
    let mut runner = FlowRunner::new(V);
    (0..19).for_each(|_| drop(runner.happens(fetched(V, "<Redirect>flow:a</Redirect>"))));
    let last = fetched(V, &format!("{element}<Redirect>flow:a</Redirect>"));
    let mut effects = runner.happens(last);
    for line in events {
        let event = runner.event(line);
        effects = runner.happens(event);
    }
    assert_eq!(effects.last().unwrap(), expected, "{element}");
}

#[test]
fn a_sound_or_a_wait_ends_the_loop() {
    const GOES_ON: &str = "fetch flow:a redirect";
    const ENDS: &str = "end 2060 Error";
    check_loop("<Speak>a</Speak>", &["over"], GOES_ON);
    check_loop("<Conference>a</Conference>", &["left kicked"], GOES_ON);
    check_loop("<Wait length='1'/>", &["+1"], GOES_ON);
    check_loop("<GetDigits/>", &["key 1", "key #"], GOES_ON);
    check_loop("<GetDigits><Speak>a</Speak></GetDigits>", &["over", "key #"], GOES_ON);
    check_loop("<GetDigits/>", &["key #"], ENDS);
    check_loop("<DTMF async='false'>1</DTMF>", &["over"], ENDS);
    check_loop("<Speak/><Message/>", &[], ENDS);
    let record = "<Record playBeep='false'/>";
    check_loop(record, &["begun", "key #", "recorded FinishedOnKey 1000"], GOES_ON);
    check_loop(record, &["begun", "recorded DiskFull 0"], ENDS);
    check_loop(record, &["refused"], ENDS);
    check_loop("<Record recordSession='true'/>", &["begun"], ENDS);
}

#[test]
fn a_call_runs_at_most_10_000_documents() {
    let mut runner = FlowRunner::new(V);
    let event = fetched(V, "<Redirect>flow:a</Redirect>");
    for _ in 0..10_000 {
        assert_eq!(runner.happens(event.clone()).last().unwrap(), "fetch flow:a redirect");
        runner.now += Duration::from_secs(1);
    }
    assert_eq!(runner.happens(event), ["end 2060 Error"]);
    assert_eq!(runner.run.documents(), 10_000);
}
