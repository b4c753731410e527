//! Options of a kick: a reason, a target, and a dry run.

use crate::api::engine::check;

/// The flow of a phone that calls `web`.
const ANSWER: &str = r#"has /answer <Response><Conference stayAlone="true" callbackUrl="http://app.example/cb">weekly</Conference><Speak>next</Speak><Speak id="bye">bye</Speak></Response>"#;

async fn check_kick(transcript: &str) {
    check(&format!("{ANSWER}\n{transcript}")).await;
}

#[tokio::test(start_paused = true)]
async fn a_reason_is_reported_with_the_exit() {
    check_kick(
        r##"dial web
        dial web
        told /cb Event => ConferenceEnter | ConferenceEnter
        POST V/Conference/weekly/Member/1/Kick/ {"reason":" too loud "} => 200 {"message":"kicked","member_id":"1","api_id":"*"}
        POST P/Conference/weekly/Member/2/Kick/ {"reason":"","then":null,"conference_name":"weekly"} => 202 {"message":"kicked","member_id":"2","api_id":"*"}
        told /cb Event,ConferenceExitCause,ConferenceExitReason => ConferenceExit kicked too loud | ConferenceExit kicked -
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_kick_sets_where_its_members_continue() {
    check_kick(
        r##"has /lobby <Response><Speak>lobby</Speak></Response>
        dial web
        dial web
        dial web
        dial web
        dial web
        told /cb Event => ConferenceEnter | ConferenceEnter | ConferenceEnter | ConferenceEnter | ConferenceEnter
        POST V/Conference/weekly/Member/1/Kick/ {"then":{"element":"bye"}} => 200 {"message":"kicked","member_id":"1","api_id":"*"}
        POST P/Conference/weekly/Member/2/Kick/ {"then":{"xml":"<Response><Speak>words</Speak></Response>"}} => 202 {"message":"kicked","member_id":"2","api_id":"*"}
        POST V/Conference/weekly/Member/3/Kick/ {"reason":"so","then":{"url":"http://app.example/lobby"}} => 200 {"message":"kicked","member_id":"3","api_id":"*"}
        POST V/Conference/weekly/Member/4/Kick/ {"then":{"url":"http://app.example/nowhere"}} => 200 {"message":"kicked","member_id":"4","api_id":"*"}
        POST V/Conference/weekly/Member/5/Kick/ {"then":"hangup"} => 200 {"message":"kicked","member_id":"5","api_id":"*"}
        GET P/Conference/weekly/ => 404 {"api_id":"*","error":"conference not found"}
        wait 20000
        told /lobby Event,ConferenceName,ConferenceMemberID,ConferenceExitCause,ConferenceExitReason => Redirect weekly 3 kicked so
        heard 1 => 0-6 beep, 6-186 speech "bye"
        heard 2 => 0-5 beep, 5-305 speech "words"
        heard 3 => 0-4 beep, 4-304 speech "lobby"
        heard 4 => 0-3 beep, 3-243 speech "next", 243-423 speech "bye"
        heard 5 => 0-2 beep
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_kick_kicks_nobody() {
    check_kick(
        r##"dial web
        dial weekly
        POST V/Conference/weekly/Member/all/Kick/ {"then":{"element":"bye"}} => 400 {"api_id":"*","error":"then.element: \"bye\" does not lie ahead in the flow of member 2: nobody was kicked"}
        POST P/Conference/weekly/Member/1,2/Kick/ {"then":{"element":"gone"}} => 400 {"api_id":"*","error":"then.element: \"gone\" does not lie ahead in the flow of members 1, 2: nobody was kicked"}
        POST P/Conference/weekly/Member/1,2/Kick/?dry_run=true {"then":{"element":"gone"}} => 400 {"api_id":"*","error":"then.element: \"gone\" does not lie ahead in the flow of members 1, 2: nobody was kicked"}
        POST V/Conference/weekly/Member/1/Kick/ {"then":{"xml":"<Response>\n <Speek/></Response>"}} => 400 {"api_id":"*","error":"then.xml: 2:2: there is no element <Speek>: did you mean <Speak>?"}
        POST V/Conference/weekly/Member/1/Kick/ {"then":{"url":"http://127.0.0.1/"}} => 400 {"api_id":"*","error":"then.url: 127.0.0.1 is a loopback address, which may not be reached; if it should be, add it to fetch.allow (CONFLOW_FETCH_ALLOW)"}
        POST V/Conference/weekly/Member/1/Kick/ {"then":{"url":"ftp://example.com/"}} => 400 {"api_id":"*","error":"then.url: give http://…, https://… or flow:NAME"}
        POST V/Conference/weekly/Member/1/Kick/ {"then":{"url":"http://a:b@example.com/"}} => 400 {"api_id":"*","error":"then.url: the URL must not name a user or a password: callbacks are signed instead"}
        POST V/Conference/weekly/Member/1/Kick/ {"then":"stay"} => 400 {"api_id":"*","error":"then: give {\"element\":\"id\"}, {\"xml\":\"<Response>…</Response>\"}, {\"url\":\"https://…\"} or \"hangup\""}
        POST V/Conference/weekly/Member/1/Kick/ {"then":{"element":"bye","url":"http://app.example/"}} => 400 {"api_id":"*","error":"then: give {\"element\":\"id\"}, {\"xml\":\"<Response>…</Response>\"}, {\"url\":\"https://…\"} or \"hangup\""}
        POST V/Conference/weekly/Member/1/Kick/ {"then":{"element":7}} => 400 {"api_id":"*","error":"then: give {\"element\":\"id\"}, {\"xml\":\"<Response>…</Response>\"}, {\"url\":\"https://…\"} or \"hangup\""}
        POST V/Conference/weekly/Member/1/Kick/ {"reason":7} => 400 {"api_id":"*","error":"reason: not a text: give a text of 512 characters at most"}
        POST V/Conference/weekly/Member/1/Kick/ {"reason":"a\u0007b"} => 400 {"api_id":"*","error":"reason: a control character is in it: give a text of 512 characters at most"}
        POST V/Conference/weekly/Member/1/Kick/?dry_run=maybe => 400 {"api_id":"*","error":"dry_run: give true or false"}
        POST V/Conference/weekly/Member/9/Kick/ {"then":{"element":"bye"}} => 404 {"api_id":"*","error":"member not found"}
        POST V/Conference/weekly/Member/1,2/Mute/ => 200 {"message":"muted","member_id":"1,2","api_id":"*"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reason_has_512_characters_at_most() {
    let kick = |chars: usize| format!("{{\"reason\":\"{}\"}}", "ü".repeat(chars));
    check_kick(&format!(
        r##"dial web
        POST V/Conference/weekly/Member/1/Kick/ {} => 400 {{"api_id":"*","error":"reason: too long: give a text of 512 characters at most"}}
        POST V/Conference/weekly/Member/1/Kick/ {} => 200 {{"message":"kicked","member_id":"1","api_id":"*"}}
        "##,
        kick(513),
        kick(512),
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_json_is_ignored() {
    check_kick(
        r##"dial web
        dial web
        dial web
        POST V/Conference/weekly/Member/1/Kick/ [Content-Type: application/x-www-form-urlencoded] then=hangup => 200 {"message":"kicked","member_id":"1","api_id":"*"}
        POST V/Conference/weekly/Member/2/Kick/ [Content-Type: text/plain] {"then":"nonsense"} => 200 {"message":"kicked","member_id":"2","api_id":"*"}
        POST V/Conference/weekly/Member/3/Kick/ {"then": => 200 {"message":"kicked","member_id":"3","api_id":"*"}
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_predicts_the_outcome_and_changes_nothing() {
    check(
        r##"has /answer <Response><Conference stayAlone="true" endConferenceOnExit="true" onKick="bye">weekly</Conference><Speak>next</Speak><Speak id="bye">bye</Speak></Response>
        dial web
        has /answer <Response><Conference stayAlone="true" onEnd="over">weekly</Conference><Speak>next</Speak><Wait id="over"/></Response>
        dial web
        has /answer <Response><Conference stayAlone="true" action="http://app.example/action">weekly</Conference><Speak>next</Speak></Response>
        dial web
        dial weekly
        has /answer <Response><Conference stayAlone="true">weekly</Conference></Response>
        dial web
        POST V/Conference/weekly/Member/1/Kick/?dry_run=true => 200 {"message":"dry run","would_leave":[{"member_id":"1","call_uuid":"*","cause":"kicked","banned":false,"next":{"document":"flow","element":"Speak","id":"bye","line":1,"column":118}},{"member_id":"2","call_uuid":"*","cause":"ended","banned":false,"next":{"document":"flow","element":"Wait","id":"over","line":1,"column":91}},{"member_id":"3","call_uuid":"*","cause":"ended","banned":false,"next":{"url":"http://app.example/action"}},{"member_id":"4","call_uuid":"*","cause":"ended","banned":false,"next":{"document":"flow","element":"Speak","id":null,"line":1,"column":42}},{"member_id":"5","call_uuid":"*","cause":"ended","banned":false,"next":{"hangup_cause":"End Of XML Instructions","hangup_cause_code":4010}}],"api_id":"*"}
        POST P/Conference/weekly/Member/5,4/Kick/?dry_run=true {"reason":"a"} => 200 {"message":"dry run","would_leave":[{"member_id":"5","call_uuid":"*","cause":"kicked","banned":false,"next":{"hangup_cause":"End Of XML Instructions","hangup_cause_code":4010}},{"member_id":"4","call_uuid":"*","cause":"kicked","banned":false,"next":{"document":"flow","element":"Speak","id":null,"line":1,"column":42}}],"api_id":"*"}
        POST P/Conference/weekly/Member/1/Kick/?dry_run=true {"then":{"xml":"<Response>\n <Wait/></Response>"}} => 200 {"message":"dry run","would_leave":[{"member_id":"1","call_uuid":"*","cause":"kicked","banned":false,"next":{"document":"then.xml","element":"Wait","id":null,"line":2,"column":2}},{"member_id":"2","call_uuid":"*","cause":"ended","banned":false,"next":{"document":"flow","element":"Wait","id":"over","line":1,"column":91}},{"member_id":"3","call_uuid":"*","cause":"ended","banned":false,"next":{"url":"http://app.example/action"}},{"member_id":"4","call_uuid":"*","cause":"ended","banned":false,"next":{"document":"flow","element":"Speak","id":null,"line":1,"column":42}},{"member_id":"5","call_uuid":"*","cause":"ended","banned":false,"next":{"hangup_cause":"End Of XML Instructions","hangup_cause_code":4010}}],"api_id":"*"}
        POST P/Conference/weekly/Member/4/Kick/?dry_run=true {"then":{"url":"https://app.example/x"}} => 200 {"message":"dry run","would_leave":[{"member_id":"4","call_uuid":"*","cause":"kicked","banned":false,"next":{"url":"https://app.example/x"}}],"api_id":"*"}
        POST P/Conference/weekly/Member/4/Kick/?dry_run=true {"then":"hangup"} => 200 {"message":"dry run","would_leave":[{"member_id":"4","call_uuid":"*","cause":"kicked","banned":false,"next":{"hangup_cause":"Normal Hangup","hangup_cause_code":4000}}],"api_id":"*"}
        POST P/Conference/weekly/Member/2/Kick/?dry_run=true {"then":{"element":"over"}} => 200 {"message":"dry run","would_leave":[{"member_id":"2","call_uuid":"*","cause":"kicked","banned":false,"next":{"document":"flow","element":"Wait","id":"over","line":1,"column":91}}],"api_id":"*"}
        POST P/Conference/weekly/Member/9/Kick/?dry_run=true => 404 {"api_id":"*","error":"member not found"}
        POST V/Conference/weekly/Member/all/Mute/ => 200 {"message":"muted","member_id":"all","api_id":"*"}
        GET V/Conference/weekly/ => 200 {"conference_name":"weekly","conference_run_time":"0","conference_member_count":"5","members":[{"muted":true,"member_id":"1","deaf":false,"from":"14155550100","to":"web","caller_name":"","direction":"inbound","call_uuid":"*","join_time":"0"},{"muted":true,"member_id":"2","deaf":false,"from":"14155550100","to":"web","caller_name":"","direction":"inbound","call_uuid":"*","join_time":"0"},{"muted":true,"member_id":"3","deaf":false,"from":"14155550100","to":"web","caller_name":"","direction":"inbound","call_uuid":"*","join_time":"0"},{"muted":true,"member_id":"4","deaf":false,"from":"14155550100","to":"weekly","caller_name":"","direction":"inbound","call_uuid":"*","join_time":"0"},{"muted":true,"member_id":"5","deaf":false,"from":"14155550100","to":"web","caller_name":"","direction":"inbound","call_uuid":"*","join_time":"0"}],"api_id":"*"}
        POST V/Conference/weekly/Member/1/Kick/?dry_run=false => 200 {"message":"kicked","member_id":"1","api_id":"*"}
        wait 1000
        heard 1 => 0-5 beep, 5-185 speech "bye"
        told /action ConferenceExitCause => ended
        "##,
    )
    .await;
}
