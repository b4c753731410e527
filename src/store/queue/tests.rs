//! Tests of the write queue: when batches are taken, and what becomes of them if they fail.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use super::*;
use crate::store::rows::Table;

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
        let done = move |it: Result<(), WriteError>| tell.send(it.is_err()).unwrap();
        WriteBatch { writes: Vec::new(), done: Box::new(done), is_awaited: true }
    };
    let queue = queue(HOUR, &[]);
    queue.push(awaited());
    queue.abandon();
    queue.push(awaited());
    assert_eq!(told.iter().take(2).collect::<Vec<_>>(), [true, true]);
}

/// A batch of rows that reports its result with its number.
fn row_batch(
    n: usize,
    is_awaited: bool,
    tell: &mpsc::Sender<(usize, Result<(), WriteError>)>,
) -> WriteBatch {
    let tell = tell.clone();
    let row = RowWrite::delete(Table::Cdrs, &"MA1".parse().unwrap(), n as u64);
    let done: OnCommit = Box::new(move |it| drop(tell.send((n, it))));
    WriteBatch { writes: vec![row], done, is_awaited }
}

fn numbers(batches: &[WriteBatch]) -> Vec<u64> {
    batches.iter().flat_map(|it| &it.writes).map(|it| it.a).collect()
}

#[test]
fn after_a_failed_write_some_are_refused_at_once_and_the_others_are_tried_again_in_order() {
    let (tell, told) = mpsc::channel();
    let queue = WriteQueue::new(Duration::ZERO);
    for (n, is_awaited) in [(1, false), (2, true), (3, false)] {
        queue.push(row_batch(n, is_awaited, &tell));
    }
    queue.fail(queue.take().unwrap(), WriteError::Full, "so");
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [(2, Err(WriteError::Full))]);
    queue.push(row_batch(4, true, &tell));
    let begin = Instant::now();
    let taken = queue.take().unwrap();
    assert!(RETRY_INTERVAL / 2 < begin.elapsed(), "a pause before the next attempt");
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [(4, Err(WriteError::Full))]);
    assert_eq!(numbers(&taken), [1, 3]);
    queue.fail(taken, WriteError::Io, "so");
    queue.push(row_batch(5, false, &tell));
    let StoreHealth { error, failures, waiting_rows, .. } = queue.health();
    assert_eq!((error, failures, waiting_rows), (Some(WriteError::Io), 3, 3));
    assert_eq!(queue.flush(Duration::ZERO), 3);
    let taken = queue.take().unwrap();
    assert_eq!(numbers(&taken), [1, 3, 5]);
    queue.succeed(taken);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [1, 3, 5].map(|n| (n, Ok(()))));
    let health = queue.health();
    assert_eq!((health.error, health.waiting_rows, health.dropped_rows), (None, 0, 0));
    queue.push(row_batch(6, true, &tell));
    assert_eq!(numbers(&queue.take().unwrap()), [6]);
}

#[test]
fn without_rows_that_wait_an_empty_write_shows_that_the_disk_has_room_again() {
    let (tell, _told) = mpsc::channel();
    let queue = WriteQueue::new(Duration::ZERO);
    queue.push(row_batch(1, true, &tell));
    queue.fail(queue.take().unwrap(), WriteError::Full, "so");
    let taken = queue.take().unwrap();
    assert!(taken.is_empty() && queue.health().error.is_some());
    queue.succeed(taken);
    assert_eq!(queue.health().error, None);
}

#[test]
fn too_many_rows_cost_the_oldest_and_are_counted() {
    let (tell, told) = mpsc::channel();
    let queue = WriteQueue::new(HOUR);
    queue.push(row_batch(0, true, &tell));
    (1..=ROWS_MAX + 2).for_each(|n| queue.push(row_batch(n, false, &tell)));
    let lost: Vec<_> = told.try_iter().map(|(n, it)| (n, it.is_err())).collect();
    assert_eq!(lost, [(1, true), (2, true)]);
    let health = queue.health();
    assert_eq!((health.waiting_rows, health.dropped_rows), (ROWS_MAX, 2));
    assert_eq!(numbers(&queue.take().unwrap())[..2], [0, 3], "who waits is not dropped");
}

#[test]
fn a_closed_queue_tries_once_more_and_then_drops_all() {
    let (tell, told) = mpsc::channel();
    let queue = WriteQueue::new(Duration::ZERO);
    queue.push(row_batch(1, false, &tell));
    queue.fail(queue.take().unwrap(), WriteError::Full, "so");
    assert_eq!(queue.flush(Duration::from_millis(1)), 1);
    queue.close();
    let taken = queue.take().unwrap();
    assert_eq!(numbers(&taken), [1]);
    queue.fail(taken, WriteError::Full, "so");
    assert!(queue.take().is_none());
    assert!(told.try_iter().all(|(n, it)| n == 1 && it.is_err()));
    assert_eq!(queue.health().dropped_rows, 1);
}
