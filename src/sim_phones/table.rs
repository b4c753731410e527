//! Phone table: many phones and their deadlines, on the caller's clock, so that nothing waits.
//!
//! ```
//! # use std::{sync::Arc, time::{Duration, Instant}};
//! # use conflow::{base::ids::CallId, media::{AudioOrder, LegEvent, Report}};
//! # use conflow::media::SignallingOrder;
//! # use conflow::sim_phones::{Dial, PhoneTable, Settings};
//! let now = Instant::now();
//! let mut phones = PhoneTable::new(Settings::default());
//! let (call, account) = (CallId::of(1), "MA1".parse().expect("a name"));
//! let dial = Dial { script: vec![], ..Dial::to("weekly") };
//! let arrival = phones.dial(now, call, &account, dial).expect("a good number");
//! assert_eq!(&*arrival.to, "weekly");
//! phones.signal(now, &SignallingOrder::Answer { call });
//! phones.order(now, &AudioOrder::SendDigits { call, number: 1, digits: "5".into() });
//!
//! let due = phones.deadline().expect("the key's tone ends");
//! assert_eq!(due, now + Duration::from_millis(100));
//! let mut reports = Vec::new();
//! phones.tick(due, &mut reports);
//! assert_eq!(reports, [Report { call, event: LegEvent::Finished(1) }]);
//! let details = phones.details(due, &account, call).expect("it is known");
//! assert_eq!(details.transcript(), "0-100 sound dtmf:5, 100- silence");
//! ```

use std::{collections::BTreeSet, mem, sync::Arc, time::Instant};

use super::{
    BadDial, Dial, PhoneDetails, PhoneError, Settings,
    answer_plan::AnswerPlan,
    phone::SimPhone,
    room_sounds::{RoomTable, SimRooms},
    script::PressedKeys,
};
use crate::{
    base::{
        call_map::CallMap,
        ids::{AccountId, CallId, RoomId, Trusted},
    },
    media::{
        Arrival, AudioOrder, DialFailure, DialFailureSource, Dialling, HangupCause, LegEvent,
        Report, SignallingOrder, SoundToAll,
    },
};

/// Phones advanced per tick, before other tasks get their turn.
const TICK_PHONES_MAX: usize = 8;

/// Phones on the caller's clock, which may stand still but not go backwards.
///
/// Reports of phones are returned by the next [`Self::tick`], which is due at [`Self::deadline`].
#[derive(Debug)]
pub struct PhoneTable<R = SimRooms> {
    settings: Settings,
    phones: CallMap<SimPhone>,
    rooms: R,
    /// The number of times that a phone was looked at.
    #[cfg(test)]
    looks: usize,
    deadlines: BTreeSet<(Instant, CallId)>,
    reports: Vec<Report>,
    /// When the first report was made.
    reports_since: Option<Instant>,
    ended: Vec<CallId>,
    /// Account ids, shared by their phones.
    accounts: BTreeSet<AccountId>,
}

impl PhoneTable {
    /// Creates a table without phones, with rooms of its own.
    pub fn new(settings: Settings) -> Self {
        Self::in_rooms(settings, SimRooms::default())
    }
}

impl<R: RoomTable> PhoneTable<R> {
    /// Creates a table without phones.
    pub(super) fn in_rooms(settings: Settings, rooms: R) -> Self {
        Self {
            settings,
            phones: CallMap::default(),
            rooms,
            #[cfg(test)]
            looks: 0,
            deadlines: BTreeSet::new(),
            reports: Vec::new(),
            reports_since: None,
            ended: Vec::new(),
            accounts: BTreeSet::new(),
        }
    }

    /// Adds a phone that dials in and rings. The arrival is for the engine; if the engine refuses
    /// it, call [`Self::forget`].
    ///
    /// # Errors
    ///
    /// The parameters are invalid. No phone is added.
    pub fn dial(
        &mut self,
        now: Instant,
        call: CallId,
        account: &AccountId,
        dial: Dial,
    ) -> Result<Arrival, BadDial> {
        dial.check()?;

        let Dial { to, from, caller_name, user, script } = dial;
        let from = from.unwrap_or_else(|| made_up_number(call));
        if !self.accounts.contains(account) {
            self.accounts.insert(account.clone());
        }
        let account = self.accounts.get(account).unwrap_or(account);
        let phone = SimPhone::new(now, account.clone(), Arc::clone(&from), Arc::clone(&to), script);
        let before = self.phones.insert(call, phone);
        debug_assert!(before.is_none(), "call {call} comes twice");

        let caller_name = caller_name.unwrap_or_default();
        let (headers, trusted) = (vec![], user.as_deref().and_then(Trusted::user));
        Ok(Arrival {
            is_private: false,
            diversion: None,
            call,
            account: Some(account.clone()),
            from,
            to,
            caller_name,
            headers,
            trusted,
        })
    }

    /// Adds a phone that is called; its address says how it answers. Returns false if the address
    /// is invalid, which is reported.
    pub fn place_call(
        &mut self,
        now: Instant,
        call: CallId,
        account: &AccountId,
        dialling: &Dialling,
    ) -> bool {
        let Dialling { from, to, .. } = dialling;
        let Ok(plan) = AnswerPlan::parse(to) else {
            self.report_failure(now, call, HangupCause::DestinationInvalid);
            return false;
        };
        if !self.accounts.contains(account) {
            self.accounts.insert(account.clone());
        }
        let account = self.accounts.get(account).unwrap_or(account).clone();
        let phone =
            SimPhone::new(now, account, from.clone(), to.clone(), Vec::new()).answering_as(plan);
        let due = phone.deadline();
        let before = self.phones.insert(call, phone);
        debug_assert!(before.is_none(), "call {call} comes twice");
        self.deadlines.extend(due.map(|at| (at, call)));
        true
    }

    /// Reports an event of a call that has no phone.
    pub(super) fn report(&mut self, now: Instant, call: CallId, heard: LegEvent) {
        self.reports.push(Report { call, event: heard });
        self.reports_since.get_or_insert(now);
    }

    pub(super) fn report_failure(&mut self, now: Instant, call: CallId, cause: HangupCause) {
        let failure = DialFailure::new(cause, DialFailureSource::Carrier);
        self.report(now, call, LegEvent::Failed(failure));
    }

    /// Applies a signalling order. An order for a call without a phone here does nothing.
    pub fn signal(&mut self, now: Instant, order: &SignallingOrder) {
        if let SignallingOrder::Dial { call, account, dialling } = order {
            self.place_call(now, *call, account, dialling);
            return;
        }
        self.with(now, order.call(), |phone, ms, _, _| phone.signal(ms, order));
    }

    /// Applies an audio order to all its calls that have a phone here, or to a room.
    pub fn order(&mut self, now: Instant, order: &AudioOrder) {
        if let AudioOrder::ToRoom { room, sound } = order {
            return self.play_to_room(now, *room, sound);
        }
        for call in order.calls() {
            self.apply(now, *call, order);
        }
    }

    /// Applies an audio order to one of its calls.
    pub fn apply(&mut self, now: Instant, call: CallId, order: &AudioOrder) {
        self.with(now, call, |phone, ms, settings, _| phone.apply(ms, order, settings));
    }

    /// Keeps a sound to a room, whose phones take it over when they are next looked at. This takes
    /// as long in every room.
    fn play_to_room(&mut self, now: Instant, room: RoomId, sound: &Arc<SoundToAll>) {
        let Self { rooms, settings, .. } = self;
        if let Some(member) = rooms.with(room, |rooms| rooms.add(now, room, sound, settings)) {
            self.play_to_newcomer(now, room, member, sound);
        }
    }

    /// Plays a sound that plays in the room already to a member who has just come: from its start.
    pub(super) fn play_to_newcomer(
        &mut self,
        now: Instant,
        room: RoomId,
        member: CallId,
        sound: &SoundToAll,
    ) {
        self.with(now, member, |phone, ms, settings, _| {
            if phone.is_in(room) {
                phone.hear_with_all(ms, member, sound, settings);
            }
        });
    }

    /// Presses keys 100 ms apart: the first now, unless others wait. Works while the phone rings.
    ///
    /// # Errors
    ///
    /// The phone does not exist or has ended, or too many keys wait.
    pub fn press(
        &mut self,
        now: Instant,
        account: &AccountId,
        call: CallId,
        keys: &PressedKeys,
    ) -> Result<(), PhoneError> {
        self.find(account, call)?;
        self.with(now, call, |phone, ms, _, _| match phone.is_over() {
            true => Err(PhoneError::Ended),
            false => phone.press(ms, keys),
        })
        .unwrap_or(Err(PhoneError::Unknown))
    }

    /// Talks for `ms` from now on; longer if it is talking already. Works while the phone rings.
    ///
    /// # Errors
    ///
    /// The phone does not exist or has ended.
    pub fn talk(
        &mut self,
        now: Instant,
        account: &AccountId,
        call: CallId,
        ms: u32,
    ) -> Result<(), PhoneError> {
        self.act(now, account, call, |phone, at, heard| phone.talk(at, ms, heard))
    }

    /// Holds the engine (true) or resumes (false). No effect if that is the state already.
    ///
    /// # Errors
    ///
    /// The phone does not exist or has ended.
    pub fn hold(
        &mut self,
        now: Instant,
        account: &AccountId,
        call: CallId,
        on: bool,
    ) -> Result<(), PhoneError> {
        self.act(now, account, call, |phone, at, heard| phone.hold(at, on, heard))
    }

    /// Hangs up. The phone is completed at once and does nothing more. The cause follows in the
    /// engine's [`SignallingOrder::End`].
    ///
    /// # Errors
    ///
    /// The phone does not exist or has ended.
    pub fn hang_up(
        &mut self,
        now: Instant,
        account: &AccountId,
        call: CallId,
    ) -> Result<(), PhoneError> {
        self.act(now, account, call, |phone, at, heard| phone.hang_up(at, heard))
    }

    /// Returns the details of a phone.
    ///
    /// # Errors
    ///
    /// The phone does not exist.
    pub fn details(
        &mut self,
        now: Instant,
        account: &AccountId,
        call: CallId,
    ) -> Result<PhoneDetails, PhoneError> {
        self.find(account, call)?;
        self.with(now, call, |phone, ms, _, _| phone.details(ms, call)).ok_or(PhoneError::Unknown)
    }

    /// Returns when [`Self::tick`] is due; a time in the past means now.
    pub fn deadline(&self) -> Option<Instant> {
        let first = self.deadlines.first().map(|(at, _)| *at);
        [self.reports_since, first].into_iter().flatten().min()
    }

    /// Advances some of the phones that are due, and appends all reports, in order for each phone.
    /// Phones that remain keep their deadlines.
    pub fn tick(&mut self, now: Instant, reports: &mut Vec<Report>) {
        for _ in 0..TICK_PHONES_MAX {
            match self.deadlines.first() {
                Some((at, call)) if *at <= now => self.with(now, *call, |_, _, _, _| ()),
                Some(_) | None => break,
            };
        }
        reports.append(&mut self.reports);
        self.reports_since = None;
    }

    /// Returns the phones that have ended since the last call. They are kept until forgotten.
    pub fn take_ended(&mut self) -> Vec<CallId> {
        mem::take(&mut self.ended)
    }

    /// Removes a phone. Returns false if there was none.
    pub fn forget(&mut self, call: CallId) -> bool {
        let Some(phone) = self.phones.remove(call) else { return false };
        if let Some(deadline) = phone.deadline() {
            self.deadlines.remove(&(deadline, call));
        }
        if let Some(room) = phone.room() {
            self.rooms.with(room, |rooms| rooms.leave(room));
        }
        true
    }

    /// Returns the number of phones, ended ones included.
    pub fn len(&self) -> usize {
        self.phones.len()
    }

    /// Whether the table has no phones, not even ended ones.
    pub fn is_empty(&self) -> bool {
        self.phones.is_empty()
    }

    fn find(&self, account: &AccountId, call: CallId) -> Result<&SimPhone, PhoneError> {
        let phone = self.phones.get(call).filter(|phone| phone.account == *account);
        phone.ok_or(PhoneError::Unknown)
    }

    /// An action of a phone's user; an error if the phone has ended.
    fn act(
        &mut self,
        now: Instant,
        account: &AccountId,
        call: CallId,
        act: impl FnOnce(&mut SimPhone, u32, &mut dyn FnMut(LegEvent)),
    ) -> Result<(), PhoneError> {
        self.find(account, call)?;
        self.with(now, call, |phone, ms, _, heard| match phone.is_over() {
            true => Err(PhoneError::Ended),
            false => {
                act(phone, ms, heard);
                Ok(())
            }
        })
        .unwrap_or(Err(PhoneError::Unknown))
    }

    /// Accesses a phone. All changes go through here: first the time passes, then the change
    /// happens, then its immediate consequences.
    fn with<T>(
        &mut self,
        now: Instant,
        call: CallId,
        then: impl FnOnce(&mut SimPhone, u32, &Settings, &mut dyn FnMut(LegEvent)) -> T,
    ) -> Option<T> {
        #[cfg(test)]
        {
            self.looks += 1;
        }
        let phone = self.phones.get_mut(call)?;
        let ms = phone.ms(now);
        let was_over = phone.is_over();
        let deadline_before = phone.deadline();
        let before = self.reports.len();
        let mut heard = |heard| self.reports.push(Report { call, event: heard });

        let room_before = phone.room();
        if let Some(room) = room_before {
            self.rooms.with(room, |rooms| {
                if let Some(sounds) = rooms.get(room) {
                    phone.catch_up(ms, call, sounds, &self.settings, &mut heard);
                }
            });
        }
        phone.advance_to(ms, &self.settings, &mut heard);
        let result = then(phone, ms, &self.settings, &mut heard);

        if self.reports.len() > before {
            self.reports_since.get_or_insert(now);
        }
        if phone.is_over() && !was_over {
            self.ended.push(call);
        }
        let room = phone.room();
        if room != room_before {
            if let Some(room) = room_before {
                self.rooms.with(room, |rooms| rooms.leave(room));
            }
            if let Some(room) = room {
                phone.hear_from(self.rooms.with(room, |rooms| rooms.enter(room)));
            }
        }
        let deadline = phone.deadline();
        if deadline != deadline_before {
            deadline_before.map(|at| self.deadlines.remove(&(at, call)));
            deadline.map(|at| self.deadlines.insert((at, call)));
        }
        Some(result)
    }
}

/// Makes a number of `1555` and seven digits. No such area code exists, so people see that it is
/// made up.
fn made_up_number(call: CallId) -> Arc<str> {
    format!("1555{:07}", call.0.as_u128() % 10_000_000).into()
}

#[cfg(test)]
mod tests;
