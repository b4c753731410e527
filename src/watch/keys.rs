//! Where the eye is: which room, and whom in it.

use super::model::{Model, Place};
use crate::base::ids::{CallId, ConferenceName};

/// A key that moves the eye.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Key {
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

/// What is selected.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    pub(super) is_in_room: bool,
    /// The room, once there is one.
    place: Option<Place>,
    /// Somebody in it; the first unless somebody has been selected.
    call: Option<CallId>,
    /// The room that was asked for, until it is there.
    awaited: Option<ConferenceName>,
}

impl Cursor {
    pub(super) fn at(room: Option<ConferenceName>) -> Self {
        Self { awaited: room, ..Self::default() }
    }
}

impl Model {
    /// Moves the eye.
    pub fn press(&mut self, key: Key) {
        let page = usize::from(self.layout().page(self.cursor.is_in_room)).max(1);
        match key {
            Key::Left => self.cursor.is_in_room = false,
            Key::Right => self.cursor.is_in_room = true,
            Key::Switch => self.cursor.is_in_room = !self.cursor.is_in_room,
            Key::Up => self.go(|at| at.saturating_sub(1)),
            Key::Down => self.go(|at| at + 1),
            Key::PageUp => self.go(|at| at.saturating_sub(page)),
            Key::PageDown => self.go(|at| at + page),
            Key::First => self.go(|_| 0),
            Key::Last => self.go(|_| usize::MAX),
        }
    }

    fn go(&mut self, to: impl FnOnce(usize) -> usize) {
        self.cursor.awaited = None;
        if self.cursor.is_in_room {
            let calls = self.calls();
            let to = to(self.call_at().unwrap_or(0)).min(calls.len().saturating_sub(1));
            self.cursor.call = calls.get(to).copied();
            return;
        }
        let to = to(self.place_at().unwrap_or(0)).min(self.rooms.len().saturating_sub(1));
        self.cursor.place = self.rooms.keys().nth(to).cloned();
        self.cursor.call = None;
    }

    /// The room that is looked into.
    pub(super) fn place(&self) -> Option<&Place> {
        self.cursor.place.as_ref()
    }

    /// Its place in the list.
    pub(super) fn place_at(&self) -> Option<usize> {
        let place = self.place()?;
        self.rooms.keys().position(|it| it == place)
    }

    /// Everybody who is listed in it.
    pub(super) fn calls(&self) -> Vec<CallId> {
        let room = self.place().and_then(|it| self.rooms.get(it));
        room.map(|it| it.callers.iter().map(|(_, call)| *call).collect()).unwrap_or_default()
    }

    /// Who is looked at.
    pub(super) fn call(&self) -> Option<CallId> {
        let calls = self.calls();
        self.cursor.call.filter(|it| calls.contains(it)).or_else(|| calls.first().copied())
    }

    /// His place in the list.
    pub(super) fn call_at(&self) -> Option<usize> {
        let call = self.call()?;
        self.calls().iter().position(|it| *it == call)
    }

    /// If what was selected is gone, the next in order is.
    pub(super) fn settle(&mut self) {
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
