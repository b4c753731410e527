//! Commands: what an account may ask for, the rows that become different, and why not.

use super::entry::{CallApplication, EndpointEntry, EndpointPassword};
use crate::flow::RequestMethod;

/// Limit of the endpoints of an account that the API makes: a large office. The engine has all of them
/// in memory.
pub const ACCOUNT_ENDPOINTS_MAX: usize = 1_000;

/// Limit of the applications of an account. More of them than endpoints are of no use.
pub const ACCOUNT_APPLICATIONS_MAX: usize = 1_000;

/// What an account wants. Ids are random, and chosen by the caller.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Adds an endpoint, with a password.
    CreateEndpoint {
        /// The `endpoint_id` of the API.
        id: String,
        /// The user that is asked for, without digits.
        username: String,
        /// The digits that make it unique.
        digits: String,
        /// The password of its phones.
        password: EndpointPassword,
        /// The name that the account gives it.
        alias: String,
        /// Its application; None: the account's default for endpoints.
        application: Option<String>,
    },
    /// Changes an endpoint of the account.
    ChangeEndpoint {
        /// The `endpoint_id` of the API.
        id: String,
        /// What becomes different, and what stays.
        change: EndpointChange,
    },
    /// Removes an endpoint. Its calls continue.
    DeleteEndpoint {
        /// The `endpoint_id` of the API.
        id: String,
    },
    /// Adds an application, which needs an `answer_url`.
    CreateApplication {
        /// The new one, before `change`.
        application: Box<CallApplication>,
        /// The values that it gets.
        change: Box<ApplicationChange>,
    },
    /// Changes an application. Calls that run continue with what they had.
    ChangeApplication {
        /// The `app_id` of the API.
        id: String,
        /// What becomes different, and what stays.
        change: Box<ApplicationChange>,
    },
    /// Removes an application. Its calls continue.
    DeleteApplication {
        /// The `app_id` of the API.
        id: String,
        /// What becomes of its endpoints.
        endpoints: EndpointsLeft,
    },
}

/// A change of an endpoint; what is None stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointChange {
    /// The new password: phones have to register again.
    pub password: Option<EndpointPassword>,
    /// The new name in the API.
    pub alias: Option<String>,
    /// The new application; Some(None): none.
    pub application: Option<Option<String>>,
}

/// A change of an application; what is None stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApplicationChange {
    /// The new name in the API.
    pub name: Option<String>,
    /// `answer_url` and its method.
    pub answer: UrlChange,
    /// `fallback_url` and its method.
    pub fallback: UrlChange,
    /// `hangup_url` and its method.
    pub hangup: UrlChange,
    /// `message_url` and its method.
    pub message: UrlChange,
    /// [`CallApplication::is_number_default`], which has no effect.
    pub is_number_default: Option<bool>,
    /// [`CallApplication::is_endpoint_default`], which one application has.
    pub is_endpoint_default: Option<bool>,
    /// [`CallApplication::is_public`], for callers of trunks.
    pub is_public: Option<bool>,
    /// [`CallApplication::logs_messages`], which has no effect.
    pub logs_messages: Option<bool>,
}

/// A change of a URL and its method; what is None stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UrlChange {
    /// The new URL; Some(None): none.
    pub url: Option<Option<String>>,
    /// The new method of the request.
    pub method: Option<RequestMethod>,
}

/// What becomes of the endpoints of an application that is removed.
#[derive(Clone, Debug, PartialEq)]
pub enum EndpointsLeft {
    /// They are removed, too.
    Deleted,
    /// They get this application, or none.
    Moved(Option<String>),
}

/// A change of the rows of an account.
#[derive(Clone, Debug, PartialEq)]
pub enum RowChange {
    /// The endpoint of this user is new, or has these values; with a password only if that is new.
    PutEndpoint(EndpointEntry, Option<EndpointPassword>),
    /// There is no endpoint of this user.
    DeleteEndpoint(String),
    /// The application of this id is new, or has these values.
    PutApplication(Box<CallApplication>),
    /// There is no application of this id.
    DeleteApplication(String),
}

/// Why the account may not, or cannot have it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The account was removed while its request was under way.
    #[error("account not found")]
    NoAccount,
    /// The account has no such endpoint.
    #[error("endpoint not found")]
    NoEndpoint,
    /// The account has no such application.
    #[error("application not found")]
    NoApplication,
    /// A parameter names an application that the account does not have.
    #[error(
        "{parameter}: this account has no application {id}: give an app_id of GET Application/"
    )]
    UnknownApplication {
        /// The name of the parameter.
        parameter: &'static str,
        /// The value that was sent.
        id: String,
    },
    /// A parameter is not as it must be.
    #[error("{parameter}: {wanted}")]
    Invalid {
        /// The name of the parameter.
        parameter: &'static str,
        /// What to give instead.
        wanted: &'static str,
    },
    /// The row is in the configuration file.
    #[error("{0} is in the configuration of the server, and is changed there")]
    Fixed(String),
    /// An endpoint of the configuration file names this application.
    #[error(
        "the endpoint {0} of the server's configuration has this application: it must get another one \
         there first"
    )]
    InUse(String),
    /// The account has its maximum of endpoints.
    #[error("the account has {ACCOUNT_ENDPOINTS_MAX} endpoints, the most that it may: delete some")]
    TooManyEndpoints,
    /// The account has its maximum of applications.
    #[error(
        "the account has {ACCOUNT_APPLICATIONS_MAX} applications, the most that it may: delete some"
    )]
    TooManyApplications,
    /// The data folder has its maximum of rows.
    #[error(
        "the server has {max} endpoints, numbers, trunks and applications, the most that it keeps"
    )]
    TooManyRows {
        /// That maximum, of all accounts.
        max: usize,
    },
    /// The digits have made a name that there is already.
    #[error("the new name is taken by chance: send the request again")]
    Taken,
}
