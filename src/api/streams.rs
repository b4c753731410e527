//! Event streams that are open: so many for each account, and no more.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::base::ids::AccountId;

/// Streams of one account. Each holds one of the server's 4,096 connections for as long as its
/// client likes, so that no account takes more than a sixty-fourth of them.
pub const STREAMS_MAX: usize = 64;

/// How many each account has open.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<AccountId, usize>>>);

/// One that is open. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Open {
    streams: Streams,
    account: AccountId,
}

impl Streams {
    /// None if the account has as many as it may have.
    pub(super) fn open(&self, account: &AccountId) -> Option<Open> {
        let mut counts = self.0.lock();
        let count = counts.entry(account.clone()).or_default();
        if STREAMS_MAX <= *count {
            return None;
        }
        *count += 1;
        Some(Open { streams: self.clone(), account: account.clone() })
    }

    /// Of all accounts.
    pub(super) fn count(&self) -> usize {
        self.0.lock().values().sum()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut counts = self.streams.0.lock();
        if let Some(count) = counts.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_so_many_and_another_as_many() {
        let [one, two]: [AccountId; 2] = ["MA1", "MA2"].map(|it| it.parse().unwrap());
        let streams = Streams::default();
        let mut open: Vec<_> = (0..STREAMS_MAX).map(|_| streams.open(&one).unwrap()).collect();
        assert!(streams.open(&one).is_none());
        let other = streams.open(&two);
        assert!(other.is_some());
        assert_eq!(streams.count(), STREAMS_MAX + 1);
        open.pop();
        open.push(streams.open(&one).unwrap());
        drop((open, other));
        assert_eq!((streams.count(), streams.0.lock().len()), (0, 0));
    }
}
