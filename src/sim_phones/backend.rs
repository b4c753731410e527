//! The simulated phones of a running engine: shards under locks, and a task for each.
//!
//! Locks, in the order in which they are taken: a shard's `telling`, then its `state`; `kept` is
//! taken alone. Only `telling` is held while the engine is told something, so that one phone's
//! reports come in order; the engine's orders need `state` alone, and may come at any time, from
//! within [`Exchange::arrive`] and [`Exchange::report`] too.

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time};
use uuid::Uuid;

use super::{Dial, DialError, Keys, PhoneError, Phones, Record, Settings, answer_plan::Called};
use crate::{
    base::{
        call_map::share,
        ids::{AccountId, CallId},
    },
    media::{Backend, Exchange, HangupCause, Heard, NoWay, Order, Report},
};

/// For so long one can ask what an ended phone has heard.
pub const KEPT_FOR: Duration = Duration::from_secs(600);

/// So many ended phones are kept: they cost some megabytes.
pub const KEPT_MAX: usize = 10_000;

/// Twice what one machine is meant to carry.
pub const PHONES_MAX: usize = 2_000_000;

/// Enough that threads seldom meet, few enough that their tasks cost nothing.
const SHARDS: usize = 16;

/// So many phones obey in a tenth of a millisecond: others get their turn.
const PART_CALLS: usize = 256;

/// Simulated phones in real time, on tokio's clock.
///
/// Nothing here waits. An [`Exchange`] must not use a phone (press, dial, …) from within
/// [`Exchange::report`]; it may send orders.
pub struct Sim {
    core: Arc<Core>,
}

impl Sim {
    /// No phones yet, and nobody to call: [`Self::connect`] comes next.
    pub fn new(settings: Settings) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::new(settings)).collect();
        let core = Core {
            shards,
            exchange: OnceLock::new(),
            kept: Mutex::new(VecDeque::new()),
            phones: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        };
        Self { core: Arc::new(core) }
    }

    /// Phones call this exchange from now on. Once, and on a tokio runtime: the tasks live there
    /// until this or the exchange is dropped.
    pub fn connect(&self, exchange: Weak<dyn Exchange>) {
        if self.core.exchange.set(exchange).is_err() {
            debug_assert!(false, "phones are connected once");
            return;
        }
        for shard in 0..SHARDS {
            let core = Arc::clone(&self.core);
            tokio::spawn(async move { core.run(&core.shards[shard]).await });
        }
    }

    /// A phone dials in. When this returns the engine has the call; the phone may be answered.
    ///
    /// # Errors
    ///
    /// There is no such phone: no flow for the number, or what it dials with cannot be.
    pub fn dial(&self, account: &AccountId, dial: Dial) -> Result<CallId, DialError> {
        let exchange = self.core.exchange().ok_or(DialError::Unconnected)?;
        if self.core.phones.load(Ordering::Relaxed) >= PHONES_MAX {
            return Err(DialError::TooManyPhones { max: PHONES_MAX });
        }

        let call = CallId(Uuid::new_v4());
        let arrival = {
            let mut state = self.core.shard(call).state.lock();
            state.phones.dial(now(), call, account, dial)?
        };
        self.core.phones.fetch_add(1, Ordering::Relaxed);
        if let Err(no_flow) = exchange.arrive(arrival) {
            self.core.forget(call);
            return Err(no_flow.into());
        }
        Ok(call)
    }

    /// Presses keys, 100 ms apart: the first now, unless others wait. Ringing phones may do so.
    ///
    /// # Errors
    ///
    /// No such phone, it has ended, or its keys cannot be pressed.
    pub fn press(&self, account: &AccountId, call: CallId, digits: &str) -> Result<(), PhoneError> {
        let keys: Keys = digits.parse()?;
        self.act(call, |phones, now| phones.press(now, account, call, &keys))
    }

    /// Talks for so many milliseconds from now on, or longer if it does so already.
    ///
    /// # Errors
    ///
    /// No such phone, or it has ended.
    pub fn talk(&self, account: &AccountId, call: CallId, ms: u32) -> Result<(), PhoneError> {
        self.act(call, |phones, now| phones.talk(now, account, call, ms))
    }

    /// Holds the engine (true), or is back; nothing happens if it is so already.
    ///
    /// # Errors
    ///
    /// No such phone, or it has ended.
    pub fn hold(&self, account: &AccountId, call: CallId, on: bool) -> Result<(), PhoneError> {
        self.act(call, |phones, now| phones.hold(now, account, call, on))
    }

    /// Hangs up. The phone is completed at once; why, its record says when the engine has ended
    /// the call.
    ///
    /// # Errors
    ///
    /// No such phone, or it has ended.
    pub fn hang_up(&self, account: &AccountId, call: CallId) -> Result<(), PhoneError> {
        self.act(call, |phones, now| phones.hang_up(now, account, call))
    }

    /// What is told of a phone. One that has ended is kept for [`KEPT_FOR`], unless
    /// [`KEPT_MAX`] others have ended since.
    ///
    /// # Errors
    ///
    /// No such phone.
    pub fn record(&self, account: &AccountId, call: CallId) -> Result<Record, PhoneError> {
        self.core.keep(now(), Vec::new());
        self.core.shard(call).state.lock().phones.record(account, call)
    }

    /// Something that a phone's owner does; the engine has heard of it when this returns.
    fn act(
        &self,
        call: CallId,
        act: impl FnOnce(&mut Phones, Instant) -> Result<(), PhoneError>,
    ) -> Result<(), PhoneError> {
        let now = now();
        self.core.keep(now, Vec::new());
        let shard = self.core.shard(call);
        let result = act(&mut shard.state.lock().phones, now);
        self.core.tell(shard, now);
        result
    }
}

impl Backend for Sim {
    fn send(&self, order: Order) {
        let now = now();
        if let Order::Dial { call, account, from, to, .. } = &order {
            let is_full = PHONES_MAX <= self.core.phones.load(Ordering::Relaxed);
            let is_new = self.core.shard(*call).change(|phones| {
                if is_full {
                    phones.report(now, *call, Heard::Failed(HangupCause::DestinationOut));
                    return false;
                }
                phones.call(now, *call, account, from, to)
            });
            self.core.phones.fetch_add(usize::from(is_new), Ordering::Relaxed);
            return;
        }
        if let [call] = order.calls() {
            let call = *call;
            return self.core.obey(now, self.core.shard(call), &order, [call].into_iter());
        }
        self.core.obey_all(now, &order, order.calls());
    }

    fn send_part(&self, order: &Order, from: usize) -> usize {
        let (now, calls) = (now(), order.calls());
        let to = calls.len().min(from + PART_CALLS);
        self.core.obey_all(now, order, &calls[from..to]);
        to
    }

    fn can_dial(&self, to: &str) -> Result<(), NoWay> {
        Called::parse(to).map(drop)
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.core.is_closed.store(true, Ordering::Release);
        self.core.shards.iter().for_each(|shard| shard.changed.notify_one());
    }
}

struct Core {
    shards: Box<[Shard]>,
    exchange: OnceLock<Weak<dyn Exchange>>,
    /// Ended phones, the oldest first.
    kept: Mutex<VecDeque<(Instant, CallId)>>,
    /// How many there are, kept ones included.
    phones: AtomicUsize,
    is_closed: AtomicBool,
}

struct Shard {
    state: Mutex<State>,
    /// Held by whoever tells the engine, so that reports come in order.
    telling: Mutex<()>,
    /// The task is to look again.
    changed: Notify,
}

struct State {
    phones: Phones,
    /// When the task wakes up by itself.
    waking: Option<Instant>,
}

impl Core {
    fn shard(&self, call: CallId) -> &Shard {
        &self.shards[shard_of(call)]
    }

    /// Some phones do what the engine says, shard by shard.
    fn obey_all(&self, now: Instant, order: &Order, calls: &[CallId]) {
        for (n, shard) in self.shards.iter().enumerate() {
            let calls = calls.iter().copied().filter(|call| shard_of(*call) == n);
            self.obey(now, shard, order, calls);
        }
    }

    /// Some of a shard's phones do what the engine says.
    fn obey(
        &self,
        now: Instant,
        shard: &Shard,
        order: &Order,
        mut calls: impl Iterator<Item = CallId>,
    ) {
        let Some(first) = calls.next() else { return };
        let ended = shard.change(|phones| {
            phones.obey(now, first, order);
            calls.for_each(|call| phones.obey(now, call, order));
            phones.take_ended()
        });
        if !ended.is_empty() {
            self.keep(now, ended);
        }
    }

    fn exchange(&self) -> Option<Arc<dyn Exchange>> {
        self.exchange.get()?.upgrade()
    }

    async fn run(&self, shard: &Shard) {
        loop {
            match shard.plan_waking() {
                Some(deadline) => {
                    // Either way the shard is looked at: a time-out is as good as a call.
                    let sleep = time::sleep_until(deadline.into());
                    tokio::select! {
                        () = sleep => {}
                        () = shard.changed.notified() => {}
                    }
                }
                None => shard.changed.notified().await,
            }
            if self.is_closed.load(Ordering::Acquire) || !self.tell(shard, now()) {
                return;
            }
            // Many phones may be due at once: others get their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Lets time go by in a shard, and tells the engine. False if that is gone.
    fn tell(&self, shard: &Shard, now: Instant) -> bool {
        let Some(exchange) = self.exchange() else { return false };
        let mut reports: Vec<Report> = Vec::new();
        let ended = {
            let _telling = shard.telling.lock();
            let ended = shard.change(|phones| {
                phones.tick(now, &mut reports);
                phones.take_ended()
            });
            reports.into_iter().for_each(|report| exchange.report(report));
            ended
        };
        self.keep(now, ended);
        true
    }

    /// Keeps ended phones, and forgets those that have been kept for long enough.
    fn keep(&self, now: Instant, ended: Vec<CallId>) {
        let mut forgotten = Vec::new();
        {
            let mut kept = self.kept.lock();
            kept.extend(ended.into_iter().map(|call| (now, call)));
            while let Some((since, call)) = kept.front()
                && (kept.len() > KEPT_MAX || now.saturating_duration_since(*since) >= KEPT_FOR)
            {
                forgotten.push(*call);
                kept.pop_front();
            }
        }
        forgotten.into_iter().for_each(|call| self.forget(call));
    }

    fn forget(&self, call: CallId) {
        if self.shard(call).state.lock().phones.forget(call) {
            self.phones.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn shard_of(call: CallId) -> usize {
    share(call, SHARDS)
}

impl Shard {
    fn new(settings: Settings) -> Self {
        let state = State { phones: Phones::new(settings), waking: None };
        Self { state: Mutex::new(state), telling: Mutex::new(()), changed: Notify::new() }
    }

    /// Changes something, and wakes the task if it would sleep for too long.
    fn change<T>(&self, change: impl FnOnce(&mut Phones) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state.phones);
        let deadline = state.phones.deadline();
        if deadline.is_some_and(|at| state.waking.is_none_or(|waking| at < waking)) {
            state.waking = deadline;
            drop(state);
            self.changed.notify_one();
        }
        result
    }

    fn plan_waking(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        state.waking = state.phones.deadline();
        state.waking
    }
}

fn now() -> Instant {
    time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
