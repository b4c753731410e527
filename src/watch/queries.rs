//! Queries: selects what to ask the server next; of 1,000 rooms, only the visible ones.

use std::time::Duration;

use super::{
    answers::{WatchedPhone, WatchedRooms, WatchedRoster},
    cursor::WatchedPlace,
    layout::visible_rows,
    model::{FeedState, Model},
    query::{PendingQuery, Query},
};

/// Maximum age of the list of rooms. Events report rooms that begin and end; this catches missed
/// ones.
const ROOMS_AGE_MAX: Duration = Duration::from_secs(30);
/// Maximum age of the selected room's roster: no event reports a mute.
const ROSTER_AGE_MAX: Duration = Duration::from_secs(2);
/// A large roster costs more: its maximum age grows by 2 seconds for each of this many members.
const ROSTER_MEMBERS: usize = 200;
/// Maximum age of other visible rooms' rosters, of which only the counts are shown.
const COUNT_AGE_MAX: Duration = Duration::from_secs(30);
/// Maximum age of the sounds that a caller hears.
const PHONE_AGE_MAX: Duration = Duration::from_secs(1);
/// Pause after a query that failed.
const PAUSE: Duration = Duration::from_secs(2);

impl Model {
    /// Queries to send now, at most `max`. Each must be answered by [`Model::take`] or
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
            // A narrow screen hides the other rooms.
            self.rooms.iter().skip(seen.start).take(seen.len()),
        );
        let due = rooms.filter(|(place, room)| {
            !room.is_over && is_due(room.roster_at, now, age_max(place, room.callers.len()))
        });
        due.filter_map(|(place, _)| place.clone()).map(Query::Roster).collect()
    }

    /// The phone that has waited longest comes first.
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

    /// Applies the response to a query.
    pub fn take(&mut self, pending_query: PendingQuery, answer: QueryResult, now: Duration) {
        if !self.queries.pending.remove(&pending_query.query) {
            return; // Sent before the connection was lost.
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
            // A response of another type than its query is ignored.
            (
                Query::Phone(_) | Query::Rooms | Query::Roster(_),
                QueryResult::Phone(_) | QueryResult::Rooms(_) | QueryResult::Roster(_),
            ) => (),
        }
    }

    /// Reports that a query failed; queries pause for two seconds.
    pub fn fail(&mut self, pending_query: &PendingQuery, why: String, now: Duration) {
        self.queries.pending.remove(&pending_query.query);
        self.queries.quiet_until = now + PAUSE;
        self.trouble = Some(why);
    }
}

/// Response to a [`Query`].
#[derive(Clone, Debug, PartialEq)]
pub enum QueryResult {
    /// Response to [`Query::Rooms`]: the names of all rooms.
    Rooms(WatchedRooms),
    /// Response to [`Query::Roster`]; None if there is no such room.
    Roster(Option<WatchedRoster>),
    /// Response to [`Query::Phone`]; None if there is no such simulated phone.
    Phone(Option<WatchedPhone>),
}

fn is_due(at: Option<Duration>, now: Duration, age_max: Duration) -> bool {
    at.is_none_or(|at| at + age_max <= now)
}
