//! Variables in texts that calls hear.

use super::engine::check;

#[tokio::test(start_paused = true)]
async fn a_call_hears_the_reason_of_its_kick_and_the_conference() {
    check(
        r##"has /answer <Response><Conference stayAlone="true">weekly</Conference><Speak>${kick.reason} (${conference.cause}, ${conference.name}, ${call.from}, ${call.to}) ${price}</Speak></Response>
        dial web
        dial web
        POST V/Conference/weekly/Member/1/Kick/ {"reason":"too loud"} => 200 {"message":"kicked","member_id":"1","api_id":"*"}
        POST V/Conference/weekly/Member/2/Kick/ {"reason":"bye","then":{"xml":"<Response><Speak>so: ${kick.reason}</Speak></Response>"}} => 200 {"message":"kicked","member_id":"2","api_id":"*"}
        wait 9000
        heard 1 => 0-2 beep, 2-3122 speech "too loud (kicked, weekly, 14155550100, web) ${price}"
        heard 2 => 0-1 beep, 1-421 speech "so: bye"
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn digits_are_spoken_unless_they_are_private() {
    check(
        r##"has /answer <Response><Gather action="" inputType="dtmf" numDigits="2"/><Speak>[${digits}]</Speak><Play>http://app.example/${digits}.wav</Play><Gather action="" inputType="dtmf" numDigits="2" log="false"/><Speak>[${digits}]</Speak></Response>
        dial web
        POST S/Phone/{1}/Press/ {"digits":"1*"} => 202 {"message":"keys are pressed","api_id":"*"}
        wait 2000
        POST S/Phone/{1}/Press/ {"digits":"23"} => 202 {"message":"keys are pressed","api_id":"*"}
        wait 2000
        heard 1 => 0-101 silence, 101-341 speech "[1*]", 341-1341 sound http://app.example/1%2A.wav, 1341-2101 silence, 2101-2221 speech "[]"
        "##,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_sounds_of_a_conference_know_its_name_and_their_caller() {
    check(
        r##"has /wait <Response><Speak>${conference.name} ${call.from} ${kick.reason}</Speak></Response>
        has /answer <Response><Conference startConferenceOnEnter="false" waitSound="http://app.example/wait">weekly</Conference></Response>
        dial web
        wait 100
        heard 1 => 0- wait "weekly 14155550100 "
        "##,
    )
    .await;
}
