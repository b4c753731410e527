//! The registry: every call and every room of this process, and every move between them.
//!
//! Nothing here waits. A delivery or a move locks the shard of the name, then the shard of the
//! call, and sends while it holds them; of other locks, only that of the access lists is taken inside,
//! by a join (see `guard`).

use std::{
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    ban_list::BanList,
    call_worker::{CallMessage, CallWorker},
    conference::RoomHandle,
    group_guard::AccessLists,
};
pub use super::{
    observed::Observed,
    spawner::{Spawner, TokioSpawner},
};
use crate::{
    base::{
        call_map::partition_of,
        ids::{AccountId, CallId, ConferenceName, MemberId, RoomId, RoomKey},
    },
    call::{AnswerUrls, Call, CallAct, CallEvent, Effect, OutgoingCall},
    conference::{Ask, Outcome, Refusal, Settings},
    documents::{DocumentFetch, DocumentRecipient, DocumentStore},
    engine::directory::{CallDirectory, RoomDirectory},
    flow::{Cause, DocumentRequest, Fetched, VariableValues},
    media::{AudioOrder, Backend, CannotDial, Ending, LegEvent, Program, Report, SignallingOrder},
    store::MemberIdSource,
};

/// Every call and every room, and the ways to them.
pub struct Registry {
    pub(super) names: Shards<RoomDirectory<Arc<RoomHandle>>>,
    pub(super) places: Shards<CallDirectory<CallPlace>>,
    /// Calls that are on their own, by their ids.
    workers: Box<[Arc<CallWorker>]>,
    pub(super) links: RegistryPorts,
    pub(super) settings: Settings,
    pub(super) access_lists: AccessLists,
    pub(super) is_closing: AtomicBool,
}

/// What a registry reaches. Nothing here waits.
pub struct RegistryPorts {
    /// Carries out orders: the router, outside of tests.
    pub media: Arc<dyn Backend>,
    /// Has the documents.
    pub documents: Arc<dyn DocumentStore>,
    /// Knows who is banned.
    pub ban_list: Arc<BanList>,
    /// Gives out member ids.
    pub member_ids: Arc<dyn MemberIdSource>,
    /// Gives a room its id; random, never the same twice.
    pub room_id: Box<dyn Fn() -> RoomId + Send + Sync>,
    /// Watches.
    pub observer: Box<dyn Fn(Observed) + Send + Sync>,
    /// Gives actors their turns.
    pub spawner: Box<dyn Spawner>,
}

/// Where a call is, and how it is reached there.
#[derive(Debug)]
pub(super) enum CallPlace {
    /// In its worker.
    Worker,
    Room {
        room: Arc<RoomHandle>,
        member: MemberId,
    },
}

/// A transfer that has been asked for.
#[derive(Debug)]
pub enum PendingTransfer {
    /// Of a call on its own.
    Call(oneshot::Receiver<()>),
    /// Of a call between two places: ask again.
    InTransit,
    /// Of a member.
    Room(oneshot::Receiver<Outcome>),
}

/// Why an ask brought no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AskError {
    /// Nothing has happened.
    #[error("the conference is too busy: try again")]
    Busy,
    /// There is no conference of that name.
    #[error("conference not found")]
    Gone,
    /// It may have happened or not.
    #[error("no answer in time: outcome unknown")]
    Late,
    /// The conference said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Registry {
    /// An empty registry.
    pub fn new(settings: Settings, links: RegistryPorts) -> Arc<Self> {
        Arc::new(Self {
            names: Shards::default(),
            places: Shards::default(),
            workers: (0..WORKERS).map(|_| Arc::new(CallWorker::new())).collect(),
            links,
            settings,
            access_lists: AccessLists::default(),
            is_closing: AtomicBool::new(false),
        })
    }

    /// Takes in a new call, and begins its flow.
    pub fn begin(self: &Arc<Self>, now: Instant, mut call: Box<Call>, document: Fetched) {
        self.register(&call);
        let mut effects = Vec::new();
        let act = call.begin(now, document, &mut effects);
        self.go_on(now, call, act, &mut effects);
    }

    /// Takes in a new call that asks for its first document.
    pub fn ask_for_flow(self: &Arc<Self>, now: Instant, mut call: Box<Call>, answer: AnswerUrls) {
        self.register(&call);
        let mut effects = Vec::new();
        let act = call.ask_for_flow(answer, &mut effects);
        self.go_on(now, call, act, &mut effects);
    }

    /// Calls somebody.
    pub fn dial(self: &Arc<Self>, now: Instant, mut call: Box<Call>, out: OutgoingCall) {
        self.register(&call);
        let mut effects = Vec::new();
        let act = call.dial(now, out, &mut effects);
        self.go_on(now, call, act, &mut effects);
    }

    /// Whether somebody can be called.
    ///
    /// # Errors
    ///
    /// There is no way to them.
    pub fn can_dial(&self, to: &str) -> Result<(), CannotDial> {
        self.links.media.can_dial(to)
    }

    /// The bans.
    pub fn ban_list(&self) -> &BanList {
        &self.links.ban_list
    }

    /// Whether a URL could be asked for a document, as far as can be said at once.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what to do.
    pub fn may_fetch(&self, url: &str) -> Result<(), String> {
        self.links.documents.check(url)
    }

    fn register(&self, call: &Call) {
        self.places.of_call(call.id).register(call.id);
        self.observe_call(call, CallEvent::Begun);
    }

    /// Asks whoever has the call now to let it run another document. Silence says that it has gone
    /// elsewhere meanwhile: ask again.
    ///
    /// # Errors
    ///
    /// [`AskError::Gone`] if there is no such call, [`AskError::Busy`] if its room's queue is full.
    pub fn transfer(
        &self,
        call: CallId,
        request: DocumentRequest,
    ) -> Result<PendingTransfer, AskError> {
        let places = self.places.of_call(call);
        if !places.is_up(call) {
            return Err(AskError::Gone);
        }
        Ok(match places.find(call) {
            Some(CallPlace::Worker) => {
                let (reply, answer) = oneshot::channel();
                self.deliver(call, CallMessage::Transfer(Box::new((request, reply))));
                PendingTransfer::Call(answer)
            }
            Some(CallPlace::Room { room, member }) => {
                let (reply, answer) = oneshot::channel();
                match room.ask(None, Ask::Transfer { member: *member, request }, reply) {
                    Ok(()) | Err(AskError::Gone) => PendingTransfer::Room(answer),
                    Err(error) => return Err(error),
                }
            }
            None => PendingTransfer::InTransit,
        })
    }

    /// Sends an audio order of the API. No machine waits for its end.
    pub fn order(&self, order: AudioOrder) {
        self.audio(order);
    }

    /// Queues an ask, or says at once why not. A room that ends meanwhile answers by silence.
    ///
    /// # Errors
    ///
    /// [`AskError::Gone`] if there is no such conference, [`AskError::Busy`] if its queue is full.
    pub fn ask(&self, key: &RoomKey, ask: Ask) -> Result<oneshot::Receiver<Outcome>, AskError> {
        self.ask_for(None, key, ask)
    }

    /// The same on behalf of a request of the API, which traces name.
    ///
    /// # Errors
    ///
    /// As [`Registry::ask`].
    pub fn ask_for(
        &self,
        api_id: Option<Uuid>,
        key: &RoomKey,
        ask: Ask,
    ) -> Result<oneshot::Receiver<Outcome>, AskError> {
        let names = self.names.of(key);
        let room = names.find(key).ok_or(AskError::Gone)?;
        let (reply, answer) = oneshot::channel();
        room.ask(api_id, ask, reply)?;
        Ok(answer)
    }

    /// A request of the API is about to do something to a call: its trace names it.
    pub fn note_request(&self, call: CallId, api_id: Uuid, command: &'static str) {
        self.observe(Observed::Requested { call, api_id, command });
    }

    /// A request about a call has asked for something in vain: its trace says so.
    pub fn note_warning(&self, call: CallId, api_id: Uuid, warning: Arc<str>) {
        self.observe(Observed::Warned { call, api_id, warning });
    }

    /// The conferences of an account, by name.
    pub fn conferences(&self, account: &AccountId) -> Vec<ConferenceName> {
        let of_shard = |names: &Mutex<RoomDirectory<Arc<RoomHandle>>>| names.lock().of(account);
        let mut names: Vec<_> = self.names.0.iter().flat_map(of_shard).collect();
        names.sort_unstable();
        names
    }

    /// Brings a report to where its call is now.
    pub fn report(&self, report: Report) {
        let Report { call, event: heard } = report;
        match heard {
            LegEvent::HungUp => self.hang_up(call, Cause::CallerLeft),
            LegEvent::MediaLost => self.hang_up(call, Cause::MediaLost),
            LegEvent::Answered
            | LegEvent::Digit(_)
            | LegEvent::Failed(_)
            | LegEvent::Hold(_)
            | LegEvent::Finished(_)
            | LegEvent::Ringing
            | LegEvent::Talk(_) => match self.places.of_call(call).find(call) {
                Some(CallPlace::Worker) => self.deliver(call, CallMessage::Heard(heard)),
                Some(CallPlace::Room { room, member }) => room.report(*member, heard),
                None => (),
            },
        }
    }

    /// Ends a call, wherever it is, by a cause that ends calls. The first cause stands.
    pub fn hang_up(&self, call: CallId, cause: Cause) {
        match self.places.of_call(call).hang_up(call, cause) {
            Some(CallPlace::Worker) => self.deliver(call, CallMessage::HangUp { cause }),
            Some(CallPlace::Room { room, member }) => room.hang_up(*member, cause),
            None => (),
        }
    }

    /// Ends every room; their calls go on. Whoever wants into a room finds it closed.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
        for names in &self.names.0 {
            names.lock().rooms().for_each(|room| room.close());
        }
    }

    /// Whether a call has begun, and not ended.
    pub fn is_up(&self, call: CallId) -> bool {
        self.places.of_call(call).is_up(call)
    }

    /// How many calls are up.
    pub fn call_count(&self) -> usize {
        self.places.0.iter().map(|places| places.lock().len()).sum()
    }

    /// The calls that are up.
    pub fn calls(&self) -> Vec<CallId> {
        self.places.0.iter().flat_map(|places| places.lock().calls()).collect()
    }

    /// Does what a call that is nowhere wants, until it is somewhere or has ended.
    pub(super) fn go_on(
        self: &Arc<Self>,
        now: Instant,
        mut call: Box<Call>,
        mut act: CallAct,
        effects: &mut Vec<Effect>,
    ) {
        loop {
            match act {
                CallAct::End(ending) => {
                    self.perform(&call, effects);
                    return self.end(call, ending);
                }
                CallAct::Join { room, entry } => {
                    self.perform(&call, effects);
                    let Err((mut back, exit)) = self.enter(now, call, room, entry) else { return };
                    act = self.refused(now, &mut back, &exit, effects);
                    call = back;
                }
                CallAct::Stay => {
                    let worker = self.worker_of(call.id);
                    // First: the report on an order may be quick.
                    worker.expect(call.id, self);
                    let settled = self.places.of_call(call.id).move_to(call.id, CallPlace::Worker);
                    if let Err(cause) = settled {
                        worker.forget(call.id);
                        effects.clear();
                        let ending = call.ending(&cause.into());
                        return self.end(call, ending);
                    }
                    self.perform(&call, effects);
                    return worker.arrive(call);
                }
            }
        }
    }

    /// Does what a call asks for.
    pub(super) fn perform(self: &Arc<Self>, call: &Call, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            let (reader, request) = match effect {
                Effect::Begin { step } => {
                    if let Some(element) = call.element(step) {
                        self.observe(Observed::Began { call: call.id, step, element });
                    }
                    continue;
                }
                Effect::Audio(order) => {
                    self.audio(order);
                    continue;
                }
                Effect::Signal(order) => {
                    self.signal(order);
                    continue;
                }
                Effect::Publish(event) => {
                    self.observe_call(call, event);
                    continue;
                }
                Effect::Fetch { number, request } => {
                    let (url, purpose) = (without_query(&request.url).into(), request.purpose);
                    self.observe(Observed::Fetching { call: call.id, url, purpose });
                    (DocumentRecipient::Call { number }, request)
                }
                Effect::Notify(request) => (DocumentRecipient::Nobody, request),
            };
            let (account, party) = (call.account.clone(), call.party.clone());
            let status = call.status();
            self.fetch(DocumentFetch {
                account,
                call: call.id,
                party,
                status,
                recipient: reader,
                request,
            });
        }
    }

    pub(super) fn unname(&self, key: &RoomKey, id: RoomId) {
        self.names.of(key).close(key, id);
    }

    pub(super) fn audio(&self, order: AudioOrder) {
        self.links.media.send(order);
    }

    /// As [`AudioEngine::split`](crate::media::AudioEngine::split).
    pub(super) fn split_audio(&self, order: AudioOrder) -> Vec<AudioOrder> {
        self.links.media.split(order)
    }

    /// As [`AudioEngine::send_part`](crate::media::AudioEngine::send_part).
    pub(super) fn audio_part(&self, order: &AudioOrder, from: usize) -> usize {
        self.links.media.send_part(order, from)
    }

    fn signal(&self, order: SignallingOrder) {
        self.links.media.signal(order);
    }

    pub(super) fn observe(&self, trace: Observed) {
        (self.links.observer)(trace);
    }

    fn observe_call(&self, call: &Call, event: CallEvent) {
        let (account, party) = (call.account.clone(), call.party.clone());
        self.observe(Observed::Call { account, call: call.id, party, event });
    }

    /// Hands a request over. Its answer comes to whoever reads it, wherever that is by then.
    pub(super) fn fetch(self: &Arc<Self>, fetch: DocumentFetch) {
        let registry = self.clone();
        let done = Box::new(move |fetch: DocumentFetch, fetched| registry.fetched(&fetch, fetched));
        self.links.documents.fetch(fetch, done);
    }

    fn worker_of(&self, call: CallId) -> &Arc<CallWorker> {
        &self.workers[partition_of(call, WORKERS)]
    }

    /// To a call that is on its own.
    fn deliver(&self, call: CallId, message: CallMessage) {
        self.worker_of(call).deliver(call, message);
    }

    fn fetched(&self, fetch: &DocumentFetch, fetched: Fetched) {
        match &fetch.recipient {
            DocumentRecipient::Call { number } => {
                // A call that is in a room has not asked for it, or no longer.
                if let Some(CallPlace::Worker) = self.places.of_call(fetch.call).find(fetch.call) {
                    let (number, fetched) = (*number, Box::new(fetched));
                    self.deliver(fetch.call, CallMessage::Fetched { number, fetched });
                }
            }
            DocumentRecipient::Room { key, room, number } => {
                if let Ok(document) = &fetched {
                    let (call, url) = (fetch.call, without_query(&fetch.request.url));
                    document.unheard_elements().for_each(|it| tracing::info!(%call, "{url}:{it}"));
                }
                let program: Program = fetched.map_or_else(|_| [].into(), |it| it.sounds().into());
                let party = &fetch.party;
                let values = VariableValues {
                    call_from: &party.from,
                    call_to: &party.to,
                    conference_name: key.name.as_str(),
                    ..VariableValues::default()
                };
                let program = values.fill(program);
                if let Some(found) = self.names.of(key).find(key) {
                    found.sounds(*room, *number, program);
                }
            }
            DocumentRecipient::Nobody => (),
        }
    }

    fn end(&self, call: Box<Call>, ending: Ending) {
        self.signal(SignallingOrder::End { call: call.id, ending });
        self.observe_call(&call, CallEvent::Ended(ending));
        // Last: who finds no call any more finds all told of it.
        self.places.of_call(call.id).remove(call.id);
        call.end();
    }
}

/// For the log, without what may be secret.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// One table in parts, each under a lock of its own.
pub(super) struct Shards<T>(pub(super) Vec<Mutex<T>>);

impl<T> Shards<T> {
    pub(super) fn of(&self, key: &impl Hash) -> MutexGuard<'_, T> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let n = self.0.len() as u64;
        self.0[usize::try_from(hash % n).expect("fewer than there are shards")].lock()
    }
}

impl<T> Shards<T> {
    pub(super) fn of_call(&self, call: CallId) -> MutexGuard<'_, T> {
        self.0[partition_of(call, self.0.len())].lock()
    }
}

impl<T: Default> Default for Shards<T> {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

/// Some for each core of a large machine.
const SHARDS: usize = 64;

/// Enough that threads seldom meet, few enough that each has something to do when it is woken.
const WORKERS: usize = 16;
