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
    Turn,
    observed::Blame,
    queue,
    registry::{AskError, House, Trace},
};
use crate::{
    base::ids::{Incarnation, MemberId, RoomId, RoomKey},
    call::{self, Call, CallStatus, Spot},
    conference::{Ask, Command, Conference, Effect, News, Outcome, Settings, Ticket},
    documents::{Fetch, Reader},
    flow::{Cause, Entry, Method, Purpose, Request},
    media::{Heard, Program},
};

/// The way to a room.
#[derive(Debug)]
pub struct Room {
    incarnation: Arc<Incarnation>,
    queue: queue::Sender<Message>,
    /// How many asks are in the queue. All else is bounded by the number of calls.
    asks: AtomicUsize,
    asks_max: usize,
}

/// What waits in a room's queue.
#[derive(Debug)]
pub(super) enum Message {
    /// With the request of the API that asks.
    Ask {
        ask: Box<(Option<Uuid>, Ask)>,
        reply: oneshot::Sender<Outcome>,
    },
    Close,
    Enter {
        member: MemberId,
        call: Box<Call>,
        entry: Arc<Entry>,
    },
    HangUp {
        member: MemberId,
        cause: Cause,
    },
    Report {
        member: MemberId,
        heard: Heard,
    },
    Sounds {
        number: u32,
        program: Program,
    },
}

/// Some wait in a queue at times, and there are many queues.
const _: () = assert!(size_of::<Message>() <= 32);

/// The shell around a conference.
#[derive(Debug)]
pub struct Actor {
    machine: Conference,
    room: Arc<Room>,
    queue: queue::Receiver<Message>,
    /// What has come while the actor was waiting.
    next: Option<Message>,
    /// What has been decided, and is still to be done; empty, and no memory, in between.
    effects: VecDeque<Effect>,
    /// The first of these is an order that so many of its calls have carried out.
    carried_out: usize,
    /// What the call that is being released asks for; the same.
    call_effects: Vec<call::Effect>,
    reply: Option<(Ticket, oneshot::Sender<Outcome>)>,
    ticket_last: Ticket,
    /// For what is decided at present.
    blame: Blame,
    house: Arc<House>,
}

pub(super) fn open(
    now: Instant,
    id: RoomId,
    key: RoomKey,
    settings: Settings,
    house: Arc<House>,
) -> (Arc<Room>, Actor) {
    let (sender, queue) = queue::queue();
    let asks_max = settings.asks_max;
    let incarnation = Arc::new(Incarnation { key, id });
    let machine = Conference::new(now, incarnation.clone(), &settings);
    let room = Arc::new(Room { incarnation, queue: sender, asks: AtomicUsize::new(0), asks_max });
    let actor = Actor {
        machine,
        room: room.clone(),
        queue,
        next: None,
        effects: VecDeque::new(),
        carried_out: 0,
        call_effects: Vec::new(),
        reply: None,
        ticket_last: Ticket::default(),
        blame: Blame::default(),
        house,
    };
    (room, actor)
}

impl Room {
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
            .send(Message::Ask { ask: Box::new((api_id, ask)), reply })
            .map_err(|_| AskError::Gone)
    }

    /// What must be heard however many ask. The number of these is bounded by that of removals
    /// that are under way.
    pub(super) fn tell(&self, ask: Ask, reply: oneshot::Sender<Outcome>) {
        self.asks.fetch_add(1, Ordering::Relaxed);
        drop(self.queue.send(Message::Ask { ask: Box::new((None, ask)), reply }));
    }

    /// Hands the call back if nobody is there to take it.
    pub(super) fn enter(
        &self,
        member: MemberId,
        call: Box<Call>,
        entry: Arc<Entry>,
    ) -> Result<(), Box<Call>> {
        match self.queue.send(Message::Enter { member, call, entry }) {
            Err(Message::Enter { call, .. }) => Err(call),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// A room that is gone has let its members go before: the report is stale.
    pub(super) fn report(&self, member: MemberId, heard: Heard) {
        drop(self.queue.send(Message::Report { member, heard }));
    }

    pub(super) fn hang_up(&self, member: MemberId, cause: Cause) {
        drop(self.queue.send(Message::HangUp { member, cause }));
    }

    /// A sound for an incarnation that is over is not wanted by the next.
    pub(super) fn sounds(&self, room: RoomId, number: u32, program: Program) {
        if room == self.incarnation.id {
            drop(self.queue.send(Message::Sounds { number, program }));
        }
    }

    pub(super) fn close(&self) {
        drop(self.queue.send(Message::Close));
    }
}

impl Actor {
    /// Takes turns until the room is over.
    pub async fn run(&mut self) {
        let mut sleep = pin!(sleep_until(time::Instant::now()));
        loop {
            match self.turn(time::Instant::now().into_std(), EFFECTS_PER_SLICE) {
                Turn::Busy => task::coop::consume_budget().await,
                Turn::Sliced => task::yield_now().await,
                Turn::Over => return,
                Turn::Idle => {
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
    pub fn turn(&mut self, now: Instant, slice: usize) -> Turn {
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
                Err(_) => return Turn::Idle,
            },
        };
        self.decide(now, command);
        match self.effects.iter().map(Effect::steps).sum() {
            0 => Turn::Busy,
            // To decide on many has taken its time.
            n if slice < n => Turn::Sliced,
            _ => self.perform(now, slice),
        }
    }

    fn accept(&mut self, message: Message) -> Command {
        self.blame = Blame::default();
        match message {
            Message::Ask { ask, reply } => {
                self.room.asks.fetch_sub(1, Ordering::Relaxed);
                self.ticket_last.0 += 1;
                let ticket = self.ticket_last;
                self.reply = Some((ticket, reply));
                let (api_id, ask) = *ask;
                self.blame = Blame::asked(api_id, &ask);
                Command::Ask { ticket, ask }
            }
            Message::Close => Command::Close,
            Message::Enter { member, call, entry } => Command::Enter { member, call, entry },
            Message::HangUp { member, cause } => Command::HangUp { member, cause },
            Message::Report { member, heard } => Command::Report { member, heard },
            Message::Sounds { number, program } => Command::Sounds { number, program },
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

    fn perform(&mut self, now: Instant, slice: usize) -> Turn {
        for _ in 0..slice {
            match self.effects.front_mut() {
                Some(Effect::Stop) => {
                    self.hand_on(now);
                    return Turn::Over;
                }
                Some(Effect::Leave(leave)) => match leave.next() {
                    Some(effect) => self.perform_one(now, effect),
                    None => drop(self.effects.pop_front()),
                },
                Some(Effect::Media(order))
                    if 0 < self.carried_out || slice < order.calls().len() =>
                {
                    self.carried_out = self.house.media_part(order, self.carried_out);
                    if self.carried_out < order.calls().len() {
                        return Turn::Sliced;
                    }
                    self.carried_out = 0;
                    drop(self.effects.pop_front());
                }
                Some(_) => {
                    let effect = self.effects.pop_front().expect("it was looked at");
                    self.perform_one(now, effect);
                }
                None => break,
            }
        }
        if !self.effects.is_empty() {
            return Turn::Sliced;
        }
        debug_assert!(self.reply.is_none(), "one ask, one reply");
        // Rooms are many: fresh memory is warmer than what each would keep.
        (self.effects, self.call_effects) = (VecDeque::new(), Vec::new());
        Turn::Busy
    }

    fn perform_one(&mut self, now: Instant, effect: Effect) {
        let room = &self.room.incarnation;
        let Incarnation { key, id } = &**room;
        match effect {
            Effect::Ban { member, who, reason, length } => {
                self.house.doors().ban(now, key.clone(), member, who, reason, length);
            }
            Effect::Fetch { number, url, call, party, moment } => {
                let request = Request {
                    url,
                    method: Method::Post,
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
                let reader = Reader::Room { key: key.clone(), room: *id, number };
                self.house.fetch(Fetch { account, call, party, status, reader, request });
            }
            Effect::Media(order) => self.house.media(order),
            Effect::Publish(notice) => {
                if let News::Exited { who, cause, .. } = &notice.news {
                    self.blame.exits(who, *cause);
                }
                self.house.trace(Trace::Notice { room: room.clone(), notice });
            }
            Effect::Unname => self.house.unname(key, *id),
            Effect::Release { member, mut call, exit, sequence } => {
                let by = self.blame.of(exit.cause);
                let left = Trace::Left { call: call.id, member, exit: exit.clone(), by };
                self.house.trace(left);
                let spot = sequence.map(|sequence| Spot { room: *id, member, sequence });
                let act = call.left(now, &exit, spot, &mut self.call_effects);
                self.house.go_on(now, call, act, &mut self.call_effects);
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
    fn hand_on(&mut self, now: Instant) {
        self.queue.close();
        while let Ok(message) = self.queue.try_recv() {
            match message {
                Message::Enter { call, entry, .. } => {
                    let name = self.room.incarnation.key.name.clone();
                    let effects = &mut self.call_effects;
                    self.house.pass_on(now, call, name, entry, effects);
                }
                // The reply is dropped, which says that the room is gone.
                Message::Ask { .. } => (),
                // A hang-up is noted in the directory as well, and read at the next move.
                Message::Close | Message::HangUp { .. } | Message::Report { .. } => (),
                Message::Sounds { .. } => (),
            }
        }
    }
}

/// Some tens of microseconds: a room's bulk does not hold up the other rooms on its thread.
pub const EFFECTS_PER_SLICE: usize = 64;
