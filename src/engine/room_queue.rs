//! Room queue: messages to the actor of a conference, and the limit of asks among them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::queue::{self, QueueReceiver, QueueSender};
use crate::{
    base::ids::{Incarnation, MemberId, RoomId},
    call::Call,
    conference::{Ask, Outcome, Refusal},
    flow::{Cause, JoinOptions},
    media::{LegEvent, Program},
};

/// The queue of a room's actor, from outside.
#[derive(Debug)]
pub(super) struct RoomHandle {
    pub(super) incarnation: Arc<Incarnation>,
    queue: QueueSender<RoomMessage>,
    /// How many asks are in the queue. All else is bounded by the number of calls.
    asks: AtomicUsize,
    asks_max: usize,
}

/// What waits in a room's queue.
#[derive(Debug)]
pub(super) enum RoomMessage {
    /// With the request of the API that asks.
    Ask {
        ask: Box<(Option<Uuid>, Ask)>,
        reply: oneshot::Sender<Outcome>,
    },
    Close,
    Enter {
        member: MemberId,
        call: Box<Call>,
        entry: Arc<JoinOptions>,
    },
    HangUp {
        member: MemberId,
        cause: Cause,
    },
    Report {
        member: MemberId,
        heard: LegEvent,
    },
    Sounds {
        number: u32,
        program: Program,
    },
}

/// Some wait in a queue at times, and there are many queues.
const _: () = assert!(size_of::<RoomMessage>() <= 32);

/// Why an ask brought no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AskError {
    /// Nothing has happened.
    #[error("the conference is too busy: try again")]
    Busy,
    /// There is no conference of that name.
    #[error("conference not found")]
    Gone,
    /// It may have happened or not.
    #[error("no answer in time: outcome unknown")]
    Late,
    /// The conference said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl RoomHandle {
    pub(super) fn new(
        incarnation: Arc<Incarnation>,
        asks_max: usize,
    ) -> (Arc<Self>, QueueReceiver<RoomMessage>) {
        let (queue, receiver) = queue::queue();
        (Arc::new(Self { incarnation, queue, asks: AtomicUsize::new(0), asks_max }), receiver)
    }

    /// An ask has left the queue.
    pub(super) fn ask_taken(&self) {
        self.asks.fetch_sub(1, Ordering::Relaxed);
    }

    /// Only asks can be too many.
    pub(super) fn ask(
        &self,
        api_id: Option<Uuid>,
        ask: Ask,
        reply: oneshot::Sender<Outcome>,
    ) -> Result<(), AskError> {
        if self.asks_max <= self.asks.fetch_add(1, Ordering::Relaxed) {
            self.asks.fetch_sub(1, Ordering::Relaxed);
            return Err(AskError::Busy);
        }
        self.queue
            .send(RoomMessage::Ask { ask: Box::new((api_id, ask)), reply })
            .map_err(|_| AskError::Gone)
    }

    /// What must be heard however many ask. The number of these is bounded by that of removals
    /// that are under way.
    pub(super) fn ask_unlimited(&self, ask: Ask, reply: oneshot::Sender<Outcome>) {
        self.asks.fetch_add(1, Ordering::Relaxed);
        drop(self.queue.send(RoomMessage::Ask { ask: Box::new((None, ask)), reply }));
    }

    /// Hands the call back if nobody is there to take it.
    pub(super) fn enter(
        &self,
        member: MemberId,
        call: Box<Call>,
        entry: Arc<JoinOptions>,
    ) -> Result<(), Box<Call>> {
        match self.queue.send(RoomMessage::Enter { member, call, entry }) {
            Err(RoomMessage::Enter { call, .. }) => Err(call),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// A room that is gone has let its members go before: the report is stale.
    pub(super) fn report(&self, member: MemberId, heard: LegEvent) {
        drop(self.queue.send(RoomMessage::Report { member, heard }));
    }

    pub(super) fn hang_up(&self, member: MemberId, cause: Cause) {
        drop(self.queue.send(RoomMessage::HangUp { member, cause }));
    }

    /// A sound for an incarnation that is over is not wanted by the next.
    pub(super) fn sounds(&self, room: RoomId, number: u32, program: Program) {
        if room == self.incarnation.id {
            drop(self.queue.send(RoomMessage::Sounds { number, program }));
        }
    }

    pub(super) fn close(&self) {
        drop(self.queue.send(RoomMessage::Close));
    }
}
