//! Provisioning: the endpoints and applications of an account, and the port by which the account
//! changes them while the engine runs.

pub mod command;
pub mod entry;
pub mod memory;
pub mod table;

use std::{sync::Arc, time::SystemTime};

pub use self::{
    command::{
        ApplicationChange, Command, EndpointChange, EndpointsLeft, Refusal, RowChange, UrlChange,
    },
    entry::{CallApplication, EndpointEntry, EndpointPassword},
    table::ProvisioningTable,
};
use crate::{
    base::ids::AccountId,
    store::rows::{RowWrite, WriteError},
};

/// Keeps the endpoints and applications of accounts.
pub trait Provisioning: Send + Sync + 'static {
    /// What an account has, as calls and phones find it now.
    fn of(&self, account: &AccountId) -> Arc<ProvisioningTable>;

    /// The host of the SIP URIs of endpoints and applications.
    fn sip_host(&self) -> &str;

    /// Finds out which users are registered, in their order. `done` may be called later, on another
    /// thread.
    fn phones(&self, users: Vec<String>, done: OnPhones);

    /// Changes what an account has, and stores it in one transaction with `answer`. `done` is called
    /// once the change outlives the process and calls and phones find it.
    fn change(
        self: Arc<Self>,
        account: AccountId,
        command: Command,
        answer: Option<RowWrite>,
        done: OnChange,
    );
}

/// Callback with the newest phone of each user; None for a user that is not registered.
pub type OnPhones = Box<dyn FnOnce(Vec<Option<RegisteredPhone>>) + Send>;

/// Callback with the result of a change.
pub type OnChange = Box<dyn FnOnce(Result<(), ProvisioningError>) + Send>;

/// A phone that has registered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegisteredPhone {
    /// Its Contact, a URI.
    pub contact: String,
    /// Its User-Agent; empty if it has not said.
    pub user_agent: String,
    /// When the registration expires.
    pub ends_at: SystemTime,
}

/// Why nothing has changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProvisioningError {
    /// The account may not, or cannot have it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk takes nothing.
    #[error(transparent)]
    NotWritten(#[from] WriteError),
    /// The rows cannot be read or written; the log says why.
    #[error("the endpoints and applications cannot be changed now: try again")]
    Failed,
}
