//! Queue of an actor: unbounded, with one sender and one receiver.
//!
//! Each room has one, and most of them are empty. An empty queue takes some hundred bytes here, and
//! 1,000 or more with tokio's channel, which allocates slots in blocks.
//!
//! The queues of the log and of the store are other things: threads wait for them, and take all
//! that is in them at once.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

/// The sending end of a queue.
#[derive(Debug)]
pub(super) struct QueueSender<T>(Arc<Mutex<QueueState<T>>>);

/// The receiving end. It gets items in the order in which they were sent.
#[derive(Debug)]
pub(super) struct QueueReceiver<T>(Arc<Mutex<QueueState<T>>>);

#[derive(Debug)]
struct QueueState<T> {
    waiting: VecDeque<T>,
    /// The receiver's, while it waits.
    waker: Option<Waker>,
    has_sender: bool,
    is_open: bool,
}

/// The reason why nothing was received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RecvError {
    /// The queue is empty, and the sender exists.
    Empty,
    /// The queue is empty, and the sender is gone.
    Disconnected,
}

/// A larger buffer, needed by a burst, is freed once it is empty.
const CAPACITY_KEPT: usize = 8;

/// Makes an empty queue.
pub(super) fn queue<T>() -> (QueueSender<T>, QueueReceiver<T>) {
    let (waiting, waker) = (VecDeque::new(), None);
    let state = QueueState { waiting, waker, has_sender: true, is_open: true };
    let state = Arc::new(Mutex::new(state));
    (QueueSender(state.clone()), QueueReceiver(state))
}

impl<T> QueueSender<T> {
    /// Never waits. Hands the item back if the queue is closed.
    pub(super) fn send(&self, thing: T) -> Result<(), T> {
        let mut state = self.0.lock();
        if !state.is_open {
            return Err(thing);
        }
        state.waiting.push_back(thing);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl<T> Drop for QueueSender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.has_sender = false;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> QueueReceiver<T> {
    /// The next item, without waiting.
    pub(super) fn try_recv(&mut self) -> Result<T, RecvError> {
        self.0.lock().take()
    }

    /// Waits for the next item; None once the queue is empty and the sender is gone. Cancel safe.
    pub(super) async fn recv(&mut self) -> Option<T> {
        poll_fn(|context| self.poll(context)).await
    }

    /// Refuses further items. Those in the queue can still be received.
    pub(super) fn close(&mut self) {
        self.0.lock().is_open = false;
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        match state.take() {
            Ok(thing) => Poll::Ready(Some(thing)),
            Err(RecvError::Disconnected) => Poll::Ready(None),
            Err(RecvError::Empty) => {
                match &mut state.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => state.waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for QueueReceiver<T> {
    /// Drops the items that are left, so that those who wait for their answers learn it.
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_open = false;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }
}

impl<T> QueueState<T> {
    fn take(&mut self) -> Result<T, RecvError> {
        match self.waiting.pop_front() {
            Some(thing) => {
                if self.waiting.is_empty() && CAPACITY_KEPT < self.waiting.capacity() {
                    self.waiting = VecDeque::new();
                }
                Ok(thing)
            }
            None if self.has_sender => Err(RecvError::Empty),
            None => Err(RecvError::Disconnected),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use super::*;

    #[tokio::test]
    async fn a_waiting_receiver_is_woken_and_gets_all_in_order() {
        let (sender, mut receiver) = queue();
        let reader = tokio::spawn(async move {
            let mut read = Vec::new();
            while let Some(thing) = receiver.recv().await {
                read.push(thing);
            }
            read
        });
        tokio::task::yield_now().await;
        (0..100).for_each(|n| sender.send(n).unwrap());
        tokio::task::yield_now().await;
        (100..200).for_each(|n| sender.send(n).unwrap());
        drop(sender);
        assert_eq!(reader.await.unwrap(), Vec::from_iter(0..200));
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_wait_is_woken_once_by_an_item_or_by_the_end() {
        let ((sender, receiver), wakes) = (queue(), Arc::new(Wakes::default()));
        let waker = wakes.clone().into();
        let context = Context::from_waker(&waker);
        let check = |expected, wakes_expected| {
            assert_eq!(wakes.0.load(Ordering::Relaxed), wakes_expected);
            assert_eq!(receiver.poll(&context), expected);
        };
        check(Poll::Pending, 0);
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        check(Poll::Ready(Some(1)), 1);
        check(Poll::Ready(Some(2)), 1);
        check(Poll::Pending, 1);
        drop(sender);
        check(Poll::Ready(None), 2);
    }

    #[test]
    fn an_undeliverable_item_comes_back() {
        let (sender, mut receiver) = queue();
        assert_eq!((sender.send(1), receiver.try_recv()), (Ok(()), Ok(1)));
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
        assert_eq!(sender.send(2), Ok(()));
        receiver.close();
        assert_eq!((sender.send(3), receiver.try_recv()), (Err(3), Ok(2)));
        drop(sender);
        assert_eq!(receiver.try_recv(), Err(RecvError::Disconnected));
    }

    #[test]
    fn items_are_dropped_with_the_receiver() {
        let (sender, receiver) = queue();
        let thing = Arc::new(());
        sender.send(thing.clone()).unwrap();
        drop(receiver);
        assert_eq!(Arc::strong_count(&thing), 1);
        assert_eq!(sender.send(thing.clone()), Err(thing));
    }

    #[test]
    fn a_burst_leaves_no_memory_allocated() {
        let (sender, mut receiver) = queue();
        (0..1_000).for_each(|n| sender.send(n).unwrap());
        while receiver.try_recv().is_ok() {}
        assert!(receiver.0.lock().waiting.capacity() <= CAPACITY_KEPT);
    }
}
