//! What should be asked next: of 1,000 rooms, only those that are seen.

use std::{collections::BTreeSet, time::Duration};

use super::{
    layout::page,
    model::{Link, Model, Place},
    wire::{Phone, Rooms, Roster},
};
use crate::base::ids::{CallId, ConferenceName};

/// Events tell of rooms that come and go; this is for what they should have missed.
const ROOMS_AGE_MAX: Duration = Duration::from_secs(30);
/// Of the room that is looked into: that somebody is muted is told by no event.
const ROSTER_AGE_MAX: Duration = Duration::from_secs(2);
/// A large roster is long: its age may be so many times the 2 seconds, for each of so many.
const ROSTER_MEMBERS: usize = 200;
/// Of the other rooms that are seen, whose members are only counted.
const COUNT_AGE_MAX: Duration = Duration::from_secs(30);
/// Of what a caller hears.
const PHONE_AGE_MAX: Duration = Duration::from_secs(1);
/// After an answer that is none.
const PAUSE: Duration = Duration::from_secs(2);

/// Something that the API can tell.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Want {
    /// `GET …/Conference/`
    Rooms,
    /// `GET …/Conference/{name}/`
    Roster(ConferenceName),
    /// `GET /sim/v1/Account/{auth_id}/Phone/{call_uuid}/`
    Phone(CallId),
}

/// A request that is under way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// For what.
    pub want: Want,
    /// How many events there had been.
    pub changes: u64,
}

/// What has been asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Asks {
    under_way: BTreeSet<Want>,
    /// When the rooms came.
    pub(super) rooms_at: Option<Duration>,
    /// Nothing is asked until then.
    quiet_until: Duration,
}

impl Asks {
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }
}

impl Model {
    /// What to ask now, at most so much. Each must be answered by [`Model::take`] or
    /// [`Model::fail`].
    pub fn wants(&mut self, now: Duration, max: usize) -> Vec<Asked> {
        let is_linked = match self.link {
            Link::Live | Link::Once => true,
            Link::Connecting | Link::Lost(_) => false,
        };
        if !is_linked || now < self.asks.quiet_until {
            return Vec::new();
        }
        let mut wants = Vec::new();
        if is_due(self.asks.rooms_at, now, ROOMS_AGE_MAX) {
            wants.push(Want::Rooms);
        }
        wants.extend(self.rosters(now));
        wants.extend(self.phones(now));
        let mut open = max;
        wants.retain(|it| {
            let is_new = 0 < open && self.asks.under_way.insert(it.clone());
            open -= usize::from(is_new);
            is_new
        });
        wants.into_iter().map(|want| Asked { want, changes: self.changes }).collect()
    }

    fn rosters(&self, now: Duration) -> Vec<Want> {
        let age_max = |place: &Place, members: usize| match self.place() == Some(place) {
            true => ROSTER_AGE_MAX * (1 + members / ROSTER_MEMBERS) as u32,
            false => COUNT_AGE_MAX,
        };
        let seen = page(self.rooms.len(), self.place_at(), self.layout().rooms.height);
        let looked_into = self.place().and_then(|it| self.rooms.get_key_value(it));
        let rooms = looked_into.into_iter().chain(
            // On a narrow screen nobody sees the others.
            self.rooms.iter().skip(seen.start).take(seen.len()),
        );
        let due = rooms.filter(|(place, room)| {
            !room.is_over && is_due(room.taken_at, now, age_max(place, room.callers.len()))
        });
        due.filter_map(|(place, _)| place.clone()).map(Want::Roster).collect()
    }

    /// Who has waited longest is first.
    fn phones(&self, now: Duration) -> Vec<Want> {
        let calls = self.calls();
        let seen = page(calls.len(), self.call_at(), self.layout().members.height);
        let looked_at = self.call();
        let seen = looked_at.into_iter().chain(calls[seen].iter().copied());
        let mut due: Vec<_> = seen
            .filter_map(|call| {
                self.callers.get(&call).map(|caller| (caller.phone_at, call, caller))
            })
            .filter(|(at, _, caller)| caller.is_heard() && is_due(*at, now, PHONE_AGE_MAX))
            .map(|(at, call, _)| (at, call))
            .collect();
        due.sort_unstable();
        due.dedup();
        due.into_iter().map(|(_, call)| Want::Phone(call)).collect()
    }

    /// What came of a request.
    pub fn take(&mut self, asked: Asked, answer: Answer, now: Duration) {
        if !self.asks.under_way.remove(&asked.want) {
            return; // Asked before the connection was lost.
        }
        self.trouble = None;
        match (asked.want, answer) {
            (Want::Rooms, Answer::Rooms(rooms)) => {
                self.asks.rooms_at = Some(now);
                self.take_rooms(&rooms, asked.changes);
            }
            (Want::Roster(name), Answer::Roster(roster)) => {
                self.take_roster(&name, roster, asked.changes, now);
            }
            (Want::Phone(call), Answer::Phone(phone)) => self.take_phone(call, phone, now),
            // Nobody answers what was not asked.
            (
                Want::Phone(_) | Want::Rooms | Want::Roster(_),
                Answer::Phone(_) | Answer::Rooms(_) | Answer::Roster(_),
            ) => (),
        }
    }

    /// There was no good answer to it.
    pub fn fail(&mut self, asked: &Asked, why: String, now: Duration) {
        self.asks.under_way.remove(&asked.want);
        self.asks.quiet_until = now + PAUSE;
        self.trouble = Some(why);
    }
}

/// What was answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To [`Want::Rooms`].
    Rooms(Rooms),
    /// To [`Want::Roster`]; None if there is no such room.
    Roster(Option<Roster>),
    /// To [`Want::Phone`]; None if there is no such simulated phone.
    Phone(Option<Phone>),
}

fn is_due(at: Option<Duration>, now: Duration, age_max: Duration) -> bool {
    at.is_none_or(|at| at + age_max <= now)
}
