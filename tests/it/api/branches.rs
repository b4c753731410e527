//! Exit branches over the API: each way out of a conference leads to its element.

use super::engine::{TestEngine, TestEngineOptions, check, check_in};

/// A flow whose branches lead to different words. `more` has the attributes that make a call leave.
fn answer(more: &str) -> String {
    let names = ["Kick", "End", "TimeUp", "Alone", "Star", "Full", "Ban", "Error"];
    let branches: String = names.iter().map(|it| format!(" on{it}=\"{it}\"")).collect();
    let words: String =
        names.iter().map(|it| format!("<Speak id=\"{it}\">{it}</Speak><Hangup/>")).collect();
    format!(
        "has /answer <Response><Conference{branches} {more}>weekly</Conference><Speak>next</Speak>{words}</Response>"
    )
}

#[tokio::test(start_paused = true)]
async fn a_kick_leads_to_its_element_and_the_end_of_the_room_to_another() {
    check(&format!(
        r##"
        {}
        dial web
        dial web
        POST V/Conference/weekly/Member/1/Kick/ => 200 {{"message":"kicked","member_id":"1","api_id":"*"}}
        wait 1000
        heard 1 => 0-2 beep, 2-242 speech "Kick"
        heard 2 => 0-1 beep, 1-181 speech "End"
        told /action Event => nothing
        "##,
        answer("endConferenceOnExit=\"true\" action=\"http://app.example/action\""),
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_star_and_being_left_alone_lead_to_their_elements() {
    check(&format!(
        r##"
        {}
        dial web
        dial web
        POST S/Phone/{{1}}/Press/ {{"digits":"*"}} => 202 {{"message":"keys are pressed","api_id":"*"}}
        wait 1000
        heard 1 => 0-2 beep, 2-242 speech "Star"
        heard 2 => 0-1 beep, 1-301 speech "Alone"
        "##,
        answer("hangupOnStar=\"true\" stayAlone=\"false\""),
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_full_room_and_the_time_limit_lead_to_their_elements() {
    check(&format!(
        r##"
        {}
        dial web
        dial web
        wait 6000
        heard 1 => 0-200 beep, 200-5000 room weekly, 5000-5360 speech "TimeUp"
        heard 2 => 0-240 speech "Full"
        "##,
        answer("maxMembers=\"1\" timeLimit=\"5\" action=\"http://app.example/action\" redirect=\"false\""),
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_action_that_fails_leads_to_its_element() {
    check(
        r##"
        has /answer <Response><Conference action="http://app.example/action" onError="sorry">weekly</Conference><Speak>next</Speak><Speak id="sorry">sorry</Speak></Response>
        has /action 503
        dial web
        POST V/Conference/weekly/Member/1/Kick/ => 200 {"message":"kicked","member_id":"1","api_id":"*"}
        wait 60000
        told /action ConferenceExitCause => kicked
        heard 1 => 0-1 beep, 1-301 speech "sorry"
        told /hangup HangupCauseCode => 4010
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_leads_to_the_element_for_the_end() {
    let mut engine = TestEngine::new(TestEngineOptions::default());
    engine.line(&answer("")).await;
    engine.dial("web").await;
    engine.registry().close();
    check_in(engine, "\nwait 1000\nheard 1 => 0-1 beep, 1-181 speech \"End\"\n").await;
}
