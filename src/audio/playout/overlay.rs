//! Overlays: programs played over one call, in a room or not; alone, or mixed with what else it
//! hears.

use std::{mem, sync::Arc, time::Duration};

use crate::{
    audio::{
        cursor::{ProgramCursor, SoundLookup},
        mix::add_fade_out,
    },
    media::{AnnouncementKind, Program},
};

/// The one `Play` and the one `Speak` that a call may have.
#[derive(Debug)]
pub(super) struct Overlays {
    rate: u32,
    by_kind: [Option<Overlay>; 2],
    /// Sum of the last samples of mixed programs that were cut off; it fades to zero.
    fade_from: i16,
}

#[derive(Debug)]
struct Overlay {
    serial: u32,
    cursor: ProgramCursor,
    /// Samples left before the length limit.
    left: Option<u64>,
    /// For a mixed program: the buffer of a frame; `filled` samples of it are sound.
    mix: Option<Box<[i16]>>,
    filled: usize,
}

/// A program that is heard alone: its serial, and whether it had begun before.
pub(super) type SoleOverlay = (u32, bool);

impl Overlays {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, by_kind: [None, None], fade_from: 0 }
    }

    /// Replaces the program of this kind.
    pub(super) fn play(
        &mut self,
        serial: u32,
        kind: AnnouncementKind,
        program: Program,
        mixes: bool,
        length: Option<Duration>,
    ) {
        self.stop(kind);
        let samples = |length: Duration| {
            let samples = length.as_millis() * u128::from(self.rate) / 1_000;
            u64::try_from(samples).unwrap_or(u64::MAX)
        };
        let left = length.map(samples);
        // Allocated here, because a tick has no time for it.
        let mix = mixes.then(|| vec![0; self.rate as usize / FRAMES_PER_SECOND].into());
        let cursor = ProgramCursor::once(program);
        self.by_kind[index_of(kind)] = Some(Overlay { serial, cursor, left, mix, filled: 0 });
    }

    pub(super) fn stop(&mut self, kind: AnnouncementKind) {
        let Some(overlay) = self.by_kind[index_of(kind)].take() else { return };
        self.fade_from = self.fade_from.saturating_add(overlay.last());
    }

    /// Fills a frame with the program that is heard alone, if there is one and it is loaded.
    pub(super) fn alone(
        &mut self,
        sounds: &mut impl SoundLookup,
        out: &mut [i16],
    ) -> Option<SoleOverlay> {
        for slot in &mut self.by_kind {
            let Some(it) = slot.as_mut().filter(|it| it.mix.is_none()) else { continue };
            let heard = (it.serial, it.cursor.has_begun());
            let filled = it.fill(self.rate, sounds, out);
            slot.take_if(|it| it.is_over());
            if 0 < filled {
                return Some(heard);
            }
        }
        None
    }

    /// Advances the mixed programs. Returns whether there is something to add.
    pub(super) fn mix(&mut self, sounds: &mut impl SoundLookup) -> bool {
        let mut is_heard = self.fade_from != 0;
        for it in self.by_kind.iter_mut().flatten() {
            if let Some(mut frame) = it.mix.take() {
                it.filled = it.fill(self.rate, sounds, &mut frame);
                it.mix = Some(frame);
                is_heard |= 0 < it.filled;
            }
        }
        is_heard
    }

    /// Adds the mixed programs, and drops those that have ended.
    pub(super) fn add(&mut self, fade: usize, out: &mut [i16]) {
        add_fade_out(mem::take(&mut self.fade_from), &mut out[..fade]);
        for slot in &mut self.by_kind {
            let Some(it) = slot else { continue };
            let Some(frame) = it.mix.as_ref().filter(|_| 0 < it.filled) else {
                slot.take_if(|it| it.mix.is_some() && it.is_over());
                continue;
            };
            out.iter_mut().zip(frame).for_each(|(out, it)| *out = out.saturating_add(*it));
            if it.is_over() {
                self.fade_from = self.fade_from.saturating_add(it.last());
                *slot = None;
            }
        }
    }
}

/// Must agree with [`crate::media::TICK`].
const FRAMES_PER_SECOND: usize = 50;

fn index_of(kind: AnnouncementKind) -> usize {
    match kind {
        AnnouncementKind::Play => 0,
        AnnouncementKind::Speak => 1,
    }
}

impl Overlay {
    /// Fills a frame up to the program's length limit. Returns how much of it is sound; a sound
    /// that is loading counts as none.
    fn fill(&mut self, rate: u32, sounds: &mut impl SoundLookup, out: &mut [i16]) -> usize {
        let filled = self.cursor.fill(rate, sounds, out);
        if !self.cursor.has_begun() {
            return 0;
        }
        let Some(left) = &mut self.left else { return filled };
        let heard = usize::try_from(*left).unwrap_or(usize::MAX).min(filled);
        *left -= heard as u64;
        out[heard..].fill(0);
        heard
    }

    fn is_over(&self) -> bool {
        self.cursor.is_over() || self.left == Some(0)
    }

    /// The last sample of a mixed program.
    fn last(&self) -> i16 {
        let frame = self.mix.as_ref().filter(|_| 0 < self.filled);
        frame.and_then(|it| it.last()).copied().unwrap_or(0)
    }
}

/// The tone of a key that another member pressed.
#[derive(Debug)]
pub(super) struct RelayedTone {
    pub(super) tone: Arc<[i16]>,
    pub(super) at: usize,
}

impl RelayedTone {
    /// Adds the next frame of the tone. Returns false at its end.
    pub(super) fn add(&mut self, out: &mut [i16]) -> bool {
        let rest = &self.tone[self.at..];
        out.iter_mut().zip(rest).for_each(|(out, it)| *out = out.saturating_add(*it));
        self.at += rest.len().min(out.len());
        self.at < self.tone.len()
    }
}
