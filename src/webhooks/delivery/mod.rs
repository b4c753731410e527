//! Delivery of callbacks: in order, one at a time per queue, with retries until they arrive or
//! expire.
//!
//! ```text
//!            a slot is free                the item is delivered or dropped
//!  Ready --------------------> InFlight ----------------------------------> Ready: the next item
//!    ^                             |
//!    '-------- BackingOff <--------'  the attempt failed, and is retried
//! ```
//!
//! A [`QueueKey`] identifies what is kept in order: the notices of a conference to one URL, or
//! those of one call. A queue that waits for its receiver does not delay others: requests to each
//! receiver are limited, and failing receivers share a few slots of their own, so that a thousand
//! dead ones leave the healthy ones theirs.
//!
//! The machine is pure. It knows neither HTTP nor the content of an item.

mod lengths;
mod round_robin;
mod state;

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::state::Delivery;
use crate::base::ids::{AccountId, CallId, RoomId};

/// Commands of the delivery machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<P> {
    /// An item is to be delivered.
    Queue(DeliveryItem<P>),
    /// A request has ended.
    Done {
        /// Ticket of the [`Effect::Send`] that started it.
        ticket: DeliveryTicket,
        /// Result of the request.
        outcome: Outcome,
    },
    /// A deadline has passed.
    Tick,
    /// The engine shuts down: items that are not in flight are dropped.
    Close,
}

/// Effects of the delivery machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<P> {
    /// Start a request; one [`Command::Done`] answers.
    Send {
        /// Ticket that [`Command::Done`] must return.
        ticket: DeliveryTicket,
        /// Number of the attempt, from 1.
        attempt: u8,
        /// Payload of the item.
        payload: P,
    },
    /// An item has been delivered.
    Delivered {
        /// Time since it was queued.
        lag: Duration,
        /// Number of attempts, from 1.
        attempts: u8,
        /// The payload of the item.
        payload: P,
    },
    /// An item has been dropped.
    Dropped {
        /// Reason of the drop.
        why: DropReason,
        /// Number of attempts, from 0.
        attempts: u8,
        /// The item, for the log.
        item: DeliveryItem<P>,
    },
}

/// An item to deliver.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryItem<P> {
    /// The account that has the item.
    pub account: AccountId,
    /// Items with equal keys are delivered in order.
    pub queue: QueueKey,
    /// Receiver (scheme, host and port), whose concurrent requests are limited.
    pub receiver: Arc<str>,
    /// Sequence number in its conference or among its call's events; for the log.
    pub sequence: u64,
    /// Maximum number of attempts: [`ATTEMPTS_MAX`], or the URL's own.
    pub attempts_max: u8,
    /// Attempts of earlier processes, which count too.
    pub attempts_before: u8,
    /// Its age when it is queued; more than zero if an earlier process had queued it.
    pub age: Duration,
    /// Content of the request. Cloned for each attempt.
    pub payload: P,
}

/// Identity of a queue, whose items are delivered in order.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct QueueKey {
    /// Conference or call that the items are about.
    pub owner: QueueOwner,
    /// URL as its author wrote it.
    pub url: Arc<str>,
    /// Set by `callbackOrder="call"`: only the items of one call are kept in order, and
    /// [`BY_CALL_IN_FLIGHT_MAX`] may be in flight at a time.
    pub by_call: Option<CallId>,
}

/// Subject of a queue's items.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum QueueOwner {
    /// A call, for `ring_url`, `hangup_url`, ….
    Call(CallId),
    /// A conference, for its `callbackUrl`.
    Room(RoomId),
}

impl fmt::Display for QueueOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => write!(f, "call {call}"),
            Self::Room(room) => write!(f, "conference {room}"),
        }
    }
}

/// Identifies a request in flight.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct DeliveryTicket(u64);

/// Result of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The receiver has confirmed.
    Arrived,
    /// The request failed, and may be retried.
    Failed,
    /// The request failed, and no retry would help.
    Refused,
}

/// Reason why an item is dropped.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum DropReason {
    /// The engine has shut down.
    Closed,
    /// All attempts have failed, or the last one after [`AGE_MAX`].
    Exhausted,
    /// Its queue, or all queues together, were full; the oldest item is dropped.
    Full,
    /// The URL is refused, or the receiver's response is final.
    Refused,
}

impl DropReason {
    /// Text for logs and metrics, one word.
    pub fn text(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Exhausted => "exhausted",
            Self::Full => "full",
            Self::Refused => "refused",
        }
    }
}

/// Limits of a delivery. Each field's default is the constant of its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DeliveryLimits {
    /// Concurrent requests to receivers that respond.
    pub in_flight_max: usize,
    /// Of these, requests to one receiver.
    pub in_flight_per_receiver_max: usize,
    /// Concurrent requests to receivers whose last response was a failure.
    pub failing_in_flight_max: usize,
    /// Of these, requests to one receiver.
    pub failing_in_flight_per_receiver_max: usize,
    /// Items in one queue; at least 2.
    pub queue_items_max: usize,
    /// Items in all queues together.
    pub items_max: usize,
}

impl Default for DeliveryLimits {
    fn default() -> Self {
        Self {
            in_flight_max: IN_FLIGHT_MAX,
            in_flight_per_receiver_max: IN_FLIGHT_PER_RECEIVER_MAX,
            failing_in_flight_max: FAILING_IN_FLIGHT_MAX,
            failing_in_flight_per_receiver_max: FAILING_IN_FLIGHT_PER_RECEIVER_MAX,
            queue_items_max: QUEUE_ITEMS_MAX,
            items_max: ITEMS_MAX,
        }
    }
}

/// Guarantee 4: number of attempts, unless the URL has its own.
pub const ATTEMPTS_MAX: u8 = 155;

/// Guarantee 4: an item that fails at this age is not retried. Restarts do not make it younger.
pub const AGE_MAX: Duration = Duration::from_secs(86_400);

/// Due times of the first attempts, in seconds from the first; the others follow every
/// [`ATTEMPT_EVERY`] until [`AGE_MAX`]. A receiver that restarts is reached within seconds, one that
/// moves within minutes.
pub const ATTEMPTS_DUE: [u64; 12] = [0, 1, 3, 8, 20, 45, 90, 150, 240, 360, 480, 600];

/// Time between two later attempts.
pub const ATTEMPT_EVERY: Duration = Duration::from_secs(600);

/// Minimum back-off of a queue after a failure, even if the next attempt is overdue.
pub const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// Guarantee 4: concurrent requests for `callbackOrder="call"`, per conference and URL.
pub const BY_CALL_IN_FLIGHT_MAX: usize = 16;

/// Enough for responses of 10 ms at 50,000 a second.
pub const IN_FLIGHT_MAX: usize = 512;

/// As many concurrent requests as a small server can handle.
pub const IN_FLIGHT_PER_RECEIVER_MAX: usize = 64;

/// Half as many again for failing receivers, which wait only for each other.
pub const FAILING_IN_FLIGHT_MAX: usize = 256;

/// Enough to notice that a receiver is back.
pub const FAILING_IN_FLIGHT_PER_RECEIVER_MAX: usize = 16;

/// Notices of a busy room for some minutes; a receiver that is away longer must query anyway.
pub const QUEUE_ITEMS_MAX: usize = 10_000;

/// Some 100 MB of items, of all accounts. Beyond it, the account that has the most loses some.
pub const ITEMS_MAX: usize = 200_000;

/// So large a part of [`ITEMS_MAX`] is added for others, if the account that has the most has nothing to
/// drop but the only item of each queue.
pub(super) const SPARE_PART: usize = 4;

/// Time of the attempt after `attempts` ones, from the first.
fn due(attempts: u8) -> Duration {
    let attempts = usize::from(attempts);
    match ATTEMPTS_DUE.get(attempts) {
        Some(seconds) => Duration::from_secs(*seconds),
        None => {
            let last = Duration::from_secs(ATTEMPTS_DUE[ATTEMPTS_DUE.len() - 1]);
            let later = u32::try_from(attempts + 1 - ATTEMPTS_DUE.len()).unwrap_or(u32::MAX);
            last + ATTEMPT_EVERY * later
        }
    }
}
