//! Rocket.Chat private groups (contract 2): `/api/v1/groups.…`, with the headers `X-Auth-Token`
//! and `X-User-Id`.

mod endpoints;
mod login;
mod rooms;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    http::{
        HeaderName, HeaderValue, Method, StatusCode,
        header::{CACHE_CONTROL, PRAGMA},
    },
    response::Response,
};
use serde_json::{Map, Value, json};

pub(in crate::api) use self::endpoints::ENDPOINTS;
use self::rooms::RocketChatHandler;
use super::{GroupAskError, GroupsApi, GroupsRequest, SignedInUser, header, rate_limit};
use crate::{
    api::{failure::rounded_up, reply},
    group::Refusal,
    store::rows::WriteError,
};

/// HTTP status, error type (empty for none), text, and the method to name in `details`.
struct RocketChatError(u16, &'static str, String, Option<&'static str>);

/// Calls of one address to one endpoint (contract 2.2).
const LIMIT: rate_limit::WindowLimit =
    rate_limit::WindowLimit { requests: 10, window: Duration::from_millis(60_000) };
/// Default page size (contract 2.4).
const PAGE: usize = 50;
const LOGIN: &str = "You must be logged in to do this.";

/// Adds the headers that every response has.
pub(super) fn answer(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

pub(super) fn not_found() -> Response {
    refuse(&RocketChatError(404, "", "404 Not Found".to_owned(), None))
}

pub(super) fn wrong_method() -> Response {
    refuse(&RocketChatError(405, "", "Method Not Allowed".to_owned(), None))
}

/// The response to a compressed body.
pub(super) fn refuse_coding(text: String) -> Response {
    refuse(&RocketChatError(415, "", text, None))
}

pub(super) fn crash() -> Response {
    refuse(&broken())
}

fn broken() -> RocketChatError {
    RocketChatError(500, "", "Internal server error".to_owned(), None)
}

/// A change that could not be written, and therefore did not happen.
impl From<WriteError> for RocketChatError {
    fn from(error: WriteError) -> Self {
        Self(503, "", error.to_string(), None)
    }
}

fn refuse(RocketChatError(status, kind, text, method): &RocketChatError) -> Response {
    let status = StatusCode::from_u16(*status).expect("errors have valid statuses");
    let mut body = Map::new();
    body.insert("success".to_owned(), false.into());
    match *kind {
        "" | "error-invalid-params" => body.insert("error".to_owned(), text.clone().into()),
        kind => body.insert("error".to_owned(), format!("{text} [{kind}]").into()),
    };
    match (status, *kind) {
        (StatusCode::UNAUTHORIZED, _) => {
            body.insert("status".to_owned(), "error".into());
            body.insert("message".to_owned(), text.clone().into());
        }
        (StatusCode::TOO_MANY_REQUESTS, _) | (_, "") => (),
        (_, kind) => drop(body.insert("errorType".to_owned(), kind.into())),
    }
    if let Some(method) = method {
        body.insert("details".to_owned(), json!({ "method": method }));
    }
    reply::json(status, &body)
}

type RateLimitHeaders = Vec<(&'static str, String)>;

/// Writes the response, with the rate limit headers if the call was counted.
fn finish(result: Result<Value, RocketChatError>, limits: RateLimitHeaders) -> Response {
    let mut response = match result {
        Ok(Value::Object(mut body)) => {
            body.insert("success".to_owned(), true.into());
            reply::json(StatusCode::OK, &body)
        }
        Ok(body) => reply::json(StatusCode::OK, &body),
        Err(error) => refuse(&error),
    };
    for (name, value) in limits {
        let value = HeaderValue::try_from(value).expect("digits are header values");
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}

/// Authenticates a person and counts the call to the method `name`.
fn admit(
    api: &Arc<GroupsApi>,
    request: &GroupsRequest,
    name: &str,
    limits: &mut RateLimitHeaders,
) -> Result<RocketChatHandler, RocketChatError> {
    let user = sign_in(api, request).ok_or_else(|| signed_out(LOGIN))?;
    let fields = fields(request);
    if name == "groups.kick" {
        check_schema(&fields)?;
    }
    count(api, request, name, limits)?;
    Ok(RocketChatHandler { api: api.clone(), user, fields })
}

fn signed_out(text: &str) -> RocketChatError {
    RocketChatError(401, "", text.to_owned(), None)
}

pub(super) fn sign_in(api: &GroupsApi, request: &GroupsRequest) -> Option<SignedInUser> {
    let (token, user) = (header(request, "x-auth-token")?, header(request, "x-user-id")?);
    api.bearer(request, token, Some(user)).ok().filter(|it| it.person.to_string() == user)
}

fn count(
    api: &GroupsApi,
    request: &GroupsRequest,
    name: &str,
    limits: &mut RateLimitHeaders,
) -> Result<(), RocketChatError> {
    let key = format!("rocketchat {name} {}", request.peer);
    count_by(api, request, key, limits)
}

fn count_by(
    api: &GroupsApi,
    request: &GroupsRequest,
    key: String,
    limits: &mut RateLimitHeaders,
) -> Result<(), RocketChatError> {
    if api.settings.is_unlimited {
        return Ok(());
    }
    let left = api.windows.take(request.now, key, LIMIT);
    let wait = u64::try_from(left.wait.as_millis()).unwrap_or(u64::MAX);
    limits.push(("x-ratelimit-limit", LIMIT.requests.to_string()));
    limits.push(("x-ratelimit-remaining", left.requests.unwrap_or(0).to_string()));
    limits.push(("x-ratelimit-reset", (api.memberships.now().0 + wait).to_string()));
    left.requests.map(drop).ok_or_else(|| too_many(left.wait))
}

/// The response to a preflight that no listed origin has sent, as the real server has it.
pub(super) fn refuse_preflight(status: StatusCode) -> Response {
    let text = match status {
        StatusCode::FORBIDDEN => "Invalid origin",
        _ => "CORS not enabled. Go to \"Admin > General > REST Api\" to enable it.",
    };
    refuse(&RocketChatError(status.as_u16(), "", text.to_owned(), None))
}

/// The response to an address with too many failed logins.
pub(super) fn throttle(wait: Duration) -> Response {
    refuse(&too_many(wait))
}

fn too_many(wait: Duration) -> RocketChatError {
    let seconds = rounded_up(wait);
    let text = format!(
        "Error, too many requests. Please slow down. You must wait {seconds} seconds before \
         trying this endpoint again."
    );
    RocketChatError(429, "error-too-many-requests", text, None)
}

/// Reads fields from the query, or from the body: a form that is JSON by now, or JSON. Anything else
/// has no fields (contract 2.1).
fn fields(request: &GroupsRequest) -> BTreeMap<String, Value> {
    match (&request.context.method, &request.body) {
        (&Method::GET, _) => {
            request.query.iter().map(|(name, text)| (name.clone(), (**text).into())).collect()
        }
        (_, Ok(body)) => serde_json::from_slice(body).unwrap_or_default(),
        (_, Err(_)) => BTreeMap::new(),
    }
}

/// Checks the body of a kick as the latest server does (contract 2.1).
fn check_schema(fields: &BTreeMap<String, Value>) -> Result<(), RocketChatError> {
    let bad = |text: &str| Err(RocketChatError(400, "error-invalid-params", text.to_owned(), None));
    for (name, value) in fields {
        if !["roomId", "roomName", "userId", "username", "user"].contains(&&**name) {
            return bad("must NOT have additional properties");
        }
        if !value.is_string() {
            return bad("must be string");
        }
    }
    let rooms = ["roomId", "roomName"].iter().filter(|it| fields.contains_key(**it)).count();
    match rooms {
        0 => bad("must have required property 'roomId'"),
        1 => Ok(()),
        _ => bad("must match exactly one schema in oneOf"),
    }
}

fn no_room() -> RocketChatError {
    let text = "The required \"roomId\" or \"roomName\" param provided does not match any group";
    RocketChatError(400, "error-room-not-found", text.to_owned(), None)
}

/// Maps a refusal or failure to Rocket.Chat's error.
fn vendor_error(error: &GroupAskError, method: &'static str) -> RocketChatError {
    let refusal = match error {
        GroupAskError::Refused(refusal) => refusal,
        GroupAskError::Busy | GroupAskError::Failed => return broken(),
        GroupAskError::NotStored(error) => return error.clone().into(),
    };
    let (kind, text) = match refusal {
        Refusal::NoGroup | Refusal::OtherGroup | Refusal::NoAccess => return no_room(),
        Refusal::Closed => ("error-room-archived", "The private group is archived"),
        Refusal::ActorNotMember | Refusal::RankTooLow | Refusal::SelfTarget => {
            ("error-not-allowed", "Not allowed")
        }
        Refusal::TargetUnknown => {
            let text =
                "The required \"userId\" or \"username\" param provided does not match any users";
            return RocketChatError(400, "error-invalid-user", text.to_owned(), None);
        }
        Refusal::TargetNotMember | Refusal::NoApplication => {
            ("error-user-not-in-room", "User is not in this room")
        }
        Refusal::LastOwner => (
            "error-you-are-last-owner",
            "You are the last owner. Please set new owner before leaving the room.",
        ),
        Refusal::AlreadyMember => ("error-user-already-in-room", "User is in this room already"),
        Refusal::Banned => ("error-user-is-banned", "User is banned from this room"),
        Refusal::NotInvited | Refusal::HasOwner | Refusal::OwnsTooMany => {
            ("error-not-allowed", "Not allowed")
        }
        Refusal::Full => ("error-max-rooms-per-guest-reached", "The room is full"),
        Refusal::NameTaken => ("error-duplicate-channel-name", "A group of this name exists"),
    };
    RocketChatError(400, kind, text.to_owned(), Some(method).filter(|it| !it.is_empty()))
}
