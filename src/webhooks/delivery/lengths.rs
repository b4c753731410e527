//! Queue lengths: which queue gives way when there are too many items.

use std::collections::{BTreeMap, BTreeSet};

use super::round_robin::QueueId;
use crate::base::ids::AccountId;

/// The length of every queue, by account.
#[derive(Debug, Default)]
pub(super) struct QueueLengths(BTreeMap<AccountId, AccountQueues>);

#[derive(Debug, Default)]
struct AccountQueues {
    items: usize,
    /// The longest is last.
    lengths: BTreeSet<(usize, QueueId)>,
}

impl QueueLengths {
    /// Adds an empty queue.
    pub(super) fn add(&mut self, account: &AccountId, id: QueueId) {
        if !self.0.contains_key(account) {
            self.0.insert(account.clone(), AccountQueues::default());
        }
        self.0.get_mut(account).into_iter().for_each(|it| _ = it.lengths.insert((0, id)));
    }

    /// Notes that a queue has another length.
    pub(super) fn change(&mut self, account: &AccountId, id: QueueId, before: usize, after: usize) {
        let queues = self.0.get_mut(account).expect("a queue is added first");
        queues.lengths.remove(&(before, id));
        queues.lengths.insert((after, id));
        queues.items = queues.items + after - before;
    }

    /// Removes an empty queue.
    pub(super) fn remove(&mut self, account: &AccountId, id: QueueId) {
        let Some(queues) = self.0.get_mut(account) else { return };
        queues.lengths.remove(&(0, id));
        if queues.lengths.is_empty() {
            self.0.remove(account);
        }
    }

    /// The account that has the most items, and its longest queue.
    pub(super) fn longest(&self) -> Option<(&AccountId, usize, QueueId)> {
        let (account, queues) = self.0.iter().max_by_key(|(_, it)| it.items)?;
        let (length, id) = *queues.lengths.last()?;
        Some((account, length, id))
    }

    /// The number of queues.
    pub(super) fn len(&self) -> usize {
        self.0.values().map(|it| it.lengths.len()).sum()
    }
}
