//! The settings of groups: how the four dialects behave where documents and servers differ.

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use serde::{Deserialize, Serialize};

/// `[groups]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GroupsSettings {
    /// The vendors' rate limits for requests about groups [default: true; false in development].
    #[arg(
        long = "groups-limits", env = "CONFLOW_GROUPS_LIMITS", value_name = "true|false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new(), help_heading = "Groups"
    )]
    pub limits: Option<bool>,
}

/// `[bungie]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct BungieSettings {
    /// Failures with statuses that say what they are, or 500 as on the real service [default:
    /// polite].
    #[arg(long = "bungie-status", env = "CONFLOW_BUNGIE_STATUS", help_heading = "Groups")]
    pub status: Option<BungieStatus>,
    /// More keys in the answer to a kick than documented: aiobungie's Client.kick_clan_member
    /// wants them [default: false].
    #[arg(
        long = "bungie-superset", env = "CONFLOW_BUNGIE_SUPERSET", value_name = "true|false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new(), help_heading = "Groups"
    )]
    pub superset: Option<bool>,
}

/// `[rocketchat]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RocketChatSettings {
    /// The answer to a kick: with the group, as documented, or without, as the server has it
    /// [default: docs].
    #[arg(
        long = "rocketchat-kick-body",
        env = "CONFLOW_ROCKETCHAT_KICK_BODY",
        help_heading = "Groups"
    )]
    pub kick_body: Option<GroupBehaviour>,
}

/// `[kirimin]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct KiriminSettings {
    /// After a kick: its answer, memberleave to all members, memberkick to the target; or as the
    /// server has it, memberkick, memberleave to members who are no owners, the answer [default:
    /// docs].
    #[arg(long = "kirimin-signals", env = "CONFLOW_KIRIMIN_SIGNALS", help_heading = "Groups")]
    pub signals: Option<GroupBehaviour>,
    /// The status when somebody kicks who is no owner: 400, as documented, or 404, as the server
    /// has it [default: docs].
    #[arg(
        long = "kirimin-owner-error",
        env = "CONFLOW_KIRIMIN_OWNER_ERROR",
        help_heading = "Groups"
    )]
    pub owner_error: Option<GroupBehaviour>,
}

/// `[capillary]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct CapillarySettings {
    /// A group goes on when its primary member leaves, as with the organisation's
    /// CONF_DISABLE_GROUP_DEACTIVATION_ON_PRIMARY_MEMBER_EXIT [default: false].
    #[arg(
        long = "capillary-keep-active", env = "CONFLOW_CAPILLARY_KEEP_ACTIVE",
        value_name = "true|false", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(),
        help_heading = "Groups"
    )]
    pub keep_active: Option<bool>,
}

/// Which statuses Bungie's failures have.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum BungieStatus {
    /// 401, 403, 404, …: clients give up at once.
    #[default]
    Polite,
    /// 500, as on the real service: clients try again.
    Realistic,
}

/// Whom a dialect follows where its documents and its server differ.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum GroupBehaviour {
    /// The documents.
    #[default]
    Docs,
    /// The server.
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
