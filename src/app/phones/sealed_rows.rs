//! Sealed rows of phones, which have the keys of their sound and passwords of trunks.

use std::sync::Arc;

use crate::{
    media::{BackendRow, BackendRowKind, BackendRows},
    store::seal::RowSeal,
};

/// Encrypts rows before they are written.
pub(super) struct SealedRows {
    rows: Arc<dyn BackendRows>,
    seal: Arc<dyn RowSeal>,
}

impl SealedRows {
    /// Seals what `rows` writes.
    pub(super) fn new(rows: Arc<dyn BackendRows>, seal: Arc<dyn RowSeal>) -> Self {
        Self { rows, seal }
    }
}

impl BackendRows for SealedRows {
    fn write(&self, rows: &[BackendRow]) {
        let seal = |row: &BackendRow, body: &[u8]| {
            let mut sealed = Vec::new();
            self.seal.seal(place(row), body, &mut sealed);
            sealed
        };
        let sealed = |row: &BackendRow| BackendRow {
            kind: row.kind,
            id: row.id,
            body: row.body.as_deref().map(|body| seal(row, body)),
        };
        self.rows.write(&rows.iter().map(sealed).collect::<Vec<_>>());
    }
}

/// Decrypts rows. Those that were sealed with another account-key, or are damaged, are `Err`.
pub(super) fn unseal(
    rows: &[BackendRow],
    seal: &dyn RowSeal,
) -> Vec<Result<BackendRow, BackendRow>> {
    let open = |row: &BackendRow| {
        let body = seal.open(place(row), row.body.as_deref()?)?;
        Some(BackendRow { body: Some(body), ..row.clone() })
    };
    rows.iter().map(|row| open(row).ok_or_else(|| row.clone())).collect()
}

/// What a body is bound to. The numbers are older than those of the state log, and never meet them.
fn place(row: &BackendRow) -> (u8, u128) {
    let kind = match row.kind {
        BackendRowKind::Dialog => 0,
        BackendRowKind::Leg => 1,
        BackendRowKind::Registration => 2,
        BackendRowKind::Playing => 3,
    };
    (kind, row.id)
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::app::row_seal::AccountKeySeal;

    #[derive(Default)]
    struct RowsInMemory(Mutex<Vec<BackendRow>>);

    impl BackendRows for RowsInMemory {
        fn write(&self, rows: &[BackendRow]) {
            self.0.lock().extend_from_slice(rows);
        }
    }

    #[test]
    fn rows_of_phones_are_written_sealed_and_read_with_their_key() {
        let rows = Arc::new(RowsInMemory::default());
        let plain = |kind, id| BackendRow { kind, id, body: Some(b"\x01the password".to_vec()) };
        let all = [
            plain(BackendRowKind::Dialog, 1),
            plain(BackendRowKind::Leg, 1),
            plain(BackendRowKind::Registration, 2),
        ];
        let seal = |key| Arc::new(AccountKeySeal::new(&[key; 32]).unwrap());
        let sealed = SealedRows::new(rows.clone(), seal(7));
        sealed.write(&all);
        sealed.write(&[BackendRow { body: None, ..all[0].clone() }]);
        let mut written = rows.0.lock().clone();
        assert_eq!(written.pop().unwrap().body, None);
        assert!(written.iter().zip(&all).all(|(it, plain)| it.body != plain.body));
        let read: Result<Vec<_>, _> = unseal(&written, &*seal(7)).into_iter().collect();
        assert_eq!(read.unwrap(), all);
        assert!(unseal(&written, &*seal(8)).iter().all(Result::is_err));
        let moved = BackendRow { kind: BackendRowKind::Leg, ..written[0].clone() };
        assert!(unseal(&[moved], &*seal(7))[0].is_err());
    }
}
