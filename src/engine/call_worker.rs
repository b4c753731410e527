//! Call worker: runs the calls that are not in a conference.
//!
//! One worker has many calls, so that a call costs no task, queue or timer of its own. The actor
//! runs only while the worker has calls; in between its receiver is parked in `CallWorker`.
//!
//! A turn passes some messages to their calls. What these decide is written in one frame before the
//! first effect of any of them is performed (see [`super::recorder`]).

use std::{
    collections::BTreeSet,
    mem,
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
    observed::{TurnRecord, take_events},
    recorder::{AskedBy, Receipt},
    registry::{AskError, CallPlace, Observed, PendingTransfer, Registry},
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
    /// What calls have decided in this turn, in order; empty between turns.
    decided: Vec<DecidedCall>,
    /// Their effects, in order, without the events.
    effects: Vec<Effect>,
    /// For the frame of the turn: events of one account, rows of calls, and answers of requests.
    record: TurnRecord,
    /// Documents that rows name no longer, once the frame is written.
    released: Vec<u128>,
    registry: Arc<Registry>,
}

/// What a call has decided. It is in its slot until the frame is written.
#[derive(Debug)]
struct DecidedCall {
    id: CallId,
    act: CallAct,
    /// The number of its effects.
    effects: usize,
    /// Answered once it is done.
    reply: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
enum CallSlot {
    Expected(Vec<CallMessage>),
    Occupied { call: Box<Call>, due: Instant },
}

impl Actor for CallWorkerActor {
    fn turn(&mut self, now: Instant, slice: &mut dyn FnMut() -> usize) -> TurnOutcome {
        match self.turn(now, slice()) {
            // What it has done may be the reason for others to do more.
            (TurnOutcome::Idle, true) => TurnOutcome::Busy,
            (outcome, _) => outcome,
        }
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
            decided: Vec::new(),
            effects: Vec::new(),
            record: TurnRecord::default(),
            released: Vec::new(),
            registry,
        }
    }

    /// Takes turns until the worker has no calls.
    async fn run(&mut self) {
        let mut sleep = pin!(sleep_until(time::Instant::now()));
        loop {
            let (outcome, _) = self.turn(time::Instant::now().into_std(), MESSAGES_PER_TURN);
            match outcome {
                TurnOutcome::Busy | TurnOutcome::Sliced => task::yield_now().await,
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
                }
            }
        }
    }

    /// Handles deadlines that have passed and then messages, so many in all. The flag says whether there
    /// was anything.
    fn turn(&mut self, now: Instant, messages: usize) -> (TurnOutcome, bool) {
        let (mut outcome, mut has_acted) = (TurnOutcome::Busy, false);
        for _ in 0..messages.clamp(1, MESSAGES_PER_TURN) {
            outcome = self.step(now);
            if outcome != TurnOutcome::Busy {
                break;
            }
            has_acted = true;
        }
        self.carry_out(now);
        // It parks in its next turn.
        let is_empty = outcome == TurnOutcome::Idle && self.slots.is_empty();
        (if is_empty { TurnOutcome::Busy } else { outcome }, has_acted)
    }

    /// Handles one deadline that has passed or, if none has, one message.
    fn step(&mut self, now: Instant) -> TurnOutcome {
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

    /// Passes a message to a call, or its deadline if there is none. Ignores calls that have left. What
    /// it decides is carried out at the end of the turn, or before the call decides again.
    fn act(&mut self, now: Instant, id: CallId, message: Option<CallMessage>) {
        if self.decided.iter().any(|it| it.id == id) || !self.is_of_same_account(id) {
            self.carry_out(now);
        }
        let from = self.effects.len();
        let decide = AssertUnwindSafe(|| self.decide(now, id, message));
        if catch_unwind(decide).is_err() {
            self.effects.truncate(from);
            // In order: it may write a frame of its own.
            self.carry_out(now);
            self.end_faulty(now, id);
        }
    }

    /// Whether the events of a call may be in the frame of the turn.
    fn is_of_same_account(&self, id: CallId) -> bool {
        let Some(Observed::Call { account, .. }) = self.record.events.first() else { return true };
        let Some(CallSlot::Occupied { call, .. }) = self.slots.get(id) else { return true };
        call.account == *account
    }

    /// A panic ends this call and no other.
    fn end_faulty(&mut self, now: Instant, id: CallId) {
        if let Some(CallSlot::Occupied { call, due }) = self.slots.remove(id) {
            self.deadlines.remove(&(due, id));
            let ending = call.ending(&Cause::Fault.into());
            self.registry.go_on(now, call, CallAct::End(ending), &mut Vec::new());
        }
    }

    fn decide(&mut self, now: Instant, id: CallId, message: Option<CallMessage>) {
        let Self { slots, effects, .. } = self;
        let Some(CallSlot::Occupied { call, due }) = slots.get_mut(id) else { return };
        let (from, mut asked) = (effects.len(), None);
        let act = match message {
            // A call whose time is up begins nothing more.
            Some(CallMessage::HangUp { cause }) => CallAct::End(call.ending(&cause.into())),
            Some(_) if call.ends_at <= now => call.tick(now, effects),
            Some(CallMessage::Fetched { number, fetched }) => {
                call.fetched(now, number, *fetched, effects)
            }
            Some(CallMessage::Heard(heard)) => call.heard(now, heard, effects),
            Some(CallMessage::Recorded(it)) => call.recorded(now, it.0, it.1, effects),
            Some(CallMessage::Transfer(transfer)) => {
                let (request, receipt, reply) = *transfer;
                asked = Some((receipt, reply));
                call.transfer(request, effects)
            }
            Some(CallMessage::Cancel(cancel)) => {
                let act = call.cancel();
                asked = matches!(act, CallAct::End(_)).then_some(*cancel);
                act
            }
            None => call.tick(now, effects),
        };
        let before = *due;
        match act {
            CallAct::Stay => {
                *due = call.deadline();
                if *due != before {
                    self.deadlines.remove(&(before, id));
                    self.deadlines.insert((*due, id));
                }
            }
            CallAct::Dial(_) | CallAct::End(_) | CallAct::Join { .. } => {
                self.deadlines.remove(&(before, id));
            }
        }
        take_events(call, effects, from, &mut self.record.events);
        if !matches!(act, CallAct::End(_)) {
            self.released.extend(self.registry.add_row(call, &mut self.record.rows));
        }
        let (receipt, reply) = asked.unzip();
        let rows = receipt.flatten().map(|it| it.rows(None));
        self.record.rows.extend(rows.into_iter().flatten());
        self.decided.push(DecidedCall { id, act, effects: effects.len() - from, reply });
    }

    /// Writes what calls have decided, and performs it.
    fn carry_out(&mut self, now: Instant) {
        if self.decided.is_empty() {
            return;
        }
        let TurnRecord { events, rows } = mem::take(&mut self.record);
        let record = AssertUnwindSafe(|| self.registry.record(events, rows));
        let is_written = catch_unwind(record).is_ok();
        self.released.drain(..).for_each(|it| self.registry.release_document(it));
        if !is_written {
            self.effects.clear();
            let decided = mem::take(&mut self.decided);
            return decided.into_iter().for_each(|it| self.end_faulty(now, it.id));
        }
        let mut effects = mem::take(&mut self.effects);
        if self.decided.len() == 1 {
            let decided = self.decided.pop().expect("it has one");
            self.perform(now, decided, &mut effects);
            self.effects = effects;
            return;
        }
        let (mut all, mut effects) = (effects.into_iter(), Vec::new());
        for decided in mem::take(&mut self.decided) {
            effects.extend(all.by_ref().take(decided.effects));
            self.perform(now, decided, &mut effects);
        }
    }

    /// Performs what a call has decided.
    fn perform(&mut self, now: Instant, decided: DecidedCall, effects: &mut Vec<Effect>) {
        let DecidedCall { id, act, effects: _, reply } = decided;
        let perform = AssertUnwindSafe(|| match act {
            CallAct::Stay => {
                if let Some(CallSlot::Occupied { call, .. }) = self.slots.get_mut(id) {
                    self.registry.perform_written(call, effects, 1);
                }
            }
            // Its messages in the queue are stale. A hang-up is not lost: the directory has it.
            act @ (CallAct::Dial(_) | CallAct::End(_) | CallAct::Join { .. }) => {
                if let Some(CallSlot::Occupied { call, .. }) = self.slots.remove(id) {
                    self.registry.go_on_written(now, call, act, effects);
                }
            }
        });
        if catch_unwind(perform).is_err() {
            effects.clear();
            return self.end_faulty(now, id);
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

/// Some tens of microseconds of work, also when all workers are busy at once. The calls whose messages
/// these are share a frame.
const MESSAGES_PER_TURN: usize = 8;
