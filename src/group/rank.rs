//! Ranks of members.

use serde::{Deserialize, Serialize};

/// The rank of a member, lowest first.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Rank {
    /// A new member, with fewer rights than `Member`.
    Beginner,
    /// A member without further rights.
    Member,
    /// May add and remove people.
    Admin,
    /// A deputy of the owner.
    Acting,
    /// The owner; a group may have several.
    Owner,
}

impl Rank {
    /// Every rank, lowest first.
    pub const ALL: [Self; 5] =
        [Self::Beginner, Self::Member, Self::Admin, Self::Acting, Self::Owner];
    /// The names of the ranks in the attribute `moderators`, lowest first.
    pub const NAMES: [&str; 5] = ["beginner", "member", "admin", "acting", "owner"];

    /// The rank with this name of [`Rank::NAMES`].
    pub fn named(name: &str) -> Option<Self> {
        let n = Self::NAMES.iter().position(|it| *it == name)?;
        Some(Self::ALL[n])
    }
}
