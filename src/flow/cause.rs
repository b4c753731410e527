//! Why a call leaves its conference, and what follows.

use serde::{Deserialize, Serialize};

use crate::{
    base::ids::Dialect,
    media::{Ending, HangupCause, HangupSource},
};

/// Why a call is out of its conference: one value per exit, never "unknown".
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It has had company, nobody else is left, and it does not stay alone.
    Alone,
    /// A ban of the caller: it was never a member.
    Banned,
    /// The call's own time limit.
    CallTimeUp,
    /// The caller hung up.
    CallerLeft,
    /// The engine shuts down as planned.
    Drained,
    /// A member with `endConferenceOnExit` has left.
    Ended,
    /// A fault in the room.
    Fault,
    /// The room had no place: it was never a member.
    Full,
    /// Removed from the group that guards the room.
    GroupKicked,
    /// A REST command that ends calls.
    HungUpByApi,
    /// A REST kick.
    Kicked,
    /// The leg's media went away.
    MediaLost,
    /// A group guards the room, and the caller is no member of it: it was never in the room.
    NotMember,
    /// `*` with `hangupOnStar`.
    Starred,
    /// The room's time limit.
    TimeUp,
    /// A REST transfer: another document takes the place of this one.
    Transferred,
}

impl Cause {
    /// Every cause, for tests and tables.
    pub const ALL: &[Self] = &[
        Self::Alone,
        Self::Banned,
        Self::CallTimeUp,
        Self::CallerLeft,
        Self::Drained,
        Self::Ended,
        Self::Fault,
        Self::Full,
        Self::GroupKicked,
        Self::HungUpByApi,
        Self::Kicked,
        Self::MediaLost,
        Self::NotMember,
        Self::Starred,
        Self::TimeUp,
        Self::Transferred,
    ];

    /// As callbacks, logs and metrics have it (`ConferenceExitCause`).
    pub fn text(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Banned => "banned",
            Self::CallTimeUp => "call-time-up",
            Self::CallerLeft => "caller-left",
            Self::Drained => "drained",
            Self::Ended => "ended",
            Self::Fault => "fault",
            Self::Full => "full",
            Self::GroupKicked => "group-kicked",
            Self::HungUpByApi => "hung-up-by-api",
            Self::Kicked => "kicked",
            Self::MediaLost => "media-lost",
            Self::NotMember => "not-member",
            Self::Starred => "starred",
            Self::TimeUp => "time-up",
            Self::Transferred => "transferred",
        }
    }

    /// How the call ends by this cause; None if it is still up, and its flow goes on.
    pub fn ending(self, dialect: Dialect) -> Option<Ending> {
        let (cause, source) = match self {
            Self::Alone | Self::Drained | Self::Ended | Self::Fault | Self::Full => return None,
            Self::Kicked | Self::Starred | Self::TimeUp | Self::Transferred => return None,
            Self::Banned | Self::GroupKicked | Self::NotMember => return None,
            Self::CallTimeUp => (HangupCause::Scheduled, HangupSource::Platform(dialect)),
            Self::CallerLeft => (HangupCause::Normal, HangupSource::Caller),
            Self::HungUpByApi => (HangupCause::Normal, HangupSource::ApiRequest),
            Self::MediaLost => (HangupCause::MediaTimeout, HangupSource::Platform(dialect)),
        };
        Some(Ending { cause, source })
    }

    /// How the call ends that has left by this cause and finds no element left.
    pub fn ending_at_end(self, dialect: Dialect) -> Ending {
        let cause = match self {
            Self::Fault => HangupCause::Internal,
            Self::Alone | Self::CallTimeUp | Self::CallerLeft | Self::Drained => {
                HangupCause::EndOfXml
            }
            Self::Ended | Self::Full | Self::HungUpByApi | Self::Kicked | Self::MediaLost => {
                HangupCause::EndOfXml
            }
            Self::Banned | Self::GroupKicked | Self::NotMember => HangupCause::EndOfXml,
            Self::Starred | Self::TimeUp | Self::Transferred => HangupCause::EndOfXml,
        };
        Ending { cause, source: HangupSource::Platform(dialect) }
    }
}
