//! Strangers: connections that have shown no good credentials yet.
//!
//! When the server is full, the stranger that has been there longest makes room for the next
//! connection: a client that opens thousands of them keeps nobody out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The strangers of a server, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Strangers(Arc<Mutex<StrangerTable>>);

#[derive(Debug, Default)]
struct StrangerTable {
    last: u64,
    waiting: BTreeMap<u64, Arc<Notify>>,
}

/// A connection, which is a stranger until it is known.
#[derive(Debug)]
pub(super) struct Stranger {
    all: Strangers,
    number: u64,
    leave: Arc<Notify>,
    is_known: AtomicBool,
}

impl Strangers {
    pub(super) fn come_in(&self) -> Stranger {
        let mut table = self.0.lock();
        table.last += 1;
        let (number, leave) = (table.last, Arc::new(Notify::new()));
        table.waiting.insert(number, leave.clone());
        Stranger { all: self.clone(), number, leave, is_known: AtomicBool::new(false) }
    }

    /// Asks the oldest one to leave, if there is any.
    pub(super) fn make_room(&self) {
        if let Some((_, leave)) = self.0.lock().waiting.pop_first() {
            leave.notify_one();
        }
    }
}

impl Stranger {
    /// It has shown good credentials, and stays.
    pub(super) fn is_known(&self) {
        // Requests after the first take no lock.
        if !self.is_known.swap(true, Ordering::Relaxed) {
            self.all.0.lock().waiting.remove(&self.number);
        }
    }

    /// Waits until it must make room.
    pub(super) async fn must_leave(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.is_known();
    }
}
