//! Endpoints of the simulated phones: dial in, show, press, talk, hold, hang up.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    body,
    context::{HandlerState, PathNames, RequestBody, RequestContext},
    endpoint::{DELETE, Documented::Here, Endpoint, POST, handler},
    failure::Failure,
    openapi, reply,
};
use crate::{
    base::ids::{AccountId, CallId},
    sim_phones::{Dial, DialError, PhoneError, PressedKeys, SimPhones, WholeNumber},
};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::changes(POST, "", handler!(dial), Here(openapi::sim::dial)),
    Endpoint::reads("/{call_uuid}", handler!(show), Here(openapi::sim::show)),
    Endpoint::changes(DELETE, "/{call_uuid}", handler!(hang_up), Here(openapi::sim::hang_up)),
    Endpoint::changes(POST, "/{call_uuid}/Hold", handler!(hold), Here(openapi::sim::hold)),
    Endpoint::changes(POST, "/{call_uuid}/Press", handler!(press), Here(openapi::sim::press)),
    Endpoint::changes(POST, "/{call_uuid}/Talk", handler!(talk), Here(openapi::sim::talk)),
];

/// The account that asks, and its phones.
struct SimClient {
    phones: Arc<SimPhones>,
    account: AccountId,
    context: Arc<RequestContext>,
}

impl FromRequestParts<HandlerState> for SimClient {
    type Rejection = Failure;

    async fn from_request_parts(_: &mut Parts, state: &HandlerState) -> Result<Self, Failure> {
        let HandlerState { links, context, .. } = state;
        let phones = links.app.phones.clone().ok_or(Failure::NoRoute)?;
        let principal = context.principal.get().expect("only accounts are let in");
        Ok(Self { phones, account: principal.account.clone(), context: context.clone() })
    }
}

impl SimClient {
    fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Failure> {
        body::parse(&self.context.headers, body)
    }

    fn accepted(&self, message: &'static str) -> Response {
        let api_id = self.context.api_id;
        reply::json(StatusCode::ACCEPTED, &SimAccepted { message, api_id })
    }
}

/// A phone's call.
type AtPhone = PathNames<1>;

#[derive(Serialize)]
struct SimAccepted {
    message: &'static str,
    api_id: Uuid,
}

/// `POST Phone/`: a phone dials in.
async fn dial(client: SimClient, RequestBody(body): RequestBody) -> Result<Response, Failure> {
    #[derive(Serialize)]
    struct DialReply {
        call_uuid: CallId,
    }

    let dial: Dial = client.parse(&body)?;
    let dialled = client.phones.dial(&client.account, dial);
    let call_uuid = dialled.map_err(|error| {
        let text = error.to_string();
        match error {
            DialError::Bad(_) => Failure::Bad(text),
            DialError::NoFlow(it) if it.is_temporary => Failure::Unavailable(text),
            DialError::NoFlow(_) => Failure::NotFound(text.into()),
            DialError::TooManyPhones { .. } | DialError::Unconnected => Failure::Unavailable(text),
        }
    })?;
    Ok(reply::json(StatusCode::CREATED, &DialReply { call_uuid }))
}

/// `GET Phone/{call_uuid}/`: its state and what it has heard.
async fn show(client: SimClient, PathNames([call]): AtPhone) -> Result<Response, Failure> {
    let phone = client.phones.details(&client.account, id(&call)?).map_err(refused)?;
    Ok(reply::json(StatusCode::OK, &phone))
}

/// `DELETE Phone/{call_uuid}/`: the phone hangs up.
async fn hang_up(client: SimClient, PathNames([call]): AtPhone) -> Result<Response, Failure> {
    client.phones.hang_up(&client.account, id(&call)?).map_err(refused)?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// `POST Phone/{call_uuid}/Press/`: the phone presses keys.
async fn press(
    client: SimClient,
    PathNames([call]): AtPhone,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct PressParams {
        digits: PressedKeys,
    }

    let PressParams { digits } = client.parse(&body)?;
    let pressed = client.phones.press(&client.account, id(&call)?, &digits.to_string());
    pressed.map_err(refused)?;
    Ok(client.accepted("keys are pressed"))
}

/// `POST Phone/{call_uuid}/Talk/`: the phone talks for a while.
async fn talk(
    client: SimClient,
    PathNames([call]): AtPhone,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct TalkParams {
        ms: WholeNumber,
    }

    let TalkParams { ms: WholeNumber(ms) } = client.parse(&body)?;
    client.phones.talk(&client.account, id(&call)?, ms).map_err(refused)?;
    Ok(client.accepted("talks"))
}

/// `POST Phone/{call_uuid}/Hold/`: puts the engine on hold, or back.
async fn hold(
    client: SimClient,
    PathNames([call]): AtPhone,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct HoldParams {
        on: bool,
    }

    let HoldParams { on } = client.parse(&body)?;
    client.phones.hold(&client.account, id(&call)?, on).map_err(refused)?;
    Ok(client.accepted(if on { "holds" } else { "holds no longer" }))
}

/// A text that is not an id names no phone.
fn id(text: &str) -> Result<CallId, Failure> {
    text.parse().map_err(|_| refused(PhoneError::Unknown))
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
