//! The store port: what must outlive the process.

pub mod folder;
pub mod idempotency;
pub mod inspect;
pub mod member_ids;
mod queue;
pub mod rows;
pub mod rows_memory;
pub mod sqlite;

use std::{sync::Arc, time::Instant};

use self::rows::Committed;
use crate::base::ids::{AccountId, MemberId};

/// Gives out member ids: decimal, rising per account, never twice for the life of the data
/// folder. A fresh folder starts at 1.
pub trait MemberIds: Send + Sync + 'static {
    /// The next one of an account.
    fn next(&self, account: &AccountId) -> MemberId;
}

/// Knows which requests have been answered already (`Idempotency-Key`).
pub trait Repeats: Send + Sync + 'static {
    /// A request comes, perhaps again; what it has asked for is told by a hash.
    fn begin(&self, now: Instant, request: &RequestKey, asked: [u8; 32]) -> Repeat;

    /// A request that was new has been answered. `kept` is told once the answer outlives the
    /// process, if it ever does: only then may anybody have it.
    fn done(&self, now: Instant, request: &RequestKey, answer: Arc<Stored>, kept: Committed);

    /// A request that was new has come to nothing: it may come again.
    fn forget(&self, request: &RequestKey);
}

/// What makes a request the same.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestKey {
    /// Whose.
    pub account: AccountId,
    /// POST or DELETE.
    pub method: String,
    /// As it was written.
    pub path: String,
    /// The header.
    pub key: String,
}

/// Whether a request is new.
#[derive(Clone, Debug, PartialEq)]
pub enum Repeat {
    /// It is.
    New,
    /// It is being answered: ask again later.
    Busy,
    /// It has been answered.
    Answered(Arc<Stored>),
    /// The same key has asked for something else.
    Other,
}

/// An answer that is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// The status.
    pub status: u16,
    /// JSON, or nothing.
    pub body: Vec<u8>,
    /// Headers that say more than that: remarks, and when to come again.
    pub headers: Vec<(String, String)>,
}
