//! What is known of an account's rooms and callers, from answers and events.
//!
//! An answer may be older than an event that has come before it: each request carries how many
//! events there had been ([`super::Asked`]), and an answer takes nothing away that has changed
//! since.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    keys::Cursor,
    queries::Asks,
    wire::{self, News, Roster},
};
use crate::base::ids::{CallId, ConferenceName, MemberId};

/// Long enough to be read; then the row goes.
const OVER_KEPT: Duration = Duration::from_secs(10);

/// The picture.
#[derive(Clone, Debug)]
pub struct Model {
    /// Whose rooms, and where: the title.
    pub(super) about: String,
    pub(super) link: Link,
    /// Columns and rows of the screen.
    pub(super) size: (u16, u16),
    pub(super) rooms: BTreeMap<Place, Room>,
    pub(super) callers: BTreeMap<CallId, Caller>,
    pub(super) cursor: Cursor,
    /// What happened last, in words.
    pub(super) last: String,
    /// Why the last answer was none.
    pub(super) trouble: Option<String>,
    pub(super) asks: Asks,
    /// How many events there have been.
    pub(super) changes: u64,
}

/// How the stream of events is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Link {
    /// Not there yet.
    Connecting,
    /// What happens is seen at once.
    Live,
    /// Not there, and why; it is tried again.
    Lost(String),
    /// There is to be none: one picture is enough.
    Once,
}

/// A room, or None: in no room.
pub(super) type Place = Option<ConferenceName>;

/// Who is in a room, or was last, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    pub(super) callers: BTreeSet<(MemberId, CallId)>,
    /// Who has the floor.
    pub(super) floor: Option<MemberId>,
    /// It has ended; those who were in it last may still be on the line.
    pub(super) is_over: bool,
    /// The event that changed it last.
    pub(super) changed: u64,
    /// When its roster came.
    pub(super) taken_at: Option<Duration>,
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// Whence he calls.
    pub from: String,
    /// What he called.
    pub to: String,
    /// What his phone calls him.
    pub name: String,
    /// His number in the room; 0 in none.
    pub member: MemberId,
    /// How he is there.
    pub standing: Standing,
    /// By what he left his last room: `kicked`, or `kicked: too loud`.
    pub exit: Option<String>,
    /// What is known of his phone.
    pub phone: Phone,
    pub(super) place: Place,
    pub(super) phone_at: Option<Duration>,
}

/// How a caller is where he is listed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// On the line, in no room so far.
    Outside,
    /// In the room.
    Present {
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
pub enum Phone {
    /// Nothing yet.
    Unknown,
    /// It is not simulated: nobody knows what it hears.
    Real,
    /// All of it.
    Simulated(wire::Phone),
}

impl Model {
    /// Knows nothing yet. `about` is the title, `room` what is selected as soon as it is there.
    pub fn new(about: String, link: Link, size: (u16, u16), room: Option<ConferenceName>) -> Self {
        Self {
            about,
            link,
            size,
            rooms: BTreeMap::new(),
            callers: BTreeMap::new(),
            cursor: Cursor::at(room),
            last: String::new(),
            trouble: None,
            asks: Asks::default(),
            changes: 0,
        }
    }

    /// The screen has so many columns and rows.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.size = (columns, rows);
    }

    /// The stream of events is there, or is not. After a pause everything is asked again.
    pub fn link(&mut self, link: Link) {
        if link == Link::Live {
            self.asks = Asks::default();
            self.rooms.values_mut().for_each(|room| room.taken_at = None);
        }
        self.link = link;
    }

    /// Events were missed for good: whoever is in no room may have hung up meanwhile.
    pub fn missed(&mut self) {
        self.changes += 1;
        self.asks.rooms_at = None;
        self.rooms.values_mut().for_each(|room| room.taken_at = None);
        let is_present = |it: &Caller| matches!(it.standing, Standing::Present { .. });
        let gone = self.callers.iter().filter(|(_, it)| !is_present(it)).map(|(call, _)| *call);
        gone.collect::<Vec<_>>().into_iter().for_each(|call| self.forget(call));
        self.sweep();
    }

    /// Time passes: the rows of calls that are over go.
    pub fn tick(&mut self, now: Duration) {
        let is_gone = |it: &Caller| match it.standing {
            Standing::Over { at } => at + OVER_KEPT <= now,
            Standing::Left | Standing::Outside | Standing::Present { .. } => false,
        };
        let gone = self.callers.iter().filter(|(_, it)| is_gone(it)).map(|(call, _)| *call);
        gone.collect::<Vec<_>>().into_iter().for_each(|call| self.forget(call));
        self.sweep();
    }

    /// An event.
    pub fn hear(&mut self, news: &News, now: Duration) {
        self.changes += 1;
        if let (true, Some(words)) = (news.room.is_some() || news.call.is_some(), words(news)) {
            self.last = words;
        }
        match (&news.room, news.call) {
            (Some(room), call) => self.hear_of_room(room, call, news),
            (None, Some(call)) => self.hear_of_call(call, news, now),
            (None, None) => (),
        }
        self.sweep();
    }

    fn hear_of_room(&mut self, name: &ConferenceName, call: Option<CallId>, news: &News) {
        let place = Some(name.clone());
        let room = self.rooms.entry(place.clone()).or_default();
        room.changed = self.changes;
        let member = news.member.parse().unwrap_or_default();
        match (&*news.event, call) {
            ("ConferenceEnd", _) => room.is_over = true,
            ("ConferenceStart", _) => room.is_over = false,
            ("ConferenceFloor", _) => room.floor = Some(member),
            ("ConferenceEnter", Some(call)) => {
                room.is_over = false;
                let caller = self.caller(call, news);
                caller.standing = Standing::Present { muted: false, deaf: false };
                caller.exit = None;
                self.put(call, place, member);
            }
            ("ConferenceExit", Some(call)) => {
                room.floor.take_if(|it| *it == member);
                let caller = self.caller(call, news);
                caller.standing = Standing::Left;
                caller.exit = Some(match &*news.exit_reason {
                    "" => news.exit_cause.clone(),
                    reason => format!("{}: {reason}", news.exit_cause),
                });
                self.put(call, place, member);
            }
            // Keys, and what a later version may tell.
            _ => (),
        }
    }

    fn hear_of_call(&mut self, call: CallId, news: &News, now: Duration) {
        match &*news.event {
            "Hangup" => {
                if let Some(caller) = self.callers.get_mut(&call) {
                    caller.standing = Standing::Over { at: now };
                }
            }
            "Answer" | "CallStart" | "Ring" if !self.callers.contains_key(&call) => {
                self.caller(call, news);
                self.put(call, None, MemberId::default());
            }
            _ => (),
        }
    }

    /// `GET Conference/`, asked when there had been so many events.
    pub(super) fn take_rooms(&mut self, rooms: &wire::Rooms, asked: u64) {
        let names: BTreeSet<_> = rooms.conferences.iter().collect();
        for name in &names {
            let room = self.rooms.entry(Some((*name).clone())).or_default();
            room.is_over &= asked < room.changed;
        }
        let is_gone = |place: &Place, room: &Room| {
            place.as_ref().is_some_and(|it| !names.contains(it)) && room.changed <= asked
        };
        let gone = self.rooms.iter().filter(|(place, room)| is_gone(place, room));
        let gone: Vec<_> = gone.map(|(place, _)| place.clone()).collect();
        gone.iter().for_each(|place| self.end(place));
        self.sweep();
    }

    /// `GET Conference/{name}/`; None if there is no such room.
    pub(super) fn take_roster(
        &mut self,
        name: &ConferenceName,
        roster: Option<Roster>,
        asked: u64,
        now: Duration,
    ) {
        let place = Some(name.clone());
        let Some(room) = self.rooms.get_mut(&place) else { return };
        let is_current = room.changed <= asked;
        room.taken_at = Some(now);
        let Some(roster) = roster else {
            if is_current {
                self.end(&place);
                self.sweep();
            }
            return;
        };
        let present: BTreeSet<_> = roster.members.iter().map(|it| it.call_uuid).collect();
        if is_current {
            let listed = room.callers.clone();
            for (_, call) in listed.into_iter().filter(|(_, call)| !present.contains(call)) {
                self.forget_if_present(call);
            }
        }
        for member in &roster.members {
            self.take_member(&place, member);
        }
        self.sweep();
    }

    fn take_member(&mut self, place: &Place, member: &wire::Member) {
        let (Some(id), call) = (member.id(), member.call_uuid) else { return };
        let known = self.callers.get(&call);
        // Numbers never come twice: who has left by this one, or entered by a later, did so since.
        let is_older = known.is_some_and(|it| match it.standing {
            Standing::Left | Standing::Over { .. } => id <= it.member,
            Standing::Outside | Standing::Present { .. } => id < it.member,
        });
        if is_older {
            return;
        }
        let party = News {
            from: member.from.clone(),
            to: member.to.clone(),
            caller_name: member.caller_name.clone(),
            ..News::default()
        };
        let caller = self.caller(call, &party);
        caller.standing = Standing::Present { muted: member.muted, deaf: member.deaf };
        caller.exit = None;
        self.put(call, place.clone(), id);
    }

    /// `GET Phone/{call_uuid}/`; None if that is no simulated phone.
    pub(super) fn take_phone(&mut self, call: CallId, phone: Option<wire::Phone>, now: Duration) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        caller.phone_at = Some(now);
        let Some(phone) = phone else {
            caller.phone = Phone::Real;
            return;
        };
        let is_over = matches!(caller.standing, Standing::Over { .. });
        if phone.state == "completed" && !is_over {
            caller.standing = Standing::Over { at: now };
        }
        caller.phone = Phone::Simulated(phone);
    }

    /// The room is no more; of those who are in no other, nothing is known.
    fn end(&mut self, place: &Place) {
        let Some(room) = self.rooms.get_mut(place) else { return };
        room.is_over = true;
        let callers = room.callers.clone();
        callers.into_iter().for_each(|(_, call)| self.forget_if_present(call));
    }

    fn forget_if_present(&mut self, call: CallId) {
        if self.callers.get(&call).is_some_and(Caller::is_present) {
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
    fn caller(&mut self, call: CallId, party: &News) -> &mut Caller {
        let caller = self.callers.entry(call).or_insert_with(|| Caller {
            from: String::new(),
            to: String::new(),
            name: String::new(),
            member: MemberId::default(),
            standing: Standing::Outside,
            exit: None,
            phone: Phone::Unknown,
            place: None,
            phone_at: None,
        });
        let told = [&party.from, &party.to, &party.caller_name];
        let kept = [&mut caller.from, &mut caller.to, &mut caller.name];
        for (kept, told) in kept.into_iter().zip(told).filter(|(_, told)| !told.is_empty()) {
            told.clone_into(kept);
        }
        caller
    }

    /// Lists a known caller here, and nowhere else.
    fn put(&mut self, call: CallId, place: Place, member: MemberId) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        if let Some(room) = self.rooms.get_mut(&caller.place) {
            room.callers.remove(&(caller.member, call));
        }
        caller.place = place.clone();
        caller.member = member;
        self.rooms.entry(place).or_default().callers.insert((member, call));
    }

    /// Takes away what nobody is listed in.
    fn sweep(&mut self) {
        self.rooms
            .retain(|place, room| !room.callers.is_empty() || (place.is_some() && !room.is_over));
        self.settle();
    }

    /// Those who are in the room now; None while that is not known.
    pub(super) fn present(&self, room: &Room) -> Option<usize> {
        let is_present = |call| self.callers.get(call).is_some_and(Caller::is_present);
        let present = room.callers.iter().filter(|(_, call)| is_present(call)).count();
        (room.taken_at.is_some() || 0 < room.changed && 0 < present).then_some(present)
    }

    /// Whether nothing more will come unasked for.
    pub fn is_settled(&self) -> bool {
        self.asks.is_idle() && self.trouble.is_none()
    }

    /// Why an answer was none, since the last good one.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

impl Caller {
    pub(super) fn is_present(&self) -> bool {
        match self.standing {
            Standing::Present { .. } => true,
            Standing::Left | Standing::Outside | Standing::Over { .. } => false,
        }
    }

    /// Whether there may be more to learn from his phone.
    pub(super) fn is_heard(&self) -> bool {
        match (&self.phone, self.standing) {
            (Phone::Real, _) => false,
            (Phone::Simulated(phone), Standing::Over { .. }) => phone.state != "completed",
            (Phone::Simulated(_) | Phone::Unknown, _) => true,
        }
    }
}

/// What happened, in a line.
fn words(news: &News) -> Option<String> {
    let who = if news.caller_name.is_empty() { &news.from } else { &news.caller_name };
    let room = news.room.as_ref().map(ConferenceName::as_str).unwrap_or_default();
    Some(match &*news.event {
        "Answer" => return None,
        "CallStart" => format!("{who} calls {}", news.to),
        "Ring" => format!("{} rings", news.to),
        "Hangup" => format!("{who} has hung up: {}", news.hangup_cause_name),
        "ConferenceStart" => format!("{room} begins"),
        "ConferenceEnd" => format!("{room} has ended"),
        "ConferenceEnter" => format!("{who} enters {room}"),
        "ConferenceFloor" => format!("{who} has the floor in {room}"),
        "ConferenceDigitsMatch" => format!("{who} presses a key in {room}"),
        "ConferenceExit" => format!("{who} leaves {room}: {}", news.exit_cause),
        other => other.to_owned(),
    })
}
