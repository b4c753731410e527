//! Dispatcher: sends callbacks; one task that drives the delivery machine and the guarded client.
//!
//! Senders put callbacks into a queue and never wait. An idle queue costs nothing: there is a task
//! per request in flight, and none per queue.

mod webhook;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    sync::mpsc,
    task::{self, JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tracing::{debug, error, warn};

pub use self::webhook::{Webhook, WebhookFields};
use self::webhook::{is_final, request};
use crate::{
    fetch::FetchClient,
    webhooks::{
        delivery::{
            ATTEMPTS_MAX, Command, Delivery, DeliveryItem, DeliveryLimits, DeliveryTicket,
            DropReason, Effect, ITEMS_MAX, Outcome,
        },
        history::{DeliveryAttempt, DeliveryChange, DeliveryState, EarlierTries},
    },
};

/// Queue of the dispatcher. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WebhookQueue {
    queue: mpsc::Sender<Arc<Webhook>>,
    counters: Arc<WebhookCounters>,
}

impl WebhookQueue {
    /// Queues a callback without waiting. If there is no space, it is dropped, counted and logged.
    pub fn send(&self, callback: Webhook) {
        let Err(error) = self.queue.try_send(Arc::new(callback)) else { return };
        let (why, callback) = match error {
            mpsc::error::TrySendError::Closed(callback) => (DropReason::Closed, callback),
            mpsc::error::TrySendError::Full(callback) => (DropReason::Full, callback),
        };
        self.counters.give_up(why, 0, &callback, None);
    }

    /// Whether there is room for callbacks of an earlier process, beside those of this one.
    pub fn has_room(&self) -> bool {
        let is_empty = self.queue.capacity() == self.queue.max_capacity();
        is_empty
            && !self.queue.is_closed()
            && self.counters.queued.load(Relaxed) < EARLIER_QUEUED_MAX
    }

    /// Counters of all callbacks.
    pub fn counters(&self) -> &Arc<WebhookCounters> {
        &self.counters
    }
}

/// Counters of callbacks; totals only rise.
#[derive(Debug, Default)]
pub struct WebhookCounters {
    /// Now: callbacks that wait or are in flight.
    pub queued: AtomicU64,
    /// Now: callbacks of earlier processes that are in the state log only.
    pub unread: AtomicU64,
    /// Now: requests in flight.
    pub in_flight: AtomicU64,
    /// Age of the oldest waiting callback in milliseconds; updated every few seconds.
    pub oldest_millis: AtomicU64,
    /// Total: callbacks that receivers confirmed.
    pub delivered: AtomicU64,
    /// Total of all delivered callbacks: milliseconds from the notice to the delivery.
    pub lag_millis: AtomicU64,
    /// Total: failed requests, including those that are retried.
    pub failed: AtomicU64,
    /// Total: dropped at the shutdown.
    pub dropped_closed: AtomicU64,
    /// Total: dropped after the last attempt.
    pub dropped_exhausted: AtomicU64,
    /// Total: dropped for lack of space.
    pub dropped_full: AtomicU64,
    /// Total: dropped since no retry would help.
    pub dropped_refused: AtomicU64,
}

impl WebhookCounters {
    /// Counter of callbacks that were dropped for a reason.
    pub fn dropped(&self, why: DropReason) -> &AtomicU64 {
        match why {
            DropReason::Closed => &self.dropped_closed,
            DropReason::Exhausted => &self.dropped_exhausted,
            DropReason::Full => &self.dropped_full,
            DropReason::Refused => &self.dropped_refused,
        }
    }

    /// Counts and logs a callback that is not delivered. `failed` is its last request, if it was
    /// that which has failed.
    fn give_up(
        &self,
        why: DropReason,
        attempts: u8,
        callback: &Webhook,
        failed: Option<&EndedRequest>,
    ) {
        let Webhook { queue, sequence, target, .. } = callback;
        let (reason, owner) = (why.text(), queue.owner);
        if why == DropReason::Closed && callback.fields.outlives_the_process() {
            if let Some(failed) = failed {
                callback.fields.note(DeliveryChange::Failed(&failed.tried));
            }
            debug!(url = %target, %owner, sequence, attempts, "a callback waits for the next start");
            return;
        }
        self.dropped(why).fetch_add(1, Relaxed);
        let tried = failed.map(|it| &it.tried);
        callback.fields.note(DeliveryChange::Settled(DeliveryState::GivenUp(why), tried));
        let (status, error) = (tried.and_then(|it| it.status), tried.map(|it| &*it.error));
        match why {
            DropReason::Exhausted | DropReason::Refused => warn!(
                url = %target, status, error, %owner, sequence, attempts, why = reason,
                "a callback is given up"
            ),
            DropReason::Closed | DropReason::Full => error!(
                url = %target, %owner, sequence, attempts, why = reason, "a callback is dropped"
            ),
        }
    }
}

/// Task that sends callbacks. It sends nothing until [`Dispatcher::run`].
#[derive(Debug)]
pub struct Dispatcher {
    delivery: Delivery<Arc<Webhook>>,
    effects: VecDeque<Effect<Arc<Webhook>>>,
    client: FetchClient,
    queue: mpsc::Receiver<Arc<Webhook>>,
    requests: JoinSet<(Outcome, EndedRequest)>,
    /// URLs whose last request has failed: their further failures are logged at a lower level.
    failing: HashSet<Arc<str>>,
    tickets: HashMap<task::Id, DeliveryTicket>,
    counters: Arc<WebhookCounters>,
    /// Time of the next check of the oldest callback; None while there is none.
    next_age_check: Option<Instant>,
    is_lagging: bool,
}

/// Creates a dispatcher and its queue.
pub fn webhook_dispatcher(
    client: FetchClient,
    limits: DeliveryLimits,
) -> (WebhookQueue, Dispatcher) {
    let (sender, queue) = webhook_queue();
    let dispatcher = Dispatcher {
        delivery: Delivery::new(limits),
        effects: VecDeque::new(),
        client,
        queue,
        requests: JoinSet::new(),
        failing: HashSet::new(),
        tickets: HashMap::new(),
        counters: Arc::clone(&sender.counters),
        next_age_check: None,
        is_lagging: false,
    };
    (sender, dispatcher)
}

/// Creates a queue, and the end from which a dispatcher or a simulation takes the callbacks.
pub fn webhook_queue() -> (WebhookQueue, mpsc::Receiver<Arc<Webhook>>) {
    let (queue, taken) = mpsc::channel(QUEUE_MAX);
    (WebhookQueue { queue, counters: Arc::default() }, taken)
}

/// A request that has ended, for the log and the history.
#[derive(Debug)]
struct EndedRequest {
    callback: Arc<Webhook>,
    attempt: u8,
    tried: DeliveryAttempt,
}

impl EndedRequest {
    fn has_arrived(&self) -> bool {
        self.tried.error.is_empty()
    }
}

/// Event that wakes the dispatcher.
enum DispatcherEvent {
    Queued(Vec<Arc<Webhook>>),
    /// All senders are gone, and the queue is empty.
    Emptied,
    Done(DeliveryTicket, Outcome, Option<EndedRequest>),
    /// A deadline has passed: the machine's, or that of the age check.
    Due,
    Closing,
    /// The grace period of the shutdown is over.
    GraceOver,
}

impl Dispatcher {
    /// Sends callbacks until `close` is ready or the last [`WebhookQueue`] is dropped; the
    /// remaining ones then have [`GRACE`].
    pub async fn run(mut self, close: impl Future<Output = ()>) {
        let mut close = pin!(close);
        let mut end = None;
        let mut is_open = true;
        while is_open || !self.delivery.is_empty() {
            match self.next(is_open, close.as_mut(), end).await {
                DispatcherEvent::Queued(callbacks) => {
                    callbacks.into_iter().for_each(|it| self.enqueue(it));
                }
                DispatcherEvent::Done(ticket, outcome, failed) => {
                    self.note_result(&ticket, outcome, failed.as_ref());
                    self.handle_after(Command::Done { ticket, outcome }, failed.as_ref());
                }
                DispatcherEvent::Due => self.tick(),
                DispatcherEvent::Closing => {
                    self.queue.close();
                    end = Some(Instant::now() + GRACE);
                }
                DispatcherEvent::Emptied => {
                    is_open = false;
                    end.get_or_insert_with(|| Instant::now() + GRACE);
                }
                DispatcherEvent::GraceOver => return self.give_up(),
            }
            self.update_counters();
        }
    }

    /// The only method that waits.
    async fn next(
        &mut self,
        is_open: bool,
        close: Pin<&mut impl Future<Output = ()>>,
        end: Option<Instant>,
    ) -> DispatcherEvent {
        let deadline = self.delivery.deadline().map(Instant::from_std);
        let due = [deadline, self.next_age_check].into_iter().flatten().min();
        let mut callbacks = Vec::new();
        tokio::select! {
            Some(done) = self.requests.join_next_with_id() => self.request_done(done),
            () = until(end) => DispatcherEvent::GraceOver,
            () = until(due) => DispatcherEvent::Due,
            () = close, if end.is_none() => DispatcherEvent::Closing,
            count = self.queue.recv_many(&mut callbacks, RECEIVE_MAX), if is_open => match count {
                0 => DispatcherEvent::Emptied,
                _ => DispatcherEvent::Queued(callbacks),
            },
        }
    }

    fn request_done(
        &mut self,
        done: Result<(task::Id, (Outcome, EndedRequest)), JoinError>,
    ) -> DispatcherEvent {
        let (id, outcome, request) = match done {
            Ok((id, (outcome, request))) => (id, outcome, Some(request)),
            Err(error) => {
                error!(%error, "a callback's request panicked: this is a bug");
                (error.id(), Outcome::Failed, None)
            }
        };
        let ticket = self.tickets.remove(&id).expect("every request has a ticket");
        DispatcherEvent::Done(ticket, outcome, request)
    }

    /// Logs the first failure of a URL, and at a lower level those that follow until it answers.
    fn note_result(
        &mut self,
        ticket: &DeliveryTicket,
        outcome: Outcome,
        failed: Option<&EndedRequest>,
    ) {
        let Some(EndedRequest { callback, attempt, tried }) = failed else { return };
        let DeliveryAttempt { status, error, .. } = tried;
        if outcome == Outcome::Arrived {
            self.failing.remove(&callback.queue.url);
            return;
        }
        let now = Instant::now().into_std();
        let pause = self.delivery.pause_after(now, ticket).filter(|_| outcome == Outcome::Failed);
        // The last attempt has a line of its own.
        let Some(pause) = pause else { return };
        if FAILING_MAX <= self.failing.len() {
            self.failing.clear();
        }
        let is_first = self.failing.insert(callback.queue.url.clone());
        let Webhook { queue, sequence, target, .. } = &**callback;
        let (owner, next_try_seconds) = (queue.owner, pause.as_secs_f64());
        match is_first {
            true => warn!(
                url = %target, status, error, %owner, sequence, attempt, next_try_seconds,
                "a callback has failed and is tried again"
            ),
            false => debug!(
                url = %target, status, error, %owner, sequence, attempt, next_try_seconds,
                "a callback has failed and is tried again"
            ),
        }
    }

    fn enqueue(&mut self, callback: Arc<Webhook>) {
        let retries = callback.target.options().retries;
        let EarlierTries { attempts, age } = callback.fields.earlier_tries();
        callback.fields.note(DeliveryChange::Queued);
        self.handle(Command::Queue(DeliveryItem {
            account: callback.account.clone(),
            queue: callback.queue.clone(),
            receiver: Arc::clone(callback.target.origin()),
            sequence: callback.sequence,
            attempts_max: retries.map_or(ATTEMPTS_MAX, |it| it + 1),
            attempts_before: attempts,
            age,
            payload: callback,
        }));
    }

    fn tick(&mut self) {
        self.handle(Command::Tick);
        let now = Instant::now();
        if self.next_age_check.is_some_and(|at| now < at) {
            return;
        }

        let oldest = self.delivery.oldest().map(Instant::from_std);
        let age = oldest.map_or(Duration::ZERO, |since| now - since);
        self.counters.oldest_millis.store(age.as_millis() as u64, Relaxed);
        if LAG_WARNED <= age && !self.is_lagging {
            let queued = self.delivery.len();
            warn!(queued, oldest_seconds = age.as_secs(), "callbacks lag: a receiver is down");
        }
        self.is_lagging = LAG_WARNED <= age;
        self.next_age_check = (!self.delivery.is_empty()).then_some(now + AGE_CHECK_EVERY);
    }

    fn give_up(mut self) {
        self.handle(Command::Close);
        self.requests.abort_all();
        for ticket in std::mem::take(&mut self.tickets).into_values() {
            self.handle(Command::Done { ticket, outcome: Outcome::Failed });
        }
        self.update_counters();
    }

    fn handle(&mut self, command: Command<Arc<Webhook>>) {
        self.handle_after(command, None);
    }

    fn handle_after(&mut self, command: Command<Arc<Webhook>>, ended: Option<&EndedRequest>) {
        self.delivery.handle(Instant::now().into_std(), command, &mut self.effects);
        let mut retried = ended;
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Send { ticket, attempt, payload: load } => self.send(ticket, attempt, load),
                Effect::Delivered { lag, payload, attempts: _ } => {
                    retried = None;
                    let tried = ended.map(|it| &it.tried);
                    payload.fields.note(DeliveryChange::Settled(DeliveryState::Arrived, tried));
                    self.counters.delivered.fetch_add(1, Relaxed);
                    self.counters.lag_millis.fetch_add(lag.as_millis() as u64, Relaxed);
                }
                Effect::Dropped { why, attempts, item } => {
                    let failed = ended.filter(|it| Arc::ptr_eq(&it.callback, &item.payload));
                    retried = retried.filter(|_| failed.is_none());
                    self.counters.give_up(why, attempts, &item.payload, failed);
                }
            }
        }
        if let Some(EndedRequest { callback, tried, .. }) = retried.filter(|it| !it.has_arrived()) {
            callback.fields.note(DeliveryChange::Failed(tried));
        }
    }

    fn send(&mut self, ticket: DeliveryTicket, attempt: u8, callback: Arc<Webhook>) {
        let (client, counters) = (self.client.clone(), Arc::clone(&self.counters));
        callback.fields.note(DeliveryChange::Sent);
        let request = self.requests.spawn(async move {
            let (at, begun) = (wall_clock(), Instant::now());
            let fetched = client.fetch_once(&request(&callback)).await;
            let took = begun.elapsed();
            let (outcome, status, error) = match fetched {
                Ok(response) => (Outcome::Arrived, Some(response.status), String::new()),
                Err(error) => {
                    counters.failed.fetch_add(1, Relaxed);
                    let outcome = match is_final(&error, &callback.target) {
                        true => Outcome::Refused,
                        false => Outcome::Failed,
                    };
                    (outcome, error.status(), error.to_string())
                }
            };
            let tried = DeliveryAttempt { at, status, error: error.into(), took };
            (outcome, EndedRequest { callback, attempt, tried })
        });
        self.tickets.insert(request.id(), ticket);
    }

    fn update_counters(&mut self) {
        self.counters.queued.store(self.delivery.len() as u64, Relaxed);
        self.counters.in_flight.store(self.delivery.in_flight() as u64, Relaxed);
        if self.next_age_check.is_none() && !self.delivery.is_empty() {
            self.next_age_check = Some(Instant::now() + AGE_CHECK_EVERY);
        }
    }
}

/// Queue from the actors to the dispatcher. It is emptied at every turn; if it is full, the process
/// is overloaded.
const QUEUE_MAX: usize = 65_536;

/// Callbacks of earlier processes are read while fewer are queued: half of what the queues hold.
const EARLIER_QUEUED_MAX: u64 = (ITEMS_MAX / 2) as u64;

/// More URLs that fail are logged once more each.
const FAILING_MAX: usize = 10_000;

/// Callbacks that are taken between two looks at responses.
const RECEIVE_MAX: usize = 256;

/// Time that a shutdown may take for callbacks.
pub const GRACE: Duration = Duration::from_secs(5);

/// A check of every queue takes milliseconds if there are very many.
const AGE_CHECK_EVERY: Duration = Duration::from_secs(5);

/// A receiver that restarts is back by then.
const LAG_WARNED: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "attempts have the time of the wall clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
