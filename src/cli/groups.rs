//! Settings of groups: how the four dialects behave where documents and servers differ.

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use serde::{Deserialize, Serialize};

/// One layer of the table `[groups]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GroupsSettings {
    /// Apply the vendors' rate limits to requests about groups [default: true; false in
    /// development].
    #[arg(
        long = "groups-limits", env = "CONFLOW_GROUPS_LIMITS", value_name = "true|false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new(), help_heading = "Groups"
    )]
    pub limits: Option<bool>,
}

/// One layer of the table `[bungie]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct BungieSettings {
    /// Statuses of failures: polite (401, 403, 404, …), or realistic (500, like the service)
    /// [default: polite].
    #[arg(long = "bungie-status", env = "CONFLOW_BUNGIE_STATUS", help_heading = "Groups")]
    pub status: Option<BungieStatus>,
    /// Add keys to the response to a kick, for aiobungie's Client.kick_clan_member [default:
    /// false].
    #[arg(
        long = "bungie-superset", env = "CONFLOW_BUNGIE_SUPERSET", value_name = "true|false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new(), help_heading = "Groups"
    )]
    pub superset: Option<bool>,
}

/// One layer of the table `[rocketchat]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RocketChatSettings {
    /// Response to a kick: with the group, as documented, or without it, like the server [default:
    /// docs].
    #[arg(
        long = "rocketchat-kick-body",
        env = "CONFLOW_ROCKETCHAT_KICK_BODY",
        help_heading = "Groups"
    )]
    pub kick_body: Option<GroupBehaviour>,
}

/// One layer of the table `[kirimin]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct KiriminSettings {
    /// Order after a kick. docs: response, memberleave to all members, memberkick to the target.
    /// server: memberkick, memberleave to all but owners, response [default: docs].
    #[arg(long = "kirimin-signals", env = "CONFLOW_KIRIMIN_SIGNALS", help_heading = "Groups")]
    pub signals: Option<GroupBehaviour>,
    /// Status of a kick by somebody who is not an owner: 400, as documented, or 404, like the
    /// server [default: docs].
    #[arg(
        long = "kirimin-owner-error",
        env = "CONFLOW_KIRIMIN_OWNER_ERROR",
        help_heading = "Groups"
    )]
    pub owner_error: Option<GroupBehaviour>,
}

/// One layer of the table `[capillary]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct CapillarySettings {
    /// Keep a group active when its primary member leaves, as with the organisation's
    /// CONF_DISABLE_GROUP_DEACTIVATION_ON_PRIMARY_MEMBER_EXIT [default: false].
    #[arg(
        long = "capillary-keep-active", env = "CONFLOW_CAPILLARY_KEEP_ACTIVE",
        value_name = "true|false", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(),
        help_heading = "Groups"
    )]
    pub keep_active: Option<bool>,
}

/// HTTP statuses of Bungie's failures.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum BungieStatus {
    /// 401, 403, 404, …: clients give up at once.
    #[default]
    Polite,
    /// Always 500, like the service: clients try again.
    Realistic,
}

/// Behaviour of a dialect where its documents and its server differ.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum GroupBehaviour {
    /// As in the vendor's documents.
    #[default]
    Docs,
    /// As measured on the vendor's server.
    Server,
}

impl BungieSettings {
    pub(super) fn over(self, below: Self) -> Self {
        Self { status: self.status.or(below.status), superset: self.superset.or(below.superset) }
    }
}

impl KiriminSettings {
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            signals: self.signals.or(below.signals),
            owner_error: self.owner_error.or(below.owner_error),
        }
    }
}
