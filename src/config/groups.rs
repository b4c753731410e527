//! Configuration of groups: values of `[groups]` and of the four dialects' tables.

use serde::Serialize;

use crate::cli::{
    groups::{BungieStatus, GroupBehaviour},
    settings::Settings,
};

/// Checked values of the table `[groups]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GroupsConfig {
    /// Whether the vendors' rate limits apply.
    pub limits: bool,
}

/// Checked values of the table `[bungie]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BungieConfig {
    /// HTTP statuses of failures.
    pub status: BungieStatus,
    /// Whether the response to a kick has more keys than documented.
    pub superset: bool,
}

/// Checked values of the table `[rocketchat]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RocketChatConfig {
    /// Whether the response to a kick contains the group.
    pub kick_body: GroupBehaviour,
}

/// Checked values of the table `[kirimin]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KiriminConfig {
    /// Order of the signals after a kick.
    pub signals: GroupBehaviour,
    /// Status when somebody kicks who is not an owner.
    pub owner_error: GroupBehaviour,
}

/// Checked values of the table `[capillary]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CapillaryConfig {
    /// Whether a group stays active when its primary member leaves.
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
