//! `Conference/{name}/Ban/[{id}/]`: the bans that came with kicks. An extension.

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Asker, bodies::Text, members::member_id};
use crate::{
    api::{failure::Failure, reply},
    base::{ids::MemberId, utc},
    conference::ban_list::Ban,
    engine::ban_list::Kept,
};

/// `GET Ban/` and `GET Ban/{id}/`
pub(super) fn show(asker: &Asker<'_>, name: &str, id: Option<&str>) -> Result<Response, Failure> {
    let key = asker.key(name)?;
    let bans = asker.desk.house.doors().list(Instant::now().into_std(), &key);
    let Some(id) = id else {
        let bans = bans.iter().map(Row::from).collect();
        return Ok(reply::json(StatusCode::OK, &List { api_id: asker.api_id, bans }));
    };
    let id = member_id(id);
    let ban = bans.iter().find(|ban| Some(ban.id) == id).ok_or_else(no_ban)?;
    Ok(reply::json(StatusCode::OK, &One { ban: ban.into(), api_id: asker.api_id }))
}

/// `DELETE Ban/` and `DELETE Ban/{id}/`
pub(super) async fn lift(
    asker: &Asker<'_>,
    name: &str,
    id: Option<&str>,
) -> Result<Response, Failure> {
    let (key, doors, now) = (asker.key(name)?, asker.desk.house.doors(), Instant::now().into_std());
    let lifted = match id {
        Some(id) => {
            let lifted = member_id(id).and_then(|id| doors.lift(now, &key, id));
            vec![lifted.ok_or_else(no_ban)?]
        }
        // One may have ended meanwhile.
        None => {
            let bans = doors.list(now, &key);
            bans.iter().filter_map(|ban| doors.lift(now, &key, ban.id)).collect()
        }
    };
    for kept in lifted {
        wait(kept).await?;
    }
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// Until it is on disk: nobody is told before.
pub(super) async fn wait(kept: Kept) -> Result<(), Failure> {
    kept.await.map_err(|_| Failure::Fault)?.map_err(|_| Failure::Fault)
}

fn no_ban() -> Failure {
    Failure::Missing("ban not found".into())
}

#[derive(Serialize)]
struct List<'a> {
    api_id: Uuid,
    bans: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    #[serde(flatten)]
    ban: Row<'a>,
    api_id: Uuid,
}

#[derive(Serialize)]
struct Row<'a> {
    ban_id: Text<MemberId>,
    /// `number:…`, `sip:…` or `user:…`
    who: String,
    reason: Option<&'a str>,
    banned_at: String,
    ends_at: String,
}

impl<'a> From<&'a Ban> for Row<'a> {
    fn from(ban: &'a Ban) -> Self {
        Self {
            ban_id: Text(ban.id),
            who: ban.who.to_string(),
            reason: ban.reason.as_deref(),
            banned_at: utc::seconds(ban.made_at),
            ends_at: utc::seconds(ban.ends_at),
        }
    }
}
