//! The library port: where documents come from.

pub mod cache;
mod fields;
pub mod folder;
mod folder_index;
pub mod web;

use std::sync::Arc;

use crate::{
    base::ids::{AccountId, CallId, Dialect, RoomId, RoomKey},
    call::{CallStatus, Party},
    flow::{DocumentRequest, Fetched, is_target},
};

/// A document that somebody needs.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentFetch {
    /// Whose: local documents are those of this account.
    pub account: AccountId,
    /// The call on whose behalf it is.
    pub call: CallId,
    /// Who that is; its dialect's defaults hold in the document.
    pub party: Arc<Party>,
    /// How far that has come.
    pub status: CallStatus,
    /// Who gets the answer.
    pub recipient: DocumentRecipient,
    /// What.
    pub request: DocumentRequest,
}

/// Who gets a document.
#[derive(Clone, Debug, PartialEq)]
pub enum DocumentRecipient {
    /// A call on its own: the document is what it runs next.
    Call {
        /// Good within the call; rises.
        number: u32,
    },
    /// A room: the document is a sound.
    Room {
        /// The room's name.
        key: RoomKey,
        /// Its incarnation.
        room: RoomId,
        /// Good within the room; rises.
        number: u32,
    },
    /// Nobody: the URL is told, and its answer let be.
    Nobody,
}

/// A place that has documents.
pub trait DocumentStore: Send + Sync + 'static {
    /// Begins to fetch; waits for nothing. The answer goes to the fetch's reader, later or at
    /// once, by `done`.
    fn fetch(&self, fetch: DocumentFetch, done: OnDocument);

    /// Whether a URL could be asked, as far as can be said without asking.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what to do.
    fn check(&self, url: &str) -> Result<(), String> {
        match is_target(url) {
            true => Ok(()),
            false => Err("give http://…, https://… or flow:NAME".to_owned()),
        }
    }

    /// A flow that is at hand: a file of the account's. None if there is no such file; one that
    /// is no flow is there, and invalid.
    fn local(&self, flow: &LocalFlow) -> Option<Fetched>;
}

/// A flow by its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LocalFlow {
    /// Whose.
    pub account: AccountId,
    /// The file's name without `.xml`.
    pub name: Arc<str>,
    /// Whose defaults hold.
    pub dialect: Dialect,
}

/// Takes the answer to a fetch.
pub type OnDocument = Box<dyn FnOnce(DocumentFetch, Fetched) + Send>;
