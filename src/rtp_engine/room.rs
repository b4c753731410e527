//! Room of a mixer thread: its mixer and its legs.

use std::sync::Arc;

use super::{command::RoomSound, gauges::GaugeGuard, loader::LoadedProgram};
use crate::{
    audio::{
        mix::{Mixer, Settings, Slot},
        tone::Tones,
    },
    base::ids::RoomId,
    media::AnnouncementAddress,
    rtp::g711::FRAME,
};

/// One room. It exists while it has a leg.
#[derive(Debug)]
pub(super) struct MixerRoom {
    pub(super) id: RoomId,
    pub(super) mixer: Mixer,
    /// The index in the thread of each slot's leg; stale for empty slots.
    members: Vec<usize>,
    /// What a leg hears, now and later, that is played nothing else.
    sounds: Vec<PlayingSound>,
    _gauge_guard: GaugeGuard,
}

/// A sound that is played to all legs of a room.
#[derive(Debug)]
struct PlayingSound {
    address: Option<Arc<AnnouncementAddress>>,
    loaded: LoadedProgram,
    /// The tick in which it starts, if it is loaded by then.
    starts_at: u64,
}

impl PlayingSound {
    /// The tick in which it is over; None while it is loading.
    fn ends(&self, tones: &Tones) -> Option<u64> {
        let ticks = self.loaded.samples(tones)?.div_ceil(FRAME as u64);
        Some(self.starts_at.saturating_add(ticks))
    }
}

impl MixerRoom {
    pub(super) fn new(id: RoomId, gauge_guard: GaugeGuard) -> Self {
        let mixer = Mixer::new(Settings::default());
        let (members, sounds) = (Vec::new(), Vec::new());
        Self { id, mixer, members, sounds, _gauge_guard: gauge_guard }
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

    /// Notes that a sound is played to all. Returns false for an enter or exit sound that plays or
    /// waits already: nobody should hear it a second time.
    pub(super) fn play(&mut self, tick: u64, sound: &RoomSound, tones: &Tones) -> bool {
        // A sound that is still being loaded lasts until it is there.
        self.sounds.retain(|it| it.ends(tones).is_none_or(|end| tick < end));
        match sound {
            RoomSound::Relay(_) => true,
            RoomSound::Hush(address) => {
                self.sounds.retain(|it| it.address.as_ref() != Some(address));
                self.sounds.iter_mut().for_each(|it| it.starts_at = it.starts_at.min(tick));
                true
            }
            RoomSound::Announce { address, loaded } => {
                let is_it =
                    |it: &PlayingSound| it.address.is_none() && it.loaded.program == loaded.program;
                if address.is_none() && self.sounds.iter().any(is_it) {
                    return false;
                }
                let free_at = self.sounds.iter().filter_map(|it| it.ends(tones)).max();
                let starts_at = free_at.map_or(tick, |it| it.max(tick));
                let (address, loaded) = (address.clone(), loaded.clone());
                self.sounds.push(PlayingSound { address, loaded, starts_at });
                true
            }
        }
    }

    /// Returns the legs' indexes in the thread, and whether they are deaf.
    pub(super) fn legs(&mut self) -> Vec<(usize, bool)> {
        let slots: Vec<_> = self.mixer.slots().collect();
        slots.into_iter().map(|it| (self.members[it.index()], self.mixer.flags(it).deaf)).collect()
    }

    /// Returns the index in the thread of a slot's leg.
    pub(super) fn leg_at(&self, slot: Slot) -> usize {
        self.members[slot.index()]
    }
}
