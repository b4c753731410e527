//! Runs of `<Record>`: what ends it, and what its `action` is told (contract recording, 1 and 3).

use conflow::base::ids::Dialect;

use crate::flow::run::{V, check};

const P: Dialect = Dialect::Plivo;

const ID: &str = "00000000-0000-0000-0000-000000000007";

/// The fields of the action of a recording of 2.5 seconds.
fn over(key: &str) -> String {
    format!(
        "RecordUrl=http://a/7.wav RecordingID={ID} RecordingDuration=2 RecordingDurationMs=2500 \
         RecordingStartMs=1000 RecordingEndMs=3500 Digits={key}"
    )
}

#[test]
fn a_beep_then_the_recording_then_a_key_then_the_action() {
    check(
        P,
        "<Record action='flow:a'/>",
        &format!(
            "> start
            begin 0
            answer
            play beep 1
            > key #
            > +1
            > over
            record Message Said
            > begun
            > key 5
            > key #
            stop recording: Key
            > key #
            > +90
            > recorded FinishedOnKey 2500
            fetch flow:a action {}",
            over("#")
        ),
    );
}

#[test]
fn silence_ends_it_and_talk_does_not() {
    let all = |seconds: u32| {
        format!(
            "> start
            begin 0
            answer
            record Message Said
            > begun
            > +{}
            > talk
            > +30
            > silence
            > +{}
            > +1
            stop recording: Silence
            > recorded RecordingTimeout 2500
            begin 1
            end 4000 Answer XML",
            seconds - 1,
            seconds - 1
        )
    };
    let flow = |more: &str| format!("<Record playBeep='false' maxLength='600' {more}/><Hangup/>");
    check(P, &flow(""), &all(15));
    check(V, &flow(""), &all(60));
    check(V, &flow("timeout='5'"), &all(5));
}

#[test]
fn a_caller_who_talks_during_the_beep_is_not_silent() {
    check(
        P,
        "<Record timeout='2'/>",
        "> start
        begin 0
        answer
        play beep 1
        > talk
        > over
        record Message Said
        > begun
        > +5
        > silence
        > +2
        stop recording: Silence",
    );
}

#[test]
fn the_length_ends_it_however_long_one_talks() {
    check(
        P,
        "<Record maxLength='20' action='flow:a' redirect='false'/>",
        &format!(
            "> start
            begin 0
            answer
            play beep 1
            > over
            record Message Said
            > begun
            > talk
            > +19
            > +1
            stop recording: Length
            > recorded maxLength 2500
            notify flow:a action {}
            end 4010 Plivo",
            over("")
        ),
    );
}

#[test]
fn what_ends_by_itself_goes_on_and_vobiz_is_told_why() {
    check(
        V,
        "<Record playBeep='false' action='flow:a' redirect='true'/>",
        &format!(
            "> start
            begin 0
            answer
            record Message Said
            > begun
            > recorded DiskFull 2500
            fetch flow:a action {} RecordFile=http://a/7.wav RecordingEndReason=DiskFull",
            over("")
        ),
    );
}

#[test]
fn one_that_cannot_begin_ends_at_once_and_the_flow_goes_on() {
    check(
        P,
        "<Record playBeep='false' action='flow:a' redirect='false'/><Hangup/>",
        "> start
        begin 0
        answer
        record Message Said
        > refused
        notify flow:a action RecordUrl= RecordingID= RecordingDuration=0 RecordingDurationMs=0 \
         RecordingStartMs=0 RecordingEndMs=0 Digits=
        begin 1
        end 4000 Answer XML",
    );
}

#[test]
fn the_next_element_runs_while_a_session_is_recorded() {
    let action = format!(
        "notify flow:a action RecordUrl=http://a/7.wav RecordingID={ID} RecordingDuration=-1 \
         RecordingDurationMs=-1 RecordingStartMs=1000 RecordingEndMs=-1 Digits="
    );
    for (more, order) in [("", "Session Stereo"), ("startOnDialAnswer='true'", "OnDial Stereo")] {
        check(
            P,
            &format!(
                "<Record recordSession='true' {more} action='flow:a' redirect='false'/>\
                 <Wait length='5'/>"
            ),
            &format!(
                "> start
                begin 0
                answer
                record {order}
                > key #
                > begun
                {action}
                begin 1
                > recorded HungUp 2500
                > +5
                end 4010 Plivo"
            ),
        );
    }
}
