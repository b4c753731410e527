//! RTCP: what a leg's two ends tell each other of what they hear (RFC 3550, 6).
//!
//! Every five seconds or so, and once more with a BYE at the end, a tick thread sends what
//! [`Control::compose`] writes; what comes from the far end goes to [`Control::receive`]. Time is
//! an NTP timestamp: seconds since 1900 in the upper 32 bits, fractions in the lower.

use super::packet;

/// No report of ours is longer, in bytes.
pub const REPORT_MAX: usize = 352;

/// One leg's reports, in both directions.
#[derive(Clone, Debug)]
pub struct Control {
    cname: Box<str>,
    /// Of the far end's last sender report: its NTP time, and ours when it came; middle 32 bits.
    last_report: Option<(u32, u32)>,
    /// Packets sent by the last report of ours.
    sent_before: u32,
    heard_by_far_end: Option<Hearing>,
}

/// How the far end hears us, as it said last.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Hearing {
    /// Since its report before, in 256ths.
    pub fraction_lost: u8,
    /// Since the beginning.
    pub lost: i32,
    /// In timestamp units.
    pub jitter: u32,
    /// There and back, in 65,536ths of a second. None if it has not had a report of ours.
    pub round_trip: Option<u32>,
}

/// What a datagram said.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Received {
    /// A stream of the far end has ended. The call has not: SIP says so.
    pub bye: bool,
    /// It told how it hears us.
    pub hearing: Option<Hearing>,
}

/// Why a datagram is no RTCP.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// It ends within a packet, or within what a packet announces.
    #[error("the report is shorter than it says")]
    Short,
    /// A packet in it is not of version 2.
    #[error("the report is not of RTP version 2")]
    Version,
    /// It begins with something else than a report (RFC 3550, A.2).
    #[error("the datagram does not begin with a report")]
    NoReport,
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const BYE: u8 = 203;

/// Of one report on one stream.
const BLOCK: usize = 24;

impl Control {
    /// A leg of this canonical name: any text that stays the same for the leg and belongs to no
    /// other (RFC 7022). What exceeds 255 bytes is cut off.
    pub fn new(cname: &str) -> Self {
        let cname = cname[..cname.floor_char_boundary(255)].into();
        Self { cname, last_report: None, sent_before: 0, heard_by_far_end: None }
    }

    /// Writes a report: on what we send, if we have since the last one, and on what we hear; with
    /// `bye`, that it is over. Answers the bytes used; None if `out` is too short
    /// ([`REPORT_MAX`] is not).
    pub fn compose(
        &mut self,
        ntp: u64,
        stream: &packet::Stream,
        reception: &mut packet::Reception,
        bye: bool,
        out: &mut [u8],
    ) -> Option<usize> {
        let mut writer = Writer { out, len: 0 };
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

        // An item, its end, and zeros up to the next word.
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

    /// Takes a datagram from the far end; `ours` is the SSRC that we send with.
    ///
    /// # Errors
    ///
    /// Its lengths do not fit, and nothing of it counts.
    pub fn receive(&mut self, ntp: u64, ours: u32, datagram: &[u8]) -> Result<Received, Fault> {
        let mut parts = Parts { rest: datagram, is_first: true };
        let (mut received, mut last_report) = (Received::default(), self.last_report);
        while let Some(part) = parts.next()? {
            match part.kind {
                SENDER_REPORT => {
                    let [_, high, low, ..] = part.words::<6>()?;
                    last_report = Some((high << 16 | low >> 16, (ntp >> 16) as u32));
                    received.hearing = part.hearing(24, ntp, ours)?.or(received.hearing);
                }
                RECEIVER_REPORT => {
                    part.words::<1>()?;
                    received.hearing = part.hearing(4, ntp, ours)?.or(received.hearing);
                }
                BYE => received.bye |= part.count != 0,
                _ => (),
            }
        }
        self.last_report = last_report;
        self.heard_by_far_end = received.hearing.or(self.heard_by_far_end);
        Ok(received)
    }

    /// How the far end hears us. None if it has not said.
    pub fn hearing(&self) -> Option<Hearing> {
        self.heard_by_far_end
    }

    fn write_block(
        &self,
        writer: &mut Writer<'_>,
        ntp: u64,
        block: packet::Reported,
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

struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    /// `words` is the length without the header itself.
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

/// The packets of a datagram, one by one.
struct Parts<'a> {
    rest: &'a [u8],
    is_first: bool,
}

struct Part<'a> {
    kind: u8,
    count: u8,
    body: &'a [u8],
}

impl<'a> Parts<'a> {
    fn next(&mut self) -> Result<Option<Part<'a>>, Fault> {
        if self.rest.is_empty() && !self.is_first {
            return Ok(None);
        }
        let ([flags, kind, l0, l1], _) = self.rest.split_first_chunk().ok_or(Fault::Short)?;
        if flags >> 6 != 2 {
            return Err(Fault::Version);
        }
        if self.is_first && !matches!(*kind, SENDER_REPORT | RECEIVER_REPORT) {
            return Err(Fault::NoReport);
        }
        self.is_first = false;
        let len = 4 + 4 * usize::from(u16::from_be_bytes([*l0, *l1]));
        let (part, rest) = self.rest.split_at_checked(len).ok_or(Fault::Short)?;
        self.rest = rest;
        // Padding, if any, is behind all that is looked at.
        Ok(Some(Part { kind: *kind, count: flags & 0x1f, body: &part[4..] }))
    }
}

impl Part<'_> {
    fn words<const N: usize>(&self) -> Result<[u32; N], Fault> {
        words_of(self.body).ok_or(Fault::Short)
    }

    /// The report on our stream, among those that begin at this offset.
    fn hearing(&self, offset: usize, ntp: u64, ours: u32) -> Result<Option<Hearing>, Fault> {
        let end = offset + BLOCK * usize::from(self.count);
        let blocks = self.body.get(offset..end).ok_or(Fault::Short)?;
        let on_us = blocks.chunks_exact(BLOCK).filter_map(words_of::<6>).find(|it| it[0] == ours);
        Ok(on_us.map(|[_, lost, _, jitter, theirs, delay]| {
            let now = (ntp >> 16) as u32;
            let round_trip = now.wrapping_sub(theirs).wrapping_sub(delay);
            // A clock that is set in between can make it negative.
            let is_sound = theirs != 0 && round_trip < ROUND_TRIP_MAX;
            Hearing {
                fraction_lost: (lost >> 24) as u8,
                // Its sign is its 24th bit.
                lost: (lost << 8) as i32 >> 8,
                jitter,
                round_trip: is_sound.then_some(round_trip),
            }
        }))
    }
}

/// Half a minute, in 65,536ths of a second: no call is that far away.
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

    /// Two minutes past some second, in NTP.
    const NOW: u64 = (3_900_000_120 << 32) | 0x8000_0000;
    const SECOND: u64 = 1 << 32;

    fn sent(ssrc: u32, packets: usize) -> packet::Stream {
        let mut stream = packet::Stream::new(ssrc, 0, 1_000);
        (0..packets).for_each(|_| _ = stream.write(0, &[0; 160], 160, &mut [0; 172]));
        stream
    }

    fn heard(ssrc: u32) -> packet::Reception {
        let mut reception = packet::Reception::default();
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
        let (mut control, mut out) = (Control::new("abc"), [0xee; REPORT_MAX]);
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
            let (mut control, mut out) = (Control::new(&"ü".repeat(len)), [0; REPORT_MAX]);
            let reception = &mut packet::Reception::default();
            let end = control.compose(NOW, &sent(7, 0), reception, true, &mut out).unwrap();
            let received = Control::new("").receive(NOW, 1, &out[..end]).unwrap();
            assert_eq!(received, Received { bye: true, hearing: None }, "{len}");
        }
    }

    #[test]
    fn two_ends_learn_how_they_hear_each_other() {
        let (mut a, mut b, mut out) = (Control::new("a"), Control::new("b"), [0; REPORT_MAX]);
        let len = a.compose(NOW, &sent(1, 5), &mut heard(2), false, &mut out).unwrap();
        // 50 ms there, half a second of rest, 50 ms back.
        let there = NOW + SECOND / 20;
        let received = b.receive(there, 2, &out[..len]).unwrap();
        let expected = Hearing { fraction_lost: 64, lost: 1, jitter: 0, round_trip: None };
        assert_eq!(received, Received { bye: false, hearing: Some(expected) });
        let len = b.compose(there + SECOND / 2, &sent(2, 0), &mut heard(1), false, &mut out);
        let back = there + SECOND / 2 + SECOND / 20;
        a.receive(back, 1, &out[..len.unwrap()]).unwrap();
        let round_trip = a.hearing().unwrap().round_trip.unwrap();
        assert!(round_trip.abs_diff(65_536 / 10) <= 2, "{round_trip}");
        assert_eq!(b.hearing(), Some(expected));
        assert_eq!(a.receive(back, 77, &out[..len.unwrap()]).unwrap().hearing, None);
    }

    #[test]
    fn loss_can_be_negative() {
        let mut datagram = [0; 32];
        datagram[..4].copy_from_slice(&[0x81, 201, 0, 7]);
        datagram[8..16].copy_from_slice(&[0, 0, 0, 5, 0, 0xff, 0xff, 0xfe]);
        let hearing = Control::new("").receive(NOW, 5, &datagram).unwrap().hearing.unwrap();
        assert_eq!((hearing.lost, hearing.round_trip), (-2, None));
        let early = Control::new("").receive(5 * SECOND, 5, &datagram).unwrap().hearing;
        assert_eq!(early.unwrap().round_trip, None, "it has not had a report of ours");
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        #[track_caller]
        fn check(datagram: &[u8], expected: Fault) {
            let mut control = Control::new("");
            assert_eq!(control.receive(NOW, 0, datagram), Err(expected));
            assert_eq!((control.hearing(), control.last_report), (None, None));
        }
        let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
        assert!(Control::new("").receive(NOW, 0, &report).is_ok());
        check(&[], Fault::Short);
        check(&report[..7], Fault::Short);
        check(&[&report[..], &[0x80, 203]].concat(), Fault::Short);
        check(&[0x80, 201, 0, 0], Fault::Short);
        check(&[0x81, 201, 0, 1, 0, 0, 0, 1], Fault::Short);
        check(&[0x80, 200, 0, 1, 0, 0, 0, 1], Fault::Short);
        check(&[0x80, 201, 0xff, 0xff, 0, 0, 0, 1], Fault::Short);
        check(&[0x40, 201, 0, 1, 0, 0, 0, 1], Fault::Version);
        check(&[&report[..], &[0; 4]].concat(), Fault::Version);
        check(&[0x80, 203, 0, 1, 0, 0, 0, 1], Fault::NoReport);
        let sender = [[0x80, 200, 0, 6].as_slice(), &[3; 24], &[0x80, 203, 0, 9]].concat();
        check(&sender, Fault::Short);
    }
}
