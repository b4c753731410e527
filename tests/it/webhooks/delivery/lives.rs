//! Delivery lives: thousands of seeded runs with receivers that fail, hang, die and come back.

use super::*;
use crate::lives;

const LIVES: std::ops::RangeInclusive<u64> = 300..=600;
const ITEMS: u64 = 150;
const RECEIVERS: u128 = 6;
/// Failures happen within this time; then the receivers are healthy for good.
const SPAN: Duration = Duration::from_secs(2_000);
/// The answer time of a receiver that is healthy, or refuses.
const QUICK: Duration = Duration::from_millis(10);
/// The time-out of a request.
const HANG: Duration = Duration::from_secs(10);

#[test]
fn in_every_life_order_is_kept_nothing_is_lost_in_time_and_no_queue_blocks_another() {
    let mut counts = BTreeMap::new();
    let is_whole = lives::play("delivery", LIVES, |seed| {
        let lived = Life::new(seed).live();
        lived.into_iter().for_each(|(what, count)| *counts.entry(what).or_insert(0) += count);
    });
    if is_whole {
        let cases = ["delivered", "exhausted", "full", "refused", "retried", "hung", "crowded"];
        cases.iter().for_each(|it| assert!(counts.get(it).is_some_and(|n| 100 < *n), "{counts:?}"));
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Health {
    Well,
    Failing,
    Hanging,
}

/// A delivery machine and its world on a virtual clock.
struct Life {
    rng: Rng,
    delivery: Delivery<Payload>,
    limits: DeliveryLimits,
    start: Instant,
    now: Instant,
    /// Receiver 0 is always healthy; the others are not.
    healths: Vec<Health>,
    requests: Vec<RequestInFlight>,
    /// The outstanding items of each queue: number, and when it was queued.
    queued: BTreeMap<QueueKey, VecDeque<(u64, Instant)>>,
    /// When a queue to the receiver that is always healthy was last free.
    free_since: BTreeMap<QueueKey, Instant>,
    next: u64,
    counts: BTreeMap<&'static str, usize>,
}

struct RequestInFlight {
    ends: Instant,
    ticket: DeliveryTicket,
    load: Payload,
    health: Health,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let start = Clock::now().into_std();
        let limits = DeliveryLimits {
            // Just enough for all receivers to be found dead at once.
            in_flight_max: 4 * RECEIVERS as usize,
            in_flight_per_receiver_max: 4,
            failing_in_flight_max: 3,
            failing_in_flight_per_receiver_max: 2,
            queue_items_max: rng.usize(3..30),
            items_max: rng.usize(20..200),
        };
        Self {
            rng,
            delivery: Delivery::new(limits),
            limits,
            start,
            now: start,
            healths: vec![Health::Well; RECEIVERS as usize],
            requests: Vec::new(),
            queued: BTreeMap::new(),
            free_since: BTreeMap::new(),
            next: 0,
            counts: BTreeMap::new(),
        }
    }

    fn live(mut self) -> BTreeMap<&'static str, usize> {
        let end = self.start + SPAN;
        while self.now < end && self.next < ITEMS {
            for _ in 0..self.rng.u8(0..4) {
                self.queue();
            }
            if self.rng.u8(0..10) == 0 {
                let receiver = self.rng.usize(1..RECEIVERS as usize);
                let healths = [Health::Well, Health::Failing, Health::Hanging];
                self.healths[receiver] = *self.rng.choice(&healths).unwrap();
            }
            let pause = match self.rng.u8(0..10) {
                0 => Duration::from_secs(self.rng.u64(0..120)),
                _ => Duration::from_millis(self.rng.u64(0..300)),
            };
            self.run_until(self.now + pause);
        }

        // All receivers are healthy again: every item not given up by now arrives.
        self.healths.fill(Health::Well);
        self.run_until(self.now + HANG);
        let given_up = self.counts.get("exhausted").copied();
        self.run_until(self.now + AGE_MAX + AGE_MAX);
        assert!(self.delivery.is_empty() && self.delivery.deadline().is_none());
        assert_eq!(
            self.counts.get("exhausted").copied(),
            given_up,
            "lost although all receivers were healthy"
        );
        assert!(self.queued.values().all(VecDeque::is_empty), "neither delivered nor given up");
        self.counts
    }

    fn queue(&mut self) {
        let room = self.rng.u128(1..4);
        let (receiver, call) = match self.rng.u8(0..4) {
            0 => (0, 0),
            1 => (self.rng.u128(1..RECEIVERS), self.rng.u128(1..40)),
            _ => (self.rng.u128(1..RECEIVERS), 0),
        };
        self.next += 1;
        let key = queue_key(room, receiver, call);
        let attempts_max = if self.rng.u8(0..5) == 0 { self.rng.u8(1..7) } else { ATTEMPTS_MAX };
        self.queued.entry(key.clone()).or_default().push_back((self.next, self.now));
        self.free_since.entry(key.clone()).or_insert(self.start);
        let item = DeliveryItem { attempts_max, ..item(&key, self.next) };
        self.handle(Command::Queue(item));
    }

    fn run_until(&mut self, end: Instant) {
        loop {
            let next_end = self.requests.iter().map(|it| it.ends).min();
            let next = [next_end, self.delivery.deadline()].into_iter().flatten().min();
            let Some(next) = next.filter(|it| *it <= end) else { break };
            self.now = self.now.max(next);
            match self.requests.iter().position(|it| it.ends <= self.now) {
                Some(index) => self.end_request(index),
                None => self.handle(Command::Tick),
            }
        }
        self.now = end;
    }

    fn end_request(&mut self, index: usize) {
        let RequestInFlight { ticket, load, health, .. } = self.requests.swap_remove(index);
        self.free_since.insert(load.0.clone(), self.now);
        let is_well = health == Health::Well;
        let outcome = match (is_well, self.rng.u8(0..50)) {
            (true, 0) if !is_steady(&load.0) => Outcome::Refused,
            (true, _) => Outcome::Arrived,
            (false, _) => Outcome::Failed,
        };
        if outcome == Outcome::Arrived {
            let first = self.queued.get_mut(&load.0).unwrap().pop_front().unwrap();
            assert_eq!(first.0, load.1, "out of order");
        }
        self.handle(Command::Done { ticket, outcome });
    }

    fn handle(&mut self, command: Command<Payload>) {
        let mut effects = VecDeque::new();
        self.delivery.handle(self.now, command, &mut effects);
        self.delivery.check();
        for effect in effects {
            match effect {
                Effect::Send { ticket, attempt, payload: load } => self.send(ticket, attempt, load),
                Effect::Delivered { .. } => self.note("delivered"),
                Effect::Dropped { why, attempts, item } => self.give_up(why, attempts, &item),
            }
        }
        assert!(
            self.requests.len() <= self.limits.in_flight_max + self.limits.failing_in_flight_max
        );
        assert!(self.delivery.len() <= self.limits.items_max);
        self.check_call_limits();
    }

    fn send(&mut self, ticket: DeliveryTicket, attempt: u8, load: Payload) {
        assert!(self.requests.iter().all(|it| it.load.0 != load.0), "two of one queue at a time");
        let (first, since) = *self.queued[&load.0].front().unwrap();
        assert_eq!(first, load.1, "out of order");
        if is_steady(&load.0) {
            let free = since.max(self.free_since[&load.0]);
            assert_eq!((self.now, attempt), (free, 1), "a living receiver had to wait");
        }

        if 1 < attempt {
            self.note("retried");
        }
        let health = self.healths[receiver(&load.0)];
        let takes = match health {
            Health::Well | Health::Failing => QUICK,
            Health::Hanging => HANG,
        };
        if health == Health::Hanging {
            self.note("hung");
        }
        self.requests.push(RequestInFlight { ends: self.now + takes, ticket, load, health });
    }

    fn give_up(&mut self, why: DropReason, attempts: u8, item: &DeliveryItem<Payload>) {
        let queue = self.queued.get_mut(&item.queue).unwrap();
        let index = queue.iter().position(|(it, _)| *it == item.sequence);
        let (_, since) = queue.remove(index.expect("given up twice, or delivered")).unwrap();
        match why {
            DropReason::Exhausted => {
                let is_in_time = self.now - since < AGE_MAX && attempts < item.attempts_max;
                assert!(!is_in_time && 0 < attempts, "given up too early");
                assert_ne!(receiver(&item.queue), 0);
                self.note("exhausted");
            }
            DropReason::Full => self.note("full"),
            DropReason::Refused => self.note("refused"),
            DropReason::Closed => panic!("the dispatcher was not closed"),
        }
    }

    fn check_call_limits(&mut self) {
        let mut by_limit = BTreeMap::<_, BTreeSet<_>>::new();
        for QueueKey { owner, url, by_call } in self.requests.iter().map(|it| &it.load.0) {
            if let Some(call) = by_call {
                by_limit.entry((owner, url)).or_default().insert(call);
            }
        }
        let sizes: Vec<_> = by_limit.values().map(BTreeSet::len).collect();
        assert!(sizes.iter().all(|it| *it <= BY_CALL_IN_FLIGHT_MAX));
        if sizes.iter().any(|it| 2 <= *it) {
            self.note("crowded");
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}

fn receiver(key: &QueueKey) -> usize {
    let digit = key.url.trim_start_matches("http://receiver").chars().next();
    digit.and_then(|it| it.to_digit(10)).unwrap() as usize
}

/// Whether the queue is for the receiver that is always healthy.
fn is_steady(key: &QueueKey) -> bool {
    receiver(key) == 0
}
