//! RTP: the header of a packet, the numbers of a stream that is sent, and the counts of one that
//! is received (RFC 3550).
//!
//! For each datagram a tick thread asks [`is_rtcp`], then [`Packet::parse`]; a packet whose source
//! and payload type are good goes to [`Reception::count`] and on to the jitter buffer. Each tick
//! it writes one packet with [`Stream::write`], or [`Stream::skip`]s the time.

/// What every packet begins with, in bytes.
pub const HEADER: usize = 12;

/// A packet that came in. It borrows from its datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// Begins a talkspurt, or a telephone event.
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Rises by one with each packet, and wraps.
    pub sequence: u16,
    /// Of the first sample, in units of the payload's clock; wraps.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
    /// Without header, extension and padding; perhaps empty.
    pub payload: &'a [u8],
}

/// Why a datagram is no RTP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// It ends within what its header announces.
    #[error("the packet is shorter than its header says")]
    Short,
    /// The first two bits are not 2.
    #[error("the packet is not of RTP version 2")]
    Version,
    /// More padding than payload, or padding of no length.
    #[error("the padding does not fit the packet")]
    Padding,
}

/// Whether a datagram on a shared port is RTCP: the second byte decides (RFC 5761, section 4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram.get(1), Some(192..=223))
}

/// How far `a` is after `b`, if timestamps wrap. Negative: before.
pub fn timestamp_after(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

/// How far `a` is after `b`, if sequence numbers wrap. Negative: before.
pub fn sequence_after(a: u16, b: u16) -> i16 {
    a.wrapping_sub(b) as i16
}

impl<'a> Packet<'a> {
    /// Reads one datagram (RFC 3550, 5.1): contributors and extension are passed over.
    ///
    /// # Errors
    ///
    /// What it says about itself does not fit what it is.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Fault> {
        let (header, mut rest) = datagram.split_first_chunk::<HEADER>().ok_or(Fault::Short)?;
        let [flags, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *header;
        if flags >> 6 != 2 {
            return Err(Fault::Version);
        }
        let contributors = usize::from(flags & 0x0f) * 4;
        rest = rest.get(contributors..).ok_or(Fault::Short)?;
        if flags & 0x10 != 0 {
            let ([_, _, l0, l1], after) = rest.split_first_chunk().ok_or(Fault::Short)?;
            let words = usize::from(u16::from_be_bytes([*l0, *l1]));
            rest = after.get(words * 4..).ok_or(Fault::Short)?;
        }
        if flags & 0x20 != 0 {
            let padding = usize::from(*rest.last().ok_or(Fault::Padding)?);
            let len = rest.len().checked_sub(padding).filter(|_| padding != 0);
            rest = &rest[..len.ok_or(Fault::Padding)?];
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

    /// Writes it, without contributors, extension or padding. Answers the bytes used; None if
    /// `out` is too short.
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

/// A stream that we send: its numbers go on, whatever is sent, for as long as the leg lives.
#[derive(Clone, Debug)]
pub struct Stream {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// The next packet begins a talkspurt: nothing came before it.
    begins: bool,
    packets: u32,
    octets: u32,
}

impl Stream {
    /// A stream with numbers of the caller's making: random ones (RFC 3550, 5.1).
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self { ssrc, sequence, timestamp, begins: true, packets: 0, octets: 0 }
    }

    /// Writes a packet of sound that lasts `units`, and goes on by as many. Answers the bytes
    /// used; None, and nothing has changed, if `out` is too short.
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

    /// Writes a packet that began `age` units ago, such as a telephone event; the time does not
    /// go on. As [`Stream::write`] otherwise.
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

    /// Time goes by and nothing is sent; what comes next begins a talkspurt.
    pub fn skip(&mut self, units: u32) {
        self.timestamp = self.timestamp.wrapping_add(units);
        self.begins = true;
    }

    /// As its packets say.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Of the next packet of sound.
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// Packets sent, as a sender report counts them.
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// Bytes of payload sent, likewise.
    pub fn octets(&self) -> u32 {
        self.octets
    }
}

/// What has been received from one far end, over all its streams.
#[derive(Clone, Debug, Default)]
pub struct Reception {
    stream: Option<Counts>,
    /// The streams before this one, by other SSRCs.
    past: Quality,
}

/// How well a leg was heard, for its record.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Quality {
    /// Packets that came, late and doubled ones included.
    pub received: u64,
    /// Packets that never came: expected less received, never below zero.
    pub lost: u64,
    /// The highest interarrival jitter, in units of the payload's clock.
    pub jitter_max: u32,
}

/// What a report says of a stream (RFC 3550, 6.4.1), without the sender report's echo.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reported {
    /// Whose stream.
    pub ssrc: u32,
    /// In 256ths, since the last report.
    pub fraction_lost: u8,
    /// Since the stream began; doubled packets can make it negative. 24 bits.
    pub lost: i32,
    /// The highest sequence number, with its wraps above it.
    pub highest: u32,
    /// In units of the payload's clock.
    pub jitter: u32,
}

/// RFC 3550, A.1: the state of one stream.
#[derive(Clone, Debug)]
struct Counts {
    ssrc: u32,
    /// With wraps, as all of these.
    first: u32,
    highest: u32,
    received: u32,
    /// As of the last report.
    expected_before: u32,
    received_before: u32,
    transit: u32,
    /// In sixteenths, as A.8 has it.
    jitter: u32,
    jitter_max: u32,
}

impl Reception {
    /// Counts a packet. `arrival` is when it came, in units of the payload's clock since any
    /// moment that stays the same for the leg.
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

    /// How well everything so far was heard.
    pub fn quality(&self) -> Quality {
        self.stream.as_ref().map_or(self.past, |stream| self.past.and(stream))
    }

    /// For the next RTCP report; what is lost from now on counts for the one after it. None if
    /// nothing has come yet.
    pub fn report(&mut self) -> Option<Reported> {
        self.stream.as_mut().map(Counts::report)
    }

    fn begin(&mut self, packet: &Packet<'_>, transit: u32) {
        self.past = self.quality();
        self.stream = Some(Counts::new(packet, transit));
    }
}

impl Quality {
    fn and(self, stream: &Counts) -> Self {
        Self {
            received: self.received + u64::from(stream.received),
            lost: self.lost + u64::from(stream.expected().saturating_sub(stream.received)),
            jitter_max: self.jitter_max.max(stream.jitter_max),
        }
    }
}

/// More than this many packets ahead is no loss but another count (A.1: MAX_DROPOUT).
const DROPOUT_MAX: i16 = 3_000;

/// More than this many packets back is not late but another count (A.1: MAX_MISORDER, which has
/// 100: two seconds of frames).
const MISORDER_MAX: i16 = 100;

impl Counts {
    fn new(packet: &Packet<'_>, transit: u32) -> Self {
        // One wrap up, so that packets from before the first one have numbers too.
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

    /// False: the sender has begun to count anew.
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
        // A clock that leaps is no jitter: half a minute of it would take minutes to be forgotten.
        if moved < TRANSIT_LEAP {
            self.jitter = self.jitter + moved - ((self.jitter + 8) >> 4);
            self.jitter_max = self.jitter_max.max(self.jitter >> 4);
        }
        true
    }

    fn expected(&self) -> u32 {
        self.highest - self.first + 1
    }

    fn report(&mut self) -> Reported {
        let expected = self.expected() - self.expected_before;
        let received = self.received - self.received_before;
        self.expected_before = self.expected();
        self.received_before = self.received;
        let lost = u64::from(expected.saturating_sub(received));
        let total = i64::from(self.expected()) - i64::from(self.received);
        Reported {
            ssrc: self.ssrc,
            // A.3; all of them lost would be 256, which a byte cannot say.
            fraction_lost: (lost * 256).checked_div(expected.into()).unwrap_or(0).min(255) as u8,
            lost: total.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest: self.highest.wrapping_sub(0x1_0000),
            jitter: self.jitter >> 4,
        }
    }
}

/// A change of transit time that only a change of clocks explains: 10 s at 8 kHz.
const TRANSIT_LEAP: u32 = 80_000;

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [u8; 14] = [0x80, 0x80, 0, 7, 0, 0, 1, 0, 0, 0, 0, 9, 0xaa, 0xbb];

    #[track_caller]
    fn check(datagram: &[u8], expected: Result<&[u8], Fault>) {
        let packet = Packet::parse(datagram);
        assert_eq!(packet.map(|it| it.payload), expected);
        if let Ok(it) = packet {
            let numbers = (it.marker, it.payload_type, it.sequence, it.timestamp, it.ssrc);
            assert_eq!(numbers, (true, 0, 7, 256, 9));
        }
    }

    /// The plain packet with other flags, and this after its header.
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
        check(&[], Err(Fault::Short));
        check(&PLAIN[..11], Err(Fault::Short));
        check(&packet(0x40, &[5]), Err(Fault::Version));
        check(&packet(0xc0, &[5]), Err(Fault::Version));
        check(&packet(0x81, &[1, 1, 1]), Err(Fault::Short));
        check(&packet(0x8f, &[0; 59]), Err(Fault::Short));
        check(&packet(0x90, &[0xbe, 0xde, 0]), Err(Fault::Short));
        check(&packet(0x90, &[0xbe, 0xde, 0, 1, 9, 9, 9]), Err(Fault::Short));
        check(&packet(0x90, &[0xbe, 0xde, 0xff, 0xff, 9, 9, 9, 9]), Err(Fault::Short));
        check(&packet(0xa0, &[]), Err(Fault::Padding));
        check(&packet(0xa0, &[5, 0]), Err(Fault::Padding));
        check(&packet(0xa0, &[5, 3]), Err(Fault::Padding));
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
    fn rtcp_is_told_by_its_second_byte() {
        for (second, expected) in [(0, false), (0x88, false), (191, false), (200, true)] {
            assert_eq!(is_rtcp(&[0x80, second]), expected, "{second}");
        }
        assert!(!is_rtcp(&[0x80]));
    }

    #[test]
    fn a_stream_goes_on_through_silence_and_events_and_wraps() {
        let mut stream = Stream::new(3, u16::MAX, u32::MAX - 159);
        let mut out = [0; 64];
        let mut send = |stream: &mut Stream, event: bool| {
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
    fn reception(packets: &[(u32, u16, u32, u32)]) -> Reception {
        let mut reception = Reception::default();
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
    fn a_new_count_begins_anew_and_the_old_one_stays_in_the_record() {
        let mut it = reception(&[(1, 0, 0, 0), (1, 3, 3, 480), (2, 900, 0, 640)]);
        assert_eq!(it.quality(), Quality { received: 3, lost: 2, jitter_max: 0 });
        assert_eq!(it.report().unwrap().lost, 0);
        let leap = reception(&[(1, 0, 0, 0), (1, 30_000, 1, 160)]);
        assert_eq!(leap.quality(), Quality { received: 2, lost: 0, jitter_max: 0 });
        assert_eq!(Reception::default().report(), None);
    }
}
