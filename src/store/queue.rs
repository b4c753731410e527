//! Queue to the writer thread: awaited writes go at once, others are collected for a while.
//!
//! An awaited write takes the collected ones along. Waking a thread costs more than handing it a
//! row, so a collected row wakes nobody.
//!
//! After a failed write, awaited writes are refused, and the others wait. Every second the writer
//! tries again, in their order, and once that succeeds everything is as before. A write is refused
//! without a try meanwhile: it would have to overtake those that wait, and a full disk would be
//! tried with each request.
//!
//! The log's queue is also taken as a whole by a thread, but the two share no more than that (a
//! lock, a vector and a condition variable): here the taker lingers, a batch is bounded, and a
//! closed queue fails what is pushed; there, bytes are bounded, what does not fit is counted, and
//! the taker's vector is reused. A common type would be longer than what it saves.

use std::{collections::VecDeque, fmt, mem, thread, time::Duration};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::time::Instant;

use super::rows::{OnCommit, RowWrite, StoreHealth, WriteError};

/// Rows that are written together.
pub(super) struct WriteBatch {
    pub(super) writes: Vec<RowWrite>,
    pub(super) done: OnCommit,
    /// Whether somebody waits for it.
    pub(super) is_awaited: bool,
}

/// Queue of batches to one thread.
#[derive(Debug)]
pub(super) struct WriteQueue {
    waiting: Mutex<QueuedWrites>,
    /// Signalled when a batch is due, or the first one has come.
    due: Condvar,
    /// Signalled when the thread has tried to write.
    tried: Condvar,
    linger: Duration,
}

#[derive(Debug, Default)]
struct QueuedWrites {
    batches: VecDeque<WriteBatch>,
    /// Something must be written at once.
    is_urgent: bool,
    is_closed: bool,
    /// The thread has seen the first batch, and waits for more.
    is_lingering: bool,
    failing: Option<FailingWrites>,
    /// `waiting_rows` has those that the thread is writing, too.
    health: StoreHealth,
}

/// The last write has failed.
#[derive(Debug)]
struct FailingWrites {
    retry_at: Instant,
    logged_at: Instant,
}

/// Bound of one transaction.
const BATCHES_MAX: usize = 4_096;
/// Rows that nobody waits for and that a failing or slow disk has not taken yet: some hundred
/// megabytes at most. The oldest are dropped first.
const ROWS_MAX: usize = 100_000;
/// The pause between attempts to write while the last one failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// The pause between log lines while writes fail: the log may be on the same disk.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

impl WriteQueue {
    /// An empty queue that holds writes that nobody waits for back for `linger`.
    pub(super) fn new(linger: Duration) -> Self {
        let (due, tried) = (Condvar::new(), Condvar::new());
        Self { waiting: Mutex::default(), due, tried, linger }
    }

    /// Hands a batch to the writer thread. It fails at once if that thread has ended.
    pub(super) fn push(&self, batch: WriteBatch) {
        let mut waiting = self.waiting.lock();
        if waiting.is_closed {
            drop(waiting);
            // Not on this thread, which may hold a lock.
            return drop(thread::spawn(move || batch.fail(WriteError::Ended)));
        }
        // The first batch starts the thread's linger timer.
        let is_first = waiting.batches.is_empty();
        waiting.is_urgent |= batch.is_awaited;
        waiting.health.waiting_rows += batch.soon_rows();
        waiting.batches.push_back(batch);
        let dropped = waiting.drop_oldest();
        let is_refused = waiting.failing.is_some() && waiting.is_urgent;
        let wakes = is_first || is_refused || (waiting.is_lingering && waiting.is_due());
        drop(waiting);
        if wakes {
            self.due.notify_one();
        }
        dropped.into_iter().for_each(|it| it.fail(WriteError::Full));
    }

    /// Blocks until batches are due, and returns them in order; None once the queue is closed and
    /// empty. After a failed write there may be none: then an empty write shows whether writing is
    /// possible again.
    pub(super) fn take(&self) -> Option<Vec<WriteBatch>> {
        let mut waiting = self.waiting.lock();
        loop {
            if waiting.is_closed && waiting.batches.is_empty() {
                return None;
            }
            let now = Instant::now();
            match &waiting.failing {
                Some(FailingWrites { retry_at, .. }) if !waiting.is_closed && now < *retry_at => {
                    let left = *retry_at - now;
                    let refused = waiting.refuse();
                    if refused.is_empty() {
                        self.due.wait_for(&mut waiting, left);
                        continue;
                    }
                    // Here, so that nobody is called back who may hold a lock of their own.
                    let error = waiting.health.error.clone().unwrap_or(WriteError::Io);
                    let fail = || refused.into_iter().for_each(|it| it.fail(error.clone()));
                    MutexGuard::unlocked(&mut waiting, fail);
                }
                None if waiting.batches.is_empty() => self.due.wait(&mut waiting),
                Some(_) => break,
                None => {
                    self.collect(&mut waiting);
                    break;
                }
            }
        }
        let count = waiting.batches.len().min(BATCHES_MAX);
        let taken = waiting.batches.drain(..count).collect();
        waiting.is_urgent = waiting.batches.iter().any(|it| it.is_awaited);
        Some(taken)
    }

    /// Waits for more batches, unless some are due.
    fn collect(&self, waiting: &mut MutexGuard<'_, QueuedWrites>) {
        let begin = Instant::now();
        waiting.is_lingering = true;
        while !waiting.is_due() {
            let left = self.linger.saturating_sub(begin.elapsed());
            if left.is_zero() {
                break;
            }
            self.due.wait_for(waiting, left);
        }
        waiting.is_lingering = false;
    }

    /// Completes batches that are durable.
    pub(super) fn succeed(&self, batches: Vec<WriteBatch>) {
        let mut waiting = self.waiting.lock();
        let rows: usize = batches.iter().map(WriteBatch::soon_rows).sum();
        let left = waiting.batches.len();
        match &mut waiting.failing {
            // The rest of those that have waited comes before new ones that somebody waits for.
            Some(failing) if BATCHES_MAX <= left => failing.retry_at = Instant::now(),
            Some(_) => {
                (waiting.failing, waiting.health.error) = (None, None);
                tracing::info!(rows, "the store can write again");
            }
            None => (),
        }
        drop(waiting);
        batches.into_iter().for_each(|it| (it.done)(Ok(())));
        // Last: who flushes must find everybody told.
        self.waiting.lock().health.waiting_rows -= rows;
        self.tried.notify_all();
    }

    /// Takes batches back that could not be written: fails those that somebody waits for, and keeps
    /// the others for the next attempt. A closed queue fails all.
    pub(super) fn fail(&self, batches: Vec<WriteBatch>, error: WriteError, cause: &str) {
        let mut waiting = self.waiting.lock();
        for batch in batches.into_iter().rev() {
            waiting.batches.push_front(batch);
        }
        let (is_closed, now) = (waiting.is_closed, Instant::now());
        let (keep, refused) = mem::take(&mut waiting.batches)
            .into_iter()
            .partition(|it| !it.is_awaited && !is_closed);
        (waiting.batches, waiting.is_urgent) = (keep, false);
        if is_closed {
            waiting.health.dropped_rows += waiting.health.waiting_rows as u64;
            waiting.health.waiting_rows = 0;
        }
        waiting.health.failures += 1;
        waiting.health.error = Some(error.clone());
        let logged_at = waiting.failing.as_ref().map(|it| it.logged_at);
        let is_logged = logged_at.is_none_or(|at| LOG_INTERVAL <= now - at);
        let logged_at = logged_at.filter(|_| !is_logged).unwrap_or(now);
        waiting.failing = Some(FailingWrites { retry_at: now + RETRY_INTERVAL, logged_at });
        let rows = waiting.health.waiting_rows;
        let dropped = waiting.drop_oldest();
        drop(waiting);
        if is_logged {
            tracing::error!(
                rows,
                "the store cannot write ({cause}): requests that change something are refused, and \
                 rows of calls wait until it can"
            );
        }
        self.tried.notify_all();
        refused.into_iter().for_each(|it: WriteBatch| it.fail(error.clone()));
        dropped.into_iter().for_each(|it| it.fail(WriteError::Full));
    }

    /// The state of the writes.
    pub(super) fn health(&self) -> StoreHealth {
        self.waiting.lock().health.clone()
    }

    /// Blocks until the batches that nobody waits for are durable, for so long at most. Returns the
    /// number of rows that are not.
    pub(super) fn flush(&self, patience: Duration) -> usize {
        let now = Instant::now();
        let mut waiting = self.waiting.lock();
        waiting.is_urgent = true;
        if let Some(failing) = &mut waiting.failing {
            failing.retry_at = now;
        }
        self.due.notify_one();
        while 0 < waiting.health.waiting_rows {
            let left = patience.saturating_sub(now.elapsed());
            if self.tried.wait_for(&mut waiting, left).timed_out() {
                break;
            }
        }
        waiting.health.waiting_rows
    }

    /// Refuses further batches. Queued ones are still taken.
    pub(super) fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.due.notify_one();
    }

    /// Closes the queue and fails all queued batches.
    pub(super) fn abandon(&self) {
        self.close();
        let batches = mem::take(&mut self.waiting.lock().batches);
        batches.into_iter().for_each(|it| it.fail(WriteError::Ended));
    }
}

impl QueuedWrites {
    fn is_due(&self) -> bool {
        self.is_urgent || self.is_closed || BATCHES_MAX <= self.batches.len()
    }

    /// Takes out the batches that somebody waits for.
    fn refuse(&mut self) -> Vec<WriteBatch> {
        if !mem::take(&mut self.is_urgent) {
            return Vec::new();
        }
        let refused: VecDeque<_>;
        (refused, self.batches) =
            mem::take(&mut self.batches).into_iter().partition(|it| it.is_awaited);
        self.health.failures += refused.len() as u64;
        refused.into()
    }

    /// Takes out the oldest batches that nobody waits for, if too many rows wait.
    fn drop_oldest(&mut self) -> Vec<WriteBatch> {
        let mut dropped = Vec::new();
        while ROWS_MAX < self.health.waiting_rows
            && let Some(at) = self.batches.iter().position(|it| !it.is_awaited)
            && let Some(batch) = self.batches.remove(at)
        {
            let rows = batch.soon_rows();
            self.health.waiting_rows -= rows;
            let before = self.health.dropped_rows;
            self.health.dropped_rows += rows as u64;
            // Logged ever more rarely: the log is on a disk, too.
            if before.checked_ilog2() != self.health.dropped_rows.checked_ilog2() {
                let lost = self.health.dropped_rows;
                tracing::error!(lost, "rows of the oldest calls are lost: {DROPPED}");
            }
            dropped.push(batch);
        }
        dropped
    }
}

/// The reason why rows are dropped, for the log.
const DROPPED: &str = "more than 100,000 rows wait for the store, which cannot write or is slow";

impl WriteBatch {
    /// The number of rows that nobody waits for.
    fn soon_rows(&self) -> usize {
        if self.is_awaited { 0 } else { self.writes.len() }
    }

    fn fail(self, error: WriteError) {
        (self.done)(Err(error));
    }
}

impl fmt::Debug for WriteBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBatch").field("writes", &self.writes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
