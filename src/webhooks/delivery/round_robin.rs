//! Round robin: limits requests in total and per receiver, and serves receivers in turn.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Id of a queue; valid while the queue has items.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct QueueId(pub(super) u64);

/// Slots for requests, and the queues that wait for them.
#[derive(Debug)]
pub(super) struct RoundRobin {
    max: usize,
    per_receiver_max: usize,
    in_flight: usize,
    receivers: BTreeMap<Arc<str>, ReceiverSlot>,
    /// Receivers with a queue that may start a request, each once.
    rotation: VecDeque<Arc<str>>,
}

#[derive(Debug, Default)]
struct ReceiverSlot {
    in_flight: usize,
    queues: VecDeque<QueueId>,
    is_in_rotation: bool,
}

impl RoundRobin {
    pub(super) fn new(max: usize, per_receiver_max: usize) -> Self {
        let (max, per_receiver_max) = (max.max(1), per_receiver_max.max(1));
        Self {
            max,
            per_receiver_max,
            in_flight: 0,
            receivers: BTreeMap::new(),
            rotation: VecDeque::new(),
        }
    }

    /// Adds a queue that waits for a slot.
    pub(super) fn wait(&mut self, receiver: Arc<str>, queue: QueueId) {
        self.receivers.entry(Arc::clone(&receiver)).or_default().queues.push_back(queue);
        self.enter_rotation(receiver);
    }

    /// Takes a slot for the next queue; [`Self::release`] frees it.
    pub(super) fn next(&mut self) -> Option<QueueId> {
        if self.max <= self.in_flight {
            return None;
        }

        let receiver = self.rotation.pop_front()?;
        let slot =
            self.receivers.get_mut(&receiver).expect("a receiver in the rotation has an entry");
        slot.is_in_rotation = false;
        let queue = slot.queues.pop_front().expect("a receiver in the rotation has a queue");
        slot.in_flight += 1;
        self.in_flight += 1;
        self.enter_rotation(receiver);
        Some(queue)
    }

    /// Frees a slot that [`Self::next`] took.
    pub(super) fn release(&mut self, receiver: &Arc<str>) {
        let slot =
            self.receivers.get_mut(receiver).expect("a receiver with a request has an entry");
        slot.in_flight -= 1;
        self.in_flight -= 1;
        if slot.in_flight == 0 && slot.queues.is_empty() {
            self.receivers.remove(receiver);
            return;
        }
        self.enter_rotation(Arc::clone(receiver));
    }

    /// Moves a receiver's waiting queues to `to`, where none of them waits yet.
    pub(super) fn move_receiver(&mut self, receiver: Arc<str>, to: &mut Self) {
        let Some(slot) = self.receivers.get_mut(&receiver) else { return };
        let queues = std::mem::take(&mut slot.queues);
        if std::mem::take(&mut slot.is_in_rotation) {
            self.rotation.retain(|it| *it != receiver);
        }
        if slot.in_flight == 0 {
            self.receivers.remove(&receiver);
        }
        if !queues.is_empty() {
            to.receivers.entry(Arc::clone(&receiver)).or_default().queues = queues;
            to.enter_rotation(receiver);
        }
    }

    /// Number of slots in use.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Number of queues that wait.
    pub(super) fn waiting(&self) -> usize {
        self.receivers.values().map(|slot| slot.queues.len()).sum()
    }

    /// Receivers whose queues wait.
    pub(super) fn waiting_receivers(&self) -> impl Iterator<Item = &Arc<str>> {
        self.receivers.iter().filter(|(_, slot)| !slot.queues.is_empty()).map(|(it, _)| it)
    }

    /// Removes all waiting queues. Slots in use stay until they are released.
    pub(super) fn clear(&mut self) {
        self.rotation.clear();
        self.receivers.retain(|_, slot| {
            slot.queues.clear();
            slot.is_in_rotation = false;
            slot.in_flight != 0
        });
    }

    fn enter_rotation(&mut self, receiver: Arc<str>) {
        let Some(slot) = self.receivers.get_mut(&receiver) else { return };
        let is_ready = !slot.is_in_rotation
            && !slot.queues.is_empty()
            && slot.in_flight < self.per_receiver_max;
        if is_ready {
            slot.is_in_rotation = true;
            self.rotation.push_back(receiver);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Queues 10, 11, … wait for receiver 1, queues 20, 21, … for receiver 2, and so on.
    fn round_robin(max: usize, per_receiver_max: usize, queues: &[u64]) -> RoundRobin {
        let mut round_robin = RoundRobin::new(max, per_receiver_max);
        queues.iter().for_each(|queue| round_robin.wait(receiver(*queue), QueueId(*queue)));
        round_robin
    }

    fn receiver(queue: u64) -> Arc<str> {
        (queue / 10).to_string().into()
    }

    fn all(round_robin: &mut RoundRobin) -> Vec<u64> {
        std::iter::from_fn(|| round_robin.next()).map(|it| it.0).collect()
    }

    #[test]
    fn receivers_are_served_in_turn_however_many_queues_each_has() {
        let check = |max, per_receiver_max, queues: &[u64], expected: &[u64]| {
            assert_eq!(
                all(&mut round_robin(max, per_receiver_max, queues)),
                expected,
                "{queues:?}"
            );
        };

        check(9, 9, &[10, 11, 12, 20, 30], &[10, 20, 30, 11, 12]);
        check(4, 9, &[10, 11, 12, 20, 30], &[10, 20, 30, 11]);
        check(9, 2, &[10, 11, 12, 20, 30], &[10, 20, 30, 11]);
        check(9, 1, &[10, 11, 12, 20, 30], &[10, 20, 30]);
        check(0, 0, &[10, 20], &[10]);
        check(9, 9, &[], &[]);
    }

    #[test]
    fn a_released_slot_goes_to_the_next_receiver() {
        let mut round_robin = round_robin(2, 1, &[10, 11, 20, 30]);
        assert_eq!(all(&mut round_robin), [10, 20]);
        round_robin.release(&receiver(10));
        assert_eq!(all(&mut round_robin), [30]);
        round_robin.release(&receiver(30));
        assert_eq!(all(&mut round_robin), [11]);
        round_robin.release(&receiver(11));
        round_robin.release(&receiver(20));
        assert_eq!(
            (all(&mut round_robin), round_robin.receivers.len(), round_robin.in_flight),
            (vec![], 0, 0)
        );
    }

    #[test]
    fn a_moved_receiver_waits_there_and_ends_its_requests_here() {
        let mut from = round_robin(1, 1, &[10, 11, 12, 20]);
        let mut to = round_robin(9, 9, &[30, 31]);
        assert_eq!(all(&mut from), [10]);
        from.move_receiver(receiver(10), &mut to);
        from.move_receiver(receiver(90), &mut to);
        assert_eq!(all(&mut to), [30, 11, 31, 12]);
        assert_eq!((from.waiting(), from.in_flight()), (1, 1));
        from.release(&receiver(10));
        assert_eq!(all(&mut from), [20]);
        assert_eq!(from.receivers.len(), 1);
    }

    #[test]
    fn after_a_clear_requests_in_flight_end_and_none_follows() {
        let mut round_robin = round_robin(2, 1, &[10, 11, 20, 30]);
        assert_eq!(all(&mut round_robin), [10, 20]);
        round_robin.clear();
        round_robin.release(&receiver(10));
        round_robin.release(&receiver(20));
        assert_eq!((all(&mut round_robin), round_robin.receivers.len()), (vec![], 0));
    }
}
