//! The queue that leads to an actor: unbounded, with one reader.
//!
//! There is one for each room, and most of them are empty. Such a one takes some hundred bytes;
//! tokio's, which takes its places by the block, 1,000 and more.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

/// Puts things in.
#[derive(Debug)]
pub(super) struct Sender<T>(Arc<Mutex<State<T>>>);

/// Takes them out, in order.
#[derive(Debug)]
pub(super) struct Receiver<T>(Arc<Mutex<State<T>>>);

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    /// Of the reader, while it waits.
    waker: Option<Waker>,
    has_sender: bool,
    is_open: bool,
}

/// Nothing is in the queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Nothing {
    /// For now.
    Empty,
    /// For ever.
    Disconnected,
}

/// What a burst has needed is too much to keep.
const CAPACITY_KEPT: usize = 8;

/// An empty queue.
pub(super) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let (waiting, waker) = (VecDeque::new(), None);
    let state = State { waiting, waker, has_sender: true, is_open: true };
    let state = Arc::new(Mutex::new(state));
    (Sender(state.clone()), Receiver(state))
}

impl<T> Sender<T> {
    /// Never waits. Hands the thing back if nobody takes anything out any more.
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

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.has_sender = false;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Receiver<T> {
    /// The next thing, or why there is none.
    pub(super) fn try_recv(&mut self) -> Result<T, Nothing> {
        self.0.lock().take()
    }

    /// The next thing, once there is one; None if there will be none. Nothing is lost if it is not
    /// waited for to the end.
    pub(super) async fn recv(&mut self) -> Option<T> {
        poll_fn(|context| self.poll(context)).await
    }

    /// From now on, nothing is put in. What is in can be taken out.
    pub(super) fn close(&mut self) {
        self.0.lock().is_open = false;
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        match state.take() {
            Ok(thing) => Poll::Ready(Some(thing)),
            Err(Nothing::Disconnected) => Poll::Ready(None),
            Err(Nothing::Empty) => {
                match &mut state.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => state.waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    /// Whoever waits for an answer to what is still in there learns that none will come.
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_open = false;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }
}

impl<T> State<T> {
    fn take(&mut self) -> Result<T, Nothing> {
        match self.waiting.pop_front() {
            Some(thing) => {
                if self.waiting.is_empty() && CAPACITY_KEPT < self.waiting.capacity() {
                    self.waiting = VecDeque::new();
                }
                Ok(thing)
            }
            None if self.has_sender => Err(Nothing::Empty),
            None => Err(Nothing::Disconnected),
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
    async fn who_waits_is_woken_and_gets_all_in_order() {
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
    fn each_wait_is_woken_once_by_what_comes_or_by_the_end() {
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
    fn what_cannot_be_delivered_comes_back() {
        let (sender, mut receiver) = queue();
        assert_eq!((sender.send(1), receiver.try_recv()), (Ok(()), Ok(1)));
        assert_eq!(receiver.try_recv(), Err(Nothing::Empty));
        assert_eq!(sender.send(2), Ok(()));
        receiver.close();
        assert_eq!((sender.send(3), receiver.try_recv()), (Err(3), Ok(2)));
        drop(sender);
        assert_eq!(receiver.try_recv(), Err(Nothing::Disconnected));
    }

    #[test]
    fn what_nobody_will_take_out_is_let_go() {
        let (sender, receiver) = queue();
        let thing = Arc::new(());
        sender.send(thing.clone()).unwrap();
        drop(receiver);
        assert_eq!(Arc::strong_count(&thing), 1);
        assert_eq!(sender.send(thing.clone()), Err(thing));
    }

    #[test]
    fn a_burst_leaves_no_memory_behind() {
        let (sender, mut receiver) = queue();
        (0..1_000).for_each(|n| sender.send(n).unwrap());
        while receiver.try_recv().is_ok() {}
        assert!(receiver.0.lock().waiting.capacity() <= CAPACITY_KEPT);
    }
}
