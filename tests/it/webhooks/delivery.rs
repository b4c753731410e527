//! The delivery machine: order, retries, and giving up.

mod lives;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use conflow::{
    base::ids::{CallId, RoomId},
    webhooks::delivery::{
        AGE_MAX, ATTEMPTS_DUE, ATTEMPTS_MAX, BACKOFF_MIN, BY_CALL_IN_FLIGHT_MAX, Command, Delivery,
        DeliveryItem, DeliveryLimits, DeliveryTicket, DropReason, Effect, Outcome, QueueKey,
        QueueOwner,
    },
};
use fastrand::Rng;
use tokio::time::Instant as Clock;

/// A payload: its queue and its number.
type Payload = (QueueKey, u64);

const SECOND: Duration = Duration::from_secs(1);

/// Room `room` and receiver `receiver`; ordered by call, unless `call` is 0.
fn queue_key(room: u128, receiver: u128, call: u128) -> QueueKey {
    QueueKey {
        owner: QueueOwner::Room(RoomId::of(room)),
        url: format!("http://receiver{receiver}.example/cb").into(),
        by_call: (call != 0).then_some(CallId::of(call)),
    }
}

fn item(key: &QueueKey, sequence: u64) -> DeliveryItem<Payload> {
    let receiver = Arc::clone(&key.url);
    let load = (key.clone(), sequence);
    DeliveryItem {
        account: "MA1".parse().unwrap(),
        queue: key.clone(),
        receiver,
        sequence,
        attempts_max: ATTEMPTS_MAX,
        attempts_before: 0,
        age: Duration::ZERO,
        payload: load,
    }
}

/// A delivery machine, its clock, and its effects.
struct Harness {
    delivery: Delivery<Payload>,
    start: Instant,
    now: Instant,
    /// Requests in flight, oldest first.
    in_flight: VecDeque<(DeliveryTicket, u8, Payload)>,
    delivered: usize,
    dropped: Vec<(DropReason, u8, u64)>,
}

impl Harness {
    fn new(limits: DeliveryLimits) -> Self {
        let start = Clock::now().into_std();
        let delivery = Delivery::new(limits);
        let flying = VecDeque::new();
        Self { delivery, start, now: start, in_flight: flying, delivered: 0, dropped: Vec::new() }
    }

    fn handle(&mut self, command: Command<Payload>) {
        let mut effects = VecDeque::new();
        self.delivery.handle(self.now, command, &mut effects);
        self.delivery.check();
        for effect in effects {
            match effect {
                Effect::Send { ticket, attempt, payload: load } => {
                    self.in_flight.push_back((ticket, attempt, load));
                }
                Effect::Delivered { .. } => self.delivered += 1,
                Effect::Dropped { why, attempts, item: parcel } => {
                    self.dropped.push((why, attempts, parcel.sequence));
                }
            }
        }
    }

    fn queue(&mut self, key: &QueueKey, sequences: impl IntoIterator<Item = u64>) {
        sequences.into_iter().for_each(|it| self.handle(Command::Queue(item(key, it))));
    }

    /// Ends the request with this number.
    fn end(&mut self, sequence: u64, outcome: Outcome) {
        let index = self.in_flight.iter().position(|(.., load)| load.1 == sequence);
        let (ticket, ..) = self.in_flight.remove(index.unwrap()).unwrap();
        self.handle(Command::Done { ticket, outcome });
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.handle(Command::Tick);
    }

    /// The numbers in flight.
    fn sent(&self) -> Vec<u64> {
        self.in_flight.iter().map(|(.., load)| load.1).collect()
    }
}

#[test]
fn a_queue_keeps_its_order_with_one_request_in_flight_and_queues_do_not_wait_for_each_other() {
    let mut harness = Harness::new(DeliveryLimits::default());
    harness.queue(&queue_key(1, 1, 0), [1, 2, 3]);
    harness.queue(&queue_key(2, 1, 0), [11, 12]);
    harness.queue(&queue_key(1, 2, 0), [21]);
    assert_eq!(harness.sent(), [1, 11, 21]);
    harness.end(1, Outcome::Failed);
    assert_eq!(harness.sent(), [11, 21]);
    harness.end(11, Outcome::Arrived);
    assert_eq!(harness.sent(), [21, 12]);
    harness.wait(SECOND);
    assert_eq!(harness.sent(), [21, 12, 1]);
    harness.end(1, Outcome::Arrived);
    harness.end(2, Outcome::Arrived);
    for sequence in [12, 21, 3] {
        harness.end(sequence, Outcome::Arrived);
    }
    assert!(harness.delivery.is_empty() && harness.delivery.deadline().is_none());
    assert_eq!((harness.delivered, harness.dropped.len()), (6, 0));
}

#[test]
fn there_are_twelve_tries_in_ten_minutes_then_one_each_ten_for_a_day_and_then_the_next_item() {
    let check = |takes: Duration, expected: &[u64]| {
        let mut harness = Harness::new(DeliveryLimits::default());
        harness.queue(&queue_key(1, 1, 0), [1, 2]);
        let mut starts = Vec::new();
        loop {
            starts.push((harness.now - harness.start).as_secs());
            assert_eq!(harness.in_flight[0].1 as usize, starts.len());
            harness.now += takes;
            harness.end(1, Outcome::Failed);
            if !harness.dropped.is_empty() {
                break;
            }
            harness.now = harness.delivery.deadline().unwrap();
            harness.wait(Duration::ZERO);
        }
        let later = (2..=144).map(|it| it * 600);
        let expected: Vec<_> = expected.iter().copied().chain(later).collect();
        assert_eq!(starts, expected, "{takes:?}");
        assert_eq!(harness.dropped, [(DropReason::Exhausted, ATTEMPTS_MAX, 1)]);
        // The receiver is still dead, so the next item is not tried at once.
        assert_eq!(harness.sent(), [0; 0]);
        harness.wait(BACKOFF_MIN);
        assert_eq!(harness.sent(), [2]);
    };

    check(Duration::ZERO, &ATTEMPTS_DUE);
    // A try that takes long delays those soon after it, and none of the later ones.
    check(10 * SECOND, &[0, 11, 22, 33, 44, 55, 90, 150, 240, 360, 480, 600]);
}

#[test]
fn a_url_may_set_fewer_tries() {
    for attempts_max in 1..=6 {
        let mut harness = Harness::new(DeliveryLimits::default());
        let item = DeliveryItem { attempts_max, ..item(&queue_key(1, 1, 0), 1) };
        harness.handle(Command::Queue(item));
        for _ in 0..attempts_max {
            harness.now = harness.delivery.deadline().unwrap_or(harness.now);
            harness.wait(Duration::ZERO);
            harness.end(1, Outcome::Failed);
        }
        assert_eq!(harness.dropped, [(DropReason::Exhausted, attempts_max, 1)]);
        assert!(harness.delivery.is_empty());
    }
}

#[test]
fn an_item_queued_for_a_day_gets_one_try() {
    let mut harness = Harness::new(DeliveryLimits::default());
    harness.queue(&queue_key(1, 1, 0), [1, 2, 3]);
    harness.wait(AGE_MAX);
    harness.queue(&queue_key(1, 1, 0), [4]);
    harness.end(1, Outcome::Failed);
    harness.wait(BACKOFF_MIN);
    harness.end(2, Outcome::Failed);
    assert_eq!(harness.dropped, [(DropReason::Exhausted, 1, 1), (DropReason::Exhausted, 1, 2)]);
    harness.wait(BACKOFF_MIN);
    harness.end(3, Outcome::Arrived);
    harness.end(4, Outcome::Failed);
    assert_eq!((harness.delivered, harness.dropped.len()), (1, 2));
}

/// Issue 15: a start is no new day, and no new count.
#[test]
fn an_item_of_an_earlier_process_is_as_old_as_it_was() {
    let mut harness = Harness::new(DeliveryLimits::default());
    let earlier = |sequence: u64, age, attempts_before| {
        let item = item(&queue_key(sequence.into(), 1, 0), sequence);
        Command::Queue(DeliveryItem { age, attempts_before, ..item })
    };
    harness.handle(earlier(1, AGE_MAX - SECOND, 9));
    harness.handle(earlier(2, Duration::ZERO, ATTEMPTS_MAX - 1));
    harness.handle(earlier(3, AGE_MAX - SECOND, 9));
    assert_eq!(harness.in_flight.iter().map(|it| it.1).collect::<Vec<_>>(), [10, 155, 10]);
    harness.end(2, Outcome::Failed);
    assert_eq!(harness.dropped, [(DropReason::Exhausted, ATTEMPTS_MAX, 2)]);
    harness.end(1, Outcome::Failed);
    // The back-offs begin again, since the receiver may be back as well.
    harness.wait(SECOND);
    assert_eq!(harness.sent(), [3, 1]);
    harness.end(1, Outcome::Failed);
    harness.end(3, Outcome::Failed);
    let last: Vec<_> = harness.dropped[1..].iter().map(|it| (it.1, it.2)).collect();
    assert_eq!(last, [(11, 1), (10, 3)]);
}

#[test]
fn a_refused_item_is_given_up_and_delays_nothing() {
    let mut harness = Harness::new(DeliveryLimits::default());
    harness.queue(&queue_key(1, 1, 0), [1, 2]);
    harness.end(1, Outcome::Refused);
    assert_eq!((harness.sent(), &*harness.dropped), (vec![2], &[(DropReason::Refused, 1, 1)][..]));
}

#[test]
fn by_call_order_is_kept_per_call_and_sixteen_are_in_flight() {
    let mut harness = Harness::new(DeliveryLimits::default());
    for call in 1..=20 {
        let first = call as u64 * 10;
        harness.queue(&queue_key(1, 1, call), [first, first + 1]);
    }
    let firsts: Vec<_> = (1..=BY_CALL_IN_FLIGHT_MAX as u64).map(|it| it * 10).collect();
    assert_eq!(harness.sent(), firsts);
    // Another room, and the same room with another receiver, have their own limits.
    harness.queue(&queue_key(2, 1, 1), [1_000]);
    harness.queue(&queue_key(1, 2, 1), [2_000]);
    assert_eq!(harness.sent()[16..], [1_000, 2_000]);

    // A call that waits for a retry makes way; one that continues goes to the end of the line.
    harness.end(10, Outcome::Failed);
    assert_eq!(harness.sent()[17..], [170]);
    harness.end(20, Outcome::Arrived);
    assert_eq!(harness.sent()[17..], [180]);
    harness.end(30, Outcome::Arrived);
    harness.end(40, Outcome::Arrived);
    assert_eq!(harness.sent()[12..], [1_000, 2_000, 170, 180, 190, 200]);
    harness.end(170, Outcome::Arrived);
    assert_eq!(harness.sent()[17..], [21]);
}

#[test]
fn a_full_queue_and_a_full_dispatcher_drop_the_oldest_that_is_not_in_flight() {
    let limits = DeliveryLimits { queue_items_max: 3, items_max: 6, ..DeliveryLimits::default() };
    let mut harness = Harness::new(limits);
    harness.queue(&queue_key(1, 1, 0), 1..=5);
    let full = |sequence| (DropReason::Full, 0, sequence);
    assert_eq!(harness.dropped, [full(2), full(3)]);
    // An item that waits for a retry is not in flight.
    harness.end(1, Outcome::Failed);
    harness.queue(&queue_key(1, 1, 0), [6]);
    assert_eq!(harness.dropped[2..], [(DropReason::Full, 1, 1)]);
    // The longest queue loses an item in favour of another.
    harness.queue(&queue_key(2, 2, 0), [21, 22]);
    harness.queue(&queue_key(3, 3, 0), [31, 32]);
    assert_eq!(harness.dropped[3..], [full(4)]);
    // A queue never loses its only item.
    let mut harness = Harness::new(DeliveryLimits { items_max: 2, ..limits });
    harness.queue(&queue_key(1, 1, 0), [1]);
    harness.queue(&queue_key(2, 2, 0), [2]);
    harness.queue(&queue_key(3, 3, 0), [3]);
    assert_eq!((harness.sent(), &*harness.dropped), (vec![1, 2], &[full(3)][..]));
}

#[test]
fn an_account_with_many_callbacks_takes_the_room_of_no_other() {
    let limits = DeliveryLimits { items_max: 9, ..DeliveryLimits::default() };
    let mut harness = Harness::new(limits);
    let of = |account: &str, room, sequence| {
        let account = account.parse().unwrap();
        Command::Queue(DeliveryItem { account, ..item(&queue_key(room, 1, 0), sequence) })
    };
    (1..=3).for_each(|n| harness.handle(of("MA2", 1, n)));
    // Each call of the other account has one callback.
    (10..=15).for_each(|n| harness.handle(of("MA1", n, n as u64)));
    assert_eq!(harness.dropped, []);
    let full = |sequence| (DropReason::Full, 0, sequence);
    harness.handle(of("MA1", 16, 16));
    assert_eq!(harness.dropped, [full(16)]);
    // There is spare room for the others, and no more than that.
    (4..=5).for_each(|n| harness.handle(of("MA2", n.into(), n)));
    assert_eq!((harness.dropped.len(), harness.delivery.len()), (1, 11));
    harness.handle(of("MA3", 30, 30));
    assert_eq!(harness.dropped[1..], [full(30)]);
}

#[test]
fn failing_receivers_share_few_requests_until_they_answer_and_healthy_ones_have_their_own() {
    let limits = DeliveryLimits {
        in_flight_max: 4,
        in_flight_per_receiver_max: 3,
        failing_in_flight_max: 2,
        failing_in_flight_per_receiver_max: 1,
        ..DeliveryLimits::default()
    };
    let mut harness = Harness::new(limits);
    // Ten rooms send to receiver 1, which is dead: three find out, then one at a time tries.
    (0..10).for_each(|n| harness.queue(&queue_key(n as u128, 1, 0), [n]));
    assert_eq!(harness.sent(), [0, 1, 2]);
    harness.end(0, Outcome::Failed);
    assert_eq!(harness.sent(), [1, 2, 3]);
    harness.end(1, Outcome::Failed);
    harness.end(2, Outcome::Failed);
    assert_eq!(harness.sent(), [3]);
    // Healthy receivers are as fast as ever.
    (20..25).for_each(|n| harness.queue(&queue_key(n as u128, 2, 0), [n]));
    assert_eq!(harness.sent(), [3, 20, 21, 22]);
    // It is back, and gets as many as it can take.
    harness.end(3, Outcome::Arrived);
    assert_eq!(harness.sent(), [20, 21, 22, 4]);
    harness.end(20, Outcome::Arrived);
    assert_eq!(harness.sent(), [21, 22, 4, 5]);
    harness.end(21, Outcome::Arrived);
    assert_eq!(harness.sent(), [22, 4, 5, 23]);
}

#[test]
fn at_the_close_requests_in_flight_end_and_the_rest_is_given_up() {
    let mut harness = Harness::new(DeliveryLimits::default());
    harness.queue(&queue_key(1, 1, 0), [1, 2]);
    harness.queue(&queue_key(2, 2, 0), [21]);
    (0..18).for_each(|n| harness.queue(&queue_key(3, 3, n + 1), [31 + n as u64]));
    harness.queue(&queue_key(4, 4, 0), [4]);
    harness.end(4, Outcome::Failed);
    harness.handle(Command::Close);
    let closed = |sequence, tries| (DropReason::Closed, tries, sequence);
    assert_eq!(harness.dropped, [closed(2, 0), closed(47, 0), closed(48, 0), closed(4, 1)]);
    harness.queue(&queue_key(5, 5, 0), [5]);
    harness.end(1, Outcome::Arrived);
    harness.end(21, Outcome::Failed);
    (31..47).for_each(|sequence| harness.end(sequence, Outcome::Arrived));
    assert_eq!(harness.dropped[4..], [closed(5, 0), closed(21, 1)]);
    assert!(harness.delivery.is_empty() && harness.delivery.deadline().is_none());
}

#[test]
fn at_the_close_no_queue_waits_for_a_retry() {
    for outcome in [Outcome::Arrived, Outcome::Failed] {
        let limits = DeliveryLimits {
            in_flight_max: 1,
            failing_in_flight_max: 1,
            ..DeliveryLimits::default()
        };
        let mut harness = Harness::new(limits);
        (1..=3).for_each(|n| harness.queue(&queue_key(n as u128, 1, 0), [n]));
        // Those that are left wait for a healthy receiver, or for a failing one.
        harness.end(1, outcome);
        harness.handle(Command::Close);
        harness.end(2, Outcome::Arrived);
        assert_eq!(harness.sent(), [0; 0]);
        assert!(harness.delivery.is_empty() && harness.delivery.deadline().is_none());
    }
}

#[test]
fn an_answer_to_an_unknown_request_changes_nothing() {
    let mut harness = Harness::new(DeliveryLimits::default());
    harness.queue(&queue_key(1, 1, 0), [1, 2]);
    let ticket = harness.in_flight[0].0;
    harness.end(1, Outcome::Arrived);
    harness.handle(Command::Done { ticket, outcome: Outcome::Failed });
    assert_eq!((harness.sent(), harness.delivered, harness.delivery.len()), (vec![2], 1, 1));
}
