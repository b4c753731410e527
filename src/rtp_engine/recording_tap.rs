//! Recording taps: take the audio of a leg or a room, a frame per tick, into blocks of a second.
//!
//! A leg without recordings pays one branch per tick. A tap hands its last block over when it is
//! dropped: at the stop of its recording, and at the end of its leg or thread.

use std::time::Instant;

use crate::{
    base::ids::RecordingId,
    media::{RECORDING_RATE, RecordingBlock, RecordingChannels, RecordingFeed},
    rtp::g711::FRAME,
};

/// The audio of one leg or room on its way into one recording.
#[derive(Debug)]
pub(super) struct RecordingTap {
    feed: RecordingFeed,
    /// The tick whose frame is at `offset`; earlier frames are not recorded.
    first_tick: u64,
    /// Samples from the start of the recording to that frame.
    offset: u64,
    block: RecordingBlock,
}

/// The recordings of one leg, and its audio of the current tick.
#[derive(Debug)]
pub(super) struct LegRecordings {
    taps: Vec<RecordingTap>,
    frame: Option<LegFrame>,
}

/// What a leg said and heard in a tick.
#[derive(Debug)]
struct LegFrame {
    tick: u64,
    said: [i16; FRAME],
    heard: [i16; FRAME],
}

impl RecordingTap {
    /// Records from this tick on, whose time is `now`.
    pub(super) fn new(feed: RecordingFeed, tick: u64, now: Instant) -> Self {
        let late = now.saturating_duration_since(feed.started());
        let offset = late.as_nanos() * u128::from(RECORDING_RATE) / 1_000_000_000;
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        Self { feed, first_tick: tick, offset, block: RecordingBlock::default() }
    }

    pub(super) fn id(&self) -> RecordingId {
        self.feed.id()
    }

    /// Adds the frame of a tick. `heard` is what a leg hears; rooms have none.
    pub(super) fn add(&mut self, tick: u64, said: &[i16], heard: Option<&[i16]>) {
        let Some(ticks) = tick.checked_sub(self.first_tick) else { return };
        if self.feed.is_paused() {
            return self.hand_over();
        }
        let position = self.offset + ticks * FRAME as u64;
        let channels = self.feed.channels();
        let per_sample = usize::from(channels.count());
        let RecordingBlock { position: begin, samples } = &mut self.block;
        let is_next = *begin + (samples.len() / per_sample) as u64 == position;
        if !is_next || BLOCK_SAMPLES * per_sample <= samples.len() {
            self.hand_over();
        }
        let samples = &mut self.block.samples;
        if samples.is_empty() {
            self.block.position = position;
            samples.reserve_exact(BLOCK_SAMPLES * per_sample);
        }
        match (channels, heard) {
            (RecordingChannels::Mono, None) | (RecordingChannels::Said, _) => {
                samples.extend_from_slice(said);
            }
            (RecordingChannels::Mono, Some(heard)) => {
                samples.extend(said.iter().zip(heard).map(|(it, other)| it.saturating_add(*other)));
            }
            (RecordingChannels::Stereo, heard) => {
                let heard = heard.unwrap_or(said);
                samples.extend(said.iter().zip(heard).flat_map(|(left, right)| [*left, *right]));
            }
        }
    }

    fn hand_over(&mut self) {
        if !self.block.samples.is_empty() {
            self.feed.write(std::mem::take(&mut self.block));
        }
    }
}

/// A second: what a killed process may lose.
const BLOCK_SAMPLES: usize = RECORDING_RATE as usize;

// A block is full after a whole number of frames.
const _: () = assert!(BLOCK_SAMPLES.is_multiple_of(FRAME));

impl Drop for RecordingTap {
    fn drop(&mut self) {
        self.hand_over();
    }
}

impl LegRecordings {
    /// Without recordings.
    pub(super) fn new() -> Self {
        Self { taps: Vec::new(), frame: None }
    }

    /// Adds a recording; a second order for it changes nothing.
    pub(super) fn start(&mut self, tap: RecordingTap) {
        if self.taps.iter().all(|it| it.id() != tap.id()) {
            self.taps.push(tap);
        }
    }

    /// Ends a recording. Returns whether none is left.
    pub(super) fn stop(&mut self, recording: RecordingId) -> bool {
        for mut tap in self.taps.extract_if(.., |it| it.id() == recording) {
            self.frame.iter().for_each(|it| it.give(&mut tap));
        }
        self.taps.is_empty()
    }

    /// Begins a tick: what the leg says in it, with the law's decoder; None is silence. The tick
    /// before is complete.
    pub(super) fn begin(&mut self, tick: u64, said: Option<impl FnOnce(&mut [i16])>) {
        self.complete();
        let mut frame = LegFrame { tick, said: [0; FRAME], heard: [0; FRAME] };
        if let Some(decode) = said {
            decode(&mut frame.said);
        }
        self.frame = Some(frame);
    }

    /// What the leg hears in the current tick.
    pub(super) fn hear(&mut self, samples: &[i16]) {
        if let Some(frame) = &mut self.frame {
            frame.heard.copy_from_slice(samples);
        }
    }

    fn complete(&mut self) {
        if let Some(frame) = self.frame.take() {
            self.taps.iter_mut().for_each(|it| frame.give(it));
        }
    }
}

impl LegFrame {
    fn give(&self, tap: &mut RecordingTap) {
        tap.add(self.tick, &self.said, Some(&self.heard));
    }
}

impl Drop for LegRecordings {
    fn drop(&mut self) {
        self.complete();
    }
}
