//! A room on its tick thread: its mixer, and who is where in it.

use super::gauges::Counted;
use crate::{
    audio::mix::{Mixer, Settings, Slot},
    base::ids::RoomId,
};

/// One room. It is there as long as somebody is in it.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: RoomId,
    pub(super) mixer: Mixer,
    /// Where in the shard the leg of each slot is; what it says of empty slots does not count.
    members: Vec<usize>,
    _counted: Counted,
}

impl Room {
    pub(super) fn new(id: RoomId, counted: Counted) -> Self {
        let mixer = Mixer::new(Settings::default());
        Self { id, mixer, members: Vec::new(), _counted: counted }
    }

    /// The leg at this place of the shard comes in.
    pub(super) fn enter(&mut self, at: usize) -> Slot {
        let slot = self.mixer.add();
        if self.members.len() <= slot.index() {
            self.members.resize(slot.index() + 1, at);
        }
        self.members[slot.index()] = at;
        slot
    }

    /// A leg goes. If the tick has been mixed, those who have not been sent it do not hear the
    /// leg any more. True: the room is empty.
    pub(super) fn leave(&mut self, slot: Slot, is_mixed: bool) -> bool {
        if is_mixed {
            self.mixer.strike(slot);
        }
        self.mixer.remove(slot);
        self.mixer.is_empty()
    }

    /// Where in the shard the leg of a slot is.
    pub(super) fn leg_at(&self, slot: Slot) -> usize {
        self.members[slot.index()]
    }
}
