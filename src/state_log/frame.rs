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
    let buffer = std::mem::take(frame);
    // Lines have no type that postcard cannot write, and a Vec takes what comes.
    *frame = postcard::to_extend(lines, buffer).expect("postcard writes every line");
    let length = u32::try_from(frame.len() - start - FRAME_HEAD).expect("a frame is short");
    frame[start..start + 4].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(&frame[start..]);
    frame[start + 4..start + FRAME_HEAD].copy_from_slice(&sum.to_le_bytes());
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
