//! Commands that list the conferences and calls of a running server, and act on them.

use std::io::{self, Write};

use anyhow::Result;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    base::ids::ConferenceName,
    cli::control::{
        CallArgs, CallsArgs, ControlOptions, HangupArgs, KickArgs, KickThen, MembersArgs,
        MembersOfRoom, PlayArgs, RoomsArgs, SayArgs, SwitchArgs,
    },
    client::{
        login::connect,
        printable::printable,
        server::{ServerClient, ServerReply},
    },
};

/// Names of the columns, and of the fields that they show.
type Columns = [(&'static str, &'static str)];

const ROOM_COLUMNS: &Columns = &[
    ("CONFERENCE", "conference_name"),
    ("MEMBERS", "conference_member_count"),
    ("SECONDS", "conference_run_time"),
];
const MEMBER_COLUMNS: &Columns = &[
    ("MEMBER", "member_id"),
    ("FROM", "from"),
    ("NAME", "caller_name"),
    ("TO", "to"),
    ("MUTED", "muted"),
    ("DEAF", "deaf"),
    ("SECONDS", "join_time"),
    ("CALL", "call_uuid"),
];
const CALL_COLUMNS: &Columns = &[
    ("CALL", "call_uuid"),
    ("DIRECTION", "direction"),
    ("FROM", "from"),
    ("TO", "to"),
    ("STATUS", "call_status"),
    ("SINCE", "session_start"),
];

/// A command that acts on a server, with the token from the environment.
struct Control<'a, W> {
    client: ServerClient,
    is_json: bool,
    out: &'a mut W,
}

impl<'a, W: Write> Control<'a, W> {
    fn new(options: ControlOptions, token: Option<String>, out: &'a mut W) -> Result<Self> {
        let ControlOptions { server, json } = options;
        Ok(Self { client: connect(server, token)?, is_json: json, out })
    }

    /// A path of the account.
    fn path(&self, rest: &str) -> String {
        format!("/api/v1/Account/{}/{rest}", self.client.account)
    }

    fn room(&self, name: &ConferenceName) -> String {
        self.path(&format!("Conference/{}/", encoded(name.as_str())))
    }

    fn members(&self, of: &MembersOfRoom, action: &str) -> String {
        let MembersOfRoom { conference, members } = of;
        format!("{}Member/{}/{action}/", self.room(conference), encoded(members))
    }

    /// Sends a request, tells what of it was ignored, and returns the answer.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let ServerReply { warnings, body } = self.client.act(method, path, body).await?;
        for warning in warnings {
            writeln!(io::stderr(), "conflow: {}", printable(&warning)).unwrap_or_default();
        }
        Ok(body)
    }

    /// Sends a request, and prints what was done.
    async fn act(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<()> {
        let answer = self.ask(method, path, body).await?;
        let text = if self.is_json { answer.to_string() } else { done_line(&answer) };
        Ok(writeln!(self.out, "{text}")?)
    }

    fn list(&mut self, columns: &Columns, rows: &[Value]) -> Result<()> {
        if self.is_json {
            return Ok(rows.iter().try_for_each(|row| writeln!(self.out, "{row}"))?);
        }
        Ok(self.out.write_all(table(columns, rows).as_bytes())?)
    }
}

/// Lists the conferences of an account.
///
/// # Errors
///
/// There is no token, the server does not answer, or it denies access. The same holds for the other
/// functions of this file; those that act fail, too, if what they are for does not exist.
pub async fn rooms(args: RoomsArgs, token: Option<String>, out: &mut impl Write) -> Result<()> {
    let mut control = Control::new(args.options, token, out)?;
    let names = control.ask(Method::GET, &control.path("Conference/"), None).await?;
    let mut rooms = Vec::new();
    for name in names["conferences"].as_array().into_iter().flatten() {
        let path = control.path(&format!("Conference/{}/", encoded(&text(name))));
        // A room may have ended meanwhile.
        rooms.extend(control.client.get::<Value>(&path).await?);
    }
    control.list(ROOM_COLUMNS, &rooms)
}

/// Lists the members of a conference.
///
/// # Errors
///
/// As of [`rooms`].
pub async fn members(args: MembersArgs, token: Option<String>, out: &mut impl Write) -> Result<()> {
    let mut control = Control::new(args.options, token, out)?;
    let room = control.ask(Method::GET, &control.room(&args.conference), None).await?;
    let members = room["members"].as_array().map(Vec::as_slice).unwrap_or_default();
    control.list(MEMBER_COLUMNS, members)
}

/// Takes members out of a conference, or says what would follow.
///
/// # Errors
///
/// As of [`rooms`].
pub async fn kick(args: KickArgs, token: Option<String>, out: &mut impl Write) -> Result<()> {
    let KickArgs { members, dry_run, then, reason, ban, options } = args;
    let mut control = Control::new(options, token, out)?;
    let then = then.map(|KickThen(it)| ("then", it));
    let reason = reason.map(|it| ("reason", it.into()));
    let ban = ban.map(|it| ("ban_seconds", it.get().into()));
    let fields = [then, reason, ban].into_iter().flatten();
    let body: Value = fields.map(|(name, value)| (name.to_owned(), value)).collect();
    let path = control.members(&members, "Kick");
    if !dry_run {
        return control.act(Method::POST, &path, Some(&body)).await;
    }
    let answer = control.ask(Method::POST, &format!("{path}?dry_run=true"), Some(&body)).await?;
    if control.is_json {
        return Ok(writeln!(control.out, "{answer}")?);
    }
    let departures = answer["would_leave"].as_array();
    let lines = departures.into_iter().flatten().map(departure_line);
    Ok(lines.into_iter().try_for_each(|line| writeln!(control.out, "{line}"))?)
}

/// The switches of a member.
#[derive(Clone, Copy, Debug)]
pub enum Switch {
    /// Others cannot hear them.
    Mute,
    /// They do not hear the others.
    Deaf,
    /// They are on hold.
    Hold,
}

/// Mutes, deafens or holds members, or undoes it.
///
/// # Errors
///
/// As of [`rooms`].
pub async fn switch(
    what: Switch,
    args: SwitchArgs,
    token: Option<String>,
    out: &mut impl Write,
) -> Result<()> {
    let control = Control::new(args.options, token, out)?;
    let (action, on) = match what {
        Switch::Mute => ("Mute", ["muted", "no longer muted"]),
        Switch::Deaf => ("Deaf", ["deaf", "no longer deaf"]),
        Switch::Hold => ("Hold", ["on hold", "no longer on hold"]),
    };
    let path = control.members(&args.members, action);
    let method = if args.off { Method::DELETE } else { Method::POST };
    let answer = control.ask(method, &path, None).await?;
    let text = match control.is_json {
        true => answer.to_string(),
        // The answer to DELETE has no body.
        false => format!("{}: {}", on[usize::from(args.off)], printable(&args.members.members)),
    };
    Ok(writeln!(control.out, "{text}")?)
}

/// Speaks a text to members.
///
/// # Errors
///
/// As of [`rooms`].
pub async fn say(args: SayArgs, token: Option<String>, out: &mut impl Write) -> Result<()> {
    let mut control = Control::new(args.options, token, out)?;
    let mut body = json!({ "text": args.text });
    if let Some(language) = args.language {
        body["language"] = language.into();
    }
    let path = control.members(&args.members, "Speak");
    control.act(Method::POST, &path, Some(&body)).await
}

/// Plays a sound to members, or stops it.
///
/// # Errors
///
/// As of [`rooms`].
pub async fn play(args: PlayArgs, token: Option<String>, out: &mut impl Write) -> Result<()> {
    let mut control = Control::new(args.options, token, out)?;
    let path = control.members(&args.members, "Play");
    match args.sound {
        Some(url) => control.act(Method::POST, &path, Some(&json!({ "url": url }))).await,
        None => {
            control.ask(Method::DELETE, &path, None).await?;
            Ok(writeln!(control.out, "stopped")?)
        }
    }
}

/// Lists the live calls of an account.
///
/// # Errors
///
/// As of [`rooms`].
pub async fn calls(args: CallsArgs, token: Option<String>, out: &mut impl Write) -> Result<()> {
    let mut control = Control::new(args.options, token, out)?;
    let live = control.ask(Method::GET, &control.path("Call/?status=live"), None).await?;
    let ids = live["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut calls = Vec::new();
    for id in ids.iter().take(args.limit) {
        let path = control.path(&format!("Call/{}/?status=live", text(id)));
        // A call may have ended meanwhile.
        calls.extend(control.client.get::<Value>(&path).await?);
    }
    control.list(CALL_COLUMNS, &calls)?;
    if let more @ 1.. = ids.len().saturating_sub(args.limit) {
        writeln!(io::stderr(), "conflow: {more} more: --limit {}", ids.len()).unwrap_or_default();
    }
    Ok(())
}

/// Calls a number.
///
/// # Errors
///
/// As of [`rooms`].
pub async fn call(args: CallArgs, token: Option<String>, out: &mut impl Write) -> Result<()> {
    let CallArgs { to, from, answer_url, options } = args;
    let mut control = Control::new(options, token, out)?;
    let body = json!({ "to": to, "from": from, "answer_url": answer_url });
    control.act(Method::POST, &control.path("Call/"), Some(&body)).await
}

/// Ends a call.
///
/// # Errors
///
/// As of [`rooms`].
pub async fn hangup(args: HangupArgs, token: Option<String>, out: &mut impl Write) -> Result<()> {
    let control = Control::new(args.options, token, out)?;
    control.ask(Method::DELETE, &control.path(&format!("Call/{}/", args.call)), None).await?;
    Ok(writeln!(control.out, "hung up: {}", args.call)?)
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// What an answer says was done: `kicked: 3, 4`, or `call fired: UUID`.
fn done_line(answer: &Value) -> String {
    let message = printable(answer["message"].as_str().unwrap_or("done"));
    let ids = ["member_id", "request_uuid"].iter().map(|name| text(&answer[name]));
    let ids: Vec<_> = ids.filter(|it| !it.is_empty()).collect();
    let mut line = if ids.is_empty() { message } else { format!("{message}: {}", ids.join(" ")) };
    for (name, words) in
        [("banned", "banned"), ("not_banned", "not banned, since they have no trusted identity")]
    {
        let members = text(&answer[name]);
        if !members.is_empty() {
            line += &format!("; {words}: {members}");
        }
    }
    line
}

/// A member that would leave: `member 3: kicked, then Speak at 10:5`.
fn departure_line(departure: &Value) -> String {
    let next = &departure["next"];
    let then = match next["element"].as_str() {
        Some(element) => {
            let of = if next["document"] == "flow" { "" } else { " of --then" };
            format!("{element} at {}:{}{of}", next["line"], next["column"])
        }
        None if next["url"].is_string() => format!("the document of {}", text(&next["url"])),
        None => format!("the call ends: {}", text(&next["hangup_cause"])),
    };
    let ban = if departure["banned"] == true { ", banned" } else { "" };
    format!(
        "member {}: {}{ban}, then {then}",
        text(&departure["member_id"]),
        text(&departure["cause"])
    )
}

/// A value as people read it. Nothing that a caller has sent moves the cursor of a terminal.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// Lines with columns below their names.
fn table(columns: &Columns, rows: &[Value]) -> String {
    let mut lines = vec![columns.iter().map(|(title, _)| (*title).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|(_, name)| text(&row[name])).collect()));
    let width =
        |n: usize| lines.iter().map(|line| line[n].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_columns_and_no_control_characters() {
        let rows = [
            json!({ "member_id": "3", "from": "1", "caller_name": "\u{1b}[2J", "muted": true }),
            json!({ "member_id": "14", "from": "14155550100", "deaf": false }),
        ];
        let shown = table(&MEMBER_COLUMNS[..6], &rows);
        assert_eq!(
            shown,
            "MEMBER  FROM         NAME       TO  MUTED  DEAF\n\
             3       1            \\u{1b}[2J      yes\n\
             14      14155550100                        no\n"
        );
    }

    #[test]
    fn what_was_done_is_a_line() {
        let check = |answer: Value, expected: &str| assert_eq!(done_line(&answer), expected);
        check(json!({ "message": "kicked", "member_id": "3" }), "kicked: 3");
        check(json!({ "message": "kicked", "member_id": ["3", "4"] }), "kicked: 3, 4");
        check(
            json!({ "message": "kicked", "member_id": "3", "banned": [], "not_banned": ["3"] }),
            "kicked: 3; not banned, since they have no trusted identity: 3",
        );
        check(Value::Null, "done");
    }

    #[test]
    fn a_dry_run_says_what_would_follow() {
        let check = |next: Value, expected: &str| {
            let departure = json!({ "member_id": "3", "cause": "kicked", "next": next });
            assert_eq!(departure_line(&departure), format!("member 3: kicked, then {expected}"));
        };
        let element =
            |document| json!({ "document": document, "element": "Speak", "line": 10, "column": 5 });
        check(element("flow"), "Speak at 10:5");
        check(element("then.xml"), "Speak at 10:5 of --then");
        check(json!({ "url": "http://a/b" }), "the document of http://a/b");
        check(json!({ "hangup_cause": "Kicked" }), "the call ends: Kicked");
    }
}
