//! Exit causes: why a call leaves its conference, and what it does next.

use serde::{Deserialize, Serialize};

use crate::{
    base::ids::Dialect,
    media::{Ending, HangupCause, HangupSource},
};

/// Why a call left its conference, or was not admitted. Every exit has exactly one cause.
///
/// Rows of the state log have the number of a variant: new ones come last.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The other members have left, and this call does not stay alone.
    Alone,
    /// The caller is banned, and never was a member.
    Banned,
    /// The call reached its own time limit.
    CallTimeUp,
    /// The caller hung up.
    CallerLeft,
    /// The process that had the call has died.
    Crashed,
    /// The engine shuts down as planned.
    Drained,
    /// A member with `endConferenceOnExit` left.
    Ended,
    /// An internal error in the room.
    Fault,
    /// The room had reached its member limit; the call never was a member.
    Full,
    /// The caller was removed from the group that guards the room.
    GroupKicked,
    /// A REST request hung the call up.
    HungUpByApi,
    /// A REST request kicked the call.
    Kicked,
    /// The call's media stopped.
    MediaLost,
    /// The caller is not in the group that guards the room; the call never was a member.
    NotMember,
    /// The caller pressed `*` with `hangupOnStar`.
    Starred,
    /// The room reached its time limit.
    TimeUp,
    /// A REST transfer: the call continues with another document.
    Transferred,
    /// A `<Dial>` is over: the two calls were separated.
    DialEnded,
    /// A `<Dial>` is over: nobody was connected.
    DialFailed,
    /// The caller pressed `*` in a `<Dial>` with `hangupOnStar`.
    DialStarred,
    /// The conversation of a `<Dial>` reached its time limit.
    DialTimeUp,
}

impl Cause {
    /// All causes, in the order of their names.
    pub const ALL: &[Self] = &[
        Self::Alone,
        Self::Banned,
        Self::CallTimeUp,
        Self::CallerLeft,
        Self::Crashed,
        Self::DialEnded,
        Self::DialFailed,
        Self::DialStarred,
        Self::DialTimeUp,
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

    /// The name in callbacks (`ConferenceExitCause`), logs and metrics.
    pub fn text(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Banned => "banned",
            Self::CallTimeUp => "call-time-up",
            Self::CallerLeft => "caller-left",
            Self::Crashed => "crashed",
            Self::DialEnded => "dial-ended",
            Self::DialFailed => "dial-failed",
            Self::DialStarred => "dial-starred",
            Self::DialTimeUp => "dial-time-up",
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

    /// How the call ends for this cause; None if it is still up, and its flow continues.
    pub fn ending(self, dialect: Dialect) -> Option<Ending> {
        let (cause, source) = match self {
            Self::Alone | Self::Drained | Self::Ended | Self::Fault | Self::Full => return None,
            Self::Kicked | Self::Starred | Self::TimeUp | Self::Transferred => return None,
            Self::Banned | Self::GroupKicked | Self::NotMember => return None,
            Self::DialEnded | Self::DialFailed | Self::DialStarred | Self::DialTimeUp => {
                return None;
            }
            Self::CallTimeUp => (HangupCause::Scheduled, HangupSource::Platform(dialect)),
            Self::CallerLeft => (HangupCause::Normal, HangupSource::Caller),
            Self::Crashed => (HangupCause::Internal, HangupSource::Platform(dialect)),
            Self::HungUpByApi => (HangupCause::Normal, HangupSource::ApiRequest),
            Self::MediaLost => (HangupCause::MediaTimeout, HangupSource::Platform(dialect)),
        };
        Some(Ending { cause, source })
    }

    /// How the call ends if no element is left to run after this exit.
    pub fn ending_at_end(self, dialect: Dialect) -> Ending {
        let cause = match self {
            Self::Crashed | Self::Fault => HangupCause::Internal,
            Self::Alone | Self::CallTimeUp | Self::CallerLeft | Self::Drained => {
                HangupCause::EndOfXml
            }
            Self::Ended | Self::Full | Self::HungUpByApi | Self::Kicked | Self::MediaLost => {
                HangupCause::EndOfXml
            }
            Self::Banned | Self::GroupKicked | Self::NotMember => HangupCause::EndOfXml,
            Self::DialEnded | Self::DialFailed | Self::DialStarred | Self::DialTimeUp => {
                HangupCause::EndOfXml
            }
            Self::Starred | Self::TimeUp | Self::Transferred => HangupCause::EndOfXml,
        };
        Ending { cause, source: HangupSource::Platform(dialect) }
    }
}
