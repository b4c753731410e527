//! What the admin API answers, and the words in which ranks and doors are written.

use serde::{Deserialize, Serialize};

use crate::group::{Door, Person, PersonId, Picture, Rank};

#[derive(Serialize)]
pub(super) struct Token {
    pub(super) token: String,
}

/// A person, by what the dialects need of him.
#[derive(Serialize)]
pub(super) struct PersonCard<'a> {
    id: u64,
    username: &'a str,
}

/// A group with its members.
#[derive(Serialize)]
pub(super) struct GroupCard<'a> {
    id: u64,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    revision: u64,
    is_closed: bool,
    door: DoorWord,
    link: &'a str,
    members: Vec<MemberCard<'a>>,
}

#[derive(Serialize)]
struct MemberCard<'a> {
    person: u64,
    username: &'a str,
    rank: RankWord,
}

/// A rank, as it is written.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RankWord {
    Beginner,
    Member,
    Admin,
    Acting,
    Owner,
}

/// A door, as it is written.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DoorWord {
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
    pub(super) fn of(picture: &'a Picture) -> Self {
        let head = &picture.group.head;
        let members = picture.group.members.iter().map(|(id, member)| MemberCard {
            person: id.0,
            username: picture.people.get(id).map_or("", |it| &it.username),
            rank: member.rank.into(),
        });
        Self {
            id: head.id.0,
            name: &head.name,
            external_id: head.external_id.as_deref(),
            revision: head.revision,
            is_closed: head.is_closed,
            door: head.door.into(),
            link: &head.link,
            members: members.collect(),
        }
    }
}

impl From<Rank> for RankWord {
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

impl From<RankWord> for Rank {
    fn from(word: RankWord) -> Self {
        match word {
            RankWord::Beginner => Self::Beginner,
            RankWord::Member => Self::Member,
            RankWord::Admin => Self::Admin,
            RankWord::Acting => Self::Acting,
            RankWord::Owner => Self::Owner,
        }
    }
}

impl From<Door> for DoorWord {
    fn from(door: Door) -> Self {
        match door {
            Door::Reviewed => Self::Reviewed,
            Door::Open => Self::Open,
            Door::Closed => Self::Closed,
        }
    }
}

impl From<DoorWord> for Door {
    fn from(word: DoorWord) -> Self {
        match word {
            DoorWord::Reviewed => Self::Reviewed,
            DoorWord::Open => Self::Open,
            DoorWord::Closed => Self::Closed,
        }
    }
}
