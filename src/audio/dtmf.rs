//! Telephone events: key presses as RTP packets of their own (RFC 4733).
//!
//! Each packet with the negotiated payload type goes to [`DtmfReceiver::receive`]. What a leg's
//! playout asks for is sent with [`crate::rtp::packet::RtpStream::write_aged`].

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::rtp::packet;

/// Length of an event's payload, in bytes.
pub const PAYLOAD: usize = 4;

/// The payload of one packet (RFC 4733, 2.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DtmfEvent {
    /// Event code: 0 to 15 are the keys; higher codes are other events.
    pub code: u8,
    /// The key has been released, and the duration is final.
    pub end: bool,
    /// Power level: 0 to 63, in dB below 0 dBm0.
    pub volume: u8,
    /// Time since the event began, in timestamp units.
    pub duration: u16,
}

/// The keys in the order of their event codes.
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// Returns the key of an event code. None above 15.
pub fn key_of(code: u8) -> Option<char> {
    KEYS.get(usize::from(code)).map(|key| char::from(*key))
}

/// Returns the event code of a key. Letters may be lower case.
pub fn code_of(key: char) -> Option<u8> {
    let same = |it: &u8| char::from(*it) == key.to_ascii_uppercase();
    KEYS.iter().position(same).map(|code| code as u8)
}

impl DtmfEvent {
    /// Reads a payload and ignores bytes after the first event. None if it is too short.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [code, second, d0, d1] = *payload.first_chunk()?;
        let duration = u16::from_be_bytes([d0, d1]);
        Some(Self { code, end: second & 0x80 != 0, volume: second & 0x3f, duration })
    }

    /// Encodes the payload (RFC 4733, 2.3).
    pub fn bytes(self) -> [u8; PAYLOAD] {
        let [d0, d1] = self.duration.to_be_bytes();
        [self.code, u8::from(self.end) << 7 | self.volume & 0x3f, d0, d1]
    }
}

/// Reduces the many packets of an event to one key press.
///
/// A timestamp identifies an event. The first packet of it that arrives counts, even if it is the
/// end. Repetitions do not count, nor do packets of an older event that were overtaken.
#[derive(Clone, Debug, Default)]
pub struct DtmfReceiver {
    last: Option<LastEvent>,
}

#[derive(Clone, Copy, Debug)]
struct LastEvent {
    ssrc: u32,
    timestamp: u32,
    code: u8,
    duration: u16,
    ended: bool,
}

/// An event older than this is no straggler: the sender's clock was set back. 5 s.
const STRAGGLER_UNITS_MAX: i32 = 40_000;

impl DtmfReceiver {
    /// Takes a packet of the telephone-event payload type. Returns the key if the press is new.
    pub fn receive(&mut self, packet: &packet::Packet<'_>) -> Option<char> {
        let event = DtmfEvent::parse(packet.payload)?;
        let key = key_of(event.code)?;
        let now = LastEvent {
            ssrc: packet.ssrc,
            timestamp: packet.timestamp,
            code: event.code,
            duration: event.duration,
            ended: event.end,
        };
        match &mut self.last {
            Some(last) if last.is_straggler(&now) => None,
            Some(last) if last.is_continued_by(&now, packet.marker) => {
                *last = LastEvent { ended: last.ended || now.ended, ..now };
                None
            }
            Some(_) | None => {
                self.last = Some(now);
                Some(key)
            }
        }
    }
}

impl LastEvent {
    fn is_straggler(&self, now: &Self) -> bool {
        let after = packet::timestamp_after(now.timestamp, self.timestamp);
        self.ssrc == now.ssrc && (-STRAGGLER_UNITS_MAX..0).contains(&after)
    }

    /// The key is still down: `now` is another packet of the event, the next segment of a long one
    /// (2.5.1.3), or an update from a sender that advances the timestamp each time.
    fn is_continued_by(&self, now: &Self, marker: bool) -> bool {
        let after = packet::timestamp_after(now.timestamp, self.timestamp);
        let overlaps = !self.ended && !marker && after <= i32::from(self.duration);
        self.ssrc == now.ssrc
            && self.code == now.code
            && (after == 0 || 0 < after && (overlaps || self.is_segment(after)))
    }

    /// A segment ends when its duration field is full.
    fn is_segment(&self, after: i32) -> bool {
        !self.ended && after == i32::from(u16::MAX)
    }
}

/// Counts a key once if the far end sends it both as events and by INFO, as some phones do.
///
/// A press by one way cancels a press of the same key by the other within a second, pair by pair,
/// whichever comes first. Presses by one way never cancel each other.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// Presses of the last second that counted, and whose double has not come.
    open: VecDeque<OpenPress>,
}

/// The way by which a key press comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyWay {
    /// Telephone events in RTP.
    Events,
    /// SIP INFO: the signalling brings them.
    Info,
}

#[derive(Clone, Copy, Debug)]
struct OpenPress {
    at: Instant,
    key: char,
    way: KeyWay,
}

/// The double of a press comes in this time.
const DOUBLE_WITHIN: Duration = Duration::from_secs(1);

/// Presses kept, so that a flood of them costs no memory. Nobody presses more keys in a second.
const OPEN_PRESSES_MAX: usize = 32;

impl KeyFilter {
    /// Whether a press counts: it is not the double of one that came by another way.
    pub fn admits(&mut self, now: Instant, key: char, way: KeyWay) -> bool {
        self.open.retain(|it| now.saturating_duration_since(it.at) < DOUBLE_WITHIN);
        let double = self.open.iter().position(|it| it.key == key && it.way != way);
        if let Some(at) = double {
            self.open.remove(at);
            return false;
        }
        if self.open.len() == OPEN_PRESSES_MAX {
            self.open.pop_front();
        }
        self.open.push_back(OpenPress { at: now, key, way });
        true
    }
}

/// A key press that we send: one packet each tick, the last one three times (2.5.1.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyPress {
    code: u8,
    /// Ticks since the press began.
    tick: u32,
    ticks: u32,
    /// Timestamp units per tick.
    units: u16,
}

/// A packet of a key press, to be sent in this tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EventUpdate {
    /// The payload to encode.
    pub event: DtmfEvent,
    /// Set on the first packet only.
    pub marker: bool,
    /// Timestamp units from the start of the event to this tick.
    pub age: u32,
}

/// Number of times that the last packet is sent.
const ENDS: u32 = 3;

/// The usual level of key tones: −10 dBm0.
const VOLUME: u8 = 10;

impl KeyPress {
    /// Starts a press that lasts `ticks` (clamped to 1 to 409 at 160 units). None if there is no
    /// such key.
    pub fn new(key: char, ticks: u32, units: u16) -> Option<Self> {
        // A longer press would need segments.
        let ticks = ticks.clamp(1, u32::from(u16::MAX) / u32::from(units.max(1)));
        Some(Self { code: code_of(key)?, tick: 0, ticks, units })
    }

    /// Returns the packet for this tick. None once the last one has been sent three times.
    pub fn tick(&mut self) -> Option<EventUpdate> {
        let tick = self.tick;
        if self.ticks + ENDS - 1 <= tick {
            return None;
        }

        self.tick += 1;
        let units = u32::from(self.units);
        let duration = (self.tick.min(self.ticks) * units) as u16;
        let end = self.ticks <= self.tick;
        let event = DtmfEvent { code: self.code, end, volume: VOLUME, duration };
        Some(EventUpdate { event, marker: tick == 0, age: tick * units })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Timestamp, marker, code, end, duration.
    type EventPacket = (u32, bool, u8, bool, u16);

    #[track_caller]
    fn check(packets: &[EventPacket], expected: &str) {
        let mut receiver = DtmfReceiver::default();
        let keys = packets.iter().filter_map(|&(timestamp, marker, code, end, duration)| {
            let payload = DtmfEvent { code, end, volume: 10, duration }.bytes();
            let payload = &payload[..];
            let (ssrc, sequence) = (1, 0);
            let packet =
                packet::Packet { marker, payload_type: 101, sequence, timestamp, ssrc, payload };
            receiver.receive(&packet)
        });
        assert_eq!(keys.collect::<String>(), expected);
    }

    /// Time in ms, key, way, and whether it counts.
    type Press = (u64, char, KeyWay, bool);

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an origin, from which the test counts")]
    fn a_key_that_comes_by_two_ways_counts_once() {
        use KeyWay::{Events, Info};
        let start = Instant::now();
        let cases: [&[Press]; 7] = [
            &[
                (0, '1', Events, true),
                (5, '1', Info, false),
                (300, '1', Events, true),
                (310, '1', Info, false),
            ],
            &[
                (0, '1', Info, true),
                (5, '1', Events, false),
                (300, '1', Info, true),
                (310, '1', Events, false),
            ],
            // Pair by pair, in any order.
            &[
                (0, '1', Events, true),
                (50, '1', Events, true),
                (60, '1', Info, false),
                (70, '1', Info, false),
            ],
            &[
                (0, '1', Events, true),
                (5, '1', Info, false),
                (10, '1', Info, true),
                (20, '1', Events, false),
            ],
            // By one way alone, every press counts.
            &[(0, '1', Info, true), (10, '1', Info, true), (20, '1', Info, true)],
            &[
                (0, '1', Events, true),
                (999, '1', Info, false),
                (1_000, '1', Events, true),
                (2_000, '1', Info, true),
            ],
            &[
                (0, '1', Events, true),
                (10, '2', Info, true),
                (20, '1', Info, false),
                (30, '2', Events, false),
            ],
        ];
        for case in cases {
            let mut filter = KeyFilter::default();
            for &(ms, key, way, counts) in case {
                let now = start + Duration::from_millis(ms);
                assert_eq!(filter.admits(now, key, way), counts, "{key} at {ms} of {case:?}");
            }
        }
        let mut filter = KeyFilter::default();
        assert!((0..1_000).all(|_| filter.admits(start, '1', Events)));
        assert_eq!(filter.open.len(), OPEN_PRESSES_MAX);
    }

    #[test]
    fn payloads_are_read_and_written() {
        let event = DtmfEvent { code: 11, end: true, volume: 10, duration: 800 };
        assert_eq!(event.bytes(), [11, 0x8a, 3, 0x20]);
        assert_eq!(
            DtmfEvent::parse(&[11, 0xca, 3, 0x20, 9]),
            Some(event),
            "the reserved bit is none"
        );
        assert_eq!(DtmfEvent::parse(&[11, 0x8a, 3]), None);
    }

    #[test]
    fn keys_have_codes() {
        for (key, code) in [('0', Some(0)), ('9', Some(9)), ('*', Some(10)), ('d', Some(15))] {
            assert_eq!(code_of(key), code);
        }
        assert_eq!((code_of('w'), key_of(11), key_of(16)), (None, Some('#'), None));
    }

    #[test]
    fn an_event_is_reported_once() {
        let whole = [
            (0, true, 5, false, 160),
            (0, false, 5, false, 320),
            (0, false, 5, true, 480),
            (0, false, 5, true, 480),
            (0, false, 5, true, 480),
        ];
        check(&whole, "5");
        check(&whole[4..], "5");
        check(&whole[1..2], "5");
        check(&[&whole[..], &whole[..]].concat(), "5");
    }

    #[test]
    fn the_same_key_twice_is_two_events() {
        let presses = [(0, true, 5, false, 160), (0, false, 5, true, 480)];
        let again = [(1_600, true, 5, false, 160), (1_600, false, 5, true, 480)];
        check(&[presses, again].concat(), "55");
        check(&[presses[0], again[0]], "55");
        check(&[presses[0], again[1]], "55");
        check(&[presses[1], again[1]], "55");
        // The first press has ended, whatever late packets say; the second press lost its marker.
        check(&[presses[1], (400, false, 5, false, 160)], "55");
        check(&[presses[1], (0, false, 5, false, 160), (160, false, 5, false, 160)], "55");
    }

    #[test]
    fn stragglers_are_not_reported_again() {
        let overtaken =
            [(0, true, 5, false, 160), (1_600, true, 6, false, 160), (0, false, 5, true, 480)];
        check(&overtaken, "56");
        check(&[(0, true, 5, false, 160), (u32::MAX - 99_999, true, 6, false, 160)], "56");
        check(&[(u32::MAX, true, 5, true, 160), (900, true, 6, false, 160)], "56");
    }

    #[test]
    fn a_key_held_for_long_is_one_press() {
        let long = [(0, true, 5, false, u16::MAX), (65_535, false, 5, false, 160)];
        check(&long, "5");
        let moving: Vec<EventPacket> = (0..5).map(|n| (n * 160, n == 0, 5, false, 160)).collect();
        check(&moving, "5");
    }

    #[test]
    fn other_events_and_scraps_are_no_keys() {
        check(&[(0, true, 16, true, 160), (0, true, 255, true, 160)], "");
    }

    #[test]
    fn a_press_is_sent_from_marker_to_the_third_end() {
        let mut press = KeyPress::new('#', 3, 160).unwrap();
        let sent: Vec<_> = std::iter::from_fn(|| press.tick())
            .map(|it| (it.marker, it.event.end, it.event.duration, it.age))
            .collect();
        let expected = [
            (true, false, 160, 0),
            (false, false, 320, 160),
            (false, true, 480, 320),
            (false, true, 480, 480),
            (false, true, 480, 640),
        ];
        assert_eq!(sent, expected);
        assert_eq!(press.tick(), None);
        assert_eq!(KeyPress::new('x', 3, 160), None);
    }

    #[test]
    fn a_press_never_outgrows_its_duration() {
        let mut press = KeyPress::new('1', 100_000, 160).unwrap();
        let durations: Vec<u16> =
            std::iter::from_fn(|| press.tick()).map(|it| it.event.duration).collect();
        assert!(durations.is_sorted());
        assert_eq!((durations.len(), durations.last()), (411, Some(&65_440)));
    }

    #[test]
    fn what_is_sent_is_heard() {
        let (mut receiver, mut heard) = (DtmfReceiver::default(), String::new());
        let (mut stream, mut out) = (packet::RtpStream::new(9, 0, 0), [0; 32]);
        for key in "1123#".chars() {
            let mut press = KeyPress::new(key, 5, 160).unwrap();
            for _ in 0..10 {
                if let Some(update) = press.tick() {
                    let (age, payload) = (update.age, update.event.bytes());
                    let len = stream.write_aged(age, update.marker, 101, &payload, &mut out);
                    let len = len.unwrap();
                    heard.extend(receiver.receive(&packet::Packet::parse(&out[..len]).unwrap()));
                }
                stream.skip(160);
            }
        }
        assert_eq!(heard, "1123#");
    }
}
