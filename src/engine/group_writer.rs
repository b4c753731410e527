//! The one writer of an account's groups, a step at a time: it decides, it hears that what it has
//! decided is durable, it has the rooms let go of whoever is out, and then it answers.
//!
//! Nothing here waits but [`PendingReply::wait`], which is for the task that gives the answers.

use std::{mem, sync::Arc};

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::registry::Registry;
use crate::{
    base::ids::AccountId,
    conference::Outcome,
    group::{
        Ask, Change, Expulsion, GroupAnswer, Refusal, UnixMillis, access_list, state::AccountGroups,
    },
};

/// The groups of one account, and the rooms that they guard.
pub struct GroupWriter {
    account: AccountId,
    groups: AccountGroups,
    registry: Option<Arc<Registry>>,
}

/// Why there is no outcome.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GroupAskError {
    /// The machine said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many ask at once. Nothing has happened.
    #[error("too many ask at once: try again")]
    Busy,
    /// The store failed, and what was asked for has not happened; or a room did not let go, and it
    /// has. To ask again does no harm.
    #[error("the store failed, or a room")]
    Failed,
}

/// Where an answer goes.
pub type GroupReply = oneshot::Sender<Result<GroupAnswer, GroupAskError>>;

/// Asks that are decided, and not durable yet.
#[derive(Debug, Default)]
pub struct AskBatch {
    /// What must be durable before anybody is answered, in order.
    pub changes: Vec<Change>,
    decided: Vec<DecidedAsk>,
}

/// Asks that are decided and durable. The rooms are not told before the access lists have it.
#[derive(Debug)]
pub struct PublishedBatch(Vec<DecidedAsk>);

#[derive(Debug)]
struct DecidedAsk {
    reply: GroupReply,
    outcome: Result<GroupAnswer, Refusal>,
    expulsions: Vec<Expulsion>,
}

/// An answer that is owed once the rooms have let go.
#[derive(Debug)]
pub struct PendingReply {
    reply: GroupReply,
    outcome: Result<GroupAnswer, GroupAskError>,
    leaving: Vec<oneshot::Receiver<Outcome>>,
}

impl GroupWriter {
    /// Takes an account over, with the rooms that its groups guard.
    pub fn new(account: AccountId, groups: AccountGroups, registry: Option<Arc<Registry>>) -> Self {
        Self { account, groups, registry }
    }

    /// Whose groups they are.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// Decides about asks, in order.
    pub fn decide(
        &mut self,
        asks: impl Iterator<Item = (UnixMillis, Ask, GroupReply)>,
    ) -> AskBatch {
        let mut batch = AskBatch::default();
        for (at, ask, reply) in asks {
            let first = batch.changes.len();
            let outcome = self.groups.handle(at, ask, &mut batch.changes);
            let expulsions = match self.registry {
                Some(_) => access_list::expulsions(&batch.changes[first..]),
                None => Vec::new(),
            };
            if cfg!(debug_assertions) {
                self.groups.check();
            }
            batch.decided.push(DecidedAsk { reply, outcome, expulsions });
        }
        batch
    }

    /// What was decided is durable: from now on, doors are open to whom it says.
    pub fn publish(&self, batch: AskBatch) -> PublishedBatch {
        if let Some(registry) = &self.registry {
            registry.apply_group_changes(&self.account, &batch.changes);
        }
        PublishedBatch(batch.decided)
    }

    /// Tells the rooms who is out, in order.
    pub fn expel(&self, PublishedBatch(decided): PublishedBatch) -> Vec<PendingReply> {
        let tell = |expulsion: &Expulsion| {
            let rooms = self.registry.iter();
            rooms.flat_map(|it| it.expel(&self.account, expulsion)).collect::<Vec<_>>()
        };
        let pending = |DecidedAsk { reply, outcome, expulsions }| {
            let leaving = expulsions.iter().flat_map(tell).collect();
            PendingReply { reply, outcome: outcome.map_err(GroupAskError::Refused), leaving }
        };
        decided.into_iter().map(pending).collect()
    }

    /// What was decided could not be written, and has not happened: it is as the store has it.
    pub fn take_back(&mut self, batch: AskBatch, groups: AccountGroups) -> Vec<PendingReply> {
        self.groups = groups;
        let failed = |DecidedAsk { reply, .. }| {
            let (outcome, leaving) = (Err(GroupAskError::Failed), Vec::new());
            PendingReply { reply, outcome, leaving }
        };
        batch.decided.into_iter().map(failed).collect()
    }
}

impl PendingReply {
    /// Until the rooms have let go. One that is over has.
    pub async fn wait(&mut self) {
        for leaving in mem::take(&mut self.leaving) {
            drop(leaving.await);
        }
    }

    /// Whether the rooms have let go.
    pub fn is_ready(&mut self) -> bool {
        self.leaving.retain_mut(|it| it.try_recv() == Err(TryRecvError::Empty));
        self.leaving.is_empty()
    }

    /// Answers.
    pub fn send(self) {
        // Whoever has gone does not want to know.
        drop(self.reply.send(self.outcome));
    }

    /// A room has not let go in time, which is a fault: nobody is told that all is well.
    pub fn fail(self) {
        drop(self.reply.send(Err(GroupAskError::Failed)));
    }
}
