//! Bans over the API: made by a kick, checked at entry, listed and lifted.

use std::sync::{Arc, atomic::Ordering};

use conflow::{
    conference::ban_list::BANS_MAX,
    store::{
        rows::{RowStore, RowWrite, Table},
        rows_memory::MemoryRows,
    },
};

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

/// An engine whose account may ban one more caller.
fn with_room_for_one_ban() -> TestEngine {
    let rows = Arc::new(MemoryRows::default());
    let ban = |id: usize| RowWrite {
        table: Table::RoomBans,
        account: "MA1".parse().unwrap(),
        a: 1_000_000 + u64::try_from(id).unwrap(),
        b: 0,
        body: Some(format!(
            r#"{{"conference":"other","who":"user:{id}","reason":null,"made_at":0,"ends_at":9000000000}}"#
        )),
    };
    rows.commit((1..BANS_MAX).map(ban).collect(), Box::new(|written| written.unwrap()));
    TestEngine::new(TestEngineOptions { rows, ..TestEngineOptions::default() })
}

/// The limit is for what comes of a kick, and not for what there was before it.
#[tokio::test(start_paused = true)]
async fn a_kick_that_would_ban_too_many_kicks_nobody() {
    let mut engine = with_room_for_one_ban();
    let bans = BANS_MAX - 1;
    let full = "lift some with DELETE Conference/{name}/Ban/{id}/, or let them end";
    let script = format!(
        r##"{ANSWER}
        POST S/Phone/ {{"to":"web","user":"anna"}} => 201 {{"call_uuid":"*"}}
        POST S/Phone/ {{"to":"web","user":"ben"}} => 201 {{"call_uuid":"*"}}
        wait 10
        POST V/Conference/weekly/Member/all/Kick/ {{"ban_seconds":60}} => 409 {{"api_id":"*","error":"this account has {bans} bans: {full}"}}
        GET V/Conference/weekly/Ban/ => 200 {{"api_id":"*","bans":[]}}
        POST V/Conference/weekly/Member/1/Kick/ {{"ban_seconds":60}} => 200 {{"message":"kicked","member_id":"1","api_id":"*","banned":["1"],"not_banned":[]}}
        POST V/Conference/weekly/Member/2/Kick/ {{"ban_seconds":60}} => 409 {{"api_id":"*","error":"this account has {BANS_MAX} bans: {full}"}}
        DELETE V/Conference/weekly/Ban/1/ => 204
        POST V/Conference/weekly/Member/2/Kick/ {{"ban_seconds":60}} => 200 {{"message":"kicked","member_id":"2","api_id":"*","banned":["2"],"not_banned":[]}}
        "##
    );
    for line in script.lines().map(str::trim).filter(|it| !it.is_empty()) {
        assert_eq!(engine.line(line).await, line);
    }
    engine.close().await;
}

/// Two rooms share the account's limit: what one kick has reserved, another cannot have.
#[tokio::test(start_paused = true)]
async fn of_two_kicks_at_once_only_one_gets_the_last_ban() {
    let mut engine = with_room_for_one_ban();
    for room in ["weekly", "daily"] {
        engine.line(&ANSWER.replace("weekly", room)).await;
        engine.line(r#"POST S/Phone/ {"to":"web","user":"anna"} => "#).await;
        engine.line("wait 10").await;
    }
    let kick = |room: &str| {
        let line = format!(r#"POST V/Conference/{room}/Member/all/Kick/ {{"ban_seconds":60}}"#);
        engine.send(engine.request(&line))
    };
    let (weekly, daily) = tokio::join!(kick("weekly"), kick("daily"));
    let statuses = [weekly.status().as_u16(), daily.status().as_u16()];
    assert!([[200, 409], [409, 200]].contains(&statuses), "{statuses:?}");
    for (room, status) in ["weekly", "daily"].into_iter().zip(statuses) {
        let left = engine.line(&format!("GET V/Conference/{room}/ => ")).await;
        assert_eq!(left.contains("=> 200"), status == 409, "{left}");
    }
    engine.close().await;
}

/// A ban that cannot be stored would be lost at the next restart, so the kick is refused before the
/// member is out; nor is a ban lifted that would be back then.
#[tokio::test(start_paused = true)]
async fn a_kick_whose_ban_cannot_be_stored_does_not_happen_and_neither_does_a_lift() {
    let disk = Arc::new(FailingRows::default());
    let plan = TestEngineOptions { rows: disk.clone(), ..TestEngineOptions::default() };
    let mut engine = TestEngine::new(plan);
    let script = |lines: &str| -> Vec<String> {
        lines.lines().map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect()
    };
    let full =
        r#"503 [retry-after: 1] {"api_id":"*","error":"storage is full: nothing was changed"}"#;
    let call =
        r#"POST P/Call/ [Idempotency-Key: a] {"from":"1","to":"sim:a","answer_url":"flow:x"}"#;
    let before = script(&format!(
        r##"{ANSWER}
        POST S/Phone/ {{"to":"web","user":"anna"}} => 201 {{"call_uuid":"*"}}
        POST S/Phone/ {{"to":"web","user":"ben"}} => 201 {{"call_uuid":"*"}}
        wait 10
        GET /readyz [none] => 200 ready"##
    ));
    let during = script(&format!(
        r##"GET /readyz [none] => 503 store: no space
        POST V/Conference/weekly/Member/1/Kick/ {{"ban_seconds":60}} => {full}
        POST V/Conference/weekly/Member/all/Kick/ {{"ban_seconds":60}} => {full}
        POST V/Conference/weekly/Member/9/Kick/ {{"ban_seconds":60}} => 404 {{"api_id":"*","error":"member not found"}}
        GET V/Conference/weekly/Ban/ => 200 {{"api_id":"*","bans":[]}}
        told /action ConferenceExitCause => nothing
        {call} => {full}
        POST V/Conference/weekly/Member/2/Mute/ [Idempotency-Key: b] => {full}"##
    ));
    let after = script(
        r##"GET /readyz [none] => 200 ready
        POST V/Conference/weekly/Member/1/Kick/ {"ban_seconds":60} => 200 {"message":"kicked","member_id":"1","api_id":"*","banned":["1"],"not_banned":[]}
        told /action ConferenceExitCause => kicked
        POST V/Conference/weekly/Member/2/Mute/ [Idempotency-Key: b] => 200 {"message":"muted","member_id":"2","api_id":"*"}"##,
    );
    for line in before {
        assert_eq!(engine.line(&line).await, line);
    }
    disk.fails.store(true, Ordering::Relaxed);
    for line in during {
        assert_eq!(engine.line(&line).await, line);
    }
    disk.fails.store(false, Ordering::Relaxed);
    for line in after {
        assert_eq!(engine.line(&line).await, line);
    }
    disk.fails.store(true, Ordering::Relaxed);
    let lift = format!("DELETE V/Conference/weekly/Ban/1/ => {full}");
    assert_eq!(engine.line(&lift).await, lift);
    let list = "GET V/Conference/weekly/Ban/ => ";
    assert!(engine.line(list).await.contains("user:anna"), "it holds still");
    engine.close().await;
}
