//! The simulated phones: dial in, look, press, talk, hold, hang up. There only if they are on.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, Method, StatusCode},
    response::Response,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AppState, RequestContext, auth, body, failure::Failure, path, reply};
use crate::{
    base::ids::{AccountId, CallId},
    sim_phones::{Dial, DialError, PhoneError, PressedKeys, SimPhones, WholeNumber},
};

/// `/sim/v1/Account/{auth_id}/Phone/…`
pub(super) async fn answer(
    state: &AppState,
    phones: &Arc<SimPhones>,
    auth_id: &str,
    below: &[&str],
    context: RequestContext<'_>,
) -> Result<Response, Failure> {
    let resource = PhoneResource::find(below).ok_or(Failure::NoRoute)?;
    let allow = resource.allow();
    if *context.method == Method::OPTIONS {
        return Ok(reply::options(allow));
    }
    let account = &auth::admit(state, auth_id, &context)?;
    if !allow.split(", ").any(|method| method == context.method.as_str()) {
        return Err(Failure::WrongMethod { allow });
    }

    let RequestContext { api_id, headers, body, method, .. } = context;
    let body = body::read(body).await?;
    let request = SimRequest { phones, account, api_id, headers, body: &body };
    match resource {
        PhoneResource::Action { call, action: PhoneSubresource::Hold } => hold(&request, call),
        PhoneResource::Action { call, action: PhoneSubresource::Press } => press(&request, call),
        PhoneResource::Action { call, action: PhoneSubresource::Talk } => talk(&request, call),
        PhoneResource::Phone { call } if *method == Method::DELETE => hang_up(&request, call),
        PhoneResource::Phone { call } => show(&request, call),
        PhoneResource::Phones => dial(state, &request),
    }
}

/// What a path names, below `Account/{auth_id}/Phone/`.
#[derive(Clone, Copy)]
enum PhoneResource<'a> {
    /// `{call_uuid}/Press/` and the like
    Action { call: &'a str, action: PhoneSubresource },
    /// `{call_uuid}/`
    Phone { call: &'a str },
    /// Nothing more.
    Phones,
}

#[derive(Clone, Copy)]
enum PhoneSubresource {
    Hold,
    Press,
    Talk,
}

impl<'a> PhoneResource<'a> {
    fn find(below: &[&'a str]) -> Option<Self> {
        Some(match *below {
            [] => Self::Phones,
            [call] => Self::Phone { call },
            [call, "Hold"] => Self::Action { call, action: PhoneSubresource::Hold },
            [call, "Press"] => Self::Action { call, action: PhoneSubresource::Press },
            [call, "Talk"] => Self::Action { call, action: PhoneSubresource::Talk },
            _ => return None,
        })
    }

    fn allow(&self) -> &'static str {
        match self {
            Self::Action { .. } | Self::Phones => "POST",
            Self::Phone { .. } => "GET, HEAD, DELETE",
        }
    }
}

/// A request with all that has been found out about it.
struct SimRequest<'a> {
    phones: &'a SimPhones,
    account: &'a AccountId,
    api_id: Uuid,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl SimRequest<'_> {
    fn accepted(&self, message: &'static str) -> Response {
        reply::json(StatusCode::ACCEPTED, &SimAccepted { message, api_id: self.api_id })
    }
}

#[derive(Serialize)]
struct SimAccepted {
    message: &'static str,
    api_id: Uuid,
}

/// `POST Phone/`
fn dial(state: &AppState, request: &SimRequest<'_>) -> Result<Response, Failure> {
    #[derive(Serialize)]
    struct DialReply {
        call_uuid: CallId,
    }

    let dial: Dial = body::parse(request.headers, request.body)?;
    if !state.inbound.is_open() {
        let text = "the engine is shutting down, and takes no new calls";
        return Err(Failure::Unavailable(text.to_owned()));
    }
    let dialled = request.phones.dial(request.account, dial);
    let call_uuid = dialled.map_err(|error| {
        let text = error.to_string();
        match error {
            DialError::Bad(_) => Failure::Bad(text),
            DialError::NoFlow(_) => Failure::NotFound(text.into()),
            DialError::TooManyPhones { .. } | DialError::Unconnected => Failure::Unavailable(text),
        }
    })?;
    Ok(reply::json(StatusCode::CREATED, &DialReply { call_uuid }))
}

/// `GET Phone/{call_uuid}/`
fn show(request: &SimRequest<'_>, call: &str) -> Result<Response, Failure> {
    let phone = request.phones.details(request.account, id(call)?).map_err(refused)?;
    Ok(reply::json(StatusCode::OK, &phone))
}

/// `DELETE Phone/{call_uuid}/`
fn hang_up(request: &SimRequest<'_>, call: &str) -> Result<Response, Failure> {
    request.phones.hang_up(request.account, id(call)?).map_err(refused)?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// `POST Phone/{call_uuid}/Press/`
fn press(request: &SimRequest<'_>, call: &str) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct PressParams {
        digits: PressedKeys,
    }

    let PressParams { digits } = body::parse(request.headers, request.body)?;
    let pressed = request.phones.press(request.account, id(call)?, &digits.to_string());
    pressed.map_err(refused)?;
    Ok(request.accepted("keys are pressed"))
}

/// `POST Phone/{call_uuid}/Talk/`
fn talk(request: &SimRequest<'_>, call: &str) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct TalkParams {
        ms: WholeNumber,
    }

    let TalkParams { ms: WholeNumber(ms) } = body::parse(request.headers, request.body)?;
    request.phones.talk(request.account, id(call)?, ms).map_err(refused)?;
    Ok(request.accepted("talks"))
}

/// `POST Phone/{call_uuid}/Hold/`
fn hold(request: &SimRequest<'_>, call: &str) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct HoldParams {
        on: bool,
    }

    let HoldParams { on } = body::parse(request.headers, request.body)?;
    request.phones.hold(request.account, id(call)?, on).map_err(refused)?;
    Ok(request.accepted(if on { "holds" } else { "holds no longer" }))
}

/// What is no id is that of no phone.
fn id(segment: &str) -> Result<CallId, Failure> {
    let call = path::decode(segment).and_then(|it| it.parse().ok());
    call.ok_or_else(|| refused(PhoneError::Unknown))
}

fn refused(error: PhoneError) -> Failure {
    let text = error.to_string();
    match error {
        PhoneError::BadKeys(_) => Failure::Bad(text),
        PhoneError::Ended => Failure::Conflict(text),
        PhoneError::TooManyKeys { .. } => Failure::Unavailable(text),
        PhoneError::Unknown => Failure::NotFound(text.into()),
    }
}
