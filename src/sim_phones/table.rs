//! Many phones and their deadlines, on anybody's clock: the simulation without the waiting.
//!
//! ```
//! # use std::{sync::Arc, time::{Duration, Instant}};
//! # use conflow::{
//! #     base::ids::CallId,
//! #     media::{AudioOrder, LegEvent, Report, SignallingOrder},
//! #     sim_phones::{Dial, PhoneTable, Settings},
//! # };
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
//! let details = phones.details(&account, call).expect("it is known");
//! assert_eq!(details.transcript(), "0-100 sound dtmf:5, 100- silence");
//! ```

use std::{collections::BTreeSet, mem, sync::Arc, time::Instant};

use super::{
    BadDial, Dial, PhoneDetails, PhoneError, Settings, answer_plan::AnswerPlan, phone::SimPhone,
    script::PressedKeys,
};
use crate::{
    base::{
        call_map::CallMap,
        ids::{AccountId, CallId, Trusted},
    },
    media::{Arrival, AudioOrder, HangupCause, LegEvent, Report, SignallingOrder},
};

/// In one tick: as much as may be done before others get their turn.
const TICK_PHONES_MAX: usize = 8;

/// Phones, on whatever clock the caller has: it may stand still, but not run backwards.
///
/// What they do is reported at the next [`Self::tick`], which is due at [`Self::deadline`].
#[derive(Debug)]
pub struct PhoneTable {
    settings: Settings,
    phones: CallMap<SimPhone>,
    deadlines: BTreeSet<(Instant, CallId)>,
    reports: Vec<Report>,
    /// When the first of the reports was made.
    reports_since: Option<Instant>,
    ended: Vec<CallId>,
    /// One copy of each name is enough.
    accounts: BTreeSet<AccountId>,
}

impl PhoneTable {
    /// No phones yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            phones: CallMap::default(),
            deadlines: BTreeSet::new(),
            reports: Vec::new(),
            reports_since: None,
            ended: Vec::new(),
            accounts: BTreeSet::new(),
        }
    }

    /// A phone dials in: it rings from now on. The arrival is for the engine; if that does not
    /// take it, [`Self::forget`] the phone.
    ///
    /// # Errors
    ///
    /// What it dials with cannot be; there is no such phone then.
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
            call,
            account: Some(account.clone()),
            from,
            to,
            caller_name,
            headers,
            trusted,
        })
    }

    /// A phone is called: it rings, and more, as its address says. False if there is none.
    pub fn place_call(
        &mut self,
        now: Instant,
        call: CallId,
        account: &AccountId,
        from: &Arc<str>,
        to: &Arc<str>,
    ) -> bool {
        let Ok(plan) = AnswerPlan::parse(to) else {
            self.report(now, call, LegEvent::Failed(HangupCause::DestinationInvalid));
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

    /// Tells the engine something of a call whose phone is not there.
    pub(super) fn report(&mut self, now: Instant, call: CallId, heard: LegEvent) {
        self.reports.push(Report { call, event: heard });
        self.reports_since.get_or_insert(now);
    }

    /// Carries out a signalling order. An order to a phone that is not known does nothing.
    pub fn signal(&mut self, now: Instant, order: &SignallingOrder) {
        if let SignallingOrder::Dial { call, account, from, to, .. } = order {
            self.place_call(now, *call, account, from, to);
            return;
        }
        self.with(now, order.call(), |phone, ms, _, _| phone.signal(ms, order));
    }

    /// Carries out an audio order for all its calls that are known here.
    pub fn order(&mut self, now: Instant, order: &AudioOrder) {
        for call in order.calls() {
            self.apply(now, *call, order);
        }
    }

    /// Carries out an audio order for one of its calls.
    pub fn apply(&mut self, now: Instant, call: CallId, order: &AudioOrder) {
        self.with(now, call, |phone, ms, settings, _| phone.apply(ms, order, settings));
    }

    /// Presses keys, 100 ms apart: the first now, unless others wait. Ringing phones may do so.
    ///
    /// # Errors
    ///
    /// No such phone, it has ended, or too many keys wait already.
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

    /// Talks for so long from now on, or longer if it does so already. Ringing phones may do so.
    ///
    /// # Errors
    ///
    /// No such phone, or it has ended.
    pub fn talk(
        &mut self,
        now: Instant,
        account: &AccountId,
        call: CallId,
        ms: u32,
    ) -> Result<(), PhoneError> {
        self.act(now, account, call, |phone, at, heard| phone.talk(at, ms, heard))
    }

    /// Holds the engine (true), or is back; nothing happens if it is so already.
    ///
    /// # Errors
    ///
    /// No such phone, or it has ended.
    pub fn hold(
        &mut self,
        now: Instant,
        account: &AccountId,
        call: CallId,
        on: bool,
    ) -> Result<(), PhoneError> {
        self.act(now, account, call, |phone, at, heard| phone.hold(at, on, heard))
    }

    /// Hangs up: it is completed at once, and hears and does nothing more. The engine's
    /// [`SignallingOrder::End`] then says why.
    ///
    /// # Errors
    ///
    /// No such phone, or it has ended.
    pub fn hang_up(
        &mut self,
        now: Instant,
        account: &AccountId,
        call: CallId,
    ) -> Result<(), PhoneError> {
        self.act(now, account, call, |phone, at, heard| phone.hang_up(at, heard))
    }

    /// What is told of a phone.
    ///
    /// # Errors
    ///
    /// No such phone.
    pub fn details(&self, account: &AccountId, call: CallId) -> Result<PhoneDetails, PhoneError> {
        Ok(self.find(account, call)?.details(call))
    }

    /// When [`Self::tick`] has something to do: a moment that has gone by, if at once.
    pub fn deadline(&self) -> Option<Instant> {
        let first = self.deadlines.first().map(|(at, _)| *at);
        [self.reports_since, first].into_iter().flatten().min()
    }

    /// Lets time go by, for some phones whose deadline has come, and hands over what all have to
    /// report, each phone's in order. Whatever is left has its deadline still.
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

    /// Phones that have ended since this was last asked. They are kept until forgotten.
    pub fn take_ended(&mut self) -> Vec<CallId> {
        mem::take(&mut self.ended)
    }

    /// From now on there is no such phone. False if there was none.
    pub fn forget(&mut self, call: CallId) -> bool {
        let Some(phone) = self.phones.remove(call) else { return false };
        if let Some(deadline) = phone.deadline() {
            self.deadlines.remove(&(deadline, call));
        }
        true
    }

    /// How many are known, ended ones included.
    pub fn len(&self) -> usize {
        self.phones.len()
    }

    /// None is known.
    pub fn is_empty(&self) -> bool {
        self.phones.is_empty()
    }

    fn find(&self, account: &AccountId, call: CallId) -> Result<&SimPhone, PhoneError> {
        let phone = self.phones.get(call).filter(|phone| phone.account == *account);
        phone.ok_or(PhoneError::Unknown)
    }

    /// Something that a phone's owner does, unless it has ended.
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

    /// Everything that happens to a phone happens in here: first the time goes by, then the
    /// thing itself, then what follows of it at once.
    fn with<T>(
        &mut self,
        now: Instant,
        call: CallId,
        then: impl FnOnce(&mut SimPhone, u32, &Settings, &mut dyn FnMut(LegEvent)) -> T,
    ) -> Option<T> {
        let phone = self.phones.get_mut(call)?;
        let ms = phone.ms(now);
        let was_over = phone.is_over();
        let deadline_before = phone.deadline();
        let before = self.reports.len();
        let mut heard = |heard| self.reports.push(Report { call, event: heard });

        phone.advance_to(ms, &self.settings, &mut heard);
        let result = then(phone, ms, &self.settings, &mut heard);

        if self.reports.len() > before {
            self.reports_since.get_or_insert(now);
        }
        if phone.is_over() && !was_over {
            self.ended.push(call);
        }
        let deadline = phone.deadline();
        if deadline != deadline_before {
            deadline_before.map(|at| self.deadlines.remove(&(at, call)));
            deadline.map(|at| self.deadlines.insert((at, call)));
        }
        Some(result)
    }
}

/// `1555` and seven digits: no such area code is in use, so a reader sees that it is made up.
fn made_up_number(call: CallId) -> Arc<str> {
    format!("1555{:07}", call.0.as_u128() % 10_000_000).into()
}

#[cfg(test)]
mod tests;
