//! Call map: a hash table by call id, whose memory stays dense while calls come and go.
//!
//! Rows lie side by side: the last row fills the place of a removed one. A table of a million calls
//! has no empty places, except among the small numbers by which rows are found. Where calls are
//! many their ids are random, so an id is nearly its own hash. The table is the same in every run,
//! and never shows its order, so machines on pure floors may use it.
//!
//! With a million rows of 64 bytes, a row takes 75 bytes, 136 in the `HashMap` of std, and 99 in a
//! `BTreeMap`. The slowest of a million insertions took 20 ms, and 236 ms in the `HashMap`, which
//! moves all rows when it grows. A lookup took 0.4 µs, 0.7 µs and 2.6 µs (on a busy machine). The
//! crate `slotmap` (1.1) makes up its own keys, so it would need a table by call id beside it.

use std::{fmt, mem};

use hashbrown::HashTable;

use crate::base::ids::CallId;

/// Rows by call id.
pub struct CallMap<T> {
    /// All are full except the last one, which is never empty.
    chunks: Vec<Vec<(CallId, T)>>,
    /// Hash tables of row numbers.
    parts: [HashTable<u32>; PARTS],
}

/// A part that grows moves all its numbers. With a million calls this takes some milliseconds.
const PARTS: usize = 16;

/// Rows of one chunk. Memory grows and shrinks by chunks, so rows do not move when it grows.
const CHUNK_ROWS: usize = 64;

impl<T> CallMap<T> {
    /// The row of a call.
    pub fn get(&self, call: CallId) -> Option<&T> {
        let number = self.number(call)?;
        Some(&row(&self.chunks, number).1)
    }

    /// The row of a call, mutable.
    pub fn get_mut(&mut self, call: CallId) -> Option<&mut T> {
        let number = self.number(call)? as usize;
        Some(&mut self.chunks[number / CHUNK_ROWS][number % CHUNK_ROWS].1)
    }

    /// Sets a call's row; returns the previous one.
    pub fn insert(&mut self, call: CallId, value: T) -> Option<T> {
        if let Some(before) = self.get_mut(call) {
            return Some(mem::replace(before, value));
        }
        let number = u32::try_from(self.len()).expect("memory cannot hold 2^32 rows");
        let Self { chunks, parts } = self;
        match chunks.last_mut().filter(|it| it.len() < CHUNK_ROWS) {
            Some(chunk) => chunk.push((call, value)),
            None => {
                // Many tables are small: the first chunk grows as needed.
                let is_first = chunks.is_empty();
                let mut chunk = Vec::with_capacity(if is_first { 0 } else { CHUNK_ROWS });
                chunk.push((call, value));
                chunks.push(chunk);
            }
        }
        let hash_of = |it: &u32| mix(row(chunks, *it).0);
        parts[part(call)].insert_unique(mix(call), number, hash_of);
        None
    }

    /// Removes a call's row and returns it. The last row fills its place.
    pub fn remove(&mut self, call: CallId) -> Option<T> {
        let Self { chunks, parts } = self;
        let is_sought = |it: &u32| row(chunks, *it).0 == call;
        let found = parts[part(call)].find_entry(mix(call), is_sought).ok()?;
        let number = found.remove().0 as usize;
        let last = length(chunks) - 1;
        let moved = chunks.last_mut()?.pop()?;
        chunks.pop_if(|it| it.is_empty());
        let removed = match number == last {
            true => moved,
            false => {
                let part = &mut parts[part(moved.0)];
                *part.find_mut(mix(moved.0), |it| *it as usize == last)? = number as u32;
                mem::replace(&mut chunks[number / CHUNK_ROWS][number % CHUNK_ROWS], moved)
            }
        };
        let part = &mut parts[part(call)];
        if part.len() < part.capacity() / 4 {
            part.shrink_to(part.len() * 2, |it| mix(row(chunks, *it).0));
        }
        Some(removed.1)
    }

    /// Whether a call has a row.
    pub fn contains(&self, call: CallId) -> bool {
        self.number(call).is_some()
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        length(&self.chunks)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The calls that have rows, sorted by id.
    pub fn calls(&self) -> Vec<CallId> {
        let mut calls: Vec<_> = self.chunks.iter().flatten().map(|(call, _)| *call).collect();
        calls.sort_unstable();
        calls
    }

    fn number(&self, call: CallId) -> Option<u32> {
        let is_sought = |it: &u32| row(&self.chunks, *it).0 == call;
        self.parts[part(call)].find(mix(call), is_sought).copied()
    }
}

impl<T> Default for CallMap<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), parts: [const { HashTable::new() }; PARTS] }
    }
}

impl<T: fmt::Debug> fmt::Debug for CallMap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.calls().into_iter().filter_map(|call| Some((call, self.get(call)?)));
        f.debug_map().entries(rows).finish()
    }
}

/// The number of the part, below `parts`, that a call belongs to: always the same one.
pub fn partition_of(call: CallId, parts: usize) -> usize {
    // Other bits than those that pick the part and the hash slot: a table that holds one partition
    // only must still spread its rows.
    (mix(call) >> 40) as usize % parts
}

fn row<T>(chunks: &[Vec<(CallId, T)>], number: u32) -> &(CallId, T) {
    &chunks[number as usize / CHUNK_ROWS][number as usize % CHUNK_ROWS]
}

fn length<T>(chunks: &[Vec<(CallId, T)>]) -> usize {
    let full = chunks.len().saturating_sub(1) * CHUNK_ROWS;
    full + chunks.last().map_or(0, Vec::len)
}

fn part(call: CallId) -> usize {
    (mix(call) >> 32) as usize % PARTS
}

/// The hash of an id. It also spreads small ids, which people and tests make up.
fn mix(call: CallId) -> u64 {
    let (high, low) = call.0.as_u64_pair();
    (high ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn rows_are_found_changed_and_removed() {
        let mut table = CallMap::default();
        assert!(table.is_empty());
        for n in (0..1_000).rev() {
            assert_eq!(table.insert(CallId::of(n), n), None);
        }
        *table.get_mut(CallId::of(7)).unwrap() += 1;
        assert_eq!(table.insert(CallId::of(1_000), 3), None);
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
                parts[1][partition_of(id(n), PARTS)] += 1;
            }
            assert!(parts.iter().flatten().all(|n| (50..200).contains(n)), "{parts:?}");
        };
        check(&|n| CallId::of(n));
        check(&|n| CallId::of(n << 64));
        check(&|n| CallId::of(n.wrapping_mul(0xda94_2042_e4dd_58b5_9e6c_63d0_876a_4b2f)));
    }

    /// A pseudo-random generator (xorshift).
    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn it_behaves_like_a_btree_map() {
        let (mut table, mut map, mut state) = (CallMap::default(), BTreeMap::new(), 1);
        for n in 0..20_000_u64 {
            // The table grows in the first half and shrinks in the second.
            let (call, chance) = (CallId::of((next(&mut state) % 1_000).into()), next(&mut state));
            let inserts = if n < 10_000 { 6 } else { 3 };
            match chance % 10 < inserts {
                true => assert_eq!(table.insert(call, n), map.insert(call, n)),
                false => assert_eq!(table.remove(call), map.remove(&call)),
            }
            assert_eq!((table.len(), table.get(call)), (map.len(), map.get(&call)));
        }
        assert_eq!(table.calls(), Vec::from_iter(map.keys().copied()));
        assert!(map.iter().all(|(call, n)| table.get(*call) == Some(n)));
    }

    #[test]
    fn it_frees_memory_that_it_no_longer_needs() {
        let mut table = CallMap::default();
        (0..10_000).for_each(|n| assert!(table.insert(CallId::of(n), n).is_none()));
        (0..9_990).for_each(|n| assert_eq!(table.remove(CallId::of(n)), Some(n)));
        assert_eq!(table.get(CallId::of(9_999)), Some(&9_999));
        assert!(table.chunks.len() == 1 && table.parts.iter().all(|it| it.capacity() < 16));
        (9_990..10_000).for_each(|n| assert_eq!(table.remove(CallId::of(n)), Some(n)));
        assert!(table.is_empty() && table.chunks.is_empty());
    }
}
