//! Where the eye is: which room, and whom in it.

use super::{cursor::WatchedPlace, model::Model};
use crate::base::ids::CallId;

/// A key that moves the eye.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WatchKey {
    /// To the one above.
    Up,
    /// To the one below.
    Down,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
    /// To the rooms.
    Left,
    /// To those in the room.
    Right,
    /// To the other list.
    Switch,
}

impl Model {
    /// Moves the eye.
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

    /// The room that is looked into.
    pub(super) fn selected_room(&self) -> Option<&WatchedPlace> {
        self.cursor.place.as_ref()
    }

    /// Its place in the list.
    pub(super) fn selected_room_index(&self) -> Option<usize> {
        let place = self.selected_room()?;
        self.rooms.keys().position(|it| it == place)
    }

    /// Everybody who is listed in it.
    pub(super) fn listed_calls(&self) -> Vec<CallId> {
        let room = self.selected_room().and_then(|it| self.rooms.get(it));
        room.map(|it| it.callers.iter().map(|(_, call)| *call).collect()).unwrap_or_default()
    }

    /// Who is looked at.
    pub(super) fn selected_call(&self) -> Option<CallId> {
        let calls = self.listed_calls();
        self.cursor.call.filter(|it| calls.contains(it)).or_else(|| calls.first().copied())
    }

    /// His place in the list.
    pub(super) fn selected_call_index(&self) -> Option<usize> {
        let call = self.selected_call()?;
        self.listed_calls().iter().position(|it| *it == call)
    }

    /// If what was selected is gone, the next in order is.
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
