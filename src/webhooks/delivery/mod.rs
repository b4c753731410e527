//! Callbacks on their way: in order, one at a time per lane, again and again until they arrive or
//! their time is up.
//!
//! ```text
//!            its turn has come             it has arrived, or is given up
//!  Ready --------------------> Flying ------------------------------------> Ready: the next one
//!    ^                            |
//!    '---------- Resting <--------'  it has failed, and is tried again
//! ```
//!
//! A [`Lane`] is what is kept in order: the notices of a conference to one URL, or those of one
//! call. A lane that waits for its receiver holds up no other: every receiver has so many
//! requests at a time and no more, and those that fail share a few turns among themselves, so
//! that a thousand dead ones leave the living theirs.
//!
//! The machine is pure. It knows neither HTTP nor what is in a parcel.

mod round_robin;
mod state;

use std::{fmt, sync::Arc, time::Duration};

pub use self::state::Delivery;
use crate::base::ids::{CallId, RoomId};

/// Everything that can happen to a delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<P> {
    /// Something is to be delivered.
    Queue(Parcel<P>),
    /// A request is over.
    Done {
        /// Of [`Effect::Send`].
        ticket: Ticket,
        /// How.
        outcome: Outcome,
    },
    /// A deadline has passed.
    Tick,
    /// The engine shuts down: what is not on its way is given up.
    Close,
}

/// Everything a delivery can ask of the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<P> {
    /// Makes a request; one [`Command::Done`] answers.
    Send {
        /// Comes back with the answer.
        ticket: Ticket,
        /// Which try it is, from 1.
        attempt: u8,
        /// What is sent.
        load: P,
    },
    /// It has arrived.
    Delivered {
        /// How long it took since it was queued.
        lag: Duration,
        /// Tries, from 1.
        attempts: u8,
    },
    /// It is given up.
    Dropped {
        /// Why.
        why: Why,
        /// Tries, from 0.
        attempts: u8,
        /// What.
        parcel: Parcel<P>,
    },
}

/// Something to be delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Parcel<P> {
    /// What it is kept in order with.
    pub lane: Lane,
    /// Who is asked (scheme, host and port): how much is asked of it at a time.
    pub receiver: Arc<str>,
    /// Its number in its conference, or among its call's events; for those who read of its loss.
    pub sequence: u64,
    /// How often it is tried: [`ATTEMPTS_MAX`], or what its URL names.
    pub attempts_max: u8,
    /// What is sent. Cloned for each try.
    pub load: P,
}

/// What is kept in order.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Lane {
    /// Whose notices.
    pub owner: Owner,
    /// Where to, as its author wrote it.
    pub url: Arc<str>,
    /// `callbackOrder="call"`: only those of one call are kept in order, and
    /// [`BY_CALL_FLYING_MAX`] are on their way at a time.
    pub by_call: Option<CallId>,
}

/// Whose notices a lane carries.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Owner {
    /// A call's (`ring_url`, `hangup_url`, …).
    Call(CallId),
    /// A conference's.
    Room(RoomId),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => write!(f, "call {call}"),
            Self::Room(room) => write!(f, "conference {room}"),
        }
    }
}

/// A request under way.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Ticket(u64);

/// How a request ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Well.
    Arrived,
    /// Badly; it is tried again.
    Failed,
    /// Badly, and no try will change that.
    Refused,
}

/// Why something is given up.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Why {
    /// The engine has shut down.
    Closed,
    /// All tries have failed, or the last one after [`LIFE`].
    Exhausted,
    /// Its queue, or all of them together, had no more room; the oldest goes.
    Full,
    /// Its URL is refused, or its receiver's answer is final.
    Refused,
}

impl Why {
    /// For logs and metrics.
    pub fn text(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Exhausted => "exhausted",
            Self::Full => "full",
            Self::Refused => "refused",
        }
    }
}

/// How much a delivery holds, and does at a time. Each field's default is the constant of its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Requests at a time, to receivers that answer.
    pub flying_max: usize,
    /// Of those, to one receiver.
    pub flying_per_receiver_max: usize,
    /// Requests at a time, to receivers whose last answer was a failure.
    pub ailing_max: usize,
    /// Of those, to one receiver.
    pub ailing_per_receiver_max: usize,
    /// Parcels in one lane; at least 2.
    pub lane_parcels_max: usize,
    /// Parcels in all lanes.
    pub parcels_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flying_max: FLYING_MAX,
            flying_per_receiver_max: FLYING_PER_RECEIVER_MAX,
            ailing_max: AILING_MAX,
            ailing_per_receiver_max: AILING_PER_RECEIVER_MAX,
            lane_parcels_max: LANE_PARCELS_MAX,
            parcels_max: PARCELS_MAX,
        }
    }
}

/// Guarantee 4: so many tries, if the URL names no number.
pub const ATTEMPTS_MAX: u8 = 12;

/// Guarantee 4: what fails at this age, counted from its queueing, is not tried again.
pub const LIFE: Duration = Duration::from_secs(600);

/// When each try is due, in seconds from the first one. A receiver that restarts is found within
/// seconds, one that is moved within minutes.
pub const DUE: [u64; ATTEMPTS_MAX as usize] = [0, 1, 3, 8, 20, 45, 90, 150, 240, 360, 480, 600];

/// After a failure a lane rests at least so long, also when a late try's next is overdue.
pub const REST_MIN: Duration = Duration::from_secs(1);

/// Of `callbackOrder="call"` (guarantee 4), per conference and URL.
pub const BY_CALL_FLYING_MAX: usize = 16;

/// Sockets and memory for 10 ms answers at 50,000 a second.
pub const FLYING_MAX: usize = 512;

/// What a small receiver's server can bear at a time.
pub const FLYING_PER_RECEIVER_MAX: usize = 64;

/// Half as many again for those that fail: they wait for each other, and for nobody else.
pub const AILING_MAX: usize = 256;

/// Enough to find out that a receiver is back.
pub const AILING_PER_RECEIVER_MAX: usize = 16;

/// A busy room's notices of some minutes; whoever is away for longer has to ask anyway.
pub const LANE_PARCELS_MAX: usize = 10_000;

/// Some 100 MB of parcels.
pub const PARCELS_MAX: usize = 200_000;
