//! Router: knows which backend has which call, and sends each order to exactly one.
//!
//! [`Router::add`] puts a backend into the table and returns the [`Exchange`] that it reports to. A
//! call belongs to the backend through whose exchange it arrived, or to the first one that can dial
//! its address, until [`SignallingOrder::End`]. Nothing else in the process knows the backends.
//!
//! An order for a whole room has no calls, and goes to every engine.
//!
//! An order that no backend can take is answered by a report: [`LegEvent::Failed`] for an address
//! that none can dial, [`LegEvent::MediaLost`] for a call that none has, which ends the call. (An
//! `End` for such a call asks for what is the case already.) Reports come from a task of the
//! router's own, never from within the order.

use std::{
    array, fmt, mem, ptr,
    sync::{Arc, OnceLock, Weak},
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::{
    backend::{AudioEngine, CannotDial, SignallingBackend},
    ending::{DialFailure, DialFailureSource, HangupCause},
    exchange::{Arrival, DialAttempt, Exchange, LegEvent, NoFlow, Report},
    legs::LegSummary,
    orders::{AudioOrder, SignallingOrder},
};
use crate::base::{
    call_map::{CallMap, partition_of},
    ids::{AccountId, CallId},
};

/// The backends of a process, and which of them has each call.
pub struct Router {
    backends: Vec<RoutedBackend>,
    /// Each engine once, even where it carries the sound of several backends.
    engines: Vec<Arc<dyn AudioEngine>>,
    links: Arc<RouterLinks>,
    failures: UnboundedSender<Report>,
    /// None once the router is connected.
    queued_failures: Mutex<Option<UnboundedReceiver<Report>>>,
}

struct RoutedBackend {
    name: &'static str,
    signalling: Arc<dyn SignallingBackend>,
    exchange: Arc<BackendExchange>,
}

/// What a router shares with the exchanges of its backends.
struct RouterLinks {
    routes: RouteTable,
    engine: OnceLock<Weak<dyn Exchange>>,
}

/// The exchange of one backend: notes whose call it is, and passes everything on.
struct BackendExchange {
    links: Arc<RouterLinks>,
    route: Route,
}

impl Router {
    /// A router without backends.
    #[expect(clippy::new_without_default, reason = "a router without backends is of no use")]
    pub fn new() -> Self {
        let (failures, queued_failures) = mpsc::unbounded_channel();
        Self {
            backends: Vec::new(),
            engines: Vec::new(),
            links: Arc::new(RouterLinks { routes: RouteTable::new(), engine: OnceLock::new() }),
            failures,
            queued_failures: Mutex::new(Some(queued_failures)),
        }
    }

    /// Adds a backend, and returns the exchange through which it must report its calls. It lives
    /// as long as the router does. `name` is for the log.
    ///
    /// Backends that were added first are asked first whether they can dial an address. Several may
    /// share one engine.
    ///
    /// # Panics
    ///
    /// There are 256 backends already.
    pub fn add(
        &mut self,
        name: &'static str,
        signalling: Arc<dyn SignallingBackend>,
        audio: Arc<dyn AudioEngine>,
    ) -> Arc<dyn Exchange> {
        let is_it = |it: &Arc<_>| ptr::addr_eq(Arc::as_ptr(it), Arc::as_ptr(&audio));
        let engine = self.engines.iter().position(is_it).unwrap_or_else(|| {
            self.engines.push(audio.clone());
            self.engines.len() - 1
        });
        let number = |position: usize| u8::try_from(position).expect("backends are few");
        let route = Route { backend: number(self.backends.len()), engine: number(engine) };
        let exchange = Arc::new(BackendExchange { links: self.links.clone(), route });
        self.backends.push(RoutedBackend { name, signalling, exchange: exchange.clone() });
        exchange
    }

    /// Passes arrivals and reports on to this exchange from now on, until it is dropped. To be
    /// called once, on a tokio runtime.
    pub fn connect(&self, engine: Weak<dyn Exchange>) {
        let Some(mut failures) = self.queued_failures.lock().take() else {
            debug_assert!(false, "a router is connected once");
            return;
        };
        drop(self.links.engine.set(engine.clone()));
        // Ends when the router is dropped.
        tokio::spawn(async move {
            while let Some(report) = failures.recv().await {
                engine.upgrade().iter().for_each(|it| it.report(report));
            }
        });
    }

    /// Notes that the backend with this name has restored a call of an earlier process. Orders for it
    /// go there from now on.
    ///
    /// # Panics
    ///
    /// No backend has the name.
    pub fn restore(&self, name: &str, call: CallId) {
        let row = self.backends.iter().find(|it| it.name == name).expect("a backend's name");
        self.links.routes.insert(call, row.exchange.route);
    }

    fn dial(&self, call: CallId, account: &AccountId, to: &str) -> Option<&dyn SignallingBackend> {
        match self.find_dialler(account, to) {
            Ok(row) => {
                tracing::debug!(%call, backend = row.name, "dialled");
                self.links.routes.insert(call, row.exchange.route);
                Some(&*row.signalling)
            }
            Err(error) => {
                tracing::warn!(%call, "{error}");
                let failure = DialFailure::new(error.cause, DialFailureSource::Platform);
                self.fail(call, LegEvent::Failed(failure));
                None
            }
        }
    }

    /// The first backend that can dial an address; else the error of the one that knows most.
    fn find_dialler(&self, account: &AccountId, to: &str) -> Result<&RoutedBackend, CannotDial> {
        let mut error: Option<CannotDial> = None;
        for row in &self.backends {
            match row.signalling.can_dial(account, to) {
                Ok(()) => return Ok(row),
                Err(its) if error.as_ref().is_none_or(|it| it.is_foreign && !its.is_foreign) => {
                    error = Some(its);
                }
                Err(_) => {}
            }
        }
        let hint = "simulated phones are off (sim.on), and so is SIP (sip.bind)".to_owned();
        let cause = HangupCause::DestinationOut;
        Err(error.unwrap_or_else(|| CannotDial { to: to.into(), hint, cause, is_foreign: false }))
    }

    fn backend_of(&self, call: CallId) -> Option<&dyn SignallingBackend> {
        let route = self.links.routes.get(call)?;
        Some(&*self.backends[usize::from(route.backend)].signalling)
    }

    fn engine(&self, route: Route) -> &dyn AudioEngine {
        &*self.engines[usize::from(route.engine)]
    }

    /// Splits an order that is not for one engine's calls alone. Unknown calls are reported.
    fn split_by_engine(&self, mut order: AudioOrder) -> Vec<(Route, AudioOrder)> {
        let calls = match order.calls_mut() {
            Some(calls) => mem::take(calls),
            None => order.calls().to_vec(),
        };
        let mut split: Vec<(Route, AudioOrder)> = Vec::new();
        for call in calls {
            let Some(route) = self.links.routes.get(call) else {
                self.lose(call);
                continue;
            };
            let at = split.iter().position(|(it, _)| it.engine == route.engine);
            let at = at.unwrap_or_else(|| {
                split.push((route, order.clone()));
                split.len() - 1
            });
            split[at].1.calls_mut().into_iter().for_each(|calls| calls.push(call));
        }
        split
    }

    fn lose(&self, call: CallId) {
        tracing::warn!(%call, "no backend has the call: if it is up, it ends");
        self.fail(call, LegEvent::MediaLost);
    }

    fn fail(&self, call: CallId, event: LegEvent) {
        // Nobody receives once the engine is gone, and then there are no calls.
        let _ = self.failures.send(Report { call, event });
    }
}

impl SignallingBackend for Router {
    fn signal(&self, order: SignallingOrder) {
        let backend = match &order {
            SignallingOrder::Dial { call, account, dialling } => {
                self.dial(*call, account, &dialling.to)
            }
            SignallingOrder::Answer { call } | SignallingOrder::EarlyMedia { call } => {
                let backend = self.backend_of(*call);
                if backend.is_none() {
                    self.lose(*call);
                }
                backend
            }
            SignallingOrder::End { call, .. } => {
                let backend = self.backend_of(*call);
                self.links.routes.remove(*call);
                backend
            }
        };
        if let Some(backend) = backend {
            backend.signal(order);
        }
    }

    fn restores(&self, call: CallId) -> bool {
        self.backend_of(call).is_some_and(|it| it.restores(call))
    }

    fn can_dial(&self, account: &AccountId, to: &str) -> Result<(), CannotDial> {
        self.find_dialler(account, to).map(drop)
    }
}

impl AudioEngine for Router {
    fn send(&self, order: AudioOrder) {
        if order.is_for_room() {
            return self.engines.iter().for_each(|engine| engine.send(order.clone()));
        }
        match self.links.routes.get_common(order.calls()) {
            Some(route) => self.engine(route).send(order),
            None => {
                for (route, order) in self.split_by_engine(order) {
                    self.engine(route).send(order);
                }
            }
        }
    }

    fn split(&self, order: AudioOrder) -> Vec<AudioOrder> {
        if order.is_for_room() {
            return vec![order];
        }
        match self.links.routes.get_common(order.calls()) {
            Some(route) => self.engine(route).split(order),
            None => {
                let split = self.split_by_engine(order);
                split.into_iter().flat_map(|(route, it)| self.engine(route).split(it)).collect()
            }
        }
    }

    fn send_part(&self, order: &AudioOrder, from: usize) -> usize {
        let Some(&call) = order.calls().get(from) else {
            if order.is_for_room() && from == 0 {
                self.send(order.clone());
            }
            return order.calls().len();
        };
        match self.links.routes.get(call) {
            // It was split, so the rest goes there too.
            Some(route) => self.engine(route).send_part(order, from),
            None => {
                self.lose(call);
                from + 1
            }
        }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.backends.iter().map(|it| it.name).collect();
        f.debug_struct("Router").field("backends", &names).finish_non_exhaustive()
    }
}

impl Exchange for BackendExchange {
    fn arrive(&self, arrival: Arrival) -> Result<(), NoFlow> {
        let call = arrival.call;
        let Some(engine) = self.links.engine() else {
            let hint = "the engine takes no calls".to_owned();
            return Err(NoFlow { to: arrival.to, hint, is_temporary: true });
        };
        // First: orders may come before the engine has returned.
        self.links.routes.insert(call, self.route);
        let arrived = engine.arrive(arrival);
        if arrived.is_err() {
            self.links.routes.remove(call);
        }
        arrived
    }

    fn report(&self, report: Report) {
        self.links.engine().iter().for_each(|it| it.report(report));
    }

    fn media_ended(&self, call: CallId, sound: LegSummary) {
        self.links.engine().iter().for_each(|it| it.media_ended(call, sound));
    }

    fn attempted(&self, call: CallId, attempt: Arc<DialAttempt>) {
        self.links.engine().iter().for_each(|it| it.attempted(call, attempt.clone()));
    }
}

impl RouterLinks {
    fn engine(&self) -> Option<Arc<dyn Exchange>> {
        self.engine.get()?.upgrade()
    }
}

/// Where a call is: positions in the router's lists.
#[derive(Clone, Copy)]
struct Route {
    backend: u8,
    engine: u8,
}

/// The routes of the calls that are up, in parts, each under a lock of its own.
struct RouteTable([RwLock<CallMap<Route>>; ROUTE_PARTS]);

/// Enough that threads seldom meet.
const ROUTE_PARTS: usize = 64;

impl RouteTable {
    fn new() -> Self {
        Self(array::from_fn(|_| RwLock::default()))
    }

    fn insert(&self, call: CallId, route: Route) {
        let before = self.part(call).write().insert(call, route);
        debug_assert!(before.is_none(), "call {call} comes twice");
    }

    fn remove(&self, call: CallId) {
        self.part(call).write().remove(call);
    }

    fn get(&self, call: CallId) -> Option<Route> {
        self.part(call).read().get(call).copied()
    }

    /// A route to the engine that has all these calls. None if there is no such engine.
    fn get_common(&self, calls: &[CallId]) -> Option<Route> {
        let (first, others) = calls.split_first()?;
        let route = self.get(*first)?;
        let is_there = |call: &CallId| self.get(*call).is_some_and(|it| it.engine == route.engine);
        others.iter().all(is_there).then_some(route)
    }

    fn part(&self, call: CallId) -> &RwLock<CallMap<Route>> {
        &self.0[partition_of(call, ROUTE_PARTS)]
    }
}
