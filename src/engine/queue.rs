//! Queue of an actor: unbounded, with one sender and one receiver.
//!
//! Items come in the order in which they were sent, except that items which need not wait may
//! overtake those of a second lane, one for one.
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

/// The receiving end.
#[derive(Debug)]
pub(super) struct QueueReceiver<T>(Arc<Mutex<QueueState<T>>>);

#[derive(Debug)]
struct QueueState<T> {
    /// The first lane, with the number of items of the second one that were sent before.
    waiting: VecDeque<(u64, T)>,
    /// The second lane.
    later: VecDeque<T>,
    /// The number of items of the second lane that have been taken.
    later_taken: u64,
    /// The first item waits for those of the second lane that were sent before it.
    first_waits: bool,
    /// The last item has overtaken one of the second lane, which comes next.
    later_is_due: bool,
    /// The receiver's, while it waits.
    waker: Option<Waker>,
    is_open: bool,
}

/// A larger buffer, needed by a burst, is freed once it is empty.
const CAPACITY_KEPT: usize = 8;

/// Makes an empty queue.
pub(super) fn queue<T>() -> (QueueSender<T>, QueueReceiver<T>) {
    let state = QueueState {
        waiting: VecDeque::new(),
        later: VecDeque::new(),
        later_taken: 0,
        first_waits: false,
        later_is_due: false,
        waker: None,
        is_open: true,
    };
    let state = Arc::new(Mutex::new(state));
    (QueueSender(state.clone()), QueueReceiver(state))
}

impl<T> QueueSender<T> {
    /// Never waits. Hands the item back if the queue is closed.
    pub(super) fn send(&self, thing: T) -> Result<(), T> {
        self.push(thing, |state, thing| {
            let later_sent = state.later_taken + state.later.len() as u64;
            state.waiting.push_back((later_sent, thing));
        })
    }

    /// As [`Self::send`], to the second lane.
    pub(super) fn send_later(&self, thing: T) -> Result<(), T> {
        self.push(thing, |state, thing| state.later.push_back(thing))
    }

    fn push(&self, thing: T, push: impl FnOnce(&mut QueueState<T>, T)) -> Result<(), T> {
        let mut state = self.0.lock();
        if !state.is_open {
            return Err(thing);
        }
        push(&mut state, thing);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl<T> QueueReceiver<T> {
    /// The next item, without waiting; None if there is none. `waits` says whether an item must not
    /// overtake those of the second lane.
    pub(super) fn try_recv(&mut self, waits: impl FnOnce(&T) -> bool) -> Option<T> {
        self.0.lock().take(waits)
    }

    /// The next item of the second lane, if the first is empty.
    pub(super) fn try_recv_later(&mut self) -> Option<T> {
        let mut state = self.0.lock();
        if state.waiting.is_empty() { state.take_later() } else { None }
    }

    /// Whether there are items, all of them in the second lane.
    pub(super) fn has_only_later(&self) -> bool {
        let state = self.0.lock();
        state.waiting.is_empty() && !state.later.is_empty()
    }

    /// Waits until there is an item. Cancel safe.
    pub(super) async fn ready(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    /// Refuses further items. Those in the queue can still be received.
    pub(super) fn close(&mut self) {
        self.0.lock().is_open = false;
    }

    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if !(state.waiting.is_empty() && state.later.is_empty()) {
            return Poll::Ready(());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => state.waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl<T> Drop for QueueReceiver<T> {
    /// Drops the items that are left, so that those who wait for their answers learn it.
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_open = false;
        let (waiting, later) = (mem::take(&mut state.waiting), mem::take(&mut state.later));
        drop(state);
        drop((waiting, later));
    }
}

impl<T> QueueState<T> {
    fn take(&mut self, waits: impl FnOnce(&T) -> bool) -> Option<T> {
        let Some((later_sent, first)) = self.waiting.front() else { return self.take_later() };
        let overtakes = self.later_taken < *later_sent;
        // It waits until then: to ask again could take long each time.
        self.first_waits = overtakes && (self.first_waits || waits(first));
        if overtakes && (self.first_waits || self.later_is_due) {
            return self.take_later();
        }
        self.later_is_due = overtakes;
        take_first(&mut self.waiting).map(|(_, thing)| thing)
    }

    fn take_later(&mut self) -> Option<T> {
        let thing = take_first(&mut self.later)?;
        self.later_taken += 1;
        self.later_is_due = false;
        Some(thing)
    }
}

fn take_first<T>(lane: &mut VecDeque<T>) -> Option<T> {
    let thing = lane.pop_front()?;
    if lane.is_empty() && CAPACITY_KEPT < lane.capacity() {
        *lane = VecDeque::new();
    }
    Some(thing)
}

#[cfg(test)]
mod tests {
    use std::{
        iter,
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use super::*;

    #[tokio::test]
    async fn a_waiting_receiver_is_woken_and_gets_all_in_order() {
        let (sender, mut receiver) = queue();
        let reader = tokio::spawn(async move {
            let mut read = Vec::new();
            while read.len() < 200 {
                receiver.ready().await;
                read.extend(iter::from_fn(|| receiver.try_recv(|_| true)));
            }
            read
        });
        tokio::task::yield_now().await;
        (0..100).for_each(|n| sender.send(n).unwrap());
        tokio::task::yield_now().await;
        (100..200).for_each(|n| sender.send(n).unwrap());
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
    fn each_wait_is_woken_once() {
        let ((sender, mut receiver), wakes) = (queue(), Arc::new(Wakes::default()));
        let waker = wakes.clone().into();
        let context = Context::from_waker(&waker);
        let check = |receiver: &QueueReceiver<u8>, expected, wakes_expected| {
            assert_eq!(wakes.0.load(Ordering::Relaxed), wakes_expected);
            assert_eq!(receiver.poll(&context), expected);
        };
        check(&receiver, Poll::Pending, 0);
        sender.send(1).unwrap();
        sender.send_later(2).unwrap();
        check(&receiver, Poll::Ready(()), 1);
        let both = [(); 2].map(|()| receiver.try_recv(|_| true));
        assert_eq!(both, [Some(1), Some(2)]);
        check(&receiver, Poll::Pending, 1);
        sender.send_later(3).unwrap();
        check(&receiver, Poll::Ready(()), 2);
    }

    /// Items of ten and more are of the second lane.
    fn received(items: &[u8], waits: impl Fn(u8) -> bool) -> Vec<u8> {
        let (sender, mut receiver) = queue();
        for item in items {
            match item {
                10.. => sender.send_later(*item).unwrap(),
                _ => sender.send(*item).unwrap(),
            }
        }
        iter::from_fn(|| receiver.try_recv(|it| waits(*it))).collect()
    }

    #[test]
    fn items_that_wait_keep_the_order_of_sending() {
        let items = [10, 1, 2, 11, 12, 3, 13, 4];
        assert_eq!(received(&items, |_| true), items);
    }

    #[test]
    fn items_that_do_not_wait_overtake_the_second_lane_one_for_one() {
        let items = [10, 11, 12, 13, 1, 2, 3, 14];
        assert_eq!(received(&items, |_| false), [1, 10, 2, 11, 3, 12, 13, 14]);
        // The second one is about all that were sent before it.
        assert_eq!(received(&items, |it| it == 2), [1, 10, 11, 12, 13, 2, 3, 14]);
    }

    #[test]
    fn an_undeliverable_item_comes_back() {
        let (sender, mut receiver) = queue();
        assert_eq!((sender.send(1), receiver.try_recv(|_| true)), (Ok(()), Some(1)));
        assert_eq!(receiver.try_recv(|_| true), None);
        assert_eq!(sender.send(2), Ok(()));
        receiver.close();
        assert_eq!((sender.send(3), receiver.try_recv(|_| true)), (Err(3), Some(2)));
        assert_eq!(sender.send_later(4), Err(4));
    }

    #[test]
    fn items_are_dropped_with_the_receiver() {
        let (sender, receiver) = queue();
        let thing = Arc::new(());
        sender.send(thing.clone()).unwrap();
        sender.send_later(thing.clone()).unwrap();
        drop(receiver);
        assert_eq!(Arc::strong_count(&thing), 1);
        assert_eq!(sender.send(thing.clone()), Err(thing));
    }

    #[test]
    fn a_burst_leaves_no_memory_allocated() {
        let (sender, mut receiver) = queue();
        (0..1_000).for_each(|n| sender.send(n).unwrap());
        while receiver.try_recv(|_| true).is_some() {}
        assert!(receiver.0.lock().waiting.capacity() <= CAPACITY_KEPT);
    }
}
