//! Bans over the API: made by a kick, checked at entry, listed and lifted.

use std::sync::{Arc, atomic::Ordering};

use crate::api::engine::{TestEngine, TestEngineOptions, check};
use crate::engine::membership::FailingRows;

const ANSWER: &str = r#"has /answer <Response><Conference stayAlone="true" onBan="sorry" action="http://app.example/action" redirect="false">weekly</Conference><Hangup/><Speak id="sorry">sorry</Speak></Response>"#;

#[tokio::test(start_paused = true)]
async fn a_ban_refuses_its_caller_and_nobody_else_until_it_ends() {
    check(&format!(
        r##"{ANSWER}
        POST S/Phone/ {{"to":"web","user":"anna"}} => 201 {{"call_uuid":"*"}}
        dial web
        POST V/Conference/weekly/Member/1,2/Kick/?dry_run=true {{"ban_seconds":60}} => 200 {{"message":"dry run","would_leave":[{{"member_id":"1","call_uuid":"*","cause":"kicked","banned":true,"next":{{"document":"flow","element":"Hangup","id":null,"line":1,"column":125}}}},{{"member_id":"2","call_uuid":"*","cause":"kicked","banned":false,"next":{{"document":"flow","element":"Hangup","id":null,"line":1,"column":125}}}}],"api_id":"*"}}
        GET V/Conference/weekly/Ban/ => 200 {{"api_id":"*","bans":[]}}
        told /action ConferenceExitCause => nothing
        POST V/Conference/weekly/Member/1,2/Kick/ {{"ban_seconds":60,"reason":"too loud"}} => 200 {{"message":"kicked","member_id":"1,2","api_id":"*","banned":["1"],"not_banned":["2"]}}
        told /action ConferenceExitCause => kicked | kicked
        GET P/Conference/weekly/Ban/ => 200 {{"api_id":"*","bans":[{{"ban_id":"1","who":"user:anna","reason":"too loud","banned_at":"T","ends_at":"T"}}]}}
        GET V/Conference/weekly/Ban/1/ => 200 {{"ban_id":"1","who":"user:anna","reason":"too loud","banned_at":"T","ends_at":"T","api_id":"*"}}
        GET V/Conference/weekly/Ban/2/ => 404 {{"api_id":"*","error":"ban not found"}}
        GET V/Conference/daily/Ban/1/ => 404 {{"api_id":"*","error":"ban not found"}}
        GET /v1/Account/MA2/Conference/weekly/Ban/ [X-Auth-ID: MA2] [X-Auth-Token: two] => 200 {{"api_id":"*","bans":[]}}
        POST S/Phone/ {{"to":"web","user":"anna"}} => 201 {{"call_uuid":"*"}}
        wait 10
        told /action ConferenceMemberID,ConferenceUUID,ConferenceExitCause =>   banned
        GET V/Conference/ => 200 {{"api_id":"*","conferences":[]}}
        dial web
        POST S/Phone/ {{"to":"web","user":"ben"}} => 201 {{"call_uuid":"*"}}
        wait 59900
        POST S/Phone/ {{"to":"web","user":"anna"}} => 201 {{"call_uuid":"*"}}
        wait 10
        told /action ConferenceExitCause => banned
        wait 100
        POST S/Phone/ {{"to":"web","user":"anna"}} => 201 {{"call_uuid":"*"}}
        wait 10
        told /action ConferenceExitCause => nothing
        GET P/Conference/weekly/Ban/ => 200 {{"api_id":"*","bans":[]}}
        "##
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_ban_that_is_lifted_lets_its_caller_in() {
    check(&format!(
        r##"{ANSWER}
        POST S/Phone/ {{"to":"web","user":"anna"}} => 201 {{"call_uuid":"*"}}
        POST S/Phone/ {{"to":"web","user":"ben"}} => 201 {{"call_uuid":"*"}}
        wait 10
        POST P/Conference/weekly/Member/all/Kick/ {{"ban_seconds":31536000}} => 202 {{"message":"kicked","member_id":"all","api_id":"*","banned":["1","2"],"not_banned":[]}}
        told /action ConferenceExitCause => kicked | kicked
        DELETE P/Conference/weekly/Ban/1/ => 204
        DELETE V/Conference/weekly/Ban/1/ => 404 {{"api_id":"*","error":"ban not found"}}
        DELETE V/Conference/weekly/Ban/x/ => 404 {{"api_id":"*","error":"ban not found"}}
        POST S/Phone/ {{"to":"web","user":"anna"}} => 201 {{"call_uuid":"*"}}
        POST S/Phone/ {{"to":"web","user":"ben"}} => 201 {{"call_uuid":"*"}}
        wait 10
        told /action ConferenceExitCause => banned
        DELETE P/Conference/weekly/Ban/ => 204
        POST S/Phone/ {{"to":"web","user":"ben"}} => 201 {{"call_uuid":"*"}}
        wait 10
        told /action ConferenceExitCause => nothing
        POST V/Conference/weekly/Ban/ => 405 [allow: GET, HEAD, DELETE] {{"api_id":"*","error":"method not allowed: use GET, HEAD, DELETE"}}
        "##
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_ban_lasts_from_a_second_to_a_year() {
    check(
        r##"dial weekly
        POST V/Conference/weekly/Member/1/Kick/ {"ban_seconds":0} => 400 {"api_id":"*","error":"ban_seconds: give a whole number from 1 to 31536000"}
        POST V/Conference/weekly/Member/1/Kick/ {"ban_seconds":31536001} => 400 {"api_id":"*","error":"ban_seconds: give a whole number from 1 to 31536000"}
        POST V/Conference/weekly/Member/1/Kick/ {"ban_seconds":[60]} => 400 {"api_id":"*","error":"ban_seconds: give a text"}
        POST V/Conference/weekly/Member/1/Kick/ {"ban_seconds":"60"} => 200 {"message":"kicked","member_id":"1","api_id":"*","banned":[],"not_banned":["1"]}
        "##,
    )
    .await;
}

/// A caller who is kicked and banned cannot return by the next element.
#[tokio::test(start_paused = true)]
async fn a_ban_holds_before_the_next_element_begins() {
    check(
        r##"has /answer <Response><Conference stayAlone="true">weekly</Conference><Conference stayAlone="true" onBan="sorry">weekly</Conference><Hangup/><Speak id="sorry">sorry</Speak></Response>
        POST S/Phone/ {"to":"web","user":"anna"} => 201 {"call_uuid":"*"}
        wait 10
        POST V/Conference/weekly/Member/1/Kick/ {"ban_seconds":5} => 200 {"message":"kicked","member_id":"1","api_id":"*","banned":["1"],"not_banned":[]}
        GET V/Conference/ => 200 {"api_id":"*","conferences":[]}
        told /hangup HangupCauseCode => nothing
        wait 1000
        told /hangup HangupCauseCode => 4010
        "##,
    )
    .await;
}

/// A ban is answered only when it is durable.
#[tokio::test(start_paused = true)]
async fn a_kick_that_bans_and_a_lift_are_answered_when_the_store_has_them() {
    let disk = Arc::new(FailingRows::default());
    let plan = TestEngineOptions { bans: disk.clone(), ..TestEngineOptions::default() };
    let mut engine = TestEngine::new(plan);
    let phone = r#"POST S/Phone/ {"to":"web","user":"anna"} => 201 {"call_uuid":"*"}"#;
    let kick = r#"POST V/Conference/weekly/Member/1/Kick/ {"ban_seconds":60} => "#;
    let lift = "DELETE V/Conference/weekly/Ban/1/ => ";
    let list = "GET V/Conference/weekly/Ban/ => ";
    for line in [ANSWER, phone, "wait 10"] {
        assert_eq!(engine.line(line).await, line);
    }
    disk.fails.store(true, Ordering::Relaxed);
    assert!(engine.line(kick).await.contains("=> 500 "));
    assert!(engine.line(list).await.contains("user:anna"), "the ban holds nevertheless");
    assert!(engine.line(lift).await.contains("=> 500 "));
    engine.close().await;
}
