//! The 16 endpoints of a conference, in both dialects.

use conflow::api::{
    Settings,
    voice::{self, PlivoForm, VobizForm},
};
use futures_util::FutureExt;

use crate::api::engine::{TestEngine, TestEngineOptions, check, check_in};

fn live() -> TestEngine {
    let voice = voice::Settings { plivo: PlivoForm::Array, vobiz: VobizForm::Live };
    let settings = Settings { voice, ..Settings::default() };
    TestEngine::new(TestEngineOptions { settings, ..TestEngineOptions::default() })
}

#[tokio::test(start_paused = true)]
async fn plivo_answers_as_documented() {
    check(
        r##"
        dial weekly
        dial weekly
        POST P/Conference/weekly/Member/1/Mute/ {} => 202 {"message":"muted","member_id":"1","api_id":"*"}
        DELETE P/Conference/weekly/Member/1/Mute/ => 204
        POST P/Conference/weekly/Member/1,2/Deaf/ => 202 {"message":"deaf","member_id":"1,2","api_id":"*"}
        DELETE P/Conference/weekly/Member/1,2/Deaf/ => 204
        POST P/Conference/weekly/Member/2/Play/ {"url":"http://a.example/b.mp3"} => 202 {"message":"play queued into conference","member_id":"2","api_id":"*"}
        DELETE P/Conference/weekly/Member/2/Play/ => 204
        POST P/Conference/weekly/Member/all/Speak/ {"text":"Hi"} => 202 {"message":"speak queued into conference","member_id":"all","api_id":"*"}
        DELETE P/Conference/weekly/Member/all/Speak/ => 204
        POST P/Conference/weekly/Record/ => 503 [retry-after: 60] {"api_id":"*","error":"no recording: this server keeps no recordings"}
        DELETE P/Conference/weekly/Record/ => 204
        GET P/Conference/ => 200 {"api_id":"*","conferences":["weekly"]}
        POST P/Conference/weekly/Member/1/Kick/ => 202 {"message":"kicked","member_id":"1","api_id":"*"}
        DELETE P/Conference/weekly/Member/2/ => 204
        GET P/Conference/ => 200 {"api_id":"*","conferences":[]}
        dial weekly
        DELETE P/Conference/weekly/ => 204
        DELETE P/Conference/ => 204
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn vobiz_answers_as_documented() {
    check(
        r##"
        dial weekly
        dial weekly
        POST V/Conference/weekly/Member/1/Mute/ {} => 200 {"message":"muted","member_id":"1","api_id":"*"}
        DELETE V/Conference/weekly/Member/1/Mute/ => 204
        POST V/Conference/weekly/Member/1,2/Deaf/ => 200 {"message":"deaf","member_id":"1,2","api_id":"*"}
        DELETE V/Conference/weekly/Member/1,2/Deaf/ => 204
        POST V/Conference/weekly/Member/2/Play/ {"url":"http://a.example/b.mp3"} => 200 {"message":"play started","member_id":["2"],"api_id":"*"}
        DELETE V/Conference/weekly/Member/2/Play/ => 204
        POST V/Conference/weekly/Member/all/Speak/ {"text":"Hi"} => 200 {"message":"speak started","member_id":"all","api_id":"*"}
        DELETE V/Conference/weekly/Member/all/Speak/ => 204
        POST V/Conference/weekly/Record/ => 503 [retry-after: 60] {"api_id":"*","error":"no recording: this server keeps no recordings"}
        DELETE V/Conference/weekly/Record/ => 204
        GET V/Conference/ => 200 {"api_id":"*","conferences":["weekly"]}
        POST V/Conference/weekly/Member/1/Kick/ => 200 {"message":"kicked","member_id":"1","api_id":"*"}
        DELETE V/Conference/weekly/Member/2/ => 204
        GET V/Conference/ => 200 {"api_id":"*","conferences":[]}
        dial weekly
        DELETE V/Conference/weekly/ => 204
        DELETE V/Conference/ => 204
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn both_answer_with_arrays_if_configured() {
    check_in(
        live(),
        r##"
        dial weekly
        dial weekly
        POST P/Conference/weekly/Member/1,9,2/Mute/ => 202 {"message":"muted","member_id":["1","2"],"api_id":"*"}
        POST P/Conference/weekly/Member/all/Deaf/ => 202 {"message":"deaf","member_id":["all"],"api_id":"*"}
        POST V/Conference/weekly/Member/1,2/Mute/ => 202 {"message":"muted","member_id":["1","2"],"api_id":"*"}
        POST V/Conference/weekly/Member/1/Play/ {"url":"sound:beep"} => 202 {"message":"play queued into conference","member_id":["1"],"api_id":"*"}
        POST V/Conference/weekly/Member/1/Speak/ {"text":"Hi"} => 202 {"message":"speak queued into conference","member_id":["1"],"api_id":"*"}
        DELETE V/Conference/weekly/Member/1/Mute/ => 204
        POST V/Conference/weekly/Member/all/Kick/ => 202 {"message":"kicked","member_id":["all"],"api_id":"*"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_kicked_phone_hears_the_next_element_and_the_others_stay() {
    check(
        r##"
        dial weekly
        dial weekly
        dial weekly
        wait 97
        POST V/Conference/weekly/Member/2/Kick/ {} => 200 {"message":"kicked","member_id":"2","api_id":"*"}
        heard 2 => 0-99 room weekly, 99- speech "You have been disconnected from the conference"
        heard 3 => 0- room weekly
        wait 2000
        POST V/Conference/weekly/Member/3,1,3/Kick/ {} => 200 {"message":"kicked","member_id":"3,1","api_id":"*"}
        GET V/Conference/weekly/ => 404 {"api_id":"*","error":"conference not found"}
        wait 3000
        GET S/Phone/{1}/ => 200 {"call_uuid":"*","from":"14155550100","to":"weekly","state":"completed","hangup_cause_name":"End Of XML Instructions","hangup_cause_code":4010,"hangup_source":"Vobiz","timeline":[{"from_ms":0,"to_ms":2100,"heard":"room","conference":"weekly"},{"from_ms":2100,"to_ms":4860,"heard":"speech","text":"You have been disconnected from the conference"}]}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_conference_is_shown_with_every_key_as_text() {
    check(
        r##"
        dial weekly
        wait 61000
        POST P/Conference/weekly/Member/1/Mute/ => 202 {"message":"muted","member_id":"1","api_id":"*"}
        GET P/Conference/weekly/ => 200 {"conference_name":"weekly","conference_run_time":"61","conference_member_count":"1","members":[{"muted":true,"member_id":"1","deaf":false,"from":"14155550100","to":"weekly","caller_name":"","direction":"inbound","call_uuid":"*","join_time":"61"}],"api_id":"*"}
        GET V/Conference/weekly/?conference_name=weekly => 200 {"conference_name":"weekly","conference_run_time":"61","conference_member_count":"1","members":[{"muted":true,"member_id":"1","deaf":false,"from":"14155550100","to":"weekly","caller_name":"","direction":"inbound","call_uuid":"*","join_time":"61"}],"api_id":"*"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn names_and_lists_are_accepted_in_every_spelling() {
    check(
        r##"
        dial weekly
        dial My Conf / Room ü,x
        GET P/Conference/ => 200 {"api_id":"*","conferences":["My Conf / Room ü,x","weekly"]}
        GET P/Conference/My%20Conf%20%2F%20Room%20%C3%BC,x/Member/ => 404 {"api_id":"*","error":"conference not found"}
        POST P/Conference/My%20Conf%20%2F%20Room%20%C3%BC,x/Member/2/Mute/ => 202 {"message":"muted","member_id":"2","api_id":"*"}
        POST P/Conference/My%20Conf%20/%20Room%20%C3%BC,x/Member/2/Mute/ => 202 {"message":"muted","member_id":"2","api_id":"*"}
        POST P/Conference/%20My%20Conf%20%2f%20Room%20%c3%bc%2Cx%20/Member/2/Deaf/ => 202 {"message":"deaf","member_id":"2","api_id":"*"}
        dial weekly
        POST V/Conference/weekly/Member/1%2C3/Mute/ => 200 {"message":"muted","member_id":"1,3","api_id":"*"}
        POST V/Conference/weekly/Member/3,1,3/Mute => 200 {"message":"muted","member_id":"3,1","api_id":"*"}
        POST V/Conference/weekly/Member/1,,x,9,3/Mute/ => 200 {"message":"muted","member_id":"1,3","api_id":"*"}
        POST //v1//Account/MA1///Conference/weekly//Member/1//Mute// => 202 {"message":"muted","member_id":"1","api_id":"*"}
        GET P/Conference => 200 {"api_id":"*","conferences":["My Conf / Room ü,x","weekly"]}
        POST P/Conference/WEEKLY/Member/1/Mute/ => 404 {"api_id":"*","error":"conference not found"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn unneeded_bodies_are_ignored() {
    check(
        r##"
        dial weekly
        POST P/Conference/weekly/Member/1/Mute/ {"conference_name":"weekly","member_id":1} => 202 {"message":"muted","member_id":"1","api_id":"*"}
        POST P/Conference/weekly/Member/1/Mute/ {"member_id":"9"} => 202 {"message":"muted","member_id":"1","api_id":"*"}
        POST P/Conference/weekly/Member/1/Mute/ [Content-Type: application/json] => 202 {"message":"muted","member_id":"1","api_id":"*"}
        POST P/Conference/weekly/Member/1/Mute/ [Content-Type: application/x-www-form-urlencoded] a=b => 202 {"message":"muted","member_id":"1","api_id":"*"}
        POST P/Conference/weekly/Member/1/Deaf/ [Content-Type: application/json] {no json => 202 {"message":"deaf","member_id":"1","api_id":"*"}
        DELETE P/Conference/weekly/Member/1/Mute/ {"conference_name":"weekly","member_id":"1"} => 204
        DELETE P/Conference/weekly/Member/1/Play/ {} => 204
        POST P/Conference/weekly/Member/1/Play/ {"member_id":[1],"conference_name":3,"url":"flow:news","loop":true} => 202 [conflow-warning: loop: no such parameter, so it is ignored] {"message":"play queued into conference","member_id":"1","api_id":"*"}
        POST P/Conference/weekly/Member/1/Speak/ {"text":"Hi","length":"MAN","voice":"","language":null} => 202 [conflow-warning: length: no such parameter, so it is ignored] {"message":"speak queued into conference","member_id":"1","api_id":"*"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_announcement_is_heard_and_stopped_by_the_address_of_its_start() {
    check(
        r##"
        dial weekly
        dial weekly
        wait 98
        POST V/Conference/weekly/Member/1/Speak/ {"text":"Hello"} => 200 {"message":"speak started","member_id":"1","api_id":"*"}
        POST V/Conference/weekly/Member/1/Play/ {"url":"sound:hold"} => 200 {"message":"play started","member_id":["1"],"api_id":"*"}
        wait 100
        DELETE V/Conference/weekly/Member/all/Speak/ => 204
        wait 100
        DELETE V/Conference/weekly/Member/1/Speak/ => 204
        wait 100
        DELETE V/Conference/weekly/Member/1/Play/ => 204
        heard 1 => 0-100 room weekly, 100-300 speech "Hello", 300-400 sound sound:hold, 400- room weekly
        heard 2 => 0- room weekly
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_repeated_mute_or_unmute_is_no_error() {
    check(
        r##"
        dial weekly
        DELETE V/Conference/weekly/Member/1/Mute/ => 204
        POST V/Conference/weekly/Member/1/Mute/ => 200 {"message":"muted","member_id":"1","api_id":"*"}
        POST V/Conference/weekly/Member/1/Mute/ => 200 {"message":"muted","member_id":"1","api_id":"*"}
        DELETE V/Conference/weekly/Member/1/Deaf/ => 204
        DELETE V/Conference/weekly/Member/1/Play/ => 204
        DELETE V/Conference/weekly/Member/1/Speak/ => 204
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn all_rooms_are_hung_up_but_not_those_of_others_nor_by_an_empty_name() {
    check(
        r##"
        dial weekly
        dial daily
        DELETE P/Conference// => 404 {"api_id":"*","error":"conference not found"}
        DELETE /v1/Account/MA2/Conference/ [X-Auth-ID: MA2] [X-Auth-Token: two] => 204
        GET P/Conference// => 200 {"api_id":"*","conferences":["daily","weekly"]}
        DELETE P/Conference/ => 204
        GET P/Conference/ => 200 {"api_id":"*","conferences":[]}
        heard 1 => 0-2 room weekly
        DELETE V/Conference/ => 204
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn all_rooms_are_hung_up_even_when_the_client_has_disconnected() {
    let mut engine = TestEngine::new(TestEngineOptions::default());
    for room in ["weekly", "daily"] {
        engine.dial(room).await;
    }
    let asked = engine.send(engine.request("DELETE P/Conference/"));
    assert!(asked.now_or_never().is_none(), "nothing has had a turn");
    check_in(
        engine,
        r##"
        wait 1
        GET P/Conference/ => 200 {"api_id":"*","conferences":[]}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_is_a_get_without_its_body() {
    check(
        r##"
        dial weekly
        HEAD P/Conference/ => 200
        HEAD V/Conference/daily/ => 404
        "##,
    )
    .await;
}

/// `member_id` of Plivo's answers by client (contract 2.2): plivo-go and plivo-java parse arrays only.
#[tokio::test(start_paused = true)]
async fn plivo_answers_with_the_member_ids_that_a_client_can_parse() {
    let check = async |plivo, agent: &str, member_id: &str, all: &str| {
        let voice = voice::Settings { plivo, ..voice::Settings::default() };
        let settings = Settings { voice, ..Settings::default() };
        let agent = format!("[User-Agent: {agent}]");
        check_in(
            TestEngine::new(TestEngineOptions { settings, ..TestEngineOptions::default() }),
            &format!(
                r##"
                dial weekly
                POST P/Conference/weekly/Member/1/Mute/ {agent} => 202 {{"message":"muted","member_id":{member_id},"api_id":"*"}}
                POST P/Conference/weekly/Member/1/Deaf/ {agent} => 202 {{"message":"deaf","member_id":{member_id},"api_id":"*"}}
                POST P/Conference/weekly/Member/1/Play/ {agent} {{"url":"sound:beep"}} => 202 {{"message":"play queued into conference","member_id":{member_id},"api_id":"*"}}
                POST P/Conference/weekly/Member/all/Speak/ {agent} {{"text":"Hi"}} => 202 {{"message":"speak queued into conference","member_id":{all},"api_id":"*"}}
                POST V/Conference/weekly/Member/1/Mute/ {agent} => 200 {{"message":"muted","member_id":"1","api_id":"*"}}
                POST P/Conference/weekly/Member/1/Kick/ {agent} {{"ban_seconds":9}} => 202 {{"message":"kicked","member_id":{member_id},"api_id":"*","banned":[],"not_banned":["1"]}}
                "##
            ),
        )
        .await;
    };
    let (text, array) = ((r#""1""#, r#""all""#), (r#"["1"]"#, r#"["all"]"#));
    for (agent, (id, all)) in [
        ("curl/8.1", text),
        ("plivo-python/4.63.0 (Python: 3.11.2)", text),
        ("plivo-dotnet/5.53.0", text),
        ("plivo-gopher/1", text),
        ("plivo-go/7.60.2 (Go: go1.21)", array),
        ("Plivo-Java/5.46.8 (Implementation: OpenJDK)", array),
        ("okhttp/4.9.1 plivo-java/5.0.0", array),
    ] {
        check(PlivoForm::ByClient, agent, id, all).await;
        check(PlivoForm::String, agent, text.0, text.1).await;
        check(PlivoForm::Array, agent, array.0, array.1).await;
    }
}

/// Vobiz' SDK for Python leaves a slash in a name as it is.
#[tokio::test(start_paused = true)]
async fn the_name_of_a_conference_may_have_slashes() {
    check(
        r##"
        has /answer <Response><Conference stayAlone="true">team/Member</Conference></Response>
        dial web
        wait 1000
        GET P/Conference/team/Member/ => 200 {"conference_name":"team/Member","conference_run_time":"1","conference_member_count":"1","members":[{"muted":false,"member_id":"1","deaf":false,"from":"14155550100","to":"web","caller_name":"","direction":"inbound","call_uuid":"*","join_time":"1"}],"api_id":"*"}
        POST V/Conference/team/Member/Member/all/Mute/ => 200 {"message":"muted","member_id":"all","api_id":"*"}
        GET V/Conference/team/Member/Ban/ => 200 {"api_id":"*","bans":[]}
        POST V/Conference/team/Member/Record/ => 503 [retry-after: 60] {"api_id":"*","error":"no recording: this server keeps no recordings"}
        POST V/Conference/team%2FMember/Member/1/Kick => 200 {"message":"kicked","member_id":"1","api_id":"*"}
        dial web
        wait 1000
        DELETE V/Conference/team/Member => 204
        DELETE V/Conference/team/Member => 404 {"api_id":"*","error":"conference not found"}
        "##,
    )
    .await;
}

/// What an application asks for at its start.
#[tokio::test(start_paused = true)]
async fn an_account_and_its_lists_are_shown() {
    let list = |objects: &str, total: usize| {
        format!(
            r#"200 {{"api_id":"*","meta":{{"limit":20,"next":null,"offset":0,"previous":null,"total_count":{total}}},"objects":[{objects}]}}"#
        )
    };
    let number = |number: &str| {
        format!(
            r#"{{"alias":"","application":null,"carrier":"","mms_enabled":false,"monthly_rental_rate":"0.00000","number":"{number}","number_type":"local","region":"","resource_uri":"/v1/Account/MA1/Number/{number}/","sms_enabled":false,"sub_account":null,"voice_enabled":true,"voice_rate":"0.00000"}}"#
        )
    };
    let endpoint = r#"{"alias":"anna","application":null,"endpoint_id":"anna","resource_uri":"/v1/Account/MA1/Endpoint/anna/","sip_registered":"false","sip_uri":"sip:anna@localhost","sub_account":null,"username":"anna"}"#;
    let (numbers, none) = (["gone", "second", "web"].map(number), list("", 0));
    let second = &numbers[1];
    check(&format!(
        r##"
        GET P/ => 200 {{"account_type":"standard","address":"","api_id":"*","auth_id":"MA1","auto_recharge":false,"billing_mode":"prepaid","cash_credits":"0.00000","city":"","name":"MA1","resource_uri":"/v1/Account/MA1/","state":"","timezone":"UTC"}}
        GET /v1/Account/MA2/ => 404 {{"api_id":"*","error":"account not found"}}
        GET P/Application/ => {none}
        GET P/Recording/ => {none}
        GET P/Endpoint/ => {}
        GET P/Number/ => {}
        GET P/Number/?limit=1&offset=1&type=local => 200 [conflow-warning: type: no such parameter, so it is ignored] {{"api_id":"*","meta":{{"limit":1,"next":"/v1/Account/MA1/Number/?limit=1&offset=2&type=local","offset":1,"previous":"/v1/Account/MA1/Number/?limit=1&offset=0&type=local","total_count":3}},"objects":[{second}]}}
        GET P/Number/?limit=21 => 400 {{"api_id":"*","error":"limit: give a whole number from 1 to 20"}}
        GET P/Number/web/ => 404 {{"api_id":"*","error":"not found"}}
        "##,
        list(endpoint, 1),
        list(&numbers.join(","), 3)
    ))
    .await;
}
