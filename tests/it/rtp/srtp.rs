//! SRTP of a leg: roll-over, replay, new keys and old ones, as RFC 3711 has them.

use std::time::{Duration, Instant};

use conflow::rtp::{
    sdp::crypto::{SrtpKey, SrtpKeys, SrtpSuite},
    srtp::{OVERHEAD_MAX, SrtpError, SrtpSession},
};

const SUITES: [SrtpSuite; 4] = [
    SrtpSuite::AesCm128HmacSha1Tag80,
    SrtpSuite::AesCm128HmacSha1Tag32,
    SrtpSuite::AeadAes128Gcm,
    SrtpSuite::AeadAes256Gcm,
];
const CM: SrtpSuite = SUITES[0];

fn key(suite: SrtpSuite, byte: u8) -> SrtpKey {
    SrtpKey::new(suite, &vec![byte; suite.key_bytes() + suite.salt_bytes()]).unwrap()
}

/// A phone and we, with the time of both.
struct Pair {
    phone: SrtpSession,
    us: SrtpSession,
    start: Instant,
    ms: u64,
}

impl Pair {
    #[expect(clippy::disallowed_methods, reason = "an origin, from which the tests count")]
    fn new() -> Self {
        let (phone, us) = Default::default();
        Self { phone, us, start: Instant::now(), ms: 0 }
    }

    fn with(suite: SrtpSuite) -> Self {
        let mut it = Self::new();
        it.agree(key(suite, 1), key(suite, 2));
        it
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms)
    }

    fn agree(&mut self, ours: SrtpKey, theirs: SrtpKey) {
        let now = self.now();
        self.us.agree(now, Some(&SrtpKeys { ours: ours.clone(), theirs: theirs.clone() }));
        self.phone.agree(now, Some(&SrtpKeys { ours: theirs, theirs: ours }));
    }

    /// What the phone sends with this sequence number.
    fn sent(&mut self, sequence: u16) -> Vec<u8> {
        let packet = rtp(9, sequence);
        sealed(&packet, |buffer, len| self.phone.protect(buffer, len))
    }

    fn open(&mut self, datagram: &[u8]) -> Result<Vec<u8>, SrtpError> {
        let (now, mut datagram) = (self.now(), datagram.to_vec());
        let len = self.us.open(now, datagram[1] == 200, &mut datagram)?;
        datagram.truncate(len);
        Ok(datagram)
    }

    #[track_caller]
    fn check(&mut self, sequence: u16) {
        let sent = self.sent(sequence);
        assert_eq!(self.open(&sent), Ok(rtp(9, sequence)), "{sequence}");
    }
}

/// A packet with an extension of its header and 20 ms of sound.
fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x90, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 160]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xBE, 0xDE, 0, 1, 0x10, 0xFF, 0, 0]);
    packet.extend([0x55; 160]);
    packet
}

fn rtcp() -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6, 0, 0, 0, 9];
    packet.extend([7; 20]);
    packet
}

fn sealed(packet: &[u8], protect: impl FnOnce(&mut [u8], usize) -> Option<usize>) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + OVERHEAD_MAX, 0);
    let len = protect(&mut buffer, packet.len()).unwrap();
    buffer.truncate(len);
    buffer
}

#[test]
fn sound_and_reports_pass_encrypted_in_each_suite() {
    for (suite, tags) in SUITES.into_iter().zip([(10, 14), (4, 14), (16, 20), (16, 20)]) {
        let mut pair = Pair::with(suite);
        for (packet, header, tag) in [(rtp(9, 7), 20, tags.0), (rtcp(), 8, tags.1)] {
            let sent = sealed(&packet, |buffer, len| match packet[1] {
                200 => pair.phone.protect_rtcp(buffer, len),
                _ => pair.phone.protect(buffer, len),
            });
            assert_eq!(sent.len(), packet.len() + tag, "{suite:?}");
            assert_eq!(sent[..header], packet[..header], "{suite:?}");
            let same = sent[header..].iter().zip(&packet[header..]).filter(|it| it.0 == it.1);
            assert!(same.count() < 16, "{suite:?} leaves the sound readable");
            for at in 0..sent.len() {
                let mut forged = sent.clone();
                forged[at] ^= 1;
                // The index of RTCP is in the clear, and that of RTP partly.
                assert!(pair.open(&forged).is_err(), "{suite:?}, byte {at}");
            }
            for len in 0..sent.len() {
                // What is cut before byte 1 is of no protocol.
                if 2 <= len {
                    assert!(pair.open(&sent[..len]).is_err(), "{suite:?}, {len} bytes");
                }
            }
            assert_eq!(pair.open(&sent), Ok(packet), "{suite:?}");
            assert_eq!(pair.open(&sent), Err(SrtpError::Replayed), "{suite:?}");
        }
    }
}

/// The vectors of libsrtp's self-test, which have the keys of RFC 3711, B.3.
#[test]
fn packets_are_those_of_other_stacks() {
    let hex = |text: &str| -> Vec<u8> {
        let digits: Vec<_> = text.chars().filter_map(|it| it.to_digit(16)).collect();
        digits.chunks(2).map(|it| (it[0] * 16 + it[1]) as u8).collect()
    };
    let master = hex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
    let master = SrtpKey::new(CM, &master).unwrap();
    let mut pair = Pair::new();
    pair.agree(master.clone(), master);
    let packet = hex("800f1234 decafbad cafebabe abababab abababab abababab abababab");
    let sent = sealed(&packet, |buffer, len| pair.us.protect(buffer, len));
    let expected = "800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402\
                    b78d6acc 99ea179b 8dbb";
    assert_eq!(sent, hex(expected));

    let report = hex("81c8000b cafebabe abababab abababab abababab abababab");
    let theirs = "81c8000b cafebabe 7128035b e487b9bd bef89041 f977a5a8 80000001\
                  993e08cd 54d6c123 0798";
    assert_eq!(pair.open(&hex(theirs)), Ok(report));
}

#[test]
fn numbers_roll_over_three_times_with_losses() {
    for suite in [CM, SUITES[2]] {
        let mut pair = Pair::with(suite);
        for n in (65_000..4 * 65_536_u32).step_by(977) {
            pair.check(n as u16);
        }
    }
}

#[test]
fn packets_may_overtake_each_other_across_a_roll_over_but_none_comes_twice() {
    let mut pair = Pair::with(CM);
    let sent: Vec<_> = (65_500..65_700_u32).map(|it| pair.sent(it as u16)).collect();
    // The receiver must have heard the stream before its numbers roll over.
    pair.open(&sent[0]).unwrap();
    pair.open(&sent[100]).unwrap();
    pair.open(&sent[20]).unwrap();
    assert_eq!(pair.open(&sent[20]), Err(SrtpError::Replayed));
    pair.open(&sent[147]).unwrap();
    // 127 before the highest is in the window, and what is older cannot be told from a replay.
    pair.open(&sent[21]).unwrap();
    assert_eq!(pair.open(&sent[19]), Err(SrtpError::Replayed));
    pair.open(&sent[199]).unwrap();
    assert_eq!(pair.open(&sent[71]), Err(SrtpError::Replayed));
    pair.open(&sent[72]).unwrap();
}

/// Section 17 of the contract: otherwise the keystream of the first packets would be used again.
#[test]
fn the_same_key_again_keeps_the_counters_even_after_plain_sound() {
    let mut pair = Pair::with(CM);
    let mut before: Vec<_> = [65_534, 65_535, 0, 1].map(|it| pair.sent(it)).into();
    before.drain(..).for_each(|it| _ = pair.open(&it).unwrap());
    pair.agree(key(CM, 1), key(CM, 2));
    pair.check(2);
    let again = pair.sent(3);

    let now = pair.now();
    pair.phone.agree(now, None);
    pair.us.agree(now, None);
    assert!(!pair.us.is_on());
    pair.agree(key(CM, 1), key(CM, 2));
    assert!(pair.us.is_on());
    pair.open(&again).unwrap();
    pair.check(4);

    let mut fresh = Pair::with(CM);
    assert_ne!(fresh.sent(5), pair.sent(5), "another roll-over counter");
}

#[test]
fn another_suite_in_between_does_not_reset_the_counters_of_a_key() {
    let mut pair = Pair::with(CM);
    for sequence in [65_535, 0] {
        pair.check(sequence);
    }
    pair.agree(key(SUITES[2], 1), key(SUITES[2], 2));
    pair.check(1);
    pair.agree(key(CM, 1), key(CM, 2));
    pair.check(2);
    let mut fresh = Pair::with(CM);
    assert_ne!(fresh.sent(3), pair.sent(3));
}

#[test]
fn a_new_key_starts_at_zero_and_the_old_one_is_taken_for_a_second() {
    for suite in [CM, SUITES[2]] {
        let mut pair = Pair::with(suite);
        for sequence in [65_535, 0, 1] {
            pair.check(sequence);
        }
        let late = [2, 3, 4].map(|it| pair.sent(it));
        pair.agree(key(suite, 1), key(suite, 3));
        pair.check(5);
        pair.ms = 999;
        pair.open(&late[0]).unwrap();
        assert_eq!(pair.open(&late[0]), Err(SrtpError::Replayed));
        pair.check(6);
        pair.ms = 1_000;
        assert_eq!(pair.open(&late[1]), Err(SrtpError::Unauthentic));
        pair.check(7);
        let mut fresh = Pair::new();
        fresh.agree(key(suite, 1), key(suite, 3));
        assert_eq!(fresh.sent(8), pair.sent(8), "its roll-over counter is 0");
    }
}

#[test]
fn each_source_has_its_own_counter_and_only_authentic_ones_are_kept() {
    let mut pair = Pair::with(CM);
    for sequence in [65_535, 0] {
        pair.check(sequence);
    }
    let mut other = Pair::with(CM);
    let sent = sealed(&rtp(77, 1), |buffer, len| other.phone.protect(buffer, len));
    assert_eq!(pair.open(&sent), Ok(rtp(77, 1)));
    let mut stranger = Pair::new();
    stranger.agree(key(CM, 8), key(CM, 9));
    for ssrc in 100..200 {
        let sent = sealed(&rtp(ssrc, 1), |buffer, len| stranger.phone.protect(buffer, len));
        assert_eq!(pair.open(&sent), Err(SrtpError::Unauthentic));
    }
    assert_eq!(pair.open(&sent), Err(SrtpError::Replayed));
    pair.check(1);
}

#[test]
fn plain_packets_are_not_authentic() {
    let mut pair = Pair::with(CM);
    assert_eq!(pair.open(&rtp(9, 1)), Err(SrtpError::Unauthentic));
    assert_eq!(pair.open(&rtcp()), Err(SrtpError::Unauthentic));
    assert_eq!(Pair::new().open(&rtp(9, 1)), Err(SrtpError::Unauthentic), "no key yet");
}
