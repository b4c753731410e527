//! Source latching: the address that a leg's packets go to, and which packets it accepts.
//!
//! SDP names an address, but a phone behind NAT cannot know its own (RFC 4961 asks phones to send from
//! the port that they name; many do not). So the address is learnt from the packets:
//!
//! - Until the first accepted packet, it is that of the first packet from the host that SDP names or
//!   that the signalling comes from, whatever its port.
//! - After that it is locked. It moves with a new description, or with a packet that continues the
//!   stream from the same host: same SSRC, the next sequence numbers, a timestamp that fits. That is
//!   a NAT that has changed its mapping.
//!
//! Time alone opens nothing: behind a shared address, a neighbour would get the call of a phone that
//! is silent (Asterisk AST-2017-005). Packets from anywhere else are dropped: somebody who guesses a
//! port can neither speak in a call nor redirect its sound.
//!
//! The leg asks [`RtpSource::receive`] for each well-formed packet of a negotiated payload type,
//! before anything else reads it, and sends to [`RtpSource::destination`]. It does so for every
//! stream, however it began: answer, early media, re-INVITE, UPDATE.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    g711::RATE,
    packet::{Packet, sequence_after, timestamp_after},
};
use crate::base::boot_clock::BootClock;

/// The far end of one leg's media.
#[derive(Clone, Debug)]
pub struct RtpSource {
    /// Where the description says that packets go.
    named: SocketAddr,
    /// The hosts from which the first packet may come.
    hosts: [IpAddr; 2],
    destination: SocketAddr,
    /// The last accepted packet. None since a description: the address may be learnt.
    last: Option<LastPacket>,
    /// When the last packet of RTP or RTCP came.
    alive_at: Instant,
}

/// An [`RtpSource`] as plain data. Times are in nanoseconds of the [`BootClock`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RtpSourceRow {
    named: SocketAddr,
    hosts: [IpAddr; 2],
    destination: SocketAddr,
    /// Time, SSRC, sequence number and timestamp of the last packet.
    last: Option<(u64, u32, u16, u32)>,
}

/// The verdict on a packet: whether the far end sent it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PacketOrigin {
    /// The far end sent it, from the address already in use.
    Known,
    /// The far end sent it from a new address. Packets go there from now on.
    Moved,
    /// Somebody else sent it: drop it.
    Stranger,
}

/// What must continue if the far end comes from another port.
#[derive(Clone, Copy, Debug)]
struct LastPacket {
    at: Instant,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

/// A continued stream has lost fewer packets than this: a minute of them.
const CONTINUES_WITHIN: i16 = 3_000;

/// By how much a timestamp may differ from the time that has passed: clocks drift, packets are late.
/// A phone may also stop its clock while it sends nothing.
const CLOCK_SLACK: Duration = Duration::from_secs(1);

impl RtpSource {
    /// Starts with the address to send to. `hosts` are those that SDP names and that the signalling
    /// comes from: the first packet may come from either.
    pub fn new(now: Instant, named: SocketAddr, hosts: [IpAddr; 2]) -> Self {
        let named = canonical(named);
        let hosts = hosts.map(|it| it.to_canonical());
        Self { named, hosts, destination: named, last: None, alive_at: now }
    }

    /// Learns again after a new SDP exchange. If it names the same address as before, the learnt one
    /// stays until a packet comes. Not for a hold without an address (`0.0.0.0`).
    pub fn renew(&mut self, now: Instant, named: SocketAddr, hosts: [IpAddr; 2]) {
        let found = self.destination;
        let is_same = self.named == canonical(named);
        *self = Self::new(now, named, hosts);
        if is_same {
            self.destination = found;
        }
    }

    /// The row of this source.
    pub fn row(&self, clock: BootClock) -> RtpSourceRow {
        let Self { named, hosts, destination, last, alive_at: _ } = self;
        let last = last.map(|LastPacket { at, ssrc, sequence, timestamp }| {
            (clock.nanos(at), ssrc, sequence, timestamp)
        });
        RtpSourceRow { named: *named, hosts: *hosts, destination: *destination, last }
    }

    /// The source of a row: its address is as settled as it was. It counts as silent from now on.
    pub fn restored(now: Instant, row: RtpSourceRow, clock: BootClock) -> Self {
        let RtpSourceRow { named, hosts, destination, last } = row;
        let last = last.map(|(at, ssrc, sequence, timestamp)| LastPacket {
            at: clock.instant(at),
            ssrc,
            sequence,
            timestamp,
        });
        Self { named, hosts, destination, last, alive_at: now }
    }

    /// Judges a packet of sound or of telephone events, and learns from it.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, packet: &Packet<'_>) -> PacketOrigin {
        let from = canonical(from);
        let is_known = from == self.destination;
        let is_accepted = match self.last {
            None => self.hosts.contains(&from.ip()),
            Some(_) if is_known => true,
            Some(last) => from.ip() == self.destination.ip() && last.is_continued_by(now, packet),
        };
        if !is_accepted {
            return PacketOrigin::Stranger;
        }

        let Packet { ssrc, sequence, timestamp, .. } = *packet;
        self.last = Some(LastPacket { at: now, ssrc, sequence, timestamp });
        self.alive_at = now;
        self.destination = from;
        if is_known { PacketOrigin::Known } else { PacketOrigin::Moved }
    }

    /// Judges an RTCP packet. Only its IP address counts: RTCP has a port of its own, and is not
    /// learnt from.
    pub fn receive_rtcp(&mut self, now: Instant, from: SocketAddr) -> PacketOrigin {
        let ip = from.ip().to_canonical();
        let may_begin = self.last.is_none() && self.hosts.contains(&ip);
        if ip != self.destination.ip() && !may_begin {
            return PacketOrigin::Stranger;
        }
        self.alive_at = now;
        PacketOrigin::Known
    }

    /// Returns the address to send to. An IPv4 address is plain, whatever the socket's family.
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// Whether a packet has come, so that only its stream moves the address.
    pub fn is_settled(&self) -> bool {
        self.last.is_some()
    }

    /// Returns how long neither RTP nor RTCP has come. Silence is legitimate while a leg is held.
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.alive_at)
    }
}

impl LastPacket {
    fn is_continued_by(&self, now: Instant, packet: &Packet<'_>) -> bool {
        let sequence = sequence_after(packet.sequence, self.sequence);
        let units = |time: Duration| time.as_millis() as i64 * i64::from(RATE) / 1_000;
        let (passed, slack) = (now.saturating_duration_since(self.at), units(CLOCK_SLACK));
        let timestamp = i64::from(timestamp_after(packet.timestamp, self.timestamp));
        packet.ssrc == self.ssrc
            && (1..=CONTINUES_WITHIN).contains(&sequence)
            && (-slack..=units(passed) + slack).contains(&timestamp)
    }
}

/// Unwraps IPv4-mapped IPv6 addresses, which a dual-stack socket reports. True IPv6 addresses keep
/// their scope.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::PacketOrigin::{Known, Moved, Stranger};
    use super::*;

    const NAMED: &str = "10.0.0.7:4000";
    const NAT: &str = "192.0.2.1";

    /// A far end, and the numbers of its stream.
    struct Bench {
        source: RtpSource,
        start: Instant,
    }

    /// The time in ms at which a packet comes, and what it says of itself.
    #[derive(Clone, Copy)]
    struct Sent(u64, u32, u16, u32);

    /// The packet that a phone sends after so many ms: 50 packets a second, from 100 on.
    fn sent(ms: u64) -> Sent {
        Sent(ms, 9, 100 + (ms / 20) as u16, 50_000 + 8 * ms as u32)
    }

    impl Bench {
        #[expect(clippy::disallowed_methods, reason = "an origin, from which the tests count")]
        fn new(signalling: &str) -> Self {
            let start = Instant::now();
            Self { source: RtpSource::new(start, NAMED.parse().unwrap(), hosts(signalling)), start }
        }

        #[track_caller]
        fn check(
            &mut self,
            from: &str,
            Sent(ms, ssrc, sequence, timestamp): Sent,
            expected: PacketOrigin,
        ) {
            let now = self.start + Duration::from_millis(ms);
            let (marker, payload_type, payload) = (false, 0, &[][..]);
            let packet = Packet { marker, payload_type, sequence, timestamp, ssrc, payload };
            let verdict = self.source.receive(now, from.parse().unwrap(), &packet);
            assert_eq!(verdict, expected, "{from} at {ms}");
        }

        fn destination(&self) -> String {
            self.source.destination().to_string()
        }

        fn renew(&mut self, named: &str) -> String {
            self.source.renew(self.start, named.parse().unwrap(), hosts(NAT));
            self.destination()
        }
    }

    fn hosts(signalling: &str) -> [IpAddr; 2] {
        [NAMED.parse::<SocketAddr>().unwrap().ip(), signalling.parse().unwrap()]
    }

    /// The port differs from that of SDP: STUN, an ALG, or an asymmetric sender (baresip#3720,
    /// sipwise/rtpengine#1566).
    #[test]
    fn the_first_packet_from_the_host_of_sdp_or_signalling_sets_the_port_at_once() {
        for (signalling, from) in [
            ("10.0.0.7", "10.0.0.7:4002"),
            (NAT, "192.0.2.1:5000"),
            (NAT, "10.0.0.7:4002"),
            (NAT, NAMED),
        ] {
            let mut it = Bench::new(signalling);
            assert_eq!(it.destination(), NAMED, "packets go there from the first tick");
            it.check("198.51.100.9:4000", sent(0), Stranger);
            it.check(from, sent(0), if from == NAMED { Known } else { Moved });
            it.check(from, sent(20), Known);
            it.check("198.51.100.9:4000", sent(40), Stranger);
            assert_eq!(it.destination(), from);
        }
    }

    /// Asterisk AST-2017-005: media takeover.
    #[test]
    fn after_the_first_packet_only_its_own_stream_moves_the_address_however_long_it_is_silent() {
        let mut it = Bench::new(NAT);
        it.check("192.0.2.1:5000", sent(0), Moved);
        let Sent(_, ssrc, sequence, timestamp) = sent(0);
        let (later, next, at) = (60_000, sequence + 1, timestamp + 480_000);
        for stranger in [
            Sent(later, ssrc + 1, next, at),
            Sent(later, ssrc, sequence, at),
            Sent(later, ssrc, sequence + 3_001, at),
            Sent(later, ssrc, sequence.wrapping_sub(1), at),
            Sent(later, ssrc, next, at + 8_001),
            Sent(later, ssrc, next, timestamp - 8_001),
        ] {
            it.check("192.0.2.1:5002", stranger, Stranger);
            it.check(NAMED, stranger, Stranger);
        }
        it.check("198.51.100.9:5000", Sent(later, ssrc, next, at), Stranger);
        assert_eq!(it.destination(), "192.0.2.1:5000");

        it.check("192.0.2.1:5002", Sent(later, ssrc, sequence + 3_000, at), Moved);
        assert_eq!(it.destination(), "192.0.2.1:5002");
        it.check("192.0.2.1:5000", Sent(later, ssrc + 1, next, at), Stranger);
        // A new stream from the locked address: a PBX has transferred the caller.
        it.check("192.0.2.1:5002", Sent(later, 77, 1, 1), Known);
    }

    #[test]
    fn a_phone_whose_clock_stops_while_it_is_mute_may_move() {
        let mut it = Bench::new("10.0.0.7");
        it.check(NAMED, sent(0), Known);
        let Sent(_, ssrc, sequence, timestamp) = sent(20);
        it.check("10.0.0.7:4002", Sent(2_300, ssrc, sequence, timestamp), Moved);
        // Numbers wrap.
        let mut it = Bench::new("10.0.0.7");
        it.check(NAMED, Sent(0, 9, u16::MAX, u32::MAX - 10), Known);
        it.check("10.0.0.7:4002", Sent(20, 9, 0, 149), Moved);
    }

    #[test]
    fn a_new_exchange_learns_again_but_keeps_what_was_found() {
        let mut it = Bench::new(NAT);
        it.check("192.0.2.1:5000", sent(0), Moved);
        assert_eq!(it.renew(NAMED), "192.0.2.1:5000");
        it.check("192.0.2.1:6000", Sent(0, 1, 1, 1), Moved);
        assert_eq!(it.renew("10.0.0.8:7000"), "10.0.0.8:7000");
        it.check("192.0.2.9:6000", sent(20), Stranger);
        it.check("192.0.2.1:6000", sent(20), Moved);
    }

    #[test]
    fn addresses_are_the_same_in_either_family() {
        let mut it = Bench::new("::ffff:10.0.0.7");
        it.check("[::ffff:10.0.0.7]:4000", sent(0), Known);
        it.check(NAMED, sent(20), Known);
        assert_eq!(it.destination(), NAMED);
    }

    #[test]
    fn both_protocols_keep_a_leg_alive_and_strangers_do_not() {
        let mut it = Bench::new(NAT);
        let start = it.start;
        let at = |ms| start + Duration::from_millis(ms);
        let rtcp =
            |it: &mut Bench, ms, from: &str| it.source.receive_rtcp(at(ms), from.parse().unwrap());
        assert_eq!(it.source.silence(at(30)), Duration::from_millis(30));
        assert_eq!(rtcp(&mut it, 50, "198.51.100.9:4001"), Stranger);
        assert_eq!(it.source.silence(at(50)), Duration::from_millis(50));
        assert_eq!(rtcp(&mut it, 50, "192.0.2.1:4001"), Known, "behind NAT, before any sound");
        assert_eq!(it.source.silence(at(60)), Duration::from_millis(10));
        it.check(NAMED, sent(70), Known);
        it.check("198.51.100.9:1", sent(80), Stranger);
        assert_eq!(it.source.silence(at(90)), Duration::from_millis(20));
        assert_eq!(rtcp(&mut it, 100, "192.0.2.1:4001"), Stranger);
        assert_eq!(rtcp(&mut it, 100, "10.0.0.7:4001"), Known);
    }
}
