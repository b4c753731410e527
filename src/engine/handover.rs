//! Handover: the row by which a process that has stopped on purpose says that its rows are exact.

use super::recorder::{KeyKind, TurnRow};
use crate::state_log::{RowRecord, StateLog};

/// The last row of a process that another one takes the place of. Its phones are all still there, and
/// the row of each leg has the numbers of its next packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CleanHandover {
    /// When the last packet was sent, in nanoseconds of the boot clock.
    pub stopped_at: u64,
}

impl CleanHandover {
    /// The one that a start has found.
    pub fn of(rows: &[RowRecord]) -> Option<Self> {
        let row = rows.iter().find(|it| it.key == KeyKind::HandedOver.key(0))?;
        let stopped_at = u64::from_le_bytes(*row.body.first_chunk()?);
        Some(Self { stopped_at })
    }

    /// Its row, to be written after all others.
    pub fn row(self) -> TurnRow {
        TurnRow::put(KeyKind::HandedOver.key(0), self.stopped_at.to_le_bytes().to_vec())
    }

    /// The end of its row. It must be written before the first packet is sent: from then on the rows are
    /// older than what has been sent.
    pub fn gone() -> TurnRow {
        TurnRow::gone(KeyKind::HandedOver.key(0))
    }
}

/// The number of calls that another process could go on with.
pub fn kept_calls(log: &StateLog) -> usize {
    log.keys(KeyKind::CallState as u8).len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_log::Line;

    #[test]
    fn the_row_is_found_by_the_next_process() {
        let row = CleanHandover { stopped_at: 77_000_000_000 }.row();
        let Line::Row { key, body } = row.line() else { panic!("{row:?}") };
        let other = RowRecord { key: KeyKind::Restoring.key(0), event: None, body: vec![1; 17] };
        let found = RowRecord { key, event: None, body: body.to_vec() };
        assert_eq!(CleanHandover::of(std::slice::from_ref(&other)), None);
        let expected = Some(CleanHandover { stopped_at: 77_000_000_000 });
        assert_eq!(CleanHandover::of(&[other, found]), expected);
        assert!(matches!(CleanHandover::gone().line(), Line::Gone(it) if it == key));
    }
}
