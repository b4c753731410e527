//! `<GetDigits>`, `<GetInput>` and `<Gather>` with callers who press keys or none.

use crate::flow::run::{V, check};

/// The beginning of each transcript: the elements start, answer, and play a prompt.
const ASKED: &str = "> start\nbegin 0\nanswer\nplay \"pin\" WOMAN en-US\n";

#[track_caller]
fn asks(attributes: &str, transcript: &str) {
    let elements = format!("<GetDigits {attributes}><Speak>pin</Speak></GetDigits><Wait/>");
    check(V, &elements, &format!("{ASKED}{transcript}"));
}

#[track_caller]
fn takes(attributes: &str, transcript: &str) {
    let attributes = format!("inputType='dtmf' action='flow:a' {attributes}");
    let elements = format!("<Gather {attributes}><Speak>pin</Speak></Gather><Wait/>");
    check(V, &elements, &format!("{ASKED}{transcript}"));
}

#[test]
fn the_finish_key_ends_the_input() {
    asks(
        "action='flow:a'",
        "> over
        > key 1
        > key *
        > key #
        fetch flow:a action Digits=1*",
    );
    asks(
        "action='flow:a' finishOnKey='*'",
        "> over\n> key #\n> key *\nfetch flow:a action Digits=#",
    );
}

#[test]
fn enough_digits_end_the_input() {
    asks(
        "action='flow:a' numDigits='2'",
        "> over\n> key 1\n> key 2\nfetch flow:a action Digits=12",
    );
}

#[test]
fn a_pause_ends_the_input() {
    asks(
        "action='flow:a' digitTimeout='3'",
        "> over
        > +4.9
        > key 1
        > +2.9
        > key 2
        > +2.9
        > +0.1
        fetch flow:a action Digits=12",
    );
}

#[test]
fn a_key_interrupts_the_prompts() {
    asks(
        "action='flow:a'",
        "> +60
        > key 1
        stop
        > key 2
        > over
        > +2
        fetch flow:a action Digits=12",
    );
    asks("", "> key #\nstop\nbegin 1");
}

#[test]
fn without_an_action_the_flow_continues() {
    asks("", "> over\n> key 1\n> key #\nbegin 1");
    asks(
        "action='http://a' redirect='false'",
        "> over\n> key 1\n> key #\nnotify http://a action Digits=1\nbegin 1",
    );
    asks(
        "action='a'",
        "> over\n> key 1\n> key #\nfetch a action Digits=1\n> not-url\nend 7022 Error",
    );
}

#[test]
fn without_keys_the_action_is_not_requested() {
    asks("action='flow:a'", "> over\n> +4.9\n> +0.1\nbegin 1");
    asks("action='flow:a'", "> over\n> key #\nbegin 1");
    check(V, "<GetDigits/><Wait/>", "> start\nbegin 0\nanswer\n> +5\nbegin 1");
}

#[test]
fn the_prompt_is_repeated() {
    asks(
        "action='flow:a' retries='3' timeout='7'",
        "> over
        > +7
        play \"pin\" WOMAN en-US
        > +60
        > over
        > key #
        play \"pin\" WOMAN en-US
        > over
        > +6.9
        > key 7
        > key #
        fetch flow:a action Digits=7",
    );
    asks("retries='2'", "> over\n> +5\nplay \"pin\" WOMAN en-US\n> over\n> +5\nbegin 1");
}

#[test]
fn a_key_that_is_not_valid_costs_a_try() {
    asks(
        "action='flow:a' validDigits='12' retries='2' invalidDigitsSound='flow:no.mp3'",
        "> over
        > key 1
        > key 3
        play flow:no.mp3
        > key 1
        > +60
        > over
        play \"pin\" WOMAN en-US
        > key 9
        stop
        play flow:no.mp3
        > over
        begin 1",
    );
    asks(
        "action='flow:a' validDigits='12' retries='2'",
        "> over
        > key 1
        > key 3
        play \"pin\" WOMAN en-US
        > key 2
        stop
        > key #
        fetch flow:a action Digits=2",
    );
}

#[test]
fn a_character_that_is_not_a_key_changes_nothing() {
    asks(
        "action='flow:a'",
        "> key x\n> key 1\nstop\n> key é\n> key #\nfetch flow:a action Digits=1",
    );
}

#[test]
fn private_digits_are_marked() {
    asks(
        "action='flow:a' log='false'",
        "> key 1\nstop\n> key #\nfetch flow:a action Digits=1 private",
    );
}

#[test]
fn an_input_is_sent_with_the_fields_of_the_contract() {
    let fetch = "fetch flow:a action InputType=dtmf Digits=12 Speech= SpeechConfidenceScore=";
    takes("", &format!("> over\n> key 1\n> key 2\n> key #\n{fetch}"));
    takes("numDigits='2'", &format!("> over\n> key 1\n> key 2\n{fetch}"));
    takes(
        "digitEndTimeout='4'",
        &format!("> over\n> key 1\n> +3.9\n> key 2\n> +3.9\n> +0.1\n{fetch}"),
    );
    takes("", &format!("> over\n> key 1\n> key 2\n> +2.9\n> +0.1\n{fetch}"));
}

#[test]
fn an_input_has_a_limit_for_its_total_time() {
    let fetch = "fetch flow:a action InputType=dtmf Digits=12 Speech= SpeechConfidenceScore=";
    let transcript = "> +60\n> over\n> +4\n> key 1\n> +2\n> key 2\n> +1.9\n> +0.1";
    takes("executionTimeout='8' digitEndTimeout='10'", &format!("{transcript}\n{fetch}"));
    takes("executionTimeout='8'", "> over\n> +7.9\n> +0.1\nbegin 1");
    takes("startInputTimeout='4'", "> over\n> +3.9\n> +0.1\nbegin 1");
    let again = "play \"pin\" WOMAN en-US";
    takes("retries='2'", &format!("> over\n> +15\n{again}\n> over\n> +14.9\n> +0.1\nbegin 1"));
}

#[test]
fn speech_input_yields_no_result() {
    let elements = "<Gather action='flow:a' inputType='speech'><Speak>pin</Speak></Gather><Wait/>";
    check(
        V,
        elements,
        &format!("{ASKED}> key 1\n> over\n> key 1\n> talk\n> +14.9\n> +0.1\nbegin 1"),
    );
}

#[test]
fn the_entered_digits_do_not_appear_in_debug_output() {
    use conflow::flow::{Flow, FlowEvent, Run};
    use std::{sync::Arc, time::Instant};

    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    let now = Instant::now();
    let document = "<Response><GetDigits action='flow:a' log='false'/></Response>";
    let flow = Arc::new(Flow::parse(document, V).unwrap());
    let (mut run, mut effects) = (Run::new(V), Vec::new());
    let keys = "974974#".chars().map(FlowEvent::Digit);
    for event in [FlowEvent::Fetched(Ok(flow))].into_iter().chain(keys) {
        run.handle(now, event, &mut effects);
        assert!(!format!("{run:?} {effects:?}").contains("974974"), "{run:?} {effects:?}");
    }
    assert!(format!("{effects:?}").contains("flow:a"));
}
