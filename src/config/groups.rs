//! The configuration of groups.

use serde::Serialize;

use crate::cli::{
    groups::{BungieStatus, GroupBehaviour},
    settings::Settings,
};

/// `[groups]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GroupsConfig {
    /// The vendors' rate limits.
    pub limits: bool,
}

/// `[bungie]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BungieConfig {
    /// Which statuses failures have.
    pub status: BungieStatus,
    /// More keys in the answer to a kick.
    pub superset: bool,
}

/// `[rocketchat]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RocketChatConfig {
    /// The answer to a kick.
    pub kick_body: GroupBehaviour,
}

/// `[kirimin]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KiriminConfig {
    /// The signals after a kick.
    pub signals: GroupBehaviour,
    /// The status when somebody kicks who is no owner.
    pub owner_error: GroupBehaviour,
}

/// `[capillary]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CapillaryConfig {
    /// A group goes on without a primary member.
    pub keep_active: bool,
}

impl GroupsConfig {
    pub(super) fn new(layer: &Settings, is_development: bool) -> Self {
        Self { limits: layer.groups.limits.unwrap_or(!is_development) }
    }
}

impl BungieConfig {
    pub(super) fn new(layer: &Settings) -> Self {
        Self {
            status: layer.bungie.status.unwrap_or_default(),
            superset: layer.bungie.superset.unwrap_or_default(),
        }
    }
}

impl RocketChatConfig {
    pub(super) fn new(layer: &Settings) -> Self {
        Self { kick_body: layer.rocketchat.kick_body.unwrap_or_default() }
    }
}

impl KiriminConfig {
    pub(super) fn new(layer: &Settings) -> Self {
        Self {
            signals: layer.kirimin.signals.unwrap_or_default(),
            owner_error: layer.kirimin.owner_error.unwrap_or_default(),
        }
    }
}

impl CapillaryConfig {
    pub(super) fn new(layer: &Settings) -> Self {
        Self { keep_active: layer.capillary.keep_active.unwrap_or_default() }
    }
}
