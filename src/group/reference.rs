//! References to groups and people, as requests give them.

use super::{GroupId, PersonId, PersonName};

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
