//! RTP packets: header, numbers of a sent stream, statistics of a received one (RFC 3550).
//!
//! For each datagram the leg asks [`is_rtcp`], then calls [`Packet::parse`]. A packet of an accepted
//! source and payload type goes to [`ReceptionStats::count`] and to the jitter buffer. Each tick the
//! mixer thread writes one packet with [`RtpStream::write`], or [`RtpStream::skip`]s the time.

pub mod row;

/// Length of the fixed header, in bytes.
pub const HEADER: usize = 12;

/// A received packet. It borrows from its datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// Set on the first packet of a talkspurt or of a telephone event.
    pub marker: bool,
    /// Payload type: 0 to 127.
    pub payload_type: u8,
    /// Rises by one with each packet, and wraps.
    pub sequence: u16,
    /// Time of the first sample, in units of the payload's clock; wraps.
    pub timestamp: u32,
    /// Identifies the sender's stream: a random number.
    pub ssrc: u32,
    /// The bytes without header, extension and padding; may be empty.
    pub payload: &'a [u8],
}

/// The reason why a datagram is not an RTP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RtpError {
    /// It ends before the length that its header implies.
    #[error("the packet is shorter than its header says")]
    Short,
    /// The version, its first two bits, is not 2.
    #[error("the packet is not of RTP version 2")]
    Version,
    /// The padding is longer than the payload, or has length 0.
    #[error("the padding does not fit the packet")]
    Padding,
}

/// Tells RTCP from RTP on a shared port, by the second byte (RFC 5761, section 4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram.get(1), Some(192..=223))
}

/// Returns how far timestamp `a` is after `b`, across a wrap; negative if it is before.
pub fn timestamp_after(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

/// Returns how far sequence number `a` is after `b`, across a wrap; negative if it is before.
pub fn sequence_after(a: u16, b: u16) -> i16 {
    a.wrapping_sub(b) as i16
}

impl<'a> Packet<'a> {
    /// Reads one datagram (RFC 3550, 5.1). Skips contributors and extension.
    ///
    /// # Errors
    ///
    /// The datagram contradicts its own header.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtpError> {
        let (header, mut rest) = datagram.split_first_chunk::<HEADER>().ok_or(RtpError::Short)?;
        let [flags, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *header;
        if flags >> 6 != 2 {
            return Err(RtpError::Version);
        }
        let contributors = usize::from(flags & 0x0f) * 4;
        rest = rest.get(contributors..).ok_or(RtpError::Short)?;
        if flags & 0x10 != 0 {
            let ([_, _, l0, l1], after) = rest.split_first_chunk().ok_or(RtpError::Short)?;
            let words = usize::from(u16::from_be_bytes([*l0, *l1]));
            rest = after.get(words * 4..).ok_or(RtpError::Short)?;
        }
        if flags & 0x20 != 0 {
            let padding = usize::from(*rest.last().ok_or(RtpError::Padding)?);
            let len = rest.len().checked_sub(padding).filter(|_| padding != 0);
            rest = &rest[..len.ok_or(RtpError::Padding)?];
        }
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
            payload: rest,
        })
    }

    /// Writes the packet without contributors, extension or padding. Returns the bytes used; None
    /// if `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let len = HEADER + self.payload.len();
        let (header, payload) = out.get_mut(..len)?.split_at_mut(HEADER);
        header[0] = 0x80;
        header[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7f;
        header[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        header[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        header[8..].copy_from_slice(&self.ssrc.to_be_bytes());
        payload.copy_from_slice(self.payload);
        Some(len)
    }
}

/// A stream that we send. Its numbers continue for the life of the leg, whatever is sent.
#[derive(Clone, Debug)]
pub struct RtpStream {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// The next packet starts a talkspurt.
    begins: bool,
    packets: u32,
    octets: u32,
}

impl RtpStream {
    /// Starts a stream. The caller supplies the numbers, which must be random (RFC 3550, 5.1).
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self { ssrc, sequence, timestamp, begins: true, packets: 0, octets: 0 }
    }

    /// Writes a packet of sound and advances the timestamp by its length, `units`. Returns the
    /// bytes used; None, with nothing changed, if `out` is too short.
    pub fn write(
        &mut self,
        payload_type: u8,
        payload: &[u8],
        units: u32,
        out: &mut [u8],
    ) -> Option<usize> {
        let len = self.write_aged(0, self.begins, payload_type, payload, out)?;
        self.begins = false;
        self.timestamp = self.timestamp.wrapping_add(units);
        Some(len)
    }

    /// Writes a packet that began `age` units ago, such as a telephone event. Unlike
    /// [`RtpStream::write`] it does not advance the timestamp.
    pub fn write_aged(
        &mut self,
        age: u32,
        marker: bool,
        payload_type: u8,
        payload: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        let (ssrc, sequence) = (self.ssrc, self.sequence);
        let timestamp = self.timestamp.wrapping_sub(age);
        let packet = Packet { marker, payload_type, sequence, timestamp, ssrc, payload };
        let len = packet.write(out)?;
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        Some(len)
    }

    /// Lets time pass without a packet. The next packet starts a talkspurt.
    pub fn skip(&mut self, units: u32) {
        self.timestamp = self.timestamp.wrapping_add(units);
        self.begins = true;
    }

    /// Returns the SSRC that our packets carry.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Returns the timestamp of the next packet of sound.
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// Returns the packets sent, as a sender report counts them (RFC 3550, 6.4.1).
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// Returns the bytes of payload sent, as a sender report counts them (RFC 3550, 6.4.1).
    pub fn octets(&self) -> u32 {
        self.octets
    }
}

/// Statistics of everything received from one far end, over all its streams.
#[derive(Clone, Debug, Default)]
pub struct ReceptionStats {
    stream: Option<SourceStats>,
    /// The sum of the streams before this one, which had other SSRCs.
    earlier: Quality,
}

/// Reception quality of a leg, for its call detail record.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Quality {
    /// Packets received, late and duplicate ones included.
    pub received: u64,
    /// Packets lost: expected minus received, never below zero.
    pub lost: u64,
    /// The highest interarrival jitter, in units of the payload's clock.
    pub jitter_max: u32,
}

/// The numbers that a report gives for a stream (RFC 3550, 6.4.1), without the echo of the sender
/// report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReportBlock {
    /// SSRC of the stream that the report is about.
    pub ssrc: u32,
    /// Share of packets lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the stream began, in 24 bits. Duplicates can make it negative.
    pub lost: i32,
    /// The highest sequence number received; the upper 16 bits count its wraps.
    pub highest: u32,
    /// Interarrival jitter, in units of the payload's clock.
    pub jitter: u32,
}

/// The state of one received stream (RFC 3550, A.1).
#[derive(Clone, Debug)]
struct SourceStats {
    ssrc: u32,
    /// Sequence number of the first packet, extended by wraps like `highest`.
    first: u32,
    highest: u32,
    received: u32,
    /// The counts at the last report.
    expected_before: u32,
    received_before: u32,
    transit: u32,
    /// In sixteenths (RFC 3550, A.8).
    jitter: u32,
    jitter_max: u32,
}

impl ReceptionStats {
    /// Counts a packet. `arrival` is its time of arrival, in units of the payload's clock since a
    /// moment that is fixed for the leg.
    pub fn count(&mut self, packet: &Packet<'_>, arrival: u32) {
        let transit = arrival.wrapping_sub(packet.timestamp);
        match &mut self.stream {
            Some(stream) if stream.ssrc == packet.ssrc => {
                if !stream.count(packet.sequence, transit) {
                    self.begin(packet, transit);
                }
            }
            Some(_) | None => self.begin(packet, transit),
        }
    }

    /// Returns the reception quality since the leg began.
    pub fn quality(&self) -> Quality {
        self.stream.as_ref().map_or(self.earlier, |stream| self.earlier.plus(stream))
    }

    /// Returns the numbers for the next RTCP report and starts the interval of the one after it.
    /// None if nothing has come yet.
    pub fn report(&mut self) -> Option<ReportBlock> {
        self.stream.as_mut().map(SourceStats::report)
    }

    fn begin(&mut self, packet: &Packet<'_>, transit: u32) {
        self.earlier = self.quality();
        self.stream = Some(SourceStats::new(packet, transit));
    }
}

impl Quality {
    fn plus(self, stream: &SourceStats) -> Self {
        Self {
            received: self.received + u64::from(stream.received),
            lost: self.lost + u64::from(stream.expected().saturating_sub(stream.received)),
            jitter_max: self.jitter_max.max(stream.jitter_max),
        }
    }
}

/// A larger step ahead is a restarted count, not loss (A.1: MAX_DROPOUT).
const DROPOUT_MAX: i16 = 3_000;

/// A larger step back is a restarted count, not a late packet (A.1: MAX_MISORDER, 100: two seconds
/// of frames).
const MISORDER_MAX: i16 = 100;

impl SourceStats {
    fn new(packet: &Packet<'_>, transit: u32) -> Self {
        // Starts one wrap up, so that packets from before the first one have numbers too.
        let first = 0x1_0000 + u32::from(packet.sequence);
        Self {
            ssrc: packet.ssrc,
            first,
            highest: first,
            received: 1,
            expected_before: 0,
            received_before: 0,
            transit,
            jitter: 0,
            jitter_max: 0,
        }
    }

    /// Returns false if the sender has restarted its count.
    fn count(&mut self, sequence: u16, transit: u32) -> bool {
        let ahead = sequence_after(sequence, self.highest as u16);
        if !(-MISORDER_MAX..=DROPOUT_MAX).contains(&ahead) {
            return false;
        }
        let number = self.highest.wrapping_add_signed(i32::from(ahead));
        self.highest = self.highest.max(number);
        self.first = self.first.min(number);
        self.received = self.received.saturating_add(1);

        let moved = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
        self.transit = transit;
        // A jump of the clock is not jitter: a jump of 30 s would take minutes to decay.
        if moved < TRANSIT_LEAP {
            self.jitter = self.jitter + moved - ((self.jitter + 8) >> 4);
            self.jitter_max = self.jitter_max.max(self.jitter >> 4);
        }
        true
    }

    fn expected(&self) -> u32 {
        self.highest - self.first + 1
    }

    fn report(&mut self) -> ReportBlock {
        let expected = self.expected() - self.expected_before;
        let received = self.received - self.received_before;
        self.expected_before = self.expected();
        self.received_before = self.received;
        let lost = u64::from(expected.saturating_sub(received));
        let total = i64::from(self.expected()) - i64::from(self.received);
        ReportBlock {
            ssrc: self.ssrc,
            // A.3; a total loss would be 256, which does not fit into a byte.
            fraction_lost: (lost * 256).checked_div(expected.into()).unwrap_or(0).min(255) as u8,
            lost: total.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest: self.highest.wrapping_sub(0x1_0000),
            jitter: self.jitter >> 4,
        }
    }
}

/// A larger change of transit time means a changed clock: 10 s at 8 kHz.
const TRANSIT_LEAP: u32 = 80_000;

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [u8; 14] = [0x80, 0x80, 0, 7, 0, 0, 1, 0, 0, 0, 0, 9, 0xaa, 0xbb];

    #[track_caller]
    fn check(datagram: &[u8], expected: Result<&[u8], RtpError>) {
        let packet = Packet::parse(datagram);
        assert_eq!(packet.map(|it| it.payload), expected);
        if let Ok(it) = packet {
            let numbers = (it.marker, it.payload_type, it.sequence, it.timestamp, it.ssrc);
            assert_eq!(numbers, (true, 0, 7, 256, 9));
        }
    }

    /// The plain packet with other flags, and `rest` after its header.
    fn packet(flags: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = [&PLAIN[..HEADER], rest].concat();
        bytes[0] = flags;
        bytes
    }

    #[test]
    fn a_packet_is_its_header_and_what_remains() {
        check(&PLAIN, Ok(&[0xaa, 0xbb]));
        check(&PLAIN[..HEADER], Ok(&[]));
        check(&packet(0x81, &[1, 1, 1, 1, 5]), Ok(&[5]));
        check(&packet(0x90, &[0xbe, 0xde, 0, 1, 9, 9, 9, 9, 5]), Ok(&[5]));
        check(&packet(0x90, &[0xbe, 0xde, 0, 0, 5]), Ok(&[5]));
        check(&packet(0xa0, &[5, 6, 0, 2]), Ok(&[5, 6]));
        check(&packet(0xa0, &[0, 2]), Ok(&[]));
        let all = [[1; 8], [0, 0, 0, 1, 9, 9, 9, 9], [5, 6, 0, 0, 0, 0, 0, 6]].concat();
        check(&packet(0xb2, &all), Ok(&[5, 6]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        check(&[], Err(RtpError::Short));
        check(&PLAIN[..11], Err(RtpError::Short));
        check(&packet(0x40, &[5]), Err(RtpError::Version));
        check(&packet(0xc0, &[5]), Err(RtpError::Version));
        check(&packet(0x81, &[1, 1, 1]), Err(RtpError::Short));
        check(&packet(0x8f, &[0; 59]), Err(RtpError::Short));
        check(&packet(0x90, &[0xbe, 0xde, 0]), Err(RtpError::Short));
        check(&packet(0x90, &[0xbe, 0xde, 0, 1, 9, 9, 9]), Err(RtpError::Short));
        check(&packet(0x90, &[0xbe, 0xde, 0xff, 0xff, 9, 9, 9, 9]), Err(RtpError::Short));
        check(&packet(0xa0, &[]), Err(RtpError::Padding));
        check(&packet(0xa0, &[5, 0]), Err(RtpError::Padding));
        check(&packet(0xa0, &[5, 3]), Err(RtpError::Padding));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut out = [0; 14];
        let packet = Packet::parse(&PLAIN).unwrap();
        assert_eq!(packet.write(&mut out), Some(14));
        assert_eq!(out, PLAIN);
        assert_eq!(packet.write(&mut out[..13]), None);
    }

    #[test]
    fn rtcp_is_recognized_by_its_second_byte() {
        for (second, expected) in [(0, false), (0x88, false), (191, false), (200, true)] {
            assert_eq!(is_rtcp(&[0x80, second]), expected, "{second}");
        }
        assert!(!is_rtcp(&[0x80]));
    }

    #[test]
    fn a_stream_goes_on_through_silence_and_events_and_wraps() {
        let mut stream = RtpStream::new(3, u16::MAX, u32::MAX - 159);
        let mut out = [0; 64];
        let mut send = |stream: &mut RtpStream, event: bool| {
            let len = match event {
                true => stream.write_aged(77, false, 101, &[1; 4], &mut out),
                false => stream.write(0, &[5; 20], 160, &mut out),
            };
            let it = Packet::parse(&out[..len.unwrap()]).unwrap();
            (it.sequence, it.timestamp, it.marker)
        };
        assert_eq!(send(&mut stream, false), (u16::MAX, u32::MAX - 159, true));
        assert_eq!(send(&mut stream, false), (0, 0, false));
        assert_eq!(send(&mut stream, true), (1, 160 - 77, false));
        stream.skip(160);
        assert_eq!(send(&mut stream, false), (2, 320, true));
        assert_eq!(stream.write(0, &[0; 160], 160, &mut [0; 171]), None, "too small a buffer");
        assert_eq!((stream.packets(), stream.octets(), stream.timestamp()), (4, 64, 480));
    }

    /// Counts packets of (ssrc, sequence, timestamp in frames, arrival in units).
    fn reception(packets: &[(u32, u16, u32, u32)]) -> ReceptionStats {
        let mut reception = ReceptionStats::default();
        for &(ssrc, sequence, frame, arrival) in packets {
            let packet = Packet {
                marker: false,
                payload_type: 0,
                sequence,
                timestamp: frame * 160,
                ssrc,
                payload: &[],
            };
            reception.count(&packet, arrival);
        }
        reception
    }

    #[test]
    fn loss_is_what_was_expected_and_did_not_come() {
        let mut it = reception(&[(1, 65_534, 0, 0), (1, 65_535, 1, 160), (1, 2, 4, 640)]);
        let report = it.report().unwrap();
        assert_eq!((report.fraction_lost, report.lost, report.highest), (102, 2, 65_538));
        assert_eq!(it.quality(), Quality { received: 3, lost: 2, jitter_max: 0 });
        let again = it.report().unwrap();
        assert_eq!((again.fraction_lost, again.lost), (0, 2), "counted once");
        for sequence in [3, 5, 6] {
            it.count(&Packet { ssrc: 1, sequence, ..Packet::parse(&PLAIN).unwrap() }, 0);
        }
        assert_eq!(it.report().unwrap().fraction_lost, 64, "one of four");
    }

    #[test]
    fn late_and_doubled_packets_make_up_for_loss() {
        let mut early = reception(&[(1, 1, 1, 0), (1, 0, 0, 10)]);
        assert_eq!(early.report().unwrap().lost, 0);
        let mut doubled = reception(&[(1, 0, 0, 0), (1, 0, 0, 0), (1, 0, 0, 0)]);
        assert_eq!(doubled.report().unwrap().lost, -2);
        assert_eq!(doubled.quality().lost, 0);
    }

    /// A.8 by hand: |D| is 32, so J grows by 32/16, rounded.
    #[test]
    fn jitter_is_the_recommended_mean() {
        let mut it = reception(&[(1, 0, 0, 0), (1, 1, 1, 160 + 32), (1, 2, 2, 320 + 32)]);
        assert_eq!(it.report().unwrap().jitter, 1);
        assert_eq!(it.quality().jitter_max, 2);
        let leap = reception(&[(1, 0, 0, 0), (1, 1, 100_000, 160)]);
        assert_eq!(leap.quality().jitter_max, 0, "a leap of the clock is no jitter");
    }

    #[test]
    fn a_new_source_restarts_the_counts_and_the_old_ones_stay_in_the_total() {
        let mut it = reception(&[(1, 0, 0, 0), (1, 3, 3, 480), (2, 900, 0, 640)]);
        assert_eq!(it.quality(), Quality { received: 3, lost: 2, jitter_max: 0 });
        assert_eq!(it.report().unwrap().lost, 0);
        let leap = reception(&[(1, 0, 0, 0), (1, 30_000, 1, 160)]);
        assert_eq!(leap.quality(), Quality { received: 2, lost: 0, jitter_max: 0 });
        assert_eq!(ReceptionStats::default().report(), None);
    }
}
