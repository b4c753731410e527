//! Calls: made, listed, shown, transferred, played to, hung up; and their records.

use std::num::NonZeroU32;

use conflow::api::{Caps, RateLimit, Settings};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::api::engine::{TestEngine, TestEngineOptions, check, check_in};

#[tokio::test(start_paused = true)]
async fn a_call_is_made_rings_is_answered_and_runs_its_flow() {
    check(
        r##"
        has /answer <Response><Conference callbackUrl="http://app.example/cb" stayAlone="true">weekly</Conference><Speak>bye</Speak></Response>
        POST P/Call/ {"from":"14155550199","to":"sim:alice?ring_ms=2000&delay_ms=500","answer_url":"http://app.example/answer","ring_url":"http://app.example/ring","hangup_url":"http://app.example/hangup","sip_headers":"Order=17"} => 201 {"message":"call fired","request_uuid":"*","api_id":"*"}
        GET P/Call/?status=queued => 200 {"api_id":"*","calls":["*"]}
        GET P/Call/?status=live => 200 {"api_id":"*","calls":[]}
        told /ring Event => nothing
        wait 600
        GET P/Call/?status=live => 200 {"api_id":"*","calls":["*"]}
        GET P/Call/{1}/?status=queued => 404 {"api_id":"*","error":"call not found"}
        told /ring Event,CallStatus,Direction,RequestUUID,X-PH-Order,signed => Ring ringing outbound {1} 17 plivo
        told /answer Event => nothing
        wait 2000
        told /answer Event,CallStatus,Direction,From,To,ALegUUID,X-PH-Order => StartApp in-progress outbound 14155550199 sim:alice?ring_ms=2000&delay_ms=500 {1} 17
        told /cb ConferenceAction,CallUUID,Direction => enter {1} outbound
        POST P/Conference/weekly/Member/1/Kick/ => 202 {"message":"kicked","member_id":"1","api_id":"*"}
        wait 1000
        told /hangup Event,CallStatus,HangupCauseCode,HangupSource => Hangup completed 4010 Plivo
        GET P/Call/?status=live => 200 {"api_id":"*","calls":[]}
        GET P/Call/{1}/?status=live => 404 {"api_id":"*","error":"call not found"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_has_a_cause() {
    let tell = async |to: &str, told: &str| {
        check(&format!(
            r##"POST V/Call/ {{"from":"1","to":"{to}","answer_url":"http://app.example/answer","hangup_url":"http://app.example/hangup","ring_timeout":30}} => 200 {{"message":"Call fired","request_uuid":"*","api_id":"*"}}
            wait 40000
            told /answer Event => nothing
            told /hangup CallStatus,HangupCauseCode,HangupCauseName,HangupSource,Duration => {told}"##
        ))
        .await;
    };
    tell("sim:a?busy", "busy 3010 Busy Line Carrier 0").await;
    tell("sim:a?reject", "failed 3020 Rejected Carrier 0").await;
    tell("sim:a?no_answer&ring_ms=1000", "no-answer 3000 No Answer Carrier 0").await;
    tell("sim:a?no_answer", "timeout 6010 Ring Timeout Reached Vobiz 0").await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_request_is_refused_before_any_phone_rings() {
    let tell = async |body: &str, error: &str| {
        check(&format!(
            "POST P/Call/ {body} => 400 {{\"api_id\":\"*\",\"error\":\"{error}\"}}\n\
             GET P/Call/?status=queued => 200 {{\"api_id\":\"*\",\"calls\":[]}}"
        ))
        .await;
    };
    tell("{}", "from: missing").await;
    tell(r#"{"from":"1"}"#, "to: missing").await;
    tell(r#"{"from":"1","to":"sim:a"}"#, "answer_url: missing").await;
    let with = |more: &str| format!(r#"{{"from":"1","to":"sim:a","answer_url":"flow:a",{more}}}"#);
    tell(&with(r#""answer_method":"PUT""#), "answer_method: give POST or GET").await;
    tell(&with(r#""ring_timeout":"x""#), "ring_timeout: give a whole number from 1 to 600").await;
    tell(
        &with(r#""hangup_url":"app.example""#),
        "hangup_url: the URL must begin with http:// or https://",
    )
    .await;
    tell(
        r#"{"from":"1","to":"sim:a<14155550100","answer_url":"flow:a"}"#,
        r#"to: no way to \"14155550100\": simulated phones are called sim:NAME, and there are no others"#,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn parameters_that_are_ignored_get_a_warning_and_bad_values_are_refused() {
    let make = async |more: &str, answer: &str| {
        check(&format!(
            r##"POST P/Call/ {{"from":"1","to":"sim:a?busy","answer_url":"flow:a",{more}}} => {answer}
            wait 9"##
        ))
        .await;
    };
    let fired = r#"{"message":"call fired","request_uuid":"*","api_id":"*"}"#;
    let made = async |more: &str, warnings: &[&str]| {
        let warnings: String =
            warnings.iter().map(|it| format!("[conflow-warning: {it}] ")).collect();
        make(more, &format!("201 {warnings}{fired}")).await;
    };
    let refused = async |more: &str, error: &str| {
        make(more, &format!(r#"400 {{"api_id":"*","error":"{error}"}}"#)).await;
    };
    made(r#""answer_method":"GET","time_limit":60,"auth_id":"MA1""#, &[]).await;
    made(r#""answr_url":"flow:a""#, &["answr_url: no such parameter, so it is ignored"]).await;
    let umlaut = "\\u{fc}\\r: no such parameter, so it is ignored";
    made(r#""ü\r":1"#, &[umlaut]).await;
    let machine = "machine_detection: not supported yet, so people and machines are called alike";
    made(r#""machine_detection":true"#, &[machine]).await;
    made(r#""machine_detection":"hangup","machine_detection_time":"5000""#, &[machine]).await;
    made(r#""machine_detection":"false","machine_detection_url":"http://a.example""#, &[]).await;
    made(r#""send_on_preanswer":true,"send_digits":"1""#, &[]).await;

    for password in [r#""sip_auth_password":"12345678""#, r#""sipAuthPassword":"correct horse""#] {
        let name = password.split("assword").next().unwrap().trim_start_matches('"');
        let username = name.replace("_p", "_username").replace('P', "Username");
        made(&format!(r#""{username}":"anna",{password}"#), &[]).await;
        refused(password, &format!("{username}: missing")).await;
        let missing = format!("{name}assword: missing");
        refused(&format!(r#""{username}":"anna""#), &missing).await;
    }
    refused(
        r#""sip_auth_username":"anna","sip_auth_password":"1234567""#,
        "sip_auth_password: give 8 to 128 characters, and 128 at most as sip_auth_username",
    )
    .await;

    refused(r#""machine_detection":"maybe""#, "machine_detection: give true, false or hangup")
        .await;
    let range = "machine_detection_time: give a whole number from 2000 to 10000";
    refused(r#""machine_detection_time":1999"#, range).await;
    let url = "machine_detection_url: the URL must begin with http:// or https://";
    refused(r#""machine_detection_url":"a.example""#, url).await;
    refused(r#""send_on_preanswer":"x""#, "send_on_preanswer: give true or false").await;
}

#[tokio::test(start_paused = true)]
async fn a_play_ends_at_the_requested_length() {
    check(
        r##"
        dial weekly
        wait 99
        POST P/Call/{1}/Play/ {"urls":"sound:ring,sound:hold","length":5,"loop":true} => 202 {"message":"play started","api_id":"*"}
        wait 6000
        heard 1 => 0-100 room weekly, 100-1100 sound sound:ring, 1100-2100 sound sound:hold, 2100-3100 sound sound:ring, 3100-4100 sound sound:hold, 4100-5100 sound sound:ring, 5100- room weekly
        POST P/Call/{1}/Play/ {"urls":"sound:ring","length":"1"} => 202 {"message":"play started","api_id":"*"}
        POST P/Call/{1}/Play/ {"urls":"sound:ring","length":0} => 400 {"api_id":"*","error":"length: give a whole number from 1 to 86400"}
        POST V/Call/{1}/Play/ {"urls":"sound:ring","lenght":1} => 202 [conflow-warning: lenght: no such parameter, so it is ignored] {"message":"play started","api_id":"*"}
        POST P/Call/{1}/Speak/ {"text":"Hi","type":"ssml"} => 202 [conflow-warning: type: SSML is not supported yet, so the text is read as it stands] {"message":"speak started","api_id":"*"}
        POST V/Call/{1}/Speak/ {"text":"Hi","callback_url":"http://app.example/later"} => 202 [conflow-warning: callback_url: no such parameter, so it is ignored] {"message":"speak started","api_id":"*"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn many_are_called_at_once_and_queued_calls_can_be_cancelled() {
    check(
        r##"
        has /answer <Response><Wait length="60"/></Response>
        POST P/Call/ {"from":"1","to":"sim:a<sim:b?delay_ms=5000<sim:c?delay_ms=5000","answer_url":"http://app.example/answer","answer_method":"GET","hangup_url":"http://app.example/hangup"} => 201 {"message":"calls fired","request_uuid":["*","*","*"],"api_id":"*"}
        wait 1000
        told /answer method,To,signed => GET sim:a plivo
        DELETE P/Request/{1}/ => 404 {"api_id":"*","error":"request not found: no call of that name is queued"}
        DELETE P/Request/{2}/ => 204
        told /hangup To,CallStatus,HangupCauseCode,HangupSource => sim:b?delay_ms=5000 cancel 1000 API Request
        DELETE P/Call/{3}/ => 204
        DELETE P/Call/{1}/ => 204
        DELETE P/Call/{1}/ => 404 {"api_id":"*","error":"call not found"}
        told /hangup CallStatus,HangupCauseCode,HangupSource => cancel 1000 API Request | completed 4000 API Request
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_transferred_member_leaves_and_runs_the_other_document() {
    check(
        r##"
        has /answer <Response><Conference callbackUrl="http://app.example/cb" stayAlone="true" endConferenceOnExit="true">weekly</Conference></Response>
        has /next <Response><Speak>next</Speak></Response>
        dial web
        wait 99
        POST P/Call/{1}/ {"legs":"aleg","aleg_url":"http://app.example/next","aleg_method":"GET"} => 202 {"message":"call transferred","api_id":"*"}
        told /cb ConferenceAction,ConferenceExitCause => enter - | exit transferred
        told /next method,Event,CallStatus,CallUUID => GET Transfer in-progress {1}
        wait 100
        heard 1 => 0-100 beep, 100- speech "next"
        POST V/Call/{1}/ {"aleg_url":"http://app.example/next"} => 202 {"message":"call transferred","call_uuid":"*","call_uuids":["*"],"api_id":"*"}
        POST P/Call/{1}/ {} => 400 {"api_id":"*","error":"aleg_url: missing"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_fails_ends_the_call_and_so_does_the_seventy_first() {
    check(
        r##"
        has /answer <Response><Wait length="60"/></Response>
        has /next 500
        dial web
        POST P/Call/{1}/ {"aleg_url":"http://app.example/next"} => 202 {"message":"call transferred","api_id":"*"}
        wait 1000
        told /hangup HangupCauseCode,HangupSource => 7013 Error
        POST P/Call/{1}/ {"aleg_url":"http://app.example/next"} => 404 {"api_id":"*","error":"call not found"}
        "##,
    )
    .await;
    let transfer = r##"POST P/Call/{1}/ {"aleg_url":"http://app.example/answer"} => 202 {"message":"call transferred","api_id":"*"}
        "##;
    check(&format!(
        r##"has /answer <Response><Wait length="600"/></Response>
        dial web
        {}wait 10
        told /hangup HangupCauseCode => nothing
        {transfer}wait 10
        told /hangup HangupCauseCode,HangupCauseName => 2060 Loop Detected"##,
        transfer.repeat(70)
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_is_played_and_spoken_to_in_and_outside_of_rooms() {
    check(
        r##"
        dial weekly
        wait 99
        POST P/Call/{1}/Play/ {"urls":"sound:ring,sound:hold"} => 202 {"message":"play started","api_id":"*"}
        wait 2100
        heard 1 => 0-100 room weekly, 100-1100 sound sound:ring, 1100-2100 sound sound:hold, 2100- room weekly
        POST V/Call/{1}/Speak/ {"text":"Hello","loop":true} => 202 {"message":"speak started","api_id":"*"}
        wait 500
        DELETE V/Call/{1}/Speak/ => 204
        DELETE V/Call/{1}/Speak/ => 204
        POST P/Call/{1}/DTMF/ {"digits":"12"} => 202 {"message":"digits sent","api_id":"*"}
        POST P/Call/{1}/Play/ {"urls":"sound:bell"} => 400 {"api_id":"*","error":"urls: sound:bell is not a sound: give http://…, https://… or flow:NAME"}
        POST P/Call/{1}/Play/ {"urls":["sound:ring"]} => 202 {"message":"play started","api_id":"*"}
        POST P/Call/{1}/Play/ {"urls":[1]} => 400 {"api_id":"*","error":"urls: give texts"}
        POST P/Call/{1}/Play/ {} => 400 {"api_id":"*","error":"urls: missing"}
        POST P/Call/{1}/DTMF/ {"digits":"1x"} => 400 {"api_id":"*","error":"digits: give up to 256 of 0-9 * # w (half a second) and W (a second)"}
        POST P/Call/{1}/DTMF/ {"digits":"1","leg":"bleg"} => 404 {"api_id":"*","error":"no B leg is connected with this call"}
        POST P/Call/x/Play/ {"urls":"sound:ring"} => 404 {"api_id":"*","error":"call not found"}
        POST P/Call/{1}/Record/ => 503 [retry-after: 60] {"api_id":"*","error":"no recording: this server keeps no recordings"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn ended_calls_are_kept_and_found() {
    check(
        r##"
        dial weekly
        POST P/Call/ {"from":"1","to":"sim:a?busy","answer_url":"flow:x"} => 201 {"message":"call fired","request_uuid":"*","api_id":"*"}
        wait 65000
        GET P/Call/{1}/ => 404 {"api_id":"*","error":"call not found"}
        DELETE P/Call/{1}/ => 204
        GET P/Call/?call_direction=inbound&limit=1 => 200 {"api_id":"*","meta":{"limit":1,"next":null,"offset":0,"previous":null,"total_count":1},"objects":[{"answer_time":"T","bill_duration":65,"billed_duration":120,"call_direction":"inbound","call_duration":65,"call_state":"ANSWER","call_uuid":"*","conference_uuid":"*","end_time":"T","from_number":"14155550100","hangup_cause_code":4000,"hangup_cause_name":"Normal Hangup","hangup_source":"API Request","initiation_time":"T","parent_call_uuid":null,"resource_uri":"/v1/Account/MA1/Call/*/","to_number":"weekly","total_amount":"0.00000","total_rate":"0.00000"}]}
        GET V/Call/{2}/ => 200 {"answer_time":null,"api_id":"*","bill_duration":0,"billed_duration":0,"call_direction":"outbound","call_duration":0,"call_state":"BUSY","call_uuid":"*","conference_uuid":null,"end_time":"T","from_number":"1","hangup_cause_code":3010,"hangup_cause_name":"Busy Line","hangup_source":"Carrier","initiation_time":"T","parent_call_uuid":null,"resource_uri":"/api/v1/Account/MA1/Call/*/","to_number":"sim:a?busy","total_amount":"0.00000","total_rate":"0.00000"}
        GET P/Call/?limit=21 => 400 {"api_id":"*","error":"limit: give a whole number from 1 to 20"}
        GET P/Call/?end_time__gt=2999-01-01 => 200 {"api_id":"*","meta":{"limit":20,"next":null,"offset":0,"previous":null,"total_count":0},"objects":[]}
        GET P/Call/?end_time__gt=noon => 400 {"api_id":"*","error":"end_time__gt: give a time in UTC such as 2026-08-31 20:08:21"}
        GET P/Call/?status=over => 400 {"api_id":"*","error":"status: give live or queued"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn plivo_answers_later_if_it_is_asked_to() {
    check(
        r##"
        dial weekly
        POST P/Conference/weekly/Member/1/Mute/ {"callback_url":"http://app.example/later"} => 202 {"message":"async api spawned","api_id":"*"}
        wait 10
        told /later method,status_code,signed => POST 202 plivo
        POST P/Conference/weekly/Member/9/Mute/ {"callback_url":"http://app.example/later","callback_method":"GET"} => 202 {"message":"async api spawned","api_id":"*"}
        wait 10
        told /later method,status_code => GET 404
        GET P/Conference/weekly/ => 200 {"conference_name":"weekly","conference_run_time":"0","conference_member_count":"1","members":[{"muted":true,"member_id":"1","deaf":false,"from":"14155550100","to":"weekly","caller_name":"","direction":"inbound","call_uuid":"*","join_time":"0"}],"api_id":"*"}
                GET P/Conference/?callback_url=http://app.example/later => 202 {"message":"async api spawned","api_id":"*"}
        wait 10
        told /later method,status_code,signed => POST 200 plivo
        GET P/Conference/weekly/?callback_url=http://app.example/later&callback_method=GET => 202 {"message":"async api spawned","api_id":"*"}
        wait 10
        told /later method,status_code => GET 200
        GET P/Conference/?callback_url=later => 400 {"api_id":"*","error":"callback_url: the URL must begin with http:// or https://"}
        GET V/Conference/?callback_url=http://app.example/later => 200 {"api_id":"*","conferences":["weekly"]}
        POST V/Conference/weekly/Member/1/Deaf/ {"callback_url":"http://app.example/later"} => 200 {"message":"deaf","member_id":"1","api_id":"*"}
        POST P/Conference/weekly/Member/1/Mute/ {"callback_url":"later"} => 400 {"api_id":"*","error":"callback_url: the URL must begin with http:// or https://"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_key_is_performed_once() {
    check(
        r##"
        dial weekly
        dial weekly
        POST P/Conference/weekly/Member/1/Kick/ [Idempotency-Key: a] {} => 202 {"message":"kicked","member_id":"1","api_id":"*"}
        POST P/Conference/weekly/Member/1/Kick/ [Idempotency-Key: a] {} => 202 {"message":"kicked","member_id":"1","api_id":"*"}
        POST P/Conference/weekly/Member/1/Kick/ [Idempotency-Key: a] {"b":1} => 409 {"api_id":"*","error":"this Idempotency-Key has been used for another request: make up a new one"}
        POST P/Conference/weekly/Member/1/Kick/ [Idempotency-Key: b] {} => 404 {"api_id":"*","error":"member not found"}
        POST P/Conference/weekly/Member/1/Kick/ => 404 {"api_id":"*","error":"member not found"}
        POST P/Conference/weekly/Member/2/Kick/ [Idempotency-Key: a] {} => 202 {"message":"kicked","member_id":"2","api_id":"*"}
        DELETE P/Call/{2}/ [Idempotency-Key: a] => 204
        DELETE P/Call/{2}/ [Idempotency-Key: a] => 204
        DELETE P/Call/{2}/ => 404 {"api_id":"*","error":"call not found"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn requests_about_members_and_lists_get_warnings_and_a_repeated_request_gets_the_same() {
    check(
        r##"
        has /next <Response><Wait length="60"/></Response>
        dial weekly
        POST P/Conference/weekly/Member/1/Play/ {"conference_name":"weekly","member_id":1,"url":"sound:beep"} => 202 {"message":"play queued into conference","member_id":"1","api_id":"*"}
        POST P/Conference/weekly/Member/1/Play/ [Idempotency-Key: a] {"url":"sound:beep","loop":true} => 202 [conflow-warning: loop: no such parameter, so it is ignored] {"message":"play queued into conference","member_id":"1","api_id":"*"}
        POST P/Conference/weekly/Member/1/Play/ [Idempotency-Key: a] {"url":"sound:beep","loop":true} => 202 [conflow-warning: loop: no such parameter, so it is ignored] {"message":"play queued into conference","member_id":"1","api_id":"*"}
        POST V/Conference/weekly/Member/1/Play/ {"url":"sound:beep","callback_url":"http://app.example/later"} => 200 [conflow-warning: callback_url: no such parameter, so it is ignored] {"message":"play started","member_id":["1"],"api_id":"*"}
        POST V/Conference/weekly/Member/1/Speak/ {"text":"Hi","length":"MAN"} => 200 [conflow-warning: length: no such parameter, so it is ignored] {"message":"speak started","member_id":"1","api_id":"*"}
        POST P/Call/{1}/DTMF/ {"digits":"1","legs":"aleg"} => 202 [conflow-warning: legs: no such parameter, so it is ignored] {"message":"digits sent","api_id":"*"}
        POST V/Conference/weekly/Member/1/Kick/ {"ban_second":5,"dry_run":true} => 200 [conflow-warning: ban_second: no such parameter, so it is ignored] [conflow-warning: dry_run: it is ignored in the body: give it in the query, ?dry_run=true] {"message":"kicked","member_id":"1","api_id":"*"}
        POST P/Call/{1}/ {"aleg_url":"http://app.example/next","bleg_url":"http://app.example/next","url":"x"} => 202 [conflow-warning: url: no such parameter, so it is ignored] [conflow-warning: bleg_url: it is ignored, since `legs` does not name this leg] {"message":"call transferred","api_id":"*"}
        GET P/Call/?status=live&hangup_source=x&sub=1 => 200 [conflow-warning: sub: no such parameter, so it is ignored] [conflow-warning: hangup_source: only calls that are over have this, so it is ignored] {"api_id":"*","calls":["*"]}
        GET P/Call/?to_numbr=1&limit=1&end_time__gt=2999-01-01 => 200 [conflow-warning: to_numbr: no such parameter, so it is ignored] {"api_id":"*","meta":{"limit":1,"next":null,"offset":0,"previous":null,"total_count":0},"objects":[]}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_list_is_paged_with_its_filters_and_calls_are_found_by_their_duration() {
    let mut engine = TestEngine::new(TestEngineOptions::default());
    for seconds in [1_u64, 2, 3] {
        engine.dial("weekly").await;
        // A millisecond passes before the call is over.
        engine.line(&format!("wait {}", seconds * 1_000)).await;
        engine.line(&format!("DELETE P/Call/{{{seconds}}}/")).await;
    }
    let list = async |query: &str, expected: &str| {
        let response = engine.send(engine.request(&format!("GET P/Call/?{query}"))).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let lengths: Vec<_> = body["objects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["bill_duration"].to_string())
            .collect();
        let meta = |name: &str| body["meta"][name].as_str().unwrap_or("-").to_owned();
        let actual = format!("{} {} {}", lengths.join(","), meta("previous"), meta("next"));
        assert_eq!(actual, expected, "{query}");
    };
    list("bill_duration=2", "2 - -").await;
    list("bill_duration__gt=2", "3 - -").await;
    list("bill_duration__gte=2", "3,2 - -").await;
    list("bill_duration__lt=2", "1 - -").await;
    list("bill_duration__lte=2", "2,1 - -").await;
    list("bill_duration__gt=1&bill_duration__lt=3", "2 - -").await;
    list("bill_duration__lt=0", " - -").await;
    let page = |offset| {
        format!(
            "/v1/Account/MA1/Call/?limit=1&offset={offset}&call_direction=inbound&from_number=%2B1"
        )
    };
    let none = "call_direction=inbound&from_number=%2B1";
    list(none, " - -").await;
    let both = |offset| page(offset).replace("%2B1", "14155550100");
    list(
        "offset=1&call_direction=inbound&limit=1&from_number=14155550100",
        &format!("2 {} {}", both(0), both(2)),
    )
    .await;
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_account_has_limits_of_calls_per_second_and_of_calls_at_a_time() {
    let number = |it| NonZeroU32::new(it).unwrap();
    let rate = RateLimit { requests: number(3), period: std::time::Duration::from_secs(1) };
    let caps = Caps { calls: Some(number(4)), rate: Some(rate) };
    let settings = Settings { caps, ..Settings::default() };
    let many = "the account may have 4 calls at a time (calls_max): wait until one has ended";
    let call = |to: &str| {
        format!(r#"POST P/Call/ {{"from":"1","to":"{to}","answer_url":"http://app.example/a"}}"#)
    };
    // A temporary refusal is not stored under the key.
    let keyed = call("sim:a").replace("Call/ ", "Call/ [Idempotency-Key: a] ");
    let (one, three, four) = ("sim:a", "sim:a<sim:b<sim:c", "sim:a<sim:b<sim:c<sim:d");
    check_in(
        TestEngine::new(TestEngineOptions { settings, ..TestEngineOptions::default() }),
        &format!(
            r##"has /a <Response><Wait length="60"/></Response>
            {} => 400 {{"api_id":"*","error":"to: give 3 at most (calls_per_second)"}}
            {} => 201 {{"message":"calls fired","request_uuid":["*","*","*"],"api_id":"*"}}
            {} => 429 [retry-after: 1] {{"api_id":"*","error":"too many requests: slow down"}}
            wait 1000
            {} => 201 {{"message":"call fired","request_uuid":"*","api_id":"*"}}
            {} => 429 [retry-after: 1] {{"api_id":"*","error":"{many}"}}
            DELETE P/Call/{{1}}/ => 204
            wait 1000
            {} => 201 {{"message":"call fired","request_uuid":"*","api_id":"*"}}"##,
            call(four),
            call(three),
            call(one),
            call(one),
            keyed,
            keyed,
        ),
    )
    .await;
}
