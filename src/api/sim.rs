//! The simulated phones: dial in, look, press, talk, hold, hang up. There only if they are on.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, Method, StatusCode},
    response::Response,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Desk, Visit, auth, body, failure::Failure, path, reply};
use crate::{
    base::ids::{AccountId, CallId},
    sim_phones::{Dial, DialError, Keys, PhoneError, Sim, Whole},
};

/// `/sim/v1/Account/{auth_id}/Phone/…`
pub(super) async fn answer(
    desk: &Desk,
    phones: &Arc<Sim>,
    auth_id: &str,
    below: &[&str],
    visit: Visit<'_>,
) -> Result<Response, Failure> {
    let place = Place::find(below).ok_or(Failure::NoRoute)?;
    let allow = place.allow();
    if *visit.method == Method::OPTIONS {
        return Ok(reply::options(allow));
    }
    let account = &auth::admit(desk, auth_id, &visit)?;
    if !allow.split(", ").any(|method| method == visit.method.as_str()) {
        return Err(Failure::WrongMethod { allow });
    }

    let Visit { api_id, headers, body, method, .. } = visit;
    let body = body::read(body).await?;
    let request = Request { phones, account, api_id, headers, body: &body };
    match place {
        Place::Deed { call, deed: Deed::Hold } => hold(&request, call),
        Place::Deed { call, deed: Deed::Press } => press(&request, call),
        Place::Deed { call, deed: Deed::Talk } => talk(&request, call),
        Place::Phone { call } if *method == Method::DELETE => hang_up(&request, call),
        Place::Phone { call } => show(&request, call),
        Place::Phones => dial(desk, &request),
    }
}

/// What a path names, below `Account/{auth_id}/Phone/`.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// `{call_uuid}/Press/` and the like
    Deed { call: &'a str, deed: Deed },
    /// `{call_uuid}/`
    Phone { call: &'a str },
    /// Nothing more.
    Phones,
}

#[derive(Clone, Copy)]
enum Deed {
    Hold,
    Press,
    Talk,
}

impl<'a> Place<'a> {
    fn find(below: &[&'a str]) -> Option<Self> {
        Some(match *below {
            [] => Self::Phones,
            [call] => Self::Phone { call },
            [call, "Hold"] => Self::Deed { call, deed: Deed::Hold },
            [call, "Press"] => Self::Deed { call, deed: Deed::Press },
            [call, "Talk"] => Self::Deed { call, deed: Deed::Talk },
            _ => return None,
        })
    }

    fn allow(&self) -> &'static str {
        match self {
            Self::Deed { .. } | Self::Phones => "POST",
            Self::Phone { .. } => "GET, HEAD, DELETE",
        }
    }
}

/// A request with all that has been found out about it.
struct Request<'a> {
    phones: &'a Sim,
    account: &'a AccountId,
    api_id: Uuid,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Request<'_> {
    fn accepted(&self, message: &'static str) -> Response {
        reply::json(StatusCode::ACCEPTED, &Accepted { message, api_id: self.api_id })
    }
}

#[derive(Serialize)]
struct Accepted {
    message: &'static str,
    api_id: Uuid,
}

/// `POST Phone/`
fn dial(desk: &Desk, request: &Request<'_>) -> Result<Response, Failure> {
    #[derive(Serialize)]
    struct Dialled {
        call_uuid: CallId,
    }

    let dial: Dial = body::parse(request.headers, request.body)?;
    if !desk.reception.is_open() {
        let text = "the engine is shutting down, and takes no new calls";
        return Err(Failure::Unavailable(text.to_owned()));
    }
    let dialled = request.phones.dial(request.account, dial);
    let call_uuid = dialled.map_err(|error| {
        let text = error.to_string();
        match error {
            DialError::Bad(_) => Failure::Bad(text),
            DialError::NoFlow(_) => Failure::Missing(text.into()),
            DialError::TooManyPhones { .. } | DialError::Unconnected => Failure::Unavailable(text),
        }
    })?;
    Ok(reply::json(StatusCode::CREATED, &Dialled { call_uuid }))
}

/// `GET Phone/{call_uuid}/`
fn show(request: &Request<'_>, call: &str) -> Result<Response, Failure> {
    let record = request.phones.record(request.account, id(call)?).map_err(refused)?;
    Ok(reply::json(StatusCode::OK, &record))
}

/// `DELETE Phone/{call_uuid}/`
fn hang_up(request: &Request<'_>, call: &str) -> Result<Response, Failure> {
    request.phones.hang_up(request.account, id(call)?).map_err(refused)?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// `POST Phone/{call_uuid}/Press/`
fn press(request: &Request<'_>, call: &str) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Press {
        digits: Keys,
    }

    let Press { digits } = body::parse(request.headers, request.body)?;
    let pressed = request.phones.press(request.account, id(call)?, &digits.to_string());
    pressed.map_err(refused)?;
    Ok(request.accepted("keys are pressed"))
}

/// `POST Phone/{call_uuid}/Talk/`
fn talk(request: &Request<'_>, call: &str) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Talk {
        ms: Whole,
    }

    let Talk { ms: Whole(ms) } = body::parse(request.headers, request.body)?;
    request.phones.talk(request.account, id(call)?, ms).map_err(refused)?;
    Ok(request.accepted("talks"))
}

/// `POST Phone/{call_uuid}/Hold/`
fn hold(request: &Request<'_>, call: &str) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Hold {
        on: bool,
    }

    let Hold { on } = body::parse(request.headers, request.body)?;
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
        PhoneError::Ended => Failure::Over(text),
        PhoneError::TooManyKeys { .. } => Failure::Unavailable(text),
        PhoneError::Unknown => Failure::Missing(text.into()),
    }
}
