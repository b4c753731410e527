//! Packet ciphers of SRTP: session keys, and one packet's encryption and tag.

use std::borrow::Cow;

use aes::{Aes128, Aes256};
use ctr::{
    Ctr128BE, CtrCore,
    cipher::{InnerIvInit, KeyInit, KeyIvInit, StreamCipher},
};
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha1::Sha1;

use crate::rtp::sdp::crypto::{SrtpKey, SrtpSuite};

/// The cipher of one direction and one protocol, RTP or RTCP.
pub(super) enum PacketCipher {
    /// Counter mode and HMAC-SHA1 (RFC 3711).
    Counter { cipher: Box<Aes128>, salt: [u8; 14], mac: Box<Hmac<Sha1>>, tag_bytes: usize },
    /// Galois/counter mode (RFC 7714).
    Galois { key: Box<LessSafeKey>, salt: [u8; 12] },
}

/// The protocol of a packet. Each has session keys of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    Rtp,
    Rtcp,
}

/// The stream and the number that make each packet's keystream unlike all others.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketNumber {
    pub(super) ssrc: u32,
    /// 48 bits: for RTP the roll-over counter and the sequence number, for RTCP its index.
    pub(super) index: u64,
}

/// What is authenticated, and not sent: the roll-over counter of RTP.
pub(super) type Unsent<'a> = &'a [u8];

const GALOIS_TAG_BYTES: usize = 16;

impl PacketCipher {
    /// Derives the session keys (RFC 3711, 4.3.1), with a key derivation rate of 0.
    pub(super) fn new(master: &SrtpKey, protocol: Protocol) -> Self {
        let labels = match protocol {
            Protocol::Rtp => [0, 1, 2],
            Protocol::Rtcp => [3, 4, 5],
        };
        let mut salt = [0; 14];
        let (mut key, mut auth) = ([0; 32], [0; 20]);
        let key = &mut key[..master.suite().key_bytes()];
        derive(master, labels[0], key);
        derive(master, labels[1], &mut auth);
        derive(master, labels[2], &mut salt[..master.suite().salt_bytes()]);
        let counter = |key: &[u8], tag_bytes| Self::Counter {
            cipher: Box::new(
                Aes128::new_from_slice(key).expect("the suite has a key of this length"),
            ),
            salt,
            mac: Box::new(Hmac::new_from_slice(&auth).expect("HMAC takes any key")),
            tag_bytes,
        };
        let galois = |key: &[u8], algorithm| {
            let key = UnboundKey::new(algorithm, key).expect("the suite has a key of this length");
            let salt = *salt.first_chunk().expect("it is longer");
            Self::Galois { key: Box::new(LessSafeKey::new(key)), salt }
        };
        match (master.suite(), protocol) {
            (SrtpSuite::AesCm128HmacSha1Tag32, Protocol::Rtp) => counter(key, 4),
            (SrtpSuite::AesCm128HmacSha1Tag80 | SrtpSuite::AesCm128HmacSha1Tag32, _) => {
                counter(key, 10)
            }
            (SrtpSuite::AeadAes128Gcm, _) => galois(key, &AES_128_GCM),
            (SrtpSuite::AeadAes256Gcm, _) => galois(key, &AES_256_GCM),
        }
    }

    /// Bytes that a tag adds to a packet.
    pub(super) fn tag_bytes(&self) -> usize {
        match self {
            Self::Counter { tag_bytes, .. } => *tag_bytes,
            Self::Galois { .. } => GALOIS_TAG_BYTES,
        }
    }

    /// Encrypts a packet behind its header, and writes the tag behind it. `trailer` stands in the
    /// clear at the packet's end: between packet and tag, or behind the tag with Galois. Returns the
    /// length of the whole; None if the buffer is too short.
    pub(super) fn seal(
        &self,
        number: PacketNumber,
        buffer: &mut [u8],
        (header, len): (usize, usize),
        trailer: &[u8],
        unsent: Unsent<'_>,
    ) -> Option<usize> {
        let whole = len + trailer.len() + self.tag_bytes();
        let buffer = buffer.get_mut(..whole)?;
        match self {
            Self::Counter { cipher, salt, mac, tag_bytes } => {
                keystream(cipher, salt, number).apply_keystream(&mut buffer[header..len]);
                let (packet, tag) = buffer.split_at_mut(whole - tag_bytes);
                packet[len..].copy_from_slice(trailer);
                tag.copy_from_slice(&authenticate(mac, packet, unsent)[..*tag_bytes]);
            }
            Self::Galois { key, salt } => {
                let (head, body) = buffer.split_at_mut(header);
                let aad = Aad::from(joined(head, trailer));
                let (text, rest) = body.split_at_mut(len - header);
                let tag = key.seal_in_place_separate_tag(nonce(salt, number), aad, text).ok()?;
                rest[..GALOIS_TAG_BYTES].copy_from_slice(tag.as_ref());
                rest[GALOIS_TAG_BYTES..].copy_from_slice(trailer);
            }
        }
        Some(whole)
    }

    /// Checks the tag and decrypts what is behind the header, in place. Returns the length of the
    /// packet, without its trailer; None if the tag is wrong, and then its bytes are of no use.
    pub(super) fn open(
        &self,
        number: PacketNumber,
        packet: &mut [u8],
        (header, is_encrypted): (usize, bool),
        trailer_bytes: usize,
        unsent: Unsent<'_>,
    ) -> Option<usize> {
        let len = packet.len().checked_sub(trailer_bytes + self.tag_bytes())?;
        if len < header {
            return None;
        }
        match self {
            Self::Counter { cipher, salt, mac, tag_bytes } => {
                let (packet, tag) = packet.split_at_mut(len + trailer_bytes);
                let expected = authenticate(mac, packet, unsent);
                if !is_equal(&expected[..*tag_bytes], tag) {
                    return None;
                }
                if is_encrypted {
                    keystream(cipher, salt, number).apply_keystream(&mut packet[header..len]);
                }
            }
            Self::Galois { key, salt } => {
                let (sealed, trailer) = packet.split_at_mut(len + GALOIS_TAG_BYTES);
                // A packet that is not encrypted is authenticated as if it were all header.
                let (head, text) = sealed.split_at_mut(if is_encrypted { header } else { len });
                let aad = Aad::from(joined(head, trailer));
                key.open_in_place(nonce(salt, number), aad, text).ok()?;
            }
        }
        Some(len)
    }
}

/// Fills `out` with the session key of a label: the keystream of the master key (RFC 3711, 4.3.3).
fn derive(master: &SrtpKey, label: u8, out: &mut [u8]) {
    // RFC 7714, 11: shorter salts are followed by zeros.
    let mut block = [0; 16];
    block[..master.salt().len()].copy_from_slice(master.salt());
    block[7] ^= label;
    out.fill(0);
    let fits = "the suite has a key of this length";
    match master.suite() {
        SrtpSuite::AesCm128HmacSha1Tag80
        | SrtpSuite::AesCm128HmacSha1Tag32
        | SrtpSuite::AeadAes128Gcm => {
            let cipher = Ctr128BE::<Aes128>::new_from_slices(master.key(), &block);
            cipher.expect(fits).apply_keystream(out);
        }
        SrtpSuite::AeadAes256Gcm => {
            let cipher = Ctr128BE::<Aes256>::new_from_slices(master.key(), &block);
            cipher.expect(fits).apply_keystream(out);
        }
    }
}

/// RFC 3711, 4.1.1: salt, SSRC and index, with 16 bits left for the blocks of a packet.
fn keystream<'a>(
    cipher: &'a Aes128,
    salt: &[u8; 14],
    number: PacketNumber,
) -> Ctr128BE<&'a Aes128> {
    let mut iv = [0; 16];
    iv[4..8].copy_from_slice(&number.ssrc.to_be_bytes());
    iv[8..14].copy_from_slice(&number.index.to_be_bytes()[2..]);
    iv.iter_mut().zip(salt).for_each(|(it, salt)| *it ^= salt);
    // Borrowed: a copy of its round keys, which are wiped afterwards, costs as much as the cipher itself.
    Ctr128BE::from_core(CtrCore::inner_iv_init(cipher, &iv.into()))
}

/// What Galois authenticates beside the encrypted bytes. Only RTCP has a trailer, and is rare.
fn joined<'a>(head: &'a [u8], trailer: &[u8]) -> Cow<'a, [u8]> {
    match trailer.is_empty() {
        true => head.into(),
        false => [head, trailer].concat().into(),
    }
}

/// RFC 7714, 8.1 and 9.1.
fn nonce(salt: &[u8; 12], number: PacketNumber) -> Nonce {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&number.ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&number.index.to_be_bytes()[2..]);
    nonce.iter_mut().zip(salt).for_each(|(it, salt)| *it ^= salt);
    Nonce::assume_unique_for_key(nonce)
}

fn authenticate(mac: &Hmac<Sha1>, packet: &[u8], unsent: Unsent<'_>) -> [u8; 20] {
    let mut mac = mac.clone();
    mac.update(packet);
    mac.update(unsent);
    mac.finalize().into_bytes().into()
}

/// Compares in a time that says nothing about where the bytes differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other));
    one.len() == other.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.chars().filter_map(|it| it.to_digit(16)).collect();
        digits.chunks(2).map(|it| (it[0] * 16 + it[1]) as u8).collect()
    }

    fn master() -> SrtpKey {
        let bytes = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
        SrtpKey::new(SrtpSuite::AesCm128HmacSha1Tag80, &bytes).unwrap()
    }

    #[test]
    fn the_keystream_is_that_of_rfc_3711_b_2() {
        let cipher = Aes128::new_from_slice(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
        let salt = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
        let mut bytes = [0; 32];
        keystream(&cipher, &salt, PacketNumber { ssrc: 0, index: 0 }).apply_keystream(&mut bytes);
        let expected = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB";
        assert_eq!(bytes.to_vec(), hex(expected));
    }

    #[test]
    fn the_session_keys_are_those_of_rfc_3711_b_3() {
        for (label, expected) in [
            (0, "C61E7A93744F39EE10734AFE3FF7A087"),
            (2, "30CBBC08863D8C85D49DB34A9AE1"),
            (
                1,
                "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE\
                 E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25\
                 6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2DC68",
            ),
        ] {
            let mut key = vec![0; hex(expected).len()];
            derive(&master(), label, &mut key);
            assert_eq!(key, hex(expected), "label {label}");
        }
    }

    /// RFC 7714, 16 and 17: the session keys are given, not derived.
    #[test]
    fn packets_are_those_of_rfc_7714() {
        let text = "47616c6c696120657374206f6d6e697320646976697361\
                    20696e207061727465732074726573";
        let rtp = format!("8040f17b 8041f8d3 5501a0b2 {text}");
        let rtcp = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61\
                    deadbeef deadbeef deadbeef deadbeef deadbeef";
        let short = "000102030405060708090a0b0c0d0e0f";
        let long = format!("{short}101112131415161718191a1b1c1d1e1f");
        let (as_rtp, as_rtcp) = ((0x5501_a0b2, 0xf17b, 12), (0x4d61_7273, 0x5d4, 8));
        for (key, packet, (ssrc, index, header), trailer, expected) in [
            (
                short,
                rtp.as_str(),
                as_rtp,
                "",
                "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f\
                 42a5f47a 51c7d19b 36de3adf 8833 899d7f27 beb16a91 52cf765e e4390cce",
            ),
            (
                &long,
                rtp.as_str(),
                as_rtp,
                "",
                "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3\
                 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
            ),
            (
                short,
                rtcp,
                as_rtcp,
                "800005d4",
                "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1\
                 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
            ),
            (
                &long,
                rtcp,
                as_rtcp,
                "800005d4",
                "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1\
                 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
            ),
        ] {
            let algorithm = if key.len() == 32 { &AES_128_GCM } else { &AES_256_GCM };
            let unbound = UnboundKey::new(algorithm, &hex(key)).unwrap();
            let salt = hex("517569642070726f2071756f").try_into().unwrap();
            let cipher = PacketCipher::Galois { key: Box::new(LessSafeKey::new(unbound)), salt };
            let (packet, trailer, number) =
                (hex(packet), hex(trailer), PacketNumber { ssrc, index });
            let mut sealed = packet.clone();
            sealed.resize(packet.len() + 20, 0);
            let len =
                cipher.seal(number, &mut sealed, (header, packet.len()), &trailer, &[]).unwrap();
            sealed.truncate(len);
            assert_eq!(sealed, hex(expected));
            let len = cipher.open(number, &mut sealed, (header, true), trailer.len(), &[]);
            assert_eq!(sealed[..len.unwrap()], packet);
        }
    }
}
