//! Call worker: runs the calls that are not in a conference.
//!
//! One worker has many calls, so that a call costs no task, queue or timer of its own. The actor
//! runs only while the worker has calls; in between its receiver is parked in `CallWorker`.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    time::Instant,
};

use tokio::{
    sync::{mpsc::UnboundedReceiver, oneshot},
    task,
    time::{self, sleep_until},
};

use super::{
    TurnOutcome,
    recorder::{AskedBy, Receipt},
    registry::{AskError, CallPlace, PendingTransfer, Registry},
    spawner::Actor,
    worker_queue::{CallMessage, CallWorker, WorkerMessage},
};
use crate::{
    base::{call_map::CallMap, ids::CallId},
    call::{Call, CallAct, Effect},
    conference::{Ask, LegTransfer, Outcome, Refusal},
    flow::Cause,
};

impl CallWorker {
    /// Announces a call, whose messages may come before it. Starts the actor if none runs.
    pub(super) fn expect(self: &Arc<Self>, call: CallId, registry: &Arc<Registry>) {
        let mut parked = self.parked.lock();
        self.send(WorkerMessage::Expect(call));
        let Some(inbox) = parked.take() else { return };
        drop(parked);
        let actor = CallWorkerActor::new(self.clone(), inbox, registry.clone());
        registry.links.spawner.spawn_call_worker(Box::new(actor));
    }
}

impl Registry {
    /// Tells the current owner of a call to run another document, or its callee, or both. If the answer's channel closes
    /// without a value, the call has moved meanwhile: ask again.
    ///
    /// # Errors
    ///
    /// [`AskError::Gone`] if there is no such call, [`AskError::Busy`] if its room's queue is full, and
    /// [`Refusal::NoCallee`] if a callee is meant and the call is in no room.
    pub fn transfer(
        &self,
        call: CallId,
        legs: LegTransfer,
        receipt: Option<Receipt>,
    ) -> Result<PendingTransfer, AskError> {
        let places = self.places.of_call(call);
        if !places.is_up(call) {
            return Err(AskError::Gone);
        }
        Ok(match places.find(call) {
            Some(CallPlace::Worker) => {
                let (None, Some(request)) = (legs.callee, legs.own) else {
                    return Err(AskError::Refused(Refusal::NoCallee));
                };
                let (reply, answer) = oneshot::channel();
                self.deliver(call, CallMessage::Transfer(Box::new((request, receipt, reply))));
                PendingTransfer::Call(answer)
            }
            Some(CallPlace::Room { room, member }) => {
                let (reply, answer) = oneshot::channel();
                let by = AskedBy { api_id: None, receipt };
                match room.ask(by, Ask::Transfer { member: *member, legs }, reply) {
                    Ok(()) | Err(AskError::Gone) => PendingTransfer::Room(answer),
                    Err(error) => return Err(error),
                }
            }
            None => PendingTransfer::InTransit,
        })
    }

    /// Asks the room of a call for the callee that is connected with it. None: the call is between two
    /// places, so ask again. The answer's channel closes without a value if the room ends first.
    ///
    /// # Errors
    ///
    /// [`AskError::Gone`] if there is no such call, [`AskError::Busy`] if its room's queue is full, and
    /// [`Refusal::NoCallee`] if it is in no room.
    pub fn ask_callee(&self, call: CallId) -> Result<Option<oneshot::Receiver<Outcome>>, AskError> {
        let places = self.places.of_call(call);
        if !places.is_up(call) {
            return Err(AskError::Gone);
        }
        match places.find(call) {
            Some(CallPlace::Worker) => Err(AskError::Refused(Refusal::NoCallee)),
            Some(CallPlace::Room { room, member }) => {
                let (reply, answer) = oneshot::channel();
                match room.ask(AskedBy::default(), Ask::Callee { member: *member }, reply) {
                    Ok(()) => Ok(Some(answer)),
                    Err(AskError::Gone) => Ok(None),
                    Err(error) => Err(error),
                }
            }
            None => Ok(None),
        }
    }

    /// Ends a call that neither rings nor is answered yet. The call decides: the answer's channel
    /// closes without a value if it is too late for that. None: it is in no worker, so not queued.
    pub fn cancel(&self, call: CallId, receipt: Option<Receipt>) -> Option<oneshot::Receiver<()>> {
        let places = self.places.of_call(call);
        let CallPlace::Worker = places.find(call)? else { return None };
        let (reply, answer) = oneshot::channel();
        self.deliver(call, CallMessage::Cancel(Box::new((receipt, reply))));
        Some(answer)
    }
}

/// The actor that runs a worker's calls.
#[derive(Debug)]
pub(super) struct CallWorkerActor {
    worker: Arc<CallWorker>,
    /// None once it is parked in the worker.
    inbox: Option<UnboundedReceiver<WorkerMessage>>,
    /// The message that ended the last wait.
    next: Option<WorkerMessage>,
    slots: CallMap<CallSlot>,
    /// The next deadline of each call.
    deadlines: BTreeSet<(Instant, CallId)>,
    effects: Vec<Effect>,
    registry: Arc<Registry>,
}

#[derive(Debug)]
enum CallSlot {
    Expected(Vec<CallMessage>),
    Occupied { call: Box<Call>, due: Instant },
}

impl Actor for CallWorkerActor {
    fn turn(&mut self, now: Instant, _: &mut dyn FnMut() -> usize) -> TurnOutcome {
        self.turn(now)
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn spawn(mut self: Box<Self>) {
        tokio::spawn(async move { self.run().await });
    }
}

impl CallWorkerActor {
    fn new(
        worker: Arc<CallWorker>,
        inbox: UnboundedReceiver<WorkerMessage>,
        registry: Arc<Registry>,
    ) -> Self {
        Self {
            worker,
            inbox: Some(inbox),
            next: None,
            slots: CallMap::default(),
            deadlines: BTreeSet::new(),
            effects: Vec::new(),
            registry,
        }
    }

    /// Takes turns until the worker has no calls.
    async fn run(&mut self) {
        let mut sleep = pin!(sleep_until(time::Instant::now()));
        let mut left = TURNS_PER_SLICE;
        loop {
            match self.turn(time::Instant::now().into_std()) {
                TurnOutcome::Busy | TurnOutcome::Sliced if left == 0 => {
                    left = TURNS_PER_SLICE;
                    task::yield_now().await;
                }
                TurnOutcome::Busy | TurnOutcome::Sliced => left -= 1,
                TurnOutcome::Over => return,
                TurnOutcome::Idle => {
                    let Some(inbox) = &mut self.inbox else { return };
                    let deadline = self.deadlines.first().map(|(at, _)| (*at).into());
                    if let Some(at) = deadline.filter(|at| sleep.deadline() != *at) {
                        sleep.as_mut().reset(at);
                    }
                    tokio::select! {
                        message = inbox.recv() => self.next = message,
                        () = &mut sleep, if deadline.is_some() => (),
                    }
                    left = TURNS_PER_SLICE;
                }
            }
        }
    }

    /// Handles one deadline that has passed or, if none has, one message.
    fn turn(&mut self, now: Instant) -> TurnOutcome {
        let Some(inbox) = &mut self.inbox else { return TurnOutcome::Over };
        // A message that has left the queue comes first.
        let message = match self.next.take() {
            Some(message) => Some(message),
            None => match self.deadlines.first() {
                Some(&(at, call)) if at <= now => {
                    self.act(now, call, None);
                    return TurnOutcome::Busy;
                }
                Some(_) | None => inbox.try_recv().ok(),
            },
        };
        match message {
            Some(WorkerMessage::Expect(call)) => {
                let before = self.slots.insert(call, CallSlot::Expected(Vec::new()));
                debug_assert!(before.is_none(), "call {call} comes twice");
            }
            Some(WorkerMessage::Forget(call)) => drop(self.slots.remove(call)),
            Some(WorkerMessage::Arrive(call)) => self.receive_call(now, call),
            Some(WorkerMessage::Deliver(call, message)) => match self.slots.get_mut(call) {
                Some(CallSlot::Expected(messages)) => messages.push(message),
                Some(CallSlot::Occupied { .. }) => self.act(now, call, Some(message)),
                // Stale. A hang-up is not lost: the directory has it.
                None => (),
            },
            None if self.slots.is_empty() => return self.park(),
            None => return TurnOutcome::Idle,
        }
        TurnOutcome::Busy
    }

    fn receive_call(&mut self, now: Instant, call: Box<Call>) {
        let (id, due) = (call.id, call.deadline());
        self.deadlines.insert((due, id));
        let before = self.slots.insert(id, CallSlot::Occupied { call, due });
        let Some(CallSlot::Expected(messages)) = before else {
            unreachable!("an arriving call is expected first");
        };
        for message in messages {
            self.act(now, id, Some(message));
        }
    }

    /// A panic ends this call and no other.
    fn act(&mut self, now: Instant, id: CallId, message: Option<CallMessage>) {
        let act = AssertUnwindSafe(|| self.act_on(now, id, message));
        if catch_unwind(act).is_ok() {
            return;
        }
        self.effects.clear();
        if let Some(CallSlot::Occupied { call, due }) = self.slots.remove(id) {
            self.deadlines.remove(&(due, id));
            let ending = call.ending(&Cause::Fault.into());
            self.registry.go_on(now, call, CallAct::End(ending), &mut self.effects);
        }
    }

    /// Passes a message to a call, or its deadline if there is none. Ignores calls that have left.
    fn act_on(&mut self, now: Instant, id: CallId, message: Option<CallMessage>) {
        let Self { slots, effects, registry, .. } = self;
        let Some(CallSlot::Occupied { call, due }) = slots.get_mut(id) else { return };
        let mut reply = None;
        let act = match message {
            // A call whose time is up begins nothing more.
            Some(CallMessage::HangUp { cause }) => CallAct::End(call.ending(&cause.into())),
            Some(_) if call.ends_at <= now => call.tick(now, effects),
            Some(CallMessage::Fetched { number, fetched }) => {
                call.fetched(now, number, *fetched, effects)
            }
            Some(CallMessage::Heard(heard)) => call.heard(now, heard, effects),
            Some(CallMessage::Transfer(transfer)) => {
                let (request, receipt, asked) = *transfer;
                reply = Some((receipt, asked));
                call.transfer(request, effects)
            }
            Some(CallMessage::Cancel(asked)) => {
                let act = call.cancel();
                reply = matches!(act, CallAct::End(_)).then_some(*asked);
                act
            }
            None => call.tick(now, effects),
        };
        let (receipt, reply) = reply.unzip();
        let rows = receipt.flatten().map_or_else(Vec::new, |it: Receipt| it.rows(None));
        let before = *due;
        match act {
            CallAct::Stay => {
                *due = call.deadline();
                if *due != before {
                    self.deadlines.remove(&(before, id));
                    self.deadlines.insert((*due, id));
                }
                registry.perform(call, effects, rows, 1);
            }
            // Its messages in the queue are stale. A hang-up is not lost: the directory has it.
            act @ (CallAct::Dial(_) | CallAct::End(_) | CallAct::Join { .. }) => {
                self.deadlines.remove(&(before, id));
                let Some(CallSlot::Occupied { call, .. }) = self.slots.remove(id) else {
                    unreachable!("the call has just acted");
                };
                self.registry.record(Vec::new(), rows);
                self.registry.go_on(now, call, act, &mut self.effects);
            }
        }
        if let Some(reply) = reply {
            // The requester may have stopped waiting.
            let _ = reply.send(());
        }
    }

    /// Ends the actor once no call is left. The lock makes sure that `expect` finds the receiver
    /// parked, or that this finds its message.
    fn park(&mut self) -> TurnOutcome {
        let mut parked = self.worker.parked.lock();
        let Some(mut inbox) = self.inbox.take() else { return TurnOutcome::Over };
        match inbox.try_recv() {
            Ok(message) => {
                (self.inbox, self.next) = (Some(inbox), Some(message));
                TurnOutcome::Busy
            }
            Err(_) => {
                *parked = Some(inbox);
                TurnOutcome::Over
            }
        }
    }
}

/// Some tens of microseconds of work, also when all workers are busy at once.
const TURNS_PER_SLICE: u32 = 4;
