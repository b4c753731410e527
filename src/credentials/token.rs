//! Tokens of groups: what is kept of each, in memory and on disk.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use blake3::Hash;
use serde::{Deserialize, Serialize};

use crate::{
    accounts::validity::CredentialLife,
    base::ids::AccountId,
    group::UnixMillis,
    store::rows::{RowWrite, Table},
};

/// Holder of a token, and its permissions.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Holder {
    /// Account that the holder belongs to.
    pub account: AccountId,
    /// Person or program that the token was issued to.
    pub bearer: Bearer,
}

/// Person or program that a token was issued to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Bearer {
    /// A program that acts for people (Bungie's API key).
    Application,
    /// A person. With a scope they may administer groups (Bungie's AdminGroups).
    Person {
        /// Number of the person in the table of people.
        id: u64,
        /// Whether the token may administer groups.
        is_admin_scope: bool,
    },
    /// A till, by its name: a machine that may change every group of the account (Capillary).
    Till(Box<str>),
    /// Valid once, in exchange for a person's token: an authorization code or a refresh token (RFC
    /// 6749).
    Grant {
        /// Number of the person in the table of people.
        id: u64,
        /// Whether the person's token may administer groups.
        is_admin_scope: bool,
    },
}

/// A token to issue.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Who gets it, and what it permits.
    pub holder: Holder,
    /// What it is for.
    pub kind: TokenKind,
    /// When it is issued, in milliseconds since 1970.
    pub created: UnixMillis,
    /// When it expires; None: never.
    pub until: Option<UnixMillis>,
}

/// What a token is for, as lists show it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenKind {
    /// A person's, issued by the account; it does not expire.
    Token,
    /// A person's, of a login with a password.
    Session,
    /// A person's, by OAuth.
    Access,
    /// Gives the next access token, once.
    Refresh,
    /// An authorization code: gives the first access token, once.
    Code,
    /// An application's API key.
    Application,
    /// A till's password, of which the till sends a digest.
    Till,
    /// A till's, issued for its password.
    TillToken,
}

/// Whose tokens are listed or revoked.
#[derive(Clone, Copy, Debug)]
pub enum TokenOwner<'a> {
    /// A person's: tokens, sessions, codes and refresh tokens.
    Person(u64),
    /// API keys of applications.
    Applications,
    /// Passwords and tokens of all tills, or of one.
    Tills(Option<&'a str>),
}

/// A token, as a list shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedToken {
    /// Unique in the data folder, and never reused while the token is there.
    pub id: u64,
    /// What it is for.
    pub kind: TokenKind,
    /// Who it was issued to.
    pub bearer: Bearer,
    /// None for a token of an older version.
    pub created: Option<UnixMillis>,
    /// None: it was never used.
    pub last_used: Option<UnixMillis>,
    /// None: it does not expire.
    pub until: Option<UnixMillis>,
}

impl TokenOwner<'_> {
    pub(super) fn has(self, bearer: &Bearer) -> bool {
        match (self, bearer) {
            (Self::Person(person), Bearer::Person { id, .. } | Bearer::Grant { id, .. }) => {
                person == *id
            }
            (Self::Applications, Bearer::Application) => true,
            (Self::Tills(name), Bearer::Till(till)) => name.is_none_or(|it| it == &**till),
            (
                Self::Person(_) | Self::Applications | Self::Tills(_),
                Bearer::Application
                | Bearer::Grant { .. }
                | Bearer::Person { .. }
                | Bearer::Till(_),
            ) => false,
        }
    }
}

/// The time of the last use is written at most once an hour.
const USE_WRITTEN_MS: u64 = 3_600_000;

pub(super) struct CredentialToken {
    pub(super) number: u64,
    pub(super) holder: Holder,
    pub(super) kind: TokenKind,
    /// None for a token of an older version.
    pub(super) created: Option<UnixMillis>,
    pub(super) until: Option<UnixMillis>,
    /// In milliseconds since 1970; 0 for never.
    last_used: AtomicU64,
    last_written: AtomicU64,
    /// Made for the first stream. Few tokens have streams.
    pub(super) life: OnceLock<CredentialLife>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct TokenRow {
    pub(super) hash: String,
    holder: Holder,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<TokenKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_used: Option<UnixMillis>,
}

impl CredentialToken {
    pub(super) fn new(number: u64, new: NewToken) -> Self {
        let NewToken { holder, kind, created, until } = new;
        Self {
            number,
            holder,
            kind,
            created: Some(created),
            until,
            last_used: AtomicU64::new(0),
            last_written: AtomicU64::new(0),
            life: OnceLock::new(),
        }
    }

    pub(super) fn of_row(number: u64, row: TokenRow) -> Self {
        let TokenRow { hash: _, holder, until, kind, created, last_used } = row;
        let kind = kind.unwrap_or(match (&holder.bearer, until) {
            (Bearer::Application, _) => TokenKind::Application,
            (Bearer::Person { .. }, None) => TokenKind::Token,
            (Bearer::Person { .. }, Some(_)) => TokenKind::Session,
            (Bearer::Till(_), None) => TokenKind::Till,
            (Bearer::Till(_), Some(_)) => TokenKind::TillToken,
            (Bearer::Grant { .. }, _) => TokenKind::Refresh,
        });
        let used = last_used.map_or(0, |it| it.0);
        Self {
            number,
            holder,
            kind,
            created,
            until,
            last_used: AtomicU64::new(used),
            last_written: AtomicU64::new(used),
            life: OnceLock::new(),
        }
    }

    /// Notes a use, and says whether it is time to write it.
    pub(super) fn is_used(&self, now: UnixMillis) -> bool {
        self.last_used.fetch_max(now.0, Ordering::Relaxed);
        let written = self.last_written.load(Ordering::Relaxed);
        let is_due = written + USE_WRITTEN_MS <= now.0;
        let relaxed = Ordering::Relaxed;
        is_due && self.last_written.compare_exchange(written, now.0, relaxed, relaxed).is_ok()
    }

    /// The time of the last use, which may be up to an hour late after a restart.
    pub(super) fn last_used(&self) -> Option<UnixMillis> {
        Some(self.last_used.load(Ordering::Relaxed)).filter(|it| *it > 0).map(UnixMillis)
    }

    pub(super) fn listed(&self) -> ListedToken {
        ListedToken {
            id: self.number,
            kind: self.kind,
            bearer: self.holder.bearer.clone(),
            created: self.created,
            last_used: self.last_used(),
            until: self.until,
        }
    }

    pub(super) fn write(&self, hash: &Hash) -> RowWrite {
        let row = TokenRow {
            hash: hash.to_hex().to_string(),
            holder: self.holder.clone(),
            until: self.until,
            kind: Some(self.kind),
            created: self.created,
            last_used: self.last_used(),
        };
        RowWrite::put(Table::Tokens, &self.holder.account, self.number, &row)
    }

    pub(super) fn removal(&self) -> RowWrite {
        let account = self.holder.account.clone();
        RowWrite { table: Table::Tokens, account, a: self.number, b: 0, body: None }
    }
}
