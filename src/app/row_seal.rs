//! Row seal: encrypts rows of calls with a key that is made of the account-key.
//!
//! A sealed body is a version byte, the salt of the process, a number, and the encrypted body. Each
//! process has a key of its own, made of the salt, and each body another number, so that no two have
//! the same key and nonce.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::random::random;
use crate::store::seal::RowSeal;

/// Separates the keys of rows from those that are made of the same secret. The rows of phones were the
/// first that were sealed.
const KEY_CONTEXT: &str = "conflow 2026-11 rows of phones in the state log";
/// The version of the form of a sealed body.
const VERSION: u8 = 1;
const SALT_LEN: usize = 16;
const NUMBER_LEN: usize = 8;
/// What stands before the encrypted body.
const HEAD_LEN: usize = 1 + SALT_LEN + NUMBER_LEN;

/// Seals rows with the account-key.
pub(super) struct AccountKeySeal {
    secret: [u8; 32],
    key: LessSafeKey,
    salt: [u8; SALT_LEN],
    last: AtomicU64,
}

impl AccountKeySeal {
    /// `secret` is the account-key.
    pub(super) fn new(secret: &[u8; 32]) -> Result<Self> {
        let salt = random()?;
        Ok(Self { secret: *secret, key: key(secret, &salt), salt, last: AtomicU64::new(0) })
    }
}

impl RowSeal for AccountKeySeal {
    fn seal(&self, place: (u8, u128), body: &[u8], sealed: &mut Vec<u8>) {
        let number = self.last.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        sealed.reserve(HEAD_LEN + body.len() + CHACHA20_POLY1305.tag_len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.salt);
        sealed.extend_from_slice(&number);
        let from = sealed.len();
        sealed.extend_from_slice(body);
        let (aad, plain) = (Aad::from(bound_to(place)), &mut sealed[from..]);
        let tag = self.key.seal_in_place_separate_tag(nonce(number), aad, plain);
        sealed.extend_from_slice(tag.expect("a row is shorter than 256 GB").as_ref());
    }

    fn open(&self, place: (u8, u128), sealed: &[u8]) -> Option<Vec<u8>> {
        let (version, rest) = sealed.split_first()?;
        let (salt, rest) = rest.split_first_chunk::<SALT_LEN>()?;
        let (number, sealed) = rest.split_first_chunk::<NUMBER_LEN>()?;
        if *version != VERSION {
            return None;
        }
        let (key, mut sealed) = (key(&self.secret, salt), sealed.to_vec());
        let plain = key.open_in_place(nonce(*number), Aad::from(bound_to(place)), &mut sealed);
        let length = plain.ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

fn key(secret: &[u8; 32], salt: &[u8; SALT_LEN]) -> LessSafeKey {
    let material = [&secret[..], salt].concat();
    let key = blake3::derive_key(KEY_CONTEXT, &material);
    let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("it has the length of a key");
    LessSafeKey::new(key)
}

fn nonce(number: [u8; NUMBER_LEN]) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..NUMBER_LEN].copy_from_slice(&number);
    Nonce::assume_unique_for_key(nonce)
}

/// A body is of no use in the place of another.
fn bound_to((kind, id): (u8, u128)) -> [u8; 17] {
    let mut bound = [kind; 17];
    bound[1..].copy_from_slice(&id.to_le_bytes());
    bound
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;

    /// What each release has sealed, every later one opens; `WRITE_ROWS=1` writes it.
    #[test]
    fn rows_that_earlier_releases_have_sealed_are_opened() {
        let (seal, plain, mut sealed) =
            (AccountKeySeal::new(&[7; 32]).unwrap(), b"\x01a row", Vec::new());
        seal.seal((14, 1), plain, &mut sealed);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rows");
        let this = folder.join(env!("CARGO_PKG_VERSION")).join("sealed.hex");
        if env::var_os("WRITE_ROWS").is_some() {
            let hex: String = sealed.iter().map(|it| format!("{it:02x}")).collect();
            fs::write(&this, format!("{hex}\n")).unwrap();
        }
        assert!(this.exists(), "{}", this.display());
        for release in fs::read_dir(folder).unwrap() {
            let file = release.unwrap().path().join("sealed.hex");
            let Ok(hex) = fs::read_to_string(&file) else { continue };
            let digits = hex.trim().as_bytes().chunks(2).map(|it| str::from_utf8(it).unwrap());
            let row: Vec<_> = digits.map(|it| u8::from_str_radix(it, 16).unwrap()).collect();
            assert_eq!(seal.open((14, 1), &row).as_deref(), Some(&plain[..]), "{}", file.display());
        }
    }

    #[test]
    fn a_body_is_opened_with_its_key_in_its_place_only_and_shows_nothing() {
        let plain = b"\x01https://user:secret@app.example/";
        let mut bodies = Vec::new();
        for process in 0..2 {
            let seal = AccountKeySeal::new(&[7; 32]).unwrap();
            for id in [1, 2] {
                let mut body = vec![process];
                seal.seal((14, id), plain, &mut body);
                bodies.push((id, body.split_off(1)));
            }
        }
        let (own, other) =
            (AccountKeySeal::new(&[7; 32]).unwrap(), AccountKeySeal::new(&[8; 32]).unwrap());
        for (at, (id, body)) in bodies.iter().enumerate() {
            assert!(!body.windows(6).any(|it| it == b"secret"));
            assert!(bodies[..at].iter().all(|it| it.1[HEAD_LEN..] != body[HEAD_LEN..]));
            assert_eq!(own.open((14, *id), body).as_deref(), Some(&plain[..]));
            assert_eq!(other.open((14, *id), body), None, "another account-key");
            for place in [(14, 3 - id), (15, *id)] {
                assert_eq!(own.open(place, body), None, "another row");
            }
            let mut damaged = body.clone();
            *damaged.last_mut().unwrap() ^= 1;
            for wrong in [&damaged[..], &body[..20], &[], &[2]] {
                assert_eq!(own.open((14, *id), wrong), None);
            }
        }
    }
}
