//! Tags, branches and call ids: random to everybody who does not know the key.

use std::fmt::{self, Write as _};

use crate::base::ids::CallId;

/// Random bytes that nobody else knows, and no log shows.
#[derive(Clone, Copy)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A source of words that nobody guesses and none of which comes twice.
#[derive(Debug)]
pub struct Ids {
    key: Secret,
    last: u64,
}

impl Ids {
    /// All words follow from the key, which must be random and new.
    pub fn new(key: Secret) -> Self {
        Self { key, last: 0 }
    }

    /// A dialog's tag.
    pub fn tag(&mut self) -> String {
        hex(&self.next())
    }

    /// A transaction's branch.
    pub fn branch(&mut self) -> String {
        format!("{}{}", super::value::COOKIE, hex(&self.next()))
    }

    /// A call's id.
    pub fn call(&mut self) -> CallId {
        CallId(uuid::Builder::from_random_bytes(self.next()).into_uuid())
    }

    /// A number from 0 to `max`.
    pub fn upto(&mut self, max: u8) -> u8 {
        self.next()[0] % (max + 1)
    }

    /// A number for a session description.
    pub fn session(&mut self) -> u64 {
        let [a, b, c, d, ..] = self.next();
        u32::from_be_bytes([a, b, c, d]).into()
    }

    /// The same tag for the same request, so that a reply needs no memory.
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
        let (mut a, mut b) = (Ids::new(Secret([1; 32])), Ids::new(Secret([2; 32])));
        let words = [a.tag(), a.tag(), b.tag()];
        assert!(words[0] != words[1] && words[0] != words[2]);
        assert_ne!(a.call(), a.call());
        assert_eq!(a.tag_of("i", "b"), a.tag_of("i", "b"));
        assert_ne!(a.tag_of("i", "b"), a.tag_of("i", "c"));
    }
}
