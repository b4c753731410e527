//! Commands `conflow events` and `conflow callbacks`: ask a running server, and print what it answers.

use std::{
    io::{self, ErrorKind, Write},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use url::form_urlencoded;

use crate::{
    base::utc,
    cli::{
        callbacks::{CallbacksAction, CallbacksArgs, ListCallbacks, RepeatCallback},
        events::{EventsArgs, OutputFormat, Since},
    },
    client::{
        feed::{Feed, ServerSentEvent},
        login::connect,
        printable::make_printable,
        server::{AccessDenied, SILENCE_MAX, ServerClient},
    },
    engine::inbound::wall_clock,
};

/// Pause before a lost connection is opened again.
const PAUSE: Duration = Duration::from_secs(1);
/// The largest page of the API.
const PAGE: usize = 20;
/// The event that says that others are missing.
const GAP: &str = "gap";

/// Prints the events of an account.
///
/// # Errors
///
/// There is no token, the server does not answer, or it denies access.
pub async fn events(args: EventsArgs, token: Option<String>, out: &mut impl Write) -> Result<()> {
    let query = events_query(&args);
    let EventsArgs { server, follow, format, .. } = args;
    let client = connect(server, token)?;
    let mut printer = EventPrinter { format, last: None, query };
    loop {
        let is_first = printer.last.is_none();
        match printer.receive(&client, out).await {
            Ok(true) => return Ok(()),
            Ok(false) if !follow => return Ok(()),
            Ok(false) => note("the server has ended the stream"),
            Err(error) if is_first || !follow || error.is::<AccessDenied>() => return Err(error),
            Err(error) => note(&format!("{error:#}")),
        }
        sleep(PAUSE).await;
    }
}

/// Says why the stream is opened again. Without a reader of standard error, nobody wants to know.
fn note(why: &str) {
    writeln!(io::stderr(), "conflow: {why}").unwrap_or_default();
}

fn events_query(args: &EventsArgs) -> String {
    let EventsArgs { follow, since, after, call, conference, .. } = args;
    let mut query = form_urlencoded::Serializer::new("?".to_owned());
    query.append_pair("follow", if *follow { "true" } else { "false" });
    match (since, after) {
        (Some(since), _) => _ = query.append_pair("since", &time(since)),
        (None, Some(after)) => _ = query.append_pair("after", after),
        (None, None) if *follow => (),
        (None, None) => _ = query.append_pair("after", "0"),
    }
    if let Some(call) = call {
        query.append_pair("call", &call.to_string());
    }
    if let Some(conference) = conference {
        query.append_pair("conference", &conference.to_string());
    }
    query.finish()
}

/// The time in the form of the API.
fn time(since: &Since) -> String {
    match since {
        Since::Ago(ago) => {
            let now = wall_clock();
            utc::precise(now.checked_sub(*ago).unwrap_or(now))
        }
        Since::At(text) => text.clone(),
    }
}

struct EventPrinter {
    format: OutputFormat,
    /// The id of the last event.
    last: Option<String>,
    query: String,
}

impl EventPrinter {
    /// Prints events until the stream ends; true if nobody reads the output any more.
    async fn receive(&mut self, client: &ServerClient, out: &mut impl Write) -> Result<bool> {
        let mut body = client.events_of(&self.query, self.last.as_deref()).await?;
        let mut feed = Feed::default();
        loop {
            let frame = timeout(SILENCE_MAX, body.frame()).await.context("the server is silent")?;
            let Some(frame) = frame else { return Ok(false) };
            let frame = frame.context("the connection is broken")?;
            let Ok(bytes) = frame.into_data() else { continue };
            for event in feed.push(&bytes)? {
                let line = event_line(&event, self.format)?;
                if is_closed(writeln!(out, "{line}").and_then(|()| out.flush()))? {
                    return Ok(true);
                }
                self.last = event.id.or_else(|| self.last.take());
            }
        }
    }
}

/// Whether nobody reads the output, as with `head`.
fn is_closed(written: io::Result<()>) -> Result<bool> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(true),
        written => Ok(written.map(|()| false)?),
    }
}

fn event_line(event: &ServerSentEvent, format: OutputFormat) -> Result<String> {
    let ServerSentEvent { id, event, data } = event;
    let mut data: Value = serde_json::from_str(data).context("an event cannot be understood")?;
    if format == OutputFormat::Json {
        return Ok(json!({ "id": id, "event": event, "data": data }).to_string());
    }
    make_printable(&mut data);
    if event == GAP {
        return Ok(match data["missed"].as_u64() {
            Some(missed) => format!("gap: {missed} events are no longer kept"),
            None => "gap: earlier events are no longer kept".to_owned(),
        });
    }
    let text = |name: &str| data[name].as_str().unwrap_or_default();
    let mut line = format!("{}  {event:<21}", text("Time"));
    for (label, name) in [
        ("", "ConferenceName"),
        ("member ", "ConferenceMemberID"),
        ("", "ConferenceExitCause"),
        ("", "ConferenceDigitsMatch"),
        ("", "HangupCauseName"),
        ("from ", "From"),
        ("to ", "To"),
        ("call ", "CallUUID"),
    ] {
        if !text(name).is_empty() {
            line += &format!(" {label}{}", text(name));
        }
    }
    Ok(line + &format!("  {}", id.as_deref().unwrap_or_default()))
}

/// Lists the callbacks of an account, or repeats one.
///
/// # Errors
///
/// There is no token, the server does not answer, or it refuses.
pub async fn callbacks(
    args: CallbacksArgs,
    token: Option<String>,
    out: &mut impl Write,
) -> Result<()> {
    match args.action {
        None => list_callbacks(args.list, token, out).await,
        Some(CallbacksAction::Repeat(RepeatCallback { event_id, server })) => {
            let client = connect(server, token)?;
            let path = format!("/api/v1/Account/{}/Delivery/{event_id}/", client.account);
            if client.post::<Value>(&path).await?.is_none() {
                bail!("there is no callback of the event {event_id}, or it is no longer kept");
            }
            Ok(writeln!(out, "the callback of {event_id} is queued")?)
        }
    }
}

async fn list_callbacks(
    args: ListCallbacks,
    token: Option<String>,
    out: &mut impl Write,
) -> Result<()> {
    let ListCallbacks { server, state, call, since, limit, format } = args;
    let client = connect(server, token)?;
    let mut filter = form_urlencoded::Serializer::new(String::new());
    filter.extend_pairs(state.map(|it| ("state", it)));
    filter.extend_pairs(call.map(|it| ("call_uuid", it.to_string())));
    filter.extend_pairs(since.map(|it| ("event_time__gte", time(&it))));
    let filter = filter.finish();
    let mut offset = 0;
    while offset < limit {
        let page = PAGE.min(limit - offset);
        let path = format!(
            "/api/v1/Account/{}/Delivery/?limit={page}&offset={offset}&{filter}",
            client.account
        );
        let body: Option<Value> = client.get(&path).await?;
        let body = body.context("this server does not list callbacks")?;
        let callbacks = body["objects"].as_array().map(Vec::as_slice).unwrap_or_default();
        for callback in callbacks {
            let text = match format {
                OutputFormat::Json => callback.to_string(),
                OutputFormat::Text => callback_lines(callback.clone()),
            };
            if is_closed(writeln!(out, "{text}"))? {
                return Ok(());
            }
        }
        offset += callbacks.len();
        if callbacks.len() < page {
            break;
        }
    }
    Ok(out.flush()?)
}

/// A callback, and below it its attempts.
fn callback_lines(mut callback: Value) -> String {
    make_printable(&mut callback);
    let text = |name: &str| callback[name].as_str().unwrap_or_default();
    let mut lines = format!(
        "{}  {:<9}  {} {}  {} {}",
        text("event_time"),
        text("state"),
        text("event"),
        text("event_id"),
        text("method"),
        text("url"),
    );
    if !text("reason").is_empty() {
        lines += &format!("  ({})", text("reason"));
    }
    let attempts = callback["attempts"].as_u64().unwrap_or_default();
    let last = callback["last_attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let before = attempts.saturating_sub(last.len() as u64);
    if 0 < before {
        lines += &format!("\n    {before} attempts before");
    }
    for attempt in last {
        let status = attempt["status"].as_u64().map_or_else(|| "-".to_owned(), |it| it.to_string());
        lines += &format!(
            "\n    {}  {status:>3}  {} ms  {}",
            attempt["time"].as_str().unwrap_or_default(),
            attempt["milliseconds"],
            attempt["error"].as_str().unwrap_or_default(),
        );
        lines.truncate(lines.trim_end().len());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: Option<&str>, event: &str, data: &str) -> ServerSentEvent {
        let id = id.map(str::to_owned);
        ServerSentEvent { id, event: event.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn an_event_is_a_line() {
        let exit = event(
            Some("7-3"),
            "ConferenceExit",
            r#"{"Event":"ConferenceExit","ConferenceName":"weekly","ConferenceMemberID":"2",
                "CallUUID":"c","From":"1","To":"x","ConferenceExitCause":"kicked",
                "Time":"2026-11-30 07:16:44.000001"}"#,
        );
        assert_eq!(
            event_line(&exit, OutputFormat::Text).unwrap(),
            "2026-11-30 07:16:44.000001  ConferenceExit        weekly member 2 kicked from 1 to x \
             call c  7-3"
        );
        let gap = event(None, "gap", r#"{"missed":17}"#);
        let text = event_line(&gap, OutputFormat::Text).unwrap();
        assert_eq!(text, "gap: 17 events are no longer kept");
        let json = event_line(&gap, OutputFormat::Json).unwrap();
        assert_eq!(json, r#"{"id":null,"event":"gap","data":{"missed":17}}"#);
        assert!(event_line(&event(None, "x", "{"), OutputFormat::Text).is_err());
    }

    #[test]
    fn a_callback_is_a_line_with_its_attempts_below() {
        let attempt = |status: Value, error: Value| json!({"time": "T", "status": status, "milliseconds": 7, "error": error});
        let callback = json!({
            "event_time": "2026-11-30 07:16:44.000001", "state": "failed", "event": "Hangup",
            "event_id": "7-3", "method": "POST", "url": "http://a/", "reason": "exhausted",
            "attempts": 9,
            "last_attempts": [attempt(Value::Null, json!("refused")), attempt(json!(200), Value::Null)],
        });
        assert_eq!(
            callback_lines(callback),
            "2026-11-30 07:16:44.000001  failed     Hangup 7-3  POST http://a/  (exhausted)
    7 attempts before
    T    -  7 ms  refused
    T  200  7 ms"
        );
    }
}
