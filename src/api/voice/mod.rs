//! The voice API: one set of handlers for both dialects (contracts 2 and 5).
//!
//! What differs between the dialects is in `plivo.rs` and `vobiz.rs`.

mod bans;
mod bodies;
mod calls;
mod deferred;
mod endpoints;
mod events;
mod kick;
mod members;
pub(super) mod openapi;
mod params;
pub(super) mod plivo;
mod rooms;
pub(super) mod vobiz;
mod warnings;

use std::sync::Arc;

use axum::{
    http::{HeaderMap, HeaderName, Method, StatusCode},
    response::Response,
};
use uuid::Uuid;

use self::{
    deferred::DeferredRequest,
    endpoints::{CallAction, MemberAction, VoiceEndpoint, VoiceResource},
};
pub use self::{plivo::PlivoForm, vobiz::VobizForm};
use super::{AppState, RequestContext, auth, body, failure::Failure, path, reply};
use crate::{
    base::{
        ids::{AccountId, Dialect, RoomKey},
        traceparent::Traceparent,
    },
    engine::registry::AskError,
};

/// The forms of answers, where a vendor has more than one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// `voice.plivo`.
    pub plivo: PlivoForm,
    /// `voice.vobiz`.
    pub vobiz: VobizForm,
}

/// Where a request of the voice API goes.
pub(super) struct VoiceRoute<'a> {
    pub(super) dialect: Dialect,
    /// As it stands in the path.
    pub(super) auth_id: &'a str,
    /// What follows `Account/{auth_id}/`.
    pub(super) below: &'a [&'a str],
    /// An empty name follows.
    pub(super) ends_nameless: bool,
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// `/v1/Account/{auth_id}/…` and `/api/v1/Account/{auth_id}/…`
pub(super) async fn answer(
    state: &Arc<AppState>,
    route: &VoiceRoute<'_>,
    context: RequestContext<'_>,
) -> Result<Response, Failure> {
    let resource = VoiceResource::find(route.below).ok_or(Failure::NoRoute)?;
    if *context.method == Method::OPTIONS {
        return Ok(reply::options(resource.allow()));
    }
    let account = &auth::admit(state, route.auth_id, &context)?;
    let limit = state.requests.as_ref();
    let check = limit.map_or(Ok(()), |limit| limit.take(context.now, account));
    check.map_err(|wait| Failure::TooFast { wait })?;
    let wrong_method = || Failure::WrongMethod { allow: resource.allow() };
    let endpoint = resource.endpoint(context.method).ok_or_else(wrong_method)?;

    let RequestContext {
        api_id, trace, principal, peer, path, query, headers, body, method, ..
    } = context;
    let body = body::read(body).await?;
    let defer = |route: &VoiceRoute<'_>| DeferredRequest {
        state: state.clone(),
        dialect: route.dialect,
        api_id,
        trace,
        principal: principal.get().cloned(),
        peer,
        account: account.clone(),
        method: method.clone(),
        path: path.to_owned(),
        below: route.below.iter().map(|it| (*it).to_owned()).collect(),
        ends_nameless: route.ends_nameless,
        query: query.to_owned(),
        headers: headers.clone(),
        body: body.clone(),
    };
    // A recording's callback is told of the recording, and a stream of events has no end.
    let answers_itself = matches!(
        endpoint,
        VoiceEndpoint::Call { action: CallAction::Record, .. }
            | VoiceEndpoint::Record
            | VoiceEndpoint::Events
    );
    if !answers_itself && let Some(hook) = deferred::callback(route.dialect, method, query, &body)?
    {
        return Ok(defer(route).answer_later(hook));
    }
    if (*method == Method::POST || *method == Method::DELETE)
        && let Some(key) = headers.get(&IDEMPOTENCY_KEY)
    {
        // In a box, as all that is rare: it is no part of what every request carries along.
        return Box::pin(defer(route).answer_once(key)).await;
    }
    let client = ApiClient { state, dialect: route.dialect, api_id, trace, account };
    perform(&client, endpoint, route.ends_nameless, query, headers, &body).await
}

async fn perform(
    client: &ApiClient<'_>,
    endpoint: VoiceEndpoint<'_>,
    ends_nameless: bool,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Failure> {
    match endpoint {
        VoiceEndpoint::Bans { name, id } => bans::show(client, name, id),
        VoiceEndpoint::Call { id, action } => {
            calls::serve(client, id, action, query, headers, body).await
        }
        VoiceEndpoint::Cancel { id } => calls::cancel(client, id).await,
        VoiceEndpoint::Events => events::serve(client, query, headers),
        // A client whose name is empty does not mean all of them.
        VoiceEndpoint::HangUpAll if ends_nameless => Err(AskError::Gone.into()),
        VoiceEndpoint::HangUpAll => rooms::hang_up_all(client).await,
        VoiceEndpoint::HangUpRoom { name } => rooms::hang_up(client, name).await,
        VoiceEndpoint::LiftBans { name, id } => bans::lift(client, name, id).await,
        VoiceEndpoint::List => Ok(rooms::list(client)),
        VoiceEndpoint::ListCalls => calls::list(client, query),
        VoiceEndpoint::MakeCall => calls::make::serve(client, headers, body),
        VoiceEndpoint::Members { name, who, action } => {
            members::serve(client, (name, who), action, query, headers, body).await
        }
        VoiceEndpoint::Record => Err(Failure::NotImplemented("recording is not implemented yet")),
        VoiceEndpoint::Show { name } => rooms::show(client, name).await,
    }
}

/// Who asks, and how.
struct ApiClient<'a> {
    state: &'a AppState,
    dialect: Dialect,
    api_id: Uuid,
    trace: Traceparent,
    account: &'a AccountId,
}

impl ApiClient<'_> {
    /// A name that no conference can have is that of none.
    fn key(&self, segment: &str) -> Result<RoomKey, AskError> {
        let name = path::decode(segment).and_then(|name| name.parse().ok());
        Ok(RoomKey { account: self.account.clone(), name: name.ok_or(AskError::Gone)? })
    }

    fn success_reply(&self, action: MemberAction) -> SuccessReply {
        let settings = self.state.voice;
        match self.dialect {
            Dialect::Plivo => plivo::success_reply(settings.plivo, action),
            Dialect::Vobiz => vobiz::success_reply(settings.vobiz, action),
        }
    }
}

/// How a success is told.
enum SuccessReply {
    /// 204.
    NoContent,
    /// A body.
    Body { status: StatusCode, message: &'static str, form: MemberIdForm },
}

/// How `member_id` is written.
#[derive(Clone, Copy)]
enum MemberIdForm {
    /// `["10","15"]`
    Array,
    /// `"10,15"`
    Text,
}
