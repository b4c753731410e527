//! What one phone does of its own accord, and when: keys, talk, and its script.

use std::{collections::VecDeque, vec};

use super::{
    PhoneError,
    answer_plan::{AnswerPlan, AnswerStep},
    script::{PhoneAction, PressedKeys, ScriptItem},
    sounds::KEY_MS,
};
use crate::media::{HangupCause, LegEvent};

/// Keys that wait for their turn, beside those of the script: half a minute of pressing.
const KEYS_WAITING_MAX: usize = 256;

/// Something a phone has under way.
#[derive(Debug)]
pub(super) struct SimUser {
    /// How it takes a call; None if it has made one, or is done with it.
    called: Option<AnswerPlan>,
    script: vec::IntoIter<ScriptItem>,
    /// None until the answer, and when nothing is left.
    act_at: Option<u32>,
    keys: VecDeque<char>,
    /// When a key can be pressed next, if not at once.
    key_at: Option<u32>,
    talk_until: Option<u32>,
}

impl SimUser {
    pub(super) fn new(script: Vec<ScriptItem>) -> Self {
        let script = script.into_iter();
        let (keys, key_at, talk_until) = (VecDeque::new(), None, None);
        Self { called: None, script, act_at: None, keys, key_at, talk_until }
    }

    /// It is called.
    pub(super) fn answer_as(&mut self, called: AnswerPlan) {
        self.called = Some(called);
    }

    /// The call is answered: the script begins.
    pub(super) fn begin(&mut self, now: u32) {
        self.plan(now);
    }

    /// Whether so many keys find room.
    pub(super) fn has_room(&self, keys: &PressedKeys) -> Result<(), PhoneError> {
        match self.keys.len() + keys.iter().count() <= KEYS_WAITING_MAX {
            true => Ok(()),
            false => Err(PhoneError::TooManyKeys { max: KEYS_WAITING_MAX }),
        }
    }

    /// Presses keys after those that wait already.
    pub(super) fn press(&mut self, now: u32, keys: &PressedKeys) {
        self.keys.extend(keys.iter());
        self.key_at.get_or_insert(now);
    }

    /// Talks for so long from now on, or longer if it does so already. True if that is new.
    pub(super) fn talk(&mut self, now: u32, ms: u32) -> bool {
        let until = now.saturating_add(ms);
        let is_new = self.talk_until.is_none();
        self.talk_until = Some(self.talk_until.map_or(until, |before| before.max(until)));
        is_new
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Option<u32> {
        let called = self.called.as_ref().and_then(AnswerPlan::due);
        [called, self.key_at, self.talk_until, self.act_at].into_iter().flatten().min()
    }

    /// One thing that was due now, if any; the rest is due still.
    pub(super) fn step(&mut self, now: u32) -> Option<UserAction> {
        if let Some(step) = self.called.as_mut().and_then(|called| called.step(now)) {
            self.called.take_if(|called| called.due().is_none());
            return Some(match step {
                AnswerStep::PickUp => UserAction::PickUp,
                AnswerStep::Refuse(cause) => UserAction::Refuse(cause),
                AnswerStep::Ring => UserAction::Report(LegEvent::Ringing),
            });
        }
        if self.key_at.is_some_and(|at| at <= now) {
            let key = self.keys.pop_front();
            self.key_at = key.map(|_| now.saturating_add(KEY_MS));
            return key.map(|key| UserAction::Report(LegEvent::Digit(key)));
        }
        if self.talk_until.is_some_and(|until| until <= now) {
            self.talk_until = None;
            return Some(UserAction::Report(LegEvent::Talk(false)));
        }
        if self.act_at.is_some_and(|at| at <= now) {
            let action = self.script.next()?.action;
            self.plan(self.done_at(now, &action));
            return Some(UserAction::Do(action));
        }
        None
    }

    /// Nothing is under way, and nothing will be.
    pub(super) fn is_idle(&self) -> bool {
        self.script.as_slice().is_empty() && self.due().is_none()
    }

    fn plan(&mut self, after: u32) {
        let next = self.script.as_slice().first();
        self.act_at = next.map(|act| after.saturating_add(act.after_ms));
    }

    /// When a action that begins now will be done.
    fn done_at(&self, now: u32, action: &PhoneAction) -> u32 {
        match action {
            PhoneAction::HangUp | PhoneAction::Hold(_) => now,
            PhoneAction::Press(keys) => {
                let before = self.keys.len() + keys.iter().count() - 1;
                let wait = u32::try_from(before).unwrap_or(u32::MAX).saturating_mul(KEY_MS);
                self.key_at.unwrap_or(now).saturating_add(wait)
            }
            PhoneAction::Talk { ms } => now.saturating_add(*ms),
        }
    }
}

/// What user do next.
#[derive(Debug)]
pub(super) enum UserAction {
    Do(PhoneAction),
    PickUp,
    Refuse(HangupCause),
    Report(LegEvent),
}
