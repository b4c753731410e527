//! Jitter buffer of one leg: packets go in as they arrive, a frame of 20 ms comes out each tick.
//!
//! The mixer thread [`Jitter::push`]es every audio packet from an accepted source, and gives the
//! result of [`Jitter::pull`] to the mixer at each tick. G.711 has one byte per timestamp unit, so
//! the buffer is a ring of bytes indexed by timestamp. Packets of 10, 30 or 60 ms, reordered,
//! duplicate or overlapping, all end up in the right place.
//!
//! The delay is 40 to 60 ms on a quiet network: a stream starts [`TARGET_MIN`] frames after its
//! first packet. A late packet raises the delay by a frame, up to [`TARGET_MAX`]. When the buffer
//! has held more than needed for three seconds, a frame is dropped.

use super::gate;
use crate::rtp::{
    g711::{FRAME, Law},
    packet,
};

/// The buffer of one leg.
#[derive(Clone, Debug)]
pub struct Jitter {
    stream: Option<JitterStream>,
    /// SSRC and sequence number of a packet outside the stream. Two in a row start a new stream.
    probe: Option<(u32, u16)>,
    ring: Box<[u8; RING]>,
    /// One bit for each byte of the ring; set while the byte holds sound not yet played.
    filled: [u64; RING / 64],
    /// Delay that the buffer aims at, in frames.
    target: u8,
    /// The last frame that was complete.
    frame: [u8; FRAME],
    concealed: [u8; FRAME],
    counts: JitterCounts,
}

/// The fate of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pushed {
    /// It is stored and will be played.
    Kept,
    /// It came after its time and is dropped.
    Late,
    /// It came before and is dropped.
    Duplicate,
    /// It does not belong to the stream. If the next packet continues it, a new stream starts.
    OtherStream,
    /// Its payload is empty: it keeps a NAT open, and no more.
    Empty,
    /// Its payload is longer than [`PACKET_MAX`].
    TooLong,
}

/// The frame to play in a tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pulled<'a> {
    /// The frame that the far end sent.
    Frame(Law, &'a [u8; FRAME]),
    /// The frame is missing. This one resembles the last good frame and fades out.
    Concealed(Law, &'a [u8; FRAME]),
    /// The stream has stopped, or has not begun.
    Nothing,
}

/// Counts of unusual packets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct JitterCounts {
    /// Packets that came after their time.
    pub late: u64,
    /// Packets received more than once.
    pub duplicates: u64,
    /// Frames synthesized in place of missing ones.
    pub concealed: u64,
    /// Times that a stream started, the first one included.
    pub restarts: u64,
}

/// Frames between the arrival of a packet and its playback, besides the wait for the tick: 40 ms.
pub const TARGET_MIN: u8 = 2;

/// Highest target, in frames: a delay above 100 ms is worse than a lost frame.
pub const TARGET_MAX: u8 = 5;

/// Longest payload, in bytes: 200 ms, which a receiver should accept (RFC 3551, section 4.2).
/// Satellite and low-rate gateways send such packets.
pub const PACKET_MAX: usize = 10 * FRAME;

/// 512 ms: the largest delay, the largest packet, and some spare.
const RING: usize = 4_096;

/// Frames synthesized in a row before silence: 60 ms.
const CONCEALED_MAX: u8 = 3;

/// Ticks for which an empty buffer waits for the packets it expects: 100 ms.
const STALL_MAX: u8 = 5;

/// An excess of this many units means that the network has caught up after a pause.
const EXCESS_MAX: i32 = 3 * UNITS;

/// A packet further from the stream than a second has another clock.
const JUMP_UNITS: i32 = 8_000;

/// A packet further from the stream than this has another count.
const JUMP_PACKETS: i16 = 1_000;

/// Ticks over which the lowest depth is measured: 3 s.
const WINDOW: u8 = 150;

/// If the depth never falls below this, a frame can be dropped: the reserve of [`TARGET_MIN`].
const DEPTH_SPARE: i32 = (TARGET_MIN as i32 + 2) * UNITS;

/// Ticks for which the drop of a frame waits for a quiet moment: 1 s.
const QUIET_WAIT: u8 = 50;

/// Timestamp units per frame.
const UNITS: i32 = FRAME as i32;

#[derive(Clone, Debug)]
struct JitterStream {
    ssrc: u32,
    law: Law,
    /// Timestamp of the first sample of the next frame.
    next: u32,
    /// Timestamp after the newest sample.
    end: u32,
    /// The highest sequence number; bit n of `seen` says whether number `highest - n` has come.
    highest: u16,
    seen: u64,
    /// Frames synthesized or silent since the last complete one.
    missing: u8,
    /// Length of the last packet, in units.
    packet: i32,
    /// Length of the longest packet, which shrinks by a frame in each window. Until then, sound that
    /// came in long packets is no excess.
    packet_max: i32,
    /// Consecutive ticks that found the buffer empty.
    stalled: u8,
    /// Ticks to be synthesized, so that the delay grows.
    hold: u8,
    /// Ticks since the measuring window began.
    ticks: u8,
    depth_min: i32,
    /// Ticks until a frame is dropped, quiet or not.
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
            counts: JitterCounts::default(),
        }
    }
}

impl Jitter {
    /// Stores a packet of sound in this law.
    pub fn push(&mut self, packet: &packet::Packet<'_>, law: Law) -> Pushed {
        let len = packet.payload.len();
        match len {
            0 => return Pushed::Empty,
            1..=PACKET_MAX => {}
            _ => return Pushed::TooLong,
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
            return Pushed::OtherStream;
        }

        self.probe = None;
        if !stream.note_sequence(packet.sequence) {
            self.counts.duplicates += 1;
            return Pushed::Duplicate;
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

    /// Returns the frame to play in this tick.
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

    /// Returns the counts since the leg began.
    pub fn counts(&self) -> JitterCounts {
        self.counts
    }

    fn begin(&mut self, packet: &packet::Packet<'_>, law: Law) -> Pushed {
        self.probe = None;
        self.filled = [0; RING / 64];
        self.counts.restarts += 1;
        let next = packet.timestamp.wrapping_sub(u32::from(self.target) * FRAME as u32);
        self.stream = Some(JitterStream {
            ssrc: packet.ssrc,
            law,
            next,
            end: packet.timestamp,
            highest: packet.sequence,
            seen: 1,
            missing: CONCEALED_MAX,
            packet: 0,
            packet_max: 0,
            stalled: 0,
            hold: 0,
            ticks: 0,
            depth_min: i32::MAX,
            spare: None,
        });
        self.keep(packet);
        Pushed::Kept
    }

    /// Stores the payload in the ring, except for bytes whose time is over.
    fn keep(&mut self, packet: &packet::Packet<'_>) {
        let Some(stream) = &mut self.stream else { return };
        stream.packet = packet.payload.len() as i32;
        stream.packet_max = stream.packet_max.max(stream.packet);
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
        for_each_word(start, payload.len(), |word, bits| self.filled[word] |= bits);
    }

    /// Takes the next frame out of the ring. Returns false if it is incomplete.
    fn take(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let start = stream.next;
        stream.next = start.wrapping_add(FRAME as u32);
        let mut is_whole = true;
        for_each_word(start, FRAME, |word, bits| {
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

    /// Drops frames when the buffer holds more than needed.
    fn adapt(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let depth = stream.depth();
        let excess = depth - i32::from(self.target) * UNITS - stream.packet_max;
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
            stream.packet_max = (stream.packet_max - UNITS).max(stream.packet);
            stream.spare = is_spare.then_some(QUIET_WAIT);
        }
    }

    /// Plays the last frame again, backwards, then forwards, and so on: it continues from the last
    /// sample and keeps its pitch. It has faded out after [`CONCEALED_MAX`] frames.
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

impl JitterStream {
    fn is_continued_by(&self, packet: &packet::Packet<'_>, law: Law) -> bool {
        let units = packet::timestamp_after(packet.timestamp, self.next);
        let packets = packet::sequence_after(packet.sequence, self.highest);
        let is_near = (-JUMP_UNITS..=JUMP_UNITS).contains(&units)
            && (-JUMP_PACKETS..=JUMP_PACKETS).contains(&packets);
        is_near && self.ssrc == packet.ssrc && self.law == law
    }

    /// Records a sequence number. Returns false if it came before.
    fn note_sequence(&mut self, sequence: u16) -> bool {
        let ahead = packet::sequence_after(sequence, self.highest);
        if 0 < ahead {
            self.highest = sequence;
            self.seen = self.seen.checked_shl(ahead.unsigned_abs().into()).unwrap_or(0) | 1;
            return true;
        }
        // A packet too old for `seen` is late anyway.
        let bit = 1_u64.checked_shl(ahead.unsigned_abs().into()).unwrap_or(0);
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }

    /// Timestamp units between the next frame and the end of the buffer.
    fn depth(&self) -> i32 {
        packet::timestamp_after(self.end, self.next)
    }

    /// Continues after a pause with a packet `offset` units ahead. Returns the new target.
    fn resume(&mut self, offset: i32, target: u8) -> u8 {
        let stalled = std::mem::take(&mut self.stalled);
        let skipped = offset - i32::from(target) * UNITS;
        if 0 < skipped {
            // The sender paused, or a burst was lost: the delay is unchanged.
            self.next = self.next.wrapping_add_signed(skipped);
            return target;
        }
        // The packet was in transit all the time: the delay has grown.
        (target + stalled).min(TARGET_MAX)
    }
}

/// Calls `each` with every word of the bitmap that the range touches, and the bits of it.
fn for_each_word(start: u32, len: usize, mut each: impl FnMut(usize, u64)) {
    let (mut at, mut left) = (start as usize % RING, len);
    while 0 < left {
        let bit = at % 64;
        let n = left.min(64 - bit);
        each(at / 64, (u64::MAX >> (64 - n)) << bit);
        at = (at + n) % RING;
        left -= n;
    }
}
