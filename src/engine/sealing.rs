//! Sealing: the rows of calls, rooms and documents are encrypted in the state log, since they have what
//! callers typed and said of themselves, and URLs with credentials.
//!
//! A sealed row begins with a byte of its own; one that a release without a seal has written begins with
//! its version, which is a small number, and is read as it is.

use std::borrow::Cow;

use super::recorder::{KeyKind, TurnRow};
use crate::{
    state_log::{RowKey, RowRecord},
    store::seal::RowSeal,
};

/// The first byte of a sealed row.
const SEALED: u8 = 0xF1;

/// Seals those of these rows that must be, each once.
pub(super) fn seal<'a>(rows: &'a [TurnRow], seal: Option<&dyn RowSeal>) -> Cow<'a, [TurnRow]> {
    let Some(seal) = seal.filter(|_| rows.iter().any(|it| is_sealed(it.parts().0))) else {
        return Cow::Borrowed(rows);
    };
    let sealed = |row: &TurnRow| match row.parts() {
        (key, Some(body)) if is_sealed(key) => {
            let mut sealed = vec![SEALED];
            seal.seal((key.kind, key.id), body, &mut sealed);
            TurnRow::put(key, sealed)
        }
        _ => row.clone(),
    };
    Cow::Owned(rows.iter().map(sealed).collect())
}

/// Opens the rows that a start has found. Returns those that can be read, and the ends of the others:
/// they were sealed with another key.
pub fn unseal(rows: Vec<RowRecord>, seal: &dyn RowSeal) -> (Vec<RowRecord>, Vec<TurnRow>) {
    let mut lost = Vec::new();
    let open = |row: RowRecord| {
        let RowRecord { key, event, body } = row;
        let sealed = body.split_first().filter(|(first, _)| is_sealed(key) && **first == SEALED);
        let Some((_, sealed)) = sealed else { return Some(RowRecord { key, event, body }) };
        match seal.open((key.kind, key.id), sealed) {
            Some(body) => Some(RowRecord { key, event, body }),
            None => {
                lost.push(TurnRow::gone(key));
                None
            }
        }
    };
    let rows = rows.into_iter().filter_map(open).collect();
    (rows, lost)
}

fn is_sealed(key: RowKey) -> bool {
    KeyKind::of(key).is_some_and(KeyKind::is_of_restore)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds the number of the kind to each byte.
    struct Shift(u8);

    impl RowSeal for Shift {
        fn seal(&self, place: (u8, u128), body: &[u8], sealed: &mut Vec<u8>) {
            sealed.push(self.0);
            sealed.extend(body.iter().map(|it| it.wrapping_add(place.0)));
        }

        fn open(&self, place: (u8, u128), sealed: &[u8]) -> Option<Vec<u8>> {
            let (key, sealed) = sealed.split_first()?;
            (*key == self.0).then(|| sealed.iter().map(|it| it.wrapping_sub(place.0)).collect())
        }
    }

    #[test]
    fn rows_of_calls_are_sealed_and_others_are_not() {
        let put = |kind: KeyKind| TurnRow::put(kind.key(7), b"\x01secret".to_vec());
        let sealed =
            [KeyKind::CallState, KeyKind::RoomState, KeyKind::Document, KeyKind::Departures];
        let plain = [KeyKind::Answered, KeyKind::Leaving, KeyKind::Dialog, KeyKind::Restoring];
        let mut rows: Vec<_> = sealed.into_iter().chain(plain).map(put).collect();
        rows.push(TurnRow::gone(KeyKind::CallState.key(8)));
        assert!(matches!(seal(&rows, None), Cow::Borrowed(_)));
        assert!(matches!(seal(&rows[4..8], Some(&Shift(1))), Cow::Borrowed(_)));
        let written = seal(&rows, Some(&Shift(1))).into_owned();
        let secrets: Vec<_> = written
            .iter()
            .map(|it| it.parts().1.is_some_and(|it| it.windows(6).any(|it| it == b"secret")))
            .collect();
        assert_eq!(secrets, [false, false, false, false, true, true, true, true, false]);

        let found = |rows: &[TurnRow]| -> Vec<_> {
            let record = |it: &TurnRow| {
                let (key, body) = it.parts();
                Some(RowRecord { key, event: None, body: body?.to_vec() })
            };
            rows.iter().filter_map(record).collect()
        };
        assert_eq!(unseal(found(&written), &Shift(1)), (found(&rows), vec![]));
        let (read, lost) = unseal(found(&written), &Shift(2));
        assert_eq!(read, found(&rows[4..8]), "another key");
        assert_eq!(lost, sealed.map(|it| TurnRow::gone(it.key(7))));
        // Of a release that did not seal them.
        assert_eq!(unseal(found(&rows), &Shift(1)), (found(&rows), vec![]));
    }
}
