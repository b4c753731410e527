//! Simulated phones over the API.

use super::engine::{TestEngine, TestEngineOptions, check, check_in};

#[tokio::test(start_paused = true)]
async fn a_phone_dials_and_is_shown() {
    check(
        r##"
        POST S/Phone/ {"to":"weekly","from":"14155550100","caller_name":"Anna","script":[{"after_ms":50,"hang_up":true}]} => 201 {"call_uuid":"*"}
        wait 10
        GET P/Conference/weekly/ => 200 {"conference_name":"weekly","conference_run_time":"0","conference_member_count":"1","members":[{"muted":false,"member_id":"1","deaf":false,"from":"14155550100","to":"weekly","caller_name":"Anna","direction":"inbound","call_uuid":"*","join_time":"0"}],"api_id":"*"}
        wait 100
        GET P/Conference/weekly/ => 404 {"api_id":"*","error":"conference not found"}
        dial daily
        GET S/Phone/{1}/ => 200 {"call_uuid":"*","from":"14155550100","to":"daily","state":"in-progress","hangup_cause_name":null,"hangup_cause_code":null,"hangup_source":null,"timeline":[{"from_ms":0,"to_ms":null,"heard":"room","conference":"daily"}]}
        POST S/Phone/{1}/Press/ {"digits":"1#"} => 202 {"message":"keys are pressed","api_id":"*"}
        POST S/Phone/{1}/Talk/ {"ms":500} => 202 {"message":"talks","api_id":"*"}
        POST S/Phone/{1}/Hold/ {"on":true} => 202 {"message":"holds","api_id":"*"}
        POST S/Phone/{1}/Hold/ {"on":false} => 202 {"message":"holds no longer","api_id":"*"}
        DELETE S/Phone/{1}/ => 204
        wait 10
        GET S/Phone/{1}/ => 200 {"call_uuid":"*","from":"14155550100","to":"daily","state":"completed","hangup_cause_name":"Normal Hangup","hangup_cause_code":4000,"hangup_source":"Caller","timeline":[{"from_ms":0,"to_ms":1,"heard":"room","conference":"daily"}]}
        DELETE S/Phone/{1}/ => 409 {"api_id":"*","error":"the call has ended"}
        POST S/Phone/{1}/Press/ {"digits":"1#"} => 409 {"api_id":"*","error":"the call has ended"}
        POST S/Phone/{1}/Talk/ {"ms":500} => 409 {"api_id":"*","error":"the call has ended"}
        POST S/Phone/{1}/Hold/ {"on":true} => 409 {"api_id":"*","error":"the call has ended"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_action_of_a_phone_is_refused_with_the_wrong_field() {
    check(
        r##"
        dial weekly
        POST S/Phone/ {"to":"nobody"} => 404 {"api_id":"*","error":"no flow for \"nobody\": put nobody.xml or default.xml into the flows folder, or call one that is there"}
        POST S/Phone/ => 400 {"api_id":"*","error":"the body: missing field `to` at line 1 column 2"}
        POST S/Phone/ {"to":""} => 400 {"api_id":"*","error":"\"to\" and \"from\" cannot be empty; leave \"from\" out to have one made up"}
        POST S/Phone/ {"to":5} => 400 {"api_id":"*","error":"to: invalid type: integer `5`, expected a string at line 1 column 7"}
        POST S/Phone/ {"to":"weekly","form":"1"} => 400 {"api_id":"*","error":"form: unknown field `form`, expected one of `to`, `from`, `caller_name`, `user`, `script` at line 1 column 21"}
        POST S/Phone/ {"to":"weekly","script":[{"after_ms":1,"hang_up":true},{"after_ms":1,"press":"x"}]} => 400 {"api_id":"*","error":"script[1].press: 'x' is not a key of a phone: keys are 0-9, *, #, A-D at line 1 column 81"}
        POST S/Phone/ {"to":"weekly","script":[{"after_ms":1}]} => 400 {"api_id":"*","error":"script[0]: a script item has one of \"press\", \"talk_ms\", \"hold\" and \"hang_up\" beside \"after_ms\" at line 1 column 40"}
        POST S/Phone/ {"to":"weekly","script":{}} => 400 {"api_id":"*","error":"script: invalid type: map, expected a sequence at line 1 column 24"}
        POST S/Phone/ [Content-Type: text/plain] {"to":"weekly"} => 415 [accept: application/json, application/x-www-form-urlencoded, multipart/form-data] {"api_id":"*","error":"the body must be JSON or a form: send it with Content-Type: application/json, application/x-www-form-urlencoded, multipart/form-data"}
        POST S/Phone/{1}/Press/ {} => 400 {"api_id":"*","error":"the body: missing field `digits` at line 1 column 2"}
        POST S/Phone/{1}/Press/ {"digits":"12x"} => 400 {"api_id":"*","error":"digits: 'x' is not a key of a phone: keys are 0-9, *, #, A-D at line 1 column 16"}
        POST S/Phone/{1}/Press/ {"digits":""} => 400 {"api_id":"*","error":"digits: no keys to press: give 1 to 64 of 0-9, *, #, A-D at line 1 column 13"}
        POST S/Phone/{1}/Talk/ {"ms":-1} => 400 {"api_id":"*","error":"ms: -1 is no whole number from 0 to 4294967295 at line 1 column 9"}
        POST S/Phone/{1}/Hold/ {"on":"yes"} => 400 {"api_id":"*","error":"on: invalid type: string \"yes\", expected a boolean at line 1 column 11"}
        GET S/Phone/00000000-0000-0000-0000-000000000000/ => 404 {"api_id":"*","error":"phone not found"}
        POST S/Phone/x/Press/ {"digits":"1"} => 404 {"api_id":"*","error":"phone not found"}
        DELETE S/Phone/x/ => 404 {"api_id":"*","error":"phone not found"}
        GET S/Phone/{1}/Press/x/ => 404 {"api_id":"*","error":"not found"}
        POST S/Phones/ {"to":"weekly"} => 404 {"api_id":"*","error":"not found"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_simulated_phones_their_paths_do_not_exist() {
    check_in(
        TestEngine::new(TestEngineOptions { has_phones: false, ..TestEngineOptions::default() }),
        r##"
        dial weekly
        POST S/Phone/ {"to":"weekly"} => 404 {"api_id":"*","error":"not found"}
        GET S/Phone/{1}/ [none] => 404 {"api_id":"*","error":"not found"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_draining_engine_is_healthy_but_not_ready_and_takes_no_calls() {
    check(
        r##"
        GET /healthz [none] => 200 ok
        GET /readyz/ [none] => 200 ready
        HEAD /readyz [none] => 200
        "##,
    )
    .await;

    let mut engine = TestEngine::new(TestEngineOptions::default());
    engine.dial("weekly").await;
    engine.inbound.close();
    check_in(
        engine,
        r##"
        GET /healthz [none] => 200 ok
        GET /readyz [none] => 503 draining
        POST S/Phone/ {"to":"weekly"} => 503 [retry-after: 1] {"api_id":"*","error":"at present no flow for \"weekly\": the engine is shutting down, and takes no new calls"}
        GET P/Conference/ => 200 {"api_id":"*","conferences":["weekly"]}
        "##,
    )
    .await;
}
