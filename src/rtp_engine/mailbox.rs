//! How orders reach a tick thread, and take effect before the one who gives them goes on.
//!
//! A queue that never waits, and two counters beside it. The thread marks each single packet
//! before it makes it, and then looks whether an order has been posted: if so it takes its orders
//! first. The one who posts looks at the mark, and waits only if a packet that his order concerns
//! is being made at that very moment: some microseconds. So no packet is made behind the back of
//! an order that has been posted, and no lock is held across a packet.

use std::{
    hint,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use crate::base::ids::{CallId, RoomId};

/// Where orders are posted. Cheap to clone.
#[derive(Debug)]
pub(super) struct Post<T> {
    queue: Sender<T>,
    gate: Arc<Gate>,
}

/// Where a tick thread finds its orders.
#[derive(Debug)]
pub(super) struct Desk<T> {
    queue: Receiver<T>,
    gate: Arc<Gate>,
    /// Orders up to this one have been taken.
    taken: u64,
    /// How many had been posted when it was begun to take them; none in between.
    round: Option<u64>,
}

/// What kind of packet is being made: with the sound of a room, or what one call alone hears.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Mark(u64);

/// For whose packets an order waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Concern {
    /// Those with this mark.
    Only(Mark),
    /// All.
    Any,
    /// None: what it brings is heard soon enough.
    Nothing,
}

/// An order that has been posted, and may still be overtaken by a packet.
#[must_use = "an order takes effect when it is awaited"]
#[derive(Debug)]
pub(super) struct Posted<'a> {
    gate: &'a Gate,
    number: u64,
}

#[derive(Debug, Default)]
struct Gate {
    /// Orders posted, ever.
    posted: AtomicU64,
    /// Of these, orders taken.
    taken: AtomicU64,
    /// The mark of the packet that is being made, or nothing.
    making: AtomicU64,
}

/// No packet is being made.
const NOTHING: u64 = 0;

/// A packet is out within so many turns, unless its thread has lost its core: then ours may go
/// to it.
const SPINS: u32 = 200;

/// A post and its desk.
pub(super) fn desk<T>() -> (Post<T>, Desk<T>) {
    let (sender, receiver) = mpsc::channel();
    let gate = Arc::new(Gate::default());
    let post = Post { queue: sender, gate: Arc::clone(&gate) };
    (post, Desk { queue: receiver, gate, taken: 0, round: None })
}

impl Mark {
    /// Of what one call alone hears.
    pub(super) fn of_call(call: CallId) -> Self {
        Self(call.0.as_u128() as u64 | 1)
    }

    /// Of what is heard in a room.
    pub(super) fn of_room(room: RoomId) -> Self {
        Self((room.0.as_u128() as u64 | 2) & !1)
    }
}

impl<T> Post<T> {
    /// Posts an order: it comes behind those that were posted before. A thread that has ended
    /// makes no packets; what it is told is dropped.
    pub(super) fn post(&self, order: T) -> Posted<'_> {
        drop(self.queue.send(order));
        let number = self.gate.posted.fetch_add(1, Ordering::SeqCst) + 1;
        Posted { gate: &self.gate, number }
    }
}

impl<T> Clone for Post<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), gate: Arc::clone(&self.gate) }
    }
}

impl Posted<'_> {
    /// Waits until no packet is under way that concerns it: from then on it is in effect.
    pub(super) fn settle(self, concern: Concern) {
        let mut spins = 0;
        while concern.is_of(self.gate.making.load(Ordering::SeqCst))
            && self.gate.taken.load(Ordering::SeqCst) < self.number
        {
            spins += 1;
            if spins < SPINS { hint::spin_loop() } else { thread::yield_now() }
        }
    }
}

impl Concern {
    fn is_of(self, making: u64) -> bool {
        match self {
            Self::Only(mark) => making == mark.0,
            Self::Any => making != NOTHING,
            Self::Nothing => false,
        }
    }
}

impl<T> Desk<T> {
    /// The next order. None: all that had been posted when this was asked first are taken.
    pub(super) fn take(&mut self) -> Option<T> {
        let posted = *self.round.get_or_insert_with(|| self.gate.posted.load(Ordering::SeqCst));
        if let Ok(order) = self.queue.try_recv() {
            return Some(order);
        }
        (self.taken, self.round) = (posted, None);
        self.gate.taken.store(posted, Ordering::SeqCst);
        None
    }

    /// Begins a packet. False: orders have been posted, and come first.
    #[must_use]
    pub(super) fn begin(&self, mark: Mark) -> bool {
        self.gate.making.store(mark.0, Ordering::SeqCst);
        let is_clear = self.gate.posted.load(Ordering::SeqCst) == self.taken;
        if !is_clear {
            self.end();
        }
        is_clear
    }

    /// The packet is out.
    pub(super) fn end(&self) {
        self.gate.making.store(NOTHING, Ordering::SeqCst);
    }
}

impl<T> Drop for Desk<T> {
    /// A thread that ends, by whatever fault, keeps nobody waiting.
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn take_all(desk: &mut Desk<u32>) -> Vec<u32> {
        std::iter::from_fn(|| desk.take()).collect()
    }

    #[test]
    fn orders_are_taken_in_the_order_of_posting() {
        let (post, mut desk) = desk();
        (1..4).for_each(|it| post.post(it).settle(Concern::Any));
        assert_eq!(take_all(&mut desk), [1, 2, 3]);
        assert_eq!(take_all(&mut desk), [0; 0]);
    }

    #[test]
    fn no_packet_begins_while_an_order_waits() {
        let (post, mut desk) = desk();
        let mark = Mark::of_room(RoomId::of(7));
        assert!(desk.begin(mark));
        desk.end();
        post.post(1).settle(Concern::Any);
        assert!(!desk.begin(mark));
        take_all(&mut desk);
        assert!(desk.begin(mark));
    }

    #[test]
    fn an_order_waits_for_the_packets_that_it_concerns_and_no_other() {
        let (room, call) = (Mark::of_room(RoomId::of(7)), Mark::of_call(CallId::of(7)));
        assert_ne!(room, call);
        let (post, desk) = desk();
        assert!(desk.begin(room));
        post.post(1).settle(Concern::Only(call));
        post.post(2).settle(Concern::Nothing);

        let is_out = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                post.post(3).settle(Concern::Only(room));
                assert!(is_out.load(Ordering::SeqCst), "it went on before the packet was out");
            });
            (0..100).for_each(|_| thread::yield_now());
            is_out.store(true, Ordering::SeqCst);
            desk.end();
        });
    }

    #[test]
    fn an_order_that_has_been_taken_waits_for_nothing() {
        let room = Mark::of_room(RoomId::of(7));
        let (post, mut desk) = desk();
        let posted = post.post(1);
        take_all(&mut desk);
        assert!(desk.begin(room));
        posted.settle(Concern::Only(room));
    }

    #[test]
    fn nothing_is_made_behind_the_back_of_an_order() {
        const ROUNDS: u32 = 20_000;
        let (post, mut desk) = desk::<u32>();
        let mark = Mark::of_room(RoomId::of(7));
        // What the last packet said, and what the orders have settled on.
        let (said, settled) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..=ROUNDS {
                    post.post(n).settle(Concern::Only(mark));
                    settled.store(n.into(), Ordering::SeqCst);
                }
            });
            let mut word = 0;
            while word < ROUNDS {
                while !desk.begin(mark) {
                    word = take_all(&mut desk).last().copied().unwrap_or(word);
                }
                // Here the packet is made: by an order that had settled before it was begun.
                let before = settled.load(Ordering::SeqCst);
                assert!(before <= u64::from(word), "{before} had settled, {word} was said");
                said.store(word.into(), Ordering::SeqCst);
                desk.end();
            }
        });
        assert_eq!(said.into_inner(), u64::from(ROUNDS));
    }
}
