//! A table of calls: many small rows, found by the call.
//!
//! Rows lie side by side, whichever have come and gone: a B-tree's nodes are a third empty, and of
//! a million calls that is felt. Where a row lies is looked up by a hash of the call, whose id is
//! random and ours, so nobody can choose calls that collide. The order of rows is that of what was
//! done to the table, the same in each run.

use hashbrown::HashTable;

use crate::ids::CallId;

/// Rows by call.
#[derive(Debug)]
pub struct Table<V> {
    /// Full but for the last one, which is never empty.
    chunks: Vec<Vec<(CallId, V)>>,
    /// Numbers of rows, in parts.
    places: [HashTable<u32>; PARTS],
}

/// A table grows and shrinks by so much, and never moves.
const CHUNK_ROWS: usize = 64;
/// One part grows at a time: with a million rows that takes some milliseconds, and not a hundred.
const PARTS: usize = 16;

impl<V> Table<V> {
    /// Sets a call's row; gives back the one before.
    pub fn insert(&mut self, call: CallId, value: V) -> Option<V> {
        if let Some(before) = self.get_mut(&call) {
            return Some(std::mem::replace(before, value));
        }
        let number = u32::try_from(self.len()).expect("memory ends before that");
        let Self { chunks, places } = self;
        match chunks.last_mut().filter(|it| it.len() < CHUNK_ROWS) {
            Some(chunk) => chunk.push((call, value)),
            None => {
                let mut chunk = match chunks.is_empty() {
                    true => Vec::new(),
                    false => Vec::with_capacity(CHUNK_ROWS),
                };
                chunk.push((call, value));
                chunks.push(chunk);
            }
        }
        let hash_of = |it: &u32| hash(row(chunks, *it).0);
        places[part(call)].insert_unique(hash(call), number, hash_of);
        None
    }

    /// A call's row.
    pub fn get(&self, call: &CallId) -> Option<&V> {
        let number = self.number(*call)?;
        Some(&row(&self.chunks, number).1)
    }

    /// As [`Self::get`].
    pub fn get_mut(&mut self, call: &CallId) -> Option<&mut V> {
        let number = self.number(*call)? as usize;
        Some(&mut self.chunks[number / CHUNK_ROWS][number % CHUNK_ROWS].1)
    }

    /// Whether a call has a row.
    pub fn contains_key(&self, call: &CallId) -> bool {
        self.number(*call).is_some()
    }

    /// Takes a call's row out. The last row takes its place.
    pub fn remove(&mut self, call: &CallId) -> Option<V> {
        let Self { chunks, places } = self;
        let is_sought = |it: &u32| row(chunks, *it).0 == *call;
        let found = places[part(*call)].find_entry(hash(*call), is_sought).ok()?;
        let number = found.remove().0 as usize;
        let last = length(chunks) - 1;
        let moved = chunks.last_mut()?.pop()?;
        chunks.pop_if(|it| it.is_empty());
        let removed = match number == last {
            true => moved,
            false => {
                let places = &mut places[part(moved.0)];
                let place = places.find_mut(hash(moved.0), |it| *it as usize == last)?;
                *place = number as u32;
                std::mem::replace(&mut chunks[number / CHUNK_ROWS][number % CHUNK_ROWS], moved)
            }
        };
        let places = &mut places[part(*call)];
        if places.len() < places.capacity() / 4 {
            places.shrink_to(places.len() * 2, |it| hash(row(chunks, *it).0));
        }
        Some(removed.1)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        length(&self.chunks)
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = (&CallId, &V)> {
        self.chunks.iter().flatten().map(|(call, value)| (call, value))
    }

    /// All calls.
    pub fn keys(&self) -> impl Iterator<Item = &CallId> {
        self.iter().map(|(call, _)| call)
    }

    fn number(&self, call: CallId) -> Option<u32> {
        let is_sought = |it: &u32| row(&self.chunks, *it).0 == call;
        self.places[part(call)].find(hash(call), is_sought).copied()
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { chunks: Vec::new(), places: [const { HashTable::new() }; PARTS] }
    }
}

fn row<V>(chunks: &[Vec<(CallId, V)>], number: u32) -> &(CallId, V) {
    &chunks[number as usize / CHUNK_ROWS][number as usize % CHUNK_ROWS]
}

fn length<V>(chunks: &[Vec<(CallId, V)>]) -> usize {
    let full = chunks.len().saturating_sub(1) * CHUNK_ROWS;
    full + chunks.last().map_or(0, Vec::len)
}

/// By bits that the part itself does not look at.
fn part(call: CallId) -> usize {
    (hash(call) >> 32) as usize % PARTS
}

/// Ids are random, but for those of tests, which count. Both halves of the product are used.
fn hash(call: CallId) -> u64 {
    let (high, low) = call.0.as_u64_pair();
    let product = u128::from(high ^ low) * u128::from(ODD);
    (product >> 64) as u64 ^ product as u64
}

/// The golden ratio's, as a multiplier that spreads.
const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Small steps of a generator (xorshift) in place of chance.
    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn it_holds_what_a_map_holds_whatever_is_done_to_it() {
        let (mut table, mut map, mut state) = (Table::default(), BTreeMap::new(), 1);
        for n in 0..20_000_u64 {
            // It grows for a while, then shrinks.
            let (call, chance) = (CallId::of((next(&mut state) % 1_000).into()), next(&mut state));
            let inserts = if n < 10_000 { 6 } else { 3 };
            match chance % 10 < inserts {
                true => assert_eq!(table.insert(call, n), map.insert(call, n)),
                false => assert_eq!(table.remove(&call), map.remove(&call)),
            }
            assert_eq!((table.len(), table.get(&call)), (map.len(), map.get(&call)));
            assert_eq!(table.contains_key(&call), map.contains_key(&call));
        }
        let rows: BTreeMap<_, _> = table.iter().map(|(call, n)| (*call, *n)).collect();
        assert_eq!(rows, map);
        assert!(table.keys().all(|call| map.contains_key(call)));
    }

    #[test]
    fn the_order_is_the_same_in_each_run() {
        let run = || {
            let mut table = Table::default();
            (0..200_u128).for_each(|n| assert!(table.insert(CallId::of(n), n).is_none()));
            (0..200).step_by(3).for_each(|n| assert_eq!(table.remove(&CallId::of(n)), Some(n)));
            table.keys().copied().collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn it_gives_back_what_it_has_needed() {
        let mut table = Table::default();
        (0..10_000_u128).for_each(|n| assert!(table.insert(CallId::of(n), n).is_none()));
        (0..9_990_u128).for_each(|n| assert_eq!(table.remove(&CallId::of(n)), Some(n)));
        assert_eq!(table.get(&CallId::of(9_999)), Some(&9_999));
        assert!(table.chunks.len() == 1 && table.places.iter().all(|it| it.capacity() < 16));
        (9_990..10_000_u128).for_each(|n| assert!(table.remove(&CallId::of(n)).is_some()));
        assert!(table.is_empty() && table.chunks.is_empty());
    }
}
