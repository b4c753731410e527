//! The task that owns one conference, and the queue that leads to it.
//!
//! A turn takes one message to the machine, or performs one slice of what the machine asked
//! for. Every decision is in [`crate::conference`].

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::{
    sync::oneshot,
    task,
    time::{self, sleep_until},
};
use uuid::Uuid;

use super::{
    TurnOutcome,
    observed::Blame,
    queue,
    registry::{AskError, Observed, Registry},
};
use crate::{
    base::ids::{Incarnation, MemberId, RoomId, RoomKey},
    call::{self, Call, CallStatus, PastMembership},
    conference::{Ask, AskTicket, Command, Conference, ConferenceEvent, Effect, Outcome, Settings},
    documents::{DocumentFetch, DocumentRecipient},
    flow::{Cause, DocumentRequest, JoinOptions, Purpose, RequestMethod},
    media::{LegEvent, Program},
};

/// The way to a room.
#[derive(Debug)]
pub struct RoomHandle {
    incarnation: Arc<Incarnation>,
    queue: queue::QueueSender<RoomMessage>,
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

/// The shell around a conference.
#[derive(Debug)]
pub struct RoomActor {
    machine: Conference,
    room: Arc<RoomHandle>,
    queue: queue::QueueReceiver<RoomMessage>,
    /// What has come while the actor was waiting.
    next: Option<RoomMessage>,
    /// What has been decided, and is still to be done; empty, and no memory, in between.
    effects: VecDeque<Effect>,
    /// How many of these, from the front, are orders to many that have been split.
    split_orders: usize,
    /// How many calls of the first of those have carried it out.
    carried_out: usize,
    /// What the call that is being released asks for; the same.
    call_effects: Vec<call::Effect>,
    reply: Option<(AskTicket, oneshot::Sender<Outcome>)>,
    ticket_last: AskTicket,
    /// For what is decided at present.
    blame: Blame,
    registry: Arc<Registry>,
}

pub(super) fn open(
    now: Instant,
    id: RoomId,
    key: RoomKey,
    settings: Settings,
    registry: Arc<Registry>,
) -> (Arc<RoomHandle>, RoomActor) {
    let (sender, queue) = queue::queue();
    let asks_max = settings.asks_max;
    let incarnation = Arc::new(Incarnation { key, id });
    let machine = Conference::new(now, incarnation.clone(), &settings);
    let room =
        Arc::new(RoomHandle { incarnation, queue: sender, asks: AtomicUsize::new(0), asks_max });
    let actor = RoomActor {
        machine,
        room: room.clone(),
        queue,
        next: None,
        effects: VecDeque::new(),
        split_orders: 0,
        carried_out: 0,
        call_effects: Vec::new(),
        reply: None,
        ticket_last: AskTicket::default(),
        blame: Blame::default(),
        registry,
    };
    (room, actor)
}

impl RoomHandle {
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

impl RoomActor {
    /// Takes turns until the room is over.
    pub async fn run(&mut self) {
        let mut sleep = pin!(sleep_until(time::Instant::now()));
        loop {
            match self.turn(time::Instant::now().into_std(), EFFECTS_PER_SLICE) {
                TurnOutcome::Busy => task::coop::consume_budget().await,
                TurnOutcome::Sliced => task::yield_now().await,
                TurnOutcome::Over => return,
                TurnOutcome::Idle => {
                    let deadline = self.machine.deadline().map(time::Instant::from_std);
                    if let Some(at) = deadline.filter(|at| sleep.deadline() != *at) {
                        sleep.as_mut().reset(at);
                    }
                    tokio::select! {
                        message = self.queue.recv() => self.next = message,
                        () = &mut sleep, if deadline.is_some() => (),
                    }
                }
            }
        }
    }

    /// When a turn is next due, if no message comes before.
    pub fn deadline(&self) -> Option<Instant> {
        self.machine.deadline()
    }

    /// Performs a slice of what is decided; else decides on one more thing.
    pub fn turn(&mut self, now: Instant, slice: usize) -> TurnOutcome {
        if !self.effects.is_empty() {
            return self.perform(now, slice);
        }
        let is_due = self.machine.deadline().is_some_and(|at| at <= now);
        // What has left the queue comes first: were the room over, it would be lost.
        let command = match self.next.take() {
            Some(message) => self.accept(message),
            None if is_due => {
                self.blame = Blame::default();
                Command::Tick
            }
            None => match self.queue.try_recv() {
                Ok(message) => self.accept(message),
                Err(_) => return TurnOutcome::Idle,
            },
        };
        self.decide(now, command);
        match self.effects.iter().map(Effect::steps).sum() {
            0 => TurnOutcome::Busy,
            // To decide on many has taken its time.
            n if slice < n => TurnOutcome::Sliced,
            _ => self.perform(now, slice),
        }
    }

    fn accept(&mut self, message: RoomMessage) -> Command {
        self.blame = Blame::default();
        match message {
            RoomMessage::Ask { ask, reply } => {
                self.room.asks.fetch_sub(1, Ordering::Relaxed);
                self.ticket_last.0 += 1;
                let ticket = self.ticket_last;
                self.reply = Some((ticket, reply));
                let (api_id, ask) = *ask;
                self.blame = Blame::asked(api_id, &ask);
                Command::Ask { ticket, ask }
            }
            RoomMessage::Close => Command::Close,
            RoomMessage::Enter { member, call, entry } => Command::Enter { member, call, entry },
            RoomMessage::HangUp { member, cause } => Command::HangUp { member, cause },
            RoomMessage::Report { member, heard } => Command::Report { member, heard },
            RoomMessage::Sounds { number, program } => Command::Sounds { number, program },
        }
    }

    /// A panic costs the room its life, and no call its own.
    fn decide(&mut self, now: Instant, command: Command) {
        let Self { machine, effects, .. } = self;
        let decide = AssertUnwindSafe(|| machine.handle(now, command, effects));
        if catch_unwind(decide).is_err() {
            self.machine.salvage(now, &mut self.effects);
        }
        if cfg!(debug_assertions) {
            self.machine.check();
        }
    }

    fn perform(&mut self, now: Instant, slice: usize) -> TurnOutcome {
        for _ in 0..slice {
            match self.effects.front_mut() {
                Some(Effect::Stop) => {
                    self.requeue_arrivals(now);
                    return TurnOutcome::Over;
                }
                Some(Effect::Leave(leave)) => match leave.next() {
                    Some(effect) => self.perform_one(now, effect),
                    None => drop(self.effects.pop_front()),
                },
                Some(Effect::Media(order)) if 0 < self.split_orders => {
                    self.carried_out = self.registry.audio_part(order, self.carried_out);
                    if self.carried_out < order.calls().len() {
                        return TurnOutcome::Sliced;
                    }
                    (self.carried_out, self.split_orders) = (0, self.split_orders - 1);
                    drop(self.effects.pop_front());
                }
                Some(Effect::Media(order)) if slice < order.calls().len() => self.split_order(),
                Some(_) => {
                    let effect = self.effects.pop_front().expect("it was looked at");
                    self.perform_one(now, effect);
                }
                None => break,
            }
        }
        if !self.effects.is_empty() {
            return TurnOutcome::Sliced;
        }
        debug_assert!(self.reply.is_none(), "one ask, one reply");
        // Rooms are many: fresh memory is warmer than what each would keep.
        (self.effects, self.call_effects) = (VecDeque::new(), Vec::new());
        TurnOutcome::Busy
    }

    /// Puts the orders in place of the first effect that are carried out in parts.
    fn split_order(&mut self) {
        let Some(Effect::Media(order)) = self.effects.pop_front() else { return };
        let orders = self.registry.split_audio(order);
        self.split_orders = orders.len();
        orders.into_iter().rev().for_each(|it| self.effects.push_front(it.into()));
    }

    fn perform_one(&mut self, now: Instant, effect: Effect) {
        let room = &self.room.incarnation;
        let Incarnation { key, id } = &**room;
        match effect {
            Effect::Ban { member, who, reason, length } => {
                self.registry.ban_list().ban(now, key.clone(), member, who, reason, length);
            }
            Effect::Fetch { number, url, call, party, moment } => {
                let request = DocumentRequest {
                    url,
                    method: RequestMethod::Post,
                    purpose: Purpose::Sound,
                    // The two that are empty are so with the vendors (contract 4.5).
                    fields: vec![
                        ("ConferenceAction", moment.text().to_owned()),
                        ("ConferenceName", key.name.to_string()),
                        ("ConferenceUUID", String::new()),
                        ("ConferenceMemberID", String::new()),
                    ],
                    is_private: false,
                };
                let (account, status) = (key.account.clone(), CallStatus::InProgress);
                let reader = DocumentRecipient::Room { key: key.clone(), room: *id, number };
                self.registry.fetch(DocumentFetch {
                    account,
                    call,
                    party,
                    status,
                    recipient: reader,
                    request,
                });
            }
            Effect::Media(order) => self.registry.audio(order),
            Effect::Publish(notice) => {
                if let ConferenceEvent::Exited { who, cause, .. } = &notice.event {
                    self.blame.exits(who, *cause);
                }
                self.registry.observe(Observed::Notice { room: room.clone(), notice });
            }
            Effect::Unname => self.registry.unname(key, *id),
            Effect::Release { member, mut call, exit, sequence } => {
                let by = self.blame.of(exit.cause);
                let left = Observed::Left { call: call.id, member, exit: exit.clone(), by };
                self.registry.observe(left);
                let membership =
                    sequence.map(|sequence| PastMembership { room: *id, member, sequence });
                let act = call.left(now, &exit, membership, &mut self.call_effects);
                self.registry.go_on(now, call, act, &mut self.call_effects);
            }
            Effect::Reply { ticket, outcome } => {
                let (asked, reply) = self.reply.take().expect("one reply for each ask");
                debug_assert_eq!(asked, ticket);
                // The caller may have stopped waiting.
                drop(reply.send(outcome));
            }
            Effect::Leave(_) | Effect::Stop => unreachable!("they are not performed as one"),
        }
    }

    /// The room is over and its name is free: who came in behind it goes to a fresh one.
    fn requeue_arrivals(&mut self, now: Instant) {
        self.queue.close();
        while let Ok(message) = self.queue.try_recv() {
            match message {
                RoomMessage::Enter { call, entry, .. } => {
                    let name = self.room.incarnation.key.name.clone();
                    let effects = &mut self.call_effects;
                    self.registry.requeue(now, call, name, entry, effects);
                }
                // The reply is dropped, which says that the room is gone.
                RoomMessage::Ask { .. } => (),
                // A hang-up is noted in the directory as well, and read at the next move.
                RoomMessage::Close | RoomMessage::HangUp { .. } | RoomMessage::Report { .. } => (),
                RoomMessage::Sounds { .. } => (),
            }
        }
    }
}

/// Some tens of microseconds: a room's bulk does not hold up the other rooms on its thread.
pub const EFFECTS_PER_SLICE: usize = 64;
