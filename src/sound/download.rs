//! Download port: how the cache fetches web sounds and revalidates them.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{audio::clip::SoundError, base::ids::AccountId, trace::FetchRecord};

/// A source of web files.
pub trait Download: Send + Sync + 'static {
    /// Begins a download without waiting. `done` is called once, on any thread.
    fn begin(&self, ask: DownloadRequest, done: OnDownload);
}

/// Receives a file or the reason for the failure, and the record of the request.
pub type OnDownload = Box<dyn FnOnce(Result<Downloaded, SoundError>, FetchRecord) + Send>;

/// A request for a file.
#[derive(Clone, Debug)]
pub struct DownloadRequest {
    /// Account that the request is made and limited for.
    pub account: AccountId,
    /// `http(s)://…`, as written in the flow.
    pub url: Arc<str>,
    /// Validators of the cached file, if there is one: an unchanged file is not transferred.
    pub known: Option<Validity>,
}

/// Result of a successful download.
#[derive(Clone, Debug)]
pub enum Downloaded {
    /// A new or changed file.
    File {
        /// The complete body of the response.
        bytes: bytes::Bytes,
        /// Freshness and validators of the response.
        validity: Validity,
    },
    /// The cached file is still valid; only if the request had `known`.
    Unchanged(Validity),
}

/// How long a file is fresh, and the validators to ask for it again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Validity {
    /// Until then, the file is used without a request.
    pub fresh_until: Instant,
    /// `ETag` of the response, if it had one.
    pub etag: Option<Arc<str>>,
    /// `Last-Modified` of the response, if it had one.
    pub modified: Option<Arc<str>>,
}
