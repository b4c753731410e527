//! Orders: what the engine tells the backends to do.

use std::{fmt, slice, sync::Arc, time::Duration};

use super::{
    ending::Ending,
    exchange::Diversion,
    program::Program,
    recording::{RecordingFeed, RecordingSource},
};
use crate::base::ids::{AccountId, CallId, Incarnation, MemberId, RecordingId, RoomId};

/// An order for the backend that has the call.
#[derive(Clone, Debug, PartialEq)]
pub enum SignallingOrder {
    /// Picks up a ringing call. Sent once, and before the first sound that needs it.
    Answer {
        /// An incoming call that rings.
        call: CallId,
    },
    /// Calls somebody. The backend reports [`LegEvent::Ringing`](super::LegEvent::Ringing), then
    /// [`LegEvent::Answered`](super::LegEvent::Answered) or
    /// [`LegEvent::Failed`](super::LegEvent::Failed). It tries until then, or until
    /// [`SignallingOrder::End`]. After [`LegEvent::EarlyMedia`](super::LegEvent::EarlyMedia) the call
    /// takes audio orders before it is answered.
    Dial {
        /// The new call's id, made by the engine.
        call: CallId,
        /// The account on whose behalf the call is made.
        account: AccountId,
        /// Whom to call, and what the far end is shown.
        dialling: Arc<Dialling>,
    },
    /// Opens early media on a ringing call (SIP 183): what follows is heard before the answer.
    EarlyMedia {
        /// An incoming call that rings.
        call: CallId,
    },
    /// Hangs up, unless the far end has done so, stops the call's sound and forgets the call. The
    /// last order for a call.
    End {
        /// Any call, whatever its state.
        call: CallId,
        /// Cause and source, for the signalling (busy, rejected) and for the backend's own record.
        ending: Ending,
    },
}

/// A call to be made, as backends need to know it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Dialling {
    /// The number that the far end is shown as the caller, or a SIP URI.
    pub from: Arc<str>,
    /// The address to call: one that the backend's `can_dial` accepts.
    pub to: Arc<str>,
    /// The caller's display name; may be empty.
    pub caller_name: Arc<str>,
    /// Headers for the far end, such as `X-PH-Ticket`, and their values.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// Who wants the call.
    pub origin: DialOrigin,
    /// For a far end that asks who calls. None: we have no password for it.
    pub credentials: Option<Arc<DialCredentials>>,
    /// Whether `from` is the number of a caller who does not want it to be shown.
    pub is_private: bool,
    /// Who had forwarded the caller's call before it came to us; None if nobody had.
    pub diversion: Option<Arc<Diversion>>,
}

/// A user name and a password that a flow or a request gives for a far end. `Debug` does not show
/// the password.
#[derive(Clone, Eq, PartialEq)]
pub struct DialCredentials {
    /// The user name, as the far end knows it.
    pub username: Arc<str>,
    /// The password that goes with it.
    pub password: Arc<str>,
}

impl DialCredentials {
    /// The lengths of passwords that are taken, in characters (contract of calling, section 6).
    pub const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=128;

    /// The longest user name, in characters.
    pub const USERNAME_CHARS_MAX: usize = 128;

    /// Credentials, if both parts have a length that is taken, and no control characters.
    pub fn new(username: &str, password: &str) -> Option<Self> {
        let is_plain = |it: &str| !it.contains(|it: char| it.is_control());
        let is_good = (1..=Self::USERNAME_CHARS_MAX).contains(&username.chars().count())
            && Self::PASSWORD_CHARS.contains(&password.chars().count())
            && is_plain(username)
            && is_plain(password);
        is_good.then(|| Self { username: username.into(), password: password.into() })
    }
}

impl fmt::Debug for DialCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialCredentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Who wants a call to be made, which decides what happens where it cannot be made as it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum DialOrigin {
    /// A request of the API: it may wait for its turn.
    #[default]
    Request,
    /// A `<Dial>`, with a caller who waits.
    Dial {
        /// Whether `from` is the caller's own number, so that another may be shown instead.
        is_inherited: bool,
        /// The number that the caller called, if they called us.
        forwarded: Option<Arc<str>>,
    },
}

/// An order for the engine that carries the sound of the calls.
#[derive(Clone, Debug, PartialEq)]
pub enum AudioOrder {
    /// Plays a program to one call that is in no room; silently ends the one before.
    ///
    /// At its end the engine reports [`LegEvent::Finished`](super::LegEvent::Finished) with this
    /// number; a program that was stopped is not reported.
    Play {
        /// A call that is in no room.
        call: CallId,
        /// Unique within the call; rises.
        number: u32,
        /// Played from its start.
        program: Program,
    },
    /// As [`AudioOrder::Play`], of a program that an earlier process was playing: it goes on where it was
    /// if the engine knows that, else it is played from its start.
    PlayOn {
        /// A call that is in no room.
        call: CallId,
        /// Unique within the call; rises.
        number: u32,
        /// The number that it had in the earlier process.
        before: u32,
        /// All its sounds, those included that were heard.
        program: Program,
    },
    /// Loads sounds that are likely to be played next, such as those that a member hears when they
    /// are out of the room again. Plays nothing.
    Prepare {
        /// A call in a room or not.
        call: CallId,
        /// The sounds to load.
        program: Program,
    },
    /// Stops the program of [`AudioOrder::Play`], if it is not over.
    Stop {
        /// A call that is in no room.
        call: CallId,
    },
    /// Plays a program to one call, over whatever else it hears, in a room or not. Ends the one of
    /// the same kind before.
    PlayOver {
        /// A call in a room or not.
        call: CallId,
        /// Play and Speak are stopped apart.
        kind: AnnouncementKind,
        /// True: mixed with what else the call hears. False: the call hears nothing else.
        /// (Simulated phones hear one thing at a time.)
        mixes: bool,
        /// Cuts the program off after this time.
        length: Option<Duration>,
        /// Played from its start.
        program: Program,
    },
    /// Stops the program of [`AudioOrder::PlayOver`], if it is not over.
    StopOver {
        /// A call in a room or not.
        call: CallId,
        /// As in the order that began it.
        kind: AnnouncementKind,
    },
    /// Sends key presses to the far end. At the end the engine reports
    /// [`LegEvent::Finished`](super::LegEvent::Finished) with this number.
    SendDigits {
        /// A call in a room or not.
        call: CallId,
        /// Unique within the call; rises. 0 where nobody waits for the end.
        number: u32,
        /// Of `0-9*#ABCD`, `w` (half a second's pause) and `W` (a second's).
        digits: Arc<str>,
    },
    /// Puts calls into a room, or changes what they hear in it. Ends what was played to them.
    Place {
        /// The room; it begins with its first call.
        room: Arc<Incarnation>,
        /// Calls that enter, or are in the room already.
        calls: Vec<CallId>,
        /// What they hear while nothing is played to them.
        hears: MemberAudio,
    },
    /// Takes calls out of the room in one step: out of the mix, its sounds and its private ones.
    /// The calls stay up, in silence.
    Remove {
        /// The room; it ends with its last call.
        room: RoomId,
        /// Members of the room.
        calls: Vec<CallId>,
    },
    /// Whether the others hear these members. A member is not muted until this order says so, which
    /// may be just before they are placed; removal from the room ends it.
    Mute {
        /// The room in which it holds.
        room: RoomId,
        /// Members, or calls that are about to be placed.
        calls: Vec<CallId>,
        /// True: the others do not hear them.
        on: bool,
    },
    /// Whether these members hear the others. They hear what is played to them in any case.
    Deafen {
        /// The room in which it holds.
        room: RoomId,
        /// Members of the room.
        calls: Vec<CallId>,
        /// True: hear nothing of the room.
        on: bool,
    },
    /// Plays a program to some members, over the room. A second one waits for the first, per
    /// member; one for which [`ANNOUNCEMENTS_MAX`] others wait is dropped.
    Announce {
        /// Members that have left it meanwhile hear nothing.
        room: RoomId,
        /// The members that hear it.
        calls: Vec<CallId>,
        /// The name by which [`AudioOrder::Hush`] stops it.
        address: Arc<AnnouncementAddress>,
        /// Played from its start.
        program: Program,
    },
    /// Stops, for these members, all announcements under one address, queued ones included.
    Hush {
        /// The room in which it was announced.
        room: RoomId,
        /// Members of the room.
        calls: Vec<CallId>,
        /// The address that [`AudioOrder::Announce`] was given.
        address: Arc<AnnouncementAddress>,
    },
    /// Plays or stops a sound for everybody who is in the room now. One order, however large the
    /// room is: it has no list of calls and goes to each engine.
    ToRoom {
        /// The room. An engine without calls in it ignores the order.
        room: RoomId,
        /// What is played or stopped.
        sound: Arc<SoundToAll>,
    },
    /// Records a call or a room from now on, wherever the call is, and everybody who comes into the room
    /// later. An order for a room goes to each engine.
    Record {
        /// A call in a room or not, or a room.
        source: RecordingSource,
        /// Takes the audio of the source.
        feed: RecordingFeed,
    },
    /// Ends a recording: the engine hands over the audio that it has, and lets go of the feed.
    StopRecording {
        /// As in the order that began it.
        source: RecordingSource,
        /// The recording that ends; one that the engine does not know is ignored.
        recording: RecordingId,
    },
}

/// A sound for everybody in a room.
#[derive(Clone, Debug, PartialEq)]
pub enum SoundToAll {
    /// As [`AudioOrder::Announce`], to all members but the deaf.
    Play {
        /// A member. Its account decides which file `flow:FILE` is.
        member: CallId,
        /// For [`SoundToAll::Hush`]. None for an enter or exit sound, which cannot be taken back and
        /// is not played again while it plays or waits in the room: then only `member` hears it, who
        /// may have come when it had begun.
        address: Option<Arc<AnnouncementAddress>>,
        /// Played from its start.
        program: Program,
    },
    /// As [`AudioOrder::Hush`], for all members.
    Hush {
        /// The address that [`SoundToAll::Play`] was given.
        address: Arc<AnnouncementAddress>,
    },
    /// Makes a member's key press heard by all others but the deaf (`relayDTMF`).
    RelayDigit {
        /// The member that pressed it, who does not hear it.
        from: CallId,
        /// The key that was pressed, of `0-9*#ABCD`.
        digit: char,
    },
}

impl SoundToAll {
    /// The program, if it is an enter or exit sound.
    pub fn cue(&self) -> Option<&Program> {
        match self {
            Self::Play { address: None, program, .. } => Some(program),
            Self::Play { address: Some(_), .. } | Self::Hush { .. } | Self::RelayDigit { .. } => {
                None
            }
        }
    }
}

/// Limit of announcements that wait per member: minutes of sound, which nobody listens to.
pub const ANNOUNCEMENTS_MAX: usize = 100;

impl SignallingOrder {
    /// The one call that the order is for.
    pub fn call(&self) -> CallId {
        match self {
            Self::Answer { call }
            | Self::Dial { call, .. }
            | Self::EarlyMedia { call }
            | Self::End { call, .. } => *call,
        }
    }
}

impl AudioOrder {
    /// The calls that the order is for; none if it is for all of a room.
    pub fn calls(&self) -> &[CallId] {
        match self {
            Self::Play { call, .. }
            | Self::PlayOn { call, .. }
            | Self::PlayOver { call, .. }
            | Self::StopOver { call, .. }
            | Self::Prepare { call, .. }
            | Self::Stop { call }
            | Self::SendDigits { call, .. }
            | Self::Record { source: RecordingSource::Call(call), .. }
            | Self::StopRecording { source: RecordingSource::Call(call), .. } => {
                slice::from_ref(call)
            }
            Self::Place { calls, .. }
            | Self::Remove { calls, .. }
            | Self::Mute { calls, .. }
            | Self::Deafen { calls, .. }
            | Self::Announce { calls, .. }
            | Self::Hush { calls, .. } => calls,
            Self::ToRoom { .. }
            | Self::Record { source: RecordingSource::Room(_), .. }
            | Self::StopRecording { source: RecordingSource::Room(_), .. } => &[],
        }
    }

    /// Whether it is for all of a room, so that it goes to each engine.
    pub fn is_for_room(&self) -> bool {
        matches!(
            self,
            Self::ToRoom { .. }
                | Self::Record { source: RecordingSource::Room(_), .. }
                | Self::StopRecording { source: RecordingSource::Room(_), .. }
        )
    }

    /// The list of calls, where the order has one; None where it is for one call.
    pub(super) fn calls_mut(&mut self) -> Option<&mut Vec<CallId>> {
        match self {
            Self::Play { .. }
            | Self::PlayOn { .. }
            | Self::PlayOver { .. }
            | Self::StopOver { .. }
            | Self::Prepare { .. }
            | Self::Stop { .. }
            | Self::SendDigits { .. }
            | Self::Record { .. }
            | Self::StopRecording { .. }
            | Self::ToRoom { .. } => None,
            Self::Place { calls, .. }
            | Self::Remove { calls, .. }
            | Self::Mute { calls, .. }
            | Self::Deafen { calls, .. }
            | Self::Announce { calls, .. }
            | Self::Hush { calls, .. } => Some(calls),
        }
    }
}

/// What a member hears of a room while nothing is played to them.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberAudio {
    /// The mix of the others.
    Room,
    /// The wait sound, repeated, and nobody: for a member who waits, or is alone. None, or an empty
    /// program, is silence.
    Wait(Option<Program>),
}

/// The name of an announcement: a stop needs the same parts as the start.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct AnnouncementAddress {
    /// Play or Speak: each has its own stop.
    pub kind: AnnouncementKind,
    /// The members named, in rising order; None for `all`.
    pub members: Option<Vec<MemberId>>,
}

/// `Member/…/Play/` and `Member/…/Speak/` are stopped apart.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AnnouncementKind {
    /// A sound by its URL.
    Play,
    /// A text, read aloud.
    Speak,
}
