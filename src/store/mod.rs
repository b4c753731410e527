//! The store port: what must outlive the process.

pub mod folder;
pub mod marks;
pub mod memory;

use crate::ids::{AccountId, MemberId};

/// Gives out member ids: decimal, rising per account, never twice for the life of the data
/// folder. A fresh folder starts at 1.
pub trait MemberIds: Send + Sync + 'static {
    /// The next one of an account.
    fn next(&self, account: &AccountId) -> MemberId;
}
