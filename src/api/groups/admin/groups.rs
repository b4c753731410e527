//! Groups, as whoever runs the account sees them: without ranks of his own, and above all ranks.

use axum::{http::StatusCode, response::Response};
use serde::Deserialize;

use super::{
    Request,
    answers::{DoorWord, GroupCard, RankWord},
};
use crate::{
    api::{after_response::After, failure::Failure, groups::MEMBERS_MAX},
    group::{Ask, GroupId, PersonId, Picture, Rank, Which, Who, rule::Rule},
};

/// Names of groups. Rocket.Chat's own server takes no longer ones.
const NAME_CHARS_MAX: usize = 120;

/// `POST Group/`
pub(super) async fn create(request: &Request<'_>) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        name: String,
        owner: Option<u64>,
        external_id: Option<String>,
        members_max: Option<u32>,
        door: Option<DoorWord>,
    }

    let Wish { name, owner, external_id, members_max, door } = request.parse()?;
    let name = name.trim();
    if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) {
        return Err(Failure::Bad(format!("name: write 1 to {NAME_CHARS_MAX} characters")));
    }
    let members_max = members_max.unwrap_or(MEMBERS_MAX);
    if !(1..=MEMBERS_MAX).contains(&members_max) {
        return Err(Failure::Bad(format!("members_max: write 1 to {MEMBERS_MAX}")));
    }
    let mut head = request.hall.head(name, owner.map(PersonId), members_max);
    head.external_id = external_id.map(Into::into);
    if let Some(door) = door {
        head.door = door.into();
    }
    let picture = request.hall.picture(request.account, Ask::Create(head)).await?;
    Ok(answer(request, StatusCode::CREATED, &picture))
}

/// `GET Group/{id}/`
pub(super) async fn show(request: &Request<'_>, id: u64) -> Result<Response, Failure> {
    let picture = request.hall.picture(request.account, Ask::Show(which(id))).await?;
    Ok(answer(request, StatusCode::OK, &picture))
}

/// `POST Group/{id}/Member/`
pub(super) async fn add(request: &Request<'_>, id: u64) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        person: u64,
        rank: Option<RankWord>,
    }

    let Wish { person, rank } = request.parse()?;
    let rank = rank.map_or(Rank::Member, Into::into);
    let ask = Ask::Add { group: which(id), actor: None, target: who(person), rank };
    let picture = request.hall.picture(request.account, ask).await?;
    Ok(answer(request, StatusCode::CREATED, &picture))
}

/// `POST Group/{id}/Member/{person}/`
pub(super) async fn set_rank(
    request: &Request<'_>,
    id: u64,
    person: u64,
) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        rank: RankWord,
    }

    let Wish { rank } = request.parse()?;
    let (group, target, rank) = (which(id), who(person), rank.into());
    let ask = Ask::SetRank { group, actor: None, target, rank };
    let picture = request.hall.picture(request.account, ask).await?;
    Ok(answer(request, StatusCode::OK, &picture))
}

/// `DELETE Group/{id}/Member/{person}/`
pub(super) async fn remove(
    request: &Request<'_>,
    id: u64,
    person: u64,
) -> Result<Response, Failure> {
    let (group, actor, target, reason) = (which(id), None, who(person), "".into());
    let ask = Ask::Remove { group, actor, target, rule: Rule::OPERATOR, reason };
    let (picture, after): (Picture, Option<After>) =
        request.hall.take_out(request.account, ask).await?;
    let mut response = answer(request, StatusCode::OK, &picture);
    after.map(|it| response.extensions_mut().insert(it));
    Ok(response)
}

fn which(id: u64) -> Which {
    Which::Id(GroupId(id))
}

fn who(id: u64) -> Who {
    Who::Id(PersonId(id))
}

fn answer(request: &Request<'_>, status: StatusCode, picture: &Picture) -> Response {
    request.reply(status, GroupCard::of(picture))
}
