//! What a tick thread is told: the orders of the media port and of signalling, made ready for it.

use std::{sync::Arc, time::Duration};

use super::{leg::Leg, loader::Score};
use crate::{
    base::ids::{CallId, RoomId},
    media::{Address, AnnouncementKind, legs::Session},
};

/// What comes into a thread's queue.
#[derive(Debug)]
pub(super) enum Message<W> {
    /// A leg begins its life here.
    Open(Box<Leg<W>>),
    /// For one leg.
    One(CallId, Deed),
    /// For several, in one step.
    Many(Vec<CallId>, Deed),
    /// A leg comes from another thread.
    Arrived(Box<Leg<W>>),
}

/// What happens to a leg. As the orders of the same name, unless it says otherwise.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// It is on its way here from another thread: what is for it waits until it has come.
    Expect,
    /// It goes to another thread, when this tick is over.
    Move(usize),
    /// SDP has been exchanged, and sound flows.
    Agree(Arc<Session>),
    /// It is over: no packet from now on.
    End,
    Play {
        number: u32,
        score: Score,
    },
    Stop,
    SendDigits {
        number: u32,
        digits: Arc<str>,
    },
    /// `Place`: it hears the room, or what it waits with.
    Enter {
        room: RoomId,
        hears: Hearing,
    },
    /// `Remove`.
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
    Over {
        room: RoomId,
        sound: Over,
    },
    /// `PlayOver`.
    PlayOver {
        kind: AnnouncementKind,
        mixes: bool,
        length: Option<Duration>,
        score: Score,
    },
    /// `StopOver`.
    StopOver {
        kind: AnnouncementKind,
    },
}

/// What is heard over a room.
#[derive(Clone, Debug)]
pub(super) enum Over {
    Announce {
        address: Option<Arc<Address>>,
        score: Score,
    },
    Hush(Arc<Address>),
    /// `RelayDigit`.
    Relay(char),
}

/// What is heard in a room: [`crate::media::Hears`], with its sound on the way.
#[derive(Clone, Debug)]
pub(super) enum Hearing {
    Room,
    Wait(Option<Score>),
}
