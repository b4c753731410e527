//! Source latching: the address that a leg's packets go to, and which packets it accepts.
//!
//! SDP names an address, but a phone behind NAT cannot know its own. So the address is learnt from
//! the first packets that come from the host of the signalling. Packets from anywhere else are
//! dropped: somebody who guesses a port can neither speak in a call nor redirect its sound.
//!
//! The demultiplexer asks [`RtpSource::receive`] for each well-formed packet of a negotiated
//! payload type, before anything else reads it. The mixer thread sends to
//! [`RtpSource::destination`].

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// The far end of one leg's media.
#[derive(Clone, Debug)]
pub struct RtpSource {
    sdp_address: SocketAddr,
    signalling: IpAddr,
    destination: SocketAddr,
    /// Packets from the signalling's address that may still move the destination.
    learning: u8,
    heard_at: Instant,
    /// When the last packet of RTP or RTCP came.
    alive_at: Instant,
    /// The payload type of the last packet of sound.
    payload_type: Option<u8>,
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

/// After this many accepted packets the address is locked.
const LEARN_PACKETS: u8 = 5;

/// After this much silence the far end may continue from another port.
const SILENCE: Duration = Duration::from_secs(2);

impl RtpSource {
    /// Starts with the address that SDP names. `signalling` is the address that SIP came from.
    pub fn new(now: Instant, named: SocketAddr, signalling: IpAddr) -> Self {
        let (named, signalling) = (canonical(named), signalling.to_canonical());
        Self {
            sdp_address: named,
            signalling,
            destination: named,
            learning: packets_to_learn(named, signalling),
            heard_at: now,
            alive_at: now,
            payload_type: None,
        }
    }

    /// Learns again after a new SDP exchange. If SDP names the same address as before, the learnt
    /// one stays until a packet comes. Not for a hold without an address (`0.0.0.0`).
    pub fn renew(&mut self, now: Instant, named: SocketAddr, signalling: IpAddr) {
        let found = self.destination;
        let is_same = self.sdp_address == canonical(named);
        *self = Self::new(now, named, signalling);
        if is_same {
            self.destination = found;
        }
    }

    /// Judges a packet of sound or of telephone events, and learns from it.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, payload_type: u8) -> PacketOrigin {
        let from = canonical(from);
        let has_moved = from != self.destination;
        if has_moved && !self.may_move(now, from, payload_type) {
            return PacketOrigin::Stranger;
        }

        self.learning = match from == self.sdp_address {
            true => 0,
            false => self.learning.saturating_sub(1),
        };
        (self.heard_at, self.alive_at) = (now, now);
        self.payload_type = Some(payload_type);
        self.destination = from;
        if has_moved { PacketOrigin::Moved } else { PacketOrigin::Known }
    }

    /// Judges an RTCP packet. Only its IP address counts: RTCP has a port of its own.
    pub fn receive_rtcp(&mut self, now: Instant, from: SocketAddr) -> PacketOrigin {
        if from.ip().to_canonical() != self.destination.ip() {
            return PacketOrigin::Stranger;
        }
        self.alive_at = now;
        PacketOrigin::Known
    }

    /// Returns the address to send to. An IPv4 address is plain, whatever the socket's family.
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// Returns how long neither RTP nor RTCP has come. Silence is legitimate while a leg is held.
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.alive_at)
    }

    fn may_move(&self, now: Instant, from: SocketAddr, payload_type: u8) -> bool {
        if 0 < self.learning {
            return from == self.sdp_address || from.ip() == self.signalling;
        }
        let is_silent = SILENCE <= now.saturating_duration_since(self.heard_at);
        let is_alike = self.payload_type.is_none_or(|it| it == payload_type);
        is_silent && is_alike && from.ip() == self.destination.ip()
    }
}

/// 0 if the signalling came from the address in SDP.
fn packets_to_learn(named: SocketAddr, signalling: IpAddr) -> u8 {
    if named.ip() == signalling { 0 } else { LEARN_PACKETS }
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

    /// Checks the verdict on each packet of (ms, from, payload type); returns the destination.
    #[track_caller]
    fn check(
        source: &mut RtpSource,
        start: Instant,
        packets: &[(u64, &str, u8, PacketOrigin)],
    ) -> String {
        for &(ms, from, payload_type, expected) in packets {
            let now = start + Duration::from_millis(ms);
            let verdict = source.receive(now, from.parse().unwrap(), payload_type);
            assert_eq!(verdict, expected, "{from} at {ms}");
        }
        source.destination().to_string()
    }

    #[expect(clippy::disallowed_methods, reason = "an origin, from which the tests count")]
    fn source(signalling: &str) -> (RtpSource, Instant) {
        let start = Instant::now();
        (RtpSource::new(start, NAMED.parse().unwrap(), signalling.parse().unwrap()), start)
    }

    #[test]
    fn where_sdp_and_signalling_agree_nothing_is_learnt() {
        let (mut it, start) = source("10.0.0.7");
        assert_eq!(it.destination().to_string(), NAMED);
        let packets = [
            (0, "10.0.0.7:4002", 0, Stranger),
            (0, "192.0.2.1:4000", 0, Stranger),
            (20, NAMED, 0, Known),
            (40, "10.0.0.7:4002", 0, Stranger),
        ];
        assert_eq!(check(&mut it, start, &packets), NAMED);
    }

    #[test]
    fn behind_nat_the_port_is_learnt_within_five_packets_and_then_locked() {
        let (mut it, start) = source(NAT);
        assert_eq!(it.destination().to_string(), NAMED, "sent there from the first tick");
        let packets = [
            (0, "198.51.100.9:5000", 0, Stranger),
            (0, "192.0.2.1:5000", 0, Moved),
            (20, "192.0.2.1:5000", 0, Known),
            (40, "192.0.2.1:5002", 0, Moved),
            (60, "192.0.2.1:5002", 0, Known),
            (80, "198.51.100.9:5002", 0, Stranger),
            (80, "192.0.2.1:5002", 0, Known),
            (100, "192.0.2.1:5004", 0, Stranger),
            (120, "192.0.2.1:5002", 0, Known),
        ];
        assert_eq!(check(&mut it, start, &packets), "192.0.2.1:5002");
    }

    #[test]
    fn behind_a_proxy_the_address_of_sdp_is_taken_at_once() {
        let (mut it, start) = source(NAT);
        let packets = [(0, NAMED, 0, Known), (20, "192.0.2.1:5000", 0, Stranger)];
        assert_eq!(check(&mut it, start, &packets), NAMED);
        let (mut it, start) = source(NAT);
        let packets = [
            (0, "192.0.2.1:5000", 0, Moved),
            (20, NAMED, 0, Moved),
            (40, "192.0.2.1:5000", 0, Stranger),
        ];
        assert_eq!(check(&mut it, start, &packets), NAMED);
    }

    #[test]
    fn after_two_seconds_of_silence_the_same_host_may_come_from_another_port() {
        let (mut it, start) = source("10.0.0.7");
        let packets = [
            (0, NAMED, 8, Known),
            (1_999, "10.0.0.7:4002", 8, Stranger),
            (2_000, "10.0.0.7:4002", 0, Stranger),
            (2_000, "192.0.2.1:4002", 8, Stranger),
            (2_000, "10.0.0.7:4002", 8, Moved),
            (2_020, NAMED, 8, Stranger),
            (2_020, "10.0.0.7:4002", 0, Known),
        ];
        assert_eq!(check(&mut it, start, &packets), "10.0.0.7:4002");
        let (mut it, start) = source("10.0.0.7");
        check(&mut it, start, &[(2_000, "10.0.0.7:4002", 8, Moved)]);
    }

    #[test]
    fn a_new_exchange_learns_anew_but_keeps_what_was_found() {
        let (mut it, start) = source(NAT);
        check(&mut it, start, &[(0, "192.0.2.1:5000", 0, Moved)]);
        (0..9).for_each(|_| _ = check(&mut it, start, &[(0, "192.0.2.1:5000", 0, Known)]));
        let renew = |it: &mut RtpSource, named: &str| {
            it.renew(start, named.parse().unwrap(), NAT.parse().unwrap());
            it.destination().to_string()
        };
        assert_eq!(renew(&mut it, NAMED), "192.0.2.1:5000");
        assert_eq!(check(&mut it, start, &[(0, "192.0.2.1:6000", 0, Moved)]), "192.0.2.1:6000");
        assert_eq!(renew(&mut it, "10.0.0.8:7000"), "10.0.0.8:7000");
        check(&mut it, start, &[(0, NAMED, 0, Stranger), (0, "192.0.2.1:6000", 0, Moved)]);
    }

    #[test]
    fn addresses_are_the_same_in_either_family() {
        let (mut it, start) = source("::ffff:10.0.0.7");
        let packets = [(0, "[::ffff:10.0.0.7]:4000", 0, Known), (0, NAMED, 0, Known)];
        assert_eq!(check(&mut it, start, &packets), NAMED);
    }

    #[test]
    fn both_protocols_keep_a_leg_alive_and_strangers_do_not() {
        let (mut it, start) = source("10.0.0.7");
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(it.silence(at(30)), Duration::from_millis(30));
        let rtcp =
            |it: &mut RtpSource, ms, from: &str| it.receive_rtcp(at(ms), from.parse().unwrap());
        assert_eq!(rtcp(&mut it, 50, "192.0.2.1:4001"), Stranger);
        assert_eq!(it.silence(at(50)), Duration::from_millis(50));
        assert_eq!(rtcp(&mut it, 50, "10.0.0.7:4001"), Known);
        assert_eq!(it.silence(at(60)), Duration::from_millis(10));
        check(&mut it, start, &[(70, NAMED, 0, Known), (80, "192.0.2.1:1", 0, Stranger)]);
        assert_eq!(it.silence(at(90)), Duration::from_millis(20));
    }
}
