//! Rows of a room, as a later process reads them from the state log: its own state, and the exits of
//! members who leave. Its members are in the rows of their calls.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    Conference, Effect, Leave, Settings,
    call_ends::CallEnds,
    floor::Floor,
    member::{Hold, Listening, Member},
    pending_sounds::PendingSounds,
    state::{RoomPhase, RoomTimeLimit},
};
use crate::{
    base::{
        boot_clock::BootClock,
        ids::{CallId, Dialect, Incarnation, MemberId, RoomId},
    },
    call::{Call, CallPlaceRow, MemberRow},
    flow::{AfterExit, Cause, DialResult, Exit, Flow, JoinOptions, RowError, write_row},
    group::GroupId,
    media::{AudioOrder, Ending},
};

/// The version that this build writes.
const VERSION: u8 = 1;

/// A room with a name that has members with rows.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RoomRow {
    /// Its name and id, which it keeps.
    pub room: Incarnation,
    /// The group that guards it.
    pub group: Option<GroupId>,
    is_live: bool,
    created_at: u64,
    limit: LimitRow,
    members_cap: u32,
    members_max: Option<u32>,
    /// The number of its last notice.
    pub sequence: u64,
    expelled_at: u64,
    floor: Option<MemberId>,
}

/// Rows have the number of a variant: new ones come last.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
enum LimitRow {
    Default(u64),
    None,
    Stated(u64),
}

/// Members who leave by one decision. One whose call has no row with this member id any more has been
/// released.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DeparturesRow {
    /// The number of the notice of the first exit.
    first: u64,
    /// Each exit once; one or two, as a rule.
    exits: Vec<ExitRow>,
    /// In the order of their exits, with the number of the exit in `exits`.
    members: Vec<(CallId, MemberId, u32)>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct ExitRow {
    cause: Cause,
    reason: Option<Arc<str>>,
    then: AfterExitRow,
}

/// Rows have the number of a variant: new ones come last.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
enum AfterExitRow {
    Document(u128, Dialect),
    Element(u32),
    End(Ending),
    Fetch(Arc<str>),
    HangUp,
    Onward,
    /// The caller of a `<Dial>` that had this result.
    Dialled(Box<Self>, DialResult),
}

/// A member who leaves, of a [`DeparturesRow`].
#[derive(Clone, Debug)]
pub struct DepartureRow {
    /// The call of the member.
    pub call: CallId,
    /// The id that the member had.
    pub member: MemberId,
    /// The number of the notice of its exit.
    pub sequence: u64,
    exit: ExitRow,
}

impl Conference {
    /// The row of the room. None if it has no members with rows.
    pub fn row(&self, clock: BootClock, group: Option<GroupId>) -> Option<Vec<u8>> {
        if self.kept == 0 || self.is_private() {
            return None;
        }
        // Destructured as a whole: a new field is kept, or named here as one that is not.
        let Self {
            incarnation,
            phase,
            created_at,
            limit,
            members_cap,
            members_max,
            sequence,
            expelled_at,
            floor,
            // In the rows of the calls, or derived from them.
            members: _,
            moderators: _,
            kept: _,
            changed: _,
            call_ends: _,
            // Dropped: keys of 3 seconds, sounds on their way, and what is made again.
            deadlines: _,
            typed: _,
            sounds: _,
            recording: _,
            // Callees that ring end with the process.
            dial: _,
            // Only within a command.
            leavers: _,
            reply: _,
            fault_countdown: _,
        } = self;
        let limit = match limit {
            RoomTimeLimit::Default(at) => LimitRow::Default(clock.nanos(*at)),
            RoomTimeLimit::None => LimitRow::None,
            RoomTimeLimit::Stated(at) => LimitRow::Stated(clock.nanos(*at)),
        };
        let row = RoomRow {
            room: Incarnation::clone(incarnation),
            group,
            is_live: *phase == RoomPhase::Live,
            created_at: clock.nanos(*created_at),
            limit,
            members_cap: *members_cap,
            members_max: *members_max,
            sequence: *sequence,
            expelled_at: *expelled_at,
            floor: floor.holder,
        };
        Some(write_row(VERSION, &row))
    }

    /// The rows of the members who have changed since the last call.
    pub fn changed_rows(&mut self, clock: BootClock) -> Vec<(CallId, Vec<u8>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().filter_map(|id| self.member_row(clock, id)).collect()
    }

    fn member_row(&self, clock: BootClock, id: MemberId) -> Option<(CallId, Vec<u8>)> {
        match self.members.get(&id) {
            Some(member) => member_row(clock, self.id(), id, member, self.is_private()),
            None => self.callee_row(clock, id),
        }
    }

    /// Notes that the row of a member must be written.
    pub(super) fn note_changed(&mut self, id: MemberId) {
        if self.members.get(&id).is_some_and(|it| it.call.is_kept()) {
            self.changed.push(id);
        }
    }

    /// Puts a restored room to work: members hear it again, and those who must leave do. `has_lost`:
    /// other members have died with the last process.
    pub fn resume(
        &mut self,
        now: Instant,
        leavers: Vec<(MemberId, Exit)>,
        has_lost: bool,
        effects: &mut VecDeque<Effect>,
    ) {
        leavers.iter().for_each(|(id, exit)| self.take_out(*id, exit));
        self.cascade();
        if has_lost
            && let Some((&id, only)) = self.members.first_key_value()
            && self.members.len() == 1
            && !only.entry.stays_alone
        {
            self.take_out(id, &Cause::Alone.into());
        }
        self.resume_sound(effects);
        let ids: Vec<_> = self.members.keys().copied().collect();
        ids.into_iter().for_each(|id| self.ask_for_recording(id, effects));
        self.floor.is_stale = true;
        self.conclude(now, effects);
        // The media engine does not know those who leave.
        effects.retain(|it| !matches!(it, Effect::Media(AudioOrder::Remove { .. })));
    }

    /// Lets the members of a restored room hear it, as their flags say.
    pub(super) fn resume_sound(&mut self, effects: &mut VecDeque<Effect>) {
        let calls = |which: fn(&Member) -> bool, members: &BTreeMap<MemberId, Box<Member>>| {
            let chosen = members.values().filter(|it| which(it));
            chosen.map(|it| it.call.id).collect::<Vec<_>>()
        };
        let room = self.id();
        let muted = calls(|it| it.muted, &self.members);
        if !muted.is_empty() {
            effects.push_back(AudioOrder::Mute { room, calls: muted, on: true }.into());
        }
        let ids: Vec<_> = self.members.keys().copied().collect();
        self.update_listening(ids.into_iter(), effects);
        let deaf = calls(|it| it.deaf, &self.members);
        if !deaf.is_empty() {
            effects.push_back(AudioOrder::Deafen { room, calls: deaf, on: true }.into());
        }
    }
}

/// None of a member that was not let in: the row of its call says that it is alone. `is_pair`: the room
/// is that of a `<Dial>`.
fn member_row(
    clock: BootClock,
    room: RoomId,
    id: MemberId,
    member: &Member,
    is_pair: bool,
) -> Option<(CallId, Vec<u8>)> {
    let Member {
        call,
        joined_after,
        muted,
        deaf,
        held,
        hold,
        announced,
        // From the element of the call.
        entry: _,
        // Decided and fetched again.
        listening: _,
        wait_sound: _,
    } = member;
    if !announced && !is_pair {
        return None;
    }
    let place = if is_pair { CallPlaceRow::Pair } else { CallPlaceRow::Room };
    let place = place(MemberRow {
        room,
        member: id,
        joined_after: *joined_after,
        muted: *muted,
        deaf: *deaf,
        held: *held,
        is_on_hold: *hold != Hold::Off,
    });
    Some((call.id, call.row(clock, place)?))
}

impl RoomRow {
    /// Reads a row of any version that an earlier build has written.
    ///
    /// # Errors
    ///
    /// [`RowError::Format`].
    pub fn read(bytes: &[u8]) -> Result<Self, RowError> {
        RowError::read(VERSION, bytes)
    }

    /// Whether it has begun.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// The room with these members, who are at their `<Conference>`. `sequence` is the number of the
    /// last notice that was told. [`Conference::resume`] puts it to work.
    pub fn restore(
        self,
        now: Instant,
        clock: BootClock,
        sequence: u64,
        members: Vec<(Box<Call>, MemberRow)>,
    ) -> Conference {
        let room = Arc::new(self.room);
        let mut conference = Conference::new(now, room, &Settings::default());
        conference.phase = if self.is_live { RoomPhase::Live } else { RoomPhase::Waiting };
        conference.created_at = clock.instant(self.created_at);
        conference.limit = match self.limit {
            LimitRow::Default(at) => RoomTimeLimit::Default(clock.instant(at)),
            LimitRow::None => RoomTimeLimit::None,
            LimitRow::Stated(at) => RoomTimeLimit::Stated(clock.instant(at)),
        };
        (conference.members_cap, conference.members_max) = (self.members_cap, self.members_max);
        (conference.sequence, conference.expelled_at) = (sequence, self.expelled_at);
        (conference.call_ends, conference.sounds) = (CallEnds::new(now), PendingSounds::default());
        for (call, row) in members {
            // `CallStateRow::restore` has refused others.
            match call.conference_here() {
                Some((_, entry)) => conference.put_back(call, row, entry),
                None => call.end(),
            }
        }
        let holder = self.floor.filter(|id| conference.members.contains_key(id));
        conference.floor = Floor::default();
        (conference.floor.holder, conference.floor.is_stale) = (holder, true);
        conference
    }
}

impl Conference {
    /// Puts a member back into a restored room, which hears nothing yet.
    pub(super) fn put_back(&mut self, call: Box<Call>, row: MemberRow, entry: Arc<JoinOptions>) {
        let MemberRow { room: _, member: id, joined_after, muted, deaf, held, is_on_hold } = row;
        self.call_ends.add(call.ends_at, id);
        let mut member = Member::new(Duration::from_nanos(joined_after), call, entry);
        (member.muted, member.deaf, member.held) = (muted, deaf, held);
        member.hold = if is_on_hold { Hold::WaitSound } else { Hold::Off };
        (member.listening, member.announced) = (Listening::None, true);
        self.insert_member(id, Box::new(member));
    }
}

impl Leave {
    /// Whether calls with rows leave.
    pub fn is_kept(&self) -> bool {
        self.leavers.iter().any(|it| it.member.call.is_kept())
    }

    /// The row of all who leave, before the first of their exits is told.
    pub fn departures(&self) -> DeparturesRow {
        let mut row = DeparturesRow {
            first: self.next_sequence,
            exits: Vec::new(),
            members: Vec::with_capacity(self.leavers.len()),
        };
        for it in self.leavers.iter().filter(|it| it.member.announced) {
            row.add(it.member.call.id, it.id, ExitRow::of(&it.exit));
        }
        row
    }

    /// The rows of the calls that fetch another document once they have left.
    pub fn transferred_rows(
        &self,
        clock: BootClock,
        room: RoomId,
        is_pair: bool,
    ) -> Vec<(CallId, Vec<u8>)> {
        let transferred = self.leavers.iter().filter(|it| it.member.call.is_transferred());
        let kept = transferred.filter(|it| it.member.call.is_kept());
        kept.filter_map(|it| member_row(clock, room, it.id, &it.member, is_pair)).collect()
    }

    /// The documents in which calls go on that leave.
    pub fn documents(&self) -> BTreeMap<u128, Arc<Flow>> {
        let flows = self.leavers.iter().filter_map(|it| match &it.exit.then {
            AfterExit::Document(flow) => Some((flow.source.text.key(), flow.clone())),
            AfterExit::Element(_) | AfterExit::End(_) | AfterExit::Fetch(_) => None,
            AfterExit::HangUp | AfterExit::Onward => None,
        });
        flows.collect()
    }
}

impl DeparturesRow {
    /// The row of the calls with rows that leave the room of a `<Dial>` by a decision, or end there. None
    /// if there are none.
    pub fn of_pair(effects: &VecDeque<Effect>) -> Option<Self> {
        let mut row = Self { first: 0, exits: Vec::new(), members: Vec::new() };
        for effect in effects {
            if let Effect::Leave(leave) = effect {
                for it in leave.leavers.iter().filter(|it| it.member.call.is_kept()) {
                    row.add(it.member.call.id, it.id, ExitRow::of(&it.exit));
                }
            }
            if let Effect::End { member, call, ending } = effect
                && call.is_kept()
            {
                let (cause, then) = (Cause::HungUpByApi, AfterExitRow::End(*ending));
                row.add(call.id, *member, ExitRow { cause, reason: None, then });
            }
        }
        (!row.members.is_empty()).then_some(row)
    }

    fn add(&mut self, call: CallId, member: MemberId, exit: ExitRow) {
        // The last one first: they come in runs.
        let at = self.exits.iter().rposition(|other| *other == exit).unwrap_or_else(|| {
            self.exits.push(exit);
            self.exits.len() - 1
        });
        self.members.push((call, member, u32::try_from(at).unwrap_or(u32::MAX)));
    }

    /// The bytes of the row.
    pub fn write(&self) -> Vec<u8> {
        write_row(VERSION, self)
    }

    /// Reads a row of any version that an earlier build has written.
    ///
    /// # Errors
    ///
    /// [`RowError::Format`].
    pub fn read(bytes: &[u8]) -> Result<Self, RowError> {
        RowError::read(VERSION, bytes)
    }

    /// Those who leave, in the order of their exits.
    pub fn departures(self) -> impl Iterator<Item = DepartureRow> {
        let Self { first, exits, members } = self;
        let numbered = (first..).zip(members);
        numbered.filter_map(move |(sequence, (call, member, at))| {
            let exit = exits.get(usize::try_from(at).ok()?)?.clone();
            Some(DepartureRow { call, member, sequence, exit })
        })
    }
}

impl DepartureRow {
    /// Why the member leaves, and the text that the request gave for it.
    pub fn cause(&self) -> (Cause, Option<Arc<str>>) {
        (self.exit.cause, self.exit.reason.clone())
    }

    /// The exit. `flow` finds the document in which the call goes on.
    ///
    /// # Errors
    ///
    /// That document is missing.
    pub fn exit(
        &self,
        flow: impl FnOnce(u128, Dialect) -> Result<Arc<Flow>, RowError>,
    ) -> Result<Exit, RowError> {
        let ExitRow { cause, reason, then } = &self.exit;
        let (then, dialled) = if let AfterExitRow::Dialled(then, result) = then {
            (&**then, Some(Box::new(result.clone())))
        } else {
            (then, None)
        };
        let then = match then {
            AfterExitRow::Document(key, dialect) => AfterExit::Document(flow(*key, *dialect)?),
            AfterExitRow::Element(step) => AfterExit::Element(*step),
            AfterExitRow::End(ending) => AfterExit::End(*ending),
            AfterExitRow::Fetch(url) => AfterExit::Fetch(url.clone()),
            AfterExitRow::HangUp => AfterExit::HangUp,
            // A result is not within another one.
            AfterExitRow::Onward | AfterExitRow::Dialled(..) => AfterExit::Onward,
        };
        Ok(Exit { cause: *cause, reason: reason.clone(), then, dialled })
    }
}

impl ExitRow {
    fn of(exit: &Exit) -> Self {
        let Exit { cause, reason, then, dialled } = exit;
        let then = match then {
            AfterExit::Document(flow) => {
                AfterExitRow::Document(flow.source.text.key(), flow.dialect)
            }
            AfterExit::Element(step) => AfterExitRow::Element(*step),
            AfterExit::End(ending) => AfterExitRow::End(*ending),
            AfterExit::Fetch(url) => AfterExitRow::Fetch(url.clone()),
            AfterExit::HangUp => AfterExitRow::HangUp,
            AfterExit::Onward => AfterExitRow::Onward,
        };
        let then = match dialled {
            Some(result) => AfterExitRow::Dialled(Box::new(then), DialResult::clone(result)),
            None => then,
        };
        Self { cause: *cause, reason: reason.clone(), then }
    }
}
