//! Frames: the lines that one turn writes, with their length and checksum.
//!
//! A frame is `length: u32`, `checksum: u32`, both little-endian, and the lines in postcard's format.
//! The checksum is the CRC-32 of the length and the lines, so that neither zeros nor the rest of an
//! older frame are taken for one.

use serde::{Deserialize, Serialize, Serializer};

/// Names the latest state of something, such as a live call; the last line with a key wins.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct RowKey {
    /// What the id names: each user of the log has kinds of its own.
    pub kind: u8,
    /// Unique among the keys of its kind.
    pub id: u128,
}

/// An event of an account.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EventLine<'a> {
    /// The account that has the event.
    pub account: &'a str,
    /// Its number in the account: from 1, without gaps.
    pub number: u64,
    /// The wall clock time, in microseconds since 1970.
    pub at: u64,
    /// The keys that the event is the latest state of; it is kept until each has another line or has
    /// gone.
    pub keys: [Option<RowKey>; KEYS_MAX],
    /// The event, in the format of the log's user.
    #[serde(serialize_with = "as_bytes")]
    pub body: &'a [u8],
}

impl RowKey {
    /// Keys of this kind and above may be very many, so their rows are not read at the opening, but
    /// one by one.
    pub const LATER: u8 = 128;
}

/// Keys of one event, at most.
pub const KEYS_MAX: usize = 4;

/// The key of the last time at which the log was open while it had rows.
pub(super) const BEAT: RowKey = RowKey { kind: 0, id: 0 };

/// One entry of a frame.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Line<'a> {
    /// The first line of a segment.
    Header(Header),
    /// An event, for its readers and under its keys.
    #[serde(borrow)]
    Event(EventLine<'a>),
    /// An event that cleaning has copied, under its keys only.
    Copied(EventLine<'a>),
    /// The latest state of a key.
    Row {
        /// The key that it is the state of.
        key: RowKey,
        /// The state, in the format of the log's user.
        #[serde(serialize_with = "as_bytes")]
        body: &'a [u8],
    },
    /// The end of a key.
    Gone(RowKey),
    /// The number of an account's last event: it holds when the event itself has been cleaned.
    LastNumber {
        /// The account that had the event.
        account: &'a str,
        /// The number of its last event.
        number: u64,
    },
    /// A planned end: nothing that anybody was told is missing behind it.
    Closed,
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Header {
    /// The version of the format: 1 in this build.
    pub version: u8,
    /// The log's epoch, which ids of events begin with.
    pub epoch: u64,
    /// The kernel's boot when the segment was begun.
    pub boot: u128,
}

/// The version of the format that this build writes and reads.
pub(super) const VERSION: u8 = 1;

/// A larger frame is not written, and is not read. A request for a thousand calls fits, whatever its
/// parameters.
pub const FRAME_MAX: usize = 96 << 20;

/// Length and checksum.
pub(super) const FRAME_HEAD: usize = 8;

fn as_bytes<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Appends a frame with these lines to a buffer.
pub fn encode(lines: &[Line<'_>], frame: &mut Vec<u8>) {
    let start = frame.len();
    frame.extend([0; FRAME_HEAD]);
    push_varint(lines.len() as u64, frame);
    lines.iter().for_each(|it| it.push(frame));
    let length = u32::try_from(frame.len() - start - FRAME_HEAD).expect("a frame is short");
    frame[start..start + 4].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(&frame[start..]);
    frame[start + 4..start + FRAME_HEAD].copy_from_slice(&sum.to_le_bytes());
}

impl EventLine<'_> {
    fn push(&self, variant: u8, frame: &mut Vec<u8>) {
        let Self { account, number, at, keys, body } = self;
        frame.push(variant);
        push_bytes(account.as_bytes(), frame);
        push_varint(*number, frame);
        push_varint(*at, frame);
        for key in keys {
            frame.push(u8::from(key.is_some()));
            key.iter().for_each(|it| it.push(frame));
        }
        push_bytes(body, frame);
    }
}

impl RowKey {
    fn push(self, frame: &mut Vec<u8>) {
        let length = (128 - self.id.leading_zeros()).div_ceil(7).max(1) as usize;
        let mut bytes = [0; 25];
        bytes[0] = self.kind;
        bytes[1..].copy_from_slice(&varint(self.id));
        bytes[length] &= 0x7F;
        frame.extend_from_slice(&bytes[..=length]);
    }
}

/// The bytes of a number in postcard's format: seven bits each from the lowest on, with the highest bit
/// set in all. It is clear in the last one that counts.
fn varint(number: u128) -> [u8; 24] {
    /// Makes bytes of groups of seven bits, eight at once.
    fn spread(low: u64) -> u64 {
        let low = (low & 0x0FFF_FFFF) | ((low & 0xFF_FFFF_F000_0000) << 4);
        let low = (low & 0x3FFF_0000_3FFF) | ((low & 0x0FFF_C000_0FFF_C000) << 2);
        (low & 0x7F_007F_007F_007F) | ((low & 0x3F80_3F80_3F80_3F80) << 1)
    }
    let mut bytes = [0; 24];
    for (n, part) in bytes.chunks_exact_mut(8).enumerate() {
        let groups = spread((number >> (56 * n)) as u64 & 0xFF_FFFF_FFFF_FFFF);
        part.copy_from_slice(&(groups | 0x8080_8080_8080_8080).to_le_bytes());
    }
    bytes
}

fn push_varint(mut number: u64, frame: &mut Vec<u8>) {
    while 0x7F < number {
        frame.push(number as u8 | 0x80);
        number >>= 7;
    }
    frame.push(number as u8);
}

fn push_bytes(bytes: &[u8], frame: &mut Vec<u8>) {
    push_varint(bytes.len() as u64, frame);
    frame.extend_from_slice(bytes);
}

/// The lines of the frame that bytes begin with, and its length in bytes. None: there is no whole
/// frame.
pub fn decode(bytes: &[u8]) -> Option<(Vec<Line<'_>>, usize)> {
    let length = length(bytes)?;
    let frame = bytes.get(..length)?;
    let sum = u32::from_le_bytes(frame[4..FRAME_HEAD].try_into().ok()?);
    if sum != checksum(frame) {
        return None;
    }
    Some((postcard::from_bytes(&frame[FRAME_HEAD..]).ok()?, length))
}

/// The length of the frame that bytes begin with, with its head. None: it cannot be one.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..4)?.try_into().ok()?;
    let length = usize::try_from(u32::from_le_bytes(head)).ok()?;
    (0 < length && length <= FRAME_MAX).then_some(length + FRAME_HEAD)
}

fn checksum(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..4]);
    hasher.update(&frame[FRAME_HEAD..]);
    hasher.finalize()
}

impl Line<'_> {
    /// Appends it in postcard's format. By hand, since turns wait for it: most of a line are keys, and
    /// postcard takes 200 instructions for one.
    fn push(&self, frame: &mut Vec<u8>) {
        match self {
            Self::Event(event) => event.push(1, frame),
            Self::Copied(event) => event.push(2, frame),
            Self::Row { key, body } => {
                frame.push(3);
                key.push(frame);
                push_bytes(body, frame);
            }
            Self::Gone(key) => {
                frame.push(4);
                key.push(frame);
            }
            Self::Header(_) | Self::LastNumber { .. } | Self::Closed => {
                let buffer = std::mem::take(frame);
                *frame = postcard::to_extend(self, buffer).expect("numbers and a name");
            }
        }
    }

    /// The keys whose latest state the line is.
    pub fn keys(&self) -> impl Iterator<Item = RowKey> + use<> {
        let keys = match self {
            Self::Event(event) | Self::Copied(event) => event.keys,
            Self::Row { key, .. } => [Some(*key), None, None, None],
            Self::Header(_) | Self::Gone(_) | Self::LastNumber { .. } | Self::Closed => {
                [None; KEYS_MAX]
            }
        };
        keys.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_as_postcard_writes_them() {
        let mut rng = fastrand::Rng::with_seed(7);
        for length in 0..2_000_usize {
            let body: Vec<u8> = (0..length % 300).map(|_| rng.u8(..)).collect();
            let mut number = || rng.u128(..) >> rng.u32(0..128);
            let mut key = || RowKey { kind: number() as u8, id: number() };
            let event = EventLine {
                account: "an account",
                number: key().id as u64,
                at: key().id as u64,
                keys: [Some(key()), None, Some(key()), (length % 2 == 0).then(&mut key)],
                body: &body,
            };
            let all = [
                Line::Event(event),
                Line::Gone(RowKey { kind: 0, id: 0 }),
                Line::Row { key: key(), body: &body },
                Line::Header(Header { version: 1, epoch: 2, boot: 3 }),
                Line::Gone(RowKey { kind: 255, id: u128::MAX }),
                Line::LastNumber { account: "b", number: key().id as u64 },
                Line::Copied(event),
                Line::Gone(key()),
                Line::Closed,
            ];
            let lines = &all[..length % (all.len() + 1)];
            let mut frame = b"before".to_vec();
            encode(lines, &mut frame);
            let written = &frame[6..];
            assert_eq!(written[FRAME_HEAD..], postcard::to_allocvec(lines).unwrap());
            assert_eq!(decode(written), Some((lines.to_vec(), written.len())));
        }
    }
}
