//! The delivery machine: what is kept in order, what is tried again, what is given up.

mod lives;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use conflow::{
    base::ids::{CallId, RoomId},
    webhooks::delivery::{
        ATTEMPTS_MAX, BY_CALL_FLYING_MAX, Command, DUE, Delivery, Effect, LIFE, Lane, Limits,
        Outcome, Owner, Parcel, REST_MIN, Ticket, Why,
    },
};
use fastrand::Rng;
use tokio::time::Instant as Clock;

/// What is sent: its lane and its number.
type Load = (Lane, u64);

const SECOND: Duration = Duration::from_secs(1);

/// Room `room`, to receiver `receiver`; in the order of one call, unless that is 0.
fn lane(room: u128, receiver: u128, call: u128) -> Lane {
    Lane {
        owner: Owner::Room(RoomId::of(room)),
        url: format!("http://receiver{receiver}.example/cb").into(),
        by_call: (call != 0).then_some(CallId::of(call)),
    }
}

fn parcel(lane: &Lane, sequence: u64) -> Parcel<Load> {
    let receiver = Arc::clone(&lane.url);
    let load = (lane.clone(), sequence);
    Parcel { lane: lane.clone(), receiver, sequence, attempts_max: ATTEMPTS_MAX, load }
}

/// A delivery, its time, and what it has asked for.
struct Desk {
    delivery: Delivery<Load>,
    start: Instant,
    now: Instant,
    /// Under way, oldest first.
    flying: VecDeque<(Ticket, u8, Load)>,
    delivered: usize,
    dropped: Vec<(Why, u8, u64)>,
}

impl Desk {
    fn new(limits: Limits) -> Self {
        let start = Clock::now().into_std();
        let delivery = Delivery::new(limits);
        let flying = VecDeque::new();
        Self { delivery, start, now: start, flying, delivered: 0, dropped: Vec::new() }
    }

    fn handle(&mut self, command: Command<Load>) {
        let mut effects = VecDeque::new();
        self.delivery.handle(self.now, command, &mut effects);
        self.delivery.check();
        for effect in effects {
            match effect {
                Effect::Send { ticket, attempt, load } => {
                    self.flying.push_back((ticket, attempt, load));
                }
                Effect::Delivered { .. } => self.delivered += 1,
                Effect::Dropped { why, attempts, parcel } => {
                    self.dropped.push((why, attempts, parcel.sequence));
                }
            }
        }
    }

    fn queue(&mut self, lane: &Lane, sequences: impl IntoIterator<Item = u64>) {
        sequences.into_iter().for_each(|it| self.handle(Command::Queue(parcel(lane, it))));
    }

    /// The request for this number ends.
    fn end(&mut self, sequence: u64, outcome: Outcome) {
        let index = self.flying.iter().position(|(.., load)| load.1 == sequence);
        let (ticket, ..) = self.flying.remove(index.unwrap()).unwrap();
        self.handle(Command::Done { ticket, outcome });
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.handle(Command::Tick);
    }

    /// The numbers under way.
    fn sent(&self) -> Vec<u64> {
        self.flying.iter().map(|(.., load)| load.1).collect()
    }
}

#[test]
fn a_lane_keeps_its_order_and_has_one_on_its_way_and_lanes_do_not_wait_for_each_other() {
    let mut desk = Desk::new(Limits::default());
    desk.queue(&lane(1, 1, 0), [1, 2, 3]);
    desk.queue(&lane(2, 1, 0), [11, 12]);
    desk.queue(&lane(1, 2, 0), [21]);
    assert_eq!(desk.sent(), [1, 11, 21]);
    desk.end(1, Outcome::Failed);
    assert_eq!(desk.sent(), [11, 21]);
    desk.end(11, Outcome::Arrived);
    assert_eq!(desk.sent(), [21, 12]);
    desk.wait(SECOND);
    assert_eq!(desk.sent(), [21, 12, 1]);
    desk.end(1, Outcome::Arrived);
    desk.end(2, Outcome::Arrived);
    for sequence in [12, 21, 3] {
        desk.end(sequence, Outcome::Arrived);
    }
    assert!(desk.delivery.is_empty() && desk.delivery.deadline().is_none());
    assert_eq!((desk.delivered, desk.dropped.len()), (6, 0));
}

#[test]
fn twelve_tries_over_ten_minutes_and_then_the_next_one() {
    let check = |takes: Duration, expected: &[u64]| {
        let mut desk = Desk::new(Limits::default());
        desk.queue(&lane(1, 1, 0), [1, 2]);
        let mut starts = Vec::new();
        loop {
            starts.push((desk.now - desk.start).as_secs());
            assert_eq!(desk.flying[0].1 as usize, starts.len());
            desk.now += takes;
            desk.end(1, Outcome::Failed);
            if !desk.dropped.is_empty() {
                break;
            }
            desk.now = desk.delivery.deadline().unwrap();
            desk.wait(Duration::ZERO);
        }
        assert_eq!(starts, expected, "{takes:?}");
        assert_eq!(desk.dropped, [(Why::Exhausted, 12, 1)]);
        // The receiver is as dead as before: the next one is not thrown at it at once.
        assert_eq!(desk.sent(), [0; 0]);
        desk.wait(REST_MIN);
        assert_eq!(desk.sent(), [2]);
    };

    check(Duration::ZERO, &DUE);
    // One that takes long delays those that follow close upon it, and none of the later ones.
    check(10 * SECOND, &[0, 11, 22, 33, 44, 55, 90, 150, 240, 360, 480, 600]);
}

#[test]
fn a_url_can_name_fewer_tries() {
    for attempts_max in 1..=6 {
        let mut desk = Desk::new(Limits::default());
        let parcel = Parcel { attempts_max, ..parcel(&lane(1, 1, 0), 1) };
        desk.handle(Command::Queue(parcel));
        for _ in 0..attempts_max {
            desk.now = desk.delivery.deadline().unwrap_or(desk.now);
            desk.wait(Duration::ZERO);
            desk.end(1, Outcome::Failed);
        }
        assert_eq!(desk.dropped, [(Why::Exhausted, attempts_max, 1)]);
        assert!(desk.delivery.is_empty());
    }
}

#[test]
fn what_has_waited_for_ten_minutes_gets_one_try_of_its_own() {
    let mut desk = Desk::new(Limits::default());
    desk.queue(&lane(1, 1, 0), [1, 2, 3]);
    desk.wait(LIFE);
    desk.queue(&lane(1, 1, 0), [4]);
    desk.end(1, Outcome::Failed);
    desk.wait(REST_MIN);
    desk.end(2, Outcome::Failed);
    assert_eq!(desk.dropped, [(Why::Exhausted, 1, 1), (Why::Exhausted, 1, 2)]);
    desk.wait(REST_MIN);
    desk.end(3, Outcome::Arrived);
    desk.end(4, Outcome::Failed);
    assert_eq!((desk.delivered, desk.dropped.len()), (1, 2));
}

#[test]
fn what_is_refused_is_given_up_and_delays_nothing() {
    let mut desk = Desk::new(Limits::default());
    desk.queue(&lane(1, 1, 0), [1, 2]);
    desk.end(1, Outcome::Refused);
    assert_eq!((desk.sent(), &*desk.dropped), (vec![2], &[(Why::Refused, 1, 1)][..]));
}

#[test]
fn by_call_order_is_kept_per_call_and_sixteen_are_on_their_way() {
    let mut desk = Desk::new(Limits::default());
    for call in 1..=20 {
        let first = call as u64 * 10;
        desk.queue(&lane(1, 1, call), [first, first + 1]);
    }
    let firsts: Vec<_> = (1..=BY_CALL_FLYING_MAX as u64).map(|it| it * 10).collect();
    assert_eq!(desk.sent(), firsts);
    // Another room, and the same room to another receiver, are other crowds.
    desk.queue(&lane(2, 1, 1), [1_000]);
    desk.queue(&lane(1, 2, 1), [2_000]);
    assert_eq!(desk.sent()[16..], [1_000, 2_000]);

    // A call that rests makes way; one that goes on lines up behind the others.
    desk.end(10, Outcome::Failed);
    assert_eq!(desk.sent()[17..], [170]);
    desk.end(20, Outcome::Arrived);
    assert_eq!(desk.sent()[17..], [180]);
    desk.end(30, Outcome::Arrived);
    desk.end(40, Outcome::Arrived);
    assert_eq!(desk.sent()[12..], [1_000, 2_000, 170, 180, 190, 200]);
    desk.end(170, Outcome::Arrived);
    assert_eq!(desk.sent()[17..], [21]);
}

#[test]
fn a_full_lane_and_a_full_house_lose_the_oldest_that_is_not_on_its_way() {
    let limits = Limits { lane_parcels_max: 3, parcels_max: 6, ..Limits::default() };
    let mut desk = Desk::new(limits);
    desk.queue(&lane(1, 1, 0), 1..=5);
    let full = |sequence| (Why::Full, 0, sequence);
    assert_eq!(desk.dropped, [full(2), full(3)]);
    // One that rests is not on its way.
    desk.end(1, Outcome::Failed);
    desk.queue(&lane(1, 1, 0), [6]);
    assert_eq!(desk.dropped[2..], [(Why::Full, 1, 1)]);
    // The longest lane pays for another's.
    desk.queue(&lane(2, 2, 0), [21, 22]);
    desk.queue(&lane(3, 3, 0), [31, 32]);
    assert_eq!(desk.dropped[3..], [full(4)]);
    // Nobody loses the only one that it has.
    let mut desk = Desk::new(Limits { parcels_max: 2, ..limits });
    desk.queue(&lane(1, 1, 0), [1]);
    desk.queue(&lane(2, 2, 0), [2]);
    desk.queue(&lane(3, 3, 0), [3]);
    assert_eq!((desk.sent(), &*desk.dropped), (vec![1, 2], &[full(3)][..]));
}

#[test]
fn dead_receivers_share_few_turns_until_they_answer_and_the_living_have_theirs() {
    let limits = Limits {
        flying_max: 4,
        flying_per_receiver_max: 3,
        ailing_max: 2,
        ailing_per_receiver_max: 1,
        ..Limits::default()
    };
    let mut desk = Desk::new(limits);
    // Ten rooms tell receiver 1, which is dead: three find out, then one at a time tries.
    (0..10).for_each(|n| desk.queue(&lane(n as u128, 1, 0), [n]));
    assert_eq!(desk.sent(), [0, 1, 2]);
    desk.end(0, Outcome::Failed);
    assert_eq!(desk.sent(), [1, 2, 3]);
    desk.end(1, Outcome::Failed);
    desk.end(2, Outcome::Failed);
    assert_eq!(desk.sent(), [3]);
    // The living are as quick as ever.
    (20..25).for_each(|n| desk.queue(&lane(n as u128, 2, 0), [n]));
    assert_eq!(desk.sent(), [3, 20, 21, 22]);
    // It is back, and gets all it can take.
    desk.end(3, Outcome::Arrived);
    assert_eq!(desk.sent(), [20, 21, 22, 4]);
    desk.end(20, Outcome::Arrived);
    assert_eq!(desk.sent(), [21, 22, 4, 5]);
    desk.end(21, Outcome::Arrived);
    assert_eq!(desk.sent(), [22, 4, 5, 23]);
}

#[test]
fn at_the_close_what_is_on_its_way_ends_and_the_rest_is_given_up() {
    let mut desk = Desk::new(Limits::default());
    desk.queue(&lane(1, 1, 0), [1, 2]);
    desk.queue(&lane(2, 2, 0), [21]);
    (0..18).for_each(|n| desk.queue(&lane(3, 3, n + 1), [31 + n as u64]));
    desk.queue(&lane(4, 4, 0), [4]);
    desk.end(4, Outcome::Failed);
    desk.handle(Command::Close);
    let closed = |sequence, tries| (Why::Closed, tries, sequence);
    assert_eq!(desk.dropped, [closed(2, 0), closed(47, 0), closed(48, 0), closed(4, 1)]);
    desk.queue(&lane(5, 5, 0), [5]);
    desk.end(1, Outcome::Arrived);
    desk.end(21, Outcome::Failed);
    (31..47).for_each(|sequence| desk.end(sequence, Outcome::Arrived));
    assert_eq!(desk.dropped[4..], [closed(5, 0), closed(21, 1)]);
    assert!(desk.delivery.is_empty() && desk.delivery.deadline().is_none());
}

#[test]
fn at_the_close_nobody_waits_for_a_turn_any_more() {
    for outcome in [Outcome::Arrived, Outcome::Failed] {
        let limits = Limits { flying_max: 1, ailing_max: 1, ..Limits::default() };
        let mut desk = Desk::new(limits);
        (1..=3).for_each(|n| desk.queue(&lane(n as u128, 1, 0), [n]));
        // Those that are left wait among the well, or among the ailing.
        desk.end(1, outcome);
        desk.handle(Command::Close);
        desk.end(2, Outcome::Arrived);
        assert_eq!(desk.sent(), [0; 0]);
        assert!(desk.delivery.is_empty() && desk.delivery.deadline().is_none());
    }
}

#[test]
fn an_answer_that_nobody_awaits_changes_nothing() {
    let mut desk = Desk::new(Limits::default());
    desk.queue(&lane(1, 1, 0), [1, 2]);
    let ticket = desk.flying[0].0;
    desk.end(1, Outcome::Arrived);
    desk.handle(Command::Done { ticket, outcome: Outcome::Failed });
    assert_eq!((desk.sent(), desk.delivered, desk.delivery.len()), (vec![2], 1, 1));
}
