//! Partitions: a table in parts, each with its own lock.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use parking_lot::{Mutex, MutexGuard};

use crate::base::{call_map::partition_of, ids::CallId};

/// One table in parts, each with its own lock.
pub(super) struct Partitions<T>(pub(super) Vec<Mutex<T>>);

impl<T> Partitions<T> {
    pub(super) fn of(&self, key: &impl Hash) -> MutexGuard<'_, T> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let n = self.0.len() as u64;
        self.0[usize::try_from(hash % n).expect("fewer than there are partitions")].lock()
    }
}

impl<T> Partitions<T> {
    pub(super) fn of_call(&self, call: CallId) -> MutexGuard<'_, T> {
        self.0[partition_of(call, self.0.len())].lock()
    }
}

impl<T: Default> Default for Partitions<T> {
    fn default() -> Self {
        Self((0..PARTITIONS).map(|_| Mutex::default()).collect())
    }
}

/// A few for each core of a large machine.
const PARTITIONS: usize = 64;
