//! Delivery machine: queues, back-offs, and slots for requests.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    AGE_MAX, BACKOFF_MIN, BY_CALL_IN_FLIGHT_MAX, Command, DeliveryItem, DeliveryLimits,
    DeliveryTicket, DropReason, Effect, Outcome, QueueKey, QueueOwner, SPARE_PART, due,
    lengths::QueueLengths,
    round_robin::{QueueId, RoundRobin},
};
use crate::base::ids::AccountId;

/// Callbacks in flight and waiting. See the [module](super).
#[derive(Debug)]
pub struct Delivery<P> {
    limits: DeliveryLimits,
    queues: BTreeMap<QueueId, DeliveryQueue<P>>,
    queue_ids: BTreeMap<QueueKey, QueueId>,
    next_queue: u64,
    next_ticket: u64,
    in_flight: BTreeMap<DeliveryTicket, QueueId>,
    backing_off: BTreeSet<(Instant, QueueId)>,
    /// Queues by call, grouped by conference and URL.
    call_limits: BTreeMap<(QueueOwner, Arc<str>), CallLimit>,
    receivers: BTreeMap<Arc<str>, ReceiverHealth>,
    /// Two sets of slots: for receivers that respond, and for those that fail.
    healthy: RoundRobin,
    failing: RoundRobin,
    lengths: QueueLengths,
    item_count: usize,
    is_closed: bool,
}

#[derive(Debug)]
struct DeliveryQueue<P> {
    account: AccountId,
    key: QueueKey,
    receiver: Arc<str>,
    items: VecDeque<QueuedItem<P>>,
    phase: QueuePhase,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum QueuePhase {
    /// Too many queues of its limit are active.
    AtCallLimit,
    /// Waits for a slot.
    Ready,
    /// A request is in flight.
    InFlight { is_failing: bool },
    /// Waits for the time of its next attempt.
    BackingOff(Instant),
}

#[derive(Debug)]
struct QueuedItem<P> {
    item: DeliveryItem<P>,
    queued_at: Instant,
    first_try: Option<Instant>,
    /// Those of earlier processes included.
    attempts: u8,
}

/// Queues by call of one conference and URL.
#[derive(Debug, Default)]
struct CallLimit {
    /// Queues that are ready or in flight.
    active: usize,
    waiting: VecDeque<QueueId>,
}

#[derive(Debug, Default)]
struct ReceiverHealth {
    queues: usize,
    /// Whether the last response was a failure.
    is_failing: bool,
}

impl<P> QueuedItem<P> {
    /// Whether there is no attempt after the one that fails now.
    fn is_last(&self, now: Instant) -> bool {
        AGE_MAX <= self.item.age + (now - self.queued_at) || self.item.attempts_max <= self.attempts
    }

    /// The time of the attempt after the one that fails now.
    fn retry_at(&self, now: Instant) -> Instant {
        // After a start, back-offs are short again.
        let due = self.first_try.unwrap_or(now) + due(self.attempts - self.item.attempts_before);
        due.max(now + BACKOFF_MIN)
    }
}

impl<P: Clone> Delivery<P> {
    /// A machine without queues.
    pub fn new(limits: DeliveryLimits) -> Self {
        // A queue needs two items: one may be in flight, and the other can be dropped.
        let queue_items_max = limits.queue_items_max.max(2);
        Self {
            limits: DeliveryLimits { queue_items_max, ..limits },
            queues: BTreeMap::new(),
            queue_ids: BTreeMap::new(),
            next_queue: 0,
            next_ticket: 0,
            in_flight: BTreeMap::new(),
            backing_off: BTreeSet::new(),
            call_limits: BTreeMap::new(),
            receivers: BTreeMap::new(),
            healthy: RoundRobin::new(limits.in_flight_max, limits.in_flight_per_receiver_max),
            failing: RoundRobin::new(
                limits.failing_in_flight_max,
                limits.failing_in_flight_per_receiver_max,
            ),
            lengths: QueueLengths::default(),
            item_count: 0,
            is_closed: false,
        }
    }

    /// Applies a command, and appends its effects in order.
    pub fn handle(&mut self, now: Instant, command: Command<P>, effects: &mut VecDeque<Effect<P>>) {
        match command {
            Command::Queue(item) => self.enqueue(now, item, effects),
            Command::Done { ticket, outcome } => self.done(now, ticket, outcome, effects),
            Command::Tick => self.end_backoffs(now),
            Command::Close => self.close(effects),
        }
        self.start_requests(now, effects);
    }

    /// Time when [`Command::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.backing_off.first().map(|(at, _)| *at)
    }

    /// The pause before the next attempt, if the request with this ticket fails now; None: there is
    /// no other one.
    pub fn pause_after(&self, now: Instant, ticket: &DeliveryTicket) -> Option<Duration> {
        let head = self.queue_state(*self.in_flight.get(ticket)?).items.front()?;
        (!self.is_closed && !head.is_last(now)).then(|| head.retry_at(now) - now)
    }

    /// Number of items, including those in flight.
    pub fn len(&self) -> usize {
        self.item_count
    }

    /// Whether there is nothing to do, now or later.
    pub fn is_empty(&self) -> bool {
        self.item_count == 0
    }

    /// Number of requests in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Time since which the oldest item has waited. Scans every queue.
    pub fn oldest(&self) -> Option<Instant> {
        self.queues.values().filter_map(|queue| queue.items.front()).map(|it| it.queued_at).min()
    }

    /// Panics if an invariant does not hold. For tests: it checks everything.
    pub fn check(&self) {
        let count = |is: &dyn Fn(QueuePhase) -> bool| {
            self.queues.values().filter(|queue| is(queue.phase)).count()
        };
        let items: usize = self.queues.values().map(|queue| queue.items.len()).sum();
        assert_eq!(items, self.item_count);
        assert!(self.queues.values().all(|queue| !queue.items.is_empty()), "an empty queue stays");
        assert_eq!(self.queues.len(), self.queue_ids.len());
        assert_eq!(self.queues.len(), self.lengths.len());
        let queues: usize = self.receivers.values().map(|it| it.queues).sum();
        assert_eq!(self.queues.len(), queues);
        assert_eq!(self.in_flight.len(), count(&|it| matches!(it, QueuePhase::InFlight { .. })));
        assert_eq!(self.backing_off.len(), count(&|it| matches!(it, QueuePhase::BackingOff(_))));
        let at_limit: usize = self.call_limits.values().map(|it| it.waiting.len()).sum();
        assert_eq!(at_limit, count(&|it| it == QueuePhase::AtCallLimit));
        assert!(self.call_limits.values().all(|it| it.active <= BY_CALL_IN_FLIGHT_MAX));
        assert_eq!(
            self.healthy.waiting() + self.failing.waiting(),
            count(&|it| it == QueuePhase::Ready)
        );
        assert_eq!(self.healthy.in_flight() + self.failing.in_flight(), self.in_flight.len());
        let is_failing = |it: &Arc<str>| self.receivers[it].is_failing;
        assert!(
            self.healthy.waiting_receivers().all(|it| !is_failing(it)),
            "a failing receiver waits with the healthy ones"
        );
        assert!(
            self.failing.waiting_receivers().all(is_failing),
            "a healthy receiver waits with the failing ones"
        );
    }

    fn enqueue(&mut self, now: Instant, item: DeliveryItem<P>, effects: &mut VecDeque<Effect<P>>) {
        if self.is_closed {
            effects.push_back(Effect::Dropped { why: DropReason::Closed, attempts: 0, item });
            return;
        }
        if self.limits.items_max <= self.item_count && !self.make_room(&item.account, effects) {
            effects.push_back(Effect::Dropped { why: DropReason::Full, attempts: 0, item });
            return;
        }

        let attempts = item.attempts_before;
        let queued = |item| QueuedItem { item, queued_at: now, first_try: None, attempts };
        match self.queue_ids.get(&item.queue).copied() {
            Some(id) => {
                if self.limits.queue_items_max <= self.queue_state(id).items.len() {
                    self.drop_oldest(id, effects);
                }
                self.edit_items(id, |queue| queue.push_back(queued(item)));
            }
            None => {
                let id = self.open_queue(&item);
                self.edit_items(id, |queue| queue.push_back(queued(item)));
                self.try_ready(id);
            }
        }
    }

    fn done(
        &mut self,
        now: Instant,
        ticket: DeliveryTicket,
        outcome: Outcome,
        effects: &mut VecDeque<Effect<P>>,
    ) {
        let Some(id) = self.in_flight.remove(&ticket) else { return };
        self.release_request(id);
        self.note_health(id, outcome != Outcome::Arrived);

        let head = self.queue_state(id).items.front().expect("an item in flight is in its queue");
        let attempts = head.attempts;
        let (is_last, retry_at) = (head.is_last(now), head.retry_at(now));
        match outcome {
            Outcome::Arrived => {
                let head = self.pop(id, 0);
                let (lag, payload) = (now - head.queued_at, head.item.payload);
                effects.push_back(Effect::Delivered { lag, attempts, payload });
                self.continue_queue(id, None);
            }
            Outcome::Refused => {
                self.give_up(id, DropReason::Refused, effects);
                self.continue_queue(id, None);
            }
            Outcome::Failed if self.is_closed => {
                self.give_up(id, DropReason::Closed, effects);
                self.continue_queue(id, None);
            }
            Outcome::Failed if is_last => {
                self.give_up(id, DropReason::Exhausted, effects);
                self.continue_queue(id, Some(now + BACKOFF_MIN));
            }
            Outcome::Failed => {
                self.continue_queue(id, Some(retry_at));
            }
        }
    }

    fn end_backoffs(&mut self, now: Instant) {
        while let Some((at, id)) = self.backing_off.first().copied().filter(|(at, _)| *at <= now) {
            self.backing_off.remove(&(at, id));
            self.try_ready(id);
        }
    }

    fn close(&mut self, effects: &mut VecDeque<Effect<P>>) {
        self.is_closed = true;
        for id in self.queues.keys().copied().collect::<Vec<_>>() {
            let first = self.in_flight_at_head(id);
            while first < self.queue_state(id).items.len() {
                let QueuedItem { item, attempts, .. } = self.pop(id, first);
                effects.push_back(Effect::Dropped { why: DropReason::Closed, attempts, item });
            }
            if first == 0 {
                self.remove_queue(id);
            }
        }
        self.backing_off.clear();
        self.call_limits.values_mut().for_each(|limit| limit.waiting.clear());
        self.healthy.clear();
        self.failing.clear();
    }

    /// Starts every request that has a slot.
    fn start_requests(&mut self, now: Instant, effects: &mut VecDeque<Effect<P>>) {
        while let Some(id) = self.healthy.next() {
            self.start_request(now, id, false, effects);
        }
        while let Some(id) = self.failing.next() {
            self.start_request(now, id, true, effects);
        }
    }

    fn start_request(
        &mut self,
        now: Instant,
        id: QueueId,
        is_failing: bool,
        effects: &mut VecDeque<Effect<P>>,
    ) {
        self.next_ticket += 1;
        let ticket = DeliveryTicket(self.next_ticket);
        self.in_flight.insert(ticket, id);

        let state = self.queue_state_mut(id);
        state.phase = QueuePhase::InFlight { is_failing };
        let head = state.items.front_mut().expect("a queue is never empty");
        head.attempts = head.attempts.saturating_add(1);
        head.first_try.get_or_insert(now);
        let (attempt, load) = (head.attempts, head.item.payload.clone());
        effects.push_back(Effect::Send { ticket, attempt, payload: load });
    }

    /// Moves a receiver's queues to the slots that match its health.
    fn note_health(&mut self, id: QueueId, is_failing: bool) {
        let receiver = Arc::clone(&self.queue_state(id).receiver);
        let health = self.receivers.get_mut(&receiver).expect("a queue's receiver is known");
        if health.is_failing == is_failing {
            return;
        }
        health.is_failing = is_failing;
        match is_failing {
            true => self.healthy.move_receiver(receiver, &mut self.failing),
            false => self.failing.move_receiver(receiver, &mut self.healthy),
        }
    }

    /// Frees the slot of a request that has ended.
    fn release_request(&mut self, id: QueueId) {
        let state = self.queue_state(id);
        let (receiver, phase) = (Arc::clone(&state.receiver), state.phase);
        match phase {
            QueuePhase::InFlight { is_failing: true } => self.failing.release(&receiver),
            QueuePhase::InFlight { is_failing: false } => self.healthy.release(&receiver),
            QueuePhase::AtCallLimit | QueuePhase::Ready | QueuePhase::BackingOff(_) => (),
        }
        self.release_call_limit(id);
    }

    /// Continues a queue after a request: at once, or after a back-off.
    fn continue_queue(&mut self, id: QueueId, backoff: Option<Instant>) {
        if self.queue_state(id).items.is_empty() {
            return self.remove_queue(id);
        }
        match backoff {
            None => self.try_ready(id),
            Some(at) => {
                self.queue_state_mut(id).phase = QueuePhase::BackingOff(at);
                self.backing_off.insert((at, id));
            }
        }
    }

    /// Makes an idle queue ready, unless its limit is reached.
    fn try_ready(&mut self, id: QueueId) {
        let state = self.queue_state(id);
        if state.key.by_call.is_some() {
            let key = (state.key.owner, Arc::clone(&state.key.url));
            let limit = self.call_limits.entry(key).or_default();
            if BY_CALL_IN_FLIGHT_MAX <= limit.active {
                limit.waiting.push_back(id);
                self.queue_state_mut(id).phase = QueuePhase::AtCallLimit;
                return;
            }
            limit.active += 1;
        }
        self.make_ready(id);
    }

    fn make_ready(&mut self, id: QueueId) {
        self.queue_state_mut(id).phase = QueuePhase::Ready;
        let receiver = Arc::clone(&self.queue_state(id).receiver);
        match self.receivers[&receiver].is_failing {
            true => self.failing.wait(receiver, id),
            false => self.healthy.wait(receiver, id),
        }
    }

    fn release_call_limit(&mut self, id: QueueId) {
        let queue = &self.queue_state(id).key;
        if queue.by_call.is_none() {
            return;
        }
        let key = (queue.owner, Arc::clone(&queue.url));
        let limit = self.call_limits.get_mut(&key).expect("an active queue by call has a limit");
        match limit.waiting.pop_front() {
            Some(next) => self.make_ready(next),
            None => {
                limit.active -= 1;
                if limit.active == 0 {
                    self.call_limits.remove(&key);
                }
            }
        }
    }

    /// Drops the head of a queue.
    fn give_up(&mut self, id: QueueId, why: DropReason, effects: &mut VecDeque<Effect<P>>) {
        let QueuedItem { item, attempts, .. } = self.pop(id, 0);
        effects.push_back(Effect::Dropped { why, attempts, item });
    }

    /// Drops the oldest item of the longest queue of the account that has the most items. If each of
    /// its queues has only one, other accounts have spare room; false if there is none.
    fn make_room(&mut self, account: &AccountId, effects: &mut VecDeque<Effect<P>>) -> bool {
        let items_max = self.limits.items_max;
        match self.lengths.longest() {
            Some((_, length, id)) if 2 <= length => {
                self.drop_oldest(id, effects);
                true
            }
            Some((most, ..)) => {
                most != account && self.item_count < items_max + items_max / SPARE_PART
            }
            None => false,
        }
    }

    /// Drops the oldest item that is not in flight, from a queue of two or more.
    fn drop_oldest(&mut self, id: QueueId, effects: &mut VecDeque<Effect<P>>) {
        let index = self.in_flight_at_head(id);
        let QueuedItem { item, attempts, .. } = self.pop(id, index);
        effects.push_back(Effect::Dropped { why: DropReason::Full, attempts, item });
    }

    /// Items at the head of a queue that are in flight: 0 or 1.
    fn in_flight_at_head(&self, id: QueueId) -> usize {
        match self.queue_state(id).phase {
            QueuePhase::InFlight { .. } => 1,
            QueuePhase::AtCallLimit | QueuePhase::Ready | QueuePhase::BackingOff(_) => 0,
        }
    }

    fn open_queue(&mut self, item: &DeliveryItem<P>) -> QueueId {
        self.next_queue += 1;
        let id = QueueId(self.next_queue);
        let (key, receiver) = (item.queue.clone(), Arc::clone(&item.receiver));
        self.queue_ids.insert(key.clone(), id);
        self.receivers.entry(Arc::clone(&receiver)).or_default().queues += 1;
        self.lengths.add(&item.account, id);
        let (account, items, phase) = (item.account.clone(), VecDeque::new(), QueuePhase::Ready);
        self.queues.insert(id, DeliveryQueue { account, key, receiver, items, phase });
        id
    }

    /// Removes an empty queue completely.
    fn remove_queue(&mut self, id: QueueId) {
        let Some(state) = self.queues.remove(&id) else { return };
        self.queue_ids.remove(&state.key);
        self.lengths.remove(&state.account, id);
        let receiver = self.receivers.get_mut(&state.receiver);
        let receiver = receiver.expect("a queue's receiver is known");
        receiver.queues -= 1;
        if receiver.queues == 0 {
            self.receivers.remove(&state.receiver);
        }
    }

    fn pop(&mut self, id: QueueId, index: usize) -> QueuedItem<P> {
        let item = self.edit_items(id, |queue| queue.remove(index));
        item.expect("the caller has seen it there")
    }

    /// Changes the items of a queue, and updates the counts.
    fn edit_items<T>(
        &mut self,
        id: QueueId,
        change: impl FnOnce(&mut VecDeque<QueuedItem<P>>) -> T,
    ) -> T {
        let DeliveryQueue { account, items, .. } =
            self.queues.get_mut(&id).expect("an id belongs to a queue");
        let before = items.len();
        let result = change(items);
        let after = items.len();
        self.lengths.change(account, id, before, after);
        self.item_count = self.item_count + after - before;
        result
    }

    fn queue_state(&self, id: QueueId) -> &DeliveryQueue<P> {
        &self.queues[&id]
    }

    fn queue_state_mut(&mut self, id: QueueId) -> &mut DeliveryQueue<P> {
        self.queues.get_mut(&id).expect("an id belongs to a queue")
    }
}
