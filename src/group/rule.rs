//! Rules: the policy for removals as a value, one for each dialect.

use super::Rank;

/// The policy of a dialect for removals: who may remove a member, and which effects that has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rule {
    /// The lowest rank that may remove people.
    pub rank_min: Rank,
    /// The target's rank must be below the actor's.
    pub is_above_target: bool,
    /// Account-wide permissions count besides ranks.
    pub has_permissions: bool,
    /// An unknown target is refused before the actor's rank is checked.
    pub is_target_first: bool,
    /// To remove oneself counts as leaving; otherwise it is refused.
    pub is_self_leave: bool,
    /// The effect on the group when its last owner would go.
    pub last_owner: LastOwner,
}

/// The effect on a group when its last owner would go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LastOwner {
    /// The removal is refused.
    Stays,
    /// The group is closed.
    Closes,
    /// The group continues without an owner.
    Goes,
}

impl Rule {
    /// Admins and above remove lower ranks; the founder stays; nobody removes themselves (contract
    /// 1.4).
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

    /// Only the owner removes people, but not themselves (contract 3.1, 3.4).
    pub const KIRIMIN: Self = Self {
        rank_min: Rank::Owner,
        is_above_target: false,
        has_permissions: false,
        is_target_first: false,
        is_self_leave: false,
        last_owner: LastOwner::Stays,
    };

    /// A Kirimin group is closed when its owner leaves (contract 3.4).
    pub const KIRIMIN_LEAVE: Self = Self { last_owner: LastOwner::Closes, ..Self::KIRIMIN };

    /// A machine acts, ranks do not count; the group is closed when its primary member goes
    /// (contract 4.3).
    pub const CAPILLARY: Self = Self {
        rank_min: Rank::Beginner,
        is_above_target: false,
        has_permissions: false,
        is_target_first: false,
        is_self_leave: true,
        last_owner: LastOwner::Closes,
    };

    /// As [`Self::CAPILLARY`], for organisations that have switched the closing off.
    pub const CAPILLARY_STAYS_ACTIVE: Self =
        Self { last_owner: LastOwner::Goes, ..Self::CAPILLARY };

    /// The operator of the account may remove anybody except a group's last owner.
    pub const OPERATOR: Self = Self { last_owner: LastOwner::Stays, ..Self::CAPILLARY };
}
