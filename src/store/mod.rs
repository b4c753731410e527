//! Store: the ports for data that must outlive the process, and their SQLite and memory
//! implementations.

pub mod folder;
pub mod idempotency;
pub mod inspect;
pub mod member_ids;
mod queue;
pub mod rows;
pub mod rows_memory;
pub mod seal;
pub mod sqlite;
pub mod trunk_minutes;

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use self::rows::{OnCommit, RowWrite};
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

    /// The write that stores the answer of a request that is being carried out, for the transaction of
    /// its change; None if nothing outlives the process. [`Self::done`] is called all the same.
    fn write_of(
        &self,
        now: Instant,
        request: &RequestKey,
        answer: &StoredResponse,
    ) -> Option<RowWrite>;

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

impl RequestKey {
    /// The id of the request in the state log: 128 bits of a hash, so that it has a length.
    pub fn id(&self) -> u128 {
        let Self { account, method, path, key } = self;
        let parts = [account.as_str(), method, path, key];
        // A path and a method have no zero byte, and neither has an account.
        let hash = blake3::hash(parts.join("\0").as_bytes());
        let half: [u8; 16] = hash.as_bytes()[..16].try_into().expect("it has 32 bytes");
        u128::from_le_bytes(half)
    }
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
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StoredResponse {
    /// HTTP status of the response.
    pub status: u16,
    /// JSON body; empty for a response without one.
    pub body: Vec<u8>,
    /// Additional headers: warnings, and `Retry-After`.
    pub headers: Vec<(String, String)>,
}

/// The version of a response's bytes that this build writes.
const RESPONSE_VERSION: u8 = 1;

impl StoredResponse {
    /// The response as bytes, for the state log.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![RESPONSE_VERSION]).expect("texts and numbers")
    }

    /// The response of [`Self::to_bytes`]; None if they are damaged, or of a later version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let response = || postcard::from_bytes(rest).ok();
        (*version == RESPONSE_VERSION).then(response)?
    }
}
