//! Restorable: what a start finds in the rows of the last process, and which of its calls can go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use super::recorder::{KeyKind, TurnRow};
use crate::{
    base::{
        boot_clock::BootClock,
        ids::{AccountId, CallId, Dialect, MemberId, RoomId},
    },
    call::{Call, CallPlaceRow, CallStateRow, MemberRow},
    conference::{DepartureRow, DeparturesRow, PairRow, RoomRow},
    events::{AccountEvent, row},
    flow::{Exit, Flow, RowError, SourceDocument},
    state_log::{RowKey, RowRecord},
};

/// The calls and rooms that go on. It owns the calls: [`super::registry::Registry::restore`] takes it.
#[derive(Default)]
pub struct RestorePlan {
    /// Calls that are in no room, or on their way into one.
    #[expect(clippy::vec_box, reason = "a call moves in its box")]
    pub(super) alone: Vec<Box<Call>>,
    /// Calls that have left a room, and were told to have, and are not released.
    pub(super) left: Vec<ReleasedCall>,
    pub(super) rooms: BTreeMap<RoomId, RestorableRoom>,
    pub(super) pairs: BTreeMap<RoomId, RestorablePair>,
    /// Calls of `alone`, `rooms` and `pairs` that a request ends.
    pub(super) ending: BTreeSet<CallId>,
    /// All calls of the plan.
    calls: BTreeSet<CallId>,
    /// Rows that are of no use, and those that are not once the plan is carried out.
    pub(super) gone: (Vec<TurnRow>, Vec<TurnRow>),
    pub(super) clock: Option<BootClock>,
}

/// A room that goes on, with its members.
pub(super) struct RestorableRoom {
    pub(super) row: RoomRow,
    pub(super) members: Vec<(Box<Call>, MemberRow)>,
    /// Members who leave, and are not told to have, by the numbers of their exits.
    pub(super) leavers: Vec<(u64, MemberId, Exit)>,
}

/// The room of a `<Dial>` that goes on: the caller, and callees that have answered.
pub(super) struct RestorablePair {
    pub(super) row: PairRow,
    pub(super) calls: Vec<(Box<Call>, MemberRow)>,
}

/// A call that has left a room.
pub(super) struct ReleasedCall {
    pub(super) call: Box<Call>,
    pub(super) room: RoomId,
    pub(super) member: MemberId,
    pub(super) exit: Exit,
    /// The number of the notice of its exit; None if it was in the room of a `<Dial>`.
    pub(super) sequence: Option<u64>,
}

/// The rows that a plan is made of, by their kinds.
#[derive(Default)]
struct FoundRows {
    calls: BTreeMap<CallId, Vec<u8>>,
    rooms: BTreeMap<RoomId, RoomRow>,
    pairs: BTreeMap<RoomId, PairRow>,
    documents: DocumentTexts,
    departures: BTreeMap<(CallId, MemberId), DepartureRow>,
    /// Members whose exit is not told.
    entries: BTreeMap<CallId, MemberId>,
    ending: BTreeSet<CallId>,
    keys: Vec<RowKey>,
}

/// The documents of rows, parsed once for each dialect.
#[derive(Default)]
struct DocumentTexts {
    texts: BTreeMap<u128, SourceDocument>,
    flows: BTreeMap<(u128, bool), Arc<Flow>>,
}

impl RestorePlan {
    /// Reads the rows that a start has found. Calls that cannot go on are logged, and end as if they had
    /// no row; so do those that `is_refused` names, by their own id or that of their room.
    pub fn of(rows: &[RowRecord], clock: BootClock, is_refused: impl Fn(u128) -> bool) -> Self {
        let FoundRows { calls, rooms, pairs, mut documents, departures, entries, ending, keys } =
            FoundRows::of(rows);
        let mut plan = Self::default();
        plan.clock = Some(clock);
        let room = |row| RestorableRoom { row, members: Vec::new(), leavers: Vec::new() };
        plan.rooms = rooms.into_iter().map(|(id, row)| (id, room(row))).collect();
        let pair = |row| RestorablePair { row, calls: Vec::new() };
        plan.pairs = pairs.into_iter().map(|(id, row)| (id, pair(row))).collect();
        let mut needed = BTreeMap::new();
        for (id, body) in calls {
            let (call, place, departure) = match restored(&body, clock, &mut documents, &departures)
            {
                Ok(restored) => restored,
                Err(error) => {
                    tracing::error!(call = %id, "a call is not restored: {error}");
                    continue;
                }
            };
            let unit = match place {
                CallPlaceRow::Alone => id.0,
                CallPlaceRow::Pair(member) | CallPlaceRow::Room(member) => member.room.0,
            };
            if is_refused(unit.as_u128()) || is_refused(id.0.as_u128()) {
                tracing::error!(call = %id, "a restore of this call has failed: it ends");
                call.end();
                continue;
            }
            let exit = departure.as_ref().and_then(|(exit, _)| exit.document());
            let documents = call.kept.as_ref().and_then(|it| it.document).into_iter().chain(exit);
            let documents: Vec<_> = documents.collect();
            if plan.take(call, place, departure, entries.get(&id).copied()) {
                needed.insert(id, documents);
                plan.calls.insert(id);
            }
        }
        plan.end_pairs_without_caller();
        let needed = needed.into_iter().filter(|(id, _)| plan.calls.contains(id));
        let needed = needed.flat_map(|(_, documents)| documents).collect();
        plan.rooms.retain(|_, room| !room.members.is_empty());
        plan.rooms.values_mut().for_each(|it| it.leavers.sort_by_key(|(sequence, ..)| *sequence));
        plan.ending = ending.into_iter().filter(|it| plan.calls.contains(it)).collect();
        plan.gone = plan.useless(&keys, &needed);
        plan
    }

    /// Takes a call in. `entry`: the member that it is, if its exit is not told. False: its room is
    /// missing, and the call has ended.
    fn take(
        &mut self,
        call: Box<Call>,
        place: CallPlaceRow,
        departure: Option<(Exit, u64)>,
        entry: Option<MemberId>,
    ) -> bool {
        let row = match place {
            CallPlaceRow::Alone => {
                self.alone.push(call);
                return true;
            }
            CallPlaceRow::Pair(row) => return self.take_of_pair(call, row, departure),
            CallPlaceRow::Room(row) => row,
        };
        let MemberRow { room, member, .. } = row;
        let is_in = entry == Some(member);
        match (is_in, departure, self.rooms.get_mut(&room)) {
            (false, Some((exit, sequence)), _) => {
                let sequence = Some(sequence);
                self.left.push(ReleasedCall { call, room, member, exit, sequence });
            }
            (true, departure, Some(found)) => {
                let leaver = departure.map(|(exit, sequence)| (sequence, member, exit));
                found.leavers.extend(leaver);
                found.members.push((call, row));
            }
            (true, _, None) | (false, None, _) => {
                tracing::error!(call = %call.id, "a call is not restored: its room is missing");
                call.end();
                return false;
            }
        }
        true
    }

    /// As [`RestorePlan::take`], for a call in the room of a `<Dial>`.
    fn take_of_pair(
        &mut self,
        call: Box<Call>,
        row: MemberRow,
        departure: Option<(Exit, u64)>,
    ) -> bool {
        let MemberRow { room, member, .. } = row;
        if let Some((exit, _)) = departure {
            self.left.push(ReleasedCall { call, room, member, exit, sequence: None });
            return true;
        }
        match self.pairs.get_mut(&room).filter(|it| it.row.has(member)) {
            Some(pair) => pair.calls.push((call, row)),
            None => {
                tracing::error!(call = %call.id, "a call is not restored: its <Dial> is missing");
                call.end();
                return false;
            }
        }
        true
    }

    /// Ends the callees whose caller does not go on.
    fn end_pairs_without_caller(&mut self) {
        let has_caller =
            |pair: &RestorablePair| pair.calls.iter().any(|(_, it)| it.member == pair.row.caller);
        let pairs = mem::take(&mut self.pairs).into_iter();
        let (whole, broken) = pairs.partition::<BTreeMap<_, _>, _>(|(_, it)| has_caller(it));
        self.pairs = whole;
        for (call, _) in broken.into_values().flat_map(|it| it.calls) {
            tracing::error!(call = %call.id, "a callee is not restored: its caller is missing");
            self.calls.remove(&call.id);
            call.end();
        }
    }

    /// The rows that no call or room of the plan needs; and those of departures, once they are done.
    fn useless(&self, keys: &[RowKey], documents: &BTreeSet<u128>) -> (Vec<TurnRow>, Vec<TurnRow>) {
        let is_useless = |key: &RowKey| match KeyKind::of(*key) {
            Some(KeyKind::CallState) => !self.calls.contains(&CallId::of(key.id)),
            Some(KeyKind::RoomState) => !self.rooms.contains_key(&RoomId::of(key.id)),
            Some(KeyKind::Pair) => !self.pairs.contains_key(&RoomId::of(key.id)),
            Some(KeyKind::Document) => !documents.contains(&key.id),
            Some(_) | None => false,
        };
        // Rooms in which members still leave write one of their own.
        let is_done = |key: &RowKey| {
            let room = self.rooms.get(&RoomId::of(key.id));
            KeyKind::of(*key) == Some(KeyKind::Departures)
                && room.is_none_or(|it| it.leavers.is_empty())
        };
        let rows = |which: &dyn Fn(&RowKey) -> bool| {
            keys.iter().filter(|it| which(it)).map(|it| TurnRow::gone(*it)).collect()
        };
        (rows(&is_useless), rows(&is_done))
    }

    /// Whether it was made of rows; else no call goes on.
    pub(super) fn restores(&self) -> bool {
        self.clock.is_some()
    }

    /// Whether a row has done its work once the calls that do not go on have ended.
    pub(super) fn is_done_with(&self, kind: KeyKind, key: RowKey) -> bool {
        if kind == KeyKind::Ending {
            return !self.has(CallId::of(key.id));
        }
        // Of these, this plan says itself when.
        !kind.is_of_restore() || !self.restores()
    }

    /// Whether this call goes on.
    pub fn has(&self, call: CallId) -> bool {
        self.calls.contains(&call)
    }

    /// Whether this room goes on.
    pub(super) fn has_room(&self, room: RoomId) -> bool {
        self.rooms.contains_key(&room)
    }

    /// The calls that go on, each with its place in the last process.
    pub fn places(&self) -> impl Iterator<Item = (&Call, PlannedPlace)> {
        let alone = self.alone.iter().map(|call| (&**call, PlannedPlace::Alone));
        let left = self.left.iter().map(|it| (&*it.call, PlannedPlace::Left(it.room, it.member)));
        let members = self.rooms.values().flat_map(|room| {
            room.members.iter().map(|(call, row)| (&**call, PlannedPlace::Member(*row)))
        });
        let pairs = self.pairs.values().flat_map(|pair| {
            pair.calls.iter().map(|(call, row)| (&**call, PlannedPlace::Pair(*row)))
        });
        alone.chain(left).chain(members).chain(pairs)
    }

    /// The number of calls that go on.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether no call goes on.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The number of members of each room, and whether it is live.
    pub(super) fn each_room(&self) -> impl Iterator<Item = (usize, bool)> {
        self.rooms.values().map(|it| (it.members.len(), it.row.is_live()))
    }

    pub(super) fn each_call(&self) -> impl Iterator<Item = &Call> {
        self.places().map(|(call, _)| call)
    }
}

/// Where a call was in the last process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PlannedPlace {
    /// In no room, or on its way into one.
    Alone,
    /// It has left this room, where it was this member, and is not released.
    Left(RoomId, MemberId),
    /// In a room; it may have to leave.
    Member(MemberRow),
    /// In the room of a `<Dial>`; it may have to leave.
    Pair(MemberRow),
}

/// Takes out the rows of calls of which no backend has a dialog: those of simulated phones, which end with
/// their process. Returns the others, and the ends of these.
pub fn without_simulated(rows: Vec<RowRecord>) -> (Vec<RowRecord>, Vec<TurnRow>) {
    let is_of = |row: &RowRecord, kind| KeyKind::of(row.key) == Some(kind);
    let dialogs = rows.iter().filter(|it| is_of(it, KeyKind::Dialog)).map(|it| it.key.id);
    let dialogs: BTreeSet<_> = dialogs.collect();
    let ends = |row: &RowRecord| is_of(row, KeyKind::CallState) && !dialogs.contains(&row.key.id);
    let (ended, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(ends);
    (rows, ended.into_iter().map(|it| TurnRow::gone(it.key)).collect())
}

/// A plan that is not carried out ends its calls.
impl Drop for RestorePlan {
    fn drop(&mut self) {
        let members = mem::take(&mut self.rooms).into_values().flat_map(|it| it.members);
        let left = mem::take(&mut self.left).into_iter().map(|it| it.call);
        let pairs = mem::take(&mut self.pairs).into_values().flat_map(|it| it.calls);
        let members = members.chain(pairs).map(|(call, _)| call);
        let calls = members.chain(left).chain(mem::take(&mut self.alone));
        calls.for_each(Call::end);
    }
}

/// A call of a row, its place, and its exit if it leaves a room.
type RestoredRow = (Box<Call>, CallPlaceRow, Option<(Exit, u64)>);

fn restored(
    body: &[u8],
    clock: BootClock,
    documents: &mut DocumentTexts,
    departures: &BTreeMap<(CallId, MemberId), DepartureRow>,
) -> Result<RestoredRow, RowError> {
    let row = CallStateRow::read(body)?;
    let (place, id) = (row.place, row.id);
    let departure = match place {
        CallPlaceRow::Alone => None,
        CallPlaceRow::Pair(it) | CallPlaceRow::Room(it) => departures.get(&(id, it.member)),
    };
    let exit = departure.map(|it| {
        let exit = it.exit(|key, dialect| documents.flow(key, dialect))?;
        Ok::<_, RowError>((exit, it.sequence))
    });
    let exit = exit.transpose()?;
    let flow = row.document().map(|(key, dialect)| documents.flow(key, dialect)).transpose()?;
    Ok((row.restore(clock, flow)?, place, exit))
}

impl DocumentTexts {
    fn flow(&mut self, key: u128, dialect: Dialect) -> Result<Arc<Flow>, RowError> {
        let is_vobiz = dialect == Dialect::Vobiz;
        if let Some(flow) = self.flows.get(&(key, is_vobiz)) {
            return Ok(flow.clone());
        }
        let flow = self.texts.get(&key).ok_or(RowError::Document)?.flow(dialect)?;
        self.flows.insert((key, is_vobiz), flow.clone());
        Ok(flow)
    }
}

impl FoundRows {
    fn of(rows: &[RowRecord]) -> Self {
        let mut found = Self::default();
        for row in rows {
            if let Err(error) = found.take(row) {
                tracing::error!("a row of the last process: {error}");
            }
        }
        found
    }

    fn take(&mut self, row: &RowRecord) -> Result<(), RowError> {
        let RowRecord { key, event, body } = row;
        let Some(kind) = KeyKind::of(*key) else { return Ok(()) };
        if kind.is_of_restore() {
            self.keys.push(*key);
        }
        match kind {
            KeyKind::CallState => _ = self.calls.insert(CallId::of(key.id), body.clone()),
            KeyKind::RoomState => {
                self.rooms.insert(RoomId::of(key.id), RoomRow::read(body)?);
            }
            KeyKind::Pair => {
                self.pairs.insert(RoomId::of(key.id), PairRow::read(body)?);
            }
            KeyKind::Document => {
                let (document, source) = SourceDocument::from_row(body)?;
                self.documents.texts.insert(document, source);
            }
            KeyKind::Departures => {
                let all = DeparturesRow::read(body)?.departures();
                self.departures.extend(all.map(|it| ((it.call, it.member), it)));
            }
            KeyKind::Member => {
                let account = event.as_ref().and_then(|(account, ..)| account.parse().ok());
                let entered = account.and_then(|it: AccountId| row::read(&it, body).ok());
                if let Some(AccountEvent::Conference { notice, .. }) = entered
                    && let Some(who) = notice.event.who()
                {
                    self.entries.insert(who.call, who.member);
                }
            }
            KeyKind::Ending => _ = self.ending.insert(CallId::of(key.id)),
            KeyKind::Answer | KeyKind::Answered | KeyKind::Ban | KeyKind::Call => (),
            KeyKind::Callback | KeyKind::Cdr | KeyKind::Delivery | KeyKind::Dialog => (),
            KeyKind::Job | KeyKind::JobAnswered | KeyKind::Leaving | KeyKind::Leg => (),
            KeyKind::HandedOver | KeyKind::Playing | KeyKind::Registration => (),
            KeyKind::Restoring | KeyKind::Room => (),
        }
        Ok(())
    }
}
