//! Error responses, in the form of each dialect.

use std::{mem, num::NonZeroU32, time::Duration};

use conflow::{
    api::{FailureLimits, RateLimit, Settings},
    conference::{self, Ask},
};

use super::engine::{TestEngine, TestEngineOptions, check, check_in};
use crate::harness::key;

pub(super) fn limited(requests: u32, seconds: u64) -> RateLimit {
    let requests = NonZeroU32::new(requests).unwrap();
    RateLimit { requests, period: Duration::from_secs(seconds) }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_path_is_not_found_with_or_without_credentials() {
    check(
        r##"
        GET /v1/ [none] => 404 {"api_id":"*","error":"not found"}
        GET /v2/Account/MA1/Conference/ => 404 {"api_id":"*","error":"not found"}
        GET P/Powerpack/ => 404 {"api_id":"*","error":"not found"}
        POST P/Number/ => 405 [allow: GET, HEAD] {"api_id":"*","error":"method not allowed: use GET, HEAD"}
        GET P/conference/ => 404 {"api_id":"*","error":"not found"}
        POST P/Conference/weekly/Play/ => 404 {"api_id":"*","error":"not found"}
        POST P/Conference/weekly/Member/1/Kick/x/ => 404 {"api_id":"*","error":"not found"}
        POST P/Conference/a/b/Member/1/kick/ => 404 {"api_id":"*","error":"not found"}
        POST P/Conference/a/b/Member/1/Kick/ => 404 {"api_id":"*","error":"conference not found"}
        GET P/1/2/3/4/5/6/7/8/9/10/ => 404 {"api_id":"*","error":"not found"}
        GET /api/ [none] => 404 {"message":"Not Found"}
        GET V/conference/ => 404 {"message":"Not Found"}
        GET /api/v1/account/MA1/Conference/ => 404 {"message":"Not Found"}
        POST V/Conference/weekly/Play/ => 404 {"message":"Not Found"}
        GET V/1/2/3/4/5/6/7/8/9/10/ => 404 {"message":"Not Found"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_request_needs_credentials_of_the_account_in_the_path() {
    check(
        r##"
        # Both ways are good in both dialects.
        GET P/Conference/ [X-Auth-ID: MA1] [X-Auth-Token: one] => 200 {"api_id":"*","conferences":[]}
        GET V/Conference/ [Authorization: Basic TUExOm9uZQ==] => 200 {"api_id":"*","conferences":[]}
        GET V/Conference/ [X-Auth-ID: MA1] [X-Auth-Token: one] [Authorization: Bearer one] => 200 {"api_id":"*","conferences":[]}
        GET /v1/Account/M%411/Conference/ => 200 {"api_id":"*","conferences":[]}
        # None, or wrong ones.
        GET P/Conference/ [none] => 401 [www-authenticate: Basic realm="conflow"] {"api_id":"*","error":"credentials are missing: send them by HTTP Basic, or as X-Auth-ID and X-Auth-Token headers"}
        GET V/Conference/ [none] => 401 {"api_id":"*","error":"credentials are missing: send them by HTTP Basic, or as X-Auth-ID and X-Auth-Token headers"}
        GET P/Conference/ [Authorization: Basic TUExOnR3bw==] => 401 [www-authenticate: Basic realm="conflow"] {"api_id":"*","error":"wrong credentials"}
        GET P/Conference/ [Authorization: Bearer one] => 401 [www-authenticate: Basic realm="conflow"] {"api_id":"*","error":"wrong credentials"}
        GET V/Conference/ [X-Auth-ID: MA1] => 401 {"api_id":"*","error":"wrong credentials"}
        GET V/Conference/ [X-Auth-ID: MA1] [X-Auth-Token: two] => 401 {"api_id":"*","error":"wrong credentials"}
        GET V/Conference/ [X-Auth-ID: MA3] [X-Auth-Token: one] => 401 {"api_id":"*","error":"wrong credentials"}
        POST V/Conference/weekly/Member/1/Kick/ [X-Auth-ID: MA1] [X-Auth-Token: no] => 401 {"api_id":"*","error":"wrong credentials"}
        # Another account looks the same whether it is there or not.
        GET /v1/Account/MA2/Conference/ => 404 {"api_id":"*","error":"account not found"}
        GET /v1/Account/MA9/Conference/ => 404 {"api_id":"*","error":"account not found"}
        GET /api/v1/Account/MA2/Conference/ => 404 {"api_id":"*","error":"account not found"}
        GET /sim/v1/Account/MA2/Phone/x/ => 404 {"api_id":"*","error":"account not found"}
        GET /v1/Account/%FF/Conference/ => 404 {"api_id":"*","error":"account not found"}
        # Credentials come before the method.
        PATCH P/Conference/ [none] => 401 [www-authenticate: Basic realm="conflow"] {"api_id":"*","error":"credentials are missing: send them by HTTP Basic, or as X-Auth-ID and X-Auth-Token headers"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_account_cannot_reach_the_calls_of_another() {
    check(
        r##"
        dial weekly
        GET /v1/Account/MA2/Conference/weekly/ [X-Auth-ID: MA2] [X-Auth-Token: two] => 404 {"api_id":"*","error":"conference not found"}
        POST /v1/Account/MA2/Conference/weekly/Member/1/Kick/ [X-Auth-ID: MA2] [X-Auth-Token: two] => 404 {"api_id":"*","error":"conference not found"}
        GET /api/v1/Account/MA2/Conference/ [X-Auth-ID: MA2] [X-Auth-Token: two] => 200 {"api_id":"*","conferences":[]}
        GET /sim/v1/Account/MA2/Phone/{1}/ [X-Auth-ID: MA2] [X-Auth-Token: two] => 404 {"api_id":"*","error":"phone not found"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn unknown_conferences_and_members_are_not_found() {
    check(
        r##"
        dial weekly
        GET P/Conference/daily/ => 404 {"api_id":"*","error":"conference not found"}
        GET V/Conference/daily/ => 404 {"api_id":"*","error":"conference not found"}
        DELETE P/Conference/daily/ => 404 {"api_id":"*","error":"conference not found"}
        POST V/Conference/daily/Member/all/Kick/ => 404 {"api_id":"*","error":"conference not found"}
        POST P/Conference/%20/Member/1/Kick/ => 404 {"api_id":"*","error":"conference not found"}
        POST P/Conference/%FF/Member/1/Kick/ => 404 {"api_id":"*","error":"conference not found"}
        POST P/Conference/weekly/Member/2/Kick/ => 404 {"api_id":"*","error":"member not found"}
        POST V/Conference/weekly/Member/2/Kick/ => 404 {"api_id":"*","error":"member not found"}
        POST V/Conference/weekly/Member/2,3/Mute/ => 404 {"api_id":"*","error":"member not found"}
        POST V/Conference/weekly/Member/one/Mute/ => 404 {"api_id":"*","error":"member not found"}
        POST V/Conference/weekly/Member/,/Mute/ => 404 {"api_id":"*","error":"member not found"}
        POST V/Conference/weekly/Member/ALL/Mute/ => 404 {"api_id":"*","error":"member not found"}
        DELETE V/Conference/weekly/Member/2/ => 404 {"api_id":"*","error":"member not found"}
        DELETE V/Conference/weekly/Member/2/Play/ => 404 {"api_id":"*","error":"member not found"}
        POST P/Conference/weekly/Member/2/Speak/ {"text":"Hi"} => 404 {"api_id":"*","error":"member not found"}
        # Nothing has happened.
        POST V/Conference/weekly/Member/1/Kick/ => 200 {"message":"kicked","member_id":"1","api_id":"*"}
        POST V/Conference/weekly/Member/1/Kick/ => 404 {"api_id":"*","error":"conference not found"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_method_is_answered_with_the_allowed_ones() {
    check(
        r##"
        POST P/Conference/ => 405 [allow: GET, HEAD, DELETE] {"api_id":"*","error":"method not allowed: use GET, HEAD, DELETE"}
        PUT V/Conference/weekly/ => 405 [allow: GET, HEAD, DELETE] {"api_id":"*","error":"method not allowed: use GET, HEAD, DELETE"}
        GET P/Conference/weekly/Member/1/ => 405 [allow: DELETE] {"api_id":"*","error":"method not allowed: use DELETE"}
        DELETE P/Conference/weekly/Member/1/Kick/ => 405 [allow: POST] {"api_id":"*","error":"method not allowed: use POST"}
        GET V/Conference/weekly/Member/1/Mute/ => 405 [allow: POST, DELETE] {"api_id":"*","error":"method not allowed: use POST, DELETE"}
        GET P/Conference/weekly/Record/ => 405 [allow: POST, DELETE] {"api_id":"*","error":"method not allowed: use POST, DELETE"}
        PUT S/Phone/ => 405 [allow: POST] {"api_id":"*","error":"method not allowed: use POST"}
        POST /healthz => 405 [allow: GET, HEAD] {"api_id":"*","error":"method not allowed: use GET, HEAD"}
        OPTIONS P/Conference/ [none] => 204 [allow: GET, HEAD, DELETE]
        OPTIONS V/Conference/weekly/Member/1/Kick/ [none] => 204 [allow: POST]
        OPTIONS S/Phone/x/ [none] => 204 [allow: GET, HEAD, DELETE]
        OPTIONS V/Nothing/ [none] => 404 {"message":"Not Found"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn wrong_parameters_are_named() {
    check(
        r##"
        dial weekly
        POST P/Conference/weekly/Member/1/Play/ => 400 {"api_id":"*","error":"url: missing: give http://… or https://… (2048 bytes at most), flow:NAME, or one of sound:hold, sound:ring and sound:beep"}
        POST V/Conference/weekly/Member/1/Play/ {"url":""} => 400 {"api_id":"*","error":"url: missing: give http://… or https://… (2048 bytes at most), flow:NAME, or one of sound:hold, sound:ring and sound:beep"}
        POST P/Conference/weekly/Member/1/Play/ {"url":"ftp://a/b.mp3"} => 400 {"api_id":"*","error":"url: not a sound: give http://… or https://… (2048 bytes at most), flow:NAME, or one of sound:hold, sound:ring and sound:beep"}
        POST P/Conference/weekly/Member/1/Play/ {"url":5} => 400 {"api_id":"*","error":"url: invalid type: integer `5`, expected a string at line 1 column 8"}
        POST P/Conference/weekly/Member/1/Play/ {"url":"sound:beep" => 400 {"api_id":"*","error":"the body is no JSON: EOF while parsing an object at line 1 column 19"}
        POST P/Conference/weekly/Member/1/Play/ {"url":"sound:beep"} x => 400 {"api_id":"*","error":"the body is no JSON: trailing characters at line 1 column 22"}
        POST P/Conference/weekly/Member/1/Play/ "sound:beep" => 400 {"api_id":"*","error":"the body must be a JSON object: {…}"}
        POST P/Conference/weekly/Member/1/Play/ {"url":"sound:bell"} => 400 {"api_id":"*","error":"url: not a sound: give http://… or https://… (2048 bytes at most), flow:NAME, or one of sound:hold, sound:ring and sound:beep"}
        POST V/Conference/weekly/Member/1/Speak/ {} => 400 {"api_id":"*","error":"text: missing: give the words to be spoken"}
        POST V/Conference/weekly/Member/1/Speak/ {"text":" "} => 400 {"api_id":"*","error":"text: missing: give the words to be spoken"}
        POST V/Conference/weekly/Member/1/Speak/ {"text":"Hi","voice":"CHILD"} => 400 {"api_id":"*","error":"voice: \"CHILD\" is no voice: give MAN or WOMAN"}
        POST V/Conference/weekly/Member/1/Speak/ {"text":"Hi","language":"en_US"} => 400 {"api_id":"*","error":"language: \"en_US\" is no language: give a tag such as en-US"}
        POST P/Conference/weekly/Member/1/Play/ [Content-Type: application/x-www-form-urlencoded] url=ftp://a => 400 {"api_id":"*","error":"url: not a sound: give http://… or https://… (2048 bytes at most), flow:NAME, or one of sound:hold, sound:ring and sound:beep"}
        POST V/Conference/weekly/Member/1/Speak/ [Content-Type: text/plain] Hi => 415 [accept: application/json, application/x-www-form-urlencoded, multipart/form-data] {"api_id":"*","error":"the body must be JSON or a form: send it with Content-Type: application/json, application/x-www-form-urlencoded, multipart/form-data"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_dialect_limits_the_length_of_a_text() {
    let check = async |root: &str, chars, expected: &str| {
        let text = "ü".repeat(chars);
        let line = format!("POST {root}/Conference/weekly/Member/1/Speak/ {{\"text\":\"{text}\"}}");
        check(&format!("dial weekly\n{line} => {expected}")).await;
    };
    check("V", 1_000, r#"200 {"message":"speak started","member_id":"1","api_id":"*"}"#).await;
    let error = "text: 1001 characters are too many: 1000 at most";
    check("V", 1_001, &format!(r#"400 {{"api_id":"*","error":"{error}"}}"#)).await;
    let done = r#"202 {"message":"speak queued into conference","member_id":"1","api_id":"*"}"#;
    check("P", 3_000, done).await;
    let error = "text: 3001 characters are too many: 3000 at most";
    check("P", 3_001, &format!(r#"400 {{"api_id":"*","error":"{error}"}}"#)).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_has_a_size_limit() {
    let check = async |root: &str, bytes: usize, expected: &str| {
        let body = "x".repeat(bytes);
        let line = format!("POST {root}/Conference/daily/Member/1/Kick/ {body}");
        check(&format!("{line} => {expected}")).await;
    };
    check("P", 65_536, r#"404 {"api_id":"*","error":"conference not found"}"#).await;
    let error = "the body is larger than 65536 bytes";
    check("P", 65_537, &format!(r#"413 {{"api_id":"*","error":"{error}"}}"#)).await;
    check("V", 65_537, &format!(r#"413 {{"api_id":"*","error":"{error}"}}"#)).await;
}

#[tokio::test(start_paused = true)]
async fn an_account_has_a_rate_limit() {
    let settings = Settings { rate_limit: Some(limited(2, 4)), ..Settings::default() };
    check_in(
        TestEngine::new(TestEngineOptions { settings, ..TestEngineOptions::default() }),
        r##"
        GET P/Conference/ => 200 {"api_id":"*","conferences":[]}
        GET V/Conference/ => 200 {"api_id":"*","conferences":[]}
        GET P/Conference/ => 429 [retry-after: 2] {"api_id":"*","error":"too many requests: slow down"}
        GET V/Conference/ => 429 [retry-after: 2] {"api_id":"*","error":"too many requests: slow down"}
        # Phones, other accounts, and requests that are let in nowhere do not count.
        GET S/Phone/x/ => 404 {"api_id":"*","error":"phone not found"}
        GET /v1/Account/MA2/Conference/ [X-Auth-ID: MA2] [X-Auth-Token: two] => 200 {"api_id":"*","conferences":[]}
        wait 1999
        GET P/Conference/ [none] => 401 [www-authenticate: Basic realm="conflow"] {"api_id":"*","error":"credentials are missing: send them by HTTP Basic, or as X-Auth-ID and X-Auth-Token headers"}
        GET P/Conference/ => 429 [retry-after: 1] {"api_id":"*","error":"too many requests: slow down"}
        wait 1
        GET P/Conference/ => 200 {"api_id":"*","conferences":[]}
        "##,
    )
    .await;
}

/// Issue 14, A1: strangers must not keep people out who share their address.
#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_limited_and_good_ones_are_not() {
    let failure_limits = FailureLimits { by_address: limited(3, 3), by_name: limited(2, 2) };
    let settings = Settings { failure_limits, ..Settings::default() };
    check_in(
        TestEngine::new(TestEngineOptions { settings, ..TestEngineOptions::default() }),
        r##"
        GET P/Conference/ [none] => 401 [www-authenticate: Basic realm="conflow"] {"api_id":"*","error":"credentials are missing: send them by HTTP Basic, or as X-Auth-ID and X-Auth-Token headers"}
        GET V/Conference/ [X-Auth-ID: MA1] => 401 {"api_id":"*","error":"wrong credentials"}
        GET S/Phone/x/ [X-Auth-ID: MA1] => 401 [www-authenticate: Basic realm="conflow"] {"api_id":"*","error":"wrong credentials"}
        # By the account that is named, and whatever is named.
        GET V/Conference/ [X-Auth-ID: MA1] => 429 [retry-after: 1] {"api_id":"*","error":"too many requests with wrong credentials from this address: wait"}
        GET V/Conference/ [X-Auth-ID: MA3] => 429 [retry-after: 1] {"api_id":"*","error":"too many requests with wrong credentials from this address: wait"}
        GET /metrics [X-Auth-ID: MA4] => 429 [retry-after: 1] {"api_id":"*","error":"too many requests with wrong credentials from this address: wait"}
        GET /groups/v1/Account/MA1/Person/ [X-Auth-ID: MA5] => 404 {"api_id":"*","error":"not found"}
        # Good credentials meet no limit.
        GET V/Conference/ => 200 {"api_id":"*","conferences":[]}
        GET P/Conference/ => 200 {"api_id":"*","conferences":[]}
        GET /v1/Account/MA2/Conference/ [X-Auth-ID: MA2] [X-Auth-Token: two] => 200 {"api_id":"*","conferences":[]}
        GET P/Conference/ [none] => 401 [www-authenticate: Basic realm="conflow"] {"api_id":"*","error":"credentials are missing: send them by HTTP Basic, or as X-Auth-ID and X-Auth-Token headers"}
        wait 1000
        GET V/Conference/ [X-Auth-ID: MA1] => 401 {"api_id":"*","error":"wrong credentials"}
        GET V/Conference/ [X-Auth-ID: MA1] => 429 [retry-after: 1] {"api_id":"*","error":"too many requests with wrong credentials from this address: wait"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_conference_that_is_too_busy_says_so() {
    let rooms = conference::Settings { asks_max: 2, ..conference::Settings::default() };
    let mut engine = TestEngine::new(TestEngineOptions { rooms, ..TestEngineOptions::default() });
    engine.dial("weekly").await;
    // No room gets a turn before the request is answered.
    let ask = || engine.registry().ask(&key("weekly"), Ask::Roster).unwrap();
    let asked = [ask(), ask()];
    check_in(
        engine,
        r##"
        GET P/Conference/weekly/ => 503 [retry-after: 1] {"api_id":"*","error":"the conference is too busy: try again"}
        wait 1
        GET P/Conference/ => 200 {"api_id":"*","conferences":["weekly"]}
        "##,
    )
    .await;
    drop(asked);

    let rooms = conference::Settings { asks_max: 2, ..conference::Settings::default() };
    let mut engine = TestEngine::new(TestEngineOptions {
        rooms,
        is_stalled: true,
        ..TestEngineOptions::default()
    });
    engine.dial("weekly").await;
    let ask = || engine.registry().ask(&key("weekly"), Ask::Roster).unwrap();
    let asked = [ask(), ask()];
    let line = r#"POST P/Conference/weekly/Member/1/Mute/ [Idempotency-Key: a] => 503 [retry-after: 1] {"api_id":"*","error":"the conference is too busy: try again"}"#;
    assert_eq!(engine.line(line).await, line);
    drop(asked);
    mem::forget(engine);
}

#[tokio::test(start_paused = true)]
async fn a_conference_with_an_internal_error_says_so_and_its_phones_continue() {
    // The effects before the fifth belong to the entry.
    let rooms =
        conference::Settings { inject_fault_after: Some(5), ..conference::Settings::default() };
    check_in(
        TestEngine::new(TestEngineOptions { rooms, ..TestEngineOptions::default() }),
        r##"
        dial weekly
        POST V/Conference/weekly/Member/1/Kick/ => 500 {"api_id":"*","error":"the conference has met a fault, and its members have gone on"}
        heard 1 => 0-1 room weekly, 1- speech "You have been disconnected from the conference"
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_not_awaited_for_ever() {
    let mut engine =
        TestEngine::new(TestEngineOptions { is_stalled: true, ..TestEngineOptions::default() });
    let error = "no answer in time: outcome unknown";
    let expected = format!(r#"504 {{"api_id":"*","error":"{error}"}}"#);
    for line in ["POST P/Conference/weekly/Member/1/Kick/", "DELETE V/Conference/"] {
        engine.dial("weekly").await;
        assert_eq!(engine.line(line).await, format!("{line} => {expected}"));
    }
    // Its calls can never end.
    mem::forget(engine);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_answered_like_any_other_error() {
    check(
        r##"
        POST S/Phone/ {"to":"panic"} => 500 {"api_id":"*","error":"internal error: the request may have had its effect or not"}
        GET P/Conference/ => 200 {"api_id":"*","conferences":[]}
        "##,
    )
    .await;
}
