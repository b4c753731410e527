//! Model of an account's rooms and callers, updated by responses and events.
//!
//! A response may be older than an event that came before it. Each query carries the number of
//! events at the time ([`super::PendingQuery`]), so a response removes nothing that has changed
//! since.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    answers::{self, WatchedEvent, WatchedRoster},
    cursor::{WatchCursor, WatchedPlace},
    query::QueryState,
};
use crate::base::ids::{CallId, ConferenceName, MemberId};

/// Ended calls stay visible long enough to be read.
const OVER_KEPT: Duration = Duration::from_secs(10);

/// Rooms and callers of one account, with the user's selection.
#[derive(Clone, Debug)]
pub struct Model {
    /// Title: the account and the server.
    pub(super) about: String,
    pub(super) feed_state: FeedState,
    /// Columns and rows of the screen.
    pub(super) size: (u16, u16),
    pub(super) rooms: BTreeMap<WatchedPlace, WatchedRoom>,
    pub(super) callers: BTreeMap<CallId, WatchedCaller>,
    pub(super) cursor: WatchCursor,
    /// Description of the last event.
    pub(super) last: String,
    /// Error of the last query that failed.
    pub(super) trouble: Option<String>,
    pub(super) queries: QueryState,
    /// Number of events so far.
    pub(super) changes: u64,
}

/// State of the stream of events.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FeedState {
    /// No connection has succeeded yet.
    Connecting,
    /// Events are shown as they happen.
    Live,
    /// No connection, with the reason; it is retried.
    Lost(String),
    /// There is no stream: a single screen is printed.
    Once,
}

/// A room with its callers, current and past, in the order of joining.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchedRoom {
    pub(super) callers: BTreeSet<(MemberId, CallId)>,
    /// Member who has the floor.
    pub(super) floor: Option<MemberId>,
    /// The room has ended; its last callers may still be on the line.
    pub(super) is_over: bool,
    /// Number of the event that changed it last.
    pub(super) changed: u64,
    /// Time of its last roster.
    pub(super) roster_at: Option<Duration>,
}

/// A call, as the watch knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchedCaller {
    /// Number or URI of the caller.
    pub from: String,
    /// Number or URI that was called.
    pub to: String,
    /// Display name that the phone sends.
    pub name: String,
    /// Member id in the room; 0 outside of rooms.
    pub member: MemberId,
    /// State of the call in the place where it is listed.
    pub state: CallerState,
    /// Exit cause of the last room: `kicked`, or `kicked: too loud`.
    pub exit: Option<String>,
    /// Timeline of the phone, if it is simulated.
    pub phone: CallerPhone,
    pub(super) place: WatchedPlace,
    pub(super) phone_at: Option<Duration>,
}

/// State of a call in the place where it is listed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallerState {
    /// On the line, in no room so far.
    Outside,
    /// A member of the room.
    InRoom {
        /// Whether others cannot hear them.
        muted: bool,
        /// Whether they cannot hear others.
        deaf: bool,
    },
    /// Has left the room; the flow continues.
    Left,
    /// The call has ended.
    Over {
        /// Time of the end, since the watch began.
        at: Duration,
    },
}

/// Knowledge about a call's phone.
#[derive(Clone, Debug, PartialEq)]
pub enum CallerPhone {
    /// No response about the phone yet.
    Unknown,
    /// Not simulated, so nothing tells what it hears.
    Real,
    /// Simulated, with everything that it has heard.
    Simulated(answers::WatchedPhone),
}

impl Model {
    /// An empty model. `about` is the title; `room` is selected as soon as it exists.
    pub fn new(
        about: String,
        feed_state: FeedState,
        size: (u16, u16),
        room: Option<ConferenceName>,
    ) -> Self {
        Self {
            about,
            feed_state,
            size,
            rooms: BTreeMap::new(),
            callers: BTreeMap::new(),
            cursor: WatchCursor::at(room),
            last: String::new(),
            trouble: None,
            queries: QueryState::default(),
            changes: 0,
        }
    }

    /// Sets the number of columns and rows of the screen.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.size = (columns, rows);
    }

    /// Sets the state of the stream. A new connection invalidates all that was queried before.
    pub fn set_feed_state(&mut self, link: FeedState) {
        if link == FeedState::Live {
            self.queries = QueryState::default();
            self.rooms.values_mut().for_each(|room| room.roster_at = None);
        }
        self.feed_state = link;
    }

    /// Reports that events were lost: calls in no room may have ended meanwhile.
    pub fn events_missed(&mut self) {
        self.changes += 1;
        self.queries.rooms_at = None;
        self.rooms.values_mut().for_each(|room| room.roster_at = None);
        let is_in_room = |it: &WatchedCaller| matches!(it.state, CallerState::InRoom { .. });
        let gone = self.callers.iter().filter(|(_, it)| !is_in_room(it)).map(|(call, _)| *call);
        gone.collect::<Vec<_>>().into_iter().for_each(|call| self.forget(call));
        self.remove_empty_rooms();
    }

    /// Advances the time: removes calls that ended ten seconds ago.
    pub fn tick(&mut self, now: Duration) {
        let is_gone = |it: &WatchedCaller| match it.state {
            CallerState::Over { at } => at + OVER_KEPT <= now,
            CallerState::Left | CallerState::Outside | CallerState::InRoom { .. } => false,
        };
        let gone = self.callers.iter().filter(|(_, it)| is_gone(it)).map(|(call, _)| *call);
        gone.collect::<Vec<_>>().into_iter().for_each(|call| self.forget(call));
        self.remove_empty_rooms();
    }

    /// Applies an event of the stream.
    pub fn apply_event(&mut self, event: &WatchedEvent, now: Duration) {
        self.changes += 1;
        if let (true, Some(words)) = (event.room.is_some() || event.call.is_some(), describe(event))
        {
            self.last = words;
        }
        match (&event.room, event.call) {
            (Some(room), call) => self.apply_room_event(room, call, event),
            (None, Some(call)) => self.apply_call_event(call, event, now),
            (None, None) => (),
        }
        self.remove_empty_rooms();
    }

    fn apply_room_event(
        &mut self,
        name: &ConferenceName,
        call: Option<CallId>,
        event: &WatchedEvent,
    ) {
        let place = Some(name.clone());
        let room = self.rooms.entry(place.clone()).or_default();
        room.changed = self.changes;
        let member = event.member.parse().unwrap_or_default();
        match (&*event.event, call) {
            ("ConferenceEnd", _) => room.is_over = true,
            ("ConferenceStart", _) => room.is_over = false,
            ("ConferenceFloor", _) => room.floor = Some(member),
            ("ConferenceEnter", Some(call)) => {
                room.is_over = false;
                let caller = self.caller(call, event);
                caller.state = CallerState::InRoom { muted: false, deaf: false };
                caller.exit = None;
                self.put(call, place, member);
            }
            ("ConferenceExit", Some(call)) => {
                room.floor.take_if(|it| *it == member);
                let caller = self.caller(call, event);
                caller.state = CallerState::Left;
                caller.exit = Some(match &*event.exit_reason {
                    "" => event.exit_cause.clone(),
                    reason => format!("{}: {reason}", event.exit_cause),
                });
                self.put(call, place, member);
            }
            // Keys, and events of later versions.
            _ => (),
        }
    }

    fn apply_call_event(&mut self, call: CallId, event: &WatchedEvent, now: Duration) {
        match &*event.event {
            "Hangup" => {
                if let Some(caller) = self.callers.get_mut(&call) {
                    caller.state = CallerState::Over { at: now };
                }
            }
            "Answer" | "CallStart" | "Ring" if !self.callers.contains_key(&call) => {
                self.caller(call, event);
                self.put(call, None, MemberId::default());
            }
            _ => (),
        }
    }

    /// Applies `GET Conference/`, sent when `asked` events had been applied.
    pub(super) fn take_rooms(&mut self, rooms: &answers::WatchedRooms, asked: u64) {
        let names: BTreeSet<_> = rooms.conferences.iter().collect();
        for name in &names {
            let room = self.rooms.entry(Some((*name).clone())).or_default();
            room.is_over &= asked < room.changed;
        }
        let is_gone = |place: &WatchedPlace, room: &WatchedRoom| {
            place.as_ref().is_some_and(|it| !names.contains(it)) && room.changed <= asked
        };
        let gone = self.rooms.iter().filter(|(place, room)| is_gone(place, room));
        let gone: Vec<_> = gone.map(|(place, _)| place.clone()).collect();
        gone.iter().for_each(|place| self.end(place));
        self.remove_empty_rooms();
    }

    /// Applies `GET Conference/{name}/`; None if there is no such room.
    pub(super) fn take_roster(
        &mut self,
        name: &ConferenceName,
        roster: Option<WatchedRoster>,
        asked: u64,
        now: Duration,
    ) {
        let place = Some(name.clone());
        let Some(room) = self.rooms.get_mut(&place) else { return };
        let is_current = room.changed <= asked;
        room.roster_at = Some(now);
        let Some(roster) = roster else {
            if is_current {
                self.end(&place);
                self.remove_empty_rooms();
            }
            return;
        };
        let in_roster: BTreeSet<_> = roster.members.iter().map(|it| it.call_uuid).collect();
        if is_current {
            let listed = room.callers.clone();
            for (_, call) in listed.into_iter().filter(|(_, call)| !in_roster.contains(call)) {
                self.forget_if_in_room(call);
            }
        }
        for member in &roster.members {
            self.take_member(&place, member);
        }
        self.remove_empty_rooms();
    }

    fn take_member(&mut self, place: &WatchedPlace, member: &answers::WatchedMember) {
        let (Some(id), call) = (member.id(), member.call_uuid) else { return };
        let known = self.callers.get(&call);
        // Member ids are never reused: who left with this id, or joined with a later one, did so
        // since.
        let is_older = known.is_some_and(|it| match it.state {
            CallerState::Left | CallerState::Over { .. } => id <= it.member,
            CallerState::Outside | CallerState::InRoom { .. } => id < it.member,
        });
        if is_older {
            return;
        }
        let party = WatchedEvent {
            from: member.from.clone(),
            to: member.to.clone(),
            caller_name: member.caller_name.clone(),
            ..WatchedEvent::default()
        };
        let caller = self.caller(call, &party);
        caller.state = CallerState::InRoom { muted: member.muted, deaf: member.deaf };
        caller.exit = None;
        self.put(call, place.clone(), id);
    }

    /// Applies `GET Phone/{call_uuid}/`; None if the phone is not simulated.
    pub(super) fn take_phone(
        &mut self,
        call: CallId,
        phone: Option<answers::WatchedPhone>,
        now: Duration,
    ) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.phone_at = Some(now);
        let Some(phone) = phone else {
            caller.phone = CallerPhone::Real;
            return;
        };
        let is_over = matches!(caller.state, CallerState::Over { .. });
        if phone.state == "completed" && !is_over {
            caller.state = CallerState::Over { at: now };
        }
        caller.phone = CallerPhone::Simulated(phone);
    }

    /// Marks a room as ended; its members, who are in no other room, are forgotten.
    fn end(&mut self, place: &WatchedPlace) {
        let Some(room) = self.rooms.get_mut(place) else { return };
        room.is_over = true;
        let callers = room.callers.clone();
        callers.into_iter().for_each(|(_, call)| self.forget_if_in_room(call));
    }

    fn forget_if_in_room(&mut self, call: CallId) {
        if self.callers.get(&call).is_some_and(WatchedCaller::is_in_room) {
            self.forget(call);
        }
    }

    fn forget(&mut self, call: CallId) {
        let Some(caller) = self.callers.remove(&call) else { return };
        if let Some(room) = self.rooms.get_mut(&caller.place) {
            room.callers.remove(&(caller.member, call));
        }
    }

    /// The caller, created if they are new.
    fn caller(&mut self, call: CallId, party: &WatchedEvent) -> &mut WatchedCaller {
        let caller = self.callers.entry(call).or_insert_with(|| WatchedCaller {
            from: String::new(),
            to: String::new(),
            name: String::new(),
            member: MemberId::default(),
            state: CallerState::Outside,
            exit: None,
            phone: CallerPhone::Unknown,
            place: None,
            phone_at: None,
        });
        let given = [&party.from, &party.to, &party.caller_name];
        let kept = [&mut caller.from, &mut caller.to, &mut caller.name];
        for (kept, given) in kept.into_iter().zip(given).filter(|(_, given)| !given.is_empty()) {
            given.clone_into(kept);
        }
        caller
    }

    /// Lists a known caller in this place only.
    fn put(&mut self, call: CallId, place: WatchedPlace, member: MemberId) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        if let Some(room) = self.rooms.get_mut(&caller.place) {
            room.callers.remove(&(caller.member, call));
        }
        caller.place = place.clone();
        caller.member = member;
        self.rooms.entry(place).or_default().callers.insert((member, call));
    }

    /// Removes ended rooms without callers.
    fn remove_empty_rooms(&mut self) {
        self.rooms
            .retain(|place, room| !room.callers.is_empty() || (place.is_some() && !room.is_over));
        self.reselect();
    }

    /// Number of current members; None while it is unknown.
    pub(super) fn member_count(&self, room: &WatchedRoom) -> Option<usize> {
        let is_in_room = |call| self.callers.get(call).is_some_and(WatchedCaller::is_in_room);
        let count = room.callers.iter().filter(|(_, call)| is_in_room(call)).count();
        (room.roster_at.is_some() || 0 < room.changed && 0 < count).then_some(count)
    }

    /// Whether all queries are answered and none failed.
    pub fn is_settled(&self) -> bool {
        self.queries.is_idle() && self.trouble.is_none()
    }

    /// Error of the last query; None after a success.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

impl WatchedCaller {
    pub(super) fn is_in_room(&self) -> bool {
        match self.state {
            CallerState::InRoom { .. } => true,
            CallerState::Left | CallerState::Outside | CallerState::Over { .. } => false,
        }
    }

    /// Whether the phone may have more to report.
    pub(super) fn is_phone_asked(&self) -> bool {
        match (&self.phone, self.state) {
            (CallerPhone::Real, _) => false,
            (CallerPhone::Simulated(phone), CallerState::Over { .. }) => phone.state != "completed",
            (CallerPhone::Simulated(_) | CallerPhone::Unknown, _) => true,
        }
    }
}

/// Describes an event in one line.
fn describe(event: &WatchedEvent) -> Option<String> {
    let who = if event.caller_name.is_empty() { &event.from } else { &event.caller_name };
    let room = event.room.as_ref().map(ConferenceName::as_str).unwrap_or_default();
    Some(match &*event.event {
        "Answer" => return None,
        "CallStart" => format!("{who} calls {}", event.to),
        "Ring" => format!("{} rings", event.to),
        "Hangup" => format!("{who} has hung up: {}", event.hangup_cause_name),
        "ConferenceStart" => format!("{room} begins"),
        "ConferenceEnd" => format!("{room} has ended"),
        "ConferenceEnter" => format!("{who} enters {room}"),
        "ConferenceFloor" => format!("{who} has the floor in {room}"),
        "ConferenceDigitsMatch" => format!("{who} presses a key in {room}"),
        "ConferenceExit" => format!("{who} leaves {room}: {}", event.exit_cause),
        other => other.to_owned(),
    })
}
