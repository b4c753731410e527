//! Passwords of people, as argon2id hashes.

use argon2::Argon2;
use blake3::Hash;
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize, Serialize)]
pub(super) struct PasswordHash {
    pub(super) salt: [u8; SALT_BYTES],
    hash: [u8; 32],
}

const SALT_BYTES: usize = 16;

/// Proof that somebody has shown a person's password. It ends with the next password, whose salt is
/// another one.
#[derive(Clone, Debug)]
pub struct PasswordProof {
    pub(super) person: u64,
    pub(super) salt: [u8; SALT_BYTES],
}

impl PasswordHash {
    pub(super) fn new(text: &str, salt: [u8; SALT_BYTES]) -> Self {
        Self { salt, hash: stretch(text, &salt) }
    }

    /// Whether the text is the password. It takes as long if there is none.
    pub(super) fn is_right(it: Option<&Self>, text: &str) -> bool {
        let salt = it.map_or([0; SALT_BYTES], |it| it.salt);
        // `Hash` compares in constant time.
        let shown = Hash::from(stretch(text, &salt));
        it.is_some_and(|it| Hash::from(it.hash) == shown)
    }
}

/// Hashes with argon2id and the defaults of RFC 9106.
fn stretch(text: &str, salt: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let stretched = Argon2::default().hash_password_into(text.as_bytes(), salt, &mut hash);
    stretched.expect("the salt and the hash are as long as they must be");
    hash
}
