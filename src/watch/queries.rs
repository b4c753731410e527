//! What should be asked next: of 1,000 rooms, only those that are seen.

use std::time::Duration;

use super::{
    answers::{WatchedPhone, WatchedRooms, WatchedRoster},
    cursor::WatchedPlace,
    layout::visible_rows,
    model::{FeedState, Model},
    query::{PendingQuery, Query},
};

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

impl Model {
    /// What to ask now, at most so much. Each must be answered by [`Model::take`] or
    /// [`Model::fail`].
    pub fn next_queries(&mut self, now: Duration, max: usize) -> Vec<PendingQuery> {
        let is_linked = match self.feed_state {
            FeedState::Live | FeedState::Once => true,
            FeedState::Connecting | FeedState::Lost(_) => false,
        };
        if !is_linked || now < self.queries.quiet_until {
            return Vec::new();
        }
        let mut queries = Vec::new();
        if is_due(self.queries.rooms_at, now, ROOMS_AGE_MAX) {
            queries.push(Query::Rooms);
        }
        queries.extend(self.rosters(now));
        queries.extend(self.phones(now));
        let mut open = max;
        queries.retain(|it| {
            let is_new = 0 < open && self.queries.pending.insert(it.clone());
            open -= usize::from(is_new);
            is_new
        });
        queries.into_iter().map(|query| PendingQuery { query, changes: self.changes }).collect()
    }

    fn rosters(&self, now: Duration) -> Vec<Query> {
        let age_max =
            |place: &WatchedPlace, members: usize| match self.selected_room() == Some(place) {
                true => ROSTER_AGE_MAX * (1 + members / ROSTER_MEMBERS) as u32,
                false => COUNT_AGE_MAX,
            };
        let seen =
            visible_rows(self.rooms.len(), self.selected_room_index(), self.layout().rooms.height);
        let looked_into = self.selected_room().and_then(|it| self.rooms.get_key_value(it));
        let rooms = looked_into.into_iter().chain(
            // On a narrow screen nobody sees the others.
            self.rooms.iter().skip(seen.start).take(seen.len()),
        );
        let due = rooms.filter(|(place, room)| {
            !room.is_over && is_due(room.roster_at, now, age_max(place, room.callers.len()))
        });
        due.filter_map(|(place, _)| place.clone()).map(Query::Roster).collect()
    }

    /// Who has waited longest is first.
    fn phones(&self, now: Duration) -> Vec<Query> {
        let calls = self.listed_calls();
        let seen =
            visible_rows(calls.len(), self.selected_call_index(), self.layout().members.height);
        let looked_at = self.selected_call();
        let seen = looked_at.into_iter().chain(calls[seen].iter().copied());
        let mut due: Vec<_> = seen
            .filter_map(|call| {
                self.callers.get(&call).map(|caller| (caller.phone_at, call, caller))
            })
            .filter(|(at, _, caller)| caller.is_phone_asked() && is_due(*at, now, PHONE_AGE_MAX))
            .map(|(at, call, _)| (at, call))
            .collect();
        due.sort_unstable();
        due.dedup();
        due.into_iter().map(|(_, call)| Query::Phone(call)).collect()
    }

    /// What came of a request.
    pub fn take(&mut self, pending_query: PendingQuery, answer: QueryResult, now: Duration) {
        if !self.queries.pending.remove(&pending_query.query) {
            return; // Asked before the connection was lost.
        }
        self.trouble = None;
        match (pending_query.query, answer) {
            (Query::Rooms, QueryResult::Rooms(rooms)) => {
                self.queries.rooms_at = Some(now);
                self.take_rooms(&rooms, pending_query.changes);
            }
            (Query::Roster(name), QueryResult::Roster(roster)) => {
                self.take_roster(&name, roster, pending_query.changes, now);
            }
            (Query::Phone(call), QueryResult::Phone(phone)) => self.take_phone(call, phone, now),
            // Nobody answers what was not asked.
            (
                Query::Phone(_) | Query::Rooms | Query::Roster(_),
                QueryResult::Phone(_) | QueryResult::Rooms(_) | QueryResult::Roster(_),
            ) => (),
        }
    }

    /// There was no good answer to it.
    pub fn fail(&mut self, pending_query: &PendingQuery, why: String, now: Duration) {
        self.queries.pending.remove(&pending_query.query);
        self.queries.quiet_until = now + PAUSE;
        self.trouble = Some(why);
    }
}

/// What was answered.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryResult {
    /// To [`Query::Rooms`].
    Rooms(WatchedRooms),
    /// To [`Query::Roster`]; None if there is no such room.
    Roster(Option<WatchedRoster>),
    /// To [`Query::Phone`]; None if there is no such simulated phone.
    Phone(Option<WatchedPhone>),
}

fn is_due(at: Option<Duration>, now: Duration, age_max: Duration) -> bool {
    at.is_none_or(|at| at + age_max <= now)
}
