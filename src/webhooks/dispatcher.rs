//! Dispatcher: sends callbacks; one task that drives the delivery machine and the guarded client.
//!
//! Senders put callbacks into a queue and never wait. An idle queue costs nothing: there is a task
//! per request in flight, and none per queue.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    sync::mpsc,
    task::{self, JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tracing::{debug, error, warn};

use crate::{
    base::{ids::Dialect, traceparent::Traceparent},
    fetch::{
        self, Budget, FetchClient, FetchError, OutgoingRequest, TargetUrl,
        signature::{FormField, Signer},
    },
    flow::RequestMethod,
    webhooks::delivery::{
        ATTEMPTS_MAX, Command, Delivery, DeliveryItem, DeliveryLimits, DeliveryTicket, DropReason,
        Effect, Outcome, QueueKey,
    },
};

/// A callback to a URL.
#[derive(Debug)]
pub struct Webhook {
    /// Callbacks with equal keys are delivered in order.
    pub queue: QueueKey,
    /// Sequence number within its conference, or among its call's events.
    pub sequence: u64,
    /// URL of the receiver. Its fragment changes timeouts, the number of attempts (`rc`), and the
    /// failures that are retried (`rp`).
    pub target: Arc<TargetUrl>,
    /// GET or POST, as the URL's author chose.
    pub method: RequestMethod,
    /// Selects the user agent that the receiver sees.
    pub dialect: Dialect,
    /// Signer of the account; None leaves the callback unsigned.
    pub signer: Option<Arc<Signer>>,
    /// Source of the form fields.
    pub fields: Arc<dyn WebhookFields>,
}

/// Fields of a callback. They are made when it is sent, so that waiting callbacks stay small.
pub trait WebhookFields: fmt::Debug + Send + Sync {
    /// Names and values in the order of sending.
    fn fields(&self) -> Vec<FormField>;

    /// Trace that the callback belongs to, if any.
    fn trace(&self) -> Option<Traceparent> {
        None
    }

    /// Value of `X-Conflow-Event-Id`: the same in each attempt, and the id in the event stream. None:
    /// the callback is of no event.
    fn event_id(&self) -> Option<String> {
        None
    }

    /// Whether the next start sends the callback, if this process does not.
    fn outlives_the_process(&self) -> bool {
        false
    }

    /// Called once the callback is delivered, or given up for good.
    fn settle(&self) {}
}

impl WebhookFields for Vec<FormField> {
    fn fields(&self) -> Vec<FormField> {
        self.clone()
    }
}

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
            debug!(url = %target, %owner, sequence, attempts, "a callback waits for the next start");
            return;
        }
        self.dropped(why).fetch_add(1, Relaxed);
        callback.fields.settle();
        let status = failed.and_then(|it| it.status);
        let error = failed.map(|it| &*it.error);
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

/// A request that has ended, for the log.
#[derive(Debug)]
struct EndedRequest {
    callback: Arc<Webhook>,
    attempt: u8,
    /// None: there was no response.
    status: Option<u16>,
    /// Empty if it has arrived.
    error: String,
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
        let Some(EndedRequest { callback, attempt, status, error }) = failed else { return };
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
        self.handle(Command::Queue(DeliveryItem {
            queue: callback.queue.clone(),
            receiver: Arc::clone(callback.target.origin()),
            sequence: callback.sequence,
            attempts_max: retries.map_or(ATTEMPTS_MAX, |it| it + 1),
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

    fn handle_after(&mut self, command: Command<Arc<Webhook>>, failed: Option<&EndedRequest>) {
        self.delivery.handle(Instant::now().into_std(), command, &mut self.effects);
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Send { ticket, attempt, payload: load } => self.send(ticket, attempt, load),
                Effect::Delivered { lag, payload, attempts: _ } => {
                    payload.fields.settle();
                    self.counters.delivered.fetch_add(1, Relaxed);
                    self.counters.lag_millis.fetch_add(lag.as_millis() as u64, Relaxed);
                }
                Effect::Dropped { why, attempts, item } => {
                    let failed = failed.filter(|it| Arc::ptr_eq(&it.callback, &item.payload));
                    self.counters.give_up(why, attempts, &item.payload, failed);
                }
            }
        }
    }

    fn send(&mut self, ticket: DeliveryTicket, attempt: u8, callback: Arc<Webhook>) {
        let (client, counters) = (self.client.clone(), Arc::clone(&self.counters));
        let request = self.requests.spawn(async move {
            let Err(error) = client.fetch_once(&request(&callback)).await else {
                let (status, error) = (None, String::new());
                return (Outcome::Arrived, EndedRequest { callback, attempt, status, error });
            };
            counters.failed.fetch_add(1, Relaxed);
            let outcome = match is_final(&error, &callback.target) {
                true => Outcome::Refused,
                false => Outcome::Failed,
            };
            let (status, error) = (error.status(), error.to_string());
            (outcome, EndedRequest { callback, attempt, status, error })
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

/// The header by which a receiver knows that it has had a callback.
const EVENT_ID: HeaderName = HeaderName::from_static("x-conflow-event-id");

/// Timeout of one attempt. A receiver only has to confirm: one that does its work first gets the
/// callback again, and delays its own further callbacks.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

fn request(callback: &Webhook) -> OutgoingRequest {
    let Webhook { target, method, dialect, signer, fields, .. } = callback;
    let usual = Budget { read: READ_TIMEOUT, retries: 0, ..Budget::default() };
    let mut budget = target.budget(usual);
    budget.total = target.options().total.unwrap_or(budget.connect + budget.read);
    OutgoingRequest {
        target: Arc::clone(target),
        method: *method,
        fields: fields.fields(),
        headers: headers(&**fields),
        dialect: *dialect,
        signer: signer.clone(),
        budget,
        answer_bytes_max: None,
    }
}

fn headers(fields: &dyn WebhookFields) -> HeaderMap {
    let mut headers = fetch::trace_headers(fields.trace());
    let id = fields.event_id().and_then(|it| HeaderValue::try_from(it).ok());
    headers.extend(id.map(|it| (EVENT_ID, it)));
    headers
}

/// Whether no retry would help, or the URL's author wants none.
fn is_final(error: &FetchError, target: &TargetUrl) -> bool {
    match target.options().retry_on {
        Some(policy) => !error.is_retried_by(policy),
        None => !error.is_temporary() && error.status().is_none(),
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
