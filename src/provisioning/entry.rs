//! Entries: an endpoint and an application, as their account made them.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::{
    base::ids::{AccountId, Dialect},
    flow::RequestMethod,
};

/// A SIP endpoint, without its password.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndpointEntry {
    /// `endpoint_id` of the API: unique in its account. The user, unless the API has made the endpoint.
    pub id: String,
    /// The user in REGISTER and From: unique in the engine.
    pub user: String,
    /// The name that the account gives it.
    pub alias: String,
    /// The id of the application that its calls run. None: they run the flows that they call.
    pub application: Option<String>,
    /// Whether it is in the configuration file, where the API cannot change it.
    pub is_fixed: bool,
}

/// An application: what the calls of endpoints run. It is written as a row of `[[application]]`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CallApplication {
    /// `app_id` of the API: unique in the engine, since it can be called.
    pub id: String,
    /// The account that has it.
    pub account: AccountId,
    /// The name that the account gives it.
    pub name: String,
    /// The URL of the first document, or a local flow.
    pub answer_url: String,
    /// The method for `answer_url`.
    #[serde(serialize_with = "as_word")]
    pub answer_method: RequestMethod,
    /// The document that is requested if the first cannot be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_url: Option<String>,
    /// The method for `fallback_url`.
    #[serde(serialize_with = "as_word")]
    pub fallback_method: RequestMethod,
    /// The URL that is called when a call has ended; None: `answer_url`, as the vendors do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hangup_url: Option<String>,
    /// The method for the URL that is called then.
    #[serde(serialize_with = "as_word")]
    pub hangup_method: RequestMethod,
    /// The URL for messages. It is shown, and never called: conflow has no messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_url: Option<String>,
    /// The method for `message_url`.
    #[serde(serialize_with = "as_word")]
    pub message_method: RequestMethod,
    /// Whether it is for new numbers. It is shown, and has no effect: the API makes no numbers.
    #[serde(rename = "number_default")]
    pub is_number_default: bool,
    /// Whether endpoints that the API makes without an application get this one. One in an account.
    #[serde(rename = "endpoint_default")]
    pub is_endpoint_default: bool,
    /// Whether trunks, which belong to no account, may call it by its SIP URI.
    #[serde(rename = "public")]
    pub is_public: bool,
    /// `log_incoming_messages`. It is shown, and has no effect: conflow has no messages.
    #[serde(rename = "log_messages")]
    pub logs_messages: bool,
    /// The dialect of its calls; None: the account's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// Whether it is in the configuration file, where the API cannot change it.
    #[serde(skip)]
    pub is_fixed: bool,
}

fn as_word<S: Serializer>(method: &RequestMethod, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.text())
}

impl CallApplication {
    /// An application without URLs, as the API makes it.
    pub fn new(id: String, account: AccountId, dialect: Option<Dialect>) -> Self {
        let method = RequestMethod::Post;
        Self {
            id,
            account,
            name: String::new(),
            answer_url: String::new(),
            answer_method: method,
            fallback_url: None,
            fallback_method: method,
            hangup_url: None,
            hangup_method: method,
            message_url: None,
            message_method: method,
            is_number_default: false,
            is_endpoint_default: false,
            is_public: false,
            logs_messages: true,
            dialect,
            is_fixed: false,
        }
    }

    /// The URL that is called when a call has ended.
    pub fn hangup(&self) -> &str {
        self.hangup_url.as_deref().unwrap_or(&self.answer_url)
    }
}

/// A password in plain text. `Debug` does not show it.
#[derive(Clone, Eq, PartialEq)]
pub struct EndpointPassword(pub String);

impl fmt::Debug for EndpointPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointPassword(…)")
    }
}
