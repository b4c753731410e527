//! `<Dial>` over the API, and calls into conferences: simulated phones talk, and everybody is told.

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

/// `legs` reaches the callee that is connected, and nobody before that.
#[tokio::test(start_paused = true)]
async fn requests_reach_the_leg_that_they_name() {
    let none = r#"404 {"api_id":"*","error":"no B leg is connected with this call"}"#;
    check(&format!(
        r##"
        has /answer <Response><Dial action="http://app.example/action">sim:bob?ring_ms=1000</Dial><Speak>next</Speak></Response>
        has /moved <Response><Speak>moved</Speak><Wait length="9"/></Response>
        dial web
        wait 500
        POST V/Call/{{1}}/ {{"legs":"both","aleg_url":"http://app.example/moved","bleg_url":"http://app.example/moved"}} => {none}
        POST V/Call/{{1}}/DTMF/ {{"digits":"1","leg":"bleg"}} => 404 {{"api_id":"*","error":"call not found"}}
        wait 1000
        POST V/Call/{{1}}/ {{"legs":"both","aleg_url":"http://app.example/moved"}} => 400 {{"api_id":"*","error":"bleg_url: missing"}}
        POST P/Call/{{1}}/Play/ {{"urls":"sound:beep","legs":"bleg"}} => 202 {{"message":"play started","api_id":"*"}}
        POST P/Call/{{1}}/Speak/ {{"text":"hello","legs":"both"}} => 202 {{"message":"speak started","api_id":"*"}}
        POST P/Call/{{1}}/DTMF/ {{"digits":"12","leg":"bleg"}} => 202 {{"message":"digits sent","api_id":"*"}}
        wait 1000
        POST V/Call/{{1}}/ {{"legs":"both","aleg_url":"http://app.example/moved","bleg_url":"http://app.example/moved"}} => 202 {{"message":"call transferred","call_uuid":"*","call_uuids":["*","*"],"api_id":"*"}}
        wait 100
        told /moved Event,CallUUID => Transfer 00000000-0000-0000-0000-0000000f4241 | Transfer {{1}}
        told /action DialStatus => nothing
        GET P/Call/?status=live => 200 {{"api_id":"*","calls":["*","*"]}}
        POST V/Call/{{1}}/ {{"legs":"bleg","bleg_url":"http://app.example/moved"}} => {none}
        "##
    ))
    .await;
}

const ROOM: &str =
    r#"has /answer <Response><Conference stayAlone="true">weekly</Conference></Response>"#;

/// Somebody is called in, is kicked, and hears the document of `on_exit_action_url`.
#[tokio::test(start_paused = true)]
async fn somebody_is_called_into_a_conference_is_kicked_and_goes_on() {
    check(&format!(
        r##"{ROOM}
        has /left <Response><Speak>goodbye</Speak></Response>
        POST V/Conference/weekly/Member/ {{"from":"4930","to":"sim:bob"}} => 404 {{"api_id":"*","error":"conference not found"}}
        dial web
        POST V/Conference/weekly/Member/ {{"from":"4930","to":"sim:bob?ring_ms=500<sim:eve?ring_ms=900","muted":true,"callback_url":"http://app.example/member","on_exit_action_url":"http://app.example/left"}} => 200 {{"api_id":"*","message":"member dial started","request_uuid":["*","*"],"calls":[{{"to":"sim:bob?ring_ms=500","from":"4930","call_uuid":"*","member_id":"2"}},{{"to":"sim:eve?ring_ms=900","from":"4930","call_uuid":"*","member_id":"3"}}]}}
        GET V/Conference/weekly/ => 200 {{"conference_name":"weekly","conference_run_time":"0","conference_member_count":"1","members":[{{"muted":false,"member_id":"1","deaf":false,"from":"14155550100","to":"web","caller_name":"","direction":"inbound","call_uuid":"*","join_time":"0"}}],"api_id":"*"}}
        wait 600
        GET P/Conference/weekly/ => 200 {{"conference_name":"weekly","conference_run_time":"0","conference_member_count":"2","members":[{{"muted":false,"member_id":"1","deaf":false,"from":"14155550100","to":"web","caller_name":"","direction":"inbound","call_uuid":"*","join_time":"0"}},{{"muted":true,"member_id":"2","deaf":false,"from":"4930","to":"sim:bob?ring_ms=500","caller_name":"","direction":"outbound","call_uuid":"*","join_time":"0"}}],"api_id":"*"}}
        told /member Event,ConferenceAction,DialBLegStatus,ConferenceMemberID,DialBLegHangupCauseCode,CallUUID => DialAnswer - answer - - {{2}} | DialHangup - hangup - 9000 {{3}} | ConferenceEnter enter - 2 - {{2}}
        wait 400
        POST P/Conference/weekly/Member/2/Kick/ => 202 {{"message":"kicked","member_id":"2","api_id":"*"}}
        wait 1000
        told /member Event,ConferenceExitCause => ConferenceExit kicked
        told /left Event,ConferenceExitCause,ConferenceMemberID,CallUUID => Redirect kicked 2 {{2}}
        heard 2 => 500-700 beep, 700-1001 room weekly, 1001-1421 speech "goodbye"
        "##
    ))
    .await;
}

/// Without `on_exit_action_url` the call ends with the membership; a callee can be called off, and ends
/// with the room.
#[tokio::test(start_paused = true)]
async fn a_member_who_was_called_in_ends_with_the_conference() {
    check(&format!(
        r##"{ROOM}
        dial web
        POST P/Conference/weekly/Member/ [Idempotency-Key: a] {{"from":"4930","to":"sim:bob"}} => 202 {{"api_id":"*","message":"member dial started","request_uuid":"*","calls":[{{"to":"sim:bob","from":"4930","call_uuid":"*","member_id":"2"}}]}}
        POST P/Conference/weekly/Member/ [Idempotency-Key: a] {{"from":"4930","to":"sim:bob"}} => 202 {{"api_id":"*","message":"member dial started","request_uuid":"*","calls":[{{"to":"sim:bob","from":"4930","call_uuid":"*","member_id":"2"}}]}}
        wait 200
        POST P/Conference/weekly/Member/2/Kick/ => 202 {{"message":"kicked","member_id":"2","api_id":"*"}}
        wait 10
        GET P/Call/{{2}}/ => 200 {{"answer_time":"T","api_id":"*","bill_duration":0,"billed_duration":0,"call_direction":"outbound","call_duration":0,"call_state":"ANSWER","call_uuid":"*","conference_uuid":"*","end_time":"T","from_number":"4930","hangup_cause_code":4010,"hangup_cause_name":"End Of XML Instructions","hangup_source":"Plivo","initiation_time":"T","parent_call_uuid":null,"resource_uri":"/v1/Account/MA1/Call/*/","to_number":"sim:bob","total_amount":"0.00000","total_rate":"0.00000"}}
        POST P/Conference/weekly/Member/ {{"from":"4930","to":"sim:bob?no_answer"}} => 202 {{"api_id":"*","message":"member dial started","request_uuid":"*","calls":[{{"to":"sim:bob?no_answer","from":"4930","call_uuid":"*","member_id":"3"}}]}}
        wait 200
        GET P/Call/?status=live => 200 {{"api_id":"*","calls":["*","*"]}}
        DELETE P/Call/{{4}}/ => 204
        POST P/Conference/weekly/Member/ {{"from":"4930","to":"sim:bob?no_answer"}} => 202 {{"api_id":"*","message":"member dial started","request_uuid":"*","calls":[{{"to":"sim:bob?no_answer","from":"4930","call_uuid":"*","member_id":"4"}}]}}
        wait 200
        DELETE P/Conference/weekly/ => 204
        wait 10
        GET P/Call/{{5}}/ => 200 {{"answer_time":null,"api_id":"*","bill_duration":0,"billed_duration":0,"call_direction":"outbound","call_duration":0,"call_state":"CANCEL","call_uuid":"*","conference_uuid":null,"end_time":"T","from_number":"4930","hangup_cause_code":1000,"hangup_cause_name":"Canceled","hangup_source":"Plivo","initiation_time":"T","parent_call_uuid":null,"resource_uri":"/v1/Account/MA1/Call/*/","to_number":"sim:bob?no_answer","total_amount":"0.00000","total_rate":"0.00000"}}
        GET P/Call/?status=live => 200 {{"api_id":"*","calls":[]}}
        "##
    ))
    .await;
}

/// A key confirms; ban and size are checked at the door.
#[tokio::test(start_paused = true)]
async fn a_callee_confirms_and_is_checked_at_the_door() {
    check(
        r##"has /answer <Response><Conference stayAlone="true" maxMembers="2">weekly</Conference></Response>
        has /left <Response><Speak>sorry</Speak></Response>
        dial web
        POST P/Conference/weekly/Member/ {"from":"4930","to":"sim:bob","user":"bob","confirm_key":"1"} => 202 {"api_id":"*","message":"member dial started","request_uuid":"*","calls":[{"to":"sim:bob","from":"4930","call_uuid":"*","member_id":"2"}]}
        wait 1000
        POST S/Phone/{2}/Press/ {"digits":"1"} => 202 {"message":"keys are pressed","api_id":"*"}
        wait 500
        POST P/Conference/weekly/Member/2/Kick/ {"ban_seconds":60} => 202 {"message":"kicked","member_id":"2","api_id":"*","banned":["2"],"not_banned":[]}
        POST P/Conference/weekly/Member/ {"from":"4930","to":"sim:bob","user":"bob","on_exit_action_url":"http://app.example/left"} => 202 {"api_id":"*","message":"member dial started","request_uuid":"*","calls":[{"to":"sim:bob","from":"4930","call_uuid":"*","member_id":"3"}]}
        wait 1000
        told /left ConferenceExitCause => banned
        dial web
        POST P/Conference/weekly/Member/ {"from":"4930","to":"sim:eve","on_exit_action_url":"http://app.example/left"} => 202 {"api_id":"*","message":"member dial started","request_uuid":"*","calls":[{"to":"sim:eve","from":"4930","call_uuid":"*","member_id":"5"}]}
        wait 1000
        told /left ConferenceExitCause => full
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_into_a_conference_says_what_is_wrong() {
    let bad = |body: &str, error: &str| {
        format!(
            "POST V/Conference/weekly/Member/ {{\"from\":\"1\",{body}}} => 400 {{\"api_id\":\"*\",\"error\":\"{error}\"}}\n"
        )
    };
    let bob = "\"to\":\"sim:bob\"";
    let cases = [
        bad("\"x\":1", "to: missing"),
        bad(
            &format!("\"to\":\"{}\"", "sim:bob<".repeat(21)),
            "to: give 1 to 20, with < between them",
        ),
        bad(&format!("{bob},\"confirm_key\":\"12\""), "confirm_key: give one of 0-9 * #"),
        bad(
            &format!("{bob},\"ring_timeout\":601"),
            "ring_timeout: give a whole number from 1 to 600",
        ),
        bad(&format!("{bob},\"muted\":\"x\""), "muted: give true or false"),
        bad(
            &format!("{bob},\"enter_sound\":\"x y\""),
            "enter_sound: enterSound=\\\"x y\\\" is ignored: write beep:1, beep:2, http://, https://, flow:NAME or sound:hold|ring|beep",
        ),
        bad(
            &format!("{bob},\"confirm_sound\":\"x\""),
            "confirm_sound: not a document: give http://…, https://… or flow:NAME",
        ),
    ];
    check(&format!("{ROOM}\ndial web\n{}", cases.concat())).await;
}

#[tokio::test(start_paused = true)]
async fn members_are_put_on_hold_and_come_back() {
    check(&format!(
        r##"{ROOM}
        dial web
        dial web
        wait 1000
        POST P/Conference/weekly/Member/1/Mute/ => 202 {{"message":"muted","member_id":"1","api_id":"*"}}
        POST P/Conference/weekly/Member/1,2/Hold/ {{"url":"sound:hold"}} => 202 {{"message":"held","member_id":"1,2","api_id":"*"}}
        POST V/Conference/weekly/Member/2/Hold/ => 200 {{"message":"held","member_id":"2","api_id":"*"}}
        wait 1000
        DELETE V/Conference/weekly/Member/all/Hold/ => 204
        wait 1000
        POST V/Conference/weekly/Member/9/Hold/ => 404 {{"api_id":"*","error":"member not found"}}
        POST V/Conference/weekly/Member/1/Hold/ {{"url":"x"}} => 400 {{"api_id":"*","error":"url: neither a sound nor a document: give http://… or https://… (2048 bytes at most), flow:NAME, or one of sound:hold, sound:ring and sound:beep"}}
        GET V/Conference/weekly/ => 200 {{"conference_name":"weekly","conference_run_time":"3","conference_member_count":"2","members":[{{"muted":true,"member_id":"1","deaf":false,"from":"14155550100","to":"web","caller_name":"","direction":"inbound","call_uuid":"*","join_time":"3"}},{{"muted":false,"member_id":"2","deaf":false,"from":"14155550100","to":"web","caller_name":"","direction":"inbound","call_uuid":"*","join_time":"3"}}],"api_id":"*"}}
        heard 1 => 0-200 beep, 200-1002 room weekly, 1002-2002 wait sound:hold, 2002- room weekly
        heard 2 => 0-200 beep, 200-1001 room weekly, 1001-2001 silence, 2001- room weekly
        "##
    ))
    .await;
}
