//! Sealed rows: those of phones have the keys of their sound and passwords of trunks, so they are
//! encrypted with a key that is made of the account-key.
//!
//! A sealed body is a version byte, the salt of the process, a number, and the encrypted body. Each
//! process has a key of its own, made of the salt, and each body another number, so that no two have
//! the same key and nonce.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Result;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::{
    app::random::random,
    media::{BackendRow, BackendRowKind, BackendRows},
};

/// Separates the keys of rows from those that are made of the same secret.
const KEY_CONTEXT: &str = "conflow 2026-11 rows of phones in the state log";
/// The version of the form of a sealed body.
const VERSION: u8 = 1;
const SALT_LEN: usize = 16;
const NUMBER_LEN: usize = 8;

/// Encrypts rows before they are written.
pub(super) struct SealedRows {
    rows: Arc<dyn BackendRows>,
    key: LessSafeKey,
    salt: [u8; SALT_LEN],
    last: AtomicU64,
}

impl SealedRows {
    /// Seals what `rows` writes; `secret` is the account-key.
    pub(super) fn new(rows: Arc<dyn BackendRows>, secret: &[u8; 32]) -> Result<Self> {
        let salt = random()?;
        Ok(Self { rows, key: key(secret, &salt), salt, last: AtomicU64::new(0) })
    }

    fn seal(&self, row: &BackendRow, body: &[u8]) -> Vec<u8> {
        let number = self.last.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        let mut sealed = body.to_vec();
        let aad = Aad::from(bound_to(row));
        let done = self.key.seal_in_place_append_tag(nonce(number), aad, &mut sealed);
        done.expect("a row is shorter than 256 GB");
        [&[VERSION][..], &self.salt, &number, &sealed].concat()
    }
}

impl BackendRows for SealedRows {
    fn write(&self, rows: &[BackendRow]) {
        let sealed = |row: &BackendRow| BackendRow {
            kind: row.kind,
            id: row.id,
            body: row.body.as_deref().map(|body| self.seal(row, body)),
        };
        self.rows.write(&rows.iter().map(sealed).collect::<Vec<_>>());
    }
}

/// Decrypts rows. Those that were sealed with another account-key, or are damaged, are `Err`.
pub(super) fn unseal(
    rows: &[BackendRow],
    secret: &[u8; 32],
) -> Vec<Result<BackendRow, BackendRow>> {
    // As a rule, all are of one process.
    let mut last: Option<([u8; SALT_LEN], LessSafeKey)> = None;
    let mut open = |row: &BackendRow| {
        let (version, rest) = row.body.as_deref()?.split_first()?;
        let (salt, rest) = rest.split_first_chunk::<SALT_LEN>()?;
        let (number, sealed) = rest.split_first_chunk::<NUMBER_LEN>()?;
        if *version != VERSION {
            return None;
        }
        if last.as_ref().is_none_or(|it| it.0 != *salt) {
            last = Some((*salt, key(secret, salt)));
        }
        let (_, key) = last.as_ref()?;
        let mut sealed = sealed.to_vec();
        let plain =
            key.open_in_place(nonce(*number), Aad::from(bound_to(row)), &mut sealed).ok()?;
        Some(plain.to_vec())
    };
    let unsealed = |row: &BackendRow| match open(row) {
        Some(body) => Ok(BackendRow { body: Some(body), ..row.clone() }),
        None => Err(row.clone()),
    };
    rows.iter().map(unsealed).collect()
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
fn bound_to(row: &BackendRow) -> [u8; 17] {
    let kind = match row.kind {
        BackendRowKind::Dialog => 0,
        BackendRowKind::Leg => 1,
        BackendRowKind::Registration => 2,
    };
    let mut bound = [kind; 17];
    bound[1..].copy_from_slice(&row.id.to_le_bytes());
    bound
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[derive(Default)]
    struct RowsInMemory(Mutex<Vec<BackendRow>>);

    impl BackendRows for RowsInMemory {
        fn write(&self, rows: &[BackendRow]) {
            self.0.lock().extend_from_slice(rows);
        }
    }

    #[test]
    fn a_row_is_read_with_its_key_in_its_place_only_and_shows_nothing() {
        let rows = Arc::new(RowsInMemory::default());
        let plain = |id| BackendRow {
            kind: BackendRowKind::Dialog,
            id,
            body: Some(b"\x01the password of a trunk".to_vec()),
        };
        for _ in 0..2 {
            let sealed = SealedRows::new(rows.clone(), &[7; 32]).unwrap();
            sealed.write(&[plain(1), plain(2), BackendRow { body: None, ..plain(3) }]);
        }
        let written = rows.0.lock().clone();
        let bodies: Vec<_> = written.iter().filter_map(|it| it.body.clone()).collect();
        assert_eq!(bodies.len(), 4);
        for (at, body) in bodies.iter().enumerate() {
            assert!(!body.windows(8).any(|it| it == b"password"));
            assert!(bodies[..at].iter().all(|it| it[1..] != body[1..]), "no two are alike");
        }
        let live: Vec<_> = written.into_iter().filter(|it| it.body.is_some()).collect();
        let ids = |secret| {
            let read = unseal(&live, secret);
            read.into_iter()
                .map(|it| it.ok().filter(|it| *it == plain(it.id)).map(|it| it.id))
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&[7; 32]), [Some(1), Some(2), Some(1), Some(2)]);
        assert_eq!(ids(&[8; 32]), [None; 4], "another account-key");
        let moved = BackendRow { id: 9, ..live[0].clone() };
        let damaged = BackendRow { body: Some(vec![1; 30]), ..live[0].clone() };
        let other = BackendRow { body: Some(vec![2]), ..live[0].clone() };
        assert!(unseal(&[moved, damaged, other], &[7; 32]).iter().all(Result::is_err));
    }
}
