//! Rules: what a removal asks of the one who wants it. Policy as a value, one per dialect.

use super::Rank;

/// Who may remove whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rule {
    /// The lowest rank that may.
    pub rank_min: Rank,
    /// Only those of a lower rank than one's own can be removed.
    pub is_above_target: bool,
    /// Account-wide permissions count beside ranks.
    pub has_permissions: bool,
    /// An unknown target is told before the rank is looked at.
    pub is_target_first: bool,
    /// Removing oneself is leaving; else it is refused.
    pub is_self_leave: bool,
    /// What becomes of the group when its last owner goes.
    pub last_owner: LastOwner,
}

/// What becomes of a group whose last owner goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LastOwner {
    /// He stays.
    Stays,
    /// The group is closed.
    Closes,
    /// The group goes on without one.
    Goes,
}

impl Rule {
    /// Admins and up, downwards only; the founder stays; nobody removes himself (contract 1.4).
    pub const BUNGIE: Self = Self {
        rank_min: Rank::Admin,
        is_above_target: true,
        has_permissions: false,
        is_target_first: false,
        is_self_leave: false,
        last_owner: LastOwner::Stays,
    };

    /// Moderators and owners, in any direction; the last owner stays (contract 2.2).
    pub const ROCKET_CHAT: Self = Self {
        rank_min: Rank::Admin,
        is_above_target: false,
        has_permissions: true,
        is_target_first: true,
        is_self_leave: true,
        last_owner: LastOwner::Stays,
    };

    /// The owner alone, and not himself (contract 3.1, 3.4).
    pub const KIRIMIN: Self = Self {
        rank_min: Rank::Owner,
        is_above_target: false,
        has_permissions: false,
        is_target_first: false,
        is_self_leave: false,
        last_owner: LastOwner::Stays,
    };

    /// The owner of a Kirimin group goes, and it is over (contract 3.4).
    pub const KIRIMIN_LEAVE: Self = Self { last_owner: LastOwner::Closes, ..Self::KIRIMIN };

    /// A machine's right, no rank; the primary member goes, and the group is over (contract 4.3).
    pub const CAPILLARY: Self = Self {
        rank_min: Rank::Beginner,
        is_above_target: false,
        has_permissions: false,
        is_target_first: false,
        is_self_leave: true,
        last_owner: LastOwner::Closes,
    };

    /// As [`Self::CAPILLARY`], where the organisation has switched the closing off.
    pub const CAPILLARY_STAYS_ACTIVE: Self =
        Self { last_owner: LastOwner::Goes, ..Self::CAPILLARY };

    /// Whoever runs the account may remove anybody, but leaves no group without an owner.
    pub const OPERATOR: Self = Self { last_owner: LastOwner::Stays, ..Self::CAPILLARY };
}
