//! A table by call: what it has of a call is found at the cost of one look, however many there are.
//!
//! Where calls are many their ids are random, so that an id is nearly its own hash. Nothing here
//! differs from run to run, and no order of the table is ever shown: machines may have one.

use std::{
    array,
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use crate::ids::CallId;

/// Rows by call.
pub struct ByCall<T>([Part<T>; PARTS]);

/// A table that grows moves all its rows: with a million calls, a part does so in some
/// milliseconds.
const PARTS: usize = 16;

type Part<T> = HashMap<Key, T, BuildHasherDefault<Mixed>>;

impl<T> ByCall<T> {
    /// What there is of a call.
    pub fn get(&self, call: CallId) -> Option<&T> {
        self.0[part(call)].get(&Key(call))
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, call: CallId) -> Option<&mut T> {
        self.0[part(call)].get_mut(&Key(call))
    }

    /// What there is of a call, which is made if there is nothing.
    pub fn get_or_default(&mut self, call: CallId) -> &mut T
    where
        T: Default,
    {
        self.0[part(call)].entry(Key(call)).or_default()
    }

    /// Sets a call's row; hands back the one before.
    pub fn insert(&mut self, call: CallId, row: T) -> Option<T> {
        self.0[part(call)].insert(Key(call), row)
    }

    /// Takes a call's row out.
    pub fn remove(&mut self, call: CallId) -> Option<T> {
        self.0[part(call)].remove(&Key(call))
    }

    /// Whether a call has a row.
    pub fn contains(&self, call: CallId) -> bool {
        self.get(call).is_some()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(HashMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(HashMap::is_empty)
    }

    /// Whose rows there are, in the order of their ids.
    pub fn calls(&self) -> Vec<CallId> {
        let mut calls: Vec<_> = self.0.iter().flat_map(HashMap::keys).map(|key| key.0).collect();
        calls.sort_unstable();
        calls
    }
}

impl<T> Default for ByCall<T> {
    fn default() -> Self {
        Self(array::from_fn(|_| Part::default()))
    }
}

impl<T: fmt::Debug> fmt::Debug for ByCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.calls().into_iter().filter_map(|call| Some((call, self.get(call)?)));
        f.debug_map().entries(rows).finish()
    }
}

/// One of so many equal parts, the same one for a call every time.
pub fn share(call: CallId, parts: usize) -> usize {
    // Other bits than those that part and table go by: what is shared out has all of these.
    (mix(call) >> 40) as usize % parts
}

fn part(call: CallId) -> usize {
    (mix(call) >> 32) as usize % PARTS
}

/// Spreads small ids, which people and tests make up, as well.
fn mix(call: CallId) -> u64 {
    let (high, low) = call.0.as_u64_pair();
    (high ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[derive(Clone, Copy, Eq, PartialEq)]
struct Key(CallId);

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(mix(self.0));
    }
}

/// A hash that the key has made.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key writes its hash");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_changed_and_taken_out() {
        let mut table = ByCall::default();
        assert!(table.is_empty());
        for n in (0..1_000).rev() {
            assert_eq!(table.insert(CallId::of(n), n), None);
        }
        *table.get_mut(CallId::of(7)).unwrap() += 1;
        *table.get_or_default(CallId::of(1_000)) = 3;
        assert_eq!(table.insert(CallId::of(8), 0), Some(8));
        let found = [7, 8, 9, 1_000, 1_001].map(|n| table.get(CallId::of(n)).copied());
        assert_eq!(found, [Some(8), Some(0), Some(9), Some(3), None]);
        assert_eq!(table.remove(CallId::of(9)), Some(9));
        assert_eq!(table.remove(CallId::of(9)), None);
        assert_eq!((table.len(), table.contains(CallId::of(9))), (1_000, false));
        let calls = table.calls();
        assert!(calls.is_sorted() && calls.len() == 1_000);
    }

    #[test]
    fn ids_of_any_make_are_spread() {
        let check = |id: &dyn Fn(u128) -> CallId| {
            let mut parts = [[0; PARTS]; 2];
            for n in 0..1_600 {
                parts[0][part(id(n))] += 1;
                parts[1][share(id(n), PARTS)] += 1;
            }
            assert!(parts.iter().flatten().all(|n| (50..200).contains(n)), "{parts:?}");
        };
        check(&|n| CallId::of(n));
        check(&|n| CallId::of(n << 64));
        check(&|n| CallId::of(n.wrapping_mul(0xda94_2042_e4dd_58b5_9e6c_63d0_876a_4b2f)));
    }
}
