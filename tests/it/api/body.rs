//! Request bodies: JSON, urlencoded or multipart, in both voice dialects; never compressed.

use crate::api::engine::check;

/// A multipart body with these fields, as it stands in a transcript.
fn multipart(fields: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!(r#"--b⏎Content-Disposition: form-data; name="{name}"⏎⏎{value}⏎"#)
    };
    fields.iter().map(part).collect::<String>() + r"--b--⏎"
}

/// npm plivo 4.0 to 4.12 sends multipart, and shell scripts send what `curl -d` sends (contract 1).
#[tokio::test(start_paused = true)]
async fn parameters_come_as_json_or_as_a_form() {
    let multi = "[Content-Type: Multipart/Form-Data; boundary=\"b\"]";
    let form = "[Content-Type: Application/x-www-form-urlencoded; charset=UTF-8]";
    let text = multipart(&[("text", "hello there"), ("voice", "MAN"), ("nosuch", "1")]);
    let urls = multipart(&[("urls", "sound:beep"), ("urls", "sound:ring"), ("loop", "true")]);
    let file = multipart(&[]).replace(
        "--b--",
        r#"--b⏎Content-Disposition: form-data; name="text"; filename="a"⏎⏎x⏎--b--"#,
    );
    let ignored = "[conflow-warning: nosuch: no such parameter, so it is ignored]";
    let spoken = r#"{"message":"speak queued into conference","member_id":"1","api_id":"*"}"#;
    check(&format!(
        r##"
        dial weekly
        POST P/Conference/weekly/Member/1/Speak/ {multi} {text} => 202 {ignored} {spoken}
        POST V/Conference/weekly/Member/1/Speak/ {form} text=hello+th%C3%A9re => 200 {{"message":"speak started","member_id":"1","api_id":"*"}}
        POST P/Conference/weekly/Member/1/Speak/ {form} {{"text":"hi"}} => 202 {spoken}
        POST P/Conference/weekly/Member/1/Speak/ {form} text=%FF => 400 {{"api_id":"*","error":"text: not UTF-8"}}
        POST P/Conference/weekly/Member/1/Speak/ {multi} {file} => 400 {{"api_id":"*","error":"text: give a text; files are not taken"}}
        POST P/Conference/weekly/Member/1/Speak/ [Content-Type: multipart/form-data] {text} => 400 {{"api_id":"*","error":"the body is no form: multipart boundary not found in Content-Type"}}
        POST P/Call/{{1}}/Play/ {multi} {urls} => 202 {{"message":"play started","api_id":"*"}}
        POST P/Call/{{1}}/Play/ {form} urls[]=sound:beep&urls[]=sound:ring&mix=false&length=3 => 202 {{"message":"play started","api_id":"*"}}
        POST P/Call/{{1}}/Play/ {form} urls=sound:beep&length=x => 400 {{"api_id":"*","error":"length: give a whole number from 1 to 86400"}}
        POST P/Call/{{1}}/Play/ {form} urls=sound:beep&loop=1 => 400 {{"api_id":"*","error":"loop: give true or false"}}
        POST V/Call/{{1}}/DTMF/ {form} digits=12 => 202 {{"message":"digits sent","api_id":"*"}}
        POST V/Call/ {form} from=1&to=sim:a&answer_url=flow:weekly&time_limit=60 => 200 {{"message":"Call fired","request_uuid":"*","api_id":"*"}}
        POST P/Conference/weekly/Member/1/Kick/ {form} dry_run=1&then={{"element":"nosuch"}} => 400 {{"api_id":"*","error":"then.element: \"nosuch\" does not lie ahead in the flow of member 1: nobody was kicked"}}
        POST P/Conference/weekly/Member/1/Kick/ {form} reason=too+loud&then=hangup => 202 {{"message":"kicked","member_id":"1","api_id":"*"}}
        "##
    ))
    .await;
}

/// RFC 9110, 8.4 and 15.5.16.
#[tokio::test(start_paused = true)]
async fn a_compressed_body_is_refused_wherever_it_is_sent() {
    let error = r#"[accept-encoding: identity] {"api_id":"*","error":"the body has Content-Encoding: gzip: send it as it is (identity)"}"#;
    check(&format!(
        r##"
        dial weekly
        POST P/Conference/weekly/Member/1/Speak/ [Content-Encoding: gzip] zipped => 415 {error}
        POST V/Conference/weekly/Member/1/Kick/ [Content-Encoding: identity, GZIP] zipped => 415 {}
        DELETE P/Conference/weekly/Member/1/Mute/ [Content-Encoding: gzip] zipped => 415 {error}
        POST S/Phone/ [Content-Encoding: gzip] zipped => 415 {error}
        POST V/Conference/weekly/Member/1/Mute/ [Content-Encoding: gzip] => 200 {{"message":"muted","member_id":"1","api_id":"*"}}
        POST V/Conference/weekly/Member/1/Mute/ [Content-Encoding: identity] {{}} => 200 {{"message":"muted","member_id":"1","api_id":"*"}}
        "##,
        error.replace("gzip", "GZIP")
    ))
    .await;
}
