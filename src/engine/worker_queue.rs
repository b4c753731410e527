//! Worker queue: messages to a call worker, and to the calls that it has.

use parking_lot::Mutex;
use tokio::sync::{
    mpsc::{self, UnboundedReceiver, UnboundedSender},
    oneshot,
};

use crate::{
    base::ids::CallId,
    call::Call,
    flow::{Cause, DocumentRequest, Fetched},
    media::LegEvent,
};

/// The queue of a worker, from outside.
#[derive(Debug)]
pub(super) struct CallWorker {
    queue: UnboundedSender<WorkerMessage>,
    /// None while an actor has it.
    pub(super) parked: Mutex<Option<UnboundedReceiver<WorkerMessage>>>,
}

/// What reaches a call on its own.
#[derive(Debug)]
pub(super) enum CallMessage {
    Fetched {
        number: u32,
        fetched: Box<Fetched>,
    },
    HangUp {
        cause: Cause,
    },
    Heard(LegEvent),
    /// Answered once it is done.
    Transfer(Box<(DocumentRequest, oneshot::Sender<()>)>),
}

#[derive(Debug)]
pub(super) enum WorkerMessage {
    Arrive(Box<Call>),
    /// The call is on its way: what reaches it before it is here waits for it.
    Expect(CallId),
    /// It does not come.
    Forget(CallId),
    Deliver(CallId, CallMessage),
}

/// Calls are many.
const _: () = assert!(size_of::<WorkerMessage>() <= 32);

impl CallWorker {
    pub(super) fn new() -> Self {
        let (queue, inbox) = mpsc::unbounded_channel();
        Self { queue, parked: Mutex::new(Some(inbox)) }
    }

    pub(super) fn arrive(&self, call: Box<Call>) {
        self.send(WorkerMessage::Arrive(call));
    }

    pub(super) fn forget(&self, call: CallId) {
        self.send(WorkerMessage::Forget(call));
    }

    /// One for a call that is not here, nor expected, is stale.
    pub(super) fn deliver(&self, call: CallId, message: CallMessage) {
        self.send(WorkerMessage::Deliver(call, message));
    }

    pub(super) fn send(&self, message: WorkerMessage) {
        // Its queue lives as long as it, unless the actors' runtime is gone.
        drop(self.queue.send(message));
    }
}
