//! The jitter buffer of one leg: packets go in as they come, a frame of 20 ms comes out each tick.
//!
//! A tick thread [`Jitter::push`]es every audio packet whose source is good, and at each tick
//! hands what [`Jitter::pull`] gives to the mixer. G.711 has one byte for each timestamp unit, so
//! the buffer is a ring of bytes indexed by timestamp: packets of 10, 30 or 60 ms, reordered,
//! doubled or overlapping, all fall into place.
//!
//! The delay is 40 to 60 ms on a quiet network: a stream begins [`TARGET_MIN`] frames behind its
//! first packet. A packet that comes too late makes it a frame more, up to [`TARGET_MAX`]; when
//! there has been more in store than needed for three seconds, a frame is left out.

use super::gate;
use crate::rtp::{
    g711::{FRAME, Law},
    packet,
};

/// What is buffered of one leg.
#[derive(Clone, Debug)]
pub struct Jitter {
    stream: Option<Stream>,
    /// Of a packet that does not go on where the stream is: two in a row begin a new one.
    probe: Option<(u32, u16)>,
    ring: Box<[u8; RING]>,
    /// A bit for each byte of the ring that holds sound yet to be played.
    filled: [u64; RING / 64],
    /// In frames.
    target: u8,
    /// The last frame that was whole.
    frame: [u8; FRAME],
    concealed: [u8; FRAME],
    counts: Counts,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pushed {
    /// It will be played.
    Kept,
    /// Its time is over.
    Late,
    /// It was here before.
    Doubled,
    /// It does not belong to the stream. If the next packet goes on from it, a new one begins.
    Astray,
    /// It is empty, or longer than [`PACKET_MAX`].
    Unfit,
}

/// What a tick plays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pulled<'a> {
    /// What was sent.
    Frame(Law, &'a [u8; FRAME]),
    /// It has not come; this sounds like what came before, and dies away.
    Concealed(Law, &'a [u8; FRAME]),
    /// Nothing has come for a while.
    Nothing,
}

/// For the leg's record.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Packets that came after their time.
    pub late: u64,
    /// Packets that came again.
    pub doubled: u64,
    /// Frames that were made up.
    pub concealed: u64,
    /// Times the stream began, from nothing or anew.
    pub begun: u64,
}

/// Frames between a packet and its playing, besides the wait for the tick: 40 ms.
pub const TARGET_MIN: u8 = 2;

/// A delay of more than 100 ms hurts more than a lost frame.
pub const TARGET_MAX: u8 = 5;

/// No phone sends more than 60 ms at once; 80 ms.
pub const PACKET_MAX: usize = 4 * FRAME;

/// The largest delay, the largest packet, and room to spare: 256 ms.
const RING: usize = 2_048;

/// Frames made up in a row; then it is silence. 60 ms.
const CONCEALED_MAX: u8 = 3;

/// Ticks that an empty buffer waits without skipping what may still come: 100 ms.
const STALL_MAX: u8 = 5;

/// So much more than needed is a network that has caught up after a pause.
const EXCESS_MAX: i32 = 3 * UNITS;

/// A second: farther from the stream is another clock.
const JUMP_UNITS: i32 = 8_000;

/// Farther from the stream is another count.
const JUMP_PACKETS: i16 = 1_000;

/// Ticks over which the least depth is taken: 3 s.
const WINDOW: u8 = 150;

/// If there is always more than this, a frame can go: what [`TARGET_MIN`] keeps in store.
const DEPTH_SPARE: i32 = (TARGET_MIN as i32 + 2) * UNITS;

/// Ticks that a frame to be left out waits for a quiet one: 1 s.
const QUIET_WAIT: u8 = 50;

/// Of a frame.
const UNITS: i32 = FRAME as i32;

#[derive(Clone, Debug)]
struct Stream {
    ssrc: u32,
    law: Law,
    /// Timestamp of the first sample of the next frame.
    next: u32,
    /// After the newest sample.
    end: u32,
    /// The highest sequence number, and which of the 64 up to it have come; bit 0 is itself.
    highest: u16,
    seen: u64,
    /// Frames made up or silent since the last whole one.
    missing: u8,
    /// Length of the last packet, in units.
    packet: i32,
    /// Ticks that found the buffer empty.
    stalled: u8,
    /// Ticks to be made up, so that the delay grows.
    hold: u8,
    /// Of this window.
    ticks: u8,
    depth_min: i32,
    /// Ticks until a frame is left out, quiet or not.
    spare: Option<u8>,
}

impl Default for Jitter {
    fn default() -> Self {
        Self {
            stream: None,
            probe: None,
            ring: Box::new([0; RING]),
            filled: [0; RING / 64],
            target: TARGET_MIN,
            frame: [0; FRAME],
            concealed: [0; FRAME],
            counts: Counts::default(),
        }
    }
}

impl Jitter {
    /// Takes a packet of sound, in this law.
    pub fn push(&mut self, packet: &packet::Packet<'_>, law: Law) -> Pushed {
        let len = packet.payload.len();
        if !(1..=PACKET_MAX).contains(&len) {
            return Pushed::Unfit;
        }
        let Some(stream) = &mut self.stream else {
            return self.begin(packet, law);
        };
        if !stream.is_continued_by(packet, law) {
            let before = (packet.ssrc, packet.sequence.wrapping_sub(1));
            if self.probe == Some(before) {
                return self.begin(packet, law);
            }
            self.probe = Some((packet.ssrc, packet.sequence));
            return Pushed::Astray;
        }

        self.probe = None;
        if !stream.note(packet.sequence) {
            self.counts.doubled += 1;
            return Pushed::Doubled;
        }
        let offset = packet::timestamp_after(packet.timestamp, stream.next);
        if offset + len as i32 <= 0 {
            self.counts.late += 1;
            if self.target < TARGET_MAX {
                self.target += 1;
                stream.hold += 1;
            }
            return Pushed::Late;
        }
        if RING < offset.max(0) as usize + len {
            return self.begin(packet, law);
        }
        if 0 < stream.stalled {
            self.target = stream.resume(offset, self.target);
        }
        self.keep(packet);
        Pushed::Kept
    }

    /// What this tick plays.
    pub fn pull(&mut self) -> Pulled<'_> {
        let Some(stream) = &mut self.stream else { return Pulled::Nothing };
        if 0 < stream.hold {
            stream.hold -= 1;
            return self.conceal();
        }
        if stream.depth() <= 0 {
            stream.stalled += 1;
            if STALL_MAX < stream.stalled {
                self.stream = None;
                return Pulled::Nothing;
            }
            return self.conceal();
        }
        self.adapt();
        if !self.take() {
            return self.conceal();
        }
        let Some(stream) = &mut self.stream else { return Pulled::Nothing };
        stream.missing = 0;
        Pulled::Frame(stream.law, &self.frame)
    }

    /// What has befallen the leg's packets so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn begin(&mut self, packet: &packet::Packet<'_>, law: Law) -> Pushed {
        self.probe = None;
        self.filled = [0; RING / 64];
        self.counts.begun += 1;
        let next = packet.timestamp.wrapping_sub(u32::from(self.target) * FRAME as u32);
        self.stream = Some(Stream {
            ssrc: packet.ssrc,
            law,
            next,
            end: packet.timestamp,
            highest: packet.sequence,
            seen: 1,
            missing: CONCEALED_MAX,
            packet: 0,
            stalled: 0,
            hold: 0,
            ticks: 0,
            depth_min: i32::MAX,
            spare: None,
        });
        self.keep(packet);
        Pushed::Kept
    }

    /// Puts the bytes into the ring, but for those whose time is over.
    fn keep(&mut self, packet: &packet::Packet<'_>) {
        let Some(stream) = &mut self.stream else { return };
        stream.packet = packet.payload.len() as i32;
        let over = packet::timestamp_after(stream.next, packet.timestamp).max(0) as usize;
        let payload = packet.payload.get(over..).unwrap_or_default();
        let start = packet.timestamp.wrapping_add(over as u32);
        let end = start.wrapping_add(payload.len() as u32);
        if 0 < packet::timestamp_after(end, stream.end) {
            stream.end = end;
        }

        let at = start as usize % RING;
        let (head, tail) = payload.split_at(payload.len().min(RING - at));
        self.ring[at..at + head.len()].copy_from_slice(head);
        self.ring[..tail.len()].copy_from_slice(tail);
        words(start, payload.len(), |word, bits| self.filled[word] |= bits);
    }

    /// Takes the next frame out of the ring. False if it is not whole.
    fn take(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let start = stream.next;
        stream.next = start.wrapping_add(FRAME as u32);
        let mut is_whole = true;
        words(start, FRAME, |word, bits| {
            is_whole &= self.filled[word] & bits == bits;
            self.filled[word] &= !bits;
        });
        if is_whole {
            let at = start as usize % RING;
            let (head, tail) = self.frame.split_at_mut(FRAME.min(RING - at));
            head.copy_from_slice(&self.ring[at..at + head.len()]);
            tail.copy_from_slice(&self.ring[..tail.len()]);
        }
        is_whole
    }

    /// Leaves frames out when there is more in store than needed.
    fn adapt(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let depth = stream.depth();
        let excess = depth - i32::from(self.target) * UNITS - stream.packet;
        if EXCESS_MAX < excess {
            (0..excess / UNITS).for_each(|_| _ = self.take());
            return;
        }

        if let Some(wait) = &mut stream.spare {
            *wait -= 1;
            if *wait == 0 || stream.law.level(&self.frame) < gate::OPEN_LEVEL {
                stream.spare = None;
                self.target = (self.target - 1).max(TARGET_MIN);
                self.take();
            }
            return;
        }

        stream.depth_min = stream.depth_min.min(depth);
        stream.ticks += 1;
        if stream.ticks == WINDOW {
            let is_spare = DEPTH_SPARE <= stream.depth_min;
            (stream.ticks, stream.depth_min) = (0, i32::MAX);
            stream.spare = is_spare.then_some(QUIET_WAIT);
        }
    }

    /// The last frame again, backwards, then forwards, …: its first sample follows on the last
    /// one, its pitch stays. It has died away after [`CONCEALED_MAX`] frames.
    fn conceal(&mut self) -> Pulled<'_> {
        let Some(stream) = &mut self.stream else { return Pulled::Nothing };
        if CONCEALED_MAX <= stream.missing {
            return Pulled::Nothing;
        }

        self.counts.concealed += 1;
        let (law, span) = (stream.law, i32::from(CONCEALED_MAX) * UNITS);
        let gone = i32::from(stream.missing) * UNITS;
        for at in 0..FRAME {
            let from = if stream.missing % 2 == 0 { FRAME - 1 - at } else { at };
            let sample = i32::from(law.sample(self.frame[from]));
            let faded = sample * (span - gone - at as i32) / span;
            self.concealed[at] = law.byte(faded as i16);
        }
        stream.missing += 1;
        Pulled::Concealed(law, &self.concealed)
    }
}

impl Stream {
    fn is_continued_by(&self, packet: &packet::Packet<'_>, law: Law) -> bool {
        let units = packet::timestamp_after(packet.timestamp, self.next);
        let packets = packet::sequence_after(packet.sequence, self.highest);
        let is_near = (-JUMP_UNITS..=JUMP_UNITS).contains(&units)
            && (-JUMP_PACKETS..=JUMP_PACKETS).contains(&packets);
        is_near && self.ssrc == packet.ssrc && self.law == law
    }

    /// False if a packet with this number has come before.
    fn note(&mut self, sequence: u16) -> bool {
        let ahead = packet::sequence_after(sequence, self.highest);
        if 0 < ahead {
            self.highest = sequence;
            self.seen = self.seen.checked_shl(ahead.unsigned_abs().into()).unwrap_or(0) | 1;
            return true;
        }
        // What is too old to be known is late at any rate.
        let bit = 1_u64.checked_shl(ahead.unsigned_abs().into()).unwrap_or(0);
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }

    /// In timestamp units.
    fn depth(&self) -> i32 {
        packet::timestamp_after(self.end, self.next)
    }

    /// Goes on after a pause with a packet so far ahead; answers the new target.
    fn resume(&mut self, offset: i32, target: u8) -> u8 {
        let stalled = std::mem::take(&mut self.stalled);
        let skipped = offset - i32::from(target) * UNITS;
        if 0 < skipped {
            // The sender paused, or a burst of packets is lost: the delay is as it was.
            self.next = self.next.wrapping_add_signed(skipped);
            return target;
        }
        // The packet was on its way all the time: the delay has grown.
        (target + stalled).min(TARGET_MAX)
    }
}

/// Calls with each word of the bitmap that these timestamps touch, and which of its bits.
fn words(start: u32, len: usize, mut each: impl FnMut(usize, u64)) {
    let (mut at, mut left) = (start as usize % RING, len);
    while 0 < left {
        let bit = at % 64;
        let n = left.min(64 - bit);
        each(at / 64, (u64::MAX >> (64 - n)) << bit);
        at = (at + n) % RING;
        left -= n;
    }
}
