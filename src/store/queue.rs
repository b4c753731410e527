//! Queue to the writer thread: awaited writes go at once, others are collected for a while.
//!
//! An awaited write takes the collected ones along. Waking a thread costs more than handing it a
//! row, so a collected row wakes nobody.
//!
//! The log's queue is also taken as a whole by a thread, but the two share no more than that (a
//! lock, a vector and a condition variable): here the taker lingers, a batch is bounded, and a
//! closed queue fails what is pushed; there, bytes are bounded, what does not fit is counted, and
//! the taker's vector is reused. A common type would be longer than what it saves.

use std::{fmt, mem, time::Duration};

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use super::rows::{OnCommit, RowStoreError, RowWrite};

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
    linger: Duration,
}

#[derive(Debug, Default)]
struct QueuedWrites {
    batches: Vec<WriteBatch>,
    is_awaited: bool,
    is_closed: bool,
    /// The thread has seen the first batch, and waits for more.
    is_lingering: bool,
}

/// Bound of one transaction.
const BATCHES_MAX: usize = 4_096;

impl WriteQueue {
    /// An empty queue that holds writes that nobody waits for back for `linger`.
    pub(super) fn new(linger: Duration) -> Self {
        Self { waiting: Mutex::default(), due: Condvar::new(), linger }
    }

    /// Hands a batch to the writer thread; if that has ended, the batch fails.
    pub(super) fn push(&self, batch: WriteBatch) {
        let mut waiting = self.waiting.lock();
        if waiting.is_closed {
            drop(waiting);
            return batch.fail();
        }
        // The first batch starts the thread's linger timer.
        let is_first = waiting.batches.is_empty();
        waiting.is_awaited |= batch.is_awaited;
        waiting.batches.push(batch);
        let wakes = is_first || (waiting.is_lingering && waiting.is_due());
        drop(waiting);
        if wakes {
            self.due.notify_one();
        }
    }

    /// Blocks until batches are due, and returns them in order; None once the queue is closed and
    /// empty.
    pub(super) fn take(&self) -> Option<Vec<WriteBatch>> {
        let mut waiting = self.waiting.lock();
        while waiting.batches.is_empty() {
            if waiting.is_closed {
                return None;
            }
            self.due.wait(&mut waiting);
        }
        let begin = Instant::now();
        waiting.is_lingering = true;
        while !waiting.is_due() {
            let left = self.linger.saturating_sub(begin.elapsed());
            if left.is_zero() {
                break;
            }
            self.due.wait_for(&mut waiting, left);
        }
        waiting.is_lingering = false;
        let rest = waiting.batches.len().min(BATCHES_MAX);
        let rest = waiting.batches.split_off(rest);
        waiting.is_awaited = rest.iter().any(|it| it.is_awaited);
        Some(mem::replace(&mut waiting.batches, rest))
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
        batches.into_iter().for_each(WriteBatch::fail);
    }
}

impl QueuedWrites {
    fn is_due(&self) -> bool {
        self.is_awaited || self.is_closed || BATCHES_MAX <= self.batches.len()
    }
}

impl WriteBatch {
    fn fail(self) {
        (self.done)(Err(RowStoreError("the store's writer has ended".to_owned())));
    }
}

impl fmt::Debug for WriteBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBatch").field("writes", &self.writes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, mpsc},
        thread,
    };

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn batch(is_awaited: bool) -> WriteBatch {
        WriteBatch { writes: Vec::new(), done: Box::new(drop), is_awaited }
    }

    fn queue(linger: Duration, batches: &[bool]) -> Arc<WriteQueue> {
        let queue = WriteQueue::new(linger);
        batches.iter().for_each(|it| queue.push(batch(*it)));
        Arc::new(queue)
    }

    /// The number of batches in each take.
    fn take_counts(queue: &Arc<WriteQueue>) -> mpsc::Receiver<Option<usize>> {
        let (queue, (tell, told)) = (queue.clone(), mpsc::channel());
        thread::spawn(move || {
            loop {
                let taken = queue.take().map(|it| it.len());
                if tell.send(taken).is_err() || taken.is_none() {
                    return;
                }
            }
        });
        told
    }

    fn next(told: &mpsc::Receiver<Option<usize>>) -> Option<usize> {
        told.recv_timeout(HOUR / 60).expect("they come together at once")
    }

    #[test]
    fn what_somebody_waits_for_goes_at_once_and_takes_the_others_along() {
        let queue = queue(HOUR, &[false, true, false]);
        let told = take_counts(&queue);
        assert_eq!(next(&told), Some(3));
        queue.push(batch(true));
        assert_eq!(next(&told), Some(1));
        queue.push(batch(false));
        while !queue.waiting.lock().is_lingering {
            thread::yield_now();
        }
        queue.push(batch(true));
        assert_eq!(next(&told), Some(2));
        queue.close();
    }

    #[test]
    fn the_end_waits_for_nothing_and_loses_nothing() {
        let queue = queue(HOUR, &[false, false]);
        let told = take_counts(&queue);
        queue.close();
        assert_eq!((next(&told), next(&told)), (Some(2), None));
    }

    #[test]
    fn what_nobody_waits_for_is_not_gathered_for_ever() {
        assert_eq!(queue(Duration::ZERO, &[false]).take().unwrap().len(), 1);
        let queue = queue(Duration::from_millis(1), &[false]);
        assert_eq!(next(&take_counts(&queue)), Some(1));
        queue.close();
    }

    #[test]
    fn one_take_is_bounded_and_the_rest_is_next() {
        let queue = queue(HOUR, &vec![false; BATCHES_MAX]);
        let told = take_counts(&queue);
        assert_eq!(next(&told), Some(BATCHES_MAX));
        drop(told);
        let mut waits = vec![false; BATCHES_MAX + 1];
        waits[BATCHES_MAX] = true;
        let queue = self::queue(HOUR, &waits);
        let told = take_counts(&queue);
        assert_eq!((next(&told), next(&told)), (Some(BATCHES_MAX), Some(1)));
        queue.close();
    }

    #[test]
    fn a_batch_pushed_after_the_writer_has_ended_fails() {
        let (tell, told) = mpsc::channel();
        let awaited = || {
            let tell = tell.clone();
            let done = move |it: Result<(), RowStoreError>| tell.send(it.is_err()).unwrap();
            WriteBatch { writes: Vec::new(), done: Box::new(done), is_awaited: true }
        };
        let queue = queue(HOUR, &[]);
        queue.push(awaited());
        queue.abandon();
        queue.push(awaited());
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [true, true]);
    }
}
