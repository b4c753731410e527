//! Recorder of turns: the one door of what a turn must write to the state log before anybody sees it.
//!
//! 1. Write first: an order, a reply, a callback, an event to a reader or the move of a call to
//!    another actor comes after the frame that implies it. `Registry::record` returns when the
//!    frame is written, or waits in memory since the disk is in trouble.
//! 2. One turn, one frame: the events of a turn and its rows are one append. The events of a decision
//!    that has more of them than fit into a turn are written by several, all before its first effect;
//!    a row in the first says how it will end, and a start finishes it. What a call does that a room
//!    has released has frames of its own: a start knows its end by the cause of the exit.
//! 3. The answer of a request with an idempotency key is a row in the frame of the change, made by a
//!    pure function of the outcome ([`Receipt`]). Once the store has the answer, the row goes.
//! 4. A row that is still there at a start is the answer of a request that was cut off; a request
//!    without one has done nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    base::ids::{AccountId, CallId, MemberId, RoomId},
    conference::{ConferenceAnswer, DeparturesRow, Effect, Leave},
    flow::Cause,
    media::{BackendRow, BackendRowKind},
    state_log::{Line, RowKey, RowRecord},
};

/// Kinds of keys in the state log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum KeyKind {
    /// The latest event of a live call.
    Call = 1,
    /// The answer of a live call.
    Answer = 2,
    /// The entry of a call that is in a room.
    Member = 3,
    /// The latest event of a room.
    Room = 4,
    /// The answer of a request with an idempotency key, until the store has it.
    Answered = 6,
    /// Why members leave whose exits are still being written; by room.
    Leaving = 7,
    /// Why a call ends that a request with an idempotency key has ended.
    Ending = 8,
    /// A request whose answer goes to a URL.
    Job = 9,
    /// The answer of such a request, until it is part of the request's own row.
    JobAnswered = 10,
    /// What has become of the callback of an event.
    Delivery = 11,
    /// The end of a call whose CDR is not in the database yet.
    Cdr = 12,
    /// A ban that is not in the database yet.
    Ban = 13,
    /// A live call that can be restored.
    CallState = 14,
    /// A room that can be restored.
    RoomState = 15,
    /// The text of a document that a call with a row runs, by the first half of its hash.
    Document = 16,
    /// The signalling of a call that can be restored.
    Dialog = 17,
    /// The sound of a call that can be restored.
    Leg = 18,
    /// A phone that has registered.
    Registration = 19,
    /// The exits of members who leave by one decision, until all are released; by room.
    Departures = 20,
    /// A restore that is under way.
    Restoring = 21,
    /// The room of a `<Dial>` that can be restored.
    Pair = 22,
    /// The program that a call hears.
    Playing = 23,
    /// A handover whose rows are exact.
    HandedOver = 24,
    /// An event whose callback has not been delivered.
    Callback = RowKey::LATER,
}

impl KeyKind {
    /// Every kind, for lookups.
    const ALL: [Self; 24] = [
        Self::Call,
        Self::Answer,
        Self::Member,
        Self::Room,
        Self::Answered,
        Self::Leaving,
        Self::Ending,
        Self::Job,
        Self::JobAnswered,
        Self::Delivery,
        Self::Cdr,
        Self::Ban,
        Self::CallState,
        Self::RoomState,
        Self::Document,
        Self::Dialog,
        Self::Leg,
        Self::Registration,
        Self::Departures,
        Self::Restoring,
        Self::Pair,
        Self::Playing,
        Self::HandedOver,
        Self::Callback,
    ];

    /// Whether rows of this kind are read when calls are restored.
    pub(super) fn is_of_restore(self) -> bool {
        matches!(self, Self::CallState | Self::Departures | Self::Document)
            || matches!(self, Self::Pair | Self::RoomState)
    }

    /// The key of an id.
    pub(super) fn key(self, id: u128) -> RowKey {
        RowKey { kind: self as u8, id }
    }

    /// The kind of a key; None if a newer version has written it.
    pub(super) fn of(key: RowKey) -> Option<Self> {
        Self::ALL.into_iter().find(|it| *it as u8 == key.kind)
    }

    /// The key of a call.
    pub(super) fn of_call(self, call: CallId) -> RowKey {
        self.key(call.0.as_u128())
    }
}

/// The key that keeps an event of an account until its callback is settled.
pub(super) fn callback_key(account: &AccountId, number: u64) -> RowKey {
    KeyKind::Callback.key(id_in_account(account, number))
}

/// The key of a ban that is not in the database yet.
pub(super) fn ban_key(account: &AccountId, member: MemberId) -> RowKey {
    KeyKind::Ban.key(id_in_account(account, member.0))
}

/// The upper half of the id is the account's, the lower one a number in the account.
fn id_in_account(account: &AccountId, number: u64) -> u128 {
    let hash = blake3::hash(account.as_str().as_bytes());
    let half: [u8; 8] = hash.as_bytes()[..8].try_into().expect("it has 32 bytes");
    u128::from(u64::from_le_bytes(half)) << 64 | u128::from(number)
}

impl From<BackendRowKind> for KeyKind {
    fn from(kind: BackendRowKind) -> Self {
        match kind {
            BackendRowKind::Dialog => Self::Dialog,
            BackendRowKind::Leg => Self::Leg,
            BackendRowKind::Playing => Self::Playing,
            BackendRowKind::Registration => Self::Registration,
        }
    }
}

/// The rows of backends that a start has found.
pub fn backend_rows(rows: &[RowRecord]) -> Vec<BackendRow> {
    use BackendRowKind::{Dialog, Leg, Playing, Registration};
    let kinds = [Dialog, Leg, Playing, Registration].map(|it| (KeyKind::from(it) as u8, it));
    let row = |it: &RowRecord| {
        let (_, kind) = kinds.iter().find(|(kind, _)| *kind == it.key.kind)?;
        Some(BackendRow { kind: *kind, id: it.key.id, body: Some(it.body.clone()) })
    };
    rows.iter().filter_map(row).collect()
}

/// A restore that a process has begun and not survived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RestoreAttempt {
    /// 1 or more: how many restores in a row.
    pub attempt: u8,
    /// The id of the call or the room that was being restored; 0 if it was done with all.
    pub unit: u128,
}

impl RestoreAttempt {
    /// The one that a start has found.
    pub fn of(rows: &[RowRecord]) -> Option<Self> {
        let row = rows.iter().find(|it| it.key == KeyKind::Restoring.key(0))?;
        let (attempt, unit) = row.body.split_first()?;
        let unit = unit.first_chunk().map(|it| u128::from_be_bytes(*it))?;
        Some(Self { attempt: *attempt, unit })
    }

    /// The row that notes it, for a start after this one.
    pub fn row(self) -> TurnRow {
        let body = [&[self.attempt][..], &self.unit.to_be_bytes()].concat();
        TurnRow::put(KeyKind::Restoring.key(0), body)
    }

    /// The end of its row: the process has survived it.
    pub fn gone() -> TurnRow {
        TurnRow::gone(KeyKind::Restoring.key(0))
    }
}

/// A row of the state log, or its end.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnRow {
    key: RowKey,
    /// None: the key has gone.
    body: Option<Arc<[u8]>>,
}

/// What the turn that carries out a request with an idempotency key writes: the answer.
#[derive(Clone)]
pub struct Receipt {
    key: RowKey,
    answer: Arc<ReceiptAnswer>,
    /// The call that the request ends.
    ends: Option<CallId>,
}

/// Makes the stored answer. The argument is None if the change is not one of a room.
type ReceiptAnswer = dyn Fn(Option<&ConferenceAnswer>) -> Vec<u8> + Send + Sync;

/// The request of the API that asks, if one does.
#[derive(Clone, Debug, Default)]
pub struct AskedBy {
    /// It appears in the traces of calls.
    pub api_id: Option<Uuid>,
    /// For the frame of the change. None: the request has no idempotency key.
    pub receipt: Option<Receipt>,
}

impl From<Option<Uuid>> for AskedBy {
    fn from(api_id: Option<Uuid>) -> Self {
        Self { api_id, receipt: None }
    }
}

impl Receipt {
    /// A receipt of a request; `answer` makes the answer that is stored under its key.
    pub fn new(
        key: RowKey,
        answer: impl Fn(Option<&ConferenceAnswer>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self { key, answer: Arc::new(answer), ends: None }
    }

    /// The request ends this call: after a crash, a start ends it for that reason.
    #[must_use]
    pub fn ending(self, call: CallId) -> Self {
        Self { ends: Some(call), ..self }
    }

    /// The rows for the frame of the change.
    pub(super) fn rows(&self, answer: Option<&ConferenceAnswer>) -> Vec<TurnRow> {
        let answered = TurnRow::put(self.key, (self.answer)(answer));
        let ending = |call| TurnRow::put(KeyKind::Ending.of_call(call), Vec::new());
        [answered].into_iter().chain(self.ends.map(ending)).collect()
    }
}

impl TurnRow {
    /// The latest state of a key.
    pub fn put(key: RowKey, body: Vec<u8>) -> Self {
        Self { key, body: Some(body.into()) }
    }

    /// The end of a key.
    pub fn gone(key: RowKey) -> Self {
        Self { key, body: None }
    }

    /// A row of a backend, or its end.
    pub(super) fn of_backend(row: &BackendRow) -> Self {
        let key = KeyKind::from(row.kind).key(row.id);
        Self { key, body: row.body.as_deref().map(Arc::from) }
    }

    /// Its key, and its body unless the key has gone.
    pub(super) fn parts(&self) -> (RowKey, Option<&[u8]>) {
        (self.key, self.body.as_deref())
    }

    pub(super) fn line(&self) -> Line<'_> {
        match &self.body {
            Some(body) => Line::Row { key: self.key, body },
            None => Line::Gone(self.key),
        }
    }
}

/// The rows of a request whose answer is among these effects.
pub(super) fn answered(receipt: Option<Receipt>, effects: &VecDeque<Effect>) -> Vec<TurnRow> {
    let outcome = effects.iter().find_map(|effect| {
        if let Effect::Reply { outcome: Ok(answer), .. } = effect {
            return Some(answer);
        }
        None
    });
    let answered = receipt.zip(outcome);
    answered.into_iter().flat_map(|(it, answer)| it.rows(Some(answer))).collect()
}

/// Why members leave, as a row: of a decision whose exits take several turns.
#[derive(Deserialize, Serialize)]
struct LeavingRow {
    /// Each cause and reason once; one or two, as a rule.
    exits: Vec<(Cause, Option<Arc<str>>)>,
    /// Calls, with the number of their exit.
    calls: Vec<(CallId, u32)>,
}

/// The exits of a decision that a crash has cut off.
///
/// None: by the only member that a call was.
pub(super) type UnfinishedExits = BTreeMap<(CallId, Option<MemberId>), (Cause, Option<Arc<str>>)>;

/// The row of members who leave a room.
pub(super) fn leaving(room: RoomId, leave: &Leave) -> TurnRow {
    let mut row = LeavingRow { exits: Vec::new(), calls: Vec::with_capacity(leave.exits_left()) };
    for (call, exit) in leave.exits() {
        let is_it = |(cause, reason): &(Cause, Option<Arc<str>>)| {
            *cause == exit.cause && *reason == exit.reason
        };
        // The last one first: they come in runs.
        let at = row.exits.iter().rposition(is_it).unwrap_or_else(|| {
            row.exits.push((exit.cause, exit.reason.clone()));
            row.exits.len() - 1
        });
        row.calls.push((call, u32::try_from(at).unwrap_or(u32::MAX)));
    }
    let body = postcard::to_allocvec(&row).expect("ids, causes and texts");
    TurnRow::put(KeyKind::Leaving.key(room.0.as_u128()), body)
}

/// The end of [`leaving`]: all exits are written.
pub(super) fn left(room: RoomId) -> TurnRow {
    TurnRow::gone(KeyKind::Leaving.key(room.0.as_u128()))
}

/// Adds the exits of a [`leaving`] row. One that cannot be read is logged and has none.
pub(super) fn read_leaving(body: &[u8], exits: &mut UnfinishedExits) {
    match postcard::from_bytes::<LeavingRow>(body) {
        Ok(LeavingRow { exits: found, calls }) => {
            exits.extend(calls.into_iter().filter_map(|(call, at)| {
                let exit = found.get(usize::try_from(at).ok()?)?;
                Some(((call, None), exit.clone()))
            }));
        }
        Err(error) => tracing::error!("exits that a crash cut off cannot be read: {error}"),
    }
}

/// Adds the exits of a [`KeyKind::Departures`] row, as [`read_leaving`] does.
pub(super) fn read_departures(body: &[u8], exits: &mut UnfinishedExits) {
    match DeparturesRow::read(body) {
        Ok(row) => {
            exits.extend(row.departures().map(|it| ((it.call, Some(it.member)), it.cause())));
        }
        Err(error) => tracing::error!("exits that a crash cut off: {error}"),
    }
}

/// The answers that a start has found, by the id of their request.
pub fn answers(rows: &[RowRecord]) -> BTreeMap<u128, Vec<u8>> {
    let answered = rows.iter().filter(|it| KeyKind::of(it.key) == Some(KeyKind::Answered));
    answered.map(|it| (it.key.id, it.body.clone())).collect()
}

/// The bans that a start has found which may not be in the database.
pub(super) fn bans(rows: &[RowRecord]) -> impl Iterator<Item = &RowRecord> {
    rows.iter().filter(|it| KeyKind::of(it.key) == Some(KeyKind::Ban))
}

/// The key of the answer to a request, which goes once the store has the answer.
pub fn answer_key(id: u128) -> RowKey {
    KeyKind::Answered.key(id)
}

/// The key of a request whose answer goes to a URL, until it is delivered.
pub fn job_key(id: u128) -> RowKey {
    KeyKind::Job.key(id)
}

/// The key of the answer to such a request, until it is part of the request's own row.
pub fn job_answer_key(id: u128) -> RowKey {
    KeyKind::JobAnswered.key(id)
}

/// Whether a row is a request whose answer goes to a URL, or the answer to one.
pub fn is_of_job(row: &RowRecord) -> bool {
    matches!(KeyKind::of(row.key), Some(KeyKind::Job | KeyKind::JobAnswered))
}

/// The requests that a start has found whose answer goes to a URL.
pub fn jobs(rows: &[RowRecord]) -> impl Iterator<Item = &RowRecord> {
    rows.iter().filter(|it| KeyKind::of(it.key) == Some(KeyKind::Job))
}

/// The answers of such requests, by their id.
pub fn job_answers(rows: &[RowRecord]) -> BTreeMap<u128, &[u8]> {
    let answered = rows.iter().filter(|it| KeyKind::of(it.key) == Some(KeyKind::JobAnswered));
    answered.map(|it| (it.key.id, &it.body[..])).collect()
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("key", &self.key).finish_non_exhaustive()
    }
}
