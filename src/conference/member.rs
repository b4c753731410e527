//! A member of a conference: a call, the terms it came on, and what has been told of it.

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
    /// Nanoseconds from the beginning of the room: 584 years of them.
    joined_after: u64,
    pub(super) muted: bool,
    pub(super) deaf: bool,
    /// Its far end holds us: out of the mix, still a member, still company.
    pub(super) held: bool,
    pub(super) listening: Listening,
    /// Subscribers know of it, so they must learn of its exit.
    pub(super) announced: bool,
    /// The wait sound, once it is known.
    pub(super) wait_sound: Option<Box<Program>>,
}

// A million of them are parked on one machine.
const _: () = assert!(size_of::<Member>() <= 40);

/// What a member hears while nothing is played to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Listening {
    /// Just in.
    None,
    /// The others.
    Room,
    /// Its wait sound.
    Wait,
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
            listening: Listening::None,
            announced: false,
            wait_sound: None,
            entry,
        }
    }

    /// From the beginning of the room until it came.
    pub(super) fn joined_after(&self) -> Duration {
        Duration::from_nanos(self.joined_after)
    }

    /// Whether its rank makes it a moderator; None if ranks change nothing for it.
    pub(super) fn moderates(&self) -> Option<bool> {
        let min = self.entry.guard.and_then(|it| it.moderators)?;
        Some(self.call.admission.as_ref().is_some_and(|it| min <= it.rank))
    }

    /// Whether the room starts when it comes in.
    pub(super) fn starts(&self) -> bool {
        self.moderates().unwrap_or(self.entry.starts)
    }

    pub(super) fn info(&self, member: MemberId) -> MemberInfo {
        let (party, entry) = (self.call.party.clone(), self.entry.clone());
        MemberInfo { member, call: self.call.id, party, entry }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.listening == Listening::Wait
    }
}

/// What a member has typed, and no pattern has taken yet.
#[derive(Clone, Debug)]
pub(super) struct TypedKeys {
    pub(super) keys: String,
    pub(super) ends_at: Instant,
}
