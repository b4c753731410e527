//! Commands to a mixer thread: orders of the media port and of signalling, with their sounds
//! loading.

use std::{sync::Arc, time::Duration};

use super::{leg::RtpLeg, loader::LoadedProgram};
use crate::{
    base::ids::{CallId, RecordingId, RoomId},
    media::{AnnouncementAddress, AnnouncementKind, RecordingFeed, legs::LegSession},
};

/// A message in a mixer thread's mailbox.
#[derive(Debug)]
pub(super) enum MailboxMessage<W> {
    /// A new leg starts on this thread.
    Open(Box<RtpLeg<W>>),
    /// A command to one leg.
    One(CallId, Command),
    /// A command to several legs, applied in one step.
    Many(Vec<CallId>, Command),
    /// A sound for all legs of a room. The call is the one that causes it: it does not hear its own
    /// key, and hears an enter or exit sound even if that plays in the room already.
    ToRoom(RoomId, CallId, RoomSound),
    /// A room is recorded, whether it exists here yet or not.
    RecordRoom(RoomId, RecordingFeed),
    /// The recording of a room ends.
    StopRecordingRoom(RoomId, RecordingId),
    /// A leg arrives from another thread.
    MovedIn(Box<RtpLeg<W>>),
}

/// A command to a leg. Variants do what the order of the same name does, unless noted.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// The leg is moving here from another thread. Commands to it wait until it arrives.
    ExpectLeg,
    /// The leg moves to another thread when this tick is over.
    MoveToThread(usize),
    /// SDP was exchanged, and sound may flow.
    Agree(Arc<LegSession>),
    /// The leg ends: no packet from now on.
    End,
    Play {
        number: u32,
        /// The number that it had in an earlier process.
        before: Option<u32>,
        loaded: LoadedProgram,
    },
    Stop,
    /// The signalling brings a key that the far end pressed.
    Press(char),
    SendDigits {
        number: u32,
        digits: Arc<str>,
    },
    /// The `Place` order: the leg hears the room, or its wait sound.
    Enter {
        room: RoomId,
        hears: LoadedAudio,
    },
    /// The `Remove` order: the leg leaves this room.
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
    /// A sound of this room starts or stops.
    RoomSound {
        room: RoomId,
        sound: RoomSound,
    },
    PlayOver {
        kind: AnnouncementKind,
        mixes: bool,
        length: Option<Duration>,
        loaded: LoadedProgram,
    },
    StopOver {
        kind: AnnouncementKind,
    },
    Record(RecordingFeed),
    StopRecording(RecordingId),
}

/// A sound that is played to legs of a room.
#[derive(Clone, Debug)]
pub(super) enum RoomSound {
    Announce {
        /// None for an enter or exit sound.
        address: Option<Arc<AnnouncementAddress>>,
        loaded: LoadedProgram,
    },
    Hush(Arc<AnnouncementAddress>),
    /// The tone of a key that another member pressed.
    Relay(char),
}

/// [`crate::media::MemberAudio`] with its sounds loading.
#[derive(Clone, Debug)]
pub(super) enum LoadedAudio {
    Room,
    Wait(Option<LoadedProgram>),
}
