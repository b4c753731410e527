//! Exit branches of a flow: the element at which a call continues, for each way out.

use conflow::flow::{Branch, Cause};

use crate::flow::run::{V, check};

/// One element per branch, after one that no branch leads to.
fn flow(attributes: &str) -> String {
    let branch = |it: &Branch| format!("{}='{}' ", it.attribute(), it.attribute());
    let branches: String = Branch::ALL.iter().map(branch).collect();
    let element = |it: &Branch| format!("<Wait id='{}'/>", it.attribute());
    let elements: String = Branch::ALL.iter().map(element).collect();
    format!("<Conference {branches}{attributes}>a</Conference><Wait/>{elements}")
}

fn number(branch: Branch) -> usize {
    2 + Branch::ALL.iter().position(|it| *it == branch).unwrap()
}

/// Checks at which element a call continues that left for this cause.
#[track_caller]
fn goes_on(cause: Cause, attributes: &str, expected: &str) {
    let left = format!("> left {}", cause.text());
    let start = "> start\nbegin 0\nanswer\njoin a, muted false";
    check(V, &flow(attributes), &format!("{start}\n{left}\n{expected}"));
}

#[test]
fn each_cause_has_its_branch_or_the_next_element() {
    for (cause, branch) in [
        (Cause::Alone, Some(Branch::Alone)),
        (Cause::Banned, Some(Branch::Ban)),
        (Cause::Drained, Some(Branch::End)),
        (Cause::Ended, Some(Branch::End)),
        (Cause::Fault, None),
        (Cause::Full, Some(Branch::Full)),
        (Cause::Kicked, Some(Branch::Kick)),
        (Cause::Starred, Some(Branch::Star)),
        (Cause::TimeUp, Some(Branch::TimeUp)),
    ] {
        goes_on(cause, "", &format!("begin {}", branch.map_or(1, number)));
    }
}

#[test]
fn a_branch_precedes_an_action_which_is_notified_if_it_does_not_redirect() {
    let kick = number(Branch::Kick);
    goes_on(Cause::Kicked, "action='flow:b'", &format!("begin {kick}"));
    let notified = "notify flow:b action ConferenceName=a ConferenceExitCause=kicked";
    goes_on(
        Cause::Kicked,
        "action='flow:b' redirect='false'",
        &format!("{notified}\nbegin {kick}"),
    );
    let asked = "fetch flow:b action ConferenceName=a ConferenceExitCause=fault";
    goes_on(Cause::Fault, "action='flow:b'", asked);
}

#[test]
fn an_unreachable_document_is_a_way_out() {
    let error = number(Branch::Error);
    for missing in ["unreachable", "invalid"] {
        let asked = "fetch flow:b action ConferenceName=a ConferenceExitCause=fault";
        let expected = format!("{asked}\n> {missing}\nbegin {error}");
        goes_on(Cause::Fault, "action='flow:b'", &expected);
    }
    // A URL that cannot even be requested.
    let asked = "fetch b.xml action ConferenceName=a ConferenceExitCause=fault\n> not-url";
    goes_on(Cause::Fault, "action='b.xml'", &format!("{asked}\nbegin {error}"));
    for (element, asked) in [
        ("<Redirect onError='e'>flow:b</Redirect>", "fetch flow:b redirect"),
        (
            "<GetDigits numDigits='1' action='flow:b' onError='e'/>",
            "> key 1\nfetch flow:b action Digits=1",
        ),
        (
            "<Gather numDigits='1' action='flow:b' onError='e'/>",
            "> key 1\nfetch flow:b action InputType=dtmf Digits=1 Speech= SpeechConfidenceScore=",
        ),
    ] {
        let elements = format!("{element}<Wait/><Speak id='e'>sorry</Speak>");
        let expected = format!("> start\nbegin 0\nanswer\n{asked}\n> unreachable");
        let sorry = "begin 2\nplay \"sorry\" WOMAN en-US";
        check(V, &elements, &format!("{expected}\n{sorry}"));
    }
}

#[test]
fn the_values_of_a_branch_are_prepared() {
    check(
        V,
        "<Conference onKick='k' onEnd='e' onStar='k'>a</Conference><Speak>next</Speak>\
         <Speak id='k'>kicked</Speak><Speak id='e'>over</Speak>",
        r#"> start
        begin 0
        answer
        prepare "next" WOMAN en-US
        prepare "kicked" WOMAN en-US
        prepare "over" WOMAN en-US
        join a, muted false
        > left ended
        begin 3
        play "over" WOMAN en-US
        > over
        end 4010 Vobiz"#,
    );
}
