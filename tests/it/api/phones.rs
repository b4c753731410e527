//! Simulated phones over the API.

use super::office::{Office, Plan, check, check_in};

#[tokio::test(start_paused = true)]
async fn a_phone_dials_and_is_looked_at() {
    check(
        r##"
        POST S/Phone/ {"to":"weekly","from":"14155550100","caller_name":"Anna","script":[{"after_ms":50,"hang_up":true}]} => 201 {"call_uuid":"*"}
        wait 10
        GET P/Conference/weekly/ => 200
        wait 100
        GET P/Conference/weekly/ => 404 {"api_id":"*","error":"conference not found"}
        dial daily
        GET S/Phone/{1}/ => 200
        POST S/Phone/{1}/Press/ {"digits":"1#"} => 202
        POST S/Phone/{1}/Talk/ {"ms":500} => 202
        POST S/Phone/{1}/Hold/ {"on":true} => 202
        POST S/Phone/{1}/Hold/ {"on":false} => 202
        DELETE S/Phone/{1}/ => 204
        wait 10
        GET S/Phone/{1}/ => 200
        DELETE S/Phone/{1}/ => 409
        POST S/Phone/{1}/Press/ {"digits":"1#"} => 409
        POST S/Phone/{1}/Talk/ {"ms":500} => 409
        POST S/Phone/{1}/Hold/ {"on":true} => 409
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_phone_cannot_do_is_refused_with_the_field_at_fault() {
    check(
        r##"
        dial weekly
        POST S/Phone/ {"to":"nobody"} => 404
        POST S/Phone/ => 400
        POST S/Phone/ {"to":""} => 400
        POST S/Phone/ {"to":5} => 400
        POST S/Phone/ {"to":"weekly","form":"1"} => 400
        POST S/Phone/ {"to":"weekly","script":[{"after_ms":1,"hang_up":true},{"after_ms":1,"press":"x"}]} => 400
        POST S/Phone/ {"to":"weekly","script":[{"after_ms":1}]} => 400
        POST S/Phone/ {"to":"weekly","script":{}} => 400
        POST S/Phone/ [Content-Type: text/plain] {"to":"weekly"} => 415
        POST S/Phone/{1}/Press/ {} => 400
        POST S/Phone/{1}/Press/ {"digits":"12x"} => 400
        POST S/Phone/{1}/Press/ {"digits":""} => 400
        POST S/Phone/{1}/Talk/ {"ms":-1} => 400
        POST S/Phone/{1}/Hold/ {"on":"yes"} => 400
        GET S/Phone/00000000-0000-0000-0000-000000000000/ => 404
        POST S/Phone/x/Press/ {"digits":"1"} => 404
        DELETE S/Phone/x/ => 404
        GET S/Phone/{1}/Press/x/ => 404
        POST S/Phones/ {"to":"weekly"} => 404
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn there_are_no_phones_where_they_are_off() {
    check_in(
        Office::new(Plan { has_phones: false, ..Plan::default() }),
        r##"
        dial weekly
        POST S/Phone/ {"to":"weekly"} => 404 {"api_id":"*","error":"not found"}
        GET S/Phone/{1}/ [none] => 404 {"api_id":"*","error":"not found"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_drains_is_healthy_and_not_ready_and_takes_no_calls() {
    check(
        r##"
        GET /healthz [none] => 200 ok
        GET /readyz/ [none] => 200 ready
        HEAD /readyz [none] => 200
        "##,
    )
    .await;

    let mut office = Office::new(Plan::default());
    office.dial("weekly").await;
    office.reception.close();
    check_in(
        office,
        r##"
        GET /healthz [none] => 200 ok
        GET /readyz [none] => 503 draining
        POST S/Phone/ {"to":"weekly"} => 503 [retry-after: 1] {"api_id":"*","error":"the engine is shutting down, and takes no new calls"}
        GET P/Conference/ => 200 {"api_id":"*","conferences":["weekly"]}
        "##,
    )
    .await;
}
