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
    /// What is told if the data folder does not have it either.
    pub(super) why: String,
}

/// `[[account]]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccountConfig {
    /// `MA…` or `SA…`.
    pub id: AccountId,
    /// One or two.
    pub tokens: Vec<Secret>,
    /// Of its inbound calls.
    pub dialect: Dialect,
}

/// `[[number]]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NumberConfig {
    /// The number, or the user.
    pub called: String,
    /// Whose it is.
    pub account: AccountId,
    /// The name of a flow of that account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// What its calls ask for their first document, if there is no flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_url: Option<String>,
    /// How.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_method: Option<settings::HttpMethod>,
    /// What is asked when that has brought none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_url: Option<String>,
    /// What is told when a call is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hangup_url: Option<String>,
    /// The dialect of its calls; the account's, if it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
}
