//! Open event streams, counted for each account up to a maximum.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::base::ids::AccountId;

/// The largest number of streams of one account. A stream holds one of the server's 4,096
/// connections as long as its client wants, so an account gets no more than 1/64 of them.
pub const STREAMS_MAX: usize = 64;

/// The number of open streams of each account.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<AccountId, usize>>>);

/// An open stream. Dropping it closes it.
#[derive(Debug)]
pub(super) struct OpenEventStream {
    streams: Streams,
    account: AccountId,
}

impl Streams {
    /// None if the account has its maximum of streams.
    pub(super) fn open(&self, account: &AccountId) -> Option<OpenEventStream> {
        let mut counts = self.0.lock();
        let count = counts.entry(account.clone()).or_default();
        if STREAMS_MAX <= *count {
            return None;
        }
        *count += 1;
        Some(OpenEventStream { streams: self.clone(), account: account.clone() })
    }

    /// The streams of all accounts.
    pub(super) fn count(&self) -> usize {
        self.0.lock().values().sum()
    }
}

impl Drop for OpenEventStream {
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
