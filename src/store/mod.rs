//! Store: the ports for data that must outlive the process, and their SQLite and memory
//! implementations.

pub mod folder;
pub mod idempotency;
pub mod inspect;
pub mod member_ids;
mod queue;
pub mod rows;
pub mod rows_memory;
pub mod sqlite;

use std::{sync::Arc, time::Instant};

use self::rows::OnCommit;
use crate::base::ids::{AccountId, MemberId};

/// Allocates member ids: decimal, rising per account, never reused in the lifetime of a data
/// folder. A fresh folder starts at 1.
pub trait MemberIdSource: Send + Sync + 'static {
    /// The next id of an account; None if the reserved ids are used up and the disk takes no more.
    fn next(&self, account: &AccountId) -> Option<MemberId>;
}

/// Stores responses by idempotency key (`Idempotency-Key`).
pub trait IdempotencyStore: Send + Sync + 'static {
    /// Looks up a request; a new one is reserved until [`Self::done`] or [`Self::forget`]. The hash
    /// of its content detects a key that is used twice.
    fn begin(&self, now: Instant, request: &RequestKey, request_hash: [u8; 32]) -> KeyStatus;

    /// Stores that a new request is about to be carried out, which it may be after `Ok` only. After
    /// an error the key is free again.
    fn reserve(&self, now: Instant, request: &RequestKey, on_stored: OnCommit);

    /// Stores the response of a new request. `on_stored` is called once the response outlives the
    /// process, or waits until the disk has room: only then may it be sent.
    fn done(
        &self,
        now: Instant,
        request: &RequestKey,
        answer: Arc<StoredResponse>,
        on_stored: OnCommit,
    );

    /// Removes the reservation of a new request that has failed, so that it may be tried again.
    fn forget(&self, request: &RequestKey);
}

/// Identity of a request: two requests with equal keys are one request, sent twice.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestKey {
    /// Account that has sent the request.
    pub account: AccountId,
    /// HTTP method, POST or DELETE.
    pub method: String,
    /// Path as the client wrote it.
    pub path: String,
    /// Value of the header `Idempotency-Key`.
    pub key: String,
}

/// Result of a lookup by key.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyStatus {
    /// The request is new, and now reserved.
    New,
    /// The request is being answered: the client should try again later.
    Busy,
    /// The request was answered earlier, with this response.
    Answered(Arc<StoredResponse>),
    /// The key belongs to a request with another content.
    Mismatch,
    /// The request was being carried out when an earlier process ended: it may have had its effect.
    Unknown,
}

/// A response that is stored for its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredResponse {
    /// HTTP status of the response.
    pub status: u16,
    /// JSON body; empty for a response without one.
    pub body: Vec<u8>,
    /// Additional headers: warnings, and `Retry-After`.
    pub headers: Vec<(String, String)>,
}
