//! The voice API: one set of handlers for the conferences of both dialects (contract 2).
//!
//! What differs between the dialects is in `plivo.rs` and `vobiz.rs`.

mod bodies;
mod members;
mod place;
pub(super) mod plivo;
mod rooms;
pub(super) mod vobiz;

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use uuid::Uuid;

use self::place::{Endpoint, Place, Wish};
pub use self::{plivo::PlivoForm, vobiz::VobizForm};
use super::{Desk, Visit, auth, body, failure::Failure, path, reply};
use crate::{
    actor::house::AskError,
    ids::{AccountId, Dialect, RoomKey},
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

/// `/v1/Account/{auth_id}/…` and `/api/v1/Account/{auth_id}/…`
pub(super) async fn answer(
    desk: &Desk,
    site: &Site<'_>,
    visit: Visit<'_>,
) -> Result<Response, Failure> {
    let place = Place::find(site.below).ok_or(Failure::NoRoute)?;
    if *visit.method == Method::OPTIONS {
        return Ok(reply::options(place.allow()));
    }
    let account = auth::admit(desk, site.auth_id, &visit)?;
    let limit = desk.requests.as_ref();
    let check = limit.map_or(Ok(()), |limit| limit.take(visit.now, account));
    check.map_err(|wait| Failure::TooFast { wait })?;
    let wrong_method = || Failure::WrongMethod { allow: place.allow() };
    let endpoint = place.endpoint(visit.method).ok_or_else(wrong_method)?;

    let Visit { api_id, headers, body, .. } = visit;
    let body = body::read(body).await?;
    let asker = Asker { desk, dialect: site.dialect, api_id, account };
    match endpoint {
        // A client whose name is empty does not mean all of them.
        Endpoint::HangUpAll if site.ends_nameless => Err(AskError::Gone.into()),
        Endpoint::HangUpAll => rooms::hang_up_all(&asker).await,
        Endpoint::HangUpRoom { name } => rooms::hang_up(&asker, name).await,
        Endpoint::List => Ok(rooms::list(&asker)),
        Endpoint::Members { name, who, wish } => {
            members::serve(&asker, name, who, wish, headers, &body).await
        }
        Endpoint::Record => Err(Failure::NotImplemented("recording is not implemented yet")),
        Endpoint::Show { name } => rooms::show(&asker, name).await,
    }
}

/// Who asks, and how.
struct Asker<'a> {
    desk: &'a Desk,
    dialect: Dialect,
    api_id: Uuid,
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
