//! A ward: calls that are on their own, many to an actor. They speak or wait, and go on when that
//! is over.
//!
//! There is an actor while there are calls; a ward at rest keeps its queue.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    time::Instant,
};

use parking_lot::Mutex;
use tokio::{
    sync::{
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        oneshot,
    },
    task,
    time::{self, sleep_until},
};

use super::{Turn, registry::House};
use crate::{
    base::{call_map::ByCall, ids::CallId},
    call::{Act, Call, Effect},
    flow::{Cause, Fetched, Request},
    media::Heard,
};

/// The way to a ward.
#[derive(Debug)]
pub(super) struct Ward {
    queue: UnboundedSender<Message>,
    /// None while an actor has it.
    resting: Mutex<Option<UnboundedReceiver<Message>>>,
}

/// What reaches a call on its own.
#[derive(Debug)]
pub(super) enum Letter {
    Fetched {
        number: u32,
        fetched: Box<Fetched>,
    },
    HangUp {
        cause: Cause,
    },
    Heard(Heard),
    /// Answered once it is done.
    Transfer(Box<(Request, oneshot::Sender<()>)>),
}

#[derive(Debug)]
enum Message {
    Arrive(Box<Call>),
    /// The call is on its way: what reaches it before it is here waits for it.
    Expect(CallId),
    /// It does not come.
    Forget(CallId),
    Letter(CallId, Letter),
}

/// Calls are many.
const _: () = assert!(size_of::<Message>() <= 32);

impl Ward {
    pub(super) fn new() -> Self {
        let (queue, inbox) = mpsc::unbounded_channel();
        Self { queue, resting: Mutex::new(Some(inbox)) }
    }

    /// A call will come, and letters for it may come before.
    pub(super) fn expect(self: &Arc<Self>, call: CallId, house: &Arc<House>) {
        let mut resting = self.resting.lock();
        self.send(Message::Expect(call));
        let Some(inbox) = resting.take() else { return };
        drop(resting);
        house.links.stage.ward(Actor::new(self.clone(), inbox, house.clone()));
    }

    pub(super) fn arrive(&self, call: Box<Call>) {
        self.send(Message::Arrive(call));
    }

    pub(super) fn forget(&self, call: CallId) {
        self.send(Message::Forget(call));
    }

    /// One for a call that is not here, nor expected, is stale.
    pub(super) fn deliver(&self, call: CallId, letter: Letter) {
        self.send(Message::Letter(call, letter));
    }

    fn send(&self, message: Message) {
        // Its queue lives as long as it, unless the actors' runtime is gone.
        drop(self.queue.send(message));
    }
}

/// The shell around a ward's calls.
#[derive(Debug)]
pub struct Actor {
    ward: Arc<Ward>,
    /// None once it is at rest.
    inbox: Option<UnboundedReceiver<Message>>,
    /// What has come while the actor was waiting.
    next: Option<Message>,
    beds: ByCall<Bed>,
    /// When each call is due.
    deadlines: BTreeSet<(Instant, CallId)>,
    effects: Vec<Effect>,
    house: Arc<House>,
}

#[derive(Debug)]
enum Bed {
    Expects(Vec<Letter>),
    Has { call: Box<Call>, due: Instant },
}

impl Actor {
    fn new(ward: Arc<Ward>, inbox: UnboundedReceiver<Message>, house: Arc<House>) -> Self {
        Self {
            ward,
            inbox: Some(inbox),
            next: None,
            beds: ByCall::default(),
            deadlines: BTreeSet::new(),
            effects: Vec::new(),
            house,
        }
    }

    /// Takes turns until there are no calls.
    pub async fn run(&mut self) {
        let mut sleep = pin!(sleep_until(time::Instant::now()));
        let mut left = TURNS_PER_SLICE;
        loop {
            match self.turn(time::Instant::now().into_std()) {
                Turn::Busy | Turn::Sliced if left == 0 => {
                    left = TURNS_PER_SLICE;
                    task::yield_now().await;
                }
                Turn::Busy | Turn::Sliced => left -= 1,
                Turn::Over => return,
                Turn::Idle => {
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

    /// When a turn is next due, if no letter comes before.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Takes one letter to its end, if there is one, or one deadline.
    pub fn turn(&mut self, now: Instant) -> Turn {
        let Some(inbox) = &mut self.inbox else { return Turn::Over };
        // What has left the queue comes first.
        let message = match self.next.take() {
            Some(message) => Some(message),
            None => match self.deadlines.first() {
                Some(&(at, call)) if at <= now => {
                    self.act(now, call, None);
                    return Turn::Busy;
                }
                Some(_) | None => inbox.try_recv().ok(),
            },
        };
        match message {
            Some(Message::Expect(call)) => {
                let before = self.beds.insert(call, Bed::Expects(Vec::new()));
                debug_assert!(before.is_none(), "call {call} comes twice");
            }
            Some(Message::Forget(call)) => drop(self.beds.remove(call)),
            Some(Message::Arrive(call)) => self.take_in(now, call),
            Some(Message::Letter(call, letter)) => match self.beds.get_mut(call) {
                Some(Bed::Expects(letters)) => letters.push(letter),
                Some(Bed::Has { .. }) => self.act(now, call, Some(letter)),
                // Stale, but for a hang-up, and that is noted in the directory.
                None => (),
            },
            None if self.beds.is_empty() => return self.rest(),
            None => return Turn::Idle,
        }
        Turn::Busy
    }

    fn take_in(&mut self, now: Instant, call: Box<Call>) {
        let (id, due) = (call.id, call.deadline());
        self.deadlines.insert((due, id));
        let before = self.beds.insert(id, Bed::Has { call, due });
        let Some(Bed::Expects(letters)) = before else {
            unreachable!("who arrives is expected");
        };
        for letter in letters {
            self.act(now, id, Some(letter));
        }
    }

    /// A panic costs the call its life, and no other.
    fn act(&mut self, now: Instant, id: CallId, letter: Option<Letter>) {
        let act = AssertUnwindSafe(|| self.act_on(now, id, letter));
        if catch_unwind(act).is_ok() {
            return;
        }
        self.effects.clear();
        if let Some(Bed::Has { call, due }) = self.beds.remove(id) {
            self.deadlines.remove(&(due, id));
            let ending = call.ending(&Cause::Fault.into());
            self.house.go_on(now, call, Act::End(ending), &mut self.effects);
        }
    }

    /// A call takes a letter, or its deadline has come. Nothing happens if it is not here any more.
    fn act_on(&mut self, now: Instant, id: CallId, letter: Option<Letter>) {
        let Self { beds, effects, house, .. } = self;
        let Some(Bed::Has { call, due }) = beds.get_mut(id) else { return };
        let mut reply = None;
        let act = match letter {
            // What the call's own end has overtaken is not worth beginning.
            Some(Letter::HangUp { cause }) => Act::End(call.ending(&cause.into())),
            Some(_) if call.ends_at <= now => call.tick(now, effects),
            Some(Letter::Fetched { number, fetched }) => {
                call.fetched(now, number, *fetched, effects)
            }
            Some(Letter::Heard(heard)) => call.heard(now, heard, effects),
            Some(Letter::Transfer(transfer)) => {
                let (request, asked) = *transfer;
                reply = Some(asked);
                call.transfer(request, effects)
            }
            None => call.tick(now, effects),
        };
        let before = *due;
        match act {
            Act::Stay => {
                *due = call.deadline();
                if *due != before {
                    self.deadlines.remove(&(before, id));
                    self.deadlines.insert((*due, id));
                }
                house.perform(call, effects);
            }
            // What is still in the queue is stale, but for a hang-up, and that is noted.
            act @ (Act::End(_) | Act::Join { .. }) => {
                self.deadlines.remove(&(before, id));
                let Some(Bed::Has { call, .. }) = self.beds.remove(id) else {
                    unreachable!("it has just acted");
                };
                self.house.go_on(now, call, act, &mut self.effects);
            }
        }
        if let Some(reply) = reply {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(());
        }
    }

    /// No call is here. Who sends one now finds the queue back at its place, or is seen.
    fn rest(&mut self) -> Turn {
        let mut resting = self.ward.resting.lock();
        let Some(mut inbox) = self.inbox.take() else { return Turn::Over };
        match inbox.try_recv() {
            Ok(message) => {
                (self.inbox, self.next) = (Some(inbox), Some(message));
                Turn::Busy
            }
            Err(_) => {
                *resting = Some(inbox);
                Turn::Over
            }
        }
    }
}

/// Some tens of microseconds, also when all wards are busy at once: others get their turn.
const TURNS_PER_SLICE: u32 = 4;
