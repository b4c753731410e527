//! Person: one identity of an account, with its names and permissions.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::PersonId;
use crate::base::{ids::Trusted, user_part::bare_number};

/// A person of an account.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Person {
    /// The person's id, never reused.
    pub id: PersonId,
    /// The display name, as written; in lower case it is one of `names`.
    pub username: Box<str>,
    /// The person's names; no other person of the account has any of them.
    pub names: BTreeSet<PersonName>,
    /// Rights that hold in every group.
    pub permissions: BTreeSet<Permission>,
}

/// A name of a person, unique in the account.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum PersonName {
    /// The user name in lower case; [`PersonName::username`] makes it so.
    Username(Box<str>),
    /// A platform and the person's number there.
    Membership {
        /// The platform's number: -1 to 254.
        platform: i32,
        /// The person's number on the platform.
        id: i64,
    },
    /// A mobile number, as written.
    Mobile(Box<str>),
    /// An e-mail address, in lower case.
    Email(Box<str>),
    /// The person's id in the client's system.
    ExternalId(Box<str>),
    /// The number printed on a card.
    CardNumber(Box<str>),
    /// The card's id in the client's system.
    CardExternalId(Box<str>),
    /// The user that their phone registers as.
    SipUser(Box<str>),
    /// The number that they call from, without `+`.
    Caller(Box<str>),
}

/// A right in groups of the account, whatever the person's rank.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Permission {
    /// To remove people from groups that they belong to (Rocket.Chat's `remove-user`).
    RemoveUser,
    /// To remove anybody from any group (Rocket.Chat's `kick-user-from-any-p-room`).
    KickFromAny,
}

impl PersonName {
    /// A user name; case does not count.
    pub fn username(text: &str) -> Self {
        Self::Username(text.trim().to_lowercase().into())
    }

    /// A calling number, in any of its forms; a leading `+` and separators do not count.
    pub fn caller(text: &str) -> Self {
        let text = text.trim();
        let number = bare_number(text).map(Box::from);
        Self::Caller(number.unwrap_or_else(|| text.trim_start_matches('+').into()))
    }

    /// The name for a trusted identity.
    pub fn trusted(who: &Trusted) -> Self {
        match who {
            Trusted::Number(number) => Self::caller(number),
            Trusted::SipUser(user) => Self::SipUser((**user).into()),
            Trusted::User(user) => Self::username(user),
        }
    }

    /// This name as [`PersonName::trusted`] would make it; None if it can be no trusted identity.
    pub fn trusted_form(&self) -> Option<Self> {
        match self {
            Self::Caller(number) => Some(Self::caller(number)),
            Self::SipUser(_) | Self::Username(_) => Some(self.clone()),
            Self::CardExternalId(_) | Self::CardNumber(_) | Self::Email(_) => None,
            Self::ExternalId(_) | Self::Membership { .. } | Self::Mobile(_) => None,
        }
    }

    /// An e-mail address; case does not count.
    pub fn email(text: &str) -> Self {
        Self::Email(text.trim().to_lowercase().into())
    }
}

impl Person {
    /// A person with a user name and no permissions.
    pub fn new(id: PersonId, username: &str) -> Self {
        let names = BTreeSet::from([PersonName::username(username)]);
        Self { id, username: username.trim().into(), names, permissions: BTreeSet::new() }
    }

    /// Whether the person has this permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }
}
