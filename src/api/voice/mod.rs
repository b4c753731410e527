//! The voice API: one set of handlers for both dialects (contracts 2 and 5).
//!
//! What differs between the dialects is in `plivo.rs` and `vobiz.rs`.

mod bans;
mod bodies;
mod calls;
pub(super) mod deferred;
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

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{FromRequestParts, Path},
    http::{StatusCode, request::Parts},
};
use uuid::Uuid;

pub(super) use self::endpoints::ENDPOINTS;
use self::{members::MemberAction, params::RequestParams};
pub use super::forms::{PlivoForm, Settings, VobizForm};
use super::{
    AppState, Links,
    context::{Context, RequestContext},
    failure::Failure,
};
use crate::{
    base::{
        ids::{AccountId, Dialect, RoomKey},
        traceparent::Traceparent,
    },
    engine::registry::AskError,
};

/// The account's id, which has been looked at, and what a path names below the account.
type InAccount = Path<(String, String)>;

/// As above, with a conference and something of it.
type InConference = Path<(String, String, String)>;

/// The account that asks, and what its request has beside parameters.
struct ApiClient {
    state: Arc<AppState>,
    dialect: Dialect,
    api_id: Uuid,
    trace: Traceparent,
    account: AccountId,
    context: Arc<RequestContext>,
}

impl FromRequestParts<Links> for ApiClient {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, links: &Links) -> Result<Self, Infallible> {
        let Ok(Context(context)) = Context::from_request_parts(parts, links).await;
        let principal = context.principal.get().expect("only accounts are let in");
        let (dialect, account) = (context.dialect.voice(), principal.account.clone());
        let RequestContext { api_id, trace, .. } = *context;
        Ok(Self { state: links.app.clone(), dialect, api_id, trace, account, context })
    }
}

impl ApiClient {
    /// A text that is no conference's name names a conference that is not there.
    fn key(&self, name: &str) -> Result<RoomKey, AskError> {
        let name = name.parse().map_err(|_| AskError::Gone)?;
        Ok(RoomKey { account: self.account.clone(), name })
    }

    /// The parameters in a body that must be JSON, if there is one.
    fn params(&self, body: &[u8]) -> Result<RequestParams, Failure> {
        RequestParams::of_body(&self.context.headers, body)
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
