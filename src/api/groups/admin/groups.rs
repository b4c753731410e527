//! Group endpoints of the admin API. The account has no rank in a group and outranks everybody.

use axum::{http::StatusCode, response::Response};
use serde::Deserialize;

use super::{
    AdminRequest, AtMember, AtOne,
    answers::{GroupCard, JoinPolicyText, RankText},
    number,
    people::name_wanted,
};
use crate::{
    api::{
        after_response::AfterResponse, context::PathNames, failure::Failure, groups::MEMBERS_MAX,
    },
    base::ids::{self, is_name},
    group::{Ask, GroupId, GroupRef, GroupSnapshot, PersonId, PersonRef, Rank, rule::Rule},
};

/// Longest name of a group, as on Rocket.Chat's own server.
const NAME_CHARS_MAX: usize = 120;

/// `POST Group/`: creates a group. Without an owner, it has no members.
pub(super) async fn create(request: AdminRequest) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct CreateGroupParams {
        name: String,
        owner: Option<u64>,
        external_id: Option<String>,
        members_max: Option<u32>,
        door: Option<JoinPolicyText>,
    }

    let CreateGroupParams { name, owner, external_id, members_max, door } = request.parse()?;
    let name = name.trim();
    if !is_name(name) || NAME_CHARS_MAX < name.chars().count() {
        return Err(Failure::Bad(name_wanted("name", NAME_CHARS_MAX)));
    }
    if !external_id.as_deref().is_none_or(is_name) {
        return Err(Failure::Bad(name_wanted("external_id", ids::NAME_CHARS_MAX)));
    }
    let members_max = members_max.unwrap_or(MEMBERS_MAX);
    if !(1..=MEMBERS_MAX).contains(&members_max) {
        return Err(Failure::Bad(format!("members_max: write 1 to {MEMBERS_MAX}")));
    }
    let mut head = request.api.head(name, owner.map(PersonId), members_max);
    head.external_id = external_id.map(Into::into);
    if let Some(door) = door {
        head.join_policy = door.into();
    }
    let snapshot = request.api.snapshot(&request.account, Ask::Create(head)).await?;
    Ok(answer(&request, StatusCode::CREATED, &snapshot))
}

/// `GET Group/{id}/`: the group and its members.
pub(super) async fn show(
    request: AdminRequest,
    PathNames([id]): AtOne,
) -> Result<Response, Failure> {
    let snapshot =
        request.api.snapshot(&request.account, Ask::Show(group_ref(number(&id)?))).await?;
    Ok(answer(&request, StatusCode::OK, &snapshot))
}

/// `POST Group/{id}/Member/`: adds a person, by default with the rank `member`.
pub(super) async fn add(
    request: AdminRequest,
    PathNames([id]): AtOne,
) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct AddMemberParams {
        person: u64,
        rank: Option<RankText>,
    }

    let id = number(&id)?;
    let AddMemberParams { person, rank } = request.parse()?;
    let rank = rank.map_or(Rank::Member, Into::into);
    let ask = Ask::Add { group: group_ref(id), actor: None, target: person_ref(person), rank };
    let snapshot = request.api.snapshot(&request.account, ask).await?;
    Ok(answer(&request, StatusCode::CREATED, &snapshot))
}

/// `POST Group/{id}/Member/{person}/`: sets a member's rank.
pub(super) async fn set_rank(
    request: AdminRequest,
    PathNames([id, person]): AtMember,
) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SetRankParams {
        rank: RankText,
    }

    let (id, person) = (number(&id)?, number(&person)?);
    let SetRankParams { rank } = request.parse()?;
    let (group, target, rank) = (group_ref(id), person_ref(person), rank.into());
    let ask = Ask::SetRank { group, actor: None, target, rank };
    let snapshot = request.api.snapshot(&request.account, ask).await?;
    Ok(answer(&request, StatusCode::OK, &snapshot))
}

/// `DELETE Group/{id}/Member/{person}/`: removes a member from the group.
pub(super) async fn remove(
    request: AdminRequest,
    PathNames([id, person]): AtMember,
) -> Result<Response, Failure> {
    let (id, person) = (number(&id)?, number(&person)?);
    let (group, actor, target, reason) = (group_ref(id), None, person_ref(person), "".into());
    let ask = Ask::Remove { group, actor, target, rule: Rule::OPERATOR, reason };
    let (snapshot, after): (GroupSnapshot, Option<AfterResponse>) =
        request.api.take_out(&request.account, ask).await?;
    let mut response = answer(&request, StatusCode::OK, &snapshot);
    after.map(|it| response.extensions_mut().insert(it));
    Ok(response)
}

fn group_ref(id: u64) -> GroupRef {
    GroupRef::Id(GroupId(id))
}

fn person_ref(id: u64) -> PersonRef {
    PersonRef::Id(PersonId(id))
}

fn answer(request: &AdminRequest, status: StatusCode, snapshot: &GroupSnapshot) -> Response {
    request.reply(status, GroupCard::of(snapshot))
}
