//! The task of a call that is on its own: it speaks or waits, and goes on when that is over.

use std::{sync::Arc, time::Instant};

use tokio::{
    sync::oneshot,
    time::{self, sleep_until},
};

use super::{
    Turn,
    house::House,
    queue::{Nothing, Receiver},
};
use crate::{
    call::{Act, Call, Effect},
    flow::{Cause, Fetched, Request},
    media::Heard,
};

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

/// Some wait in a queue at times, and there are many queues.
const _: () = assert!(size_of::<Letter>() <= 16);

/// The shell around a call.
#[derive(Debug)]
pub struct Actor {
    /// None once the call has moved on, or ended.
    call: Option<Box<Call>>,
    inbox: Receiver<Letter>,
    /// What has come while the actor was waiting.
    next: Option<Letter>,
    effects: Vec<Effect>,
    house: Arc<House>,
}

impl Actor {
    pub(super) fn new(call: Box<Call>, inbox: Receiver<Letter>, house: Arc<House>) -> Self {
        Self { call: Some(call), inbox, next: None, effects: Vec::new(), house }
    }

    /// Takes turns until the call is elsewhere.
    pub async fn run(&mut self) {
        loop {
            match self.turn(time::Instant::now().into_std()) {
                Turn::Busy | Turn::Sliced => (),
                Turn::Idle => self.wait().await,
                Turn::Over => return,
            }
        }
    }

    /// When a turn is next due, if no letter comes before; None once the call is elsewhere.
    pub fn deadline(&self) -> Option<Instant> {
        self.call.as_ref().map(|call| call.deadline())
    }

    /// Takes one letter to its end, if there is one.
    pub fn turn(&mut self, now: Instant) -> Turn {
        let Self { call, inbox, next, effects, house } = self;
        let Some(it) = call else { return Turn::Over };
        let mut reply = None;
        let act = match next.take().map_or_else(|| inbox.try_recv(), Ok) {
            // What the call's own end has overtaken is not worth beginning.
            Ok(Letter::HangUp { cause }) => Act::End(it.ending(&cause.into())),
            Ok(_) if it.ends_at <= now => it.tick(now, effects),
            Ok(Letter::Fetched { number, fetched }) => it.fetched(now, number, *fetched, effects),
            Ok(Letter::Heard(heard)) => it.heard(now, heard, effects),
            Ok(Letter::Transfer(transfer)) => {
                let (request, asked) = *transfer;
                reply = Some(asked);
                it.transfer(request, effects)
            }
            Err(Nothing::Empty) if it.deadline() <= now => it.tick(now, effects),
            Err(Nothing::Empty) => return Turn::Idle,
            Err(Nothing::Disconnected) => Act::End(it.ending(&Cause::Fault.into())),
        };
        match act {
            Act::Stay => house.perform(it, effects),
            // What is still in the inbox is stale, but for a hang-up, and that is noted.
            act @ (Act::End(_) | Act::Join { .. }) => {
                let call = call.take().expect("it has just acted");
                house.go_on(now, call, act, effects);
            }
        }
        if let Some(reply) = reply {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(());
        }
        Turn::Busy
    }

    async fn wait(&mut self) {
        let Some(call) = &self.call else { return };
        tokio::select! {
            // A closed inbox is found again, and dealt with, at the next turn.
            letter = self.inbox.recv() => self.next = letter,
            () = sleep_until(call.deadline().into()) => (),
        }
    }
}
