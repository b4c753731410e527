//! Schedules: who acts first, if several can act at one moment.

use crate::engine::conference::EFFECTS_PER_SLICE;

/// An order of turns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Schedule {
    /// Whatever has begun ends before anything else begins.
    Orderly,
    /// A random order with this seed: of turns, of events of one moment, and of the number of
    /// effects that a room performs in one turn.
    Seeded(u64),
}

/// State of a schedule during a run.
pub(super) struct TurnPicker(Option<u64>);

/// Small slices expose what happens between effects.
const SLICE_MAX: usize = 4;

impl TurnPicker {
    pub(super) fn new(schedule: Schedule) -> Self {
        match schedule {
            Schedule::Orderly => Self(None),
            Schedule::Seeded(seed) => Self(Some(seed)),
        }
    }

    /// Picks one of `count` choices; the first one if the schedule is orderly.
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
