//! Callbacks sent: the delivery machine, with the guarded client under it, in one task.
//!
//! Whoever has something to tell puts it in a queue and never waits. A lane that has nothing to
//! deliver costs nothing: there is a task per request under way, and none per lane.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::{self, JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};

use crate::{
    base::{ids::Dialect, traceparent::Traceparent},
    fetch::{
        self, Budget, Client, FetchError, Request, Target,
        signature::{Field, Signer},
    },
    flow::Method,
    webhooks::delivery::{
        ATTEMPTS_MAX, Command, Delivery, Effect, Lane, Limits, Outcome, Parcel, Ticket, Why,
    },
};

/// Something that a URL is told.
#[derive(Debug)]
pub struct Callback {
    /// What it is kept in order with.
    pub lane: Lane,
    /// Its number in its conference, or among its call's events.
    pub sequence: u64,
    /// Where to. Its fragment changes the time-outs, and the tries if it names `rc`; if it names
    /// `rp`, only those failures are tried again.
    pub target: Arc<Target>,
    /// GET or POST.
    pub method: Method,
    /// By whom we are known to the receiver.
    pub dialect: Dialect,
    /// The account's.
    pub signer: Option<Arc<Signer>>,
    /// What is told.
    pub fields: Arc<dyn Fields>,
}

/// What a callback tells, made when it is sent: what waits in a queue stays small.
pub trait Fields: fmt::Debug + Send + Sync {
    /// Names and values, in order.
    fn fields(&self) -> Vec<Field>;

    /// What it belongs to, if to anything.
    fn trace(&self) -> Option<Traceparent> {
        None
    }
}

impl Fields for Vec<Field> {
    fn fields(&self) -> Vec<Field> {
        self.clone()
    }
}

/// Where callbacks are put. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Callbacks {
    queue: mpsc::Sender<Arc<Callback>>,
    counters: Arc<Counters>,
}

impl Callbacks {
    /// Puts a callback in the queue, and never waits. Where there is no room it is dropped, which
    /// is counted and logged.
    pub fn send(&self, callback: Callback) {
        let Err(error) = self.queue.try_send(Arc::new(callback)) else { return };
        let (why, callback) = match error {
            mpsc::error::TrySendError::Closed(callback) => (Why::Closed, callback),
            mpsc::error::TrySendError::Full(callback) => (Why::Full, callback),
        };
        self.counters.give_up(why, 0, &callback);
    }

    /// What has become of them.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}

/// Callbacks, counted. All totals rise.
#[derive(Debug, Default)]
pub struct Counters {
    /// Now: those that wait or are on their way.
    pub queued: AtomicU64,
    /// Now: requests under way.
    pub flying: AtomicU64,
    /// How long the oldest one has waited, in milliseconds; looked at every few seconds.
    pub oldest_millis: AtomicU64,
    /// Total: those that have arrived.
    pub delivered: AtomicU64,
    /// Total, of those that have arrived: milliseconds from the notice to the arrival.
    pub lag_millis: AtomicU64,
    /// Total: requests that have failed, those that are tried again included.
    pub failed: AtomicU64,
    /// Total: given up at the shutdown.
    pub dropped_closed: AtomicU64,
    /// Total: given up after the last try.
    pub dropped_exhausted: AtomicU64,
    /// Total: given up for want of room.
    pub dropped_full: AtomicU64,
    /// Total: given up since no try would help.
    pub dropped_refused: AtomicU64,
}

impl Counters {
    /// How many have been given up for that reason.
    pub fn dropped(&self, why: Why) -> &AtomicU64 {
        match why {
            Why::Closed => &self.dropped_closed,
            Why::Exhausted => &self.dropped_exhausted,
            Why::Full => &self.dropped_full,
            Why::Refused => &self.dropped_refused,
        }
    }

    fn give_up(&self, why: Why, attempts: u8, callback: &Callback) {
        self.dropped(why).fetch_add(1, Relaxed);
        let Callback { lane, sequence, target, .. } = callback;
        let (why, owner) = (why.text(), lane.owner);
        warn!(url = %target, %owner, sequence, attempts, why, "a callback is dropped");
    }
}

/// Who brings them. Nothing is sent until it runs.
#[derive(Debug)]
pub struct Courier {
    delivery: Delivery<Arc<Callback>>,
    effects: VecDeque<Effect<Arc<Callback>>>,
    client: Client,
    queue: mpsc::Receiver<Arc<Callback>>,
    requests: JoinSet<Outcome>,
    tickets: HashMap<task::Id, Ticket>,
    counters: Arc<Counters>,
    /// When the oldest one is looked at again; none while there is none.
    look: Option<Instant>,
    is_lagging: bool,
}

/// A queue, and who empties it.
pub fn callbacks(client: Client, limits: Limits) -> (Callbacks, Courier) {
    let (sender, queue) = mpsc::channel(INTAKE_MAX);
    let counters = Arc::new(Counters::default());
    let courier = Courier {
        delivery: Delivery::new(limits),
        effects: VecDeque::new(),
        client,
        queue,
        requests: JoinSet::new(),
        tickets: HashMap::new(),
        counters: Arc::clone(&counters),
        look: None,
        is_lagging: false,
    };
    (Callbacks { queue: sender, counters }, courier)
}

/// What wakes the courier.
enum Happened {
    /// Somebody has put something in the queue.
    Queued(Vec<Arc<Callback>>),
    /// Nobody can put anything in the queue any more, and it is empty.
    Emptied,
    /// A request is over.
    Done(Ticket, Outcome),
    /// A deadline has passed: the machine's, or for a look at the oldest.
    Due,
    /// The engine shuts down.
    Closing,
    /// It has waited for us long enough.
    Late,
}

impl Courier {
    /// Brings callbacks until `close` is ready or the last [`Callbacks`] has gone; then those that
    /// are still to be brought have [`GRACE`].
    pub async fn run(mut self, close: impl Future<Output = ()>) {
        let mut close = pin!(close);
        let mut end = None;
        let mut is_open = true;
        while is_open || !self.delivery.is_empty() {
            match self.next(is_open, close.as_mut(), end).await {
                Happened::Queued(callbacks) => callbacks.into_iter().for_each(|it| self.take(it)),
                Happened::Done(ticket, outcome) => self.handle(Command::Done { ticket, outcome }),
                Happened::Due => self.tick(),
                Happened::Closing => {
                    self.queue.close();
                    end = Some(Instant::now() + GRACE);
                }
                Happened::Emptied => {
                    is_open = false;
                    end.get_or_insert_with(|| Instant::now() + GRACE);
                }
                Happened::Late => return self.give_up(),
            }
            self.count();
        }
    }

    /// The only place that waits.
    async fn next(
        &mut self,
        is_open: bool,
        close: Pin<&mut impl Future<Output = ()>>,
        end: Option<Instant>,
    ) -> Happened {
        let deadline = self.delivery.deadline().map(Instant::from_std);
        let due = [deadline, self.look].into_iter().flatten().min();
        let mut callbacks = Vec::new();
        tokio::select! {
            Some(done) = self.requests.join_next_with_id() => self.landed(done),
            () = until(end) => Happened::Late,
            () = until(due) => Happened::Due,
            () = close, if end.is_none() => Happened::Closing,
            count = self.queue.recv_many(&mut callbacks, TAKE_MAX), if is_open => match count {
                0 => Happened::Emptied,
                _ => Happened::Queued(callbacks),
            },
        }
    }

    fn landed(&mut self, done: Result<(task::Id, Outcome), JoinError>) -> Happened {
        let (id, outcome) = match done {
            Ok(done) => done,
            Err(error) => {
                warn!(%error, "a request has met a bug");
                (error.id(), Outcome::Failed)
            }
        };
        let ticket = self.tickets.remove(&id).expect("every request has a ticket");
        Happened::Done(ticket, outcome)
    }

    fn take(&mut self, callback: Arc<Callback>) {
        let retries = callback.target.options().retries;
        self.handle(Command::Queue(Parcel {
            lane: callback.lane.clone(),
            receiver: Arc::clone(callback.target.origin()),
            sequence: callback.sequence,
            attempts_max: retries.map_or(ATTEMPTS_MAX, |it| it + 1),
            load: callback,
        }));
    }

    fn tick(&mut self) {
        self.handle(Command::Tick);
        let now = Instant::now();
        if self.look.is_some_and(|at| now < at) {
            return;
        }

        let oldest = self.delivery.oldest().map(Instant::from_std);
        let age = oldest.map_or(Duration::ZERO, |since| now - since);
        self.counters.oldest_millis.store(age.as_millis() as u64, Relaxed);
        if LAG_SAID <= age && !self.is_lagging {
            let queued = self.delivery.len();
            warn!(queued, oldest_seconds = age.as_secs(), "callbacks lag: a receiver is down");
        }
        self.is_lagging = LAG_SAID <= age;
        self.look = (!self.delivery.is_empty()).then_some(now + LOOK);
    }

    fn give_up(mut self) {
        self.handle(Command::Close);
        self.requests.abort_all();
        for ticket in std::mem::take(&mut self.tickets).into_values() {
            self.handle(Command::Done { ticket, outcome: Outcome::Failed });
        }
        self.count();
    }

    fn handle(&mut self, command: Command<Arc<Callback>>) {
        self.delivery.handle(Instant::now().into_std(), command, &mut self.effects);
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Send { ticket, attempt, load } => self.send(ticket, attempt, load),
                Effect::Delivered { lag, .. } => {
                    self.counters.delivered.fetch_add(1, Relaxed);
                    self.counters.lag_millis.fetch_add(lag.as_millis() as u64, Relaxed);
                }
                Effect::Dropped { why, attempts, parcel } => {
                    self.counters.give_up(why, attempts, &parcel.load);
                }
            }
        }
    }

    fn send(&mut self, ticket: Ticket, attempt: u8, callback: Arc<Callback>) {
        let (client, counters) = (self.client.clone(), Arc::clone(&self.counters));
        let request = self.requests.spawn(async move {
            let Err(error) = client.fetch_once(&request(&callback)).await else {
                return Outcome::Arrived;
            };
            counters.failed.fetch_add(1, Relaxed);
            let (owner, sequence) = (callback.lane.owner, callback.sequence);
            debug!(%error, %owner, sequence, attempt, "a callback has failed");
            match is_final(&error, &callback.target) {
                true => Outcome::Refused,
                false => Outcome::Failed,
            }
        });
        self.tickets.insert(request.id(), ticket);
    }

    fn count(&mut self) {
        self.counters.queued.store(self.delivery.len() as u64, Relaxed);
        self.counters.flying.store(self.delivery.flying() as u64, Relaxed);
        if self.look.is_none() && !self.delivery.is_empty() {
            self.look = Some(Instant::now() + LOOK);
        }
    }
}

/// Between the actors and the courier. It is emptied at every turn; one that is full has met a
/// process that is out of breath.
const INTAKE_MAX: usize = 65_536;

/// Answers are looked at between so many.
const TAKE_MAX: usize = 256;

/// What a restart can wait for.
pub const GRACE: Duration = Duration::from_secs(5);

/// To look at every lane takes milliseconds when there are very many.
const LOOK: Duration = Duration::from_secs(5);

/// A receiver that restarts is back by then.
const LAG_SAID: Duration = Duration::from_secs(30);

/// How long one try may take. A receiver has only to say that it has heard: one that does its work
/// first is asked again, and holds up its own notices.
const READ: Duration = Duration::from_secs(10);

fn request(callback: &Callback) -> Request {
    let Callback { target, method, dialect, signer, fields, .. } = callback;
    let usual = Budget { read: READ, retries: 0, ..Budget::default() };
    let mut budget = target.budget(usual);
    budget.total = target.options().total.unwrap_or(budget.connect + budget.read);
    Request {
        target: Arc::clone(target),
        method: *method,
        fields: fields.fields(),
        headers: fetch::trace_headers(fields.trace()),
        dialect: *dialect,
        signer: signer.clone(),
        budget,
        answer_bytes_max: None,
    }
}

/// Whether no further try would help, or the URL's author wants none.
fn is_final(error: &FetchError, target: &Target) -> bool {
    match target.options().retry_on {
        Some(policy) => !error.is_in(policy),
        None => !error.is_temporary() && error.status().is_none(),
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
