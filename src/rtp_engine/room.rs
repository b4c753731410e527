//! Room of a mixer thread: its mixer and its legs.

use super::gauges::GaugeGuard;
use crate::{
    audio::mix::{Mixer, Settings, Slot},
    base::ids::RoomId,
};

/// One room. It exists while it has a leg.
#[derive(Debug)]
pub(super) struct MixerRoom {
    pub(super) id: RoomId,
    pub(super) mixer: Mixer,
    /// The index in the thread of each slot's leg; stale for empty slots.
    members: Vec<usize>,
    _gauge_guard: GaugeGuard,
}

impl MixerRoom {
    pub(super) fn new(id: RoomId, gauge_guard: GaugeGuard) -> Self {
        let mixer = Mixer::new(Settings::default());
        Self { id, mixer, members: Vec::new(), _gauge_guard: gauge_guard }
    }

    /// Adds the leg at this index of the thread.
    pub(super) fn enter(&mut self, at: usize) -> Slot {
        let slot = self.mixer.add();
        if self.members.len() <= slot.index() {
            self.members.resize(slot.index() + 1, at);
        }
        self.members[slot.index()] = at;
        slot
    }

    /// Removes a leg. If the tick has been mixed, its voice is cut from packets not yet sent.
    /// Returns true if the room is empty.
    pub(super) fn leave(&mut self, slot: Slot, is_mixed: bool) -> bool {
        if is_mixed {
            self.mixer.cut_voice(slot);
        }
        self.mixer.remove(slot);
        self.mixer.is_empty()
    }

    /// Returns the index in the thread of a slot's leg.
    pub(super) fn leg_at(&self, slot: Slot) -> usize {
        self.members[slot.index()]
    }
}
