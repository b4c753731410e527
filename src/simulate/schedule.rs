//! Who comes first, of those who could within a moment.

use crate::engine::conference::EFFECTS_PER_SLICE;

/// An order of turns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Schedule {
    /// Whatever has begun comes to its end before anything else begins.
    Orderly,
    /// Any order that could be: whose turn is next, how many effects a room does in one go, and
    /// which of the events of one moment comes first.
    Seeded(u64),
}

/// A schedule under way.
pub(super) struct Dice(Option<u64>);

/// So few effects in one go show what comes between them.
const SLICE_MAX: usize = 4;

impl Dice {
    pub(super) fn new(schedule: Schedule) -> Self {
        match schedule {
            Schedule::Orderly => Self(None),
            Schedule::Seeded(seed) => Self(Some(seed)),
        }
    }

    /// One of so many, at least one; the first, where there is order.
    pub(super) fn pick(&mut self, count: usize) -> usize {
        let number = self.next();
        usize::try_from(number % (count.max(1) as u64)).unwrap_or_default()
    }

    pub(super) fn slice(&mut self) -> usize {
        match self.0 {
            None => EFFECTS_PER_SLICE,
            Some(_) => 1 + self.pick(SLICE_MAX),
        }
    }

    pub(super) fn is_orderly(&self) -> bool {
        self.0.is_none()
    }

    /// Any odd constant and two mixing steps spread the bits well enough for picking.
    fn next(&mut self) -> u64 {
        let Some(state) = &mut self.0 else { return 0 };
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }
}
