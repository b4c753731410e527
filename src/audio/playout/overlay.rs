//! What is played over one call, in a room or not: alone, or mixed with what else it hears.

use std::{mem, time::Duration};

use crate::{
    audio::{
        cursor::{Cursor, Sounds},
        mix::add_rest,
    },
    media::{AnnouncementKind, Program},
};

/// The one Play and the one Speak that a call has.
#[derive(Debug)]
pub(super) struct Overlays {
    rate: u32,
    of: [Option<Overlay>; 2],
    /// The sum of the last samples of mixed ones that were cut off: on its way to zero.
    rest: i16,
}

#[derive(Debug)]
struct Overlay {
    serial: u32,
    cursor: Cursor,
    /// Samples that are still to be heard at the most.
    left: Option<u64>,
    /// Where it is mixed: a frame of it, and how much of that is sound.
    mix: Option<Box<[i16]>>,
    filled: usize,
}

/// What is heard alone: by its serial, and whether it was begun before.
pub(super) type Alone = (u32, bool);

impl Overlays {
    /// None, at this rate.
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, of: [None, None], rest: 0 }
    }

    /// In place of the one of its kind.
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
        // Here, since a tick has no time for it.
        let mix = mixes.then(|| vec![0; self.rate as usize / FRAMES_PER_SECOND].into());
        let cursor = Cursor::once(program);
        self.of[place(kind)] = Some(Overlay { serial, cursor, left, mix, filled: 0 });
    }

    pub(super) fn stop(&mut self, kind: AnnouncementKind) {
        let Some(overlay) = self.of[place(kind)].take() else { return };
        self.rest = self.rest.saturating_add(overlay.last());
    }

    /// Fills a frame with what is heard alone, if there is such a thing and it has come.
    pub(super) fn alone(&mut self, sounds: &mut impl Sounds, out: &mut [i16]) -> Option<Alone> {
        for slot in &mut self.of {
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

    /// Moves on what is mixed. Answers whether there is something to be added.
    pub(super) fn mix(&mut self, sounds: &mut impl Sounds) -> bool {
        let mut is_heard = self.rest != 0;
        for it in self.of.iter_mut().flatten() {
            if let Some(mut frame) = it.mix.take() {
                it.filled = it.fill(self.rate, sounds, &mut frame);
                it.mix = Some(frame);
                is_heard |= 0 < it.filled;
            }
        }
        is_heard
    }

    /// Adds what is mixed, and lets go of what is over.
    pub(super) fn add(&mut self, fade: usize, out: &mut [i16]) {
        add_rest(mem::take(&mut self.rest), &mut out[..fade]);
        for slot in &mut self.of {
            let Some(it) = slot else { continue };
            let Some(frame) = it.mix.as_ref().filter(|_| 0 < it.filled) else {
                slot.take_if(|it| it.mix.is_some() && it.is_over());
                continue;
            };
            out.iter_mut().zip(frame).for_each(|(out, it)| *out = out.saturating_add(*it));
            if it.is_over() {
                self.rest = self.rest.saturating_add(it.last());
                *slot = None;
            }
        }
    }
}

/// As [`crate::media::TICK`] has it.
const FRAMES_PER_SECOND: usize = 50;

fn place(kind: AnnouncementKind) -> usize {
    match kind {
        AnnouncementKind::Play => 0,
        AnnouncementKind::Speak => 1,
    }
}

impl Overlay {
    /// Fills a frame, as far as its length goes; answers how much of it is sound. What is still
    /// coming is no sound.
    fn fill(&mut self, rate: u32, sounds: &mut impl Sounds, out: &mut [i16]) -> usize {
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

    /// Of what is mixed: its last sample.
    fn last(&self) -> i16 {
        let frame = self.mix.as_ref().filter(|_| 0 < self.filled);
        frame.and_then(|it| it.last()).copied().unwrap_or(0)
    }
}
