//! Key hasher: where the index has a key.

use std::hash::Hasher;

/// Hashes a key with three multiplications. Most ids are random, and nobody else chooses one: the default
/// hasher, which expects the worst, takes two thirds of what the index does.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyHasher(u64);

/// 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|it| self.write_u8(*it));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u128(number.into());
    }

    fn write_u128(&mut self, number: u128) {
        let (high, low) = ((number >> 64) as u64, number as u64);
        let (a, b) = (self.0 ^ low ^ SPREAD, high ^ 0xF39C_C060_5CED_C835);
        let product = u128::from(a) * u128::from(b);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        // Once more: ids that are counted in their upper bits would share places.
        let product = u128::from(self.0) * u128::from(SPREAD);
        (product >> 64) as u64 ^ product as u64
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        hash::{BuildHasher, BuildHasherDefault},
    };

    use super::*;
    use crate::state_log::RowKey;

    /// Halves of the places of a table differ for keys that are alike: kinds, numbers and accounts.
    #[test]
    fn hashes_of_similar_keys_are_spread() {
        let alike = (0..4_096_u128).map(|n| [n, n << 64, n << 100 | 7, u128::MAX - n]);
        for (at, ids) in [0, 1, 2, 3].map(|at| (at, alike.clone().map(move |it| it[at]))) {
            for kind in [0, 1, 128, 255] {
                let build = BuildHasherDefault::<KeyHasher>::default();
                let hashes = ids.clone().map(|id| build.hash_one(RowKey { kind, id }));
                let places: BTreeSet<_> = hashes.map(|it| it & 0xFFF).collect();
                // Of 4,096 throws into 4,096 places, 2,589 are hit at random.
                assert!(2_300 < places.len(), "{at} {kind}: {}", places.len());
            }
        }
    }
}
