//! Worker queue: messages to a call worker, and to the calls that it has.

use parking_lot::Mutex;
use tokio::sync::{
    mpsc::{self, UnboundedReceiver, UnboundedSender},
    oneshot,
};

use super::recorder::Receipt;
use crate::{
    base::ids::CallId,
    call::Call,
    flow::{Cause, DocumentRequest, Fetched, RecordReport},
    media::LegEvent,
};

/// Handle to a worker: its queue, and the receiver while no actor runs.
#[derive(Debug)]
pub(super) struct CallWorker {
    queue: UnboundedSender<WorkerMessage>,
    pub(super) parked: Mutex<Option<UnboundedReceiver<WorkerMessage>>>,
}

/// A message to one call.
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
    /// A report on the recording of this number.
    Recorded(Box<(u32, RecordReport)>),
    /// The sender is used if the call was queued, and has ended.
    Cancel(Box<(Option<Receipt>, oneshot::Sender<()>)>),
    /// The sender is used once the transfer is done.
    Transfer(Box<(DocumentRequest, Option<Receipt>, oneshot::Sender<()>)>),
}

#[derive(Debug)]
pub(super) enum WorkerMessage {
    Arrive(Box<Call>),
    /// The call will arrive; its messages wait for it.
    Expect(CallId),
    /// The expected call will not arrive.
    Forget(CallId),
    Deliver(CallId, CallMessage),
}

// A queue holds many of them.
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

    /// A message for a call that is neither here nor expected is stale and dropped.
    pub(super) fn deliver(&self, call: CallId, message: CallMessage) {
        self.send(WorkerMessage::Deliver(call, message));
    }

    pub(super) fn send(&self, message: WorkerMessage) {
        // The receiver lives as long as the worker, unless the actors' runtime is gone.
        drop(self.queue.send(message));
    }
}
