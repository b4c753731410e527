//! A person: one identity with many names.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::PersonId;
use crate::base::ids::Trusted;

/// Somebody, in an account.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Person {
    /// Names him everywhere.
    pub id: PersonId,
    /// The name that he goes by: one of `names`.
    pub username: Box<str>,
    /// His names, each his alone in the account.
    pub names: BTreeSet<Name>,
    /// What he may do in every group.
    pub permissions: BTreeSet<Permission>,
}

/// A name that is one person's alone in an account.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Name {
    /// What he goes by, in lower case: `Name::username` makes it so.
    Username(Box<str>),
    /// A platform, and the number it has for him.
    Membership {
        /// Which platform: -1 … 254.
        platform: i32,
        /// The number.
        id: i64,
    },
    /// A mobile number.
    Mobile(Box<str>),
    /// An e-mail address, in lower case.
    Email(Box<str>),
    /// What the caller's own system calls him.
    ExternalId(Box<str>),
    /// The number on a card.
    CardNumber(Box<str>),
    /// What the caller's own system calls the card.
    CardExternalId(Box<str>),
    /// The user that his phone registers as.
    SipUser(Box<str>),
    /// The number that he calls from.
    Caller(Box<str>),
}

/// What somebody may do in every group of the account, whatever his rank.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Permission {
    /// To remove people from the groups that he belongs to (Rocket.Chat's `remove-user`).
    RemoveUser,
    /// To remove anybody from any group (Rocket.Chat's `kick-user-from-any-p-room`).
    KickFromAny,
}

impl Name {
    /// A user name: case does not count.
    pub fn username(text: &str) -> Self {
        Self::Username(text.trim().to_lowercase().into())
    }

    /// A number that somebody calls from: a plus does not count.
    pub fn caller(text: &str) -> Self {
        Self::Caller(text.trim().trim_start_matches('+').into())
    }

    /// The name that a trusted identity is.
    pub fn trusted(who: &Trusted) -> Self {
        match who {
            Trusted::Number(number) => Self::caller(number),
            Trusted::SipUser(user) => Self::SipUser((**user).into()),
            Trusted::User(user) => Self::username(user),
        }
    }

    /// The same, of a name that a trusted identity can be; None of another.
    pub fn at_the_door(&self) -> Option<Self> {
        match self {
            Self::Caller(number) => Some(Self::caller(number)),
            Self::SipUser(_) | Self::Username(_) => Some(self.clone()),
            Self::CardExternalId(_) | Self::CardNumber(_) | Self::Email(_) => None,
            Self::ExternalId(_) | Self::Membership { .. } | Self::Mobile(_) => None,
        }
    }

    /// An e-mail address: case does not count.
    pub fn email(text: &str) -> Self {
        Self::Email(text.trim().to_lowercase().into())
    }
}

impl Person {
    /// Somebody with one name.
    pub fn new(id: PersonId, username: &str) -> Self {
        let names = BTreeSet::from([Name::username(username)]);
        Self { id, username: username.trim().into(), names, permissions: BTreeSet::new() }
    }

    /// Whether he may do something everywhere.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }
}
