//! Kick parameters: reason, target, ban and dry run, all of them extensions, and their answers.

use std::{sync::Arc, time::Duration};

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    ApiClient,
    bodies::{AsText, MembersDone},
    params::RequestParams,
    warnings::Warnings,
};
use crate::{
    api::{body, failure::Failure, reply},
    base::ids::{CallId, MemberId},
    conference::{Departure, Kick, KickTarget, ban_list::BAN_MAX},
    engine::registry::Registry,
    flow::{DialectFlows, Forecast},
};

/// Some sentences, to be spoken and to be read in a log.
pub(super) const REASON_CHARS_MAX: usize = 512;

const THEN_FORMS: &str =
    r#"{"element":"id"}, {"xml":"<Response>…</Response>"}, {"url":"https://…"} or "hangup""#;

/// Parses a kick. A body that is not a JSON object is ignored, as by the vendors.
pub(super) fn read(client: &ApiClient, body: &[u8]) -> Result<(Kick, Warnings), Failure> {
    let query = client.context.query();
    let is_dry = RequestParams::of_query(query).flag("dry_run", false)?;
    let body = body::object(&client.context.headers, body).unwrap_or_default();
    // In a form, an object is its JSON text.
    let then = body.get("then").cloned().map(|then| match then.as_str().map(str::trim_start) {
        Some(text) if text.starts_with('{') => serde_json::from_str(text).unwrap_or(then),
        Some(_) | None => then,
    });
    let target = target(&client.state.registry, then.as_ref())?;
    let (reason, params) = (reason(&body)?, RequestParams::of(body));
    let mut warnings = Warnings::of(client, &params, &["then", "reason", "ban_seconds", "dry_run"]);
    if params.names().any(|it| it == "dry_run") {
        warnings
            .ignored("dry_run", "it is ignored in the body: give it in the query, ?dry_run=true");
    }
    Ok((Kick { reason, target, ban: ban(&params)?, is_dry_run: is_dry }, warnings))
}

fn reason(body: &Map<String, Value>) -> Result<Option<Arc<str>>, Failure> {
    let bad = |why: &str| {
        let advice = format!("give a text of {REASON_CHARS_MAX} characters at most");
        Err(Failure::Bad(format!("reason: {why}: {advice}")))
    };
    let reason = match body.get("reason") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(reason)) => reason.trim(),
        Some(_) => return bad("not a text"),
    };
    match () {
        () if REASON_CHARS_MAX < reason.chars().count() => bad("too long"),
        () if reason.chars().any(char::is_control) => bad("a control character is in it"),
        () => Ok((!reason.is_empty()).then(|| reason.into())),
    }
}

fn ban(body: &RequestParams) -> Result<Option<Duration>, Failure> {
    let seconds_max = u32::try_from(BAN_MAX.as_secs()).unwrap_or(u32::MAX);
    let seconds = body.number("ban_seconds", 1..=seconds_max)?;
    Ok(seconds.map(|it| Duration::from_secs(it.into())))
}

fn target(registry: &Registry, then: Option<&Value>) -> Result<KickTarget, Failure> {
    let bad = |why: String| Err(Failure::Bad(why));
    let (form, text) = match then {
        None | Some(Value::Null) => return Ok(KickTarget::Flow),
        Some(Value::String(word)) if word == "hangup" => return Ok(KickTarget::HangUp),
        Some(Value::Object(then)) if then.len() == 1 => match then.iter().next() {
            Some((form, Value::String(text))) => (form.as_str(), text.as_str()),
            _ => return bad(format!("then: give {THEN_FORMS}")),
        },
        Some(_) => return bad(format!("then: give {THEN_FORMS}")),
    };
    match form {
        "element" if !text.is_empty() => Ok(KickTarget::Element(text.into())),
        "xml" => match DialectFlows::parse(text) {
            Ok(document) => Ok(KickTarget::Document(Box::new(document))),
            Err(error) => bad(format!("then.xml: {error}")),
        },
        "url" => match registry.may_fetch(text) {
            Ok(()) => Ok(KickTarget::Fetch(text.into())),
            Err(error) => bad(format!("then.url: {error}")),
        },
        _ => bad(format!("then: give {THEN_FORMS}")),
    }
}

/// The answer to a kick with a ban.
pub(super) fn banned(
    status: StatusCode,
    done: MembersDone<'_>,
    members: &[MemberId],
    unknown: &[MemberId],
) -> Response {
    let is_known = |id: &&MemberId| !unknown.contains(id);
    let banned = members.iter().filter(is_known).copied().map(AsText).collect();
    let not_banned = unknown.iter().copied().map(AsText).collect();
    reply::json(status, &BannedReply { done, banned, not_banned })
}

#[derive(Serialize)]
struct BannedReply<'a> {
    #[serde(flatten)]
    done: MembersDone<'a>,
    /// The banned members. Each id is also the id of the ban.
    banned: Vec<AsText<MemberId>>,
    /// The members without a trusted identity: a From alone can be forged, so it bans nobody.
    not_banned: Vec<AsText<MemberId>>,
}

/// The answer to a dry run.
pub(super) fn departures(departures: &[Departure], api_id: Uuid) -> Response {
    let would_leave = departures.iter().map(DepartureBody::from).collect();
    reply::json(StatusCode::OK, &DryRunReply { message: "dry run", would_leave, api_id })
}

#[derive(Serialize)]
struct DryRunReply<'a> {
    message: &'static str,
    would_leave: Vec<DepartureBody<'a>>,
    api_id: Uuid,
}

#[derive(Serialize)]
struct DepartureBody<'a> {
    member_id: AsText<MemberId>,
    call_uuid: CallId,
    cause: &'static str,
    banned: bool,
    next: NextStepBody<'a>,
}

/// The next step of a call that would leave.
#[derive(Serialize)]
#[serde(untagged)]
enum NextStepBody<'a> {
    Element {
        document: &'static str,
        element: &'a str,
        id: Option<&'a str>,
        line: u32,
        column: u32,
    },
    Hangup {
        hangup_cause: &'static str,
        hangup_cause_code: u32,
    },
    Url {
        url: &'a str,
    },
}

impl<'a> From<&'a Departure> for DepartureBody<'a> {
    fn from(departure: &'a Departure) -> Self {
        let Departure { member, call, cause, banned, next } = departure;
        let next = match next {
            Forecast::Element { tag, id, at, is_own } => {
                let document = if *is_own { "flow" } else { "then.xml" };
                let (line, column) = (at.line, at.column);
                NextStepBody::Element { document, element: tag, id: id.as_deref(), line, column }
            }
            Forecast::End(ending) => NextStepBody::Hangup {
                hangup_cause: ending.cause.name(),
                hangup_cause_code: ending.cause.code().into(),
            },
            Forecast::Fetch(url) => NextStepBody::Url { url },
        };
        Self {
            member_id: AsText(*member),
            call_uuid: *call,
            cause: cause.text(),
            banned: banned.is_some(),
            next,
        }
    }
}
