//! Command `conflow trace`: asks a running engine what a call did, and prints it.

use std::io::{self, Write};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    cli::{control::ControlOptions, trace::TraceArgs},
    client::{login::connect, printable::make_printable},
    trace::{ATTEMPT, FETCH, RECORDING},
};

/// Requests the trace of a call and prints it.
///
/// # Errors
///
/// There is no token, the server does not answer, or there is no such call.
pub async fn trace(args: TraceArgs, token: Option<String>, out: &mut impl Write) -> Result<()> {
    let TraceArgs { call, options: ControlOptions { server, json } } = args;
    let client = connect(server, token)?;
    let account = &client.account;
    let trace: Option<Value> =
        client.get(&format!("/v1/Account/{account}/Call/{call}/Trace/")).await?;
    let mut trace =
        trace.with_context(|| format!("{account} has no such call, or no longer: {call}"))?;
    if json {
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&trace)?)?);
    }
    make_printable(&mut trace);
    Ok(print(&trace, out)?)
}

/// Prints a trace as text: a line for each step and each warning, and what is missing.
fn print(response: &Value, out: &mut impl Write) -> io::Result<()> {
    for step in response["steps"].as_array().into_iter().flatten() {
        writeln!(out, "{}", step_line(step))?;
    }
    for warning in response["remarks"].as_array().into_iter().flatten() {
        writeln!(out, "{}", warning_line(warning))?;
    }
    if response["crashed"] == true {
        writeln!(out, "conflow ended while the call was up: a crash, or a kill")?;
    }
    if response["dropped"] != 0 {
        writeln!(out, "{} lines are missing in the middle", response["dropped"])?;
    }
    Ok(())
}

/// Formats a step: `         0 -     1500  flow:b 3:5 Speak: done`, and below it the line of the document.
fn step_line(step: &Value) -> String {
    let text = |name: &str| step[name].as_str().unwrap_or_default();
    let number = |name: &str| step[name].as_u64().map_or_else(String::new, |it| it.to_string());
    let mut line = format!("{:>10} - {:>8}  ", number("from_ms"), number("to_ms"));
    if text("element") == FETCH {
        return line + &request_line(step);
    }
    if text("element") == ATTEMPT {
        return line + &attempt_line(step);
    }
    if text("element") == RECORDING {
        return line + &recording_line(step);
    }
    if !text("url").is_empty() {
        line += &format!("{} ", text("url"));
    }
    line += &format!("{}:{} {}", number("line"), number("column"), text("element"));
    if !text("conference").is_empty() {
        line += &format!(" {} as member {}", text("conference"), number("member_id"));
    }
    line += &format!(": {}", step["ended"].as_str().unwrap_or("goes on"));
    for name in ["asked", "reason"] {
        if !text(name).is_empty() {
            line += &format!(" {}", text(name));
        }
    }
    for (n, link) in step["causes"].as_array().into_iter().flatten().enumerate() {
        let text = |name: &str| link[name].as_str().unwrap_or_default();
        if 0 < n {
            let at = format!("{} {}:{}", text("element"), link["line"], link["column"]);
            line += &format!(", since {} at {at} left: {}", text("call_uuid"), text("cause"));
        }
        if !text("command").is_empty() {
            line += &format!(", by {} {} of {}", text("command"), text("api_id"), text("who"));
        }
    }
    if !text("passed_over").is_empty() {
        line += &format!("\n{:23}| {}", "", text("passed_over"));
    }
    if !text("source").is_empty() {
        line += &format!("\n{:23}| {}", "", text("source"));
    }
    for callee in step["callees"].as_array().into_iter().flatten() {
        line += &format!("\n{:23}> {}", "", callee_text(callee));
    }
    line
}

/// Formats a callee of a `<Dial>`: `49891234 is call UUID: answered at 7, connected at 7, Normal Hangup at 4056`.
fn callee_text(callee: &Value) -> String {
    let text = |name: &str| callee[name].as_str().unwrap_or_default();
    let steps =
        [("answered", "answered_ms"), ("connected", "connected_ms"), (text("ended"), "ended_ms")];
    let steps =
        steps.iter().filter_map(|(what, at)| Some(format!("{what} at {}", callee[at].as_u64()?)));
    let steps = steps.collect::<Vec<_>>().join(", ");
    format!("{} is call {}: {steps}", text("to"), text("call_uuid"))
}

/// Formats a request: `POST http://a.example/x for answer: 404, text/html, 12 bytes: failed: …`, and
/// below it the beginning of the body.
fn request_line(step: &Value) -> String {
    let text = |name: &str| step[name].as_str().unwrap_or_default();
    let mut line = match text("method") {
        "" => text("url").to_owned(),
        method => format!("{method} {}", text("url")),
    };
    line += &format!(" for {}: ", text("purpose"));
    if let Some(status) = step["status"].as_u64() {
        line += &format!("{status}, ");
    }
    if !text("content_type").is_empty() {
        line += &format!("{}, ", text("content_type"));
    }
    if let Some(bytes) = step["bytes"].as_u64() {
        line += &format!("{bytes} bytes, ");
    }
    line += text("ended");
    if !text("error").is_empty() {
        line += &format!(": {}", text("error"));
    }
    if !text("excerpt").is_empty() {
        line += &format!("\n{:23}| {}", "", text("excerpt"));
    }
    line
}

/// Formats a recording: `recording ID of weekly: Stopped`, and below it when nothing was recorded.
fn recording_line(step: &Value) -> String {
    let mut line = format!("recording {}", step["recording_id"].as_str().unwrap_or_default());
    line += &step["conference"].as_str().map_or_else(String::new, |it| format!(" of {it}"));
    line += &format!(": {}", step["ended"].as_str().unwrap_or("goes on"));
    for it in step["interruptions"].as_array().into_iter().flatten() {
        let (why, from) = (it["why"].as_str().unwrap_or_default(), &it["from_ms"]);
        let until = it["to_ms"].as_u64().map_or_else(|| "now".to_owned(), |it| it.to_string());
        line += &format!("\n{:23}| {why} from {from} to {until}", "");
    }
    line
}

/// Formats an attempt: `call to sip:anna@192.0.2.7 at 192.0.2.7:5060 over UDP: 100 (2 ms), 180 (9 ms): answered`.
fn attempt_line(step: &Value) -> String {
    let text = |name: &str| step[name].as_str().unwrap_or_default();
    let response = |it: &Value| format!("{} ({} ms)", it["status"], it["at_ms"]);
    let responses = step["responses"].as_array().into_iter().flatten().map(response);
    let responses = responses.collect::<Vec<_>>().join(", ");
    let after = if responses.is_empty() { "" } else { ": " };
    format!("call to {}: {responses}{after}{}", text("target"), text("outcome"))
}

/// Formats a warning: `         0  ignored, by request …: machine_detection: not supported yet …`.
fn warning_line(warning: &Value) -> String {
    let text = |name: &str| warning[name].as_str().unwrap_or_default();
    let at_ms = warning["at_ms"].as_u64().unwrap_or_default();
    format!("{at_ms:>10}  ignored, by request {}: {}", text("api_id"), text("remark"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_step_is_a_line() {
        let check = |step: Value, expected: &str| assert_eq!(step_line(&step), expected);
        check(
            json!({"from_ms": 0, "to_ms": null, "line": 3, "column": 5, "element": "Speak"}),
            "         0 -           3:5 Speak: goes on",
        );
        check(
            json!({"from_ms": 0, "to_ms": 9, "line": 3, "column": 5, "element": "Speak",
                   "ended": "done", "source": "<Speak>hi</Speak> <!-- \"hi\" -->"}),
            "         0 -        9  3:5 Speak: done
                       | <Speak>hi</Speak> <!-- \"hi\" -->",
        );
        check(
            json!({"from_ms": 0, "to_ms": 3, "element": "fetch", "purpose": "answer",
                   "method": "POST", "url": "http://a/?token=***", "status": 404,
                   "content_type": "text/html", "ms": 3, "bytes": 9, "ended": "failed",
                   "error": "it answered 404", "excerpt": "<p>no</p>"}),
            "         0 -        3  POST http://a/?token=*** for answer: 404, text/html, 9 bytes, \
             failed: it answered 404
                       | <p>no</p>",
        );
        check(
            json!({"from_ms": 7, "to_ms": 7, "element": "fetch", "purpose": "redirect",
                   "url": "flow:b", "ms": 0, "ended": "failed", "error": "no flow"}),
            "         7 -        7  flow:b for redirect: failed: no flow",
        );
        let callees = json!([
            {"to": "49891234", "call_uuid": "b", "ended_ms": 9, "ended": "Busy Line"},
            {"to": "sip:x@y", "call_uuid": "c", "answered_ms": 7, "connected_ms": 8,
             "ended_ms": 70, "ended": "Normal Hangup"}
        ]);
        check(
            json!({"from_ms": 0, "to_ms": 70, "line": 3, "column": 5, "element": "Dial",
                   "ended": "dial-ended", "source": "<Dial>", "callees": callees}),
            "         0 -       70  3:5 Dial: dial-ended
                       | <Dial>
                       > 49891234 is call b: Busy Line at 9
                       > sip:x@y is call c: answered at 7, connected at 8, Normal Hangup at 70",
        );
        let causes = json!([
            {"cause": "ended", "call_uuid": "a", "element": "Conference", "line": 3, "column": 5},
            {"cause": "kicked", "call_uuid": "b", "element": "Conference", "line": 7, "column": 3,
             "api_id": "r", "command": "Kick", "who": "MA1"}
        ]);
        check(
            json!({"from_ms": 5, "to_ms": 70, "url": "flow:b", "line": 3, "column": 5,
                   "element": "Conference", "conference": "weekly", "member_id": 4,
                   "ended": "ended", "causes": causes}),
            "         5 -       70  flow:b 3:5 Conference weekly as member 4: ended, \
             since b at Conference 7:3 left: kicked, by Kick r of MA1",
        );
    }

    #[test]
    fn a_step_of_a_recording_is_a_line() {
        let check = |step: Value, expected: &str| assert_eq!(step_line(&step), expected);
        let paused = json!([
            {"why": "paused", "from_ms": 7, "to_ms": 8}, {"why": "alone", "from_ms": 9, "to_ms": null}
        ]);
        check(
            json!({"from_ms": 5, "to_ms": null, "element": "recording", "recording_id": "r",
                   "conference": "weekly", "ended": null, "interruptions": paused}),
            "         5 -           recording r of weekly: goes on
                       | paused from 7 to 8
                       | alone from 9 to now",
        );
        check(
            json!({"from_ms": 5, "to_ms": 9, "element": "recording", "recording_id": "r",
                   "ended": "Stopped"}),
            "         5 -        9  recording r: Stopped",
        );
    }

    #[test]
    fn an_ignored_parameter_is_a_line() {
        let warning = json!({"at_ms": 7, "api_id": "r", "remark": "colour: no such parameter"});
        assert_eq!(
            warning_line(&warning),
            "         7  ignored, by request r: colour: no such parameter"
        );
    }
}
