//! RTCP: the reports that the two ends of a leg send each other (RFC 3550, 6).
//!
//! About every five seconds, and once more with a BYE at the end, a mixer thread sends what
//! [`RtcpSession::compose`] writes. Datagrams from the far end go to [`RtcpSession::receive`].
//! Times are NTP timestamps: seconds since 1900 in the upper 32 bits, fractions in the lower.

use super::packet;

/// The longest report that we send, in bytes.
pub const REPORT_MAX: usize = 352;

/// The RTCP state of one leg, in both directions.
#[derive(Clone, Debug)]
pub struct RtcpSession {
    cname: Box<str>,
    /// The far end's last sender report: its NTP time, and ours when it came; the middle 32 bits.
    last_report: Option<(u32, u32)>,
    /// Packets sent when we last reported.
    sent_before: u32,
    far_end_report: Option<FarEndReport>,
}

/// Reception of our stream at the far end, by its latest report.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FarEndReport {
    /// Share of our packets lost since its previous report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the stream began; duplicates can make it negative.
    pub lost: i32,
    /// Interarrival jitter, in timestamp units.
    pub jitter: u32,
    /// Round trip time, in 65,536ths of a second. None if the far end has had no report of ours.
    pub round_trip: Option<u32>,
}

/// The contents of one received datagram.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Received {
    /// A stream of the far end has ended. The call goes on until SIP ends it.
    pub bye: bool,
    /// The far end's report on our stream, if there was one.
    pub far_end_report: Option<FarEndReport>,
}

/// The reason why a datagram is not RTCP.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RtcpError {
    /// It ends within a packet, or before the end that a packet announces.
    #[error("the report is shorter than it says")]
    Short,
    /// One of its packets is not of version 2.
    #[error("the report is not of RTP version 2")]
    Version,
    /// The first packet is not a report (RFC 3550, A.2).
    #[error("the datagram does not begin with a report")]
    NoReport,
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const BYE: u8 = 203;

/// Bytes of one report block.
const BLOCK: usize = 24;

impl RtcpSession {
    /// Starts the session of a leg. `cname` is its canonical name: any text that is fixed for the
    /// leg and unique to it (RFC 7022). Bytes after the 255th are cut off.
    pub fn new(cname: &str) -> Self {
        let cname = cname[..cname.floor_char_boundary(255)].into();
        Self { cname, last_report: None, sent_before: 0, far_end_report: None }
    }

    /// Returns the name of our end, by which the far end knows its streams.
    pub fn cname(&self) -> &str {
        &self.cname
    }

    /// Writes a report: on what we sent, if anything since the last report, and on what we
    /// received. `bye` appends a BYE. Returns the bytes used; None if `out` is too short
    /// ([`REPORT_MAX`] suffices).
    pub fn compose(
        &mut self,
        ntp: u64,
        stream: &packet::RtpStream,
        reception: &mut packet::ReceptionStats,
        bye: bool,
        out: &mut [u8],
    ) -> Option<usize> {
        let mut writer = RtcpWriter { out, len: 0 };
        let has_sent = stream.packets() != self.sent_before;
        let block = reception.report();
        writer.header(
            if has_sent { SENDER_REPORT } else { RECEIVER_REPORT },
            u8::from(block.is_some()),
            1 + if has_sent { 5 } else { 0 } + if block.is_some() { 6 } else { 0 },
        )?;
        writer.word(stream.ssrc())?;
        if has_sent {
            writer.word((ntp >> 32) as u32)?;
            writer.word(ntp as u32)?;
            writer.word(stream.timestamp())?;
            writer.word(stream.packets())?;
            writer.word(stream.octets())?;
        }
        if let Some(block) = block {
            self.write_block(&mut writer, ntp, block)?;
        }

        // The CNAME item, its end, and zeros up to the next word.
        let item = 2 + self.cname.len();
        writer.header(DESCRIPTION, 1, 1 + item as u32 / 4 + 1)?;
        writer.word(stream.ssrc())?;
        writer.bytes(&[1, self.cname.len() as u8])?;
        writer.bytes(self.cname.as_bytes())?;
        writer.bytes(&[0; 4][..4 - item % 4])?;

        if bye {
            writer.header(BYE, 1, 1)?;
            writer.word(stream.ssrc())?;
        }
        self.sent_before = stream.packets();
        Some(writer.len)
    }

    /// Reads a datagram from the far end. `ours` is the SSRC of the stream that we send.
    ///
    /// # Errors
    ///
    /// A length does not fit. Then nothing of the datagram is used.
    pub fn receive(&mut self, ntp: u64, ours: u32, datagram: &[u8]) -> Result<Received, RtcpError> {
        let mut packets = RtcpPackets { rest: datagram, is_first: true };
        let (mut received, mut last_report) = (Received::default(), self.last_report);
        while let Some(packet) = packets.next()? {
            match packet.kind {
                SENDER_REPORT => {
                    let [_, high, low, ..] = packet.words::<6>()?;
                    last_report = Some((high << 16 | low >> 16, (ntp >> 16) as u32));
                    received.far_end_report =
                        packet.report_on(24, ntp, ours)?.or(received.far_end_report);
                }
                RECEIVER_REPORT => {
                    packet.words::<1>()?;
                    received.far_end_report =
                        packet.report_on(4, ntp, ours)?.or(received.far_end_report);
                }
                BYE => received.bye |= packet.count != 0,
                _ => (),
            }
        }
        self.last_report = last_report;
        self.far_end_report = received.far_end_report.or(self.far_end_report);
        Ok(received)
    }

    /// Returns the far end's latest report on our stream. None before the first one.
    pub fn far_end_report(&self) -> Option<FarEndReport> {
        self.far_end_report
    }

    fn write_block(
        &self,
        writer: &mut RtcpWriter<'_>,
        ntp: u64,
        block: packet::ReportBlock,
    ) -> Option<()> {
        let (theirs, ours) = self.last_report.unwrap_or_default();
        let delay = self.last_report.map_or(0, |_| ((ntp >> 16) as u32).wrapping_sub(ours));
        writer.word(block.ssrc)?;
        writer.word(u32::from(block.fraction_lost) << 24 | block.lost as u32 & 0xff_ffff)?;
        writer.word(block.highest)?;
        writer.word(block.jitter)?;
        writer.word(theirs)?;
        writer.word(delay)
    }
}

struct RtcpWriter<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl RtcpWriter<'_> {
    /// `words` is the length without the header.
    fn header(&mut self, kind: u8, count: u8, words: u32) -> Option<()> {
        self.word(0x8000_0000 | u32::from(count) << 24 | u32::from(kind) << 16 | words)
    }

    fn word(&mut self, word: u32) -> Option<()> {
        self.bytes(&word.to_be_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }
}

struct RtcpPackets<'a> {
    rest: &'a [u8],
    is_first: bool,
}

struct RtcpPacket<'a> {
    kind: u8,
    count: u8,
    body: &'a [u8],
}

impl<'a> RtcpPackets<'a> {
    fn next(&mut self) -> Result<Option<RtcpPacket<'a>>, RtcpError> {
        if self.rest.is_empty() && !self.is_first {
            return Ok(None);
        }
        let ([flags, kind, l0, l1], _) = self.rest.split_first_chunk().ok_or(RtcpError::Short)?;
        if flags >> 6 != 2 {
            return Err(RtcpError::Version);
        }
        if self.is_first && !matches!(*kind, SENDER_REPORT | RECEIVER_REPORT) {
            return Err(RtcpError::NoReport);
        }
        self.is_first = false;
        let len = 4 + 4 * usize::from(u16::from_be_bytes([*l0, *l1]));
        let (part, rest) = self.rest.split_at_checked(len).ok_or(RtcpError::Short)?;
        self.rest = rest;
        // Padding, if any, stands after everything that is read here.
        Ok(Some(RtcpPacket { kind: *kind, count: flags & 0x1f, body: &part[4..] }))
    }
}

impl RtcpPacket<'_> {
    fn words<const N: usize>(&self) -> Result<[u32; N], RtcpError> {
        words_of(self.body).ok_or(RtcpError::Short)
    }

    /// Finds the report on our stream among the blocks that begin at `offset`.
    fn report_on(
        &self,
        offset: usize,
        ntp: u64,
        ours: u32,
    ) -> Result<Option<FarEndReport>, RtcpError> {
        let end = offset + BLOCK * usize::from(self.count);
        let blocks = self.body.get(offset..end).ok_or(RtcpError::Short)?;
        let on_us = blocks.chunks_exact(BLOCK).filter_map(words_of::<6>).find(|it| it[0] == ours);
        Ok(on_us.map(|[_, lost, _, jitter, theirs, delay]| {
            let now = (ntp >> 16) as u32;
            let round_trip = now.wrapping_sub(theirs).wrapping_sub(delay);
            // A clock that is set in between can make it negative.
            let is_sound = theirs != 0 && round_trip < ROUND_TRIP_MAX;
            FarEndReport {
                fraction_lost: (lost >> 24) as u8,
                // The sign is the 24th bit.
                lost: (lost << 8) as i32 >> 8,
                jitter,
                round_trip: is_sound.then_some(round_trip),
            }
        }))
    }
}

/// 30 s in 65,536ths of a second: no call has a longer round trip.
const ROUND_TRIP_MAX: u32 = 30 << 16;

fn words_of<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.get(..4 * N)?.chunks_exact(4)) {
        *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An NTP time with a fraction of one half.
    const NOW: u64 = (3_900_000_120 << 32) | 0x8000_0000;
    const SECOND: u64 = 1 << 32;

    fn sent(ssrc: u32, packets: usize) -> packet::RtpStream {
        let mut stream = packet::RtpStream::new(ssrc, 0, 1_000);
        (0..packets).for_each(|_| _ = stream.write(0, &[0; 160], 160, &mut [0; 172]));
        stream
    }

    fn heard(ssrc: u32) -> packet::ReceptionStats {
        let mut reception = packet::ReceptionStats::default();
        for sequence in [1, 2, 4] {
            let (marker, payload_type, timestamp, payload) = (false, 0, 0, &[][..]);
            let packet =
                packet::Packet { marker, payload_type, sequence, timestamp, ssrc, payload };
            reception.count(&packet, 0);
        }
        reception
    }

    #[test]
    fn a_report_is_written_as_the_recommendation_has_it() {
        let (mut control, mut out) = (RtcpSession::new("abc"), [0xee; REPORT_MAX]);
        let len = control.compose(NOW, &sent(7, 2), &mut heard(9), true, &mut out).unwrap();
        let expected: [&[u8]; 12] = [
            &[0x81, 200, 0, 12, 0, 0, 0, 7],
            &NOW.to_be_bytes(),
            &1_320_u32.to_be_bytes(),
            &[0, 0, 0, 2, 0, 0, 1, 64],
            &[0, 0, 0, 9, 64, 0, 0, 1],
            &[0, 0, 0, 4],
            &[0, 0, 0, 0],
            &[0; 8],
            &[0x81, 202, 0, 3, 0, 0, 0, 7],
            &[1, 3, b'a', b'b', b'c', 0, 0, 0],
            &[0x81, 203, 0, 1],
            &[0, 0, 0, 7],
        ];
        assert_eq!(out[..len], expected.concat());
        let again = control.compose(NOW, &sent(7, 2), &mut heard(9), false, &mut out);
        assert_eq!((again, out[1]), (Some(48), 201), "nothing was sent in between");
        assert_eq!(control.compose(NOW, &sent(7, 2), &mut heard(9), false, &mut out[..47]), None);
    }

    #[test]
    fn names_of_any_length_fill_whole_words() {
        for len in (0..260).chain([1_000]) {
            let (mut control, mut out) = (RtcpSession::new(&"ü".repeat(len)), [0; REPORT_MAX]);
            let reception = &mut packet::ReceptionStats::default();
            let end = control.compose(NOW, &sent(7, 0), reception, true, &mut out).unwrap();
            let received = RtcpSession::new("").receive(NOW, 1, &out[..end]).unwrap();
            assert_eq!(received, Received { bye: true, far_end_report: None }, "{len}");
        }
    }

    #[test]
    fn two_ends_learn_how_they_hear_each_other() {
        let (mut a, mut b, mut out) =
            (RtcpSession::new("a"), RtcpSession::new("b"), [0; REPORT_MAX]);
        let len = a.compose(NOW, &sent(1, 5), &mut heard(2), false, &mut out).unwrap();
        // 50 ms there, half a second at the far end, 50 ms back.
        let there = NOW + SECOND / 20;
        let received = b.receive(there, 2, &out[..len]).unwrap();
        let expected = FarEndReport { fraction_lost: 64, lost: 1, jitter: 0, round_trip: None };
        assert_eq!(received, Received { bye: false, far_end_report: Some(expected) });
        let len = b.compose(there + SECOND / 2, &sent(2, 0), &mut heard(1), false, &mut out);
        let back = there + SECOND / 2 + SECOND / 20;
        a.receive(back, 1, &out[..len.unwrap()]).unwrap();
        let round_trip = a.far_end_report().unwrap().round_trip.unwrap();
        assert!(round_trip.abs_diff(65_536 / 10) <= 2, "{round_trip}");
        assert_eq!(b.far_end_report(), Some(expected));
        assert_eq!(a.receive(back, 77, &out[..len.unwrap()]).unwrap().far_end_report, None);
    }

    #[test]
    fn loss_can_be_negative() {
        let mut datagram = [0; 32];
        datagram[..4].copy_from_slice(&[0x81, 201, 0, 7]);
        datagram[8..16].copy_from_slice(&[0, 0, 0, 5, 0, 0xff, 0xff, 0xfe]);
        let hearing =
            RtcpSession::new("").receive(NOW, 5, &datagram).unwrap().far_end_report.unwrap();
        assert_eq!((hearing.lost, hearing.round_trip), (-2, None));
        let early = RtcpSession::new("").receive(5 * SECOND, 5, &datagram).unwrap().far_end_report;
        assert_eq!(early.unwrap().round_trip, None, "it has not had a report of ours");
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        #[track_caller]
        fn check(datagram: &[u8], expected: RtcpError) {
            let mut control = RtcpSession::new("");
            assert_eq!(control.receive(NOW, 0, datagram), Err(expected));
            assert_eq!((control.far_end_report(), control.last_report), (None, None));
        }
        let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
        assert!(RtcpSession::new("").receive(NOW, 0, &report).is_ok());
        check(&[], RtcpError::Short);
        check(&report[..7], RtcpError::Short);
        check(&[&report[..], &[0x80, 203]].concat(), RtcpError::Short);
        check(&[0x80, 201, 0, 0], RtcpError::Short);
        check(&[0x81, 201, 0, 1, 0, 0, 0, 1], RtcpError::Short);
        check(&[0x80, 200, 0, 1, 0, 0, 0, 1], RtcpError::Short);
        check(&[0x80, 201, 0xff, 0xff, 0, 0, 0, 1], RtcpError::Short);
        check(&[0x40, 201, 0, 1, 0, 0, 0, 1], RtcpError::Version);
        check(&[&report[..], &[0; 4]].concat(), RtcpError::Version);
        check(&[0x80, 203, 0, 1, 0, 0, 0, 1], RtcpError::NoReport);
        let sender = [[0x80, 200, 0, 6].as_slice(), &[3; 24], &[0x80, 203, 0, 9]].concat();
        check(&sender, RtcpError::Short);
    }
}
