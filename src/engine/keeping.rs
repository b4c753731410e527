//! Keeping: rows of the calls that a later process can restore, and of the documents that they run.

use parking_lot::Mutex;

use super::{
    observed::Observed,
    recorder::{KeyKind, TurnRow},
    registry::Registry,
    row_keeper::RowKeeper,
};
use crate::{
    base::boot_clock::BootClock,
    call::{Call, CallPlaceRow},
};

impl Registry {
    /// Keeps rows from now on, of the calls that a backend can restore. Times in them are of this clock.
    pub fn keep_rows(&self, clock: BootClock) {
        let keeper = RowKeeper { clock, documents: Mutex::default() };
        debug_assert!(self.keeper.get().is_none(), "rows are kept already");
        drop(self.keeper.set(keeper));
    }

    /// None: no rows are kept.
    pub(super) fn row_clock(&self) -> Option<BootClock> {
        self.keeper.get().map(|it| it.clock)
    }

    /// Writes the events and rows of a turn of a call that is in no room, with the call's own row. A
    /// call gets one once it is answered, if its backend can restore it.
    pub(super) fn record_turn(
        &self,
        call: &mut Call,
        events: Vec<Observed>,
        mut rows: Vec<TurnRow>,
    ) {
        let Some(clock) = self.row_clock() else { return self.record(events, rows) };
        if !call.is_kept() && !(call.is_answered() && self.links.media.restores(call.id)) {
            return self.record(events, rows);
        }
        let Some(row) = call.row(clock, CallPlaceRow::Alone) else {
            // It ends, and so does its row.
            return self.record(events, rows);
        };
        let kept = call.kept.get_or_insert_default();
        let before = kept.document;
        let document = call.document_row();
        let key = document.as_ref().map(|(key, _)| *key);
        if let Some((key, text)) = document.filter(|_| before != key) {
            self.hold_document(key, text);
        }
        rows.push(TurnRow::put(KeyKind::CallState.of_call(call.id), row));
        self.record(events, rows);
        if before != key {
            before.into_iter().for_each(|it| self.release_document(it));
        }
        call.kept.get_or_insert_default().document = key;
    }

    /// Writes the last event of a call, with the end of its row.
    pub(super) fn record_end(&self, call: &Call, event: Observed) {
        let Some(kept) = call.kept.as_deref() else { return self.record(vec![event], Vec::new()) };
        self.record(vec![event], vec![TurnRow::gone(KeyKind::CallState.of_call(call.id))]);
        kept.document.into_iter().for_each(|it| self.release_document(it));
    }

    /// Notes that one more row will name a document, and writes its text if it is the first.
    pub(super) fn hold_document(&self, key: u128, text: impl FnOnce() -> Vec<u8>) {
        let Some(keeper) = self.keeper.get() else { return };
        let mut documents = keeper.documents.lock();
        let count = documents.entry(key).or_default();
        if *count == 0 {
            self.record(Vec::new(), vec![TurnRow::put(KeyKind::Document.key(key), text())]);
        }
        *count += 1;
    }

    /// Notes that a row names a document no longer; the text goes with the last one.
    pub(super) fn release_document(&self, key: u128) {
        let Some(keeper) = self.keeper.get() else { return };
        let mut documents = keeper.documents.lock();
        let Some(count) = documents.get_mut(&key) else { return };
        *count -= 1;
        if *count == 0 {
            documents.remove(&key);
            self.record(Vec::new(), vec![TurnRow::gone(KeyKind::Document.key(key))]);
        }
    }
}
