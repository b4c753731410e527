//! SRTP: encrypts and authenticates the packets of a leg (RFC 3711, RFC 7714).
//!
//! An [`SrtpSession`] has the keys of both ends. The leg gives it each packet before it is sent, and
//! each datagram before anything else looks at it: what is not authentic is dropped.
//!
//! No keystream may be used twice. Therefore a sender keeps its counters for as long as its key may
//! come back, even while the sound is plain, and its numbers only rise.

mod cipher;
pub mod row;

use std::{
    fmt,
    time::{Duration, Instant},
};

use self::cipher::{PacketCipher, PacketNumber, Protocol};
use super::sdp::crypto::{SrtpKey, SrtpKeys};

/// Bytes that encryption adds to a packet, at most: a tag, and the number of RTCP.
pub const OVERHEAD_MAX: usize = 20;

/// Streams of one key whose replay windows are kept. A far end has one, and a PBX behind it a few; of
/// more, the one heard longest ago is given up.
const STREAMS_MAX: usize = 16;

/// The time for packets of the old key that are on their way when the key changes.
const OLD_KEY_FOR: Duration = Duration::from_secs(1);

/// RFC 3711, 9.2: packets per key, of RTP and of RTCP.
const RTP_INDEX_MAX: u64 = (1 << 48) - 1;
const RTCP_INDEX_MAX: u32 = (1 << 31) - 1;

/// Marks an RTCP packet as encrypted, in the word that has its index.
const ENCRYPTED: u32 = 1 << 31;

/// Length of an RTCP header, which stays in the clear.
const RTCP_HEADER: usize = 8;

/// Why a datagram is dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SrtpError {
    /// Its tag is missing or wrong: somebody else made it, or with another key.
    #[error("not authentic")]
    Unauthentic,
    /// It came before, or is too old to tell.
    #[error("replayed")]
    Replayed,
}

/// The encryption of one leg, both ways. Plain until keys are agreed on.
#[derive(Debug, Default)]
pub struct SrtpSession {
    is_on: bool,
    /// One for each suite that has been agreed on; the last one sends.
    senders: Vec<SrtpSender>,
    receiver: Option<SrtpReceiver>,
    /// The receiver before the current one, and when it is given up.
    old: Option<(SrtpReceiver, Instant)>,
}

impl SrtpSession {
    /// Applies the keys of an agreement; None is plain sound. A key that is agreed on again keeps its
    /// counters; a new one starts at 0.
    pub fn agree(&mut self, now: Instant, keys: Option<&SrtpKeys>) {
        self.is_on = keys.is_some();
        let Some(SrtpKeys { ours, theirs }) = keys else { return };
        match self.senders.iter().position(|it| it.key == *ours) {
            Some(at) => {
                let sender = self.senders.remove(at);
                self.senders.push(sender);
            }
            None => self.senders.push(SrtpSender::new(ours.clone())),
        }
        if self.receiver.as_ref().is_some_and(|it| it.key == *theirs) {
            return;
        }
        let returns = self.old.take_if(|(it, _)| it.key == *theirs).map(|it| it.0);
        let receiver = returns.unwrap_or_else(|| SrtpReceiver::new(theirs.clone()));
        self.old = self.receiver.replace(receiver).map(|it| (it, now + OLD_KEY_FOR));
    }

    /// Whether packets are encrypted now.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Encrypts the RTP packet of `len` bytes at the beginning of a buffer, which needs
    /// [`OVERHEAD_MAX`] more. Returns its new length; None if it must not be sent.
    pub fn protect(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        self.senders.last_mut().and_then(|it| it.protect(buffer, len))
    }

    /// As [`Self::protect`], for RTCP.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        self.senders.last_mut().and_then(|it| it.protect_rtcp(buffer, len))
    }

    /// Checks and decrypts a datagram in place, and returns the length of its packet.
    ///
    /// # Errors
    ///
    /// It is not authentic, or came before.
    pub fn open(
        &mut self,
        now: Instant,
        is_rtcp: bool,
        datagram: &mut [u8],
    ) -> Result<usize, SrtpError> {
        let receiver = self.receiver.as_mut().ok_or(SrtpError::Unauthentic)?;
        self.old.take_if(|(_, until)| *until <= now);
        let Some((old, _)) = &mut self.old else { return receiver.open(is_rtcp, datagram) };

        // A failed try spoils the bytes.
        let mut copy = datagram.to_vec();
        match receiver.open(is_rtcp, &mut copy) {
            Ok(len) => {
                datagram[..len].copy_from_slice(&copy[..len]);
                Ok(len)
            }
            Err(SrtpError::Unauthentic) => old.open(is_rtcp, datagram),
            Err(error @ SrtpError::Replayed) => Err(error),
        }
    }
}

/// Our direction under one key.
struct SrtpSender {
    key: SrtpKey,
    rtp: PacketCipher,
    rtcp: PacketCipher,
    /// SSRC and index of the last packet.
    last: Option<(u32, u64)>,
    next_rtcp: u32,
}

impl SrtpSender {
    fn new(key: SrtpKey) -> Self {
        let [rtp, rtcp] = [Protocol::Rtp, Protocol::Rtcp].map(|it| PacketCipher::new(&key, it));
        Self { key, rtp, rtcp, last: None, next_rtcp: 0 }
    }

    fn protect(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let RtpHead { header, sequence, ssrc } = RtpHead::read(buffer.get(..len)?)?;
        let sequence = u64::from(sequence);
        let last = self.last.filter(|it| it.0 == ssrc).map(|it| it.1);
        // Our numbers only rise: one that is not higher has rolled over.
        let index = last.map_or(sequence, |last| {
            let index = (last & !0xFFFF) | sequence;
            if index <= last { index + 0x1_0000 } else { index }
        });
        if RTP_INDEX_MAX < index {
            return None;
        }
        self.last = Some((ssrc, index));
        let number = PacketNumber { ssrc, index };
        self.rtp.seal(number, buffer, (header, len), &[], &roll_over(index))
    }

    fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let ssrc = u32::from_be_bytes(*buffer.get(4..len)?.first_chunk()?);
        let index = self.next_rtcp;
        if RTCP_INDEX_MAX < index {
            return None;
        }
        self.next_rtcp += 1;
        let number = PacketNumber { ssrc, index: index.into() };
        let trailer = (ENCRYPTED | index).to_be_bytes();
        self.rtcp.seal(number, buffer, (RTCP_HEADER, len), &trailer, &[])
    }
}

/// The far end's direction under one key.
struct SrtpReceiver {
    key: SrtpKey,
    rtp: PacketCipher,
    rtcp: PacketCipher,
    rtp_streams: ReplayWindows,
    rtcp_streams: ReplayWindows,
}

impl SrtpReceiver {
    fn new(key: SrtpKey) -> Self {
        let [rtp, rtcp] = [Protocol::Rtp, Protocol::Rtcp].map(|it| PacketCipher::new(&key, it));
        let (rtp_streams, rtcp_streams) = Default::default();
        Self { key, rtp, rtcp, rtp_streams, rtcp_streams }
    }

    fn open(&mut self, is_rtcp: bool, datagram: &mut [u8]) -> Result<usize, SrtpError> {
        match is_rtcp {
            true => self.open_rtcp(datagram),
            false => self.open_rtp(datagram),
        }
    }

    fn open_rtp(&mut self, datagram: &mut [u8]) -> Result<usize, SrtpError> {
        let head = RtpHead::read(datagram).ok_or(SrtpError::Unauthentic)?;
        let RtpHead { header, sequence, ssrc } = head;
        let window = self.rtp_streams.of(ssrc);
        let index = window.nearest(sequence).ok_or(SrtpError::Unauthentic)?;
        if window.has(index) {
            return Err(SrtpError::Replayed);
        }
        let number = PacketNumber { ssrc, index };
        let opened = self.rtp.open(number, datagram, (header, true), 0, &roll_over(index));
        let len = opened.ok_or(SrtpError::Unauthentic)?;
        self.rtp_streams.add(ssrc, window, index);
        Ok(len)
    }

    fn open_rtcp(&mut self, datagram: &mut [u8]) -> Result<usize, SrtpError> {
        let unauthentic = SrtpError::Unauthentic;
        let ssrc = datagram.get(4..).and_then(|it| it.first_chunk()).ok_or(unauthentic)?;
        let ssrc = u32::from_be_bytes(*ssrc);
        // The word with the index is before the tag, or behind it with Galois.
        let behind = match &self.rtcp {
            PacketCipher::Counter { tag_bytes, .. } => *tag_bytes,
            PacketCipher::Galois { .. } => 0,
        };
        let end = datagram.len().checked_sub(behind).ok_or(unauthentic)?;
        let word = datagram[..end].last_chunk().ok_or(unauthentic)?;
        let word = u32::from_be_bytes(*word);
        let (is_encrypted, index) = (word & ENCRYPTED != 0, u64::from(word & !ENCRYPTED));
        let window = self.rtcp_streams.of(ssrc);
        if window.has(index) {
            return Err(SrtpError::Replayed);
        }
        let number = PacketNumber { ssrc, index };
        let opened = self.rtcp.open(number, datagram, (RTCP_HEADER, is_encrypted), 4, &[]);
        let len = opened.ok_or(unauthentic)?;
        self.rtcp_streams.add(ssrc, window, index);
        Ok(len)
    }
}

/// The replay windows of the streams of one key, the one heard last at the end.
#[derive(Debug, Default)]
struct ReplayWindows(Vec<(u32, ReplayWindow)>);

impl ReplayWindows {
    /// The window of a stream, which is new if nothing authentic has come from it.
    fn of(&self, ssrc: u32) -> ReplayWindow {
        self.0.iter().rev().find(|it| it.0 == ssrc).map_or_else(ReplayWindow::default, |it| it.1)
    }

    /// Adds an authentic packet to the window of its stream.
    fn add(&mut self, ssrc: u32, mut window: ReplayWindow, index: u64) {
        window.add(index);
        if let Some(last) = self.0.last_mut().filter(|it| it.0 == ssrc) {
            last.1 = window;
            return;
        }
        self.0.retain(|it| it.0 != ssrc);
        if self.0.len() == STREAMS_MAX {
            self.0.remove(0);
        }
        self.0.push((ssrc, window));
    }
}

/// The last 128 numbers of a stream (RFC 3711, 3.3.2).
#[derive(Clone, Copy, Debug, Default)]
struct ReplayWindow {
    /// The highest number that has come.
    top: Option<u64>,
    /// Bit n: `top - n` has come.
    seen: u128,
}

impl ReplayWindow {
    /// The index with this sequence number that is nearest to the highest one (RFC 3711, 3.3.1).
    fn nearest(self, sequence: u16) -> Option<u64> {
        let Some(top) = self.top else { return Some(sequence.into()) };
        let away = sequence.wrapping_sub(top as u16) as i16;
        top.checked_add_signed(away.into()).filter(|it| *it <= RTP_INDEX_MAX)
    }

    /// Whether a number has come, or is too old to tell.
    fn has(self, index: u64) -> bool {
        let Some(age) = self.top.and_then(|top| top.checked_sub(index)) else { return false };
        u128::BITS as u64 <= age || self.seen & (1 << age) != 0
    }

    fn add(&mut self, index: u64) {
        let top = self.top.unwrap_or(index).max(index);
        let risen = self.top.map_or(0, |it| top - it);
        let shift = u32::try_from(risen).unwrap_or(u32::MAX);
        self.seen = self.seen.checked_shl(shift).unwrap_or(0) | (1 << (top - index));
        self.top = Some(top);
    }
}

/// What SRTP reads of an RTP packet: its header stays in the clear.
struct RtpHead {
    /// Length of the header, with its extension.
    header: usize,
    sequence: u16,
    ssrc: u32,
}

impl RtpHead {
    fn read(packet: &[u8]) -> Option<Self> {
        let [first, _, high, low, _, _, _, _, ssrc @ ..] = packet.first_chunk::<12>()?;
        let fixed = 12 + 4 * usize::from(first & 0xF);
        let header = match first & 0x10 != 0 {
            false => fixed,
            true => {
                let [.., high, low] = packet.get(fixed..)?.first_chunk::<4>()?;
                fixed + 4 + 4 * usize::from(u16::from_be_bytes([*high, *low]))
            }
        };
        let ssrc = u32::from_be_bytes(*ssrc);
        let sequence = u16::from_be_bytes([*high, *low]);
        (header <= packet.len()).then_some(Self { header, sequence, ssrc })
    }
}

/// The roll-over counter of an index, as the tag covers it.
fn roll_over(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

impl fmt::Debug for SrtpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpSender").field("key", &self.key).finish_non_exhaustive()
    }
}

impl fmt::Debug for SrtpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpReceiver").field("key", &self.key).finish_non_exhaustive()
    }
}
