//! What is known of an account's rooms and callers, from answers and events.
//!
//! An answer may be older than an event that has come before it: each request carries how many
//! events there had been ([`super::PendingQuery`]), and an answer takes nothing away that has changed
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

/// Long enough to be read; then the row goes.
const OVER_KEPT: Duration = Duration::from_secs(10);

/// The picture.
#[derive(Clone, Debug)]
pub struct Model {
    /// Whose rooms, and where: the title.
    pub(super) about: String,
    pub(super) feed_state: FeedState,
    /// Columns and rows of the screen.
    pub(super) size: (u16, u16),
    pub(super) rooms: BTreeMap<WatchedPlace, WatchedRoom>,
    pub(super) callers: BTreeMap<CallId, WatchedCaller>,
    pub(super) cursor: WatchCursor,
    /// What happened last, in words.
    pub(super) last: String,
    /// Why the last answer was none.
    pub(super) trouble: Option<String>,
    pub(super) queries: QueryState,
    /// How many events there have been.
    pub(super) changes: u64,
}

/// How the stream of events is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FeedState {
    /// Not there yet.
    Connecting,
    /// What happens is seen at once.
    Live,
    /// Not there, and why; it is tried again.
    Lost(String),
    /// There is to be none: one picture is enough.
    Once,
}

/// Who is in a room, or was last, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchedRoom {
    pub(super) callers: BTreeSet<(MemberId, CallId)>,
    /// Who has the floor.
    pub(super) floor: Option<MemberId>,
    /// It has ended; those who were in it last may still be on the line.
    pub(super) is_over: bool,
    /// The event that changed it last.
    pub(super) changed: u64,
    /// When its roster came.
    pub(super) roster_at: Option<Duration>,
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchedCaller {
    /// Whence he calls.
    pub from: String,
    /// What he called.
    pub to: String,
    /// What his phone calls him.
    pub name: String,
    /// His number in the room; 0 in none.
    pub member: MemberId,
    /// How he is there.
    pub state: CallerState,
    /// By what he left his last room: `kicked`, or `kicked: too loud`.
    pub exit: Option<String>,
    /// What is known of his phone.
    pub phone: CallerPhone,
    pub(super) place: WatchedPlace,
    pub(super) phone_at: Option<Duration>,
}

/// How a caller is where he is listed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallerState {
    /// On the line, in no room so far.
    Outside,
    /// In the room.
    InRoom {
        /// The others do not hear him.
        muted: bool,
        /// He does not hear the others.
        deaf: bool,
    },
    /// He has left the room, and his flow goes on.
    Left,
    /// The call is over.
    Over {
        /// Since when.
        at: Duration,
    },
}

/// What is known of a phone.
#[derive(Clone, Debug, PartialEq)]
pub enum CallerPhone {
    /// Nothing yet.
    Unknown,
    /// It is not simulated: nobody knows what it hears.
    Real,
    /// All of it.
    Simulated(answers::WatchedPhone),
}

impl Model {
    /// Knows nothing yet. `about` is the title, `room` what is selected as soon as it is there.
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

    /// The screen has so many columns and rows.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.size = (columns, rows);
    }

    /// The stream of events is there, or is not. After a pause everything is asked again.
    pub fn set_feed_state(&mut self, link: FeedState) {
        if link == FeedState::Live {
            self.queries = QueryState::default();
            self.rooms.values_mut().for_each(|room| room.roster_at = None);
        }
        self.feed_state = link;
    }

    /// Events were missed for good: whoever is in no room may have hung up meanwhile.
    pub fn events_missed(&mut self) {
        self.changes += 1;
        self.queries.rooms_at = None;
        self.rooms.values_mut().for_each(|room| room.roster_at = None);
        let is_in_room = |it: &WatchedCaller| matches!(it.state, CallerState::InRoom { .. });
        let gone = self.callers.iter().filter(|(_, it)| !is_in_room(it)).map(|(call, _)| *call);
        gone.collect::<Vec<_>>().into_iter().for_each(|call| self.forget(call));
        self.remove_empty_rooms();
    }

    /// Time passes: the rows of calls that are over go.
    pub fn tick(&mut self, now: Duration) {
        let is_gone = |it: &WatchedCaller| match it.state {
            CallerState::Over { at } => at + OVER_KEPT <= now,
            CallerState::Left | CallerState::Outside | CallerState::InRoom { .. } => false,
        };
        let gone = self.callers.iter().filter(|(_, it)| is_gone(it)).map(|(call, _)| *call);
        gone.collect::<Vec<_>>().into_iter().for_each(|call| self.forget(call));
        self.remove_empty_rooms();
    }

    /// An event.
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
            // Keys, and what a later version may tell.
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

    /// `GET Conference/`, asked when there had been so many events.
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

    /// `GET Conference/{name}/`; None if there is no such room.
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
        // Numbers never come twice: who has left by this one, or entered by a later, did so since.
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

    /// `GET Phone/{call_uuid}/`; None if that is no simulated phone.
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

    /// The room is no more; of those who are in no other, nothing is known.
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

    /// The caller, new or known.
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

    /// Lists a known caller here, and nowhere else.
    fn put(&mut self, call: CallId, place: WatchedPlace, member: MemberId) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        if let Some(room) = self.rooms.get_mut(&caller.place) {
            room.callers.remove(&(caller.member, call));
        }
        caller.place = place.clone();
        caller.member = member;
        self.rooms.entry(place).or_default().callers.insert((member, call));
    }

    /// Takes away what nobody is listed in.
    fn remove_empty_rooms(&mut self) {
        self.rooms
            .retain(|place, room| !room.callers.is_empty() || (place.is_some() && !room.is_over));
        self.reselect();
    }

    /// Those who are in the room now; None while that is not known.
    pub(super) fn member_count(&self, room: &WatchedRoom) -> Option<usize> {
        let is_in_room = |call| self.callers.get(call).is_some_and(WatchedCaller::is_in_room);
        let count = room.callers.iter().filter(|(_, call)| is_in_room(call)).count();
        (room.roster_at.is_some() || 0 < room.changed && 0 < count).then_some(count)
    }

    /// Whether nothing more will come unasked for.
    pub fn is_settled(&self) -> bool {
        self.queries.is_idle() && self.trouble.is_none()
    }

    /// Why an answer was none, since the last good one.
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

    /// Whether there may be more to learn from his phone.
    pub(super) fn is_phone_asked(&self) -> bool {
        match (&self.phone, self.state) {
            (CallerPhone::Real, _) => false,
            (CallerPhone::Simulated(phone), CallerState::Over { .. }) => phone.state != "completed",
            (CallerPhone::Simulated(_) | CallerPhone::Unknown, _) => true,
        }
    }
}

/// What happened, in a line.
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
