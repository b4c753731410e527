//! Member of a conference: its call, its options and its state in the room.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::event::MemberInfo;
use crate::{
    base::ids::MemberId,
    call::Call,
    flow::{Exit, JoinOptions},
    media::Program,
};

#[derive(Debug)]
pub(super) struct Member {
    pub(super) call: Box<Call>,
    pub(super) entry: Arc<JoinOptions>,
    /// Nanoseconds from the room's creation to the entry; enough for 584 years.
    pub(super) joined_after: u64,
    pub(super) muted: bool,
    pub(super) deaf: bool,
    /// The far end has put us on hold: out of the mix, but still a member.
    pub(super) held: bool,
    /// A request has put the member on hold: out of the mix, but still a member.
    pub(super) hold: Hold,
    pub(super) listening: Listening,
    /// Its entry was published, so its exit must be.
    pub(super) announced: bool,
    /// None until the wait sound's document is fetched.
    pub(super) wait_sound: Option<Box<Program>>,
}

// One machine holds a million of them.
const _: () = assert!(size_of::<Member>() <= 40);

/// The sound that a member hears between announcements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Listening {
    /// Nothing was ordered yet: the member has just entered.
    None,
    Room,
    Wait,
}

/// Whether a request has put a member on hold, and what they hear then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hold {
    Off,
    /// The sound of the request.
    OwnSound,
    WaitSound,
}

#[derive(Debug)]
pub(super) struct Leaver {
    pub(super) id: MemberId,
    pub(super) member: Box<Member>,
    pub(super) exit: Exit,
}

impl Member {
    pub(super) fn new(room_age: Duration, call: Box<Call>, entry: Arc<JoinOptions>) -> Self {
        Self {
            call,
            joined_after: u64::try_from(room_age.as_nanos()).unwrap_or(u64::MAX),
            muted: entry.muted,
            deaf: false,
            held: false,
            hold: Hold::Off,
            listening: Listening::None,
            announced: false,
            wait_sound: None,
            entry,
        }
    }

    /// From the room's creation to the member's entry.
    pub(super) fn joined_after(&self) -> Duration {
        Duration::from_nanos(self.joined_after)
    }

    /// Whether the rank makes the member a moderator; None if ranks do not matter for them.
    pub(super) fn moderates(&self) -> Option<bool> {
        let min = self.entry.guard.and_then(|it| it.moderators)?;
        Some(self.call.admission.as_ref().is_some_and(|it| min <= it.rank))
    }

    /// Whether the member's entry starts the room.
    pub(super) fn starts(&self) -> bool {
        self.moderates().unwrap_or(self.entry.starts)
    }

    pub(super) fn info(&self, member: MemberId) -> MemberInfo {
        let (party, callback) = (self.call.party.clone(), self.entry.callback.clone());
        MemberInfo { member, call: self.call.id, party, callback }
    }

    /// Whether the others could hear them if they talked.
    pub(super) fn may_speak(&self) -> bool {
        !self.muted && !self.held && self.hold == Hold::Off
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.listening == Listening::Wait
    }
}

/// The keys of a member that no pattern has matched yet.
#[derive(Clone, Debug)]
pub(super) struct TypedKeys {
    pub(super) keys: String,
    pub(super) ends_at: Instant,
}
