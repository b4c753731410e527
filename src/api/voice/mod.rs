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
    deferred::Job,
    endpoints::{CallWish, Endpoint, Place, Wish},
};
pub use self::{plivo::PlivoForm, vobiz::VobizForm};
use super::{Desk, Visit, auth, body, failure::Failure, path, reply};
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
pub(super) struct Site<'a> {
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
    desk: &Arc<Desk>,
    site: &Site<'_>,
    visit: Visit<'_>,
) -> Result<Response, Failure> {
    let place = Place::find(site.below).ok_or(Failure::NoRoute)?;
    if *visit.method == Method::OPTIONS {
        return Ok(reply::options(place.allow()));
    }
    let account = &auth::admit(desk, site.auth_id, &visit)?;
    let limit = desk.requests.as_ref();
    let check = limit.map_or(Ok(()), |limit| limit.take(visit.now, account));
    check.map_err(|wait| Failure::TooFast { wait })?;
    let wrong_method = || Failure::WrongMethod { allow: place.allow() };
    let endpoint = place.endpoint(visit.method).ok_or_else(wrong_method)?;

    let Visit { api_id, trace, trail, peer, path, query, headers, body, method, .. } = visit;
    let body = body::read(body).await?;
    let job = |site: &Site<'_>| Job {
        desk: desk.clone(),
        dialect: site.dialect,
        api_id,
        trace,
        who: trail.who().cloned(),
        peer,
        account: account.clone(),
        method: method.clone(),
        path: path.to_owned(),
        below: site.below.iter().map(|it| (*it).to_owned()).collect(),
        ends_nameless: site.ends_nameless,
        query: query.to_owned(),
        headers: headers.clone(),
        body: body.clone(),
    };
    // A recording's callback is told of the recording, and a stream of events has no end.
    let answers_itself = matches!(
        endpoint,
        Endpoint::Call { wish: CallWish::Record, .. } | Endpoint::Record | Endpoint::Events
    );
    if !answers_itself && let Some(hook) = deferred::callback(site.dialect, method, query, &body)? {
        return Ok(job(site).answer_later(hook));
    }
    if (*method == Method::POST || *method == Method::DELETE)
        && let Some(key) = headers.get(&IDEMPOTENCY_KEY)
    {
        // In a box, as all that is rare: it is no part of what every request carries along.
        return Box::pin(job(site).answer_once(key)).await;
    }
    let asker = Asker { desk, dialect: site.dialect, api_id, trace, account };
    perform(&asker, endpoint, site.ends_nameless, query, headers, &body).await
}

async fn perform(
    asker: &Asker<'_>,
    endpoint: Endpoint<'_>,
    ends_nameless: bool,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Failure> {
    match endpoint {
        Endpoint::Bans { name, id } => bans::show(asker, name, id),
        Endpoint::Call { id, wish } => calls::serve(asker, id, wish, query, headers, body).await,
        Endpoint::Cancel { id } => calls::cancel(asker, id).await,
        Endpoint::Events => events::serve(asker, query, headers),
        // A client whose name is empty does not mean all of them.
        Endpoint::HangUpAll if ends_nameless => Err(AskError::Gone.into()),
        Endpoint::HangUpAll => rooms::hang_up_all(asker).await,
        Endpoint::HangUpRoom { name } => rooms::hang_up(asker, name).await,
        Endpoint::LiftBans { name, id } => bans::lift(asker, name, id).await,
        Endpoint::List => Ok(rooms::list(asker)),
        Endpoint::ListCalls => calls::list(asker, query),
        Endpoint::MakeCall => calls::make::serve(asker, headers, body),
        Endpoint::Members { name, who, wish } => {
            members::serve(asker, (name, who), wish, query, headers, body).await
        }
        Endpoint::Record => Err(Failure::NotImplemented("recording is not implemented yet")),
        Endpoint::Show { name } => rooms::show(asker, name).await,
    }
}

/// Who asks, and how.
struct Asker<'a> {
    desk: &'a Desk,
    dialect: Dialect,
    api_id: Uuid,
    trace: Traceparent,
    account: &'a AccountId,
}

impl Asker<'_> {
    /// A name that no conference can have is that of none.
    fn key(&self, segment: &str) -> Result<RoomKey, AskError> {
        let name = path::decode(segment).and_then(|name| name.parse().ok());
        Ok(RoomKey { account: self.account.clone(), name: name.ok_or(AskError::Gone)? })
    }

    fn manner(&self, wish: Wish) -> Manner {
        let settings = self.desk.voice;
        match self.dialect {
            Dialect::Plivo => plivo::manner(settings.plivo, wish),
            Dialect::Vobiz => vobiz::manner(settings.vobiz, wish),
        }
    }
}

/// How a success is told.
enum Manner {
    /// 204.
    Silent,
    /// A body.
    Spoken { status: StatusCode, message: &'static str, form: Form },
}

/// How `member_id` is written.
#[derive(Clone, Copy)]
enum Form {
    /// `["10","15"]`
    Array,
    /// `"10,15"`
    Text,
}
