//! Ended calls: their CDRs and traces, from memory and from the disk.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{journal::Journal, recorder::KeyKind};
use crate::{
    base::ids::{AccountId, CallId},
    cdr::{Cdr, CdrFilter, CdrPage, OnCdrStored},
    flow::Cause,
    state_log::{Line, StateLog},
    store::rows::RowStoreError,
    trace::{ShownTrace, StoredTrace},
};

impl Journal {
    /// The trace of an account's call, from memory or from the disk; None if it is unknown, or no
    /// longer kept.
    pub async fn trace(&self, account: &AccountId, call: CallId) -> Option<ShownTrace> {
        if let Some(trace) = self.trace_log.show(account, call) {
            return Some(ShownTrace::InMemory(trace));
        }
        let read = self.trace_log.stored(account, call)?;
        let mut trace = self.read_disk(move || Ok(read())).await.ok().flatten()?;
        if !trace.is_over {
            let cdr = self.cdr(account, call).await.ok().flatten();
            end_trace(&mut trace, cdr.as_deref());
        }
        Some(ShownTrace::Stored(trace))
    }

    /// Writes the traces that are not on the disk yet.
    pub fn close_traces(&self) {
        self.trace_log.close();
    }

    /// The CDR of an account's call; None if the call has not ended, or is unknown.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the disk cannot be read.
    pub async fn cdr(
        &self,
        account: &AccountId,
        call: CallId,
    ) -> Result<Option<Arc<Cdr>>, RowStoreError> {
        if let Some(cdr) = self.cdrs.recent(account, call) {
            return Ok(Some(cdr));
        }
        let (cdrs, account) = (self.cdrs.clone(), account.clone());
        self.read_disk(move || cdrs.find(&account, call)).await
    }

    /// One page of an account's matching CDRs: `limit` of them, after the first `offset`.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the disk cannot be read.
    pub async fn cdr_page(
        &self,
        account: &AccountId,
        filter: CdrFilter,
        offset: usize,
        limit: usize,
    ) -> Result<CdrPage, RowStoreError> {
        let (cdrs, account) = (self.cdrs.clone(), account.clone());
        self.read_disk(move || cdrs.list(&account, &filter, offset, limit)).await
    }

    /// Reads on a thread that may wait; a few at once, so that others have threads, too.
    async fn read_disk<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, RowStoreError> + Send + 'static,
    ) -> Result<T, RowStoreError> {
        let permit = self.disk_reads.clone().acquire_owned().await;
        let read = spawn_blocking(move || {
            let read = read();
            // Here, since a request may be gone before.
            drop(permit);
            read
        });
        read.await.map_err(|error| RowStoreError(format!("reading has panicked: {error}")))?
    }

    /// Adds a CDR. The state log keeps it until it is in the database.
    pub(super) fn add_cdr(&self, cdr: Arc<Cdr>) {
        let call = cdr.call;
        let on_stored = self.state_log.clone();
        let on_stored =
            on_stored.map(|log| -> OnCdrStored { Box::new(move || forget_cdr(&log, call)) });
        self.cdrs.add(cdr, on_stored);
    }

    /// A CDR is in the database, so the state log need not keep it.
    pub(super) fn forget_cdr(&self, call: CallId) {
        self.state_log.iter().for_each(|log| forget_cdr(log, call));
    }
}

fn forget_cdr(log: &StateLog, call: CallId) {
    log.append(&[Line::Gone(KeyKind::Cdr.of_call(call))], |_| ());
}

/// Ends the trace of a call that was up when the process died, or had just ended.
fn end_trace(trace: &mut StoredTrace, cdr: Option<&Cdr>) {
    let crashed = |it: &Cdr| Cause::Crashed.ending(it.party.dialect) == Some(it.ending);
    trace.crashed = cdr.is_none_or(crashed);
    let reason = match cdr {
        Some(cdr) if !trace.crashed => cdr.ending.cause.name(),
        Some(_) | None => Cause::Crashed.text(),
    };
    let length = cdr.and_then(|it| it.ended_at.duration_since(it.party.session.began_at).ok());
    trace.end(reason, length.map(|it| it.as_millis()));
}
