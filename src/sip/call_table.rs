//! Call table: the calls of the agent, and which of them have changed since their rows were written.

use std::collections::{BTreeMap, BTreeSet};

use super::call::SipCall;
use crate::base::ids::CallId;

/// The calls by the engine's id. Every change goes through it, so that no row is forgotten.
#[derive(Debug, Default)]
pub struct CallTable {
    calls: BTreeMap<CallId, SipCall>,
    /// None: nobody keeps rows.
    rows: Option<KeptRows>,
}

/// What is known of the rows of calls.
#[derive(Debug, Default)]
struct KeptRows {
    touched: BTreeSet<CallId>,
    /// The hash of each row that is written.
    written: BTreeMap<CallId, [u8; 32]>,
}

impl CallTable {
    /// Notes changes from now on.
    pub fn keep_rows(&mut self) {
        self.rows.get_or_insert_default();
    }

    /// Returns a call, to be looked at.
    pub fn get(&self, id: &CallId) -> Option<&SipCall> {
        self.calls.get(id)
    }

    /// Returns a call, to be changed.
    pub fn get_mut(&mut self, id: &CallId) -> Option<&mut SipCall> {
        self.touch(*id);
        self.calls.get_mut(id)
    }

    /// Adds a call, in place of any other with its id.
    pub fn insert(&mut self, id: CallId, call: SipCall) {
        self.touch(id);
        self.calls.insert(id, call);
    }

    /// Takes a call out.
    pub fn remove(&mut self, id: &CallId) -> Option<SipCall> {
        self.touch(*id);
        self.calls.remove(id)
    }

    /// Returns all calls, to be looked at.
    pub fn iter(&self) -> impl Iterator<Item = (&CallId, &SipCall)> {
        self.calls.iter()
    }

    /// Returns the number of calls.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there are no calls.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Returns the calls that may have changed since the last time that this was asked.
    pub(super) fn take_touched(&mut self) -> BTreeSet<CallId> {
        self.rows.as_mut().map(|it| std::mem::take(&mut it.touched)).unwrap_or_default()
    }

    /// Whether a call has a row.
    pub(super) fn has_row(&self, id: CallId) -> bool {
        self.rows.as_ref().is_some_and(|it| it.written.contains_key(&id))
    }

    /// Notes the row of a call that is about to be written, None if the call has none any more. Returns
    /// false if that has been written already.
    pub(super) fn note_row(&mut self, id: CallId, body: Option<&[u8]>) -> bool {
        let Some(rows) = &mut self.rows else { return false };
        match body.map(|it| *blake3::hash(it).as_bytes()) {
            Some(hash) => rows.written.insert(id, hash) != Some(hash),
            None => rows.written.remove(&id).is_some(),
        }
    }

    fn touch(&mut self, id: CallId) {
        if let Some(rows) = &mut self.rows {
            rows.touched.insert(id);
        }
    }
}
