//! Ids of groups and persons, references to them, and moments.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::PersonName;

/// The id of a group, unique in a data folder; decimal as text.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct GroupId(pub u64);

/// The id of a person, unique in a data folder; decimal as text.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct PersonId(pub u64);

/// A time in milliseconds since 1970, UTC.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct UnixMillis(pub u64);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for GroupId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl FromStr for PersonId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A reference to a group, as a request gives it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GroupRef {
    /// By the group's id.
    Id(GroupId),
    /// By name; an open group wins over closed ones.
    Name(Box<str>),
    /// By the id in the client's system.
    ExternalId(Box<str>),
    /// By the secret of the invitation link.
    Link(Box<str>),
    /// By the group's id, if the group also has all of the selectors.
    Selected(GroupId, Box<[GroupSelector]>),
}

/// A fact that a group must have for [`GroupRef::Selected`] to name it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GroupSelector {
    /// The id in the client's system.
    ExternalId(Box<str>),
    /// A member with the rank of an owner; None: the text of the request is nobody's id.
    Owner(Option<PersonId>),
}

/// A reference to a person, as a request gives it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PersonRef {
    /// By the person's id.
    Id(PersonId),
    /// By one of the person's names.
    Name(PersonName),
    /// The text of the request cannot be anybody's id.
    Nobody,
}
