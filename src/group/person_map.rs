//! Person map: a table by person that is cheap to copy; copies share the parts that are unchanged.

use std::{fmt, mem, ops::Index, sync::Arc};

use super::PersonId;

/// Rows by person, sorted by id.
#[derive(Clone)]
pub struct PersonMap<T> {
    /// Sorted; none is empty.
    parts: Vec<Arc<Vec<(PersonId, T)>>>,
    len: usize,
}

/// A change copies the row's part, if it is shared, and the list of parts: with 30,000 rows, both
/// have some 200 entries.
const PART_MAX: usize = 256;

impl<T> PersonMap<T> {
    /// The row of a person.
    pub fn get(&self, person: &PersonId) -> Option<&T> {
        let part = self.parts.get(self.part_index(person))?;
        let found = part.binary_search_by_key(person, |(id, _)| *id).ok()?;
        Some(&part[found].1)
    }

    /// Whether the person has a row.
    pub fn contains_key(&self, person: &PersonId) -> bool {
        self.get(person).is_some()
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every row with its person, sorted by id.
    pub fn iter(&self) -> impl Iterator<Item = (&PersonId, &T)> {
        self.parts.iter().flat_map(|part| part.iter()).map(|(id, row)| (id, row))
    }

    /// The people that have rows, sorted by id.
    pub fn keys(&self) -> impl Iterator<Item = &PersonId> {
        self.iter().map(|(id, _)| id)
    }

    /// Every row, sorted by the person's id.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, row)| row)
    }

    /// The part that has the person's row, or would have it.
    fn part_index(&self, person: &PersonId) -> usize {
        self.parts.partition_point(|part| part[0].0 <= *person).saturating_sub(1)
    }
}

impl<T: Clone> PersonMap<T> {
    /// Sets a person's row; returns the previous one.
    pub fn insert(&mut self, person: PersonId, row: T) -> Option<T> {
        let index = self.part_index(&person);
        let Some(part) = self.parts.get_mut(index).map(Arc::make_mut) else {
            self.parts.push(Arc::new(vec![(person, row)]));
            self.len += 1;
            return None;
        };
        match part.binary_search_by_key(&person, |(id, _)| *id) {
            Ok(found) => Some(mem::replace(&mut part[found].1, row)),
            Err(between) => {
                part.insert(between, (person, row));
                if PART_MAX < part.len() {
                    let rest = part.split_off(PART_MAX / 2);
                    self.parts.insert(index + 1, Arc::new(rest));
                }
                self.len += 1;
                None
            }
        }
    }

    /// Removes a person's row and returns it.
    pub fn remove(&mut self, person: &PersonId) -> Option<T> {
        let index = self.part_index(person);
        let found = self.parts.get(index)?.binary_search_by_key(person, |(id, _)| *id).ok()?;
        let part = Arc::make_mut(&mut self.parts[index]);
        let (_, row) = part.remove(found);
        if part.is_empty() {
            self.parts.remove(index);
        }
        self.len -= 1;
        Some(row)
    }
}

impl<T> Default for PersonMap<T> {
    fn default() -> Self {
        Self { parts: Vec::new(), len: 0 }
    }
}

impl<T> Index<&PersonId> for PersonMap<T> {
    type Output = T;

    fn index(&self, person: &PersonId) -> &T {
        self.get(person).expect("a person with a row")
    }
}

impl<T: PartialEq> PartialEq for PersonMap<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for PersonMap<T> {}

impl<T: fmt::Debug> fmt::Debug for PersonMap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Compares with a `BTreeMap`; copies do not change.
    #[test]
    fn rows_are_set_found_and_removed_and_copies_keep_theirs() {
        let (mut table, mut map) = (PersonMap::default(), BTreeMap::new());
        let mut copies = Vec::new();
        let mut random = 1_u64;
        for n in 0..20_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let person = PersonId(random >> 52);
            // The table grows in the first half and shrinks in the second.
            let comes = (random >> 20) % 4 < if n < 10_000 { 3 } else { 1 };
            match comes {
                true => assert_eq!(table.insert(person, n), map.insert(person, n)),
                false => assert_eq!(table.remove(&person), map.remove(&person)),
            }
            assert_eq!(table.get(&person), map.get(&person));
            if n % 4_000 == 0 {
                copies.push((table.clone(), map.clone()));
            }
        }
        copies.push((table, map));
        for (table, map) in copies {
            assert!(table.iter().eq(map.iter()), "{} rows", map.len());
            assert_eq!((table.len(), table.is_empty()), (map.len(), map.is_empty()));
            assert!(table.parts.iter().all(|it| (1..=PART_MAX).contains(&it.len())));
        }
    }

    #[test]
    fn tables_are_equal_by_their_rows_in_any_order_of_insertion() {
        let rising: Vec<_> = (0..1_000).map(PersonId).collect();
        let fill = |ids: &mut dyn Iterator<Item = &PersonId>| {
            let mut table = PersonMap::default();
            ids.for_each(|id| assert_eq!(table.insert(*id, id.0), None));
            table
        };
        let (one, mut other) = (fill(&mut rising.iter()), fill(&mut rising.iter().rev()));
        assert_eq!(one, other);
        other.insert(PersonId(7), 0);
        assert_ne!(one, other);
    }

    #[test]
    fn a_copy_shares_all_but_the_part_that_changes() {
        let mut table = PersonMap::default();
        (0..10_000).for_each(|n| assert_eq!(table.insert(PersonId(n), n), None));
        let copy = table.clone();
        table.remove(&PersonId(5_000));
        let pairs = table.parts.iter().zip(&copy.parts);
        assert_eq!(pairs.filter(|(one, other)| !Arc::ptr_eq(one, other)).count(), 1);
    }
}
