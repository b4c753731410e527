//! The machine of a delivery: lanes, rests and turns.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    BY_CALL_FLYING_MAX, Command, DUE, Effect, LIFE, Lane, Limits, Outcome, Owner, Parcel, REST_MIN,
    Ticket, Why, round_robin::Turns,
};

/// What is on its way, and what waits. See the [module](super).
#[derive(Debug)]
pub struct Delivery<P> {
    limits: Limits,
    lanes: BTreeMap<LaneId, LaneState<P>>,
    ids: BTreeMap<Lane, LaneId>,
    next_lane: u64,
    next_ticket: u64,
    flying: BTreeMap<Ticket, LaneId>,
    resting: BTreeSet<(Instant, LaneId)>,
    /// Lanes by call, by conference and URL.
    crowds: BTreeMap<(Owner, Arc<str>), Crowd>,
    receivers: BTreeMap<Arc<str>, Receiver>,
    /// For receivers that answer, and for those that fail.
    well: Turns,
    ailing: Turns,
    /// The longest queue is the last.
    lengths: BTreeSet<(usize, LaneId)>,
    parcels: usize,
    is_closed: bool,
}

#[derive(Debug)]
struct LaneState<P> {
    lane: Lane,
    receiver: Arc<str>,
    /// Never empty.
    queue: VecDeque<Waiting<P>>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Too many of its crowd are at it.
    Crowded,
    /// Its turn comes.
    Ready,
    /// A request is under way.
    Flying { is_ailing: bool },
    /// Its next try comes at that time.
    Resting(Instant),
}

#[derive(Debug)]
struct Waiting<P> {
    parcel: Parcel<P>,
    since: Instant,
    first_try: Option<Instant>,
    attempts: u8,
}

/// The lanes by call of one conference and URL.
#[derive(Debug, Default)]
struct Crowd {
    /// Ready or flying.
    at_it: usize,
    waiting: VecDeque<LaneId>,
}

#[derive(Debug, Default)]
struct Receiver {
    lanes: usize,
    /// The last answer was a failure.
    is_ailing: bool,
}

impl<P: Clone> Delivery<P> {
    /// With nothing to do.
    pub fn new(limits: Limits) -> Self {
        // Of two, one may be on its way, and the other can give way.
        let lane_parcels_max = limits.lane_parcels_max.max(2);
        Self {
            limits: Limits { lane_parcels_max, ..limits },
            lanes: BTreeMap::new(),
            ids: BTreeMap::new(),
            next_lane: 0,
            next_ticket: 0,
            flying: BTreeMap::new(),
            resting: BTreeSet::new(),
            crowds: BTreeMap::new(),
            receivers: BTreeMap::new(),
            well: Turns::new(limits.flying_max, limits.flying_per_receiver_max),
            ailing: Turns::new(limits.ailing_max, limits.ailing_per_receiver_max),
            lengths: BTreeSet::new(),
            parcels: 0,
            is_closed: false,
        }
    }

    /// Takes a command; what it asks for is put at the end of `effects`, in order.
    pub fn handle(&mut self, now: Instant, command: Command<P>, effects: &mut VecDeque<Effect<P>>) {
        match command {
            Command::Queue(parcel) => self.queue(now, parcel, effects),
            Command::Done { ticket, outcome } => self.done(now, ticket, outcome, effects),
            Command::Tick => self.wake(now),
            Command::Close => self.close(effects),
        }
        self.take_turns(now, effects);
    }

    /// When [`Command::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.resting.first().map(|(at, _)| *at)
    }

    /// How many parcels there are, those under way included.
    pub fn len(&self) -> usize {
        self.parcels
    }

    /// Whether there is nothing to do, now or later.
    pub fn is_empty(&self) -> bool {
        self.parcels == 0
    }

    /// How many requests are under way.
    pub fn flying(&self) -> usize {
        self.flying.len()
    }

    /// Since when the parcel that waits longest has waited. Looks at every lane.
    pub fn oldest(&self) -> Option<Instant> {
        self.lanes.values().filter_map(|lane| lane.queue.front()).map(|it| it.since).min()
    }

    /// Panics if what must always hold does not. For tests: it looks at everything.
    pub fn check(&self) {
        let count =
            |is: &dyn Fn(Phase) -> bool| self.lanes.values().filter(|lane| is(lane.phase)).count();
        let parcels: usize = self.lanes.values().map(|lane| lane.queue.len()).sum();
        assert_eq!(parcels, self.parcels);
        assert!(self.lanes.values().all(|lane| !lane.queue.is_empty()), "an empty lane stays");
        assert_eq!(self.lanes.len(), self.ids.len());
        assert_eq!(self.lanes.len(), self.lengths.len());
        let lanes: usize = self.receivers.values().map(|it| it.lanes).sum();
        assert_eq!(self.lanes.len(), lanes);
        assert_eq!(self.flying.len(), count(&|it| matches!(it, Phase::Flying { .. })));
        assert_eq!(self.resting.len(), count(&|it| matches!(it, Phase::Resting(_))));
        let crowded: usize = self.crowds.values().map(|it| it.waiting.len()).sum();
        assert_eq!(crowded, count(&|it| it == Phase::Crowded));
        assert!(self.crowds.values().all(|it| it.at_it <= BY_CALL_FLYING_MAX));
        assert_eq!(self.well.waiting() + self.ailing.waiting(), count(&|it| it == Phase::Ready));
        assert_eq!(self.well.flying() + self.ailing.flying(), self.flying.len());
        let is_ailing = |it: &Arc<str>| self.receivers[it].is_ailing;
        assert!(self.well.queuers().all(|it| !is_ailing(it)), "an ailing one waits with the well");
        assert!(self.ailing.queuers().all(is_ailing), "a well one waits with the ailing");
    }

    fn queue(&mut self, now: Instant, parcel: Parcel<P>, effects: &mut VecDeque<Effect<P>>) {
        if self.is_closed {
            effects.push_back(Effect::Dropped { why: Why::Closed, attempts: 0, parcel });
            return;
        }
        if self.limits.parcels_max <= self.parcels && !self.make_room(effects) {
            effects.push_back(Effect::Dropped { why: Why::Full, attempts: 0, parcel });
            return;
        }

        let waiting = |parcel| Waiting { parcel, since: now, first_try: None, attempts: 0 };
        match self.ids.get(&parcel.lane).copied() {
            Some(id) => {
                if self.limits.lane_parcels_max <= self.lane(id).queue.len() {
                    self.drop_oldest(id, effects);
                }
                self.resize(id, |queue| queue.push_back(waiting(parcel)));
            }
            None => {
                let id = self.open(&parcel);
                self.resize(id, |queue| queue.push_back(waiting(parcel)));
                self.admit(id);
            }
        }
    }

    fn done(
        &mut self,
        now: Instant,
        ticket: Ticket,
        outcome: Outcome,
        effects: &mut VecDeque<Effect<P>>,
    ) {
        let Some(id) = self.flying.remove(&ticket) else { return };
        self.land(id);
        self.note_health(id, outcome != Outcome::Arrived);

        let head = self.lane(id).queue.front().expect("what flies is in its queue");
        let attempts = head.attempts;
        let is_last = head.parcel.attempts_max <= attempts || LIFE <= now - head.since;
        match outcome {
            Outcome::Arrived => {
                let head = self.pop(id, 0);
                effects.push_back(Effect::Delivered { lag: now - head.since, attempts });
                self.go_on(id, None);
            }
            Outcome::Refused => {
                self.give_up(id, Why::Refused, effects);
                self.go_on(id, None);
            }
            Outcome::Failed if self.is_closed => {
                self.give_up(id, Why::Closed, effects);
                self.go_on(id, None);
            }
            Outcome::Failed if is_last => {
                self.give_up(id, Why::Exhausted, effects);
                self.go_on(id, Some(now + REST_MIN));
            }
            Outcome::Failed => {
                let due = head.first_try.unwrap_or(now) + due(attempts);
                self.go_on(id, Some(due.max(now + REST_MIN)));
            }
        }
    }

    fn wake(&mut self, now: Instant) {
        while let Some((at, id)) = self.resting.first().copied().filter(|(at, _)| *at <= now) {
            self.resting.remove(&(at, id));
            self.admit(id);
        }
    }

    fn close(&mut self, effects: &mut VecDeque<Effect<P>>) {
        self.is_closed = true;
        for id in self.lanes.keys().copied().collect::<Vec<_>>() {
            let kept = self.unsendable_first(id);
            while kept < self.lane(id).queue.len() {
                let Waiting { parcel, attempts, .. } = self.pop(id, kept);
                effects.push_back(Effect::Dropped { why: Why::Closed, attempts, parcel });
            }
            if kept == 0 {
                self.forget(id);
            }
        }
        self.resting.clear();
        self.crowds.values_mut().for_each(|crowd| crowd.waiting.clear());
        self.well.clear();
        self.ailing.clear();
    }

    /// Begins every request whose turn it is.
    fn take_turns(&mut self, now: Instant, effects: &mut VecDeque<Effect<P>>) {
        while let Some(id) = self.well.next() {
            self.fly(now, id, false, effects);
        }
        while let Some(id) = self.ailing.next() {
            self.fly(now, id, true, effects);
        }
    }

    fn fly(
        &mut self,
        now: Instant,
        id: LaneId,
        is_ailing: bool,
        effects: &mut VecDeque<Effect<P>>,
    ) {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.flying.insert(ticket, id);

        let state = self.lane_mut(id);
        state.phase = Phase::Flying { is_ailing };
        let head = state.queue.front_mut().expect("a lane is never empty");
        head.attempts += 1;
        head.first_try.get_or_insert(now);
        let (attempt, load) = (head.attempts, head.parcel.load.clone());
        effects.push_back(Effect::Send { ticket, attempt, load });
    }

    /// How a receiver does decides among whom its lanes wait.
    fn note_health(&mut self, id: LaneId, is_ailing: bool) {
        let receiver = Arc::clone(&self.lane(id).receiver);
        let health = self.receivers.get_mut(&receiver).expect("a lane's receiver is known");
        if health.is_ailing == is_ailing {
            return;
        }
        health.is_ailing = is_ailing;
        match is_ailing {
            true => self.well.hand_over(receiver, &mut self.ailing),
            false => self.ailing.hand_over(receiver, &mut self.well),
        }
    }

    /// A request is over: its turn is another's.
    fn land(&mut self, id: LaneId) {
        let state = self.lane(id);
        let (receiver, phase) = (Arc::clone(&state.receiver), state.phase);
        match phase {
            Phase::Flying { is_ailing: true } => self.ailing.done(&receiver),
            Phase::Flying { is_ailing: false } => self.well.done(&receiver),
            Phase::Crowded | Phase::Ready | Phase::Resting(_) => (),
        }
        self.leave_crowd(id);
    }

    /// A lane that has landed goes on with what it has: at once, or after a rest.
    fn go_on(&mut self, id: LaneId, rest: Option<Instant>) {
        if self.lane(id).queue.is_empty() {
            return self.forget(id);
        }
        match rest {
            None => self.admit(id),
            Some(at) => {
                self.lane_mut(id).phase = Phase::Resting(at);
                self.resting.insert((at, id));
            }
        }
    }

    /// A lane that is not at it wants its turn.
    fn admit(&mut self, id: LaneId) {
        let state = self.lane(id);
        if state.lane.by_call.is_some() {
            let key = (state.lane.owner, Arc::clone(&state.lane.url));
            let crowd = self.crowds.entry(key).or_default();
            if BY_CALL_FLYING_MAX <= crowd.at_it {
                crowd.waiting.push_back(id);
                self.lane_mut(id).phase = Phase::Crowded;
                return;
            }
            crowd.at_it += 1;
        }
        self.ready(id);
    }

    fn ready(&mut self, id: LaneId) {
        self.lane_mut(id).phase = Phase::Ready;
        let receiver = Arc::clone(&self.lane(id).receiver);
        match self.receivers[&receiver].is_ailing {
            true => self.ailing.wait(receiver, id),
            false => self.well.wait(receiver, id),
        }
    }

    fn leave_crowd(&mut self, id: LaneId) {
        let lane = &self.lane(id).lane;
        if lane.by_call.is_none() {
            return;
        }
        let key = (lane.owner, Arc::clone(&lane.url));
        let crowd = self.crowds.get_mut(&key).expect("who is at it is of a crowd");
        match crowd.waiting.pop_front() {
            Some(next) => self.ready(next),
            None => {
                crowd.at_it -= 1;
                if crowd.at_it == 0 {
                    self.crowds.remove(&key);
                }
            }
        }
    }

    /// Gives up the head of a lane.
    fn give_up(&mut self, id: LaneId, why: Why, effects: &mut VecDeque<Effect<P>>) {
        let Waiting { parcel, attempts, .. } = self.pop(id, 0);
        effects.push_back(Effect::Dropped { why, attempts, parcel });
    }

    /// Gives up the oldest parcel of the longest lane; false if that would take its only one.
    fn make_room(&mut self, effects: &mut VecDeque<Effect<P>>) -> bool {
        match self.lengths.last().copied() {
            Some((length, id)) if 2 <= length => {
                self.drop_oldest(id, effects);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Gives up the oldest parcel of a lane of two or more that is not on its way.
    fn drop_oldest(&mut self, id: LaneId, effects: &mut VecDeque<Effect<P>>) {
        let index = self.unsendable_first(id);
        let Waiting { parcel, attempts, .. } = self.pop(id, index);
        effects.push_back(Effect::Dropped { why: Why::Full, attempts, parcel });
    }

    /// How many parcels at the head of a lane are on their way: 0 or 1.
    fn unsendable_first(&self, id: LaneId) -> usize {
        match self.lane(id).phase {
            Phase::Flying { .. } => 1,
            Phase::Crowded | Phase::Ready | Phase::Resting(_) => 0,
        }
    }

    fn open(&mut self, parcel: &Parcel<P>) -> LaneId {
        self.next_lane += 1;
        let id = LaneId(self.next_lane);
        let (lane, receiver) = (parcel.lane.clone(), Arc::clone(&parcel.receiver));
        self.ids.insert(lane.clone(), id);
        self.receivers.entry(Arc::clone(&receiver)).or_default().lanes += 1;
        self.lengths.insert((0, id));
        let queue = VecDeque::new();
        self.lanes.insert(id, LaneState { lane, receiver, queue, phase: Phase::Ready });
        id
    }

    /// A lane is empty: nothing of it stays.
    fn forget(&mut self, id: LaneId) {
        let Some(state) = self.lanes.remove(&id) else { return };
        self.ids.remove(&state.lane);
        self.lengths.remove(&(0, id));
        let receiver = self.receivers.get_mut(&state.receiver);
        let receiver = receiver.expect("a lane's receiver is known");
        receiver.lanes -= 1;
        if receiver.lanes == 0 {
            self.receivers.remove(&state.receiver);
        }
    }

    fn pop(&mut self, id: LaneId, index: usize) -> Waiting<P> {
        let parcel = self.resize(id, |queue| queue.remove(index));
        parcel.expect("the caller has seen it there")
    }

    /// Changes a lane's queue, and keeps the counts.
    fn resize<T>(&mut self, id: LaneId, change: impl FnOnce(&mut VecDeque<Waiting<P>>) -> T) -> T {
        let queue = &mut self.lanes.get_mut(&id).expect("an id is of a lane").queue;
        let before = queue.len();
        let result = change(queue);
        let after = queue.len();
        self.lengths.remove(&(before, id));
        self.lengths.insert((after, id));
        self.parcels = self.parcels + after - before;
        result
    }

    fn lane(&self, id: LaneId) -> &LaneState<P> {
        &self.lanes[&id]
    }

    fn lane_mut(&mut self, id: LaneId) -> &mut LaneState<P> {
        self.lanes.get_mut(&id).expect("an id is of a lane")
    }
}

/// A lane, as long as it has something to deliver.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct LaneId(pub(super) u64);

/// When the try after so many is due, from the first one.
fn due(attempts: u8) -> Duration {
    Duration::from_secs(DUE.get(usize::from(attempts)).copied().unwrap_or(LIFE.as_secs()))
}
