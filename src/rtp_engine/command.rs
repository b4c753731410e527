//! What a tick thread is told: the orders of the media port and of signalling, made ready for it.

use std::{sync::Arc, time::Duration};

use super::{leg::RtpLeg, loader::LoadedProgram};
use crate::{
    base::ids::{CallId, RoomId},
    media::{AnnouncementAddress, AnnouncementKind, legs::LegSession},
};

/// What comes into a thread's queue.
#[derive(Debug)]
pub(super) enum MailboxMessage<W> {
    /// A leg begins its life here.
    Open(Box<RtpLeg<W>>),
    /// For one leg.
    One(CallId, Command),
    /// For several, in one step.
    Many(Vec<CallId>, Command),
    /// A leg comes from another thread.
    MovedIn(Box<RtpLeg<W>>),
}

/// What happens to a leg. As the orders of the same name, unless it says otherwise.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// It is on its way here from another thread: what is for it waits until it has come.
    ExpectLeg,
    /// It goes to another thread, when this tick is over.
    MoveToThread(usize),
    /// SDP has been exchanged, and sound flows.
    Agree(Arc<LegSession>),
    /// It is over: no packet from now on.
    End,
    Play {
        number: u32,
        loaded: LoadedProgram,
    },
    Stop,
    SendDigits {
        number: u32,
        digits: Arc<str>,
    },
    /// `LegLocation`: it hears the room, or what it waits with.
    Enter {
        room: RoomId,
        hears: LoadedAudio,
    },
    /// `RemoveAccount`.
    Leave {
        room: RoomId,
    },
    Mute {
        room: RoomId,
        on: bool,
    },
    Deafen {
        room: RoomId,
        on: bool,
    },
    /// Something is heard over this room, or no longer.
    RoomSound {
        room: RoomId,
        sound: RoomSound,
    },
    /// `PlayOver`.
    PlayOver {
        kind: AnnouncementKind,
        mixes: bool,
        length: Option<Duration>,
        loaded: LoadedProgram,
    },
    /// `StopOver`.
    StopOver {
        kind: AnnouncementKind,
    },
}

/// What is heard over a room.
#[derive(Clone, Debug)]
pub(super) enum RoomSound {
    Announce {
        address: Option<Arc<AnnouncementAddress>>,
        loaded: LoadedProgram,
    },
    Hush(Arc<AnnouncementAddress>),
    /// `RelayDigit`.
    Relay(char),
}

/// What is heard in a room: [`crate::media::MemberAudio`], with its sound on the way.
#[derive(Clone, Debug)]
pub(super) enum LoadedAudio {
    Room,
    Wait(Option<LoadedProgram>),
}
