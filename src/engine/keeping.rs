//! Keeping: rows of the calls that a later process can restore, and of the documents that they run.

use parking_lot::Mutex;

use super::{
    observed::{Observed, take_events},
    recorder::{KeyKind, TurnRow},
    registry::Registry,
    row_keeper::RowKeeper,
};
use crate::{
    base::boot_clock::BootClock,
    call::{Call, CallPlaceRow, Effect},
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

    /// Writes the events of a turn of a call that is in no room, with its row.
    pub(super) fn record_turn(&self, call: &mut Call, effects: &mut Vec<Effect>) {
        let (mut events, mut rows) = (Vec::new(), Vec::new());
        take_events(call, effects, 0, &mut events);
        let released = self.add_row(call, &mut rows);
        self.record(events, rows);
        released.into_iter().for_each(|it| self.release_document(it));
    }

    /// Adds the row of a call that is in no room to those of a frame. A call gets one once it is answered,
    /// if its backend can restore it. Returns the document that its row named before, to be released once
    /// the frame is written.
    #[must_use]
    pub(super) fn add_row(&self, call: &mut Call, rows: &mut Vec<TurnRow>) -> Option<u128> {
        let clock = self.row_clock()?;
        let can_be_kept = || call.is_answered() && self.links.media.restores(call.id);
        if !call.is_kept() && !can_be_kept() {
            return None;
        }
        // None: it ends, and so does its row.
        let row = call.row(clock, CallPlaceRow::Alone)?;
        let before = call.kept.get_or_insert_default().document;
        let document = call.document_row();
        let key = document.as_ref().map(|(key, _)| *key);
        if let Some((key, text)) = document.filter(|_| before != key) {
            self.hold_document(key, text);
        }
        rows.push(TurnRow::put(KeyKind::CallState.of_call(call.id), row));
        call.kept.get_or_insert_default().document = key;
        before.filter(|_| before != key)
    }

    /// Whether a call in a room has a row, or gets one now: it is answered, and its backend can restore
    /// it. A new row is written with the decision of the room.
    pub(super) fn keep_in_room(&self, call: &mut Call) -> bool {
        if call.is_kept() {
            return true;
        }
        if !call.is_answered() || !self.links.media.restores(call.id) {
            return false;
        }
        let document = call.document_row();
        let key = document.as_ref().map(|(key, _)| *key);
        document.into_iter().for_each(|(key, text)| self.hold_document(key, text));
        call.kept.get_or_insert_default().document = key;
        true
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
