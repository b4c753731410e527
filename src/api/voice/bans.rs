//! `Conference/{name}/Ban/[{id}/]`: the bans that came with kicks. An extension.

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Asker, bodies::Text, members::member_id};
use crate::{
    api::{failure::Failure, reply},
    bans::Ban,
    ids::{MemberId, RoomKey},
    utc,
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
pub(super) fn lift(asker: &Asker<'_>, name: &str, id: Option<&str>) -> Result<Response, Failure> {
    let (key, doors, now) = (asker.key(name)?, asker.desk.house.doors(), Instant::now().into_std());
    let lift = |key: &RoomKey, id| doors.lift(now, key, id);
    match id {
        Some(id) if member_id(id).is_some_and(|id| lift(&key, id)) => (),
        Some(_) => return Err(no_ban()),
        None => {
            for ban in doors.list(now, &key) {
                // It may have ended meanwhile.
                let _ = lift(&key, ban.id);
            }
        }
    }
    Ok(reply::empty(StatusCode::NO_CONTENT))
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
