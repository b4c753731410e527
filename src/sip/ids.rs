//! SIP identifiers: tags, branches and call ids that nobody can guess without the key.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use crate::{base::ids::CallId, rtp::sdp::crypto::SrtpSecret};

/// A random key; `Debug` does not show it.
#[derive(Clone, Copy)]
pub struct SipSecret(pub [u8; 32]);

impl fmt::Debug for SipSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Generator of identifiers that nobody can guess, each unique within the process.
#[derive(Debug)]
pub struct SipIds {
    key: SipSecret,
    last: u64,
}

impl SipIds {
    /// Starts a generator. All identifiers follow from the key, which must be random and new.
    pub fn new(key: SipSecret) -> Self {
        Self { key, last: 0 }
    }

    /// Creates a dialog tag: 32 hexadecimal digits.
    pub fn tag(&mut self) -> String {
        hex(&self.next())
    }

    /// Creates a transaction branch with the magic cookie (RFC 3261, 8.1.1.7).
    pub fn branch(&mut self) -> String {
        format!("{}{}", super::header_value::COOKIE, hex(&self.next()))
    }

    /// Creates a call id: a UUID of version 4.
    pub fn call(&mut self) -> CallId {
        CallId(uuid::Builder::from_random_bytes(self.next()).into_uuid())
    }

    /// Returns a number from 0 to `max`.
    pub fn upto(&mut self, max: u8) -> u8 {
        self.next()[0] % (max + 1)
    }

    /// Returns a number below `end`, which is at least 1.
    pub fn below(&mut self, end: u32) -> u32 {
        let [a, b, c, d, ..] = self.next();
        u32::from_be_bytes([a, b, c, d]) % end.max(1)
    }

    /// Returns a part of a time: from none to all of it.
    pub fn part_of(&mut self, time: Duration) -> Duration {
        time * self.below(1_001) / 1_000
    }

    /// Returns a time that is longer or shorter by 10 % at most.
    pub fn about(&mut self, time: Duration) -> Duration {
        time * (900 + self.below(201)) / 1_000
    }

    /// Creates the session id of an SDP description: below 2³².
    pub fn session(&mut self) -> u64 {
        let [a, b, c, d, ..] = self.next();
        u32::from_be_bytes([a, b, c, d]).into()
    }

    /// Creates the secret of a call's SRTP keys.
    pub fn srtp(&mut self) -> SrtpSecret {
        self.last += 1;
        let text = format!("srtp {}", self.last);
        SrtpSecret(*blake3::keyed_hash(&self.key.0, text.as_bytes()).as_bytes())
    }

    /// Returns the same tag for the same request, so that a stateless reply needs no memory.
    pub fn tag_of(&self, call_id: &str, branch: &str) -> String {
        let text = format!("tag {call_id} {branch}");
        hex(&blake3::keyed_hash(&self.key.0, text.as_bytes()).as_bytes()[..16])
    }

    fn next(&mut self) -> [u8; 16] {
        self.last += 1;
        let hash = blake3::keyed_hash(&self.key.0, &self.last.to_be_bytes());
        *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_comes_twice_and_another_key_makes_others() {
        let (mut a, mut b) = (SipIds::new(SipSecret([1; 32])), SipIds::new(SipSecret([2; 32])));
        let words = [a.tag(), a.tag(), b.tag()];
        assert!(words[0] != words[1] && words[0] != words[2]);
        assert_ne!(a.call(), a.call());
        assert_eq!(a.tag_of("i", "b"), a.tag_of("i", "b"));
        assert_ne!(a.tag_of("i", "b"), a.tag_of("i", "c"));
    }
}
