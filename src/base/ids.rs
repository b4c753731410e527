//! Ids: the identifiers that every floor uses, trusted identities, and the dialects of the voice
//! API.
//!
//! Each identifier has its own type, so that no signature takes a bare `String`.

use std::{fmt, num::ParseIntError, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

name! {
    /// The id of an account (`MA…` or `SA…`). Accounts see nothing of each other.
    AccountId
}

name! {
    /// The name of a conference in its account: `<Conference>weekly</Conference>`.
    ///
    /// 1 to 256 characters after trimming, without control characters; case counts.
    ConferenceName
}

unique! {
    /// The id of a call: the API's `call_uuid`.
    CallId
}

unique! {
    /// The id of a recording, and the name of its file.
    RecordingId
}

unique! {
    /// The id of one incarnation of a conference (`ConferenceUUID`). Names are reused, ids are not.
    RoomId
}

/// The id of a member of a conference: decimal as text, rising per account, never used twice.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct MemberId(pub u64);

impl FromStr for MemberId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The key by which a conference is found.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct RoomKey {
    /// The account that has the conference.
    pub account: AccountId,
    /// Its name within the account.
    pub name: ConferenceName,
}

/// One incarnation of a conference, from its first member's entry to its end.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Incarnation {
    /// The account and the name.
    pub key: RoomKey,
    /// Differs from earlier and later incarnations.
    pub id: RoomId,
}

impl Incarnation {
    /// An incarnation in the account `MA1`, for tests and tools.
    ///
    /// # Panics
    ///
    /// If `name` is not a valid name.
    pub fn of(id: RoomId, name: &str) -> Arc<Self> {
        let account = AccountId("MA1".into());
        Arc::new(Self { key: RoomKey { account, name: name.parse().expect("a name") }, id })
    }
}

/// An identity of a call's far end that somebody vouches for. A caller's own claim (From) is none.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Trusted {
    /// A number without `+` that a trusted peer asserts (RFC 3325), or the URI in its place.
    Number(Arc<str>),
    /// A SIP user that has authenticated with a password.
    SipUser(Arc<str>),
    /// A user that the account names: `user` of a call that it makes, or of a simulated phone.
    User(Arc<str>),
}

impl Trusted {
    /// A user by name, trimmed; None if it is blank.
    pub fn user(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self::User(text.into()))
    }
}

impl fmt::Display for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(text) => write!(f, "number:{text}"),
            Self::SipUser(text) => write!(f, "sip:{text}"),
            Self::User(text) => write!(f, "user:{text}"),
        }
    }
}

/// The vendor that the voice API follows: paths, bodies, and defaults of XML attributes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Plivo: `/v1/…`, HTTP Basic, 202.
    Plivo,
    /// Vobiz: `/api/v1/…`, `X-Auth-ID` and `X-Auth-Token`, 200.
    #[default]
    Vobiz,
}

impl Dialect {
    /// Begins the names of custom SIP headers, and of the callback fields that they become.
    pub fn header_prefix(self) -> &'static str {
        match self {
            Self::Plivo => "X-PH-",
            Self::Vobiz => "X-VH-",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plivo => "plivo",
            Self::Vobiz => "vobiz",
        })
    }
}

/// A name that is empty, too long, or has control characters.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a name: {0:?} (1 to 256 characters, no control characters)")]
pub struct BadName(String);

/// The longest name. The vendors document no limit; no known client sends more.
pub const NAME_CHARS_MAX: usize = 256;

/// Whether a text may be a name, of whatever kind: 1 to 256 characters, none of them a control
/// character, since names go into logs, terminals and other systems.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name, without surrounding blanks.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for Arc<str> {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                match is_name(text.trim()) {
                    true => Ok(Self(text.trim().into())),
                    false => Err(BadName(text)),
                }
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::try_from(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
use name;

macro_rules! unique {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
        )]
        pub struct $name(pub Uuid);

        impl $name {
            /// An id from a number, for tests and tools.
            pub const fn of(n: u128) -> Self {
                Self(Uuid::from_u128(n))
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
use unique;
