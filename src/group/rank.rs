//! Ranks of members.

use serde::{Deserialize, Serialize};

/// What a member may do, lowest first.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Rank {
    /// New, with fewer rights than a member.
    Beginner,
    /// Belongs to the group, and no more.
    Member,
    /// May let people in and remove them.
    Admin,
    /// Stands in for an owner.
    Acting,
    /// Has the group. There may be several.
    Owner,
}

impl Rank {
    /// Every one, lowest first.
    pub const ALL: [Self; 5] =
        [Self::Beginner, Self::Member, Self::Admin, Self::Acting, Self::Owner];
    /// Their names, as `moderators` has them, lowest first.
    pub const NAMES: [&str; 5] = ["beginner", "member", "admin", "acting", "owner"];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        let n = Self::NAMES.iter().position(|it| *it == name)?;
        Some(Self::ALL[n])
    }
}
