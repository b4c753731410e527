//! `Conference/{name}/Ban/[{id}/]`: the bans that came with kicks. An extension.

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::{ApiClient, bodies::AsText, members::member_id};
use crate::{
    api::{failure::Failure, reply},
    base::{ids::MemberId, utc},
    conference::ban_list::RoomBan,
    engine::ban_list::BanCommit,
};

/// `GET Ban/` and `GET Ban/{id}/`
pub(super) fn show(
    client: &ApiClient<'_>,
    name: &str,
    id: Option<&str>,
) -> Result<Response, Failure> {
    let key = client.key(name)?;
    let bans = client.state.registry.ban_list().list(Instant::now().into_std(), &key);
    let Some(id) = id else {
        let bans = bans.iter().map(BanEntry::from).collect();
        return Ok(reply::json(StatusCode::OK, &BanListBody { api_id: client.api_id, bans }));
    };
    let id = member_id(id);
    let ban = bans.iter().find(|ban| Some(ban.id) == id).ok_or_else(no_ban)?;
    Ok(reply::json(StatusCode::OK, &BanBody { ban: ban.into(), api_id: client.api_id }))
}

/// `DELETE Ban/` and `DELETE Ban/{id}/`
pub(super) async fn lift(
    client: &ApiClient<'_>,
    name: &str,
    id: Option<&str>,
) -> Result<Response, Failure> {
    let (key, ban_list, now) =
        (client.key(name)?, client.state.registry.ban_list(), Instant::now().into_std());
    let lifted = match id {
        Some(id) => {
            let lifted = member_id(id).and_then(|id| ban_list.lift(now, &key, id));
            vec![lifted.ok_or_else(no_ban)?]
        }
        // One may have ended meanwhile.
        None => {
            let bans = ban_list.list(now, &key);
            bans.iter().filter_map(|ban| ban_list.lift(now, &key, ban.id)).collect()
        }
    };
    for written in lifted {
        wait(written).await?;
    }
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// Until it is on disk: nobody is told before.
pub(super) async fn wait(written: BanCommit) -> Result<(), Failure> {
    written.await.map_err(|_| Failure::Internal)?.map_err(|_| Failure::Internal)
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
    /// `number:…`, `sip:…` or `user:…`
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
