//! `<Dial>` over the API: two simulated phones talk, and everybody is told.

use super::engine::{TestEngine, TestEngineOptions, check, check_in};

const CALLBACK: &str = "callbackUrl=\"http://app.example/dial\"";

#[tokio::test(start_paused = true)]
async fn two_phones_are_connected_and_the_caller_goes_on() {
    check(&format!(
        r##"
        has /answer <Response><Dial {CALLBACK} callerId="4930"><Number>sim:bob?ring_ms=1000</Number><User>sim:eve?ring_ms=5000</User></Dial><Speak>next</Speak></Response>
        dial web
        wait 500
        GET P/Call/?status=live => 200 {{"api_id":"*","calls":["*","*","*"]}}
        wait 4000
        told /dial Event,DialAction,DialBLegStatus,DialBLegFrom,DialBLegTo,DialBLegHangupCauseCode => DialAnswer answer answer 4930 sim:bob?ring_ms=1000 - | DialHangup hangup hangup 4930 sim:eve?ring_ms=5000 9000 | DialConnected connected connected 4930 sim:bob?ring_ms=1000 -
        heard 1 => 0-1000 wait sound:ring, 1000- room dial
        "##
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_hears_real_early_media_and_keys_are_sent_at_it() {
    check(
        r##"
        has /answer <Response><Dial dialMusic="real"><Number sendDigits="12" sendOnPreanswer="true">sim:bob?ring_ms=1000&amp;early_media_ms=300</Number></Dial></Response>
        dial web
        wait 2000
        heard 1 => 0-300 wait sound:ring, 300- room dial
        has /answer <Response><Dial dialMusic="real" timeout="1">sim:bob?no_answer&amp;early_media_ms=300</Dial><Speak>next</Speak></Response>
        dial web
        wait 2000
        heard 2 => 0-300 wait sound:ring, 300-1000 room dial, 1000-1240 speech "next"
        has /answer <Response><Dial dialMusic="real"><Number>sim:bob?ring_ms=1000&amp;early_media_ms=300</Number><Number>sim:eve?no_answer</Number></Dial></Response>
        dial web
        wait 2000
        heard 3 => 0-1000 wait sound:ring, 1000- room dial
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_made_sends_keys_at_early_media_or_at_the_answer() {
    let check_keys = async |to: &str, early: bool, heard: &str| {
        check(&format!(
            r##"
            has /answer <Response><Wait length="60"/></Response>
            POST P/Call/ {{"from":"4930555010","to":"{to}","answer_url":"http://app.example/answer","send_digits":"1","send_on_preanswer":{early}}} => 201 {{"message":"call fired","request_uuid":"*","api_id":"*"}}
            wait 2000
            heard 1 => {heard}
            "##
        ))
        .await;
    };
    let to = "sim:bob?ring_ms=1000&early_media_ms=300";
    check_keys(to, true, "300-400 sound dtmf:1, 400- silence").await;
    check_keys(to, false, "300-1000 silence, 1000-1100 sound dtmf:1, 1100- silence").await;
    check_keys("sim:bob?ring_ms=1000", true, "1000-1100 sound dtmf:1, 1100- silence").await;
}

#[tokio::test(start_paused = true)]
async fn an_action_is_told_how_it_went() {
    check(
        r##"
        has /answer <Response><Dial action="http://app.example/action" timeout="5">sim:bob?busy</Dial></Response>
        has /action <Response><Speak>busy</Speak></Response>
        dial web
        wait 500
        told /action Event,DialStatus,DialRingStatus,DialHangupCause,DialALegUUID,DialBLegUUID,CallUUID => Dial busy false USER_BUSY {1}  {1}
        heard 1 => 0-240 speech "busy"
        has /answer <Response><Dial action="http://app.example/action" timeout="5">sim:bob?no_answer</Dial></Response>
        dial web
        wait 6000
        told /action Event,DialStatus,DialRingStatus,DialHangupCause => Dial timeout true NO_ANSWER
        has /answer <Response><Dial onError="sorry">14155550199</Dial><Hangup/><Speak id="sorry">nobody</Speak></Response>
        dial web
        wait 1000
        heard 3 => 0-360 speech "nobody"
        "##,
    )
    .await;
}

/// A caller for whom nobody can be called any more goes on, and does not wait.
#[tokio::test(start_paused = true)]
async fn a_dial_that_cannot_begin_leads_on() {
    let engine = TestEngine::new(TestEngineOptions::default());
    engine.registry().close();
    check_in(
        engine,
        r##"
        has /answer <Response><Dial action="http://app.example/action" redirect="false">sim:bob</Dial><Speak>next</Speak></Response>
        dial web
        wait 1000
        told /action DialStatus => failed
        heard 1 => 0-240 speech "next"
        "##,
    )
    .await;
}
