//! Rows of a room: what the turns of its actor write beside events, if it has members whose calls have
//! rows.

use std::{collections::VecDeque, mem, sync::Arc, time::Instant};

use super::{
    invite::of_callee,
    observed::Blame,
    recorder::{self, KeyKind, TurnRow},
    registry::{Observed, Registry},
};
use crate::{
    base::ids::{Incarnation, RoomId, RoomKey},
    conference::{Conference, ConferenceEvent, DeparturesRow, Effect, Leave, Notice},
    group::GroupId,
    state_log::RowKey,
};

/// The rows that the state log has of one room.
#[derive(Debug, Default)]
pub(super) struct RoomRows {
    pub(super) group: Option<GroupId>,
    /// The row of the room, as it was written last.
    written: Option<Vec<u8>>,
    /// The documents in which those go on who leave by the last decision. None: there is no row of
    /// departures.
    departed: Option<Vec<u128>>,
}

impl RoomRows {
    /// Of a new room.
    pub(super) fn of_group(group: Option<GroupId>) -> Self {
        Self { group, written: None, departed: None }
    }

    /// Of a restored room, whose row is older than the room.
    pub(super) fn restored(group: Option<GroupId>) -> Self {
        Self { group, written: Some(Vec::new()), departed: None }
    }

    /// The rows of the first frame of a decision: members who have changed, and those who leave.
    pub(super) fn begin(
        &mut self,
        registry: &Registry,
        machine: &mut Conference,
        effects: &VecDeque<Effect>,
        room: RoomId,
    ) -> Vec<TurnRow> {
        let Some(clock) = registry.row_clock() else { return Vec::new() };
        let is_pair = machine.is_private();
        if is_pair {
            machine.keep_pair(|call| registry.keep_in_room(call));
        }
        let changed = machine.changed_rows(clock).into_iter();
        let mut rows: Vec<_> = changed
            .map(|(call, row)| TurnRow::put(KeyKind::CallState.of_call(call), row))
            .collect();
        // All of the decision before have been released.
        rows.extend(self.all_released(registry, room));
        let leave = effects.iter().find_map(|effect| {
            let Effect::Leave(leave) = effect else { return None };
            leave.is_kept().then_some(leave)
        });
        let departures = match is_pair {
            true => DeparturesRow::of_pair(effects),
            false => leave.map(Leave::departures),
        };
        let Some(departures) = departures else { return rows };
        let documents = leave.map(Leave::documents).unwrap_or_default();
        for (key, flow) in &documents {
            registry.hold_document(*key, || flow.source.row());
        }
        self.departed = Some(documents.into_keys().collect());
        rows.push(TurnRow::put(departures_key(room), departures.write()));
        let transferred = leave.map(|it| it.transferred_rows(clock, room, is_pair));
        rows.extend(
            transferred
                .into_iter()
                .flatten()
                .map(|(call, row)| TurnRow::put(KeyKind::CallState.of_call(call), row)),
        );
        rows
    }

    /// The row of the last frame of a decision: the room itself, if that has changed.
    pub(super) fn end(&mut self, registry: &Registry, machine: &Conference) -> Option<TurnRow> {
        let clock = registry.row_clock()?;
        let (kind, row) = match machine.is_private() {
            true => (KeyKind::Pair, machine.pair_row(clock)),
            false => (KeyKind::RoomState, machine.row(clock, self.group)),
        };
        let key = kind.key(machine.id().0.as_u128());
        match row {
            Some(row) if self.written.as_ref() == Some(&row) => None,
            Some(row) => {
                self.written = Some(row.clone());
                Some(TurnRow::put(key, row))
            }
            None => self.written.take().map(|_| TurnRow::gone(key)),
        }
    }

    /// The end of the row of departures, if there is one: all have rows of their own again, or none.
    pub(super) fn all_released(&mut self, registry: &Registry, room: RoomId) -> Option<TurnRow> {
        let documents = self.departed.take()?;
        documents.into_iter().for_each(|it| registry.release_document(it));
        Some(TurnRow::gone(departures_key(room)))
    }
}

/// Takes the notices of decided effects, a slice of them at most, and adds a row of the exits if the
/// first frame has not all. Returns their events, and whether there are no more.
pub(super) fn take_notices(
    effects: &mut VecDeque<Effect>,
    room: &Arc<Incarnation>,
    blame: &mut Blame,
    (is_first, mut left): (bool, usize),
    rows: &mut Vec<TurnRow>,
) -> (Vec<Observed>, bool) {
    let (mut events, mut is_all) = (Vec::new(), true);
    let account = &room.key.account;
    let mut take = |notice: Notice| {
        if let ConferenceEvent::Exited { who, cause, ends, .. } = &notice.event {
            blame.exits(who.call, *ends, *cause);
        }
        events.push(Observed::Notice { room: room.clone(), notice });
    };
    // A room tells of the few calls that it makes.
    let mut others = Vec::new();
    effects.retain_mut(|effect| {
        match effect {
            // What follows the exits is told with the last of them.
            Effect::Publish(notice) if is_all => {
                let none = Notice { sequence: 0, event: ConferenceEvent::Over };
                take(mem::replace(notice, none));
                return false;
            }
            Effect::Leave(leave) => {
                if is_first && !leave.is_kept() && left < leave.exits_left() {
                    rows.push(recorder::leaving(room.id, leave));
                }
                take_exits(leave, &mut left, &mut take);
                is_all &= leave.is_told();
            }
            Effect::Call { .. } | Effect::Tell { .. } => {
                others.extend(of_callee(account, effect));
                return false;
            }
            Effect::Publish(_) => (),
            Effect::Admit { .. }
            | Effect::Ban { .. }
            | Effect::End { .. }
            | Effect::Fetch { .. }
            | Effect::Media(_)
            | Effect::Record { .. }
            | Effect::CutRecording { .. }
            | Effect::Release { .. }
            | Effect::Reply { .. }
            | Effect::Signal(_)
            | Effect::Stop
            | Effect::Unname => (),
            Effect::RecordDialled { .. } | Effect::StopDialled { .. } => (),
        }
        true
    });
    events.extend(others);
    (events, is_all)
}

/// Takes notices of members who leave, and counts `left` down; the end of the room comes with the last
/// exit.
pub(super) fn take_exits(leave: &mut Leave, left: &mut usize, mut take: impl FnMut(Notice)) {
    while (0 < *left || leave.exits_left() == 0)
        && let Some(notice) = leave.notice()
    {
        take(notice);
        *left = left.saturating_sub(1);
    }
}

/// The rows of the bans among decided effects.
pub(super) fn bans(
    registry: &Registry,
    now: Instant,
    key: &RoomKey,
    effects: &VecDeque<Effect>,
) -> Vec<TurnRow> {
    let row = |effect: &Effect| {
        let Effect::Ban { member, who, reason, length } = effect else { return None };
        registry.ban_list().row(now, key, *member, who.clone(), reason.clone(), *length)
    };
    effects.iter().filter_map(row).collect()
}

/// The key of the members who leave a room.
pub(super) fn departures_key(room: RoomId) -> RowKey {
    KeyKind::Departures.key(room.0.as_u128())
}
