//! The registry: every call and every room of this process, and every move between them.
//!
//! Nothing here waits. A delivery or a move locks the partition of the name, then the partition of the
//! call, and sends while it holds them. The only other locks taken inside are that of the access
//! lists, by a join (see `group_guard`), and that of the recordings, by the start of one.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::Instant,
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use super::{
    ban_list::BanList,
    observed::{TurnRecord, observed, take_events},
    partitions::Partitions,
    recorder::{AskedBy, Receipt, TurnRow},
    recordings::Recordings,
    room_queue::RoomHandle,
    row_keeper::RowKeeper,
    waited_recordings::ElementRecordings,
    worker_queue::{CallMessage, CallWorker},
};
pub use super::{
    observed::Observed,
    room_queue::AskError,
    spawner::{Spawner, TokioSpawner},
};
use crate::{
    base::{
        call_map::partition_of,
        ids::{AccountId, CallId, ConferenceName, MemberId, RoomId, RoomKey},
    },
    call::{AnswerUrls, Call, CallEvent, Effect, OutgoingCall},
    conference::{Ask, Outcome, Settings},
    documents::{self, DocumentFetch, DocumentRecipient, DocumentStore, OnDocument},
    engine::directory::{CallDirectory, RoomDirectory},
    flow::{Cause, Fetched, Purpose, VariableValues},
    group::access_list::AccessList,
    media::{AudioOrder, Backend, Ending, LegEvent, Program, Report, SignallingOrder},
    store::MemberIdSource,
};

/// Every call and every room of the process, with the place of each.
pub struct Registry {
    pub(super) names: Partitions<RoomDirectory<Arc<RoomHandle>>>,
    pub(super) places: Partitions<CallDirectory<CallPlace>>,
    /// They run the calls that are in no room; a call's id picks its worker.
    workers: Box<[Arc<CallWorker>]>,
    pub(super) links: RegistryPorts,
    pub(super) settings: RwLock<Settings>,
    pub(super) access_lists: AccessLists,
    /// The rooms of `<Dial>`, which have no names.
    pub(super) private_rooms: Mutex<BTreeMap<RoomId, Arc<RoomHandle>>>,
    pub(super) is_closing: AtomicBool,
    /// Not set: nothing can be recorded.
    pub(super) recordings: OnceLock<Arc<Recordings>>,
    pub(super) elements: ElementRecordings,
    /// Not set: no rows are kept.
    pub(super) keeper: OnceLock<RowKeeper>,
    /// The actors of rooms that have not ended.
    pub(super) rooms: AtomicUsize,
}

/// The parts of the process that a registry uses. None of their methods waits.
pub struct RegistryPorts {
    /// Takes the orders for a call's signalling and audio.
    pub media: Arc<dyn Backend>,
    /// Resolves `flow:` names and fetches URLs.
    pub documents: Arc<dyn DocumentStore>,
    /// The room bans of every account.
    pub ban_list: Arc<BanList>,
    /// Member ids: rising per account, never used twice.
    pub member_ids: Arc<dyn MemberIdSource>,
    /// Makes the id of a new room: random and unique.
    pub room_id: Box<dyn Fn() -> RoomId + Send + Sync>,
    /// Makes the id of a call of a `<Dial>`: random and unique.
    pub call_id: Box<dyn Fn() -> CallId + Send + Sync>,
    /// Gets every event of the registry. It must not wait.
    pub observer: Box<dyn Fn(Observed) + Send + Sync>,
    /// Starts the actors of rooms and call workers.
    pub spawner: Box<dyn Spawner>,
}

/// The place of a call, and its address there.
#[derive(Debug)]
pub(super) enum CallPlace {
    Worker,
    Room { room: Arc<RoomHandle>, member: MemberId },
}

/// A requested transfer, by the place of its call.
#[derive(Debug)]
pub enum PendingTransfer {
    /// The call is in its worker. Resolves once the transfer is done.
    Call(oneshot::Receiver<()>),
    /// The call is between two places: ask again.
    InTransit,
    /// The call is a member of a room, which answers.
    Room(oneshot::Receiver<Outcome>),
}

impl Registry {
    /// A registry without calls or rooms.
    pub fn new(settings: Settings, links: RegistryPorts) -> Arc<Self> {
        Arc::new(Self {
            names: Partitions::default(),
            places: Partitions::default(),
            workers: (0..WORKERS).map(|_| Arc::new(CallWorker::new())).collect(),
            links,
            settings: RwLock::new(settings),
            access_lists: AccessLists::default(),
            private_rooms: Mutex::default(),
            is_closing: AtomicBool::new(false),
            recordings: OnceLock::new(),
            elements: ElementRecordings::default(),
            keeper: OnceLock::new(),
            rooms: AtomicUsize::new(0),
        })
    }

    /// Registers a new call and begins its flow, which is the local one of this URL.
    pub fn begin(
        self: &Arc<Self>,
        now: Instant,
        mut call: Box<Call>,
        url: &str,
        document: Fetched,
    ) {
        let missing = document.as_ref().err();
        let record = missing.map(|it| documents::unsent(Purpose::Answer.text(), url.into(), it));
        let mut effects = Vec::new();
        let act = call.begin(now, document, &mut effects);
        self.register(&mut call, &mut effects);
        if let Some(record) = record {
            self.observe(Observed::Fetched { call: call.id, record });
        }
        self.go_on_written(now, call, act, &mut effects);
    }

    /// Registers a new call, which fetches its first document.
    pub fn ask_for_flow(self: &Arc<Self>, now: Instant, mut call: Box<Call>, answer: AnswerUrls) {
        let mut effects = Vec::new();
        let act = call.ask_for_flow(answer, &mut effects);
        self.register(&mut call, &mut effects);
        self.go_on_written(now, call, act, &mut effects);
    }

    /// Registers outgoing calls of an account, all in one frame, and dials their far ends.
    pub fn dial(
        self: &Arc<Self>,
        now: Instant,
        calls: Vec<(Box<Call>, OutgoingCall)>,
        receipt: Option<&Receipt>,
    ) {
        let register = |(call, _): &(Box<Call>, OutgoingCall)| {
            self.places.of_call(call.id).register(call.id);
            observed(call, CallEvent::Begun)
        };
        let begun = calls.iter().map(register).collect();
        self.record(begun, receipt.map(|it| it.rows(None)).unwrap_or_default());
        let mut effects = Vec::new();
        for (mut call, out) in calls {
            let act = call.dial(now, out, &mut effects);
            self.go_on(now, call, act, &mut effects);
        }
    }

    /// The room bans of every account.
    pub fn ban_list(&self) -> &BanList {
        &self.links.ban_list
    }

    /// Checks whether a URL may be fetched, without a request to it.
    ///
    /// # Errors
    ///
    /// A text for the client: why the URL is not allowed, and what to do.
    pub fn may_fetch(&self, url: &str) -> Result<(), String> {
        self.links.documents.check(url)
    }

    /// Registers a new call, which has decided on its first effects: their events, and its row, are in the
    /// frame of its begin.
    pub(super) fn register(&self, call: &mut Call, effects: &mut Vec<Effect>) {
        self.places.of_call(call.id).register(call.id);
        let (mut events, mut rows) = (vec![observed(call, CallEvent::Begun)], Vec::new());
        take_events(call, effects, 0, &mut events);
        let released = self.add_row(call, &mut rows);
        self.record(events, rows);
        released.into_iter().for_each(|it| self.release_document(it));
    }

    /// Sends an audio order for a call. No machine waits for its report.
    pub fn order(&self, order: AudioOrder) {
        self.audio(order);
    }

    /// Queues an ask. If the room ends first, the answer's channel closes without a value.
    ///
    /// # Errors
    ///
    /// [`AskError::Gone`] if there is no such conference, [`AskError::Busy`] if its queue is full.
    pub fn ask(&self, key: &RoomKey, ask: Ask) -> Result<oneshot::Receiver<Outcome>, AskError> {
        self.ask_for(AskedBy::default(), key, ask)
    }

    /// As [`Registry::ask`], for a request of the API.
    ///
    /// # Errors
    ///
    /// As [`Registry::ask`].
    pub fn ask_for(
        &self,
        by: AskedBy,
        key: &RoomKey,
        ask: Ask,
    ) -> Result<oneshot::Receiver<Outcome>, AskError> {
        let names = self.names.of(key);
        let room = names.find(key).ok_or(AskError::Gone)?;
        let (reply, answer) = oneshot::channel();
        room.ask(by, ask, reply)?;
        Ok(answer)
    }

    /// The names of an account's conferences, sorted.
    pub fn conferences(&self, account: &AccountId) -> Vec<ConferenceName> {
        let of_partition = |names: &Mutex<RoomDirectory<Arc<RoomHandle>>>| names.lock().of(account);
        let mut names: Vec<_> = self.names.0.iter().flat_map(of_partition).collect();
        names.sort_unstable();
        names
    }

    /// Delivers a backend's report to the place of its call.
    pub fn report(&self, report: Report) {
        let Report { call, event: heard } = report;
        match heard {
            LegEvent::HungUp => self.hang_up(call, Cause::CallerLeft),
            LegEvent::MediaLost => self.hang_up(call, Cause::MediaLost),
            LegEvent::Answered
            | LegEvent::Digit(_)
            | LegEvent::EarlyMedia
            | LegEvent::EarlyMediaOver
            | LegEvent::Failed(_)
            | LegEvent::Hold(_)
            | LegEvent::Finished(_)
            | LegEvent::Ringing
            | LegEvent::Talk(_)
            | LegEvent::Waits(_) => match self.places.of_call(call).find(call) {
                Some(CallPlace::Worker) => self.deliver(call, CallMessage::Heard(heard)),
                Some(CallPlace::Room { room, member }) => room.report(*member, heard),
                None => (),
            },
        }
    }

    /// Ends a call, wherever it is. `cause` must be one that ends calls; the first one stands.
    pub fn hang_up(&self, call: CallId, cause: Cause) {
        match self.places.of_call(call).hang_up(call, cause) {
            Some(CallPlace::Worker) => self.deliver(call, CallMessage::HangUp { cause }),
            Some(CallPlace::Room { room, member }) => room.hang_up(*member, cause),
            None => (),
        }
    }

    /// Whether a call has begun and not ended.
    pub fn is_up(&self, call: CallId) -> bool {
        self.places.of_call(call).is_up(call)
    }

    /// The number of calls that are up.
    pub fn call_count(&self) -> usize {
        self.places.0.iter().map(|places| places.lock().len()).sum()
    }

    /// The ids of the calls that are up.
    pub fn calls(&self) -> Vec<CallId> {
        self.places.0.iter().flat_map(|places| places.lock().calls()).collect()
    }

    pub(super) fn unname(&self, key: &RoomKey, id: RoomId) {
        if !self.names.of(key).close(key, id) {
            self.private_rooms.lock().remove(&id);
        }
        self.recorded_room_ended(id);
    }

    pub(super) fn audio(&self, order: AudioOrder) {
        self.links.media.send(order);
    }

    /// Splits an order by engine: see [`AudioEngine::split`](crate::media::AudioEngine::split).
    pub(super) fn split_audio(&self, order: AudioOrder) -> Vec<AudioOrder> {
        self.links.media.split(order)
    }

    /// Sends an order in parts: see
    /// [`AudioEngine::send_part`](crate::media::AudioEngine::send_part).
    pub(super) fn audio_part(&self, order: &AudioOrder, from: usize) -> usize {
        self.links.media.send_part(order, from)
    }

    pub(super) fn signal(&self, order: SignallingOrder) {
        self.links.media.signal(order);
    }

    /// Writes what a turn has decided (see [`super::recorder`]). Its effects may be performed
    /// afterwards.
    pub(super) fn record(&self, mut events: Vec<Observed>, rows: Vec<TurnRow>) {
        match (events.len(), rows.is_empty()) {
            (0, true) => (),
            (1, true) => events.pop().into_iter().for_each(|it| self.observe(it)),
            _ => self.observe(Observed::Turn(Box::new(TurnRecord { events, rows }))),
        }
    }

    /// Writes the answer of a request that no machine decides on. Its effect may follow.
    pub fn record_answer(&self, receipt: Option<&Receipt>) {
        self.record(Vec::new(), receipt.map(|it| it.rows(None)).unwrap_or_default());
    }

    pub(super) fn observe(&self, trace: Observed) {
        (self.links.observer)(trace);
    }

    /// Starts a fetch. The answer goes to its recipient, wherever that is by then.
    pub(super) fn fetch(self: &Arc<Self>, fetch: DocumentFetch) {
        let registry = self.clone();
        let done: OnDocument = Box::new(move |fetch, fetched, record| {
            // First: a call that ends by it can say why.
            if let Some(record) = record {
                registry.observe(Observed::Fetched { call: fetch.call, record });
            }
            registry.fetched(&fetch, fetched);
        });
        self.links.documents.fetch(fetch, done);
    }

    pub(super) fn worker_of(&self, call: CallId) -> &Arc<CallWorker> {
        &self.workers[partition_of(call, WORKERS)]
    }

    /// Delivers a message to a call in a worker.
    pub(super) fn deliver(&self, call: CallId, message: CallMessage) {
        self.worker_of(call).deliver(call, message);
    }

    fn fetched(&self, fetch: &DocumentFetch, fetched: Fetched) {
        match &fetch.recipient {
            DocumentRecipient::Call { number } => {
                // A call in a room did not ask for it, or needs it no more.
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
                let private = self.private_rooms.lock().get(room).cloned();
                let found = private.or_else(|| self.names.of(key).find(key).cloned());
                found.into_iter().for_each(|it| it.sounds(*room, *number, program.clone()));
            }
            DocumentRecipient::Nobody => (),
        }
    }

    pub(super) fn end(self: &Arc<Self>, call: Box<Call>, ending: Ending) {
        self.record_end(&call, observed(&call, CallEvent::Ended(ending)));
        self.signal(SignallingOrder::End { call: call.id, ending });
        // Last: once the call is not found, all its events have been published.
        self.places.of_call(call.id).remove(call.id);
        self.element_call_ends(&call);
        self.recorded_call_ended(call.id);
        call.end();
    }
}

/// The access lists of all accounts. The lock is held briefly, alone or inside the lock of a name,
/// and no lock is taken inside it.
pub(super) type AccessLists = RwLock<BTreeMap<AccountId, AccessList>>;

/// The URL for the log: its query and fragment may hold secrets.
pub(super) fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// Enough that threads seldom contend, few enough that a woken worker has work to do.
const WORKERS: usize = 16;
