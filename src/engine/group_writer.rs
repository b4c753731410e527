//! Group writer: the steps of an account's one writer. It decides, learns that the changes are
//! durable, has the rooms release removed members, and answers.
//!
//! Nothing here waits except [`PendingReply::wait`], for the task that sends the answers.

use std::{mem, sync::Arc};

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::registry::Registry;
use crate::{
    base::ids::AccountId,
    conference::Outcome,
    group::{
        Ask, Change, Expulsion, GroupAnswer, Refusal, UnixMillis,
        access_list::{self, AccessList},
        state::AccountGroups,
    },
    store::rows::WriteError,
};

/// The groups of one account, with the registry of the rooms that they guard.
pub struct GroupWriter {
    account: AccountId,
    groups: AccountGroups,
    registry: Option<Arc<Registry>>,
}

/// The reason why an ask failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GroupAskError {
    /// The machine refused the ask. Nothing has changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The account's queue is full. Nothing has changed.
    #[error("too many requests for the account's groups: try again")]
    Busy,
    /// The store cannot write. Nothing has changed.
    #[error(transparent)]
    NotStored(#[from] WriteError),
    /// A room did not release a removed member in time. The change is durable, and the ask can be
    /// repeated safely.
    #[error("a room did not release a removed member")]
    Failed,
}

/// The sender of an ask's answer.
pub type GroupReply = oneshot::Sender<Result<GroupAnswer, GroupAskError>>;

/// Asks that are decided and not yet durable.
#[derive(Debug, Default)]
pub struct AskBatch {
    /// The changes that must be durable before any answer, in order.
    pub changes: Vec<Change>,
    decided: Vec<DecidedAsk>,
}

/// Asks that are decided and durable, and applied to the access lists. The rooms are told next.
#[derive(Debug)]
pub struct PublishedBatch(Vec<DecidedAsk>);

#[derive(Debug)]
struct DecidedAsk {
    reply: GroupReply,
    outcome: Result<GroupAnswer, Refusal>,
    expulsions: Vec<Expulsion>,
}

/// An answer that is sent once the rooms have released the removed members.
#[derive(Debug)]
pub struct PendingReply {
    reply: GroupReply,
    outcome: Result<GroupAnswer, GroupAskError>,
    leaving: Vec<oneshot::Receiver<Outcome>>,
}

impl GroupWriter {
    /// A writer for the groups of one account. Without a registry, no rooms are guarded.
    pub fn new(account: AccountId, groups: AccountGroups, registry: Option<Arc<Registry>>) -> Self {
        Self { account, groups, registry }
    }

    /// The account that has these groups.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// Decides asks, in order.
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

    /// Applies a batch that is durable to the access lists.
    pub fn publish(&self, batch: AskBatch) -> PublishedBatch {
        if let Some(registry) = &self.registry {
            registry.apply_group_changes(&self.account, &batch.changes);
        }
        PublishedBatch(batch.decided)
    }

    /// Tells the rooms, in order, to release the removed members.
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

    /// Refuses a batch that could not be written. [`Self::take_back`] must follow.
    pub fn refuse(batch: AskBatch, error: &WriteError) -> Vec<PendingReply> {
        let refused = |DecidedAsk { reply, .. }| {
            let (outcome, leaving) = (Err(GroupAskError::NotStored(error.clone())), Vec::new());
            PendingReply { reply, outcome, leaving }
        };
        batch.decided.into_iter().map(refused).collect()
    }

    /// Forgets everything, since the account is removed. Members of rooms that a group guards stay.
    pub fn forget(&mut self) {
        self.groups = AccountGroups::default();
        if let Some(registry) = &self.registry {
            registry.set_access_list(self.account.clone(), AccessList::default());
        }
    }

    /// Forgets what could not be written. `groups` is the state that the store has.
    pub fn take_back(&mut self, groups: AccountGroups) {
        self.groups = groups;
    }
}

impl PendingReply {
    /// Waits until the rooms have released the members, or are over.
    pub async fn wait(&mut self) {
        for leaving in mem::take(&mut self.leaving) {
            drop(leaving.await);
        }
    }

    /// Whether the rooms have released the members, or are over.
    pub fn is_ready(&mut self) -> bool {
        self.leaving.retain_mut(|it| it.try_recv() == Err(TryRecvError::Empty));
        self.leaving.is_empty()
    }

    /// Sends the answer to the requester.
    pub fn send(self) {
        // The requester may be gone.
        drop(self.reply.send(self.outcome));
    }

    /// Sends [`GroupAskError::Failed`]: a room has not released a member in time, which is a bug.
    pub fn fail(self) {
        drop(self.reply.send(Err(GroupAskError::Failed)));
    }
}
