//! Where one leg's packets go, and whose packets are taken for its own.
//!
//! SDP says where to send. A phone behind NAT cannot know its own address, so it is learnt from
//! the first packets that come from where the signalling came from. All others are strangers: a
//! guessed port does not get anybody into a call, nor move its sound elsewhere.
//!
//! A tick thread asks [`Source::receive`] for each well-formed packet of a negotiated payload
//! type, before anything else looks at it, and sends to [`Source::destination`].

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// The far end of one leg's media.
#[derive(Clone, Debug)]
pub struct Source {
    /// As SDP has it.
    named: SocketAddr,
    signalling: IpAddr,
    destination: SocketAddr,
    /// Packets from the signalling's address that may still move the destination.
    learning: u8,
    /// When the last packet of sound came.
    heard_at: Instant,
    /// When anything came.
    alive_at: Instant,
    /// Of the last packet of sound.
    payload_type: Option<u8>,
}

/// Whether a packet is the far end's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is.
    Ours,
    /// It is, and from now on the far end is where this came from.
    Moved,
    /// It is not: drop it.
    Stranger,
}

/// After so many valid packets the far end is settled.
const LEARN_PACKETS: u8 = 5;

/// After so long without a packet the far end may have moved to another port.
const SILENCE: Duration = Duration::from_secs(2);

impl Source {
    /// The far end that SDP names; the signalling came from this address.
    pub fn new(now: Instant, named: SocketAddr, signalling: IpAddr) -> Self {
        let (named, signalling) = (canonical(named), signalling.to_canonical());
        Self {
            named,
            signalling,
            destination: named,
            learning: packets_to_learn(named, signalling),
            heard_at: now,
            alive_at: now,
            payload_type: None,
        }
    }

    /// SDP has been exchanged again: learns anew. Until a packet comes, an address that SDP has
    /// not changed stays where it was found. Not for a hold without an address (`0.0.0.0`).
    pub fn renew(&mut self, now: Instant, named: SocketAddr, signalling: IpAddr) {
        let found = self.destination;
        let is_same = self.named == canonical(named);
        *self = Self::new(now, named, signalling);
        if is_same {
            self.destination = found;
        }
    }

    /// Judges a packet of sound or of telephone events.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, payload_type: u8) -> Verdict {
        let from = canonical(from);
        let has_moved = from != self.destination;
        if has_moved && !self.may_move(now, from, payload_type) {
            return Verdict::Stranger;
        }

        self.learning = match from == self.named {
            true => 0,
            false => self.learning.saturating_sub(1),
        };
        (self.heard_at, self.alive_at) = (now, now);
        self.payload_type = Some(payload_type);
        self.destination = from;
        if has_moved { Verdict::Moved } else { Verdict::Ours }
    }

    /// Judges an RTCP packet: its port is its own affair.
    pub fn receive_rtcp(&mut self, now: Instant, from: SocketAddr) -> Verdict {
        if from.ip().to_canonical() != self.destination.ip() {
            return Verdict::Stranger;
        }
        self.alive_at = now;
        Verdict::Ours
    }

    /// Where to send. An IPv4 address is plain, whatever the socket's family.
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// For how long neither RTP nor RTCP has come. A leg that is held has a right to it.
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.alive_at)
    }

    fn may_move(&self, now: Instant, from: SocketAddr, payload_type: u8) -> bool {
        if 0 < self.learning {
            return from == self.named || from.ip() == self.signalling;
        }
        let is_silent = SILENCE <= now.saturating_duration_since(self.heard_at);
        let is_alike = self.payload_type.is_none_or(|it| it == payload_type);
        is_silent && is_alike && from.ip() == self.destination.ip()
    }
}

/// None, if the signalling came from where SDP says.
fn packets_to_learn(named: SocketAddr, signalling: IpAddr) -> u8 {
    if named.ip() == signalling { 0 } else { LEARN_PACKETS }
}

/// A socket for both families shows IPv4 addresses in the clothes of IPv6. An address of IPv6
/// proper keeps its scope.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Moved, Ours, Stranger};
    use super::*;

    const NAMED: &str = "10.0.0.7:4000";
    const NAT: &str = "192.0.2.1";

    /// Packets of (ms, from, payload type) and what becomes of them; answers the destination.
    #[track_caller]
    fn check(source: &mut Source, start: Instant, packets: &[(u64, &str, u8, Verdict)]) -> String {
        for &(ms, from, payload_type, expected) in packets {
            let now = start + Duration::from_millis(ms);
            let verdict = source.receive(now, from.parse().unwrap(), payload_type);
            assert_eq!(verdict, expected, "{from} at {ms}");
        }
        source.destination().to_string()
    }

    #[expect(clippy::disallowed_methods, reason = "an origin, from which the tests count")]
    fn source(signalling: &str) -> (Source, Instant) {
        let start = Instant::now();
        (Source::new(start, NAMED.parse().unwrap(), signalling.parse().unwrap()), start)
    }

    #[test]
    fn where_sdp_and_signalling_agree_nothing_is_learnt() {
        let (mut it, start) = source("10.0.0.7");
        assert_eq!(it.destination().to_string(), NAMED);
        let packets = [
            (0, "10.0.0.7:4002", 0, Stranger),
            (0, "192.0.2.1:4000", 0, Stranger),
            (20, NAMED, 0, Ours),
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
            (20, "192.0.2.1:5000", 0, Ours),
            (40, "192.0.2.1:5002", 0, Moved),
            (60, "192.0.2.1:5002", 0, Ours),
            (80, "198.51.100.9:5002", 0, Stranger),
            (80, "192.0.2.1:5002", 0, Ours),
            (100, "192.0.2.1:5004", 0, Stranger),
            (120, "192.0.2.1:5002", 0, Ours),
        ];
        assert_eq!(check(&mut it, start, &packets), "192.0.2.1:5002");
    }

    #[test]
    fn behind_a_proxy_the_address_of_sdp_is_taken_at_once() {
        let (mut it, start) = source(NAT);
        let packets = [(0, NAMED, 0, Ours), (20, "192.0.2.1:5000", 0, Stranger)];
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
            (0, NAMED, 8, Ours),
            (1_999, "10.0.0.7:4002", 8, Stranger),
            (2_000, "10.0.0.7:4002", 0, Stranger),
            (2_000, "192.0.2.1:4002", 8, Stranger),
            (2_000, "10.0.0.7:4002", 8, Moved),
            (2_020, NAMED, 8, Stranger),
            (2_020, "10.0.0.7:4002", 0, Ours),
        ];
        assert_eq!(check(&mut it, start, &packets), "10.0.0.7:4002");
        let (mut it, start) = source("10.0.0.7");
        check(&mut it, start, &[(2_000, "10.0.0.7:4002", 8, Moved)]);
    }

    #[test]
    fn a_new_exchange_learns_anew_but_keeps_what_was_found() {
        let (mut it, start) = source(NAT);
        check(&mut it, start, &[(0, "192.0.2.1:5000", 0, Moved)]);
        (0..9).for_each(|_| _ = check(&mut it, start, &[(0, "192.0.2.1:5000", 0, Ours)]));
        let renew = |it: &mut Source, named: &str| {
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
        let packets = [(0, "[::ffff:10.0.0.7]:4000", 0, Ours), (0, NAMED, 0, Ours)];
        assert_eq!(check(&mut it, start, &packets), NAMED);
    }

    #[test]
    fn both_protocols_keep_a_leg_alive_and_strangers_do_not() {
        let (mut it, start) = source("10.0.0.7");
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(it.silence(at(30)), Duration::from_millis(30));
        let rtcp = |it: &mut Source, ms, from: &str| it.receive_rtcp(at(ms), from.parse().unwrap());
        assert_eq!(rtcp(&mut it, 50, "192.0.2.1:4001"), Stranger);
        assert_eq!(it.silence(at(50)), Duration::from_millis(50));
        assert_eq!(rtcp(&mut it, 50, "10.0.0.7:4001"), Ours);
        assert_eq!(it.silence(at(60)), Duration::from_millis(10));
        check(&mut it, start, &[(70, NAMED, 0, Ours), (80, "192.0.2.1:1", 0, Stranger)]);
        assert_eq!(it.silence(at(90)), Duration::from_millis(20));
    }
}
