//! The one writer of an account's groups, a step at a time: it decides, it hears that what it has
//! decided is durable, it has the rooms let go of whoever is out, and then it answers.
//!
//! Nothing here waits but [`Owed::wait`], which is for the task that gives the answers.

use std::{mem, sync::Arc};

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::{membership::AskError, registry::House};
use crate::{
    base::ids::AccountId,
    conference::Outcome,
    group::{Ask, At, Change, Done, Expulsion, Refusal, access_list, state::Groups},
};

/// The groups of one account, and the rooms that they guard.
pub struct Writer {
    account: AccountId,
    groups: Groups,
    rooms: Option<Arc<House>>,
}

/// Where an answer goes.
pub type Reply = oneshot::Sender<Result<Done, AskError>>;

/// Asks that are decided, and not durable yet.
#[derive(Debug, Default)]
pub struct Batch {
    /// What must be durable before anybody is answered, in order.
    pub changes: Vec<Change>,
    decided: Vec<Decided>,
}

/// Asks that are decided and durable. The rooms are not told before the rolls have it.
#[derive(Debug)]
pub struct Published(Vec<Decided>);

#[derive(Debug)]
struct Decided {
    reply: Reply,
    outcome: Result<Done, Refusal>,
    expulsions: Vec<Expulsion>,
}

/// An answer that is owed once the rooms have let go.
#[derive(Debug)]
pub struct Owed {
    reply: Reply,
    outcome: Result<Done, AskError>,
    leaving: Vec<oneshot::Receiver<Outcome>>,
}

impl Writer {
    /// Takes an account over, with the rooms that its groups guard.
    pub fn new(account: AccountId, groups: Groups, rooms: Option<Arc<House>>) -> Self {
        Self { account, groups, rooms }
    }

    /// Whose groups they are.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// Decides about asks, in order.
    pub fn decide(&mut self, asks: impl Iterator<Item = (At, Ask, Reply)>) -> Batch {
        let mut batch = Batch::default();
        for (at, ask, reply) in asks {
            let first = batch.changes.len();
            let outcome = self.groups.handle(at, ask, &mut batch.changes);
            let expulsions = match self.rooms {
                Some(_) => access_list::expulsions(&batch.changes[first..]),
                None => Vec::new(),
            };
            if cfg!(debug_assertions) {
                self.groups.check();
            }
            batch.decided.push(Decided { reply, outcome, expulsions });
        }
        batch
    }

    /// What was decided is durable: from now on, doors are open to whom it says.
    pub fn publish(&self, batch: Batch) -> Published {
        if let Some(rooms) = &self.rooms {
            rooms.note_groups(&self.account, &batch.changes);
        }
        Published(batch.decided)
    }

    /// Tells the rooms who is out, in order.
    pub fn expel(&self, Published(decided): Published) -> Vec<Owed> {
        let tell = |expulsion: &Expulsion| {
            let rooms = self.rooms.iter();
            rooms.flat_map(|it| it.expel(&self.account, expulsion)).collect::<Vec<_>>()
        };
        let owed = |Decided { reply, outcome, expulsions }| {
            let leaving = expulsions.iter().flat_map(tell).collect();
            Owed { reply, outcome: outcome.map_err(AskError::Refused), leaving }
        };
        decided.into_iter().map(owed).collect()
    }

    /// What was decided could not be written, and has not happened: it is as the store has it.
    pub fn take_back(&mut self, batch: Batch, groups: Groups) -> Vec<Owed> {
        self.groups = groups;
        let failed = |Decided { reply, .. }| {
            let (outcome, leaving) = (Err(AskError::Failed), Vec::new());
            Owed { reply, outcome, leaving }
        };
        batch.decided.into_iter().map(failed).collect()
    }
}

impl Owed {
    /// Until the rooms have let go. One that is over has.
    pub async fn wait(&mut self) {
        for leaving in mem::take(&mut self.leaving) {
            drop(leaving.await);
        }
    }

    /// Whether the rooms have let go.
    pub fn is_due(&mut self) -> bool {
        self.leaving.retain_mut(|it| it.try_recv() == Err(TryRecvError::Empty));
        self.leaving.is_empty()
    }

    /// Answers.
    pub fn pay(self) {
        // Whoever has gone does not want to know.
        drop(self.reply.send(self.outcome));
    }

    /// A room has not let go in time, which is a fault: nobody is told that all is well.
    pub fn fail(self) {
        drop(self.reply.send(Err(AskError::Failed)));
    }
}
