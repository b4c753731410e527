//! Requests to receivers: documents over HTTP, sounds, callbacks, in order and signed.

use super::engine::check;

#[tokio::test(start_paused = true)]
async fn a_number_requests_its_url_and_reports_the_end() {
    check(
        r##"
        has /answer <Response><Speak>Hi</Speak></Response>
        dial web
        told /answer method,signed,Event,CallStatus,Direction,CallUUID,From,To => POST vobiz StartApp ringing inbound {1} 14155550100 web
        wait 3000
        heard 1 => 0-120 speech "Hi"
        told /hangup method,signed,Event,CallStatus,HangupCauseCode,HangupCauseName,HangupSource => POST vobiz Hangup completed 4010 End Of XML Instructions Vobiz
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_fallback_url_is_requested_only_after_the_first_has_failed() {
    check(
        r##"
        has /answer 503
        has /spare <Response><Wait length="5"/></Response>
        dial web
        wait 1000
        told /answer Event => StartApp
        told /spare Event,CallStatus => StartApp ringing
        has /answer <Response><Nonsense/></Response>
        has /spare <Response><Wait length="5"/></Response>
        dial web
        wait 1000
        told /spare Event => StartApp
        has /answer <Response/>
        dial web
        wait 1000
        told /spare Event => nothing
        "##,
    )
    .await;
}

/// Issue 14, D2: four public applications name an MP3 file where the vendor expects a document.
#[tokio::test(start_paused = true)]
async fn a_sound_file_instead_of_a_sound_document_is_played() {
    for sound in ["waitSound", "enterSound"] {
        let (starts, silent, heard) = match sound {
            "waitSound" => ("false", "enterSound", "0- wait http://app.example/hold?a=1"),
            _ => ("true", "exitSound", "0- sound http://app.example/hold?a=1"),
        };
        check(&format!(
            r##"
            has /answer <Response><Conference startConferenceOnEnter="{starts}" stayAlone="true" {silent}="" {sound}="http://app.example/hold?a=1">web</Conference></Response>
            has /hold ID3 and so on
            dial web
            wait 500
            heard 1 => {heard}
            "##
        ))
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_fails_ends_the_call_with_the_vendors_cause() {
    let check = async |document: &str, redirect: &str, code: &str| {
        check(&format!(
            "has /answer {document}\n\
             has /next {redirect}\n\
             dial gone\n\
             wait 5000\n\
             told /hangup HangupCauseCode,HangupSource => {code}"
        ))
        .await;
    };
    // The status counts first, whatever the body; then the body.
    check("500", "", "7011 Error").await;
    check("404", "", "7011 Error").await;
    check("OK", "", "8011 Error").await;
    check("{}", "", "8011 Error").await;
    let element = |text: &str| format!("<Response>{text}</Response>");
    let redirect = |url: &str| element(&format!("<Redirect>{url}</Redirect>"));
    check(&redirect("http://app.example/next"), "500", "7014 Error").await;
    check(&redirect("http://app.example/next"), "<Response>", "8014 Error").await;
    check(&redirect("http://app.example/next"), "<Response/>", "4010 Vobiz").await;
    check(&redirect("http://nobody.example/"), "", "7014 Error").await;
    check(&redirect("http://127.0.0.1/"), "", "7014 Error").await;
    check(&redirect("app.example/next"), "", "7024 Error").await;
}

#[tokio::test(start_paused = true)]
async fn a_conference_reports_entries_and_exits_in_order_and_the_exit_before_the_action() {
    check(
        r##"
        has /answer <Response><Conference callbackUrl="http://app.example/cb" action="http://app.example/action" floorEvent="true" digitsMatch="1" stayAlone="true">weekly</Conference></Response>
        has /action <Response><Speak>bye</Speak></Response>
        dial web
        dial web
        told /cb ConferenceAction,ConferenceMemberID,ConferenceSequence,ConferenceFirstMember,CallUUID,CallStatus => enter 1 1 true {1} in-progress | floor 1 3 - {1} in-progress | enter 2 4 false {2} in-progress
        POST S/Phone/{2}/Press/ {"digits":"1"} => 202 {"message":"keys are pressed","api_id":"*"}
        told /cb Event,ConferenceAction,ConferenceDigitsMatch,ConferenceMemberID => ConferenceDigitsMatch digits 1 2
        POST V/Conference/weekly/Member/1/Kick/ => 200 {"message":"kicked","member_id":"1","api_id":"*"}
        told /cb Event,ConferenceExitCause,ConferenceLastMember,ConferenceSequence,From,signed => ConferenceExit kicked false 6 - vobiz | ConferenceFloor - - 7 14155550100 vobiz
        told /cb Event => nothing
        told /action Event,ConferenceName,ConferenceMemberID,ConferenceExitCause,ConferenceSequence,CallUUID,signed => Redirect weekly 1 kicked 6 {1} vobiz
        DELETE V/Conference/weekly/ => 204
        told /cb Event,ConferenceExitCause,ConferenceLastMember => ConferenceExit hung-up-by-api true
        told /action Event => nothing
        told /hangup CallUUID,HangupSource => {2} API Request
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn sound_documents_are_requested_by_post_and_a_failure_is_silence() {
    check(
        r##"
        has /wait <Response><Play>sound:ring</Play><Redirect>flow:x</Redirect></Response>
        has /enter 500
        has /answer <Response><Conference startConferenceOnEnter="false" waitSound="http://app.example/wait">weekly</Conference></Response>
        dial web
        wait 100
        told /wait Event,ConferenceAction,ConferenceName,ConferenceUUID,ConferenceMemberID,signed => ConferenceRemoteSounds waitSound weekly   vobiz
        has /answer <Response><Conference stayAlone="true" enterSound="http://app.example/enter">weekly</Conference></Response>
        dial web
        wait 100
        told /enter ConferenceAction,CallUUID => enterSound {2}
        GET V/Conference/ => 200 {"api_id":"*","conferences":["weekly"]}
        heard 1 => 0-102 wait sound:ring, 102- room weekly
        "##,
    )
    .await;
}
