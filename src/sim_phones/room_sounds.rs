//! Room sounds: what was played to whole rooms, kept once for all phones in them.
//!
//! A sound to a room touches no phone. Each phone remembers how many sounds of its room it has
//! taken over, and takes over the rest, each at its time, when something else happens to it or its
//! details are asked for. So a sound costs the same in every room, and a phone hears what it would
//! have heard if it had been told of each sound at once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Settings, TIMELINE_MAX, sounds::KEY_MS};
use crate::{
    base::ids::{CallId, RoomId},
    media::{ANNOUNCEMENTS_MAX, AnnouncementAddress, SoundToAll},
};

/// Limit of sounds kept for a room: as many as fill a timeline, with the room between them. A phone
/// that has not been looked at for longer misses the oldest.
pub(super) const SOUNDS_KEPT: usize = TIMELINE_MAX / 2 - 1;

/// The rooms in which phones are.
#[derive(Debug, Default)]
pub struct SimRooms(BTreeMap<RoomId, RoomSounds>);

/// Where a table of phones has its rooms: in itself, or where other tables have them too.
pub trait RoomTable {
    /// Reads or changes what is kept of a room.
    fn with<T>(&mut self, room: RoomId, then: impl FnOnce(&mut SimRooms) -> T) -> T;
}

impl RoomTable for SimRooms {
    fn with<T>(&mut self, _: RoomId, then: impl FnOnce(&mut Self) -> T) -> T {
        then(self)
    }
}

/// The sounds that were played to one room while phones were in it.
#[derive(Debug, Default)]
pub(super) struct RoomSounds {
    /// The number of phones in the room.
    phones: u32,
    /// The number of the next sound.
    next: u32,
    /// None until there is a sound: most rooms have few, and there are many rooms.
    sounds: Option<Box<KeptSounds>>,
}

#[derive(Debug, Default)]
struct KeptSounds {
    /// The last ones, in order.
    kept: VecDeque<(Instant, Arc<SoundToAll>)>,
    /// What a phone hears, now and later, that is played nothing else.
    queue: Vec<QueuedSound>,
}

#[derive(Debug)]
struct QueuedSound {
    sound: Arc<SoundToAll>,
    starts_at: Instant,
    length: Duration,
}

impl SimRooms {
    pub(super) fn get(&self, room: RoomId) -> Option<&RoomSounds> {
        self.0.get(&room)
    }

    /// A phone enters. Returns the number of the first sound that it hears.
    pub(super) fn enter(&mut self, room: RoomId) -> u32 {
        let sounds = self.0.entry(room).or_default();
        sounds.phones += 1;
        sounds.next()
    }

    /// A phone leaves; the last one ends the room.
    pub(super) fn leave(&mut self, room: RoomId) {
        let Some(sounds) = self.0.get_mut(&room) else { return };
        sounds.phones -= 1;
        if sounds.phones == 0 {
            self.0.remove(&room);
        }
    }

    /// Keeps a sound for the phones of a room. An enter or exit sound that plays or waits there
    /// already is not kept: returns who must hear it from its start.
    pub(super) fn add(
        &mut self,
        now: Instant,
        room: RoomId,
        sound: &Arc<SoundToAll>,
        settings: &Settings,
    ) -> Option<CallId> {
        let sounds = self.0.get_mut(&room)?;
        match **sound {
            SoundToAll::Play { member, .. } => {
                (!sounds.add(now, sound, settings)).then_some(member)
            }
            SoundToAll::Hush { .. } | SoundToAll::RelayDigit { .. } => {
                sounds.add(now, sound, settings);
                None
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl RoomSounds {
    /// The number of the next sound.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// How many sounds from `number` on are no longer kept, and those that are.
    pub(super) fn since(
        &self,
        number: u32,
    ) -> (usize, impl Iterator<Item = &(Instant, Arc<SoundToAll>)>) {
        let kept = self.sounds.iter().flat_map(|it| &it.kept);
        let count = self.sounds.as_ref().map_or(0, |it| it.kept.len());
        let behind = self.next.wrapping_sub(number) as usize;
        let missed = behind.saturating_sub(count);
        (missed, kept.skip(count + missed - behind))
    }

    fn add(&mut self, now: Instant, sound: &Arc<SoundToAll>, settings: &Settings) -> bool {
        let is_new = self.sounds.get_or_insert_default().add(now, sound, settings);
        self.next = self.next.wrapping_add(u32::from(is_new));
        is_new
    }
}

impl KeptSounds {
    /// Returns false for an enter or exit sound that plays or waits already.
    fn add(&mut self, now: Instant, sound: &Arc<SoundToAll>, settings: &Settings) -> bool {
        self.queue.retain(|it| now < it.starts_at + it.length);
        let cue = sound.cue();
        if cue.is_some() && self.queue.iter().any(|it| it.sound.cue() == cue) {
            return false;
        }
        match &**sound {
            SoundToAll::Play { program, .. } => {
                self.enqueue(now, sound, settings.duration(program));
            }
            SoundToAll::RelayDigit { .. } => self.enqueue(now, sound, KEY_MS),
            SoundToAll::Hush { address } => self.hush(now, address),
        }
        if self.kept.len() == SOUNDS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((now, Arc::clone(sound)));
        true
    }

    fn enqueue(&mut self, now: Instant, sound: &Arc<SoundToAll>, ms: u32) {
        // Phones drop what comes then.
        if self.queue.len() < ANNOUNCEMENTS_MAX {
            let starts_at = self.queue.last().map_or(now, |it| it.starts_at + it.length);
            let length = Duration::from_millis(ms.into());
            self.queue.push(QueuedSound { sound: Arc::clone(sound), starts_at, length });
        }
    }

    fn hush(&mut self, now: Instant, hushed: &Arc<AnnouncementAddress>) {
        self.queue.retain(|it| match &*it.sound {
            SoundToAll::Play { address, .. } => address.as_ref() != Some(hushed),
            SoundToAll::Hush { .. } | SoundToAll::RelayDigit { .. } => true,
        });
        let mut free_at = now;
        for it in &mut self.queue {
            it.starts_at = it.starts_at.min(free_at);
            free_at = it.starts_at + it.length;
        }
    }
}
