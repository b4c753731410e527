//! The voice API: one set of handlers for both dialects (contracts 2 and 5).
//!
//! The differences between the dialects are in `plivo.rs` and `vobiz.rs`.

mod account;
mod applications;
mod bans;
mod bodies;
mod callback_jobs;
mod calls;
pub(super) mod deferred;
mod deliveries;
mod endpoints;
mod events;
mod kick;
mod member_action;
mod members;
pub(super) mod openapi;
mod params;
pub(super) mod plivo;
mod provisioning;
mod record;
mod recordings;
mod rooms;
mod sip_endpoints;
pub(super) mod vobiz;
mod warnings;

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};
use tokio::time::Instant;
use uuid::Uuid;

pub use self::calls::invite::member_terms;
pub(super) use self::endpoints::ENDPOINTS;
use self::{deferred::stored, member_action::MemberAction, params::RequestParams};
pub use super::forms::{PlivoForm, Settings, VobizForm};
use super::{
    AppState,
    context::{HandlerState, KeyedRequest, PathNames, RequestContext},
    failure::Failure,
};
use crate::{
    accounts::validity::CredentialValidity,
    base::{
        ids::{AccountId, Dialect, RoomKey},
        traceparent::Traceparent,
    },
    conference::ConferenceAnswer,
    engine::{
        recorder::{AskedBy, Receipt},
        registry::AskError,
    },
    store::rows::RowWrite,
};

/// One name below the account.
type InAccount = PathNames<1>;

/// A conference's name, and members or a ban of it.
type InConference = PathNames<2>;

/// The account that sends a request, and the state that handlers use.
struct ApiClient {
    state: Arc<AppState>,
    dialect: Dialect,
    api_id: Uuid,
    trace: Traceparent,
    account: AccountId,
    context: Arc<RequestContext>,
    /// None: the answer need not be written with the change.
    keyed: Option<KeyedRequest>,
}

impl FromRequestParts<HandlerState> for ApiClient {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &HandlerState) -> Result<Self, Infallible> {
        let HandlerState { links, context, keyed, .. } = state;
        let principal = context.principal.get().expect("only accounts are let in");
        let (dialect, account) = (context.dialect.voice(), principal.account.clone());
        let RequestContext { api_id, trace, .. } = **context;
        let (state, context, keyed) = (links.app.clone(), context.clone(), keyed.clone());
        Ok(Self { state, dialect, api_id, trace, account, context, keyed })
    }
}

impl ApiClient {
    /// What a stream of this client depends on.
    fn validity(&self) -> CredentialValidity {
        self.context.principal.get().expect("only accounts are let in").validity()
    }

    /// A text that cannot be a conference's name is answered as an unknown conference.
    fn key(&self, name: &str) -> Result<RoomKey, AskError> {
        let name = name.parse().map_err(|_| AskError::Gone)?;
        Ok(RoomKey { account: self.account.clone(), name })
    }

    /// The ask of a request whose answer is made of the room's.
    fn asks<F>(&self, answer: impl FnOnce() -> F) -> AskedBy
    where
        F: Fn(&ConferenceAnswer) -> Response + Send + Sync + 'static,
    {
        let receipt = self.keyed.as_ref().map(|keyed| {
            let answer = answer();
            let answer = move |it: Option<&ConferenceAnswer>| it.map(&answer).unwrap_or_default();
            Receipt::new(keyed.answer, move |it| stored(answer(it)).to_bytes())
        });
        AskedBy { api_id: Some(self.api_id), receipt }
    }

    /// An answer that does not depend on the change, and what its turn writes.
    fn receipt(&self, answer: Response) -> (Response, Option<Receipt>) {
        let Some(keyed) = &self.keyed else { return (answer, None) };
        let answer = stored(answer);
        let bytes = answer.to_bytes();
        (Response::from(&answer), Some(Receipt::new(keyed.answer, move |_| bytes.clone())))
    }

    /// An answer, and its write for the transaction of the change.
    fn row(&self, answer: Response) -> (Response, Option<RowWrite>) {
        let request = self.keyed.as_ref().and_then(|it| it.request.as_ref());
        let Some(key) = request else { return (answer, None) };
        let (answer, now) = (stored(answer), Instant::now().into_std());
        let write = self.state.idempotency_keys.write_of(now, key, &answer);
        (Response::from(&answer), write)
    }

    /// The parameters in a body. One that is not empty must be JSON.
    fn params(&self, body: &[u8]) -> Result<RequestParams, Failure> {
        RequestParams::of_body(&self.context.headers, body)
    }

    fn success_reply(&self, action: MemberAction) -> SuccessReply {
        let settings = self.state.voice;
        match self.dialect {
            Dialect::Plivo => {
                let form = settings.plivo.for_client(&self.context.headers);
                plivo::success_reply(form, action)
            }
            Dialect::Vobiz => vobiz::success_reply(settings.vobiz, action),
        }
    }
}

/// A dialect's answer to a successful action.
#[derive(Clone, Copy)]
enum SuccessReply {
    /// 204 without a body.
    NoContent,
    /// This status, with a JSON body.
    Body { status: StatusCode, message: &'static str, form: MemberIdForm },
}

/// The JSON type of `member_id`.
#[derive(Clone, Copy)]
enum MemberIdForm {
    /// An array such as `["10","15"]`.
    Array,
    /// One or the other: only in descriptions, since an answer has one client.
    ByClient,
    /// A string such as `"10,15"`.
    Text,
}
