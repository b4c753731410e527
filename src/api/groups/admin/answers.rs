//! Response bodies of the admin API, and the texts of ranks and join policies.

use serde::{Deserialize, Serialize};

use crate::group::{GroupSnapshot, JoinPolicy, Person, PersonId, Rank};

#[derive(Serialize)]
pub(super) struct IssuedToken {
    pub(super) token: String,
}

/// A person, with the names that the dialects' requests need.
#[derive(Serialize)]
pub(super) struct PersonCard<'a> {
    id: u64,
    username: &'a str,
}

/// A group with its members, as all group endpoints return it.
#[derive(Serialize)]
pub(super) struct GroupCard<'a> {
    id: u64,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    revision: u64,
    is_closed: bool,
    door: JoinPolicyText,
    link: &'a str,
    members: Vec<MemberCard<'a>>,
}

#[derive(Serialize)]
struct MemberCard<'a> {
    person: u64,
    username: &'a str,
    rank: RankText,
}

/// The JSON text of a rank, in lower case.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RankText {
    Beginner,
    Member,
    Admin,
    Acting,
    Owner,
}

/// The JSON text of a join policy, in lower case.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum JoinPolicyText {
    Reviewed,
    Open,
    Closed,
}

impl<'a> PersonCard<'a> {
    pub(super) fn of(person: &'a Person) -> Self {
        let PersonId(id) = person.id;
        Self { id, username: &person.username }
    }
}

impl<'a> GroupCard<'a> {
    pub(super) fn of(snapshot: &'a GroupSnapshot) -> Self {
        let head = &snapshot.group.info;
        let members = snapshot.group.members.iter().map(|(id, member)| MemberCard {
            person: id.0,
            username: snapshot.people.get(id).map_or("", |it| &it.username),
            rank: member.rank.into(),
        });
        Self {
            id: head.id.0,
            name: &head.name,
            external_id: head.external_id.as_deref(),
            revision: head.revision,
            is_closed: head.is_closed,
            door: head.join_policy.into(),
            link: &head.link,
            members: members.collect(),
        }
    }
}

impl From<Rank> for RankText {
    fn from(rank: Rank) -> Self {
        match rank {
            Rank::Beginner => Self::Beginner,
            Rank::Member => Self::Member,
            Rank::Admin => Self::Admin,
            Rank::Acting => Self::Acting,
            Rank::Owner => Self::Owner,
        }
    }
}

impl From<RankText> for Rank {
    fn from(text: RankText) -> Self {
        match text {
            RankText::Beginner => Self::Beginner,
            RankText::Member => Self::Member,
            RankText::Admin => Self::Admin,
            RankText::Acting => Self::Acting,
            RankText::Owner => Self::Owner,
        }
    }
}

impl From<JoinPolicy> for JoinPolicyText {
    fn from(policy: JoinPolicy) -> Self {
        match policy {
            JoinPolicy::Reviewed => Self::Reviewed,
            JoinPolicy::Open => Self::Open,
            JoinPolicy::Closed => Self::Closed,
        }
    }
}

impl From<JoinPolicyText> for JoinPolicy {
    fn from(text: JoinPolicyText) -> Self {
        match text {
            JoinPolicyText::Reviewed => Self::Reviewed,
            JoinPolicyText::Open => Self::Open,
            JoinPolicyText::Closed => Self::Closed,
        }
    }
}
