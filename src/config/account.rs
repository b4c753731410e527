//! Accounts and called numbers of a configuration.

use serde::Serialize;

use crate::{
    base::ids::{AccountId, Dialect},
    cli::settings::{self, Secret},
};

/// A row whose account is not in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UnresolvedOwner {
    pub(super) account: AccountId,
    /// Error message if the data folder does not have the account either.
    pub(super) why: String,
}

/// A row of `[[account]]`: an account and its tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccountConfig {
    /// Unique in the file: 1 to 64 letters, digits, `_` and `-`.
    pub id: AccountId,
    /// One token, or two while one replaces the other.
    pub tokens: Vec<Secret>,
    /// Tokens that may read everything and change nothing, eight at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read_only_tokens: Vec<Secret>,
    /// Dialect of the account's inbound calls.
    pub dialect: Dialect,
}

/// A row of `[[number]]`: the flow of a called number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NumberConfig {
    /// Called number, without a leading `+`, or the user of a SIP URI.
    pub called: String,
    /// Account that owns the number and its flow.
    pub account: AccountId,
    /// Name of a flow of the account; None if there is an `answer_url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// URL of the first document; None if there is a `flow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_url: Option<String>,
    /// Method for `answer_url` and `fallback_url`; None means POST.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_method: Option<settings::HttpMethod>,
    /// URL that is fetched if `answer_url` fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_url: Option<String>,
    /// URL that is called when a call has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hangup_url: Option<String>,
    /// Dialect of the number's calls; None means the account's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
}
