//! Endpoint that makes calls (contract 5.2): one, or one to each destination of a list.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use axum::{http::StatusCode, response::Response};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    bodies::{Fired, RequestIds},
    by_dialect, digits, find,
};
use crate::{
    api::{
        context::RequestBody,
        failure::Failure,
        reply,
        voice::{ApiClient, params::RequestParams, warnings::Warnings},
    },
    base::{
        ids::{CallId, Trusted},
        user_part::bare_number,
    },
    call::{AnswerUrls, CallDirection, CallSession, Headers, OutgoingCall, Party, SessionDetails},
    engine::inbound,
    media::DialCredentials,
};

/// The largest number of destinations (contract 7).
const DESTINATIONS_MAX: usize = 1_000;

/// The longest `caller_name` (contract 5.2).
pub(in crate::api::voice) const NAME_CHARS_MAX: usize = 50;

/// The longest number or SIP URI.
const ADDRESS_CHARS_MAX: usize = 256;

/// The default of `ring_timeout` in seconds (contract 5.2).
pub(in crate::api::voice) const RING_TIMEOUT: u32 = 120;

/// The largest `ring_timeout` and `hangup_on_ring`, in seconds.
pub(in crate::api::voice) const RING_TIMEOUT_MAX: u32 = 600;

/// The largest `time_limit` in seconds: a day (contract 5.2).
pub(in crate::api::voice) const TIME_LIMIT_MAX: u32 = 86_400;

/// The largest number of `sip_headers`.
const HEADERS_MAX: usize = 32;

/// The parameters of the endpoint (contract 5.2).
pub(in crate::api::voice) const KNOWN: [&str; 25] = [
    "from",
    "to",
    "answer_url",
    "answer_method",
    "ring_url",
    "ring_method",
    "hangup_url",
    "hangup_method",
    "fallback_url",
    "fallback_method",
    "caller_name",
    "send_digits",
    "send_on_preanswer",
    "time_limit",
    "hangup_on_ring",
    "sip_headers",
    SIP_AUTH[0].0,
    SIP_AUTH[0].1,
    SIP_AUTH[1].0,
    SIP_AUTH[1].1,
    "ring_timeout",
    "parent_call_uuid",
    "error_if_parent_not_found",
    "user",
    MACHINE_DETECTION,
];

/// User name and password for a host of `sip.dial_allow`, in both spellings (contract of calling, 15).
pub(in crate::api::voice) const SIP_AUTH: [(&str, &str); 2] =
    [("sip_auth_username", "sip_auth_password"), ("sipAuthUsername", "sipAuthPassword")];

const MACHINE_DETECTION: &str = "machine_detection";

/// Ranges in milliseconds and words (contract 5.2). They are checked and have no effect yet.
pub(in crate::api::voice) const MACHINE_DETECTION_NUMBERS: [(&str, RangeInclusive<u32>); 7] = [
    ("machine_detection_time", 2_000..=10_000),
    ("machine_detection_maximum_speech_length", 1_000..=6_000),
    ("machine_detection_initial_silence", 2_000..=10_000),
    ("machine_detection_maximum_words", 2..=10),
    ("machine_detection_initial_greeting", 1_000..=5_000),
    ("machine_detection_silence", 0..=u32::MAX),
    ("machine_detection_answer_timeout", 0..=u32::MAX),
];

/// `POST Call/`
pub(in crate::api::voice) async fn make(
    client: ApiClient,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let params = client.params(&body)?;
    let calls = plan(&client, &params)?;
    let warnings = warnings(&client, &params)?;
    let limit = params.number("time_limit", 1..=TIME_LIMIT_MAX)?;
    let limit = limit.map(|it| Duration::from_secs(it.into()));
    let (now, state) = (Instant::now().into_std(), &client.state);
    let _admitted = state.call_caps.admit(now, &state.journal, &client.account, calls.len())?;
    let named = calls.into_iter().map(|(party, out)| (CallId(Uuid::new_v4()), party, out));
    let calls: Vec<_> = named.collect();
    let ids: Vec<_> = calls.iter().map(|(id, ..)| *id).collect();
    let status = by_dialect(client.dialect, StatusCode::CREATED, StatusCode::OK);
    let (message, request_uuid) = match ids[..] {
        [id] => (by_dialect(client.dialect, "call fired", "Call fired"), RequestIds::One(id)),
        _ => (
            by_dialect(client.dialect, "calls fired", "Calls fired"),
            RequestIds::Many(ids.clone()),
        ),
    };
    let fired = Fired { message, request_uuid, api_id: client.api_id };
    let answer = warnings.in_headers(reply::json(status, &fired));
    let (answer, receipt) = client.receipt(answer);
    if !state.inbound.call_out(&client.account, calls, limit, receipt.as_ref()) {
        let text = "the engine is shutting down, and makes no new calls";
        return Err(Failure::Unavailable(text.to_owned()));
    }
    warnings.note_in_traces(&client, &ids).log(&client);
    Ok(answer)
}

/// Warns about parameters without effect. Bad values are refused all the same.
fn warnings(client: &ApiClient, params: &RequestParams) -> Result<Warnings, Failure> {
    let numbers = MACHINE_DETECTION_NUMBERS;
    let urls = ["machine_detection_url", "machine_detection_method"];
    let known: Vec<_> =
        KNOWN.into_iter().chain(urls).chain(numbers.iter().map(|it| it.0)).collect();
    let mut warnings = Warnings::of(client, params, &known);

    for (name, range) in numbers {
        params.number(name, range)?;
    }
    params.hook(MACHINE_DETECTION)?;
    let word = params.text(MACHINE_DETECTION).ok().flatten().unwrap_or_default();
    let detects = word.eq_ignore_ascii_case("hangup") || {
        let bad = |_| Failure::Bad(format!("{MACHINE_DETECTION}: give true, false or hangup"));
        params.flag(MACHINE_DETECTION, false).map_err(bad)?
    };
    if detects {
        warnings.ignored(
            MACHINE_DETECTION,
            "not supported yet, so people and machines are called alike",
        );
    }
    Ok(warnings)
}

/// The calls to make. All parameters are checked before the first call is made.
fn plan(client: &ApiClient, params: &RequestParams) -> Result<Vec<(Party, OutgoingCall)>, Failure> {
    let from = address("from", &params.required("from")?)?;
    let to = params.required("to")?;
    let hook = params.document("answer")?;
    let hook = hook.ok_or_else(|| Failure::Bad("answer_url: missing".to_owned()))?;
    let answer = AnswerUrls { hook, fallback: params.document("fallback")? };
    let caller_name = caller_name(params)?;
    let details = SessionDetails {
        trace: Some(client.trace),
        headers: sip_headers(params)?,
        ring: params.hook("ring")?,
        hangup: params.hook("hangup")?,
        parent: parent(client, params)?,
        credentials: credentials(params)?,
        ..SessionDetails::default()
    };
    let session = CallSession::new(inbound::wall_clock(), details);
    let seconds = |it: u32| Duration::from_secs(it.into());
    let ring_timeout = params.number("ring_timeout", 1..=RING_TIMEOUT_MAX)?;
    let ring_max = params.number("hangup_on_ring", 0..=RING_TIMEOUT_MAX)?;
    let ring_max = ring_max.filter(|it| *it != 0).map(seconds);
    params.number("time_limit", 1..=TIME_LIMIT_MAX)?;

    let destinations = split(&to);
    if !(1..=DESTINATIONS_MAX).contains(&destinations.len()) {
        return Err(Failure::Bad(format!("to: give 1 to {DESTINATIONS_MAX}, with < between them")));
    }
    let users = users(params, destinations.len())?;
    let keys = params.text("send_digits")?.unwrap_or_default();
    let sends_early = params.flag("send_on_preanswer", false)?;
    let call = |(n, to): (usize, &&str)| {
        let to = address("to", to)?;
        client
            .state
            .registry
            .can_dial(&client.account, &to)
            .map_err(|no_way| Failure::Bad(format!("to: {no_way}")))?;
        let own = own_keys(&keys, n);
        let out = OutgoingCall {
            answer: answer.clone(),
            ring_timeout: seconds(ring_timeout.unwrap_or(RING_TIMEOUT)),
            ring_max,
            digits: own.map(|it| digits("send_digits", it)).transpose()?,
            sends_early,
        };
        let (from, caller_name, session) = (from.clone(), caller_name.clone(), session.clone());
        let (direction, dialect) = (CallDirection::Outbound, client.dialect);
        let trusted = users[n].clone().map(Box::new);
        Ok((Party { from, to, caller_name, direction, dialect, trusted, session }, out))
    };
    destinations.iter().enumerate().map(call).collect()
}

/// `caller_name`: the display name that the far end is shown.
pub(super) fn caller_name(params: &RequestParams) -> Result<Arc<str>, Failure> {
    let name = params.text("caller_name")?.unwrap_or_default();
    match name.chars().count() <= NAME_CHARS_MAX {
        true => Ok(name.into()),
        false => Err(Failure::Bad(format!("caller_name: {NAME_CHARS_MAX} characters at most"))),
    }
}

/// `send_digits` of the n-th destination: one for each, with `<` between them, or one for all.
pub(super) fn own_keys(keys: &str, n: usize) -> Option<&str> {
    let keys: Vec<_> = keys.split('<').map(str::trim).collect();
    let own = keys.get(n).or_else(|| keys.first().filter(|_| keys.len() == 1));
    own.copied().filter(|it| !it.is_empty())
}

/// `user`: the identity of each destination, which the account vouches for. An extension.
pub(super) fn users(
    params: &RequestParams,
    destinations: usize,
) -> Result<Vec<Option<Trusted>>, Failure> {
    let Some(text) = params.text("user")? else { return Ok(vec![None; destinations]) };
    let users: Vec<_> = text.split('<').map(str::trim).collect();
    let is_good = |it: &&str| {
        it.chars().count() <= ADDRESS_CHARS_MAX && !it.contains(|it: char| it.is_control())
    };
    match users.len() == destinations && users.iter().all(is_good) {
        true => Ok(users.into_iter().map(Trusted::user).collect()),
        false => {
            let why = format!(
                "user: give one for each destination, of {ADDRESS_CHARS_MAX} characters at most, with < between them"
            );
            Err(Failure::Bad(why))
        }
    }
}

pub(super) fn split(text: &str) -> Vec<&str> {
    text.split('<').map(str::trim).filter(|it| !it.is_empty()).collect()
}

/// A number without its plus and separators, or a SIP URI.
pub(super) fn address(name: &str, text: &str) -> Result<Arc<str>, Failure> {
    let number = bare_number(text);
    let text = number.as_deref().unwrap_or_else(|| text.strip_prefix('+').unwrap_or(text));
    let is_good = (1..=ADDRESS_CHARS_MAX).contains(&text.chars().count())
        && !text.contains(|it: char| it.is_control());
    match is_good {
        true => Ok(text.into()),
        false => Err(Failure::Bad(format!("{name}: give a number or a SIP URI"))),
    }
}

/// Parses `k=v,k=v`. Names have letters, digits and hyphens.
pub(super) fn sip_headers(params: &RequestParams) -> Result<Headers, Failure> {
    let text = params.text("sip_headers")?.unwrap_or_default();
    let bad =
        || Failure::Bad(format!("sip_headers: give up to {HEADERS_MAX} as name=value,name=value"));
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').ok_or_else(bad)?;
        let (name, value) = (name.trim(), value.trim());
        let is_name = |it: char| it.is_ascii_alphanumeric() || it == '-';
        let is_value = |it: char| !it.is_control();
        match !name.is_empty() && name.chars().all(is_name) && value.chars().all(is_value) {
            true => Ok((Arc::from(name), Arc::from(value))),
            false => Err(bad()),
        }
    };
    let parts = text.split(',').filter(|it| !it.trim().is_empty());
    let headers: Vec<_> = parts.map(pair).collect::<Result<_, _>>()?;
    match headers.len() <= HEADERS_MAX {
        true => Ok(headers.into()),
        false => Err(bad()),
    }
}

/// `sip_auth_username` and `sip_auth_password`. No error shows a password.
fn credentials(params: &RequestParams) -> Result<Option<Arc<DialCredentials>>, Failure> {
    for (name, password_name) in SIP_AUTH {
        let (username, password) = (params.text(name)?, params.text(password_name)?);
        let (username, password) = match (username, password) {
            (None, None) => continue,
            (Some(username), Some(password)) => (username, password),
            (Some(_), None) => return Err(Failure::Bad(format!("{password_name}: missing"))),
            (None, Some(_)) => return Err(Failure::Bad(format!("{name}: missing"))),
        };
        let (chars, longest) =
            (DialCredentials::PASSWORD_CHARS, DialCredentials::USERNAME_CHARS_MAX);
        let bad = || {
            let (least, most) = chars.into_inner();
            Failure::Bad(format!(
                "{password_name}: give {least} to {most} characters, and {longest} at most as {name}"
            ))
        };
        let credentials = DialCredentials::new(&username, &password).ok_or_else(bad)?;
        return Ok(Some(Arc::new(credentials)));
    }
    Ok(None)
}

fn parent(client: &ApiClient, params: &RequestParams) -> Result<Option<CallId>, Failure> {
    let Some(text) = params.text("parent_call_uuid")? else { return Ok(None) };
    let bad = |_| Failure::Bad("parent_call_uuid: give a call_uuid".to_owned());
    let parent = text.parse().map_err(bad)?;
    if params.flag("error_if_parent_not_found", false)? {
        let missing = |_| Failure::NotFound("parent call not found".into());
        find(client, parent, |_| true).map_err(missing)?;
    }
    Ok(Some(parent))
}
