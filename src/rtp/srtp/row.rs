//! SRTP rows: keys and packet indexes, so that a later process never uses one twice.

use serde::{Deserialize, Serialize};

use super::{RTCP_INDEX_MAX, ReplayWindow, ReplayWindows, SrtpReceiver, SrtpSender, SrtpSession};
use crate::rtp::sdp::crypto::SrtpKey;

/// Packet indexes that are left out after a restore, of RTP and of RTCP: more than may have been used
/// since the row was written.
pub const INDEXES_LEFT_OUT: u32 = 1 << 10;

/// An [`SrtpSession`] as plain data. It has keys. Replay windows are not kept, only their tops.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct SrtpRow {
    is_on: bool,
    senders: Vec<SenderRow>,
    receiver: Option<ReceiverRow>,
}

#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
struct SenderRow {
    key: SrtpKey,
    last: Option<(u32, u64)>,
    next_rtcp: u32,
}

#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
struct ReceiverRow {
    key: SrtpKey,
    /// SSRC and highest index of each stream.
    rtp_tops: Vec<(u32, u64)>,
    rtcp_tops: Vec<(u32, u64)>,
}

impl From<&SrtpSession> for SrtpRow {
    fn from(it: &SrtpSession) -> Self {
        // The old receiver is given up within a second.
        let SrtpSession { is_on, senders, receiver, old: _ } = it;
        Self {
            is_on: *is_on,
            senders: senders.iter().map(SenderRow::from).collect(),
            receiver: receiver.as_ref().map(ReceiverRow::from),
        }
    }
}

impl From<&SrtpSender> for SenderRow {
    fn from(it: &SrtpSender) -> Self {
        let SrtpSender { key, rtp: _, rtcp: _, last, next_rtcp } = it;
        Self { key: key.clone(), last: *last, next_rtcp: *next_rtcp }
    }
}

impl From<&SrtpReceiver> for ReceiverRow {
    fn from(it: &SrtpReceiver) -> Self {
        let SrtpReceiver { key, rtp: _, rtcp: _, rtp_streams, rtcp_streams } = it;
        let tops = |it: &ReplayWindows| {
            it.0.iter().filter_map(|(ssrc, window)| Some((*ssrc, window.top?))).collect()
        };
        Self { key: key.clone(), rtp_tops: tops(rtp_streams), rtcp_tops: tops(rtcp_streams) }
    }
}

impl SrtpRow {
    /// The session of the row, whose next packet has an index that is higher by `packets`, as its
    /// sequence number must be.
    pub fn restore(self, packets: u64) -> SrtpSession {
        let Self { is_on, senders, receiver } = self;
        SrtpSession {
            is_on,
            senders: senders.into_iter().map(|it| it.restore(packets)).collect(),
            receiver: receiver.map(ReceiverRow::restore),
            old: None,
        }
    }
}

impl SenderRow {
    fn restore(self, packets: u64) -> SrtpSender {
        let Self { key, last, next_rtcp } = self;
        SrtpSender {
            last: last.map(|(ssrc, index)| (ssrc, index.saturating_add(packets))),
            // Beyond the last index there is no report; the sound goes on.
            next_rtcp: next_rtcp.saturating_add(INDEXES_LEFT_OUT).min(RTCP_INDEX_MAX + 1),
            ..SrtpSender::new(key)
        }
    }
}

impl ReceiverRow {
    fn restore(self) -> SrtpReceiver {
        let Self { key, rtp_tops, rtcp_tops } = self;
        // What is below the top counts as received: late packets are lost, and replays are not heard.
        let windows = |tops: Vec<(u32, u64)>| {
            let window = |top| ReplayWindow { top: Some(top), seen: u128::MAX };
            ReplayWindows(tops.into_iter().map(|(ssrc, top)| (ssrc, window(top))).collect())
        };
        SrtpReceiver {
            rtp_streams: windows(rtp_tops),
            rtcp_streams: windows(rtcp_tops),
            ..SrtpReceiver::new(key)
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may ask what time it is")]
mod tests {
    use std::{collections::BTreeSet, time::Instant};

    use super::*;
    use crate::rtp::{
        packet::RtpStream,
        sdp::crypto::{SrtpKeys, SrtpSuite},
        srtp::{OVERHEAD_MAX, SrtpError},
    };

    const SSRC: u32 = 9;

    fn keys(suite: SrtpSuite) -> SrtpKeys {
        let key = |byte| {
            SrtpKey::new(suite, &vec![byte; suite.key_bytes() + suite.salt_bytes()]).unwrap()
        };
        SrtpKeys { ours: key(1), theirs: key(2) }
    }

    /// Two ends of a call.
    fn ends(suite: SrtpSuite) -> (SrtpSession, SrtpSession) {
        let SrtpKeys { ours, theirs } = keys(suite);
        let (mut us, mut them) = (SrtpSession::default(), SrtpSession::default());
        us.agree(Instant::now(), Some(&keys(suite)));
        them.agree(Instant::now(), Some(&SrtpKeys { ours: theirs, theirs: ours }));
        (us, them)
    }

    /// The packet with this sequence number, encrypted.
    fn packet(session: &mut SrtpSession, sequence: u16) -> Vec<u8> {
        let mut out = [0; 64 + OVERHEAD_MAX];
        let mut stream = RtpStream::new(SSRC, sequence, 0);
        let len = stream.write(0, &[5; 20], 160, &mut out).unwrap();
        let len = session.protect(&mut out, len).unwrap();
        out[..len].to_vec()
    }

    fn restored(session: &SrtpSession, packets: u64) -> SrtpSession {
        let body = postcard::to_allocvec(&SrtpRow::from(session)).unwrap();
        postcard::from_bytes::<SrtpRow>(&body).unwrap().restore(packets)
    }

    #[test]
    fn an_encrypted_call_survives_beyond_its_roll_over_and_uses_no_index_twice() {
        for suite in [SrtpSuite::AesCm128HmacSha1Tag80, SrtpSuite::AeadAes256Gcm] {
            let (mut us, mut them) = ends(suite);
            let mut used = BTreeSet::new();
            let mut sequence = 65_000;
            let mut send = |us: &mut SrtpSession, them: &mut SrtpSession, sequence: u16| {
                let mut bytes = packet(us, sequence);
                let index = us.senders.last().unwrap().last.unwrap().1;
                assert!(used.insert(index), "{index} is used twice");
                assert_eq!(them.open(Instant::now(), false, &mut bytes), Ok(32), "{index}");
                index
            };
            send(&mut us, &mut them, sequence);
            sequence += 1;
            for _ in 0..4 {
                let row = SrtpRow::from(&us);
                // More is sent after the row was written than the process tells anybody.
                for _ in 0..600 {
                    send(&mut us, &mut them, sequence);
                    sequence = sequence.wrapping_add(1);
                }
                // The next process knows the row alone, and how much time has passed since.
                us = row.restore(750 + u64::from(INDEXES_LEFT_OUT));
                sequence = sequence.wrapping_add(150 + INDEXES_LEFT_OUT as u16);
            }
            assert_eq!(send(&mut us, &mut them, sequence) >> 16, 1, "it has rolled over");
        }
    }

    #[test]
    fn the_far_end_is_understood_beyond_its_roll_over_and_its_replays_are_not() {
        let (mut us, mut them) = ends(SrtpSuite::AesCm128HmacSha1Tag80);
        let now = Instant::now();
        for sequence in [65_400, 65_500, 100] {
            let mut bytes = packet(&mut them, sequence);
            assert!(us.open(now, false, &mut bytes).is_ok());
        }
        let replay = packet(&mut them, 101);
        assert!(us.open(now, false, &mut replay.clone()).is_ok());
        let mut later = restored(&us, 0);
        assert_eq!(later.open(now, false, &mut replay.clone()), Err(SrtpError::Replayed));
        assert!(later.open(now, false, &mut packet(&mut them, 700)).is_ok());
        // Without the roll-over counter it would not be.
        let (mut fresh, _) = ends(SrtpSuite::AesCm128HmacSha1Tag80);
        let unauthentic = Err(SrtpError::Unauthentic);
        assert_eq!(fresh.open(now, false, &mut packet(&mut them, 701)), unauthentic);
    }

    #[test]
    fn reports_leave_indexes_out_too() {
        let (mut us, mut them) = ends(SrtpSuite::AeadAes128Gcm);
        let report = |session: &mut SrtpSession| {
            let mut out = [0x80, 200, 0, 1, 0, 0, 0, 9].to_vec();
            out.resize(8 + OVERHEAD_MAX, 0);
            let len = session.protect_rtcp(&mut out, 8).unwrap();
            out[..len].to_vec()
        };
        assert!(them.open(Instant::now(), true, &mut report(&mut us)).is_ok());
        let mut later = restored(&us, 0);
        assert_eq!(later.senders[0].next_rtcp, 1 + INDEXES_LEFT_OUT);
        assert!(them.open(Instant::now(), true, &mut report(&mut later)).is_ok());
    }
}
