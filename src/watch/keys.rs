//! Keys: how they move the selection of a room and a caller.

use super::{cursor::WatchedPlace, model::Model};
use crate::base::ids::CallId;

/// A key that moves the selection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WatchKey {
    /// Selects the previous row.
    Up,
    /// Selects the next row.
    Down,
    /// Moves one screen up.
    PageUp,
    /// Moves one screen down.
    PageDown,
    /// Selects the first row.
    First,
    /// Selects the last row.
    Last,
    /// Moves to the list of rooms.
    Left,
    /// Moves to the list of members.
    Right,
    /// Moves to the other list.
    Switch,
}

impl Model {
    /// Moves the selection, and stops at the ends of a list.
    pub fn press(&mut self, key: WatchKey) {
        let page = usize::from(self.layout().rows_at_once(self.cursor.is_in_room)).max(1);
        match key {
            WatchKey::Left => self.cursor.is_in_room = false,
            WatchKey::Right => self.cursor.is_in_room = true,
            WatchKey::Switch => self.cursor.is_in_room = !self.cursor.is_in_room,
            WatchKey::Up => self.go(|at| at.saturating_sub(1)),
            WatchKey::Down => self.go(|at| at + 1),
            WatchKey::PageUp => self.go(|at| at.saturating_sub(page)),
            WatchKey::PageDown => self.go(|at| at + page),
            WatchKey::First => self.go(|_| 0),
            WatchKey::Last => self.go(|_| usize::MAX),
        }
    }

    fn go(&mut self, to: impl FnOnce(usize) -> usize) {
        self.cursor.awaited = None;
        if self.cursor.is_in_room {
            let calls = self.listed_calls();
            let to = to(self.selected_call_index().unwrap_or(0)).min(calls.len().saturating_sub(1));
            self.cursor.call = calls.get(to).copied();
            return;
        }
        let to =
            to(self.selected_room_index().unwrap_or(0)).min(self.rooms.len().saturating_sub(1));
        self.cursor.place = self.rooms.keys().nth(to).cloned();
        self.cursor.call = None;
    }

    /// The selected room, whose callers are listed.
    pub(super) fn selected_room(&self) -> Option<&WatchedPlace> {
        self.cursor.place.as_ref()
    }

    /// Index of the selected room in the list.
    pub(super) fn selected_room_index(&self) -> Option<usize> {
        let place = self.selected_room()?;
        self.rooms.keys().position(|it| it == place)
    }

    /// All callers that are listed in the selected room.
    pub(super) fn listed_calls(&self) -> Vec<CallId> {
        let room = self.selected_room().and_then(|it| self.rooms.get(it));
        room.map(|it| it.callers.iter().map(|(_, call)| *call).collect()).unwrap_or_default()
    }

    /// The selected caller, or else the first.
    pub(super) fn selected_call(&self) -> Option<CallId> {
        let calls = self.listed_calls();
        self.cursor.call.filter(|it| calls.contains(it)).or_else(|| calls.first().copied())
    }

    /// Index of the selected caller in the list.
    pub(super) fn selected_call_index(&self) -> Option<usize> {
        let call = self.selected_call()?;
        self.listed_calls().iter().position(|it| *it == call)
    }

    /// If the selected room is gone, selects the next one in order.
    pub(super) fn reselect(&mut self) {
        if self.cursor.awaited.is_some() && self.rooms.contains_key(&self.cursor.awaited) {
            self.cursor.place = Some(self.cursor.awaited.take());
        }
        if self.cursor.place.as_ref().is_some_and(|it| self.rooms.contains_key(it)) {
            return;
        }
        let after = self.cursor.place.take().and_then(|place| {
            let next = self.rooms.range(place.clone()..).next();
            next.or_else(|| self.rooms.range(..place).next_back()).map(|(it, _)| it.clone())
        });
        let first =
            || self.rooms.keys().find(|it| it.is_some()).or_else(|| self.rooms.keys().next());
        self.cursor.place = after.or_else(|| first().cloned());
        self.cursor.call = None;
    }
}
