//! The media port: what the engine asks of a backend, and what a backend reports.
//!
//! A backend carries the sound of calls: the simulated phones of [`sim`], or real ones. It gets
//! [`Order`]s, which take effect before [`Backend::send`] returns and never wait for a far end;
//! what they bring, and whatever else a caller does, comes back through an [`Exchange`].

mod ending;
pub mod legs;

use std::{slice, sync::Arc, time::Duration};

pub use self::ending::{Ending, HangupCause, HangupSource};
use self::legs::LegSummary;
use crate::base::ids::{AccountId, CallId, Incarnation, MemberId, RoomId, Trusted};

/// Samples and timestamp units are counted in frames of this length: what one tick carries.
pub const TICK: Duration = Duration::from_millis(20);

/// How fast a sound that is cut off dies away: no click, and nothing that could be understood.
pub const FADE_MS: u32 = 5;

/// Something a backend must do, now.
///
/// A call whose id it does not know (any more) is passed over in silence: its far end has hung
/// up, and the engine learns of it by its own report.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Picks up a ringing call. Sent once, and before the first sound that needs it.
    Answer {
        /// The call.
        call: CallId,
    },
    /// Calls somebody. What comes of it is [`Heard::Ringing`], then [`Heard::Answered`] or
    /// [`Heard::Failed`]. It goes on until then, or until [`Order::End`].
    Dial {
        /// The call.
        call: CallId,
        /// On whose behalf.
        account: AccountId,
        /// Who calls.
        from: Arc<str>,
        /// Who is called, as [`Backend::can_dial`] has been asked.
        to: Arc<str>,
        /// The display name, or nothing.
        caller_name: Arc<str>,
        /// Headers for the far end: names without their prefix, and values.
        headers: Arc<[(Arc<str>, Arc<str>)]>,
    },
    /// Opens early media on a ringing call (SIP 183): what follows is heard before the answer.
    EarlyMedia {
        /// The call.
        call: CallId,
    },
    /// The call is over for the engine: hang up unless the far end has done so, forget the call.
    End {
        /// The call.
        call: CallId,
        /// Why, for its record and for the signalling (busy, rejected).
        ending: Ending,
    },
    /// Plays a program to one call that is in no room; ends the one before, silently.
    ///
    /// At its end comes [`Heard::Over`] with this number. None comes for one that was stopped.
    Play {
        /// The call.
        call: CallId,
        /// Good within the call; rises.
        number: u32,
        /// What to play.
        program: Program,
    },
    /// Has sounds at hand that are likely to be played next: while a call is in a room, what it
    /// hears when it is out again. Nothing is heard of it.
    Prepare {
        /// The call.
        call: CallId,
        /// What may be played.
        program: Program,
    },
    /// Stops what [`Order::Play`] has begun. Nothing happens if it is over already.
    Stop {
        /// The call.
        call: CallId,
    },
    /// Plays a program to one call, over whatever else it hears, in a room or not; ends the one
    /// of the same kind before.
    PlayOver {
        /// The call.
        call: CallId,
        /// Play or Speak.
        kind: AnnouncementKind,
        /// It hears what else it hears at the same time; else it hears nothing else. (Simulated
        /// phones hear one thing at a time.)
        mixes: bool,
        /// It is cut off when it has been heard for so long.
        length: Option<Duration>,
        /// What to play.
        program: Program,
    },
    /// Stops what [`Order::PlayOver`] has begun. Nothing happens if it is over already.
    StopOver {
        /// The call.
        call: CallId,
        /// Play or Speak.
        kind: AnnouncementKind,
    },
    /// Sends key presses to the far end. At the end comes [`Heard::Over`] with this number.
    SendDigits {
        /// The call.
        call: CallId,
        /// Good within the call; rises.
        number: u32,
        /// Of `0-9*#ABCD`, `w` (half a second's pause) and `W` (a second's).
        digits: Arc<str>,
    },
    /// Puts calls into a room, or changes what they hear in it. Ends what was played to them.
    Place {
        /// The room.
        room: Arc<Incarnation>,
        /// The calls.
        calls: Vec<CallId>,
        /// What they hear while nothing is played to them.
        hears: Hears,
    },
    /// Out of the room, all in one step: the mix, its sounds and its private ones. The calls
    /// themselves stay up, in silence.
    Remove {
        /// The room.
        room: RoomId,
        /// The calls.
        calls: Vec<CallId>,
    },
    /// Whether the others hear these members. A member is not muted until told, which may be
    /// just before it is placed; removal from the room ends it.
    Mute {
        /// The room.
        room: RoomId,
        /// The calls.
        calls: Vec<CallId>,
        /// True: not heard.
        on: bool,
    },
    /// Whether these members hear the others. What is played to them they hear all the same.
    Deafen {
        /// The room.
        room: RoomId,
        /// The calls.
        calls: Vec<CallId>,
        /// True: hear nothing of the room.
        on: bool,
    },
    /// Plays a program to members, over the room. A second one waits for the first, per member;
    /// one for which [`ANNOUNCEMENTS_MAX`] others wait is dropped.
    Announce {
        /// The room.
        room: RoomId,
        /// Those who hear it.
        calls: Vec<CallId>,
        /// By this it can be taken back; None for beeps and the like, which cannot.
        address: Option<Arc<Address>>,
        /// What to play.
        program: Program,
    },
    /// Stops, for these members, all announcements under the same address, queued ones included.
    Hush {
        /// The room.
        room: RoomId,
        /// The calls.
        calls: Vec<CallId>,
        /// As it was announced.
        address: Arc<Address>,
    },
    /// Makes a member's key press heard by others in the room (`relayDTMF`).
    RelayDigit {
        /// The room.
        room: RoomId,
        /// Those who hear it.
        calls: Vec<CallId>,
        /// Of `0-9*#ABCD`.
        digit: char,
    },
}

/// So many announcements are minutes of sound: whoever sends more does not listen.
pub const ANNOUNCEMENTS_MAX: usize = 100;

impl Order {
    /// Whom it concerns.
    pub fn calls(&self) -> &[CallId] {
        match self {
            Self::Answer { call }
            | Self::Dial { call, .. }
            | Self::EarlyMedia { call }
            | Self::End { call, .. }
            | Self::Play { call, .. }
            | Self::PlayOver { call, .. }
            | Self::StopOver { call, .. }
            | Self::Prepare { call, .. }
            | Self::Stop { call }
            | Self::SendDigits { call, .. } => slice::from_ref(call),
            Self::Place { calls, .. }
            | Self::Remove { calls, .. }
            | Self::Mute { calls, .. }
            | Self::Deafen { calls, .. }
            | Self::Announce { calls, .. }
            | Self::Hush { calls, .. }
            | Self::RelayDigit { calls, .. } => calls,
        }
    }
}

/// What a member hears of a room, while nothing is played to it.
#[derive(Clone, Debug, PartialEq)]
pub enum Hears {
    /// The others.
    Room,
    /// The wait sound, over and over, and nobody: a member that waits, or is alone. None (or
    /// nothing in it) is silence.
    Wait(Option<Program>),
}

/// Under what an announcement is known: a stop needs the same words as the start.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Address {
    /// Which of the two families of endpoints.
    pub kind: AnnouncementKind,
    /// The members named, in rising order; None for `all`.
    pub members: Option<Vec<MemberId>>,
}

/// `Member/…/Play/` and `Member/…/Speak/` are stopped apart.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AnnouncementKind {
    /// A sound by its URL.
    Play,
    /// A text.
    Speak,
}

/// Sounds, one after the other. Shared by all who hear them.
pub type Program = Arc<[Sound]>;

/// One sound of a program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sound {
    /// What it is.
    pub what: What,
    /// How many times it is played; 0 is for as long as the call is up.
    pub times: u32,
}

/// What is heard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// A short tone; 1 and 2 differ (`beep:1`, `beep:2`).
    Beep(u8),
    /// Nothing, for so long.
    Silence(Duration),
    /// A sound by its URL: `http(s)://…`, `flow:FILE`, or `sound:hold|ring|beep`.
    Url(Arc<str>),
    /// A text, in plain characters.
    Speech {
        /// The words.
        text: Arc<str>,
        /// `WOMAN`, `MAN`, or a name that the speech backend may know.
        voice: Arc<str>,
        /// Such as `en-US`.
        language: Arc<str>,
    },
}

impl From<What> for Sound {
    fn from(what: What) -> Self {
        Self { what, times: 1 }
    }
}

/// Something that happened on a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Report {
    /// The call.
    pub call: CallId,
    /// What happened.
    pub heard: Heard,
}

/// What a backend hears of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard {
    /// The far end, which we have called, has picked up.
    Answered,
    /// The far end pressed a key: one of `0-9*#ABCD`.
    Digit(char),
    /// The far end, which we have called, cannot be had.
    Failed(HangupCause),
    /// The far end holds us (true: sendonly, inactive), or is back.
    Hold(bool),
    /// The far end has hung up.
    HungUp,
    /// The media went away.
    Lost,
    /// The order with this number has come to its end.
    Over(u32),
    /// The far end, which we have called, rings.
    Ringing,
    /// The far end began (true) or ceased to talk. Muted or not: the engine knows that.
    Talk(bool),
}

/// A place that carries sound.
pub trait Backend: Send + Sync + 'static {
    /// Takes an order. It has taken effect when this returns; nothing in it waits, and no report
    /// is made from within.
    fn send(&self, order: Order);

    /// The same for an order that concerns many calls, a part of them at a time: those from that
    /// place in [`Order::calls`] on. Returns the place to go on from; none is left if it is the end.
    ///
    /// For those who take longer than others on the thread may be made to wait. Where all happens
    /// in one step in any case, it is done at the first time.
    fn send_part(&self, order: &Order, from: usize) -> usize {
        if from == 0 {
            self.send(order.clone());
        }
        order.calls().len()
    }

    /// Whether there is a way to somebody, before [`Order::Dial`] goes it.
    ///
    /// # Errors
    ///
    /// There is none.
    fn can_dial(&self, to: &str) -> Result<(), NoWay> {
        Err(NoWay { to: to.into(), hint: "this backend makes no calls".to_owned() })
    }
}

/// There is no way to somebody.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no way to {to:?}: {hint}")]
pub struct NoWay {
    /// Who was to be called.
    pub to: Arc<str>,
    /// What would have helped.
    pub hint: String,
}

/// What a backend reports to: the engine, as a backend sees it.
pub trait Exchange: Send + Sync + 'static {
    /// A call comes in. It is ringing; orders for its id follow, perhaps before this returns, so
    /// the backend knows the id first.
    ///
    /// # Errors
    ///
    /// No flow is to be found for the called number: the call is not taken.
    fn arrive(&self, arrival: Arrival) -> Result<(), NoFlow>;

    /// Something happened on a call. A report for a call that is over changes nothing.
    fn report(&self, report: Report);

    /// How the sound of a call was, which is over or about to be: for its record. Calls without
    /// sound have none.
    fn sounded(&self, call: CallId, sound: LegSummary) {
        tracing::debug!(%call, ?sound, "nobody keeps how it sounded");
    }
}

/// A call that comes in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Arrival {
    /// Its id, of the backend's making: random, never used before.
    pub call: CallId,
    /// The account, where the way in settles it; else the called number does.
    pub account: Option<AccountId>,
    /// Who calls: a number without `+`, or a SIP URI.
    pub from: Arc<str>,
    /// Who is called.
    pub to: Arc<str>,
    /// The caller's display name, or nothing.
    pub caller_name: Arc<str>,
    /// `X-PH-…` and `X-VH-…` headers of the caller's signalling, which become callback fields.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// Who the caller is beyond doubt; None if it may only claim to be somebody.
    pub trusted: Option<Trusted>,
}

/// There is no flow for a called number.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no flow for {to:?}: {hint}")]
pub struct NoFlow {
    /// Who was called.
    pub to: Arc<str>,
    /// What would have helped.
    pub hint: String,
}
