//! Endpoints of bans: `Conference/{name}/Ban/[{id}/]`. An extension.

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::{ApiClient, InAccount, InConference, bodies::AsText, members::member_id};
use crate::{
    api::{context::PathNames, failure::Failure, reply},
    base::{
        ids::{MemberId, RoomKey},
        utc,
    },
    conference::ban_list::RoomBan,
    engine::ban_list::BanCommit,
};

/// `GET Conference/{name}/Ban/`
pub(super) async fn list(
    client: ApiClient,
    PathNames([name]): InAccount,
) -> Result<Response, Failure> {
    let bans = bans(&client, &client.key(&name)?);
    let bans = bans.iter().map(BanEntry::from).collect();
    Ok(reply::json(StatusCode::OK, &BanListBody { api_id: client.api_id, bans }))
}

/// `GET Conference/{name}/Ban/{id}/`
pub(super) async fn show(
    client: ApiClient,
    PathNames([name, id]): InConference,
) -> Result<Response, Failure> {
    let (bans, id) = (bans(&client, &client.key(&name)?), member_id(&id));
    let ban = bans.iter().find(|ban| Some(ban.id) == id).ok_or_else(no_ban)?;
    Ok(reply::json(StatusCode::OK, &BanBody { ban: ban.into(), api_id: client.api_id }))
}

/// `DELETE Conference/{name}/Ban/`
pub(super) async fn lift_all(
    client: ApiClient,
    PathNames([name]): InAccount,
) -> Result<Response, Failure> {
    let key = client.key(&name)?;
    let (answer, row) = client.row(reply::empty(StatusCode::NO_CONTENT));
    let lifted = client.state.registry.ban_list().lift_all(Instant::now().into_std(), &key, row);
    wait(lifted).await?;
    Ok(answer)
}

/// `DELETE Conference/{name}/Ban/{id}/`
pub(super) async fn lift(
    client: ApiClient,
    PathNames([name, id]): InConference,
) -> Result<Response, Failure> {
    let (key, now) = (client.key(&name)?, Instant::now().into_std());
    let ban_list = client.state.registry.ban_list();
    let (answer, row) = client.row(reply::empty(StatusCode::NO_CONTENT));
    let lifted = member_id(&id).and_then(|id| ban_list.lift(now, &key, id, row));
    wait(lifted.ok_or_else(no_ban)?).await?;
    Ok(answer)
}

fn bans(client: &ApiClient, key: &RoomKey) -> Vec<RoomBan> {
    client.state.registry.ban_list().list(Instant::now().into_std(), key)
}

/// Waits until a change of bans is on disk: a client is not answered before.
pub(super) async fn wait(written: BanCommit) -> Result<(), Failure> {
    Ok(written.await.map_err(|_| Failure::Internal)??)
}

fn no_ban() -> Failure {
    Failure::NotFound("ban not found".into())
}

#[derive(Serialize)]
struct BanListBody<'a> {
    api_id: Uuid,
    bans: Vec<BanEntry<'a>>,
}

#[derive(Serialize)]
struct BanBody<'a> {
    #[serde(flatten)]
    ban: BanEntry<'a>,
    api_id: Uuid,
}

#[derive(Serialize)]
struct BanEntry<'a> {
    ban_id: AsText<MemberId>,
    /// The identity: `number:…`, `sip:…` or `user:…`.
    who: String,
    reason: Option<&'a str>,
    banned_at: String,
    ends_at: String,
}

impl<'a> From<&'a RoomBan> for BanEntry<'a> {
    fn from(ban: &'a RoomBan) -> Self {
        Self {
            ban_id: AsText(ban.id),
            who: ban.who.to_string(),
            reason: ban.reason.as_deref(),
            banned_at: utc::seconds(ban.made_at),
            ends_at: utc::seconds(ban.ends_at),
        }
    }
}
