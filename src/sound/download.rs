//! The port of files of the web, as the cache sees them: got once, and asked for again when they
//! may have changed.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{audio::clip::SoundError, base::ids::AccountId};

/// Gets files of the web.
pub trait Download: Send + Sync + 'static {
    /// Begins to get a file; waits for nothing. `done` is called once, on any thread.
    fn begin(&self, ask: DownloadRequest, done: OnDownload);
}

/// Takes a file, or the reason why there is none.
pub type OnDownload = Box<dyn FnOnce(Result<Downloaded, SoundError>) + Send>;

/// A file that somebody needs.
#[derive(Clone, Debug)]
pub struct DownloadRequest {
    /// On whose behalf.
    pub account: AccountId,
    /// `http(s)://…`, as its author wrote it.
    pub url: Arc<str>,
    /// What is known of it, if it is here already: it need not come again.
    pub known: Option<Validity>,
}

/// What has come of an ask.
#[derive(Clone, Debug)]
pub enum Downloaded {
    /// The file.
    File {
        /// All of it.
        bytes: bytes::Bytes,
        /// For how long it is good.
        validity: Validity,
    },
    /// It is still what it was: only where something was known of it.
    Unchanged(Validity),
}

/// For how long a file is good, and by what it is asked for again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Validity {
    /// Until then nobody is asked.
    pub fresh_until: Instant,
    /// Its `ETag`.
    pub etag: Option<Arc<str>>,
    /// Its `Last-Modified`.
    pub modified: Option<Arc<str>>,
}
