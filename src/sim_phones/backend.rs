//! Simulated phones in real time: partitions of phones under locks, with one task each.
//!
//! Lock order: a partition's `reporting`, then its `state`, then a part of `rooms`; `ended` is taken
//! alone. Only `reporting` is held while the engine gets a report, so that the reports of a phone stay
//! in order. Orders need `state` and `rooms` only, and may come at any time, even from within
//! [`Exchange::arrive`] and [`Exchange::report`].

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, time};
use uuid::Uuid;

use super::{
    Dial, DialError, PhoneDetails, PhoneError, PhoneTable, PressedKeys, Settings,
    room_sounds::{RoomTable, SimRooms},
};
use crate::{
    base::{
        call_map::partition_of,
        ids::{AccountId, CallId, RoomId},
    },
    media::{
        AudioEngine, AudioOrder, CannotDial, Exchange, HangupCause, Report, SignallingBackend,
        SignallingOrder, SoundToAll,
    },
};

/// Time for which the details of an ended phone are kept.
pub const KEPT_FOR: Duration = Duration::from_secs(600);

/// Limit of ended phones that are kept; they cost some megabytes.
pub const KEPT_MAX: usize = 10_000;

/// Limit of phones, ended ones included: twice the design load of one machine.
pub const PHONES_MAX: usize = 2_000_000;

/// Enough that threads seldom collide; few enough that the tasks cost nothing.
const PARTITIONS: usize = 16;

/// Phones per part of an order, which take a tenth of a millisecond.
const PART_CALLS: usize = 256;

/// Simulated phones on tokio's clock.
///
/// No method waits. An [`Exchange`] may send orders from within [`Exchange::report`], but must not
/// use a phone there (press, dial and so on).
pub struct SimPhones {
    core: Arc<SimCore>,
    keeps_rows: bool,
}

impl SimPhones {
    /// Creates the backend without phones. Call [`Self::connect`] next.
    pub fn new(settings: Settings) -> Self {
        let rooms = SharedRooms((0..PARTITIONS).map(|_| Mutex::default()).collect());
        let partition = |_| PhonePartition::new(settings, rooms.clone());
        let core = SimCore {
            partitions: (0..PARTITIONS).map(partition).collect(),
            settings,
            rooms,
            exchange: OnceLock::new(),
            ended: Mutex::new(VecDeque::new()),
            phones: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        };
        Self { core: Arc::new(core), keeps_rows: false }
    }

    /// Whether the engine keeps rows of the calls, as of those of real phones. No later process restores
    /// them: the phones end with this one.
    #[must_use]
    pub fn keeping_rows(mut self, keeps_rows: bool) -> Self {
        self.keeps_rows = keeps_rows;
        self
    }

    /// Connects the engine that phones call. Must be called once, on a tokio runtime. The tasks run
    /// until this or the exchange is dropped.
    pub fn connect(&self, exchange: Weak<dyn Exchange>) {
        if self.core.exchange.set(exchange).is_err() {
            debug_assert!(false, "phones are connected once");
            return;
        }
        for partition in 0..PARTITIONS {
            let core = Arc::clone(&self.core);
            tokio::spawn(async move { core.run(&core.partitions[partition]).await });
        }
    }

    /// Adds a phone that dials in. When this returns, the engine has the call, which may be
    /// answered.
    ///
    /// # Errors
    ///
    /// The parameters are invalid, the number has no flow, or the limit of phones is reached.
    pub fn dial(&self, account: &AccountId, dial: Dial) -> Result<CallId, DialError> {
        let exchange = self.core.exchange().ok_or(DialError::Unconnected)?;
        if self.core.phones.load(Ordering::Relaxed) >= PHONES_MAX {
            return Err(DialError::TooManyPhones { max: PHONES_MAX });
        }

        let call = CallId(Uuid::new_v4());
        let arrival = {
            let mut state = self.core.partition(call).state.lock();
            state.phones.dial(now(), call, account, dial)?
        };
        self.core.phones.fetch_add(1, Ordering::Relaxed);
        if let Err(no_flow) = exchange.arrive(arrival) {
            self.core.forget(call);
            return Err(no_flow.into());
        }
        Ok(call)
    }

    /// Presses keys 100 ms apart: the first now, unless others wait. Works while the phone rings.
    ///
    /// # Errors
    ///
    /// The phone does not exist or has ended, or the keys are invalid or too many.
    pub fn press(&self, account: &AccountId, call: CallId, digits: &str) -> Result<(), PhoneError> {
        let keys: PressedKeys = digits.parse()?;
        self.act(call, |phones, now| phones.press(now, account, call, &keys))
    }

    /// Talks for `ms` from now on; longer if it is talking already.
    ///
    /// # Errors
    ///
    /// The phone does not exist or has ended.
    pub fn talk(&self, account: &AccountId, call: CallId, ms: u32) -> Result<(), PhoneError> {
        self.act(call, |phones, now| phones.talk(now, account, call, ms))
    }

    /// Holds the engine (true) or resumes (false). No effect if that is the state already.
    ///
    /// # Errors
    ///
    /// The phone does not exist or has ended.
    pub fn hold(&self, account: &AccountId, call: CallId, on: bool) -> Result<(), PhoneError> {
        self.act(call, |phones, now| phones.hold(now, account, call, on))
    }

    /// Hangs up. The phone is completed at once; its details contain the cause when the engine has
    /// ended the call.
    ///
    /// # Errors
    ///
    /// The phone does not exist or has ended.
    pub fn hang_up(&self, account: &AccountId, call: CallId) -> Result<(), PhoneError> {
        self.act(call, |phones, now| phones.hang_up(now, account, call))
    }

    /// Returns the details of a phone. An ended phone is kept for [`KEPT_FOR`], unless [`KEPT_MAX`]
    /// others have ended since.
    ///
    /// # Errors
    ///
    /// The phone does not exist, or is no longer kept.
    pub fn details(&self, account: &AccountId, call: CallId) -> Result<PhoneDetails, PhoneError> {
        let now = now();
        self.core.keep_ended(now, Vec::new());
        self.core.partition(call).change(|phones| phones.details(now, account, call))
    }

    /// Performs an action of a phone's user. The engine has its reports when this returns.
    fn act(
        &self,
        call: CallId,
        act: impl FnOnce(&mut PhoneTable<SharedRooms>, Instant) -> Result<(), PhoneError>,
    ) -> Result<(), PhoneError> {
        let now = now();
        self.core.keep_ended(now, Vec::new());
        let partition = self.core.partition(call);
        let result = act(&mut partition.state.lock().phones, now);
        self.core.deliver_reports(partition, now);
        result
    }
}

impl SignallingBackend for SimPhones {
    fn signal(&self, order: SignallingOrder) {
        let (now, partition) = (now(), self.core.partition(order.call()));
        if let SignallingOrder::Dial { call, account, dialling } = &order {
            let is_full = PHONES_MAX <= self.core.phones.load(Ordering::Relaxed);
            let is_new = partition.change(|phones| {
                if is_full {
                    phones.report_failure(now, *call, HangupCause::DestinationOut);
                    return false;
                }
                phones.place_call(now, *call, account, dialling)
            });
            self.core.phones.fetch_add(usize::from(is_new), Ordering::Relaxed);
            return;
        }
        let ended = partition.change(|phones| {
            phones.signal(now, &order);
            phones.take_ended()
        });
        if !ended.is_empty() {
            self.core.keep_ended(now, ended);
        }
    }

    fn restores(&self, _: CallId) -> bool {
        self.keeps_rows
    }

    fn can_dial(&self, _: &AccountId, to: &str) -> Result<(), CannotDial> {
        super::check_address(to)
    }
}

impl AudioEngine for SimPhones {
    fn send(&self, order: AudioOrder) {
        let now = now();
        if let AudioOrder::ToRoom { room, sound } = &order {
            return self.core.play_to_room(now, *room, sound);
        }
        if !is_heard(&order) {
            return;
        }
        if let [call] = order.calls() {
            let call = *call;
            return self.core.apply(now, self.core.partition(call), &order, [call].into_iter());
        }
        self.core.apply_all(now, &order, order.calls());
    }

    fn send_part(&self, order: &AudioOrder, from: usize) -> usize {
        let (now, calls) = (now(), order.calls());
        if !is_heard(order) {
            return calls.len();
        }
        let to = calls.len().min(from + PART_CALLS);
        self.core.apply_all(now, order, &calls[from..to]);
        to
    }
}

impl Drop for SimPhones {
    fn drop(&mut self) {
        self.core.is_closed.store(true, Ordering::Release);
        self.core.partitions.iter().for_each(|partition| partition.changed.notify_one());
    }
}

struct SimCore {
    partitions: Box<[PhonePartition]>,
    settings: Settings,
    rooms: SharedRooms,
    exchange: OnceLock<Weak<dyn Exchange>>,
    /// Ended phones, oldest first.
    ended: Mutex<VecDeque<(Instant, CallId)>>,
    /// Number of phones, kept ones included.
    phones: AtomicUsize,
    is_closed: AtomicBool,
}

/// The rooms of all partitions, in parts under locks: a sound to a room is kept once, not in each
/// partition that has a phone there.
#[derive(Clone, Debug)]
struct SharedRooms(Arc<[Mutex<SimRooms>]>);

struct PhonePartition {
    state: Mutex<PartitionState>,
    /// Held while the engine gets reports, so that they stay in order.
    reporting: Mutex<()>,
    /// Wakes the task, so that it looks at the deadline again.
    changed: Notify,
}

struct PartitionState {
    phones: PhoneTable<SharedRooms>,
    /// When the task wakes up by itself.
    wake_at: Option<Instant>,
}

impl SimCore {
    fn partition(&self, call: CallId) -> &PhonePartition {
        &self.partitions[partition_index(call)]
    }

    fn play_to_room(&self, now: Instant, room: RoomId, sound: &Arc<SoundToAll>) {
        let newcomer = self.rooms.lock(room).add(now, room, sound, &self.settings);
        if let Some(member) = newcomer {
            let partition = self.partition(member);
            partition.change(|phones| phones.play_to_newcomer(now, room, member, sound));
        }
    }

    /// Applies an order to some phones, partition by partition.
    fn apply_all(&self, now: Instant, order: &AudioOrder, calls: &[CallId]) {
        for (n, partition) in self.partitions.iter().enumerate() {
            let calls = calls.iter().copied().filter(|call| partition_index(*call) == n);
            self.apply(now, partition, order, calls);
        }
    }

    /// Applies an order to some phones of a partition.
    fn apply(
        &self,
        now: Instant,
        partition: &PhonePartition,
        order: &AudioOrder,
        mut calls: impl Iterator<Item = CallId>,
    ) {
        let Some(first) = calls.next() else { return };
        let ended = partition.change(|phones| {
            phones.apply(now, first, order);
            calls.for_each(|call| phones.apply(now, call, order));
            phones.take_ended()
        });
        if !ended.is_empty() {
            self.keep_ended(now, ended);
        }
    }

    fn exchange(&self) -> Option<Arc<dyn Exchange>> {
        self.exchange.get()?.upgrade()
    }

    async fn run(&self, partition: &PhonePartition) {
        loop {
            match partition.plan_wake() {
                Some(deadline) => {
                    // A time-out and a notification have the same effect: deliver.
                    let sleep = time::sleep_until(deadline.into());
                    tokio::select! {
                        () = sleep => {}
                        () = partition.changed.notified() => {}
                    }
                }
                None => partition.changed.notified().await,
            }
            if self.is_closed.load(Ordering::Acquire) || !self.deliver_reports(partition, now()) {
                return;
            }
            // Many phones may be due at once; other tasks get their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Advances a partition and sends its reports to the engine. Returns false if the engine is gone.
    fn deliver_reports(&self, partition: &PhonePartition, now: Instant) -> bool {
        let Some(exchange) = self.exchange() else { return false };
        let mut reports: Vec<Report> = Vec::new();
        let ended = {
            let _telling = partition.reporting.lock();
            let ended = partition.change(|phones| {
                phones.tick(now, &mut reports);
                phones.take_ended()
            });
            reports.into_iter().for_each(|report| exchange.report(report));
            ended
        };
        self.keep_ended(now, ended);
        true
    }

    /// Keeps ended phones, and forgets those that were kept long enough.
    fn keep_ended(&self, now: Instant, ended: Vec<CallId>) {
        let mut forgotten = Vec::new();
        {
            let mut queue = self.ended.lock();
            queue.extend(ended.into_iter().map(|call| (now, call)));
            while let Some((since, call)) = queue.front()
                && (queue.len() > KEPT_MAX || now.saturating_duration_since(*since) >= KEPT_FOR)
            {
                forgotten.push(*call);
                queue.pop_front();
            }
        }
        forgotten.into_iter().for_each(|call| self.forget(call));
    }

    fn forget(&self, call: CallId) {
        if self.partition(call).state.lock().phones.forget(call) {
            self.phones.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Whether an order can change what phones hear. Their own sound is not simulated, and the sounds
/// that they hear need no loading.
fn is_heard(order: &AudioOrder) -> bool {
    !matches!(
        order,
        AudioOrder::Mute { .. }
            | AudioOrder::Prepare { .. }
            | AudioOrder::Record { .. }
            | AudioOrder::StopRecording { .. }
    )
}

fn partition_index(call: CallId) -> usize {
    partition_of(call, PARTITIONS)
}

impl SharedRooms {
    fn lock(&self, room: RoomId) -> MutexGuard<'_, SimRooms> {
        // Ids of rooms are random, so any part of them spreads rooms evenly.
        self.0[room.0.as_u128() as usize % self.0.len()].lock()
    }
}

impl RoomTable for SharedRooms {
    fn with<T>(&mut self, room: RoomId, then: impl FnOnce(&mut SimRooms) -> T) -> T {
        then(&mut self.lock(room))
    }
}

impl PhonePartition {
    fn new(settings: Settings, rooms: SharedRooms) -> Self {
        let phones = PhoneTable::in_rooms(settings, rooms);
        let state = PartitionState { phones, wake_at: None };
        Self { state: Mutex::new(state), reporting: Mutex::new(()), changed: Notify::new() }
    }

    /// Changes the partition, and wakes the task if its deadline has become earlier.
    fn change<T>(&self, change: impl FnOnce(&mut PhoneTable<SharedRooms>) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state.phones);
        let deadline = state.phones.deadline();
        if deadline.is_some_and(|at| state.wake_at.is_none_or(|waking| at < waking)) {
            state.wake_at = deadline;
            drop(state);
            self.changed.notify_one();
        }
        result
    }

    fn plan_wake(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        state.wake_at = state.phones.deadline();
        state.wake_at
    }
}

fn now() -> Instant {
    time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
