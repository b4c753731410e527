//! The house: every call and every room of this process, and every move between them.
//!
//! Nothing here waits. A delivery or a move locks the shard of the name, then the shard of the
//! call, and sends while it holds them; of other locks, only that of the rolls is taken inside,
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
    ban_list::Doors,
    call_worker::{Letter, Ward},
    conference::Room,
    group_guard::Rolls,
};
pub use super::{
    observed::Trace,
    spawner::{Stage, Tasks},
};
use crate::{
    base::{
        call_map::share,
        ids::{AccountId, CallId, ConferenceName, MemberId, RoomId, RoomKey},
    },
    call::{Act, Answer, Call, Effect, News, Outgoing},
    conference::{Ask, Outcome, Refusal, Settings},
    documents::{Fetch, Library, Reader},
    engine::directory::{Names, Places},
    flow::{Cause, Fetched, Request, Values},
    media::{Backend, Ending, Heard, NoWay, Order, Program, Report},
    store::MemberIds,
};

/// Every call and every room, and the ways to them.
pub struct House {
    pub(super) names: Shards<Names<Arc<Room>>>,
    pub(super) places: Shards<Places<Place>>,
    /// Calls that are on their own, by their ids.
    wards: Box<[Arc<Ward>]>,
    pub(super) links: Links,
    pub(super) settings: Settings,
    pub(super) rolls: Rolls,
    pub(super) is_closing: AtomicBool,
}

/// What a house reaches. Nothing here waits.
pub struct Links {
    /// Carries the sound.
    pub media: Arc<dyn Backend>,
    /// Has the documents.
    pub library: Arc<dyn Library>,
    /// Knows who is banned.
    pub doors: Arc<Doors>,
    /// Gives out member ids.
    pub member_ids: Arc<dyn MemberIds>,
    /// Gives a room its id; random, never the same twice.
    pub room_id: Box<dyn Fn() -> RoomId + Send + Sync>,
    /// Watches.
    pub trace: Box<dyn Fn(Trace) + Send + Sync>,
    /// Gives actors their turns.
    pub stage: Box<dyn Stage>,
}

/// Where a call is, and how it is reached there.
#[derive(Debug)]
pub(super) enum Place {
    /// In its ward.
    Alone,
    Room {
        room: Arc<Room>,
        member: MemberId,
    },
}

/// A transfer that has been asked for.
#[derive(Debug)]
pub enum Transferring {
    /// Of a call on its own.
    Call(oneshot::Receiver<()>),
    /// Of a call between two places: ask again.
    OnItsWay,
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

impl House {
    /// An empty house.
    pub fn new(settings: Settings, links: Links) -> Arc<Self> {
        Arc::new(Self {
            names: Shards::default(),
            places: Shards::default(),
            wards: (0..WARDS).map(|_| Arc::new(Ward::new())).collect(),
            links,
            settings,
            rolls: Rolls::default(),
            is_closing: AtomicBool::new(false),
        })
    }

    /// Takes in a new call, and begins its flow.
    pub fn begin(self: &Arc<Self>, now: Instant, mut call: Box<Call>, document: Fetched) {
        self.admit(&call);
        let mut effects = Vec::new();
        let act = call.begin(now, document, &mut effects);
        self.go_on(now, call, act, &mut effects);
    }

    /// Takes in a new call that asks for its first document.
    pub fn ask_for_flow(self: &Arc<Self>, now: Instant, mut call: Box<Call>, answer: Answer) {
        self.admit(&call);
        let mut effects = Vec::new();
        let act = call.ask(answer, &mut effects);
        self.go_on(now, call, act, &mut effects);
    }

    /// Calls somebody.
    pub fn dial(self: &Arc<Self>, now: Instant, mut call: Box<Call>, out: Outgoing) {
        self.admit(&call);
        let mut effects = Vec::new();
        let act = call.dial(now, out, &mut effects);
        self.go_on(now, call, act, &mut effects);
    }

    /// Whether somebody can be called.
    ///
    /// # Errors
    ///
    /// There is no way to them.
    pub fn can_dial(&self, to: &str) -> Result<(), NoWay> {
        self.links.media.can_dial(to)
    }

    /// The bans.
    pub fn doors(&self) -> &Doors {
        &self.links.doors
    }

    /// Whether a URL could be asked for a document, as far as can be said at once.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what to do.
    pub fn may_fetch(&self, url: &str) -> Result<(), String> {
        self.links.library.check(url)
    }

    fn admit(&self, call: &Call) {
        self.places.of_call(call.id).admit(call.id);
        self.tell(call, News::Begun);
    }

    /// Asks whoever has the call now to let it run another document. Silence says that it has gone
    /// elsewhere meanwhile: ask again.
    ///
    /// # Errors
    ///
    /// [`AskError::Gone`] if there is no such call, [`AskError::Busy`] if its room's queue is full.
    pub fn transfer(&self, call: CallId, request: Request) -> Result<Transferring, AskError> {
        let places = self.places.of_call(call);
        if !places.is_up(call) {
            return Err(AskError::Gone);
        }
        Ok(match places.find(call) {
            Some(Place::Alone) => {
                let (reply, answer) = oneshot::channel();
                self.deliver(call, Letter::Transfer(Box::new((request, reply))));
                Transferring::Call(answer)
            }
            Some(Place::Room { room, member }) => {
                let (reply, answer) = oneshot::channel();
                match room.ask(None, Ask::Transfer { member: *member, request }, reply) {
                    Ok(()) | Err(AskError::Gone) => Transferring::Room(answer),
                    Err(error) => return Err(error),
                }
            }
            None => Transferring::OnItsWay,
        })
    }

    /// Orders something of a call's backend that no machine waits for.
    pub fn order(&self, order: Order) {
        self.media(order);
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
    /// As [`House::ask`].
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
        self.trace(Trace::Requested { call, api_id, command });
    }

    /// A request about a call has asked for something in vain: its trace says so.
    pub fn note_remark(&self, call: CallId, api_id: Uuid, remark: Arc<str>) {
        self.trace(Trace::Remarked { call, api_id, remark });
    }

    /// The conferences of an account, by name.
    pub fn conferences(&self, account: &AccountId) -> Vec<ConferenceName> {
        let of_shard = |names: &Mutex<Names<Arc<Room>>>| names.lock().of(account);
        let mut names: Vec<_> = self.names.0.iter().flat_map(of_shard).collect();
        names.sort_unstable();
        names
    }

    /// Brings a report to where its call is now.
    pub fn report(&self, report: Report) {
        let Report { call, heard } = report;
        match heard {
            Heard::HungUp => self.hang_up(call, Cause::CallerLeft),
            Heard::Lost => self.hang_up(call, Cause::MediaLost),
            Heard::Answered
            | Heard::Digit(_)
            | Heard::Failed(_)
            | Heard::Hold(_)
            | Heard::Over(_)
            | Heard::Ringing
            | Heard::Talk(_) => match self.places.of_call(call).find(call) {
                Some(Place::Alone) => self.deliver(call, Letter::Heard(heard)),
                Some(Place::Room { room, member }) => room.report(*member, heard),
                None => (),
            },
        }
    }

    /// Ends a call, wherever it is, by a cause that ends calls. The first cause stands.
    pub fn hang_up(&self, call: CallId, cause: Cause) {
        match self.places.of_call(call).hang_up(call, cause) {
            Some(Place::Alone) => self.deliver(call, Letter::HangUp { cause }),
            Some(Place::Room { room, member }) => room.hang_up(*member, cause),
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
        mut act: Act,
        effects: &mut Vec<Effect>,
    ) {
        loop {
            match act {
                Act::End(ending) => {
                    self.perform(&call, effects);
                    return self.end(call, ending);
                }
                Act::Join { room, entry } => {
                    self.perform(&call, effects);
                    let Err((mut back, exit)) = self.enter(now, call, room, entry) else { return };
                    act = self.refused(now, &mut back, &exit, effects);
                    call = back;
                }
                Act::Stay => {
                    let ward = self.ward_of(call.id);
                    // First: the report on an order may be quick.
                    ward.expect(call.id, self);
                    let settled = self.places.of_call(call.id).settle(call.id, Place::Alone);
                    if let Err(cause) = settled {
                        ward.forget(call.id);
                        effects.clear();
                        let ending = call.ending(&cause.into());
                        return self.end(call, ending);
                    }
                    self.perform(&call, effects);
                    return ward.arrive(call);
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
                        self.trace(Trace::Began { call: call.id, step, element });
                    }
                    continue;
                }
                Effect::Order(order) => {
                    self.media(order);
                    continue;
                }
                Effect::Tell(news) => {
                    self.tell(call, news);
                    continue;
                }
                Effect::Fetch { number, request } => {
                    let (url, purpose) = (without_query(&request.url).into(), request.purpose);
                    self.trace(Trace::Fetching { call: call.id, url, purpose });
                    (Reader::Call { number }, request)
                }
                Effect::Notify(request) => (Reader::Nobody, request),
            };
            let (account, party) = (call.account.clone(), call.party.clone());
            let status = call.status();
            self.fetch(Fetch { account, call: call.id, party, status, reader, request });
        }
    }

    pub(super) fn unname(&self, key: &RoomKey, id: RoomId) {
        self.names.of(key).close(key, id);
    }

    pub(super) fn media(&self, order: Order) {
        self.links.media.send(order);
    }

    /// As [`Backend::send_part`].
    pub(super) fn media_part(&self, order: &Order, from: usize) -> usize {
        self.links.media.send_part(order, from)
    }

    pub(super) fn trace(&self, trace: Trace) {
        (self.links.trace)(trace);
    }

    fn tell(&self, call: &Call, news: News) {
        let (account, party) = (call.account.clone(), call.party.clone());
        self.trace(Trace::Call { account, call: call.id, party, news });
    }

    /// Hands a request over. Its answer comes to whoever reads it, wherever that is by then.
    pub(super) fn fetch(self: &Arc<Self>, fetch: Fetch) {
        let house = self.clone();
        let done = Box::new(move |fetch: Fetch, fetched| house.fetched(&fetch, fetched));
        self.links.library.fetch(fetch, done);
    }

    fn ward_of(&self, call: CallId) -> &Arc<Ward> {
        &self.wards[share(call, WARDS)]
    }

    /// To a call that is on its own.
    fn deliver(&self, call: CallId, letter: Letter) {
        self.ward_of(call).deliver(call, letter);
    }

    fn fetched(&self, fetch: &Fetch, fetched: Fetched) {
        match &fetch.reader {
            Reader::Call { number } => {
                // A call that is in a room has not asked for it, or no longer.
                if let Some(Place::Alone) = self.places.of_call(fetch.call).find(fetch.call) {
                    let (number, fetched) = (*number, Box::new(fetched));
                    self.deliver(fetch.call, Letter::Fetched { number, fetched });
                }
            }
            Reader::Room { key, room, number } => {
                if let Ok(document) = &fetched {
                    let (call, url) = (fetch.call, without_query(&fetch.request.url));
                    document.unheard().for_each(|it| tracing::info!(%call, "{url}:{it}"));
                }
                let program: Program = fetched.map_or_else(|_| [].into(), |it| it.sounds().into());
                let party = &fetch.party;
                let values = Values {
                    call_from: &party.from,
                    call_to: &party.to,
                    conference_name: key.name.as_str(),
                    ..Values::default()
                };
                let program = values.fill(program);
                if let Some(found) = self.names.of(key).find(key) {
                    found.sounds(*room, *number, program);
                }
            }
            Reader::Nobody => (),
        }
    }

    fn end(&self, call: Box<Call>, ending: Ending) {
        self.media(Order::End { call: call.id, ending });
        self.tell(&call, News::Ended(ending));
        // Last: who finds no call any more finds all told of it.
        self.places.of_call(call.id).remove(call.id);
        call.end();
    }
}

/// For the log, without what may be secret.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

impl fmt::Debug for House {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("House").finish_non_exhaustive()
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
        self.0[share(call, self.0.len())].lock()
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
const WARDS: usize = 16;
