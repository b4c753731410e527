//! Document store: the port by which calls and rooms fetch flows.

pub mod cache;
mod fields;
pub mod folder;
mod folder_index;
pub mod web;

use std::sync::Arc;

use crate::{
    base::ids::{AccountId, CallId, Dialect, RoomId, RoomKey},
    call::{CallStatus, Party},
    flow::{DocumentError, DocumentRequest, Fetched, is_target},
    trace::FetchRecord,
};

/// A request for a document, with the call that it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentFetch {
    /// Local documents are those of this account.
    pub account: AccountId,
    /// Call for which the document is fetched; its id is in the log.
    pub call: CallId,
    /// Parties of the call. Their dialect sets the defaults of the document.
    pub party: Arc<Party>,
    /// Status of the call, for the standard fields of the request.
    pub status: CallStatus,
    /// Call or room that gets the result.
    pub recipient: DocumentRecipient,
    /// URL, method and fields of the request.
    pub request: DocumentRequest,
    /// 1; or 2 if an earlier process has asked for the document and may have had no answer.
    pub attempt: u8,
}

/// Receiver of a fetched document.
#[derive(Clone, Debug, PartialEq)]
pub enum DocumentRecipient {
    /// A call outside of rooms, which runs the document next.
    Call {
        /// Number of the request: unique within the call, increasing.
        number: u32,
    },
    /// A room, which uses the document as a sound.
    Room {
        /// Account and name of the room.
        key: RoomKey,
        /// Incarnation of the room, so that a later room of this name ignores the result.
        room: RoomId,
        /// Number of the request: unique within the room, increasing.
        number: u32,
    },
    /// No receiver: the request is sent, and its response is ignored.
    Nobody,
}

/// A source of documents, such as the flows folder.
pub trait DocumentStore: Send + Sync + 'static {
    /// Begins a fetch without waiting. `done` gets the result, during this call or later.
    fn fetch(&self, fetch: DocumentFetch, done: OnDocument);

    /// Checks whether a URL could be fetched, as far as that can be decided without a request.
    ///
    /// # Errors
    ///
    /// The text says what is wrong with the URL and how to correct it.
    fn check(&self, url: &str) -> Result<(), String> {
        match is_target(url) {
            true => Ok(()),
            false => Err("give http://…, https://… or flow:NAME".to_owned()),
        }
    }

    /// Returns a local flow without waiting. None if there is no such file; a file that is not a
    /// flow yields an error.
    fn local(&self, flow: &LocalFlow) -> Option<Fetched>;
}

/// Name of a local flow, with its account and dialect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LocalFlow {
    /// Account that owns the file.
    pub account: AccountId,
    /// File name without `.xml`.
    pub name: Arc<str>,
    /// Selects the defaults of attributes.
    pub dialect: Dialect,
}

/// Receives the result of a fetch. The record tells how it went; None if there is nothing to tell: a
/// file of the flows folder was read, or the store keeps no records.
pub type OnDocument = Box<dyn FnOnce(DocumentFetch, Fetched, Option<Arc<FetchRecord>>) + Send>;

/// The record of a document that was not requested from a server, and is not available.
pub fn unsent(purpose: &'static str, url: Arc<str>, error: &DocumentError) -> Arc<FetchRecord> {
    let error = match error {
        // The URL may contain a secret.
        DocumentError::NotUrl(_) => NOT_URL.into(),
        DocumentError::Invalid(_) | DocumentError::Unreachable(_) => error.to_string().into(),
    };
    Arc::new(FetchRecord { purpose, url, error: Some(error), ..FetchRecord::default() })
}

const NOT_URL: &str =
    "it is not a URL that conflow can fetch: write http://, https:// or flow:NAME";
